//! Making a test's machine: its namespaces, its root directory, and the process that ends it.
//!
//! This runs in the program `login-machine`, which has one thread, before the test itself starts.

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, fork, pivot_root, setsid};

use crate::Cgroups;
use crate::slot::{Slot, UIDS};

/// Where the test's own programs, and the product's, stand on a test's machine.
pub const PROGRAMS: &str = "/berth";

/// What of the host's /etc a test's machine has.
const ETC: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "default",
    "environment",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "login.defs",
    "nsswitch.conf",
    "pam.d",
    "passwd",
    "profile",
    "protocols",
    "security",
    "services",
    "shadow",
    "shells",
    "ssh",
    "ssl",
];

/// Runs a program on a machine of its own, and gives back its exit status.
///
/// `programs` are copied to [`PROGRAMS`]; the program itself is the first of them.
pub fn run(programs: &[PathBuf], arguments: &[OsString]) -> io::Result<i32> {
    refuse_beside_berth()?;
    let slot = Slot::take()?;
    let uids = slot.first_uid()..slot.first_uid() + UIDS;
    let cgroups = Cgroups::find();
    if let Some(cgroups) = &cgroups {
        cgroups.clear(uids.clone());
    }
    let disk = PathBuf::from(format!("/var/tmp/berth-tests/{}", slot.first_uid()));
    // What a killed test left on the disk.
    let _ = fs::remove_dir_all(&disk);
    fs::create_dir_all(&disk)?;

    end_with_parent();
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    make_root(programs, &disk)?;
    // Last, because the first child from here on is the machine's PID 1.
    unshare(CloneFlags::CLONE_NEWPID)?;

    // SAFETY: this program has one thread.
    let status = match unsafe { fork() }? {
        ForkResult::Child => {
            let code =
                first_process(slot.first_uid(), programs, arguments).unwrap_or_else(|error| {
                    eprintln!("login-machine: {error}");
                    125
                });
            std::process::exit(code);
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            _ => 125,
        },
    };
    // Every process of the machine is dead by now, keepers too: this is not the product's clean-up, which tests look at
    // themselves.
    if let Some(cgroups) = &cgroups {
        cgroups.clear(uids);
    }
    Ok(status)
}

/// A test's machine has the real one's cgroup tree. Where real logins lead into berths, what a test sets for everybody in it
/// would be theirs, too.
fn refuse_beside_berth() -> io::Result<()> {
    // A guest that is made for tests alone has none.
    for service in fs::read_dir("/etc/pam.d").into_iter().flatten().flatten() {
        let text = fs::read(service.path()).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains("pam_berth") {
            let name = service.path();
            let why = "is of real logins with Berth: tests run on a machine without it";
            return Err(io::Error::other(format!("{} {why}", name.display())));
        }
    }
    Ok(())
}

/// The machine's PID 1: starts the test, and reaps what is left to it, until the test ends.
fn first_process(first_uid: u32, programs: &[PathBuf], arguments: &[OsString]) -> io::Result<i32> {
    end_with_parent();
    setsid()?;
    let none = None::<&str>;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
    mount(
        Some("mqueue"),
        "/dev/mqueue",
        Some("mqueue"),
        MsFlags::empty(),
        none,
    )?;
    // As on a machine that systemd booted: a berth whose mounts leak is seen to leak.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none)?;

    let name = programs.first().and_then(|path| path.file_name());
    let program = Path::new(PROGRAMS).join(name.unwrap_or_default());
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env(
            "RUST_BACKTRACE",
            std::env::var_os("RUST_BACKTRACE").unwrap_or_default(),
        )
        .env("BERTH_FIRST_UID", first_uid.to_string())
        .spawn()?;
    let test = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == test => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == test => {
                return Ok(128 + signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A killed test must not leave its machine behind.
fn end_with_parent() {
    // A failure means only that a killed test is cleaned up later, by the next one in its slot.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

fn make_root(programs: &[PathBuf], disk: &Path) -> io::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let root = PathBuf::from("/run/lock/berth-tests/root");
    fs::create_dir_all(&root)?;
    mount(
        Some("root"),
        &root,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )?;

    for entry in fs::read_dir("/")?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let system = ["usr", "bin", "sbin", "sys"].contains(&&*name) || name.starts_with("lib");
        if !system {
            continue;
        }
        let here = root.join(&*name);
        if let Ok(target) = fs::read_link(entry.path()) {
            symlink(target, here)?;
        } else {
            fs::create_dir(&here)?;
            let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(Some(&entry.path()), &here, none, bind, none)?;
        }
    }
    for (path, mode) in [
        ("berth", 0o755),
        ("disk", 0o1777),
        ("etc", 0o755),
        ("home", 0o755),
        ("mnt", 0o755),
        ("old", 0o700),
        ("opt", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("run/lock", 0o1777),
        ("run/sshd", 0o755),
        ("srv", 0o755),
        ("tmp", 0o1777),
        ("var/lib", 0o755),
        ("var/log", 0o755),
        ("var/mail", 0o755),
        ("var/spool/cron", 0o755),
        ("var/tmp", 0o1777),
        ("dev/mqueue", 0o1777),
        ("dev/pts", 0o755),
        ("dev/shm", 0o1777),
    ] {
        fs::create_dir_all(root.join(path))?;
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode))?;
    }
    symlink("/run", root.join("var/run"))?;
    mount(
        Some("tmp"),
        &root.join("tmp"),
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=1777"),
    )?;
    mount(Some(disk), &root.join("disk"), none, MsFlags::MS_BIND, none)?;
    fs::set_permissions(root.join("disk"), fs::Permissions::from_mode(0o1777))?;
    copy_etc(&root)?;
    make_devices(&root)?;
    for program in programs {
        let name = program
            .file_name()
            .ok_or_else(|| io::Error::other("not a file"))?;
        let here = root.join("berth").join(name);
        fs::copy(program, &here).map_err(|error| {
            io::Error::other(format!("{}: {error} (built?)", program.display()))
        })?;
        fs::set_permissions(&here, fs::Permissions::from_mode(0o755))?;
    }

    pivot_root(&root, &root.join("old"))?;
    chdir("/")?;
    umount2("/old", MntFlags::MNT_DETACH)?;
    fs::remove_dir("/old")
}

fn copy_etc(root: &Path) -> io::Result<()> {
    let present = ETC.iter().map(|name| Path::new("/etc").join(name));
    let status = Command::new("cp")
        .arg("-a")
        .args(present.filter(|path| path.exists()))
        .arg(root.join("etc"))
        .status()?;
    if status.success() {
        without_people(&root.join("etc"))
    } else {
        Err(io::Error::other("cp of /etc failed"))
    }
}

/// Leaves the system's own accounts and groups, without members: one of the host's people may be called alice
/// as well, or may use sudo.
fn without_people(etc: &Path) -> io::Result<()> {
    let (passwd, shadow, group) = (etc.join("passwd"), etc.join("shadow"), etc.join("group"));
    let systems = |line: &&str| {
        let id = line.split(':').nth(2).and_then(|id| id.parse().ok());
        matches!(id, Some(0..=999 | 65534u32))
    };
    let (accounts, groups) = (fs::read_to_string(&passwd)?, fs::read_to_string(&group)?);
    let write = |file, lines: Vec<String>| fs::write(file, lines.join("\n") + "\n");
    let accounts = accounts.lines().filter(systems);
    let secrets = accounts.clone().filter_map(|line| {
        let name = line.split(':').next();
        name.map(|name| format!("{name}:*:19000:0:99999:7:::"))
    });
    let groups = groups.lines().filter(systems);
    let memberless = groups.filter_map(|line| line.rsplit_once(':'));
    write(shadow, secrets.collect())?;
    write(passwd, accounts.map(String::from).collect())?;
    write(
        group,
        memberless.map(|(group, _)| format!("{group}:")).collect(),
    )
}

fn make_devices(root: &Path) -> io::Result<()> {
    let device = |name: &str, major, minor| -> io::Result<()> {
        let path = root.join("dev").join(name);
        let all = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, all, makedev(major, minor))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
    };
    device("null", 1, 3)?;
    device("zero", 1, 5)?;
    device("full", 1, 7)?;
    device("random", 1, 8)?;
    device("urandom", 1, 9)?;
    device("tty", 5, 0)?;
    symlink("pts/ptmx", root.join("dev/ptmx"))?;
    symlink("/proc/self/fd", root.join("dev/fd"))?;
    let options = Some("newinstance,ptmxmode=0666,mode=620,gid=5");
    let (none, pts) = (MsFlags::empty(), root.join("dev/pts"));
    mount(Some("devpts"), &pts, Some("devpts"), none, options)?;
    let shm = root.join("dev/shm");
    mount(Some("shm"), &shm, Some("tmpfs"), none, Some("mode=1777"))?;
    Ok(())
}

/// A new network namespace has a loopback device that is down.
fn loopback_up() -> io::Result<()> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    Errno::result(socket)?;
    // SAFETY: a structure of integers and bytes, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = CString::new("lo").map_err(io::Error::other)?;
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the structure, which outlives the call.
    let result = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &request) };
    Errno::result(result)?;
    // SAFETY: the socket is ours and is not used again.
    unsafe { libc::close(socket) };
    Ok(())
}

/// Replaces this process with a program, for tests of what is inherited.
pub fn exec(program: &str, arguments: &[&str]) -> io::Error {
    Command::new(program).args(arguments).exec()
}
