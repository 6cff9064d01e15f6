//! A service manager in its user's berth.

use berth_tests::{Booted, Policy, Process, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    an_isolated_manager_runs_in_its_users_berth
    an_isolated_manager_is_frozen_with_its_user_and_goes_on
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    a_lingering_manager_makes_the_berth_that_logins_join
    an_isolated_manager_has_no_network_where_its_berth_has_none
    a_manager_that_berth_does_not_start_is_hidden_and_said_to_be_outside
};

const KINDS: [&str; 4] = ["pid", "user", "mnt", "ipc"];

/// Prints where a process is.
const WHERE: &str =
    "readlink /proc/self/ns/pid /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/ipc";

fn policy(user: &str) -> Policy {
    let shared =
        format!("scope = \"user\", user = \"{user}\", pid = true, ipc = true, mount = true");
    Policy {
        profile: "max_sessions = 2\nlogout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(&format!("{shared}, user_manager = \"isolated\""))
    }
}

/// As an admin does it. The file is a package's, and not in /etc/pam.d.
fn enable(machine: &Booted) {
    let told = machine.enable_managers();
    assert!(told.contains("alice logs in, into a berth"), "{told}");
}

fn disable(machine: &Booted) {
    machine
        .host("berth pam disable --yes --user alice systemd-user")
        .ok();
    machine
        .host("rm -r /var/lib/berth/pam.d && ! ls /etc/systemd/system/user@.service.d /etc/pam.d/systemd-user")
        .ok();
}

/// alice's service manager, when there is one.
fn manager(machine: &Booted) -> Option<Process> {
    let all = Process::named("systemd").into_iter();
    all.clone()
        .find(|one| one.uid() == Some(machine.uid("alice")))
}

fn place(process: Process) -> String {
    let paths = KINDS.map(|kind| format!("{}\n", process.namespace(kind).display()));
    paths.concat().trim_end().to_owned()
}

fn an_isolated_manager_runs_in_its_users_berth(machine: &Booted) {
    let mut capped = policy("identity");
    capped.profile += "\nuser = { tasks_max = 200 }";
    machine.berth("sshd", &capped);
    let before = machine.settled();
    enable(machine);
    let (login, sleeping) = machine.stay("alice");
    let berth = place(sleeping);
    let unit = format!(
        "{}/user@{}.service",
        machine.slice("alice"),
        machine.uid("alice")
    );
    let running = manager(machine).expect("a service manager");
    assert_eq!(place(running), berth);
    assert_eq!(running.cgroup(), Some(format!("{unit}/init.scope")));
    assert_eq!(
        machine.of_cgroup(&unit, "cgroup.subtree_control"),
        "cpu memory pids"
    );
    assert_eq!(machine.of_user("alice", "pids.max"), "200");

    // It does what it is asked for from within, in there.
    let asked = format!(
        "systemctl --user is-system-running; systemd-run --user --quiet --wait --pipe sh -c '{WHERE}'; \
         systemctl --user start no-such.service; journalctl --user --quiet --lines=1 --output=cat | wc -l"
    );
    let said = machine.ssh("alice", &asked);
    assert_eq!(said.stdout, format!("running\n{berth}\n1"), "{said:?}");
    assert!(
        said.stderr.contains("Unit no-such.service not found"),
        "{said:?}"
    );
    // The manager is no login: it takes the place of none.
    let more = machine.ssh("alice", "true");
    assert!(more.success(), "{more:?}");

    // Whom Berth leaves alone has a manager outside.
    let root = format!(
        "systemctl --user is-system-running && systemd-run --user --quiet --wait --pipe sh -c '{WHERE}'"
    );
    let root = machine.ssh("root", &root).ok();
    let host = machine.host(WHERE).ok();
    assert_eq!(root, format!("running\n{host}"));
    login.end();
    // logind ends it after the last login, as ever.
    assert!(eventually(|| manager(machine).is_none()), "it stays");
    disable(machine);
    machine.assert_nothing_left(&before);
}

fn an_isolated_manager_is_frozen_with_its_user_and_goes_on(machine: &Booted) {
    machine.berth("sshd", &policy("identity"));
    let before = machine.settled();
    enable(machine);
    // After the trial login's manager has ended.
    machine.settled();
    let (login, _) = machine.stay("alice");
    let running = manager(machine).expect("a service manager");
    let wrapper = running.parent().expect("who started it");
    let froze = machine.host("berth freeze alice");
    machine.host("berth thaw alice").ok();
    // It answers, and no other has taken its place.
    let said = machine.ssh("alice", "systemctl --user is-system-running");
    assert_eq!(said.stdout, "running", "{said:?}");
    assert_eq!(manager(machine), Some(running));
    assert_eq!(running.parent(), Some(wrapper));
    let unit = format!("systemctl is-active user@{}", machine.uid("alice"));
    assert_eq!(machine.host(&unit).ok(), "active");
    // Its session has no cgroup of its own, and does not go on by itself.
    assert_eq!(froze.ok(), "frozen user \"alice\": 2 sessions");
    machine.host("berth freeze alice").ok();
    let list = machine.host("berth list").ok();
    assert_eq!(list.matches("  frozen\n").count(), 2, "{list}");
    // Nor is it waited for: what stands handles no signal.
    let kill = "timeout 300 berth kill alice --yes --grace 1h";
    machine.host(kill).ok();
    login.end();
    assert!(eventually(|| manager(machine).is_none()), "it stays");
    disable(machine);
    machine.assert_nothing_left(&before);
}

/// Has alice's manager isolated and started before she logs in.
fn lingers(machine: &Booted) -> Process {
    enable(machine);
    // After the trial login's manager has ended.
    machine.settled();
    machine.host("loginctl enable-linger alice").ok();
    assert!(
        eventually(|| manager(machine).is_some()),
        "no service manager"
    );
    manager(machine).expect("a service manager")
}

fn a_lingering_manager_makes_the_berth_that_logins_join(machine: &Booted) {
    machine.berth("sshd", &policy("minimal"));
    let before = machine.settled();
    let running = lingers(machine);
    let berth = machine.ssh("alice", WHERE).ok();
    assert_eq!(place(running), berth);
    let alone = eventually(|| {
        let list = machine.host("berth list").ok();
        list.contains("systemd-user") && list.contains("1 session,")
    });
    assert!(alone, "{:?}", machine.host("berth list"));
    // It outlives her logins, and what she has it run with it.
    machine
        .ssh("alice", "systemd-run --user --quiet sleep 1000")
        .ok();
    let sleeping = || {
        Process::named("sleep")
            .into_iter()
            .find(|one| one.uid() == running.uid())
    };
    assert!(eventually(|| machine.sessions().is_empty()));
    assert!(eventually(|| sleeping().is_some()), "it runs nothing");
    assert_eq!(sleeping().map(place), Some(berth));
    // Its end, however it comes, is that of the berth.
    let wrapper = running.parent().expect("who started it");
    assert_eq!(wrapper.name(), "berth");
    wrapper.kill();
    assert!(eventually(|| sleeping().is_none()), "it goes on");
    machine.host("loginctl disable-linger alice").ok();
    disable(machine);
    machine.assert_nothing_left(&before);
}

fn an_isolated_manager_has_no_network_where_its_berth_has_none(machine: &Booted) {
    let mut policy = policy("identity");
    policy.namespaces += ", net = true";
    machine.berth("sshd", &policy);
    let before = machine.settled();
    lingers(machine);
    // What it starts is in there, and it can be asked by who is, over a socket that is a file.
    let look = "readlink /proc/self/ns/net; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
    let said = machine.ssh(
        "alice",
        &format!("{look}; systemd-run --user --quiet --wait --pipe sh -c \"{look}\""),
    );
    let said = said.ok();
    let [here, lo, there, lo_there] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}");
    };
    assert_eq!((here, lo, lo_there), (there, "lo", "lo"));
    assert_ne!(here, machine.host("readlink /proc/self/ns/net").ok());
    machine.host("loginctl disable-linger alice").ok();
    assert!(eventually(|| manager(machine).is_none()), "it stays");
    disable(machine);
    machine.assert_nothing_left(&before);
}

fn a_manager_that_berth_does_not_start_is_hidden_and_said_to_be_outside(machine: &Booted) {
    machine.berth("sshd", &policy("identity"));
    let before = machine.settled();
    let (login, sleeping) = machine.stay("alice");
    let running = manager(machine).expect("a service manager");
    assert_ne!(running.namespace("pid"), sleeping.namespace("pid"));
    let said = machine
        .ssh("alice", "systemctl --user is-system-running")
        .refused();
    assert!(
        said.stderr.contains("No such file or directory"),
        "{said:?}"
    );
    let line = machine.logged("hidden and not in the berth");
    assert!(line.contains("result=ok"), "{line}");
    let doctor = machine.host("berth doctor").stdout;
    assert!(doctor.contains("berth pam enable systemd-user"), "{doctor}");
    login.end();
    machine.assert_nothing_left(&before);
}
