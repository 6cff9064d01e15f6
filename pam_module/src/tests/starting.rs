//! The real start of a helper: small shell scripts stand in for it.
//!
//! Each case runs in a process of its own, which plays the application: what is tested is what such a
//! process notices, and signals, children and descriptors are the whole process's.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_protocol::{Channel, ChannelError, JoinAbility, OnError, Phase, Reply, Request, Session};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use super::apart::apart;
use super::eventually::eventually;
use crate::error::Error;
use crate::exchange::{Answered, ask};

/// A helper and what it leaves, in a directory that goes away.
pub struct Stage(PathBuf);

impl Stage {
    pub fn new(script: &str) -> Stage {
        let dir = std::env::temp_dir().join(format!("berth-starting-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Stage(dir);
        let dir = stage.0.display();
        // bash hands its children the signals that it was started with; dash starts by unblocking them all.
        fs::write(stage.helper(), format!("#!/bin/bash\ncd {dir}\n{script}\n")).unwrap();
        fs::set_permissions(stage.helper(), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    pub fn helper(&self) -> PathBuf {
        self.0.join("helper")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a whole message into a file, for a script to send.
    pub fn message(&self, name: &str, reply: &Reply) {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(reply, None).unwrap();
        let mut bytes = vec![0; 65536];
        let length = nix::unistd::read(theirs.as_fd(), &mut bytes).unwrap();
        fs::write(self.file(name), &bytes[..length]).unwrap();
    }

    pub fn ask(&self, timeout: Duration) -> Result<Answered, Error> {
        ask(None, &self.helper(), &request(), Instant::now() + timeout)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A helper may just be writing its last word there.
        eventually("its folder goes", || fs::remove_dir_all(&self.0).is_ok());
    }
}

pub fn request() -> Request {
    Request {
        phase: Phase::Session,
        user: b"alice".into(),
        service: b"sshd".into(),
        tty: vec![],
        rhost: vec![],
        ruser: vec![],
        policy: None,
        join: JoinAbility::Yes,
        on_error: OnError::Deny,
    }
}

/// A session that changes nothing in the application.
pub fn bare() -> Session {
    Session {
        id: "12".into(),
        on_error: OnError::Deny,
        namespaces: 0,
        no_new_privs: false,
        filter: vec![],
        rlimits: vec![],
        motd: None,
    }
}

/// Sends the reply once the request is there, takes the module's last word, stays until the socket ends.
pub const GOOD: &str = "dd bs=65536 count=1 <&3 >request 2>/dev/null
cat reply >&3
dd bs=65536 count=1 <&3 >ack 2>/dev/null
cat <&3 >/dev/null
echo done >done";

/// Descriptors that are open, as numbers.
pub fn open_descriptors() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether a process runs; a zombie does not.
pub fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

const LONG: Duration = Duration::from_secs(60);

/// The message of a failure that came at once, and left nothing.
fn fails_at_once(helper: &Path) -> String {
    let descriptors = open_descriptors();
    let before = Instant::now();
    let error = ask(None, helper, &request(), before + LONG).unwrap_err();
    assert!(before.elapsed() < LONG / 2, "{error}");
    assert_eq!(open_descriptors(), descriptors);
    assert_eq!(no_children(), nix::errno::Errno::ECHILD);
    error.to_string()
}

/// What wait says when it is asked for any kind of child.
pub fn no_children() -> nix::errno::Errno {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    waitpid(None, Some(flags)).unwrap_err()
}

#[test]
fn a_helper_that_is_missing_is_a_clear_error_at_once() {
    apart(&[], || {
        // Whoever takes in orphans gets none of ours: not every init reaps.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        assert_eq!(
            fails_at_once(Path::new("/nonexistent/berth-helper")),
            "cannot start /nonexistent/berth-helper: No such file or directory"
        );
        assert_eq!(
            fails_at_once(Path::new("/etc/passwd")),
            "cannot start /etc/passwd: Permission denied"
        );
    });
}

#[test]
fn a_helper_that_ends_without_a_word_is_an_error_at_once() {
    apart(&[], || {
        for helper in ["/bin/true", "/bin/false"] {
            let error = fails_at_once(Path::new(helper));
            assert!(error.contains("closed the connection"), "{error}");
        }
    });
}

#[test]
fn a_helper_that_talks_nonsense_is_an_error_at_once() {
    apart(&[], || {
        let stage = Stage::new("echo \"hello\" >&3; exec cat <&3 >/dev/null");
        let error = fails_at_once(&stage.helper());
        assert!(error.contains("different versions"), "{error}");
    });
}

#[test]
fn a_helper_that_hangs_costs_the_deadline_and_is_killed() {
    apart(&[], || {
        let stage = Stage::new("echo $$ >pid.new; mv pid.new pid; exec sleep 1000");
        let descriptors = open_descriptors();
        let before = Instant::now();
        let deadline = Duration::from_secs(3);
        let error = stage.ask(deadline).unwrap_err();
        let took = before.elapsed();
        assert!(
            matches!(
                error,
                Error::Answer {
                    error: ChannelError::TimedOut,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            (deadline..10 * deadline).contains(&took),
            "after {took:?}: {error}"
        );
        let pid = fs::read_to_string(stage.file("pid")).unwrap();
        eventually("the helper is killed", || !runs(&pid));
        assert_eq!(open_descriptors(), descriptors);
        assert_eq!(no_children(), nix::errno::Errno::ECHILD);
    });
}

#[test]
fn the_application_goes_on_when_a_helper_that_hung_has_rolled_back() {
    apart(&[], || {
        let stage = Stage::new(
            "trap 'sleep 0.5; echo back >back; exit' TERM
        echo $$ >pid
        for _ in $(seq 100); do sleep 0.1; done",
        );
        stage.ask(Duration::from_secs(3)).unwrap_err();
        assert!(stage.file("pid").exists(), "it did not even start");
        assert!(stage.file("back").exists());
    });
}

#[test]
fn a_reply_arrives_and_the_helper_stays_until_the_socket_ends() {
    apart(&[], || {
        let stage = Stage::new(GOOD);
        let reply = Reply::Failed {
            on_error: OnError::Allow,
            message: "é".repeat(100),
        };
        stage.message("reply", &reply);
        let descriptors = open_descriptors();
        let answered = stage.ask(LONG).unwrap();
        assert_eq!(answered.reply, reply);
        assert!(answered.init.is_none());
        let new = open_descriptors().len() - descriptors.len();
        assert_eq!(new, 2, "the socket, and what ends a helper that hangs");
        answered
            .helper
            .channel
            .send(&berth_protocol::Ack::Joined, None)
            .unwrap();
        eventually("the last word arrives", || stage.file("ack").exists());
        // To a helper that had seen an end nothing more could be sent.
        let more = berth_protocol::Ack::Joined;
        answered.helper.channel.send(&more, None).unwrap();
        assert!(!stage.file("done").exists());
        drop(answered);
        eventually("the helper sees the end", || stage.file("done").exists());
        assert_eq!(open_descriptors(), descriptors);
    });
}

/// Mappings that nobody may use, as there is one below each of the children's stacks.
fn guards() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(" ---p ")).count()
}

/// Has whoever opens a file wait for the lease on it, kills the parent of the process that does, and lets that one go on once
/// there is another file.
#[allow(unsafe_code)]
fn kill_the_first_child(helper: &Path, leased: &Path, go: &Path) {
    let set_lease = |file: &fs::File, kind: i32| {
        // SAFETY: touches no memory.
        let set = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    };
    let opened = SigSet::from(Signal::SIGIO);
    opened.thread_block().unwrap();
    let file = fs::File::open(helper).unwrap();
    set_lease(&file, libc::F_WRLCK);
    fs::write(leased, "").unwrap();
    opened.wait().unwrap();
    let threads = format!("/proc/{}/task", std::os::unix::process::parent_id());
    let children = fs::read_dir(threads).unwrap().map(|thread| {
        let children = thread.unwrap().path().join("children");
        fs::read_to_string(children).unwrap()
    });
    let children = children.collect::<String>();
    let mut children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let first = children.find(|pid| *pid != std::process::id() as i32);
    kill(Pid::from_raw(first.unwrap()), Signal::SIGKILL).unwrap();
    eventually("it may go on", || go.exists());
    set_lease(&file, libc::F_UNLCK);
}

#[test]
#[allow(unsafe_code)]
fn what_the_second_child_uses_stays_when_the_first_is_killed() {
    apart(&[], || {
        let stage = Stage::new("cat /proc/$$/environ >env.new; echo $* >>env.new; mv env.new env");
        let (leased, go) = (stage.file("leased"), stage.file("go"));
        let before = guards();
        // SAFETY: this process has one thread.
        let killer = match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                nix::unistd::alarm::set(30);
                kill_the_first_child(&stage.helper(), &leased, &go);
                // SAFETY: ends this child, without the test harness's own exit handlers.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => child,
        };
        eventually("there is a lease", || leased.exists());
        let error = stage.ask(Duration::from_secs(3)).unwrap_err();
        let _others = std::hint::black_box(([b'A'; 65536], vec![vec![b'A'; 100]; 100]));
        fs::write(&go, "").unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot start {} (who starts it was killed): Interrupted system call",
                stage.helper().display()
            )
        );
        assert_eq!(guards(), before + 2, "what is below the two stacks");
        eventually("it starts", || stage.file("env").exists());
        assert_eq!(
            fs::read(stage.file("env")).unwrap(),
            b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0--session\n"
        );
        waitpid(killer, None).unwrap();
        assert_eq!(no_children(), nix::errno::Errno::ECHILD);
    });
}

#[test]
fn of_a_helper_that_ends_without_a_word_it_is_said_where_to_look() {
    apart(&[], || {
        let error = Stage::new("exit 1").ask(LONG).unwrap_err().to_string();
        assert!(
            error.ends_with("(its own log lines say why it ended)"),
            "{error}"
        );
    });
}

#[test]
fn the_end_of_a_session_is_told_although_others_have_the_sessions_socket_too() {
    apart(&[], || {
        let stage = Stage::new(GOOD);
        stage.message("reply", &Reply::Untouched);
        let answered = stage.ask(LONG).unwrap();
        let channel = &answered.helper.channel;
        channel.send(&berth_protocol::Ack::Joined, None).unwrap();
        let inherited = channel.as_fd().try_clone_to_owned().unwrap();
        answered.helper.end_session();
        eventually("the helper sees the end", || stage.file("done").exists());
        drop(inherited);
    });
}
