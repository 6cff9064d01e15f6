//! An application with threads, as display managers are. The kernel lets it join no user namespace, and that
//! is found out before anything changes.

use berth_tests::{Background, Machine, Policy, Process, Stack};

/// A process with so many threads that has tried to open a session of alice's, and what came of it.
fn open(machine: &Machine, threads: u32) -> (Background, String) {
    let probe = machine.probe(&format!("open-among-threads {threads} sshd alice"));
    let mut application = Background::talking(&probe);
    let outcome = application.line();
    (application, outcome)
}

/// All that a join changes.
fn state(process: Process) -> String {
    let namespaces = ["user", "pid_for_children", "ipc", "mnt"].map(|kind| process.namespace(kind));
    let fields =
        ["Uid", "Groups", "NoNewPrivs", "Seccomp", "CapBnd"].map(|field| process.status(field));
    format!("{namespaces:?} {fields:?}")
}

fn is_untouched(application: &Background) -> bool {
    state(application.process()) == state(Process::own())
}

fn is_capped(machine: &Machine, application: &Background) -> bool {
    let cgroup = application.process().cgroup().unwrap();
    cgroup.contains(&format!("/user-{}/", machine.uid("alice")))
}

#[test]
fn with_one_thread_an_application_is_joined() {
    Machine::run(|machine| {
        let (application, outcome) = open(machine, 1);
        assert_eq!(outcome, "open");
        assert!(!is_untouched(&application));
        assert!(is_capped(machine, &application));
    });
}

#[test]
fn with_threads_it_is_refused_before_anything_changes() {
    Machine::run(|machine| {
        machine.policy(&Policy::default().on_error("deny"));
        let before = machine.settled();
        for account in [true, false] {
            machine.stack(&Stack {
                account,
                ..Stack::default()
            });
            let (application, outcome) = open(machine, 2);
            let call = if account {
                "pam_acct_mgmt"
            } else {
                "pam_open_session"
            };
            assert!(
                outcome.starts_with(call) && outcome.contains("error"),
                "{outcome}"
            );
            assert_eq!(application.process().status("Threads").unwrap(), "2");
            assert!(is_untouched(&application));
            assert!(!is_capped(machine, &application));
            application.end();
            machine.assert_nothing_left(&before);
        }
        let line = machine.logged("on_error = deny");
        assert!(line.contains("it has more than one thread"), "{line}");
        assert!(line.contains("service sshd"), "{line}");
    });
}

#[test]
fn with_threads_it_gets_caps_only_where_errors_let_a_login_go_on() {
    Machine::run(|machine| {
        machine.policy(&Policy::default().on_error("allow"));
        let before = machine.settled();
        let (application, outcome) = open(machine, 2);
        assert_eq!(outcome, "open");
        assert_eq!(application.process().status("Threads").unwrap(), "2");
        assert!(is_untouched(&application));
        assert!(is_capped(machine, &application));
        let line = machine.logged("caps only: the application has more than one thread");
        assert!(line.contains("user=alice"), "{line}");
        application.end();
        machine.assert_nothing_left(&before);
    });
}
