//! One cgroup: its files, its processes, its controllers (kernel documentation, admin-guide/cgroup-v2).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A controller that a cap can need (kernel documentation, admin-guide/cgroup-v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the kernel's names
pub enum Controller {
    Cpu,
    Cpuset,
    Io,
    Memory,
    Pids,
}

impl Controller {
    /// All that Berth uses.
    pub const ALL: [Controller; 5] = [
        Controller::Cpu,
        Controller::Cpuset,
        Controller::Io,
        Controller::Memory,
        Controller::Pids,
    ];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuset => "cpuset",
            Controller::Io => "io",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }
}

/// One cgroup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    #[serde(with = "bytes")]
    path: PathBuf,
    /// Its folder, where many of its files are read at once: the kernel walks every path here step by step, with a lock
    /// for each.
    #[serde(skip)]
    folder: Option<Arc<OwnedFd>>,
}

/// A path as its bytes: who has a cgroup of their own to divide may call the parts as they like.
mod bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(Vec::deserialize(from)?).into())
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.path == other.path
    }
}

impl Eq for Group {}

impl From<PathBuf> for Group {
    fn from(path: PathBuf) -> Group {
        Group { path, folder: None }
    }
}

impl Group {
    /// The cgroup's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A cgroup below.
    pub fn child(&self, name: &str) -> Group {
        self.path.join(name).into()
    }

    /// The one just above.
    pub fn parent(&self) -> Option<Group> {
        Some(self.path.parent()?.to_path_buf().into())
    }

    /// Whether it is another, or somewhere below that.
    pub fn is_within(&self, above: &Group) -> bool {
        self.path.starts_with(&above.path)
    }

    /// All cgroups just below.
    pub fn children(&self) -> impl Iterator<Item = Group> + use<> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path().into())
    }

    /// This one, opened for many looks. Not for long: it is this cgroup, and none that has its name later.
    pub fn opened(&self) -> Group {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = fcntl::open(&self.path, flags, Mode::empty());
        Group {
            path: self.path.to_path_buf(),
            // Whoever reads will be told why not.
            folder: folder.ok().map(Arc::new),
        }
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Its last name.
    pub fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Makes it, unless it is there.
    pub fn create(&self) -> Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::file("create the cgroup", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes it, content to find it gone; says whether it is gone. One that has processes or
    /// children stays.
    pub fn remove(&self) -> Result<bool> {
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(true),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::ENOENT => Ok(true),
                Errno::EBUSY | Errno::ENOTEMPTY => Ok(false),
                // Of what is mounted read-only the kernel says so first.
                Errno::EROFS if !self.exists() => Ok(true),
                _ => Err(Error::file("remove the cgroup", &self.path, error)),
            },
        }
    }

    /// Reads one of its files.
    pub fn read(&self, file: &str) -> Result<String> {
        self.read_until(file, End::Nothing)
            .map_err(|error| Error::file("read", &self.path.join(file), error))
    }

    /// Reads one of its files that is no list of processes.
    pub(crate) fn figures(&self, file: &str) -> Option<String> {
        self.read_until(file, End::Short).ok()
    }

    /// Reads a file that holds one number, or `max`, which is `None`.
    pub fn number<N: FromStr>(&self, file: &str) -> Option<N> {
        self.figures(file)?.trim().parse().ok()
    }

    /// The number behind a key in a file of `key value` lines.
    pub fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        keyed(&self.figures(file)?, key)
    }

    fn read_until(&self, file: &str, end: End) -> std::io::Result<String> {
        let file = match &self.folder {
            None => File::open(self.path.join(file))?,
            Some(folder) => {
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                File::from(fcntl::openat(folder, file, flags, Mode::empty())?)
            }
        };
        text_of(file, end)
    }

    /// Writes one of its files, in one write: the kernel takes each as a command.
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path.join(file);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .map_err(|error| Error::file(format!("write {value:?} to"), &path, error))
    }

    /// The controllers that it may use itself.
    pub fn controllers(&self) -> Result<Vec<Controller>> {
        Ok(listed(&self.read("cgroup.controllers")?))
    }

    /// The controllers that its children may use.
    pub fn enabled(&self) -> Result<Vec<Controller>> {
        Ok(listed(&self.read("cgroup.subtree_control")?))
    }

    /// The processes in it (not those further down).
    pub fn processes(&self) -> Result<Vec<i32>> {
        Ok(self
            .read("cgroup.procs")?
            .lines()
            .filter_map(|line| line.parse().ok())
            // 0 is a process of another PID namespace, which cannot be named from here; to signal what is below would
            // signal many.
            .filter(|pid| *pid > 0)
            .collect())
    }

    /// Whether a line of its cgroup.events says this. If not, this waits until one changes, or for so long at most: then it is
    /// for the caller to look again.
    pub fn says_or_wait(&self, key: &str, value: u64, at_most: Duration) -> std::io::Result<bool> {
        let mut events = File::open(self.path.join("cgroup.events"))?;
        // By this very descriptor: the kernel reports a change since its last read.
        let mut text = String::new();
        events.read_to_string(&mut text)?;
        if keyed(&text, key) == Some(value) {
            return Ok(true);
        }
        let mut change = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        let timeout = PollTimeout::try_from(at_most.saturating_add(Duration::from_millis(1)));
        // Whatever it returns, the file is looked at anew.
        let _ = poll(&mut change, timeout.unwrap_or(PollTimeout::MAX));
        Ok(false)
    }

    /// Whether any process is in it or below. One that is there and cannot be looked at (no descriptor, no memory) counts:
    /// what is in it would be taken for gone.
    pub fn is_populated(&self) -> bool {
        match self.read_until("cgroup.events", End::Short) {
            Ok(text) => keyed(&text, "populated") == Some(1),
            Err(error) => {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                !matches!(errno, Errno::ENOENT | Errno::ENODEV)
            }
        }
    }
}

/// What says that a file has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// That nothing more comes.
    Nothing,
    /// That less came than there was room for. So it is where the kernel makes the whole text at once (seq_file,
    /// `single_open`): all files of a cgroup but its lists of processes.
    Short,
}

/// A file's text. Whoever watches thousands of sessions reads many of these, and the kernel makes them when they are
/// read: their size is not worth the question.
fn text_of(mut file: File, end: End) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = match file.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        text.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if length == 0 || (end == End::Short && length < buffer.len()) {
            let text = String::from_utf8(text);
            return text
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        }
    }
}

fn listed(text: &str) -> Vec<Controller> {
    let names: Vec<&str> = text.split_whitespace().collect();
    Controller::ALL
        .into_iter()
        .filter(|controller| names.contains(&controller.name()))
        .collect()
}

/// The number behind a key in `key value` lines.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn an_opened_cgroup_is_read_whole_and_goes_with_its_name() {
        let folder = Folder::new();
        let path = folder.join("group");
        let group = Group::from(path.clone());
        assert!(group.opened().read("io.stat").is_err());
        fs::create_dir(&path).unwrap();
        let long = "8:0 rbytes=1\n".repeat(1000);
        fs::write(path.join("io.stat"), &long).unwrap();
        fs::write(path.join("pids.current"), "7\n").unwrap();
        for group in [group.clone(), group.opened()] {
            assert_eq!(group.read("io.stat").unwrap(), long);
            assert_eq!(group.figures("io.stat"), Some(long.clone()));
            assert_eq!(group.number("pids.current"), Some(7_u64));
            assert_eq!(group.number::<u64>("pids.max"), None);
        }
        let opened = group.opened();
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("pids.current"), "8\n").unwrap();
        assert_eq!(opened.number::<u64>("pids.current"), None);
        assert_eq!(group.number("pids.current"), Some(8_u64));
    }

    #[test]
    fn a_cgroups_files_say_what_is_in_it_what_it_used_and_what_it_may() {
        let folder = Folder::new();
        let path = folder.join("group");
        let group = Group::from(path.clone());
        group.create().unwrap();
        group.create().unwrap(); // it is there
        group.child("no").child("such").create().unwrap_err();
        for (file, text) in [
            ("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n"),
            ("cgroup.subtree_control", "memory pids\n"),
            ("cgroup.procs", "0\n12\n13\n"),
            ("cgroup.events", "populated 1\nfrozen 1\n"),
            ("pids.max", "max\n"),
            ("memory.current", "4096\n"),
        ] {
            fs::write(path.join(file), text).unwrap();
        }
        assert_eq!(group.controllers().unwrap(), Controller::ALL);
        let [memory, pids] = [Controller::Memory, Controller::Pids];
        assert_eq!(group.enabled().unwrap(), [memory, pids]);
        assert_eq!(group.processes().unwrap(), [12, 13]);
        assert!(group.is_populated() && group.is_frozen());
        assert_eq!(crate::Usage::of(&group).memory, Some(4096));
        assert_eq!(crate::Limits::of(&group).tasks, None);
        group.write("pids.max", "500").unwrap();
        assert_eq!(crate::Limits::of(&group).tasks, Some(500));
        group
            .write("cgroup.events", "populated 0\nfrozen 0\n")
            .unwrap();
        assert!(!group.is_populated() && !group.is_frozen());
        fs::remove_file(path.join("cgroup.events")).unwrap();
        assert!(!group.is_populated());
        std::os::unix::fs::symlink("cgroup.events", path.join("cgroup.events")).unwrap();
        assert!(group.is_populated(), "it is there, and cannot be read");
        assert!(group == Group::from(path.clone()) && group != group.child("x"));
    }

    #[test]
    fn keys_are_whole_words() {
        assert_eq!(keyed("oom 1\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(keyed("oom_kill 7\n", "oom"), None);
    }
}
