//! Freezing and thawing: all that runs in a cgroup stops, and goes on where it was (admin-guide/cgroup-v2,
//! cgroup.freeze). Whether something is frozen is the kernel's to know: Berth keeps no state of it.

use std::time::{Duration, Instant};

use crate::{Backend, Error, Group, Result, Tree, systemd};

/// How long the kernel may take to stop the last process. Only one that waits for a device or a network file system
/// takes longer than moments.
const FREEZING: Duration = Duration::from_secs(10);

/// How long systemd may take to stop or to thaw what is frozen and empty.
const LETTING_GO: Duration = Duration::from_secs(2);

impl Tree {
    /// Stops all that runs in these cgroups, and waits until the kernel says so. All are told before one is waited for, and
    /// have the same time: one that cannot stop holds up no other. On a failure some of it may be stopped; what is started
    /// in there is stopped, too. What is gone is no failure.
    pub fn freeze(&self, groups: &[Group]) -> Vec<Error> {
        let deadline = Instant::now() + FREEZING;
        let told = match self.backend() {
            Backend::Cgroupfs => groups
                .iter()
                .map(|group| group.write("cgroup.freeze", "1"))
                .collect(),
            Backend::Systemd => match systemd::Bus::connect_until(deadline) {
                Ok(mut bus) => bus.freeze(groups.iter().map(Group::name)),
                Err(error) => return vec![error],
            },
        };
        let told = groups.iter().zip(told);
        let stopped = told.map(|(group, told)| (group, stopped(group, told, deadline)));
        stopped.filter_map(but_gone).collect()
    }

    /// Lets all go on that runs in these cgroups, unless one above is frozen. What is gone is no failure.
    pub fn thaw_all(&self, groups: &[Group]) -> Vec<Error> {
        // systemd would thaw the slices above, too (252), or refuses (257).
        let may_go_on = |group: &&Group| {
            self.backend() == Backend::Cgroupfs
                || group
                    .parent()
                    .is_none_or(|above| self.frozen(&above).is_none())
        };
        let thawed = groups.iter().filter(may_go_on);
        let thawed = thawed.map(|group| (group, self.thaw(group)));
        thawed.filter_map(but_gone).collect()
    }

    /// Lets all go on that runs in a cgroup, unless one above is frozen.
    pub fn thaw(&self, group: &Group) -> Result<()> {
        match self.backend() {
            Backend::Cgroupfs => group.write("cgroup.freeze", "0"),
            Backend::Systemd => systemd::Bus::connect()?.thaw(group.name()),
        }
    }

    /// The one from Berth's topmost cgroup down to this one that somebody has frozen, if there is any.
    pub fn frozen(&self, group: &Group) -> Option<Group> {
        let line = self.line_to(group).into_iter();
        line.rev().find(Group::is_told_to_freeze)
    }
}

/// Thaws what a user was frozen in, when nobody of theirs is logged in any more: systemd stops no frozen unit, and tries
/// again and again (seen with systemd 257).
pub(crate) fn let_go(tree: &Tree, uid: u32) -> Result<()> {
    let mut groups = vec![tree.user_in(None, uid)];
    groups.extend(tree.existing_user(uid)?);
    let pool = groups.iter().find_map(|group| tree.pool_of(group));
    // The pool's other users stay frozen.
    let pool = pool
        .map(|pool| tree.pool(&pool))
        .filter(|pool| !pool.is_populated());
    for group in groups.iter().chain(&pool) {
        let until = Instant::now() + LETTING_GO;
        while group.is_told_to_freeze() {
            match tree.thaw(group) {
                // It is being stopped, which thaws it where systemd stops what is frozen (252). And who says that it is thawed
                // is not asked again at once, nor for ever.
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                thawed => {
                    thawed?;
                    break;
                }
            }
        }
    }
    Ok(())
}

impl Group {
    /// Whether somebody has frozen this very cgroup.
    fn is_told_to_freeze(&self) -> bool {
        self.number("cgroup.freeze") == Some(1)
    }

    /// Whether all that is in it is stopped, by whichever cgroup above, too.
    pub fn is_frozen(&self) -> bool {
        self.keyed("cgroup.events", "frozen") == Some(1)
    }
}

/// A failure, unless the cgroup has ended meanwhile.
fn but_gone((group, done): (&Group, Result<()>)) -> Option<Error> {
    done.err().filter(|_| group.exists())
}

/// Waits for what was told to stop.
fn stopped(group: &Group, told: Result<()>, deadline: Instant) -> Result<()> {
    match told {
        // systemd answers when all stands. What does not is the kernel's to say, once that is told.
        Err(error) if !group.is_told_to_freeze() => Err(error),
        _ => wait(group, deadline),
    }
}

fn wait(group: &Group, deadline: Instant) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match group.says_or_wait("frozen", 1, left) {
            Ok(true) => return Ok(()),
            Ok(false) if left.is_zero() => {
                return Err(Error::Unfreezable {
                    path: group.path().into(),
                });
            }
            Ok(false) => {}
            Err(error) => {
                let path = group.path().join("cgroup.events");
                return Err(Error::file("read", &path, error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::own_folder::Folder;

    /// A cgroup of files, below a tree of its own.
    fn group(tree: &Tree, name: &str, events: &str) -> Group {
        let group = tree.root().child(name);
        fs::create_dir_all(group.path()).unwrap();
        for (file, text) in [("cgroup.freeze", "0\n"), ("cgroup.events", events)] {
            fs::write(group.path().join(file), text).unwrap();
        }
        group
    }

    fn tree(root: &Folder) -> Tree {
        Tree::at(root.to_path_buf(), Backend::Cgroupfs)
    }

    #[test]
    fn what_does_not_stop_holds_up_nothing_else() {
        let root = Folder::new();
        let tree = tree(&root);
        let [stuck, other] = ["stuck", "other"].map(|name| group(&tree, name, "frozen 1\n"));
        let events = stuck.path().join("cgroup.events");
        fs::remove_file(&events).unwrap();
        // Who looks at it waits until there is something to read.
        nix::unistd::mkfifo(&events, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let groups = [stuck, other.clone(), tree.root().child("gone")];
        let both = tree.clone();
        let freezing = std::thread::spawn(move || both.freeze(&groups));
        for _ in 0..1000 {
            if other.is_told_to_freeze() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(other.is_told_to_freeze());
        fs::write(&events, "frozen 1\n").unwrap();
        let failed = freezing.join().unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn a_systemd_that_waits_for_what_does_not_stop_is_not_to_blame() {
        let root = Folder::new();
        let tree = tree(&root);
        let group = group(&tree, "stuck", "frozen 0\n");
        let late = || {
            Err(Error::Systemd {
                what: "wait for it".into(),
                reason: "it does not answer".into(),
            })
        };
        let said = stopped(&group, late(), Instant::now());
        assert!(matches!(said, Err(Error::Systemd { .. })), "{said:?}");
        group.write("cgroup.freeze", "1").unwrap();
        let said = stopped(&group, late(), Instant::now());
        assert!(matches!(said, Err(Error::Unfreezable { .. })), "{said:?}");
        group.write("cgroup.events", "frozen 1").unwrap();
        stopped(&group, late(), Instant::now()).unwrap();
    }

    #[test]
    fn systemd_is_not_asked_to_thaw_what_is_below_what_is_frozen() {
        let root = Folder::new();
        let tree = Tree::at(root.to_path_buf(), Backend::Systemd);
        let slice = group(&tree, "user.slice", "frozen 1\n");
        let scope = group(&tree, "user.slice/berth-no-such.scope", "frozen 1\n");
        assert_eq!(tree.thaw_all(std::slice::from_ref(&scope)).len(), 1);
        slice.write("cgroup.freeze", "1").unwrap();
        assert!(tree.thaw_all(&[scope]).is_empty());
    }

    /// The lock on the user's folder is held meanwhile.
    #[test]
    fn what_stays_frozen_although_it_is_said_to_be_thawed_is_not_waited_for_for_ever() {
        let root = Folder::new();
        let tree = tree(&root);
        let user = tree.user_in(None, 1001);
        fs::create_dir_all(user.path()).unwrap();
        let freeze = user.path().join("cgroup.freeze");
        // Of this, "0" in the place of its first byte makes no other number.
        fs::write(&freeze, "01\n").unwrap();
        let_go(&tree, 1001).unwrap();
        assert_eq!(fs::read_to_string(&freeze).unwrap(), "01\n");
        fs::write(&freeze, "1\n").unwrap();
        let_go(&tree, 1001).unwrap();
        assert_eq!(fs::read_to_string(&freeze).unwrap(), "0\n");
    }
}
