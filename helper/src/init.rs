//! The init of a berth: PID 1 of the login's namespaces.
//!
//! It makes the namespaces, mounts what belongs in them, takes on a user namespace, gives up
//! everything, and from then on only reaps orphans. Whoever gains privilege inside can reach it, so it
//! holds nothing: no capability, no descriptor, no UID that is mapped.
//!
//! The order is the point (each was seen to fail otherwise):
//! 1. all namespaces but the user namespace, by clone, so that the host's user namespace owns them: made
//!    inside the new user namespace, root in there could remount them and set up the network, and a
//!    container with a masked /proc would not let a fresh one be mounted;
//! 2. the mounts and the loopback interface, with the host's privilege;
//! 3. the owner's UID, then the user namespace, so that it and all that is counted in it is the
//!    owner's;
//! 4. no nested user namespaces, by the new namespace's own limit;
//! 5. no privilege;
//! 6. once that is done and told, no system call but the few that reaping takes.
//!
//! The keeper writes the maps from outside, when it is told: nothing that the init does needs them, and to wait for
//! them in between would cost the login two wake-ups more.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use berth_config::outcome::UserNamespace;
use berth_protocol::{INIT, install_filter, namespace};
use berth_session::filter::{self, Others};
use berth_session::{NamespaceIds, Role, UserFolder};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Error, Result, file, system};
use crate::sys::{self, Cloned};
use crate::{mounts, privilege};

/// What an init is made from.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The namespaces and their mounts.
    pub mounts: mounts::Plan<'a>,
    /// The UID that owns the user namespace, and the UID of the init.
    pub owner: u32,
    /// The maps of the user namespace; `None` without one.
    pub maps: Option<&'a Maps>,
    /// Whether user namespaces may be made inside.
    pub nested_userns: bool,
    /// Resource limits that a user namespace takes from whoever makes it, as ceilings for all that
    /// happens inside (struct user_namespace, rlimit_max): the login's own, so that the policy's
    /// values can be reached.
    pub rlimits: Vec<(u32, libc::rlimit)>,
}

/// The maps of a user namespace, as /proc takes them.
#[derive(Debug)]
pub struct Maps {
    /// For uid_map.
    pub uids: String,
    /// For gid_map.
    pub gids: String,
}

/// A running init, seen from outside. Killed, with all that is in its PID namespace, when dropped.
#[derive(Debug)]
pub struct Init {
    pid: Pid,
    pidfd: OwnedFd,
    pipe: UnixStream,
}

/// What the init says when it has given up everything.
const READY: u8 = b'r';

/// The same, but the private /tmp is not what the policy asks for; behind it, why.
const LESS: u8 = b'l';

/// What it says of any other failure; behind it, which.
const FAILED: u8 = b'e';

/// The system calls of an init that is ready: what `reap` does, and the end. Freeing memory may give some of it back.
const NEEDED: [libc::c_long; 9] = [
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_wait4,
    libc::SYS_exit_group,
    libc::SYS_exit,
    libc::SYS_brk,
    libc::SYS_munmap,
];

impl Plan<'_> {
    /// The `CLONE_NEW*` flags of all the namespaces.
    pub fn flags(&self) -> i32 {
        let user = match self.mounts.namespaces.user {
            UserNamespace::Off => 0,
            UserNamespace::Identity | UserNamespace::Minimal => libc::CLONE_NEWUSER,
        };
        self.first_flags() | user
    }

    /// Those that the host's user namespace owns.
    fn first_flags(&self) -> i32 {
        let namespaces = self.mounts.namespaces;
        [
            (namespaces.pid, libc::CLONE_NEWPID),
            (namespaces.ipc, libc::CLONE_NEWIPC),
            (namespaces.mount, libc::CLONE_NEWNS),
            (namespaces.uts, libc::CLONE_NEWUTS),
            (namespaces.net, libc::CLONE_NEWNET),
        ]
        .into_iter()
        .filter_map(|(wanted, flag)| wanted.then_some(flag))
        .fold(0, |all, flag| all | flag)
    }

    /// Starts the init. It mounts while the caller does other things; [`Init::finish`] waits for it. `locked` is what
    /// the caller holds the lock of.
    pub fn start(&self, locked: Option<&UserFolder>) -> Result<Init> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| Error::Init(error.to_string()))?;
        match sys::clone(self.first_flags(), None).map_err(Error::Namespaces)? {
            Cloned::Parent { child, pidfd } => Ok(Init {
                pid: child,
                pidfd,
                pipe: ours,
            }),
            Cloned::Child => {
                drop(ours);
                let mut pipe = theirs;
                // Before all else: where a disk hangs, what follows may be where not even SIGKILL ends it.
                let left = locked.map_or(Ok(()), UserFolder::leave_to_the_parent);
                let set_up = left.map_err(Error::from).and_then(|()| self.set_up());
                // Nothing that could lead out of the berth stays open. Before READY: who dies after it takes the login along.
                let set_up = set_up.and_then(|less| {
                    sys::close_all_but(pipe.as_fd()).map_err(system("close all descriptors"))?;
                    Ok(less)
                });
                let (kind, why) = match set_up {
                    Ok(None) => (READY, String::new()),
                    Ok(Some(less)) => (LESS, less),
                    Err(error) => (FAILED, error.to_string()),
                };
                let told = pipe.write_all(&[&[kind], why.as_bytes()].concat());
                if kind == FAILED || told.is_err() {
                    sys::exit(1); // If it could not be told, the keeper is gone.
                }
                drop(pipe);
                // Not before READY, since the login waits for that and the kernel takes a while. It fails where the kernel has
                // no filters, and where the application's own forbids this one, as it then forbids the module's, which is an
                // error. The init holds nothing all the same.
                let _ = install_filter(&filter::only(&NEEDED, Others::End));
                reap()
            }
        }
    }

    /// Gives back what the private /tmp lacks.
    fn set_up(&self) -> Result<Option<String>> {
        // By this name the module knows that a login is inside of a berth (nested.rs).
        prctl::set_name(INIT).map_err(system("name the init"))?;
        end_with_the_keeper()?;
        // A session of its own: no terminal's signals. Fails only for a group leader, which a new
        // child is not.
        nix::unistd::setsid().map_err(system("start a session"))?;
        nix::unistd::chdir("/").map_err(system("change to /"))?;
        let less = match self.mounts.namespaces.mount {
            true => self.mounts.carry_out()?,
            false => None,
        };
        if self.mounts.namespaces.net {
            sys::loopback_up().map_err(system("bring up the berth's loopback interface"))?;
        }
        for (resource, rlimit) in &self.rlimits {
            // Where the right to raise them is missing (a container without CAP_SYS_RESOURCE), the
            // module fails at the same, and says so.
            let _ = sys::prlimit(Pid::from_raw(0), *resource, Some(*rlimit));
        }
        privilege::become_owner(self.owner, self.mounts.uid)?;
        end_with_the_keeper()?;
        if self.maps.is_some() {
            unshare(CloneFlags::CLONE_NEWUSER).map_err(Error::UserNamespace)?;
            if !self.nested_userns {
                // The limit is the new namespace's own, and counts for all who are in it.
                let path = Path::new("/proc/sys/user/max_user_namespaces");
                fs::write(path, "0").map_err(file("forbid nested user namespaces in", path))?;
            }
        }
        privilege::none()?;
        // If the keeper died before this line, the write of READY fails.
        end_with_the_keeper()?;
        Ok(less)
    }
}

/// With its keeper the init ends, and with it everything in the berth: no login goes on that nobody would
/// clean up after. To be said again after each change of credentials, which clears it.
fn end_with_the_keeper() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("set the parent-death signal"))
}

/// An init's whole further life.
fn reap() -> ! {
    let mut child = SigSet::empty();
    child.add(Signal::SIGCHLD);
    // Blocked, so that one that comes between the look and the wait is not lost.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    loop {
        while match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) => status != WaitStatus::StillAlive,
            // It is reaped, and a real-time signal has ended it, which nix does not know.
            Err(errno) => errno == Errno::EINVAL,
        } {}
        sys::wait_for(&child);
    }
}

impl Init {
    /// Waits until the init has given up everything, and writes the maps. Returns which process it is, seen from the
    /// host, what it has made, and what its private /tmp lacks.
    pub fn finish(&mut self, plan: &Plan<'_>) -> Result<(Role, NamespaceIds, Option<String>)> {
        // While it mounts. Where it has failed already, it has told why.
        let role = Role::of(self.pid.as_raw());
        let first = plan.first_flags();
        let mut namespaces = NamespaceIds {
            pid: self.inode(first & libc::CLONE_NEWPID, "pid"),
            ipc: self.inode(first & libc::CLONE_NEWIPC, "ipc"),
            mount: self.inode(first & libc::CLONE_NEWNS, "mnt"),
            user: None,
            uts: self.inode(first & libc::CLONE_NEWUTS, "uts"),
            net: self.inode(first & libc::CLONE_NEWNET, "net"),
        };
        let mut told = [0];
        match self.pipe.read(&mut told) {
            Ok(0) => return Err(Error::Init("died while it was set up".into())),
            Ok(_) => {}
            Err(error) => return Err(Error::Init(error.to_string())),
        }
        let mut less = None;
        if told != [READY] {
            let mut why = Vec::new();
            let _ = self.pipe.read_to_end(&mut why); // what came is what there is to tell
            let why = String::from_utf8_lossy(&why);
            if told != [LESS] {
                return Err(Error::Init(format!("failed: {why}")));
            }
            less = Some(why.into());
        }
        if let Some(maps) = plan.maps {
            namespaces.user = self.inode(libc::CLONE_NEWUSER, "user");
            self.write_map("uid_map", &maps.uids)?;
            self.write_map("gid_map", &maps.gids)?;
        }
        let role = role.ok_or(Error::Init("ended at once".into()))?;
        Ok((role, namespaces, less))
    }

    /// The inode number of its namespace of a kind, where that is one that it has made.
    fn inode(&self, made: i32, name: &str) -> Option<u64> {
        let process = format!("/proc/{}", self.pid);
        (made != 0).then(|| namespace(Path::new(&process), name))?
    }

    fn write_map(&self, name: &str, map: &str) -> Result<()> {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::write(&path, map).map_err(file("write", &path))
    }

    /// Its descriptor: setns(2) takes all its namespaces from it.
    pub fn pidfd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Ends it, and with it everything in its PID namespace. Does not wait: see below. Says whether it will be gone.
    pub fn kill(&self) -> bool {
        let killed = sys::pidfd_kill(self.pidfd.as_fd(), Signal::SIGKILL);
        matches!(killed, Ok(()) | Err(Errno::ESRCH))
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.kill() {
            return; // it ends with this process, which must not wait for it then
        }
        // The kernel lets it go once everything in its PID namespace has been reaped. That may take
        // seconds: sshd's child is in there, its parent is outside, and when that has ended too it is
        // the machine's PID 1 that must reap it, which some containers' do only now and then. So
        // whatever others wait for is done before this.
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use berth_config::outcome::Namespaces;

    use super::*;

    #[test]
    fn one_that_cannot_be_killed_is_not_waited_for() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let init = Init {
            pid: Pid::from_raw(child.id() as i32),
            // Nothing that a signal can be sent by.
            pidfd: fs::File::open("/dev/null").unwrap().into(),
            pipe: UnixStream::pair().unwrap().0,
        };
        drop(init);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    #[expect(clippy::zombie_processes)] // the drop of an Init waits for it
    fn an_init_that_has_failed_before_anybody_looks_has_told_why() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[FAILED]).unwrap();
        theirs.write_all(b"cannot mount").unwrap();
        drop(theirs);
        let child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        while Role::of(pid.as_raw()).is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut init = Init {
            pid,
            pidfd: sys::pidfd_open(pid).unwrap(),
            pipe: ours,
        };
        let namespaces = Namespaces::none();
        let plan = Plan {
            mounts: mounts::Plan {
                namespaces: &namespaces,
                id: "1".parse().unwrap(),
                uid: 1001,
                gid: 1001,
            },
            owner: 1,
            maps: None,
            nested_userns: true,
            rlimits: Vec::new(),
        };
        let error = init.finish(&plan).unwrap_err().to_string();
        assert!(error.ends_with("failed: cannot mount"), "{error}");
    }
}
