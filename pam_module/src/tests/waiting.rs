//! The helper that waits between the account phase and the session: who is asked, and who is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use berth_protocol::{Phase, Reply, Request};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::apart::apart;
use super::eventually::eventually;
use super::starting::{Stage, bare, open_descriptors, request, runs};
use crate::error::Error;
use crate::exchange::{Answered, Helper, ask};
use crate::sys::held::Held;

const LONG: Duration = Duration::from_secs(10);

/// Notes its start, and answers two requests: the account phase's and the session's.
const BOTH: &str = "echo $$ >>starts
dd bs=65536 count=1 <&3 2>/dev/null >/dev/null
cat untouched >&3
dd bs=65536 count=1 <&3 2>/dev/null >/dev/null
cat ready >&3
cat kept >&3
cat <&3 >/dev/null
echo $$ >>ends";

/// The same, but ends after the account phase.
const ONCE: &str = "echo $$ >>starts
dd bs=65536 count=1 <&3 2>/dev/null >/dev/null
cat untouched >&3
echo $$ >>ends";

fn stage(script: &str) -> Stage {
    let stage = Stage::new(script);
    stage.message("untouched", &Reply::Untouched);
    stage.message("ready", &Reply::Ready(bare()));
    stage.message("kept", &Reply::Kept);
    stage
}

fn lines(stage: &Stage, file: &str) -> usize {
    let text = fs::read_to_string(stage.file(file)).unwrap_or_default();
    text.lines().count()
}

fn asked(waiting: Option<Helper>, path: &Path, phase: Phase) -> Answered {
    let request = Request { phase, ..request() };
    ask(waiting, path, &request, Instant::now() + LONG).unwrap()
}

#[test]
fn one_helper_serves_the_account_phase_and_the_session() {
    apart(&[], || {
        let stage = stage(BOTH);
        let descriptors = open_descriptors().len();
        let account = asked(None, &stage.helper(), Phase::Account);
        assert_eq!(account.reply, Reply::Untouched);
        let mut session = asked(Some(account.helper), &stage.helper(), Phase::Session);
        assert!(matches!(session.reply, Reply::Ready(_)));
        session.helper.joined(Instant::now()).unwrap();
        assert_eq!(lines(&stage, "starts"), 1);
        let open = open_descriptors().len() - descriptors;
        assert_eq!(open, 1, "with a session there is the socket alone");
        drop(session);
        eventually("the helper sees the end", || lines(&stage, "ends") == 1);
    });
}

#[test]
fn one_that_has_ended_meanwhile_costs_a_second_start_and_no_login() {
    apart(&[], || {
        let stage = stage(ONCE);
        let account = asked(None, &stage.helper(), Phase::Account);
        eventually("it ends", || lines(&stage, "ends") == 1);
        // Its socket is closed a moment after its last word.
        let helper = fs::read_to_string(stage.file("ends")).unwrap();
        eventually("it is gone", || !runs(&helper));
        let session = asked(Some(account.helper), &stage.helper(), Phase::Session);
        assert_eq!(session.reply, Reply::Untouched);
        assert_eq!(lines(&stage, "starts"), 2);
    });
}

#[test]
fn another_program_is_not_asked() {
    apart(&[], || {
        let stage = stage(BOTH);
        let other = stage.file("other");
        fs::copy(stage.helper(), &other).unwrap();
        let account = asked(None, &other, Phase::Account);
        let session = asked(Some(account.helper), &stage.helper(), Phase::Session);
        assert_eq!(session.reply, Reply::Untouched, "the new one's first reply");
        assert_eq!(lines(&stage, "starts"), 2);
        eventually("the other sees the end", || lines(&stage, "ends") == 1);
    });
}

#[test]
fn a_forked_process_does_not_ask_its_parents_helper() {
    apart(&[], || {
        // It would put the parent into the child's session: the helper knows the application by the socket.
        let stage = stage(BOTH);
        let account = asked(None, &stage.helper(), Phase::Account);
        #[allow(unsafe_code)]
        // SAFETY: the test's process has one thread.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let reply = asked(Some(account.helper), &stage.helper(), Phase::Session).reply;
                std::mem::forget(stage); // the parent's
                std::process::exit(i32::from(reply != Reply::Untouched));
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
                assert_eq!(lines(&stage, "starts"), 2);
            }
        }
    });
}

/// Before Linux 6.9 a pidfd of ours could not be told from whatever else has no file: it would be closed, or used.
#[test]
fn a_helper_that_waits_is_kept_by_its_socket_alone_and_ended_if_it_hangs_then() {
    apart(&[], || {
        let stage = stage(
            "dd bs=65536 count=1 <&3 2>/dev/null >/dev/null
trap 'echo >ended; exit' TERM
cat untouched >&3
while true; do sleep 0.1; done",
        );
        let before = open_descriptors().len();
        let account = asked(None, &stage.helper(), Phase::Account);
        let held = Held::new(account.helper.kept());
        assert_eq!(open_descriptors().len() - before, 1);
        let soon = Instant::now() + Duration::from_millis(100);
        let refused = ask(held.get(), &stage.helper(), &request(), soon);
        assert!(matches!(refused, Err(Error::Answer { .. })), "{refused:?}");
        assert!(stage.file("ended").exists());
        assert_eq!(open_descriptors().len(), before);
    });
}

/// After the account phase the socket is the worker's, and whoever runs su may kill the standby.
#[test]
#[allow(unsafe_code)]
fn whoever_has_the_pid_of_a_helper_that_was_killed_is_not_ended_for_it() {
    apart(&[], || {
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let stage = stage(
            "dd bs=65536 count=1 <&3 2>/dev/null >/dev/null
sleep 1000 &
echo $! >worker; echo $$ >standby
cat untouched >&3",
        );
        let account = asked(None, &stage.helper(), Phase::Account);
        let helper = account.helper.kept();
        let pid = |file| -> i32 {
            let text = fs::read_to_string(stage.file(file)).unwrap();
            text.trim().parse().unwrap()
        };
        let (standby, worker) = (pid("standby"), Pid::from_raw(pid("worker")));
        waitpid(Pid::from_raw(standby), None).unwrap();
        // Start times are counted in ticks: two of them, of 10 ms.
        std::thread::sleep(Duration::from_millis(20));
        // SAFETY: a structure of integers, for which zeroes are valid.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        (args.set_tid, args.set_tid_size) = (&raw const standby as u64, 1);
        args.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: as fork: the test's process has one thread, and the child waits for its end only.
        let other = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
        if other == 0 {
            loop {
                nix::unistd::pause();
            }
        }
        assert_eq!(other, i64::from(standby));
        let soon = Instant::now() + Duration::from_millis(100);
        ask(Some(helper), &stage.helper(), &request(), soon).unwrap_err();
        for pid in [worker, Pid::from_raw(standby)] {
            kill(pid, Signal::SIGKILL).unwrap();
            let killed = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
            assert_eq!(waitpid(pid, None), Ok(killed));
        }
    });
}

/// What an application starts while it is still in the session's cgroup is killed with that.
#[test]
fn an_application_that_has_not_joined_goes_on_when_all_is_rolled_back() {
    apart(&[], || {
        let ready = "dd bs=65536 count=1 <&3 >request 2>/dev/null; cat reply >&3";
        for (who, ends) in [
            (
                "a killed worker",
                "exec 3>&-; sleep 0.5; echo >rolled-back; exit",
            ),
            (
                "a helper that hangs",
                "trap 'echo >rolled-back; exit' TERM; while true; do sleep 0.1; done",
            ),
        ] {
            let stage = Stage::new(&format!("{ready}\n{ends}"));
            stage.message("reply", &Reply::Untouched);
            let answered = stage.ask(LONG).unwrap();
            assert!(!stage.file("rolled-back").exists(), "{who}");
            answered.helper.not_joined(String::new());
            assert!(stage.file("rolled-back").exists(), "{who}");
        }
    });
}
