//! Berth's part of the cgroup v2 hierarchy.
//!
//! Where Berth manages it (every init but systemd, and containers):
//!
//! ```text
//! <cgroup2>/berth-keepers                 inits, keepers, standbys: no caps
//! <cgroup2>/berth-init                    in a container: what was in the root, where no caps would fit beside it
//! <cgroup2>/berth                         the caps of all users together
//! <cgroup2>/berth/pool-cs101              a pool's caps
//! <cgroup2>/berth/pool-cs101/user-1002    a user of the pool; all below it as of the next one
//! <cgroup2>/berth/user-1001               the user's caps (tasks_max: plus the reserve)
//! <cgroup2>/berth/user-1001/sessions      tasks_max itself
//! <cgroup2>/berth/user-1001/sessions/12   a session, with its own caps
//! <cgroup2>/berth/user-1001/rescue/13     a session opened while the user was at tasks_max
//! ```
//!
//! The level `sessions` is there for the last line: a user whose fork bomb has used up `tasks_max`
//! can still log in, beside the bomb and below the same memory and CPU caps, and end it.
//!
//! Where systemd does, every cgroup is a unit's, and nobody but systemd changes them:
//!
//! ```text
//! <cgroup2>/berth.slice/berth.service/keepers       inits, keepers, standbys: delegated, so Berth's own
//! <cgroup2>/user.slice                              the caps of all users together
//! <cgroup2>/user.slice/user-1001.slice              the user's caps
//! <cgroup2>/user.slice/user-1001.slice/session-12.scope    a session that logind knows
//! <cgroup2>/user.slice/user-1001.slice/berth-13.scope      one that it does not know
//! <cgroup2>/user.slice/user-pool_cs101.slice               a pool's caps
//! <cgroup2>/user.slice/user-pool_cs101.slice/user-pool_cs101-1002.slice/berth-14.scope
//!                                                          a session of a user of the pool, under the user's caps
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cgroup::headless;
use crate::regular::{entries, is_there};
use crate::{Error, Group, Result, SessionId, kernel_text, process_file, systemd};

/// What the name of a pool's cgroup begins with.
const POOL: &str = "pool-";

/// The visible root of the hierarchy.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Group,
    backend: Backend,
}

/// Who makes and changes the cgroups of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Berth itself, by files of the cgroup2 file system.
    Cgroupfs,
    /// systemd, which Berth asks.
    Systemd,
}

impl Tree {
    /// Finds the hierarchy in the mount table.
    pub fn find() -> Result<Tree> {
        let path = Path::new("/proc/self/mountinfo");
        let table = kernel_text(path).map_err(|error| Error::file("read", path, error))?;
        let path = cgroup2_mount(&table).ok_or(Error::NoCgroup2)?;
        let backend = match systemd::is_booted()? {
            true => Backend::Systemd,
            false => Backend::Cgroupfs,
        };
        Ok(Tree::at(path, backend))
    }

    /// The same on a machine that may have none. What nobody could look for is not taken for missing: what runs in a session
    /// would go on without a record.
    pub fn find_if_any() -> Result<Option<Tree>> {
        match Tree::find() {
            Err(Error::NoCgroup2) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The hierarchy below a folder; in a test, one of files that the test writes.
    pub fn at(root: PathBuf, backend: Backend) -> Tree {
        Tree {
            root: root.into(),
            backend,
        }
    }

    /// Who makes and changes the cgroups of users.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The root cgroup.
    pub fn root(&self) -> &Group {
        &self.root
    }

    /// The cgroup of a process, below this root; `None` of one that has ended, or cannot be seen from here.
    pub fn of_process(&self, pid: i32) -> Result<Option<Group>> {
        let table = process_file(pid, "cgroup").map_err(|error| {
            Error::file("read", &PathBuf::from(format!("/proc/{pid}/cgroup")), error)
        })?;
        let table = table.unwrap_or_default();
        // The v2 line is `0::/path`; a path that begins with /.. lies outside a cgroup namespace. Who has a cgroup of their
        // own to divide may call the parts as they like, also as the kernel calls what is gone.
        let mut lines = table.split(|byte| *byte == b'\n');
        let Some(path) = lines.find_map(|line| line.strip_prefix(b"0::/")) else {
            return Ok(None);
        };
        let group = self.group(Path::new(OsStr::from_bytes(path)));
        let is_gone = path.ends_with(b" (deleted)") && !group.exists();
        Ok((!path.starts_with(b"..") && !is_gone).then_some(group))
    }

    /// Whether a process is seen to be in a cgroup.
    pub fn is_in(&self, pid: i32, group: &Group) -> bool {
        matches!(self.of_process(pid), Ok(Some(here)) if here == *group)
    }

    /// A path below the root, as records hold it.
    pub fn group(&self, below: &Path) -> Group {
        self.root.path().join(below).into()
    }

    /// The cgroup of all users, which `[everyone]` caps.
    pub fn everyone(&self) -> Group {
        match self.backend {
            Backend::Cgroupfs => self.root.child("berth"),
            Backend::Systemd => self.root.child(systemd::USERS),
        }
    }

    /// Where the processes that keep sessions live: under nobody's caps, so not where all users are.
    pub fn keepers(&self) -> Group {
        match self.backend {
            Backend::Cgroupfs => self.root.child("berth-keepers"),
            Backend::Systemd => self
                .root
                .child("berth.slice")
                .child(systemd::SERVICE)
                .child("keepers"),
        }
    }

    /// Where the processes that keep sessions live, made if need be.
    pub fn make_keepers(&self) -> Result<Group> {
        let keepers = self.keepers();
        match keepers.create() {
            Err(error) if error.is_not_found() && self.backend == Backend::Systemd => {
                systemd::start_service(&keepers)?;
            }
            created => created?,
        }
        Ok(keepers)
    }

    /// A pool's cgroup.
    pub fn pool(&self, name: &str) -> Group {
        self.everyone().child(&match self.backend {
            Backend::Cgroupfs => format!("{POOL}{name}"),
            Backend::Systemd => systemd::pool_slice(name),
        })
    }

    /// The pools that have a cgroup now.
    pub fn pools(&self) -> Result<Vec<String>> {
        let entries = entries(self.everyone().path())?.into_iter();
        let pools = entries.filter_map(|entry| self.pool_named(entry.file_name().to_str()?));
        let mut pools: Vec<_> = pools.collect();
        pools.sort();
        Ok(pools)
    }

    /// The pool whose cgroup has this name.
    fn pool_named(&self, cgroup: &str) -> Option<String> {
        match self.backend {
            Backend::Cgroupfs => cgroup.strip_prefix(POOL).map(str::to_owned),
            Backend::Systemd => systemd::pool_of(cgroup),
        }
    }

    /// A user's cgroup, in whatever pool it is; outside of all pools where there is none.
    pub fn user(&self, uid: u32) -> Result<Group> {
        let user = self.existing_user(uid)?;
        Ok(user.unwrap_or_else(|| self.user_in(None, uid)))
    }

    /// Where a user's cgroup is now. Under systemd a user of a pool has one outside too, which their service
    /// manager is in; elsewhere one outside is the only one.
    pub fn existing_user(&self, uid: u32) -> Result<Option<Group>> {
        let outside = self.user_in(None, uid);
        if self.backend == Backend::Cgroupfs && is_there(outside.path())? {
            return Ok(Some(outside));
        }
        self.existing_user_of(&self.pools()?, uid)
    }

    /// The same where the pools are known: among them stand all other users, so that to list them for each user of many
    /// takes the square of their number.
    pub fn existing_user_of(&self, pools: &[String], uid: u32) -> Result<Option<Group>> {
        let in_pools = pools.iter().map(|pool| self.user_in(Some(pool), uid));
        for group in in_pools.chain([self.user_in(None, uid)]) {
            if is_there(group.path())? {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// Where a user's cgroup would be in a pool, or in none.
    pub fn user_in(&self, pool: Option<&str>, uid: u32) -> Group {
        let parent = pool.map_or_else(|| self.everyone(), |pool| self.pool(pool));
        parent.child(&match self.backend {
            Backend::Cgroupfs => format!("user-{uid}"),
            Backend::Systemd => systemd::slice(pool, uid),
        })
    }

    /// The pool that a cgroup is in.
    pub fn pool_of(&self, group: &Group) -> Option<String> {
        let below = self.below(group);
        self.pool_named(below.components().nth(1)?.as_os_str().to_str()?)
    }

    /// The cgroups from Berth's topmost one down to this one.
    pub fn line_to(&self, group: &Group) -> Vec<Group> {
        let mut line: Vec<Group> = group
            .path()
            .ancestors()
            .take_while(|path| *path != self.root.path())
            .map(|path| path.to_path_buf().into())
            .collect();
        line.reverse();
        line
    }

    /// The parts of a user's cgroup that sessions are in, where Berth makes them: the ordinary one, and the one for who logs
    /// in at tasks_max.
    pub fn parts(user: &Group) -> [Group; 2] {
        ["sessions", "rescue"].map(|part| user.child(part))
    }

    /// The cgroups of Berth's own that a session can have: the ordinary one, and the one for a user at
    /// tasks_max. Under systemd there is none: whatever cgroup a session is in is systemd's.
    pub fn session(&self, uid: u32, id: SessionId) -> Result<Vec<Group>> {
        if self.backend == Backend::Systemd {
            return Ok(Vec::new());
        }
        let user = self.user(uid)?;
        Ok(Tree::parts(&user)
            .map(|part| part.child(&id.to_string()))
            .into())
    }

    /// The cgroups above a session's that are Berth's to remove once they are empty, innermost first.
    pub fn above_session(&self, uid: u32) -> Result<Vec<Group>> {
        if self.backend == Backend::Systemd {
            return Ok(Vec::new());
        }
        let user = self.user(uid)?;
        let mut groups = Vec::from(Tree::parts(&user));
        groups.extend(self.line_to(&user).into_iter().rev());
        Ok(groups)
    }

    /// Kills all that is in cgroups of sessions, at once and with all that it forks meanwhile; of each, whether that could be
    /// done. What does not end in one holds up no other, and from a time on it is tried no longer.
    pub fn kill(&self, groups: &[Group], until: Option<Instant>) -> Vec<Result<()>> {
        let kill = |group: &Group| match self.backend {
            Backend::Cgroupfs => group.write("cgroup.kill", "1"), // Linux 5.14
            Backend::Systemd => systemd::Bus::connect()?.kill(group.name()),
        };
        let killed = groups.iter().map(|group| match kill(group) {
            // It has ended meanwhile, and with it the unit.
            Err(_) if !group.is_populated() => Ok(()),
            killed => killed,
        });
        let killed = killed.collect();
        headless::kill(self, groups, until);
        killed
    }

    /// A cgroup's path below the root.
    pub fn below(&self, group: &Group) -> PathBuf {
        group
            .path()
            .strip_prefix(self.root.path())
            .unwrap_or(group.path())
            .into()
    }
}

/// The mount point of a whole cgroup2 hierarchy.
fn cgroup2_mount(table: &str) -> Option<PathBuf> {
    mounts_of(table, "cgroup2").map(|(_, point)| point).next()
}

/// The numbers and mount points of whole file systems of one type in a mountinfo table
/// (proc_pid_mountinfo(5)); a bind of a part of one does not count.
pub fn mounts_of<'a>(
    table: &'a str,
    kind: &'a str,
) -> impl Iterator<Item = (String, PathBuf)> + 'a {
    table.lines().filter_map(move |line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (mount, root, point) = (fields.next()?, fields.nth(2)?, fields.next()?);
        let is_it = source.split(' ').next() == Some(kind) && root == "/";
        is_it.then(|| (mount.into(), unescape(point)))
    })
}

/// Undoes the kernel's octal escapes in mount points (`\040` is a space).
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| byte == b'\\');
        let code = code.filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn the_mount_table_says_where_cgroup2_is() {
        let table = "25 1 0:22 / /proc rw - proc proc rw\n\
            30 29 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
            31 29 0:27 /part /elsewhere rw shared:9 - cgroup2 cgroup2 rw\n\
            32 29 0:27 / /sys/fs/a\\040b rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mount(table), Some("/sys/fs/a b".into()));
        assert_eq!(
            unescape("a\\+40\\400\\04"),
            PathBuf::from("a\\+40\\400\\04")
        );
        assert_eq!(cgroup2_mount("25 1 0:22 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn a_user_is_where_their_cgroup_is() {
        let root = Folder::new();
        let tree = Tree::at(root.to_path_buf(), Backend::Cgroupfs);
        let names = |uid| {
            let line = tree.line_to(&tree.user(uid).unwrap());
            line.iter()
                .map(|group| group.name().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(1001), ["berth", "user-1001"]);
        fs::create_dir_all(root.join("berth/pool-cs101/user-1001")).unwrap();
        fs::create_dir_all(root.join("berth/pool-b/user-1002")).unwrap();
        fs::create_dir_all(root.join("berth/user-1003")).unwrap();
        assert_eq!(names(1001), ["berth", "pool-cs101", "user-1001"]);
        assert_eq!(names(1002), ["berth", "pool-b", "user-1002"]);
        assert_eq!(names(1003), ["berth", "user-1003"]);
        assert_eq!(tree.existing_user(1004).unwrap(), None);
        let pools = tree.pools().unwrap();
        for uid in 1001..1005 {
            let known = tree.existing_user_of(&pools, uid).unwrap();
            assert_eq!(known, tree.existing_user(uid).unwrap());
        }
        assert_eq!(
            tree.pool_of(&tree.user(1001).unwrap()).as_deref(),
            Some("cs101")
        );
        assert_eq!(tree.pool_of(&tree.user(1003).unwrap()), None);
    }

    #[test]
    fn under_systemd_nothing_of_a_session_is_berths_to_remove() {
        let tree = Tree::at("/nowhere".into(), Backend::Systemd);
        let id = "12".parse().unwrap();
        assert_eq!(
            tree.below(&tree.user(1001).unwrap()),
            Path::new("user.slice/user-1001.slice")
        );
        assert_eq!(
            tree.below(&tree.keepers()),
            Path::new("berth.slice/berth.service/keepers")
        );
        assert_eq!(tree.session(1001, id).unwrap(), []);
        assert_eq!(tree.above_session(1001).unwrap(), []);
        assert_eq!(tree.pool_of(&tree.user(1001).unwrap()), None);
        let in_pool = tree.user_in(Some("cs-101.a"), 1001);
        assert_eq!(
            tree.below(&in_pool),
            Path::new("user.slice/user-pool_cs\\x2d101.a.slice/user-pool_cs\\x2d101.a-1001.slice")
        );
        assert_eq!(tree.pool_of(&in_pool).as_deref(), Some("cs-101.a"));
    }

    #[test]
    fn what_does_not_end_holds_up_nothing_else() {
        let root = Folder::new();
        let tree = Tree::at(root.to_path_buf(), Backend::Cgroupfs);
        let [stuck, other] = ["stuck", "other"].map(|name| root.join(name));
        for group in [&stuck, &other] {
            fs::create_dir_all(group).unwrap();
            fs::write(group.join("cgroup.kill"), "0\n").unwrap();
            fs::write(group.join("cgroup.events"), "populated 0\n").unwrap();
        }
        let events = stuck.join("cgroup.events");
        let ended = root.join("ended");
        fs::rename(&events, &ended).unwrap();
        // Who looks at it waits until there is something to read.
        nix::unistd::mkfifo(&events, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let groups = [stuck, other.clone(), root.join("gone")].map(Group::from);
        let killing = std::thread::spawn(move || tree.kill(&groups, None));
        let is_killed = || fs::read_to_string(other.join("cgroup.kill")).unwrap() == "1\n";
        for _ in 0..1000 {
            if is_killed() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(is_killed());
        let mut waiting = fs::OpenOptions::new().write(true).open(&events).unwrap();
        fs::rename(&ended, &events).unwrap();
        std::io::Write::write_all(&mut waiting, b"populated 0\n").unwrap();
        drop(waiting);
        let killed = killing.join().unwrap();
        assert!(killed.iter().all(Result::is_ok), "{killed:?}");
    }
}
