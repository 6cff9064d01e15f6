//! What the kernel's log says of a kill for want of memory: the cgroup's files only count them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// The longest record (kernel documentation, ABI/testing/dev-kmsg).
const RECORD: usize = 8192;

/// A kill by the OOM killer.
#[derive(Debug, PartialEq, Eq)]
pub struct Kill {
    /// The program's name, as it had set it itself.
    pub program: String,
    /// The cgroup whose memory_max it was; none where all of the machine was full.
    pub by: Option<String>,
}

/// The kernel's log from some moment on.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// From now on. Where it cannot be read (in most containers) nothing is known.
    pub fn open() -> Option<KernelLog> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(KernelLog(file))
    }

    /// The last kill of a user's process in a cgroup, or below it, since this was asked before.
    pub fn last_kill_in(&mut self, cgroup: &str, uid: u32) -> Option<Kill> {
        let mut record = [0; RECORD];
        let mut last = None;
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                    last = kill(&text, cgroup, uid).or(last);
                }
                // EPIPE: some were overwritten before they were read.
                Err(error)
                    if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
                Err(_) => return last,
            }
        }
    }
}

/// A kill of a user's process in a cgroup, told by one record. The kernel escapes what is not printable.
fn kill(record: &str, cgroup: &str, uid: u32) -> Option<Kill> {
    let (_, kill) = record.lines().next()?.split_once("oom-kill:")?;
    // Users name the cgroups below their own service manager, and so can spell any path and any field in the
    // record of a kill of theirs. What they cannot choose is the end of it: whose process it was.
    let (kill, killed) = kill.rsplit_once(",uid=")?;
    if killed.trim_end().parse() != Ok(uid) {
        return None;
    }
    let field = |name: &str| {
        Some(
            kill.split_once(name)?
                .1
                .split(',')
                .next()
                .unwrap_or_default(),
        )
    };
    let place = field(",task_memcg=")?;
    // In a cgroup namespace the log has more before what is seen of a path.
    let (_, below) = place.rsplit_once(cgroup)?;
    if !below.is_empty() && !below.starts_with('/') {
        return None;
    }
    // A user chooses the name, commas too.
    let program = kill.split_once(",task=")?.1.rsplit_once(",pid=")?.0;
    Some(Kill {
        program: program.into(),
        by: field(",oom_memcg=").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "/user.slice/user-1001.slice/session-5.scope";

    fn kill(record: &str, cgroup: &str) -> Option<Kill> {
        super::kill(record, cgroup, 1001)
    }

    fn line(by: &str, place: &str, program: &str) -> String {
        format!(
            "6,1204,98;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0{by},\
             task_memcg={place},task={program},pid=712,uid=1001\n SUBSYSTEM=x\n"
        )
    }

    #[test]
    fn a_kill_is_of_the_session_by_whichever_cap() {
        let by_user = ",oom_memcg=/user.slice/user-1001.slice";
        let of = |by: &str, place: &str, program: &str| kill(&line(by, place, program), SESSION);
        let told = of(by_user, SESSION, "python3").unwrap();
        assert_eq!(told.program, "python3");
        assert_eq!(told.by.as_deref(), Some("/user.slice/user-1001.slice"));
        assert_eq!(
            of("", &format!("{SESSION}/box"), "a,pid=1,b").unwrap(),
            Kill {
                program: "a,pid=1,b".into(),
                by: None
            }
        );
        let outer = format!("/machine/x{SESSION}");
        assert!(of(by_user, &outer, "x").is_some());
        for other in [
            "/user.slice/user-1001.slice/session-51.scope",
            "/user.slice",
        ] {
            assert_eq!(of(by_user, other, "x"), None, "{other}");
        }
        assert_eq!(kill("6,1,1;oom_reaper: reaped process 1", SESSION), None);
    }

    #[test]
    fn a_kill_of_another_users_is_not_of_the_session_however_they_name_their_cgroups() {
        let theirs = "/user.slice/user-1002.slice/user@1002.service";
        let nested = format!("{theirs}{SESSION}");
        let forged = format!("{theirs}/x,task_memcg={SESSION},task=PAY NOW,pid=1,uid=1001");
        for place in [&nested, &forged] {
            let by = format!(",oom_memcg={place}");
            let record = line(&by, place, "x").replace(",uid=1001\n", ",uid=1002\n");
            assert_eq!(kill(&record, SESSION), None, "{record}");
        }
    }
}
