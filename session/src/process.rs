//! A process, as /proc shows it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use berth_protocol::INIT;
use nix::libc;
use serde::{Deserialize, Serialize};

use crate::kernel_bytes;

/// Whether a process, by its folder in /proc, is known to run another program than Berth's helper, whatever its name: that of
/// a setuid program is of the link by which a user has started it. After an upgrade there is more behind the program's name.
pub fn runs_no_helper(process: &Path) -> bool {
    std::fs::read_link(process.join("exe")).is_ok_and(|path| {
        let name = path.file_name().unwrap_or_default();
        !name.as_bytes().starts_with(HELPER.as_bytes())
    })
}

/// What the helper is called.
pub(crate) const HELPER: &str = "berth-helper";

/// A process, told apart from a later one of the same PID by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Role {
    /// The PID in the host's PID namespace.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot (proc_pid_stat(5)).
    pub start: u64,
}

impl Role {
    /// The process that has this PID now.
    pub fn of(pid: i32) -> Option<Role> {
        let start = start_of(pid).ok()??;
        Some(Role { pid, start })
    }

    /// Whether the process is there still (a zombie is not).
    pub fn is_there(&self) -> io::Result<bool> {
        Ok(start_of(self.pid)? == Some(self.start))
    }

    /// Whether the process is known to be there still.
    pub fn is_alive(&self) -> bool {
        self.is_there().unwrap_or(false)
    }

    /// Whether the process is known to have ended. Where it cannot be looked at (no memory, no descriptor) it is neither
    /// this nor alive, and nothing may be ended for its sake. Nor can it be from within a berth, where root is after
    /// `su -`: no keeper is in /proc there, and `berth doctor --fix` would end everybody's sessions.
    pub fn is_gone(&self) -> bool {
        self.is_there().is_ok_and(|is_there| !is_there) && is_outside().unwrap_or(false)
    }
}

/// Whether /proc shows more than the processes of one berth.
pub fn is_outside() -> io::Result<bool> {
    let name = kernel_bytes("/proc/1/comm")?;
    Ok(name.trim_ascii_end() != INIT.to_bytes())
}

/// When a process was started that has not ended.
pub(crate) fn start_of(pid: i32) -> io::Result<Option<u64>> {
    let started = |stat: Stat| {
        let has_ended = matches!(stat.field(3), Some('Z' | 'X'));
        stat.field(22).filter(|_| !has_ended)
    };
    Ok(Stat::of(pid)?.and_then(started))
}

/// The parent of a process.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    Stat::of(pid).ok()??.field(4)
}

/// /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug)]
pub struct Stat(String);

impl Stat {
    /// None where there is no such process.
    pub fn of(pid: i32) -> io::Result<Option<Stat>> {
        let stat = process_file(pid, "stat")?;
        Ok(stat.map(|stat| Stat(String::from_utf8_lossy(&stat).into_owned())))
    }

    /// A field, by its number; from 3 on, behind the name.
    pub fn field<N: FromStr>(&self, number: usize) -> Option<N> {
        // The name in parentheses may contain anything.
        let (_, fields) = self.0.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        fields.nth(number.checked_sub(3)?)?.parse().ok()
    }
}

/// A line of /proc/PID/status, by its name (proc_pid_status(5)); none where there is no such process.
pub fn status_of(pid: i32, name: &str) -> io::Result<Option<String>> {
    let status = process_file(pid, "status")?.unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.map(|value| value.trim().to_owned()))
}

/// Reads one of a process's files in /proc; none where there is no such process.
pub fn process_file(pid: i32, file: &str) -> io::Result<Option<Vec<u8>>> {
    match kernel_bytes(format!("/proc/{pid}/{file}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It has ended between the open and the read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        bytes => bytes.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let me = Role::of(std::process::id() as i32).unwrap();
        assert!(me.is_alive() && !me.is_gone());
        let earlier = Role {
            start: me.start - 1,
            ..me
        };
        assert!(earlier.is_gone() && !earlier.is_alive());
        let mut child = std::process::Command::new("sleep");
        let mut child = child.arg("60").spawn().unwrap();
        let role = Role::of(child.id() as i32).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(role.is_gone() && !role.is_alive());
    }
}
