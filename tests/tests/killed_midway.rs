//! A login program that is killed in the middle of its login leaves nothing, whatever it was doing.

use std::process::{Command, Stdio};

use berth_tests::Machine;

/// The calls in which the module and PAM do their work.
const CALLS: &str = "socketpair,clone,clone3,vfork,sendmsg,recvmsg,poll,ppoll,setns,prctl,seccomp,keyctl,chdir,\
                     pidfd_open,sendto,setgroups,setuid,setgid,close_range";

#[test]
fn su_killed_at_any_step_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        let mut killed = 0;
        for nth in 1..300 {
            let su = Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
                .args(["-e", &format!("inject={CALLS}:signal=KILL:when={nth}")])
                .args(["su", "alice", "-c", "echo in; sleep 0.2"])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            machine.assert_nothing_left(&before);
            if su.status.success() {
                break;
            }
            killed += 1;
        }
        assert!((20..299).contains(&killed), "killed {killed} times");
        assert_eq!(machine.su("alice", "echo in").ok(), "in");
    });
}
