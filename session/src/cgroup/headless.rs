//! Ending processes whose first thread has ended while others go on. `cgroup.kill` signals the first thread of each process,
//! and one that is dead takes no signal (seen with Linux 6.18); and once such a process has been moved to another cgroup, that
//! one's `cgroup.procs` does not list it. What it starts is as good at that, so all stands still while they are ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{Backend, Group, Role, Tree, pidfd_kill, pidfd_open, status_of};

/// How long it is tried. Only a thread that waits for a device takes longer than moments.
const KILLING: Duration = Duration::from_secs(10);

/// What `cgroup.kill` ends is gone by then, a thousand processes too.
const DYING: Duration = Duration::from_millis(250);

/// Ends all of them in these cgroups and below, after a `cgroup.kill` of each. Whoever asks for that looks at what is left.
/// It is tried no longer than until then, if somebody waits.
pub fn kill(tree: &Tree, groups: &[Group], until: Option<Instant>) {
    let begun = Instant::now();
    let end = begun + KILLING;
    let end = until.map_or(end, |until| until.min(end));
    while groups.iter().any(Group::is_populated) && begun.elapsed() < DYING {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut left: Vec<Standing> = groups.iter().map(Standing::new).collect();
    loop {
        left.retain_mut(|one| one.kill(tree));
        if left.is_empty() || Instant::now() > end {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A cgroup that stands still while they are ended.
struct Standing<'a> {
    group: &'a Group,
    frozen: bool,
}

impl Standing<'_> {
    fn new(group: &Group) -> Standing<'_> {
        Standing {
            group,
            frozen: false,
        }
    }

    /// Ends those that are in it now; says whether there were any.
    fn kill(&mut self, tree: &Tree) -> bool {
        let group = self.group;
        if !group.is_populated() {
            return false;
        }
        let found = find(tree, group);
        if found.is_empty() {
            return false;
        }
        // systemd's units are its own to freeze.
        if !self.frozen && tree.backend() == Backend::Cgroupfs {
            self.frozen = group.write("cgroup.freeze", "1").is_ok();
        }
        for process in found {
            let _ = pidfd_kill(process.as_fd(), Signal::SIGKILL); // it may end meanwhile
        }
        // What it has started may have a first thread again.
        let _ = group.write("cgroup.kill", "1");
        true
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if self.frozen {
            let _ = self.group.write("cgroup.freeze", "0"); // it may be gone
        }
    }
}

fn find(tree: &Tree, top: &Group) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    let mut groups = vec![top.clone()];
    while let Some(group) = groups.pop() {
        let threads = group.read("cgroup.threads").unwrap_or_default();
        let threads = threads.lines().filter_map(|line| line.parse().ok());
        found.extend(threads.filter_map(|thread| process_of(tree, &group, thread)));
        groups.extend(group.children());
    }
    found
}

/// The process of a thread of this cgroup, if its first thread has ended.
fn process_of(tree: &Tree, group: &Group, thread: i32) -> Option<OwnedFd> {
    let first = first_of(thread).filter(|first| *first != thread && Role::of(*first).is_none())?;
    let process = pidfd_open(Pid::from_raw(first)).ok()?;
    // The numbers may be another's by now; the descriptor, once looked at, cannot.
    let is_it = tree.is_in(thread, group) && first_of(thread) == Some(first);
    is_it.then_some(process)
}

fn first_of(thread: i32) -> Option<i32> {
    status_of(thread, "Tgid").ok()??.parse().ok()
}
