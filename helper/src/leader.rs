//! The leader of a session: the application process that called `pam_open_session`.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use berth_session::{Backend, Group, Line, Record, Role, SessionId, Tree, kernel_text, status_of};
use nix::errno::Errno;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::cgroupfs::ASIDE;
use crate::error::{Error, Result, file, system};
use crate::systemd::scope;
use crate::{strangers, sys};

/// The application, as the kernel named it (`SO_PEERCRED`), and where it came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leader {
    role: Role,
    origin: Option<Group>,
    /// Its oom_score_adj, where the session lowers the protection from the OOM killer that it is.
    oom_protection: Option<String>,
}

impl Leader {
    /// Looks at the process, before anything is changed; and whether its oom_score_adj is one that the session lowers.
    pub fn of(pid: Pid, tree: Option<&Tree>, is_lowered: impl Fn(&str) -> bool) -> Result<Leader> {
        let role = Role::of(pid.as_raw()).ok_or_else(|| ended(pid.as_raw()))?;
        let score = oom_score_adj(role);
        let score = kernel_text(&score).map_err(file("read", &score))?;
        let score = score.trim();
        let origin = tree.map(|tree| tree.of_process(pid.as_raw())).transpose()?;
        Ok(Leader {
            role,
            origin: origin.flatten(),
            oom_protection: is_lowered(score).then(|| score.into()),
        })
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// The program it runs, for the audit log. Empty if it has ended.
    pub fn executable(&self) -> String {
        fs::read_link(format!("/proc/{}/exe", self.role.pid))
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    }

    /// How far it may raise a resource limit.
    pub fn hard_limit(&self, resource: u32) -> nix::Result<u64> {
        let limit = sys::prlimit(Pid::from_raw(self.role.pid), resource, None)?;
        Ok(limit.rlim_max)
    }

    /// The groups it has now: pam_group may have added some that no database knows.
    pub fn groups(&self) -> Vec<u32> {
        let groups = status_of(self.role.pid, "Groups").ok().flatten();
        groups
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|gid| gid.parse().ok())
            .collect()
    }

    /// Moves it into its session's cgroup: the one move of a login.
    pub fn move_to(&self, group: &Group) -> Result<()> {
        self.check()?;
        Ok(group.write("cgroup.procs", &self.role.pid.to_string())?)
    }

    /// Fails if it has ended: its PID may be somebody else's by now.
    pub fn check(&self) -> Result<()> {
        match self.is_there()? {
            true => Ok(()),
            false => Err(ended(self.role.pid)),
        }
    }

    /// Whether it is known to have ended.
    fn has_ended(&self) -> bool {
        patiently(|| self.is_there()).is_ok_and(|is_there| !is_there)
    }

    fn is_there(&self) -> Result<bool> {
        let is_there = self.role.is_there();
        is_there.map_err(file("look at", format!("/proc/{}", self.role.pid)))
    }

    /// Whether it is there as root's application still, and not the user's program in its place.
    pub fn is_roots(&self) -> Result<bool> {
        let is_roots = || {
            let uids = uids(self.role.pid)?;
            Ok(self.role.is_there()? && uids.is_some_and(|[_, effective]| effective == 0))
        };
        is_roots().map_err(file("look at", format!("/proc/{}", self.role.pid)))
    }

    /// Whether it is not an ordinary user who has started it (su), and who can stop it, too.
    pub fn was_started_by_root(&self) -> bool {
        matches!(uids(self.role.pid), Ok(Some([0, _])))
    }

    /// Takes it out of a session that has failed, and may go on without a berth.
    pub fn leave(&self, tree: Option<&Tree>, uid: u32, id: SessionId) {
        self.raise_oom_protection();
        let Some(tree) = tree else { return };
        let groups = match tree.backend() {
            Backend::Cgroupfs => {
                let from = tree.session(uid, id).unwrap_or_default(); // it stays where it is, and ends with it
                self.go_back(Some(tree), &from);
                from
            }
            // It stays in its user's slice, in a unit that ends by itself.
            Backend::Systemd => {
                // Without a record there is nothing that could be killed by mistake.
                if let Err(error) = Record::leave_cgroup_alone(id) {
                    let line = Line::new("leader").field("session", id);
                    line.field("error", error).error();
                }
                let user = tree.user(uid).ok();
                user.map(|user| user.child(&scope(id)))
                    .into_iter()
                    .collect()
            }
        };
        if self.has_ended() {
            strangers::let_go(tree, &groups);
        }
    }

    /// Moves it back, if it is still there and in one of these cgroups: by now it may have opened
    /// another session. Where its old cgroup is gone, the root is better than one that is about to be
    /// killed; but not for one that an ordinary user has started (su), who may have seen to it that it is gone: what
    /// it runs would be under no caps.
    pub fn go_back(&self, tree: Option<&Tree>, from: &[Group]) {
        let Some(tree) = tree else { return };
        // Never the user's program: that stays under its caps, wherever its parent's session is.
        let is_there = patiently(|| {
            let here = tree.of_process(self.role.pid)?;
            Ok(here.is_some_and(|here| from.contains(&here)) && self.is_roots()?)
        });
        match is_there {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.ends_with_its_session(&error),
        }
        // In a container the origin may be the root that was cleared meanwhile.
        let aside = tree.root().child(ASIDE);
        let others = [&aside, tree.root()].into_iter();
        let back = others.filter(|_| self.was_started_by_root());
        let back = self.origin.iter().chain(back);
        let mut why = String::from("there is no cgroup that it could go back to");
        for place in back {
            match self.move_to(place) {
                Ok(()) => {
                    if self.has_ended() {
                        strangers::put_back(tree, self.role.pid, place, from);
                    }
                    return;
                }
                Err(error) => why = error.to_string(),
            }
        }
        self.ends_with_its_session(&why);
    }

    pub fn ends_with_its_session(&self, why: &dyn Display) {
        let text = "cannot be moved out of its session's cgroup, and ends with it";
        Line::new("leader")
            .field("pid", self.role.pid)
            .field("error", format!("{text}: {why}"))
            .error();
    }

    /// Lets the OOM killer have it again: sshd runs with -1000, its children inherit that, and the
    /// user's own OOM killer could not kill anything. [`Leader::leave`] undoes it.
    pub fn lower_oom_protection(&self) -> Result<()> {
        if self.oom_protection.is_none() {
            return Ok(());
        }
        let path = oom_score_adj(self.role);
        fs::write(&path, "0").map_err(file("reset", path))
    }

    fn raise_oom_protection(&self) {
        let Some(old) = &self.oom_protection else {
            return;
        };
        // Never the user's program: no limit of theirs could end it.
        if patiently(|| self.is_roots()).unwrap_or(false) {
            // A process that has ended meanwhile needs none.
            let _ = fs::write(oom_score_adj(self.role), old);
        }
    }
}

/// Looks again where there is no descriptor or no memory for it: others may give theirs back in a moment.
pub fn patiently<T>(look: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..20 {
        if let Ok(seen) = look() {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    look()
}

/// A process's real and effective UID; none of one that is not to be seen.
pub fn uids(pid: i32) -> io::Result<Option<[u32; 2]>> {
    let uids = status_of(pid, "Uid")?.unwrap_or_default();
    let mut uids = uids.split_whitespace().flat_map(str::parse);
    Ok(uids.next().zip(uids.next()).map(<[u32; 2]>::from))
}

fn ended(pid: i32) -> Error {
    system(format!("look at the login, process {pid}"))(Errno::ESRCH)
}

fn oom_score_adj(role: Role) -> PathBuf {
    format!("/proc/{}/oom_score_adj", role.pid).into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;
    use std::time::Instant;

    use berth_protocol::Channel;
    use nix::libc;
    use nix::sys::wait::{WaitStatus, waitpid};

    use super::*;
    use crate::settings::folder::Folder;
    use crate::sys::Cloned;

    #[test]
    fn whom_an_ordinary_user_has_started_is_never_moved_out_of_all_caps() {
        for (uid, is_moved) in [("65534", false), ("0", true)] {
            let folder = Folder::with(&[("cgroup.procs", "")]);
            let tree = folder.tree(Backend::Cgroupfs);
            let mut setpriv = Command::new("setpriv");
            let mut child = setpriv
                .args(["--ruid", uid, "sleep", "60"])
                .spawn()
                .unwrap();
            let pid = child.id() as i32;
            let leader = Leader {
                role: Role::of(pid).unwrap(),
                origin: Some(tree.root().child("gone")),
                oom_protection: None,
            };
            while !leader.executable().ends_with("sleep") {
                assert_eq!(child.try_wait().unwrap(), None);
            }
            leader.go_back(Some(&tree), &[tree.of_process(pid).unwrap().unwrap()]);
            let moved = tree.root().processes().unwrap();
            assert_eq!(moved == [pid], is_moved, "{uid}: {moved:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn whoever_has_the_pid_of_a_login_that_has_ended_is_not_moved() {
        let folder = Folder::with(&[("cgroup.procs", "")]);
        let group = folder.tree(Backend::Cgroupfs).root().clone();
        let mut role = Role::of(std::process::id() as i32).unwrap();
        role.start -= 1;
        let leader = Leader {
            role,
            origin: None,
            oom_protection: None,
        };
        let error = leader.move_to(&group).unwrap_err().to_string();
        assert!(error.contains("look at the login"), "{error}");
        assert_eq!(group.processes().unwrap(), Vec::<i32>::new());
    }

    #[test]
    fn whoever_comes_from_a_cgroup_that_has_no_text_for_a_name_is_told_to_the_standby() {
        let folder = Folder::new();
        let odd = folder.join(OsStr::from_bytes(b"\xff"));
        let leader = Leader {
            role: Role::of(std::process::id() as i32).unwrap(),
            origin: Some(odd.into()),
            oom_protection: None,
        };
        let (worker, standby) = Channel::pair().unwrap();
        worker.send(&leader, None).unwrap();
        let (told, _): (Leader, _) = standby.receive(Instant::now()).unwrap();
        assert_eq!(told.origin, leader.origin);
    }

    #[test]
    fn whom_nobody_can_look_at_for_a_moment_goes_back_all_the_same() {
        let folder = Folder::with(&[("cgroup.procs", "")]);
        let tree = folder.tree(Backend::Cgroupfs);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let leader = Leader {
            role: Role::of(pid).unwrap(),
            origin: Some(tree.root().clone()),
            oom_protection: None,
        };
        let from = [tree.of_process(pid).unwrap().unwrap()];
        let limit = |rlim_cur, rlim_max| {
            let limit = libc::rlimit { rlim_cur, rlim_max };
            sys::prlimit(Pid::from_raw(0), libc::RLIMIT_NOFILE, Some(limit))
        };
        match sys::clone(0, None).unwrap() {
            Cloned::Child => {
                let none = limit(0, 4096);
                let unseen = leader.is_roots().is_err();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        std::thread::sleep(Duration::from_millis(30));
                        limit(4096, 4096)
                    });
                    leader.go_back(Some(&tree), &from);
                });
                sys::exit((none.is_err() || !unseen).into())
            }
            Cloned::Parent { child, .. } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
        assert_eq!(tree.root().processes().unwrap(), [pid]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
