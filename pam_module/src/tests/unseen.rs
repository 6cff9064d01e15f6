//! What the helper gets of the application, and what the application notices of the helper: nothing.
#![allow(unsafe_code)]

use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use berth_protocol::Reply;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};

use super::apart::apart;
use super::changing::{forbid, forbid_with};
use super::eventually::eventually;
use super::starting::{GOOD, Stage, no_children, open_descriptors, runs};

const LONG: Duration = Duration::from_secs(60);

/// Writes down what the helper is like, then answers.
const SEEN: &str = "cat /proc/$$/environ >environ
tr '\\0' ' ' </proc/$$/cmdline >cmdline
[ /proc/$$/fd/1 -ef /dev/null ] && echo null >one
ls -l /proc/$$/fd >fd
cat /proc/self/status >status
cat /proc/$$/auxv >auxv
cat /proc/$$/stat >stat
cat /proc/self/limits >limits
umask >umask
echo $OLDPWD >cwd";

static SIGNALS: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

fn on_child(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only counts.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.unwrap();
}

fn asked(stage: &Stage) {
    stage.message("reply", &Reply::Untouched);
    let answered = stage.ask(LONG).unwrap();
    assert_eq!(answered.reply, Reply::Untouched);
    drop(answered);
    eventually("the helper ends", || stage.file("done").exists());
}

/// The value of a line of /proc/PID/status.
fn status<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key}:")));
    line.unwrap().split_once(':').unwrap().1.trim()
}

/// Of this thread, which is the one that starts the helper.
fn own_status() -> String {
    fs::read_to_string("/proc/thread-self/status").unwrap()
}

#[test]
fn an_application_that_counts_its_children_sees_none() {
    apart(&[], || {
        on_child(SigHandler::Handler(count));
        // Whoever reads this test's output must not wait for it where the test fails.
        let mut own = std::process::Command::new("sleep")
            .arg("1000")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let stage = Stage::new(&format!("echo $$ >pid\n{GOOD}"));
        asked(&stage);
        let pid = fs::read_to_string(stage.file("pid")).unwrap();
        eventually("the helper is gone", || !runs(&pid));
        // What the kernel has sent is taken by whichever thread it wakes.
        let waits = || u64::from_str_radix(status(&own_status(), "ShdPnd"), 16).unwrap();
        let sent = 1 << (Signal::SIGCHLD as u32 - 1);
        eventually("no signal waits", || waits() & sent == 0);
        assert_eq!(SIGNALS.load(Ordering::Relaxed), 0, "SIGCHLD");
        assert!(
            own.try_wait().unwrap().is_none(),
            "its own child still runs"
        );
        own.kill().unwrap();
        own.wait().unwrap();
        // Whichever thread it is that the signal goes to.
        eventually("its own child's", || SIGNALS.load(Ordering::Relaxed) == 1);
        assert_eq!(no_children(), Errno::ECHILD);
    });
}

#[test]
fn an_application_that_ignores_its_children_is_served_as_well() {
    apart(&[], || {
        on_child(SigHandler::SigIgn);
        let (before, descriptors) = (own_status(), open_descriptors());
        asked(&Stage::new(GOOD));
        assert_eq!(no_children(), Errno::ECHILD);
        assert_eq!(open_descriptors(), descriptors);
        assert_eq!(status(&own_status(), "SigIgn"), status(&before, "SigIgn"));
    });
}

#[test]
fn the_helper_inherits_nothing() {
    apart(&[], || {
        // An application as odd as can be: `su` of a user with a group of its own, and sloppy besides.
        let odd = fs::File::open("/etc/passwd").unwrap();
        let leaked = nix::fcntl::fcntl(&odd, nix::fcntl::FcntlArg::F_DUPFD(200)).unwrap();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None).unwrap();
        on_child(SigHandler::SigIgn);
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        std::env::set_current_dir("/usr").unwrap();
        nix::unistd::setgroups(&[5.into(), 6.into()]).unwrap();
        nix::unistd::setresgid(1000.into(), 1000.into(), 1000.into()).unwrap();
        nix::unistd::setresuid(1000.into(), 0.into(), 0.into()).unwrap();
        nix::sys::prctl::set_dumpable(true).unwrap();
        // At its limit of processes, too.
        setrlimit(Resource::RLIMIT_NPROC, 0, 0).unwrap();
        setrlimit(Resource::RLIMIT_STACK, 1 << 16, 1 << 26).unwrap();
        let before = own_status();

        let stage = Stage::new(&format!("{SEEN}\n{GOOD}"));
        asked(&stage);

        let read = |name: &str| fs::read_to_string(stage.file(name)).unwrap();
        assert_eq!(read("environ"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\0");
        let helper = stage.helper();
        assert_eq!(
            read("cmdline"),
            format!("/bin/bash {} --session ", helper.display())
        );
        assert_eq!(read("umask").trim(), "0022");
        assert_eq!(read("cwd").trim(), "/");
        for line in read("fd").lines().skip(1) {
            let (name, target) = line.split_once(" -> ").unwrap();
            let number = name.rsplit(' ').next().unwrap();
            match number {
                "0" | "2" => assert_eq!(target, "/dev/null"),
                // Where this very list goes to, just now.
                "1" => assert_eq!(read("one"), "null\n"),
                "3" => assert!(target.starts_with("socket:"), "{line}"),
                // The shell's own: the script, and what 1 was before that list.
                _ => assert!(
                    ["/dev/null", helper.to_str().unwrap()].contains(&target),
                    "{line}"
                ),
            }
        }
        let seen = read("status");
        for key in ["Uid", "Gid"] {
            assert_eq!(status(&seen, key), "0\t0\t0\t0", "{key}");
        }
        assert_eq!(status(&seen, "Groups"), "");
        for key in ["SigBlk", "SigIgn"] {
            assert_eq!(status(&seen, key), "0000000000000000", "{key}");
        }
        let limits = read("limits");
        let stack = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max stack size"));
        let stack: Vec<&str> = stack.unwrap().split_whitespace().collect();
        assert_eq!(stack[..2], ["8388608", "67108864"], "a stack as by default");
        let auxv = fs::read(stage.file("auxv")).unwrap();
        let secure = auxv
            .chunks_exact(16)
            .map(|pair| (u64::from_ne_bytes(pair[..8].try_into().unwrap()), pair[8]))
            .find(|(key, _)| *key == libc::AT_SECURE);
        assert_eq!(secure.unwrap().1, 0, "AT_SECURE");
        let stat = read("stat");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        assert_ne!(
            fields[1],
            std::process::id().to_string(),
            "no child of ours"
        );
        let own = nix::unistd::getsid(None).unwrap().to_string();
        assert_ne!(fields[3], own, "a terminal session of its own");
        assert_eq!(fields[4], "0", "no terminal");

        // And the application is what it was.
        let after = own_status();
        for key in [
            "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "Umask", "CapEff", "Threads",
        ] {
            assert_eq!(status(&after, key), status(&before, key), "{key}");
        }
        assert!(nix::sys::prctl::get_dumpable().unwrap());
        assert_eq!(std::env::current_dir().unwrap().to_str(), Some("/usr"));
        nix::unistd::close(leaked).unwrap();
    });
}

#[test]
fn an_application_without_standard_descriptors_is_served_as_well() {
    apart(&[], || {
        let stage = Stage::new(&format!("{SEEN}\n{GOOD}"));
        stage.message("reply", &Reply::Untouched);
        let open: Vec<i32> = (0..10).filter(|fd| descriptor_exists(*fd)).collect();
        let saved: Vec<i32> = open
            .iter()
            .map(|fd| nix::fcntl::fcntl(borrowed(*fd), nix::fcntl::FcntlArg::F_DUPFD(200)).unwrap())
            .collect();
        for fd in &open {
            nix::unistd::close(*fd).unwrap();
        }
        // The socket pair now gets 0 and 1, and every number that the helper shall have is free or in the way.
        let answered = stage.ask(LONG);
        let ours = (0..3).filter(|fd| descriptor_exists(*fd)).count();
        for (fd, saved) in open.iter().zip(&saved) {
            // SAFETY: closed above, so the number is free.
            assert!(unsafe { libc::dup2(*saved, *fd) } >= 0);
        }
        assert_eq!(answered.unwrap().reply, Reply::Untouched);
        assert_eq!(ours, 0, "a standard stream is ours");
        eventually("the helper ends", || stage.file("done").exists());
        let fds = fs::read_to_string(stage.file("fd")).unwrap();
        for part in [" 0 -> /dev/null", " 2 -> /dev/null", " 3 -> socket:"] {
            assert!(fds.contains(part), "{fds}");
        }
        assert!(stage.file("one").exists());
        assert_eq!(fds.matches("socket:").count(), 1, "{fds}");
    });
}

fn descriptor_exists(fd: i32) -> bool {
    fs::exists(format!("/proc/self/fd/{fd}")).unwrap()
}

fn borrowed(fd: i32) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: open, and used for one call.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

/// glibc's setuid would make root of every thread of the application.
#[test]
fn the_applications_other_threads_stay_who_they_are() {
    apart(&[], || {
        let (ready, wait) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let thread = std::thread::spawn(move || {
            // SAFETY: the raw call, for this thread alone.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, 1000, 1000, 1000) };
            assert_eq!(changed, 0);
            ready.0.send(()).unwrap();
            wait.1.recv().unwrap();
            fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        ready.1.recv().unwrap();
        asked(&Stage::new(GOOD));
        wait.0.send(()).unwrap();
        assert_eq!(
            status(&thread.join().unwrap(), "Uid"),
            "1000\t1000\t1000\t1000"
        );
    });
}

/// An application may run under a filter of its own.
#[test]
fn a_system_call_that_is_forbidden_is_named() {
    apart(&[], || {
        let stage = Stage::new(GOOD);
        let helper = stage.helper();
        let starts = format!("cannot start {}", helper.display());
        // The second child's clone, what the first does before, and the first's.
        let second = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        for (forbid, says) in [
            (
                &(|| forbid_with(libc::SYS_clone, second, None)) as &dyn Fn(),
                "",
            ),
            (
                &|| forbid(libc::SYS_close_range),
                " (closing other descriptors)",
            ),
            (&|| forbid(libc::SYS_clone), ""),
        ] {
            forbid();
            let error = stage.ask(LONG).unwrap_err().to_string();
            assert_eq!(error, format!("{starts}{says}: Operation not permitted"));
        }
        assert_eq!(no_children(), Errno::ECHILD);
    });
}
