//! The join's system calls, each looked at through the kernel's own eyes.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use berth_protocol::{Instruction, install_filter, new_session_keyring};
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::wait::{WaitStatus, waitpid};

use super::apart::apart;
use crate::host::Privilege;
use crate::kept::Home;
use crate::sys::join;

/// Loads the number of the system call; the program of `forbid` starts with it.
const LOAD_NUMBER: Instruction = instruction(0x20, 0, 0);

const fn instruction(code: u16, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf, k }
}

/// Loads the lower half of one of a call's arguments, which are counted from 0.
const fn load_argument(n: u32) -> Instruction {
    let half = if cfg!(target_endian = "little") { 0 } else { 4 };
    instruction(0x20, 0, 16 + 8 * n + half)
}

/// Answers EPERM to a system call from here on.
pub fn forbid(call: libc::c_long) {
    answer(call, Errno::EPERM);
}

/// Answers a system call with an error from here on.
fn answer(call: libc::c_long, errno: Errno) {
    set_no_new_privs().unwrap();
    install_filter(&[
        LOAD_NUMBER,
        instruction(0x15, 1, call.try_into().unwrap()),
        instruction(6, 0, 0x0005_0000 | errno as u32),
        instruction(6, 0, 0x7fff_0000),
    ])
    .unwrap();
}

/// Answers EPERM to a system call with this for its first argument, from here on; and to others of its kind, if at all, this.
pub fn forbid_with(call: libc::c_long, first: i32, others: Option<Errno>) {
    set_no_new_privs().unwrap();
    let others = others.map_or(0x7fff_0000, |errno| 0x0005_0000 | errno as u32);
    install_filter(&[
        LOAD_NUMBER,
        instruction(0x15, 3, call.try_into().unwrap()),
        load_argument(0),
        instruction(0x15, 2, first as u32),
        instruction(6, 0, 0x0005_0000 | libc::EPERM as u32),
        instruction(6, 0, 0x7fff_0000),
        instruction(6, 0, others),
    ])
    .unwrap();
}

/// Runs this in a child with one thread, as setns needs it.
#[allow(unsafe_code)]
pub fn alone(run: impl FnOnce()) {
    // SAFETY: the child makes system calls, allocates (which glibc allows after fork) and exits.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            // Where it fails it may wait for a lock that another thread had at the fork.
            nix::unistd::alarm::set(30);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // SAFETY: ends this child, without the test harness's own exit handlers.
            unsafe { libc::_exit(result.is_err().into()) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
}

fn status(key: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_once(':').unwrap().1.trim().into()
}

fn inode(namespace: &str) -> u64 {
    fs::metadata(format!("/proc/self/ns/{namespace}"))
        .unwrap()
        .ino()
}

/// The serial number of the session keyring.
#[allow(unsafe_code)]
fn keyring() -> Result<i64, Errno> {
    const GET_ID: i32 = 0;
    const SESSION: i32 = -3;
    // SAFETY: touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, GET_ID, SESSION, 0) })
}

#[test]
fn the_bounding_set_ends_up_empty() {
    alone(|| {
        assert_ne!(status("CapBnd"), "0000000000000000");
        join::empty_bounding_set().unwrap();
        assert_eq!(status("CapBnd"), "0000000000000000");
    });
}

#[test]
fn a_bounding_set_that_cannot_be_emptied_is_an_error() {
    alone(|| {
        nix::unistd::setuid(1000.into()).unwrap();
        assert_eq!(join::empty_bounding_set(), Err(Errno::EPERM));
    });
}

#[test]
fn a_kernel_that_knows_no_first_capability_is_an_error() {
    alone(|| {
        answer(libc::SYS_prctl, Errno::EINVAL);
        assert_eq!(join::empty_bounding_set(), Err(Errno::EINVAL));
    });
}

#[test]
fn root_is_who_has_roots_effective_uid() {
    alone(|| {
        nix::unistd::setresuid(1000.into(), 0.into(), 0.into()).unwrap();
        assert_eq!(join::privilege(), Privilege::Root);
        nix::unistd::setresuid(0.into(), 1000.into(), 0.into()).unwrap();
        assert_eq!(join::privilege(), Privilege::Ordinary);
    });
}

#[test]
fn a_limit_is_set_and_told() {
    alone(|| {
        let nofile = libc::RLIMIT_NOFILE;
        join::set_rlimit(nofile, 20, 30).unwrap();
        assert_eq!(join::rlimit(nofile), Ok((20, 30)));
        assert_eq!(join::set_rlimit(nofile, 31, 30), Err(Errno::EINVAL));
    });
}

#[test]
fn the_working_directory_is_reached_without_a_right_to_read_and_through_no_link() {
    alone(|| {
        let top = std::env::temp_dir().join(format!("berth-changing-{}", std::process::id()));
        let inner = top.join("inner");
        fs::create_dir_all(&inner).unwrap();
        std::os::unix::fs::symlink(&inner, top.join("link")).unwrap();
        fs::write(top.join("file"), "").unwrap();
        for folder in [&inner, &top] {
            fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
        }
        nix::unistd::seteuid(1000.into()).unwrap();
        let went = [&inner, &top.join("link"), &top.join("file"), Path::new("/")].map(|path| {
            (
                join::change_directory(path),
                std::env::current_dir().unwrap(),
            )
        });
        nix::unistd::seteuid(0.into()).unwrap();
        fs::remove_dir_all(&top).unwrap();
        let no_folder = (Err(Errno::ENOTDIR), inner.clone());
        let root = (Ok(()), "/".into());
        assert_eq!(went, [(Ok(()), inner), no_folder.clone(), no_folder, root]);
    });
}

#[test]
fn privileges_do_not_come_back() {
    alone(|| {
        set_no_new_privs().unwrap();
        assert_eq!(status("NoNewPrivs"), "1");
    });
}

#[test]
fn a_filter_holds() {
    alone(|| {
        assert!(nix::unistd::getsid(None).is_ok());
        forbid(libc::SYS_getsid);
        assert_eq!(status("Seccomp"), "2");
        assert_eq!(nix::unistd::getsid(None), Err(Errno::EPERM));
        assert!(nix::unistd::getpgid(None).is_ok());
    });
}

#[test]
fn a_filter_does_not_slow_down_what_it_filters() {
    alone(|| {
        set_no_new_privs().unwrap();
        // From here on a filter has to leave the machine's speculation as it is.
        install_filter(&[
            LOAD_NUMBER,
            instruction(0x15, 2, libc::SYS_seccomp.try_into().unwrap()),
            load_argument(1),
            instruction(0x15, 1, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
            instruction(6, 0, 0x7fff_0000),
            instruction(6, 0, 0x0005_0000 | libc::EPERM as u32),
        ])
        .unwrap();
        forbid(libc::SYS_getsid);
        assert_eq!(nix::unistd::getsid(None), Err(Errno::EPERM));
    });
}

#[test]
fn a_filter_that_is_none_is_an_error() {
    alone(|| {
        set_no_new_privs().unwrap();
        assert_eq!(install_filter(&[LOAD_NUMBER]), Err(Errno::EINVAL));
    });
}

#[test]
fn the_session_keyring_is_a_new_one() {
    alone(|| {
        new_session_keyring().unwrap();
        let first = keyring();
        new_session_keyring().unwrap();
        let second = keyring();
        // Without keys in the kernel, or within reach, there is nothing to tell apart.
        if let Ok(first) = first {
            assert_ne!(first, second.unwrap());
        } else {
            assert!(matches!(first, Err(Errno::ENOSYS | Errno::EPERM)));
        }
    });
}

#[test]
fn keys_that_nobody_can_reach_need_no_new_keyring() {
    alone(|| {
        forbid(libc::SYS_keyctl);
        assert_eq!(new_session_keyring(), Ok(()));
    });
}

#[test]
fn a_keyring_that_is_refused_where_there_are_keys_is_an_error() {
    const JOIN: i32 = 1;
    alone(|| {
        // As the kernel answers to what is no operation.
        forbid_with(libc::SYS_keyctl, JOIN, Some(Errno::EOPNOTSUPP));
        assert_eq!(new_session_keyring(), Err(Errno::EPERM));
    });
}

#[test]
fn the_way_back_leads_back() {
    apart(&[], || {
        alone(|| {
            let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
            let before: Vec<u64> = ["mnt", "ipc", "uts"].map(inode).into();
            // An application that has closed its standard input may open another in its place.
            nix::unistd::close(0).unwrap();
            let Home(home) = join::home(kinds).unwrap();
            assert_eq!(home.len(), 3);
            assert!(!fs::exists("/proc/self/fd/0").unwrap());
            nix::sched::unshare(nix::sched::CloneFlags::from_bits_truncate(kinds)).unwrap();
            for (name, before) in ["mnt", "ipc", "uts"].iter().zip(&before) {
                assert_ne!(inode(name), *before, "{name}");
            }
            for (kind, fd) in home {
                let fd = fd.get().unwrap();
                join::setns(&fd, kind).unwrap();
                assert!(closes_on_exec(&fd));
            }
            assert_eq!(["mnt", "ipc", "uts"].map(inode).to_vec(), before);
        });
    });
}

#[test]
fn what_is_no_namespace_is_not_joined() {
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    assert_eq!(join::setns(&file, libc::CLONE_NEWIPC), Err(Errno::EINVAL));
}

fn closes_on_exec(fd: &OwnedFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    flags & libc::FD_CLOEXEC != 0
}
