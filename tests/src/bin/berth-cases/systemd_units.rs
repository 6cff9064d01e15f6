//! Whose unit a login is in on a machine that systemd runs, and what happens when parts of all this fail.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use berth_tests::{Background, Booted, Policy, Process, becomes, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    without_pam_systemd_a_login_is_in_a_scope_of_berths
    past_logins_of_logind_nobody_is_uncapped
    su_in_a_session_is_in_its_users_slice
    the_users_service_manager_is_under_the_caps
    without_its_own_socket_systemd_is_asked_over_the_bus
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    a_killed_part_of_a_capped_login_leaves_nothing_under_systemd
    a_helper_killed_while_it_opens_leaves_nothing_under_systemd
    what_a_login_leaves_running_ends_with_it
    keepers_have_a_place_though_nobody_started_it
    a_systemd_that_does_not_answer_costs_a_moment
    a_login_without_a_network_is_one_to_logind_and_ends_like_any_other
    what_goes_on_beside_an_application_that_stays_is_ended
    a_scope_that_its_user_calls_as_logind_does_is_no_session
    a_systemd_that_reloads_for_some_seconds_keeps_nobody_out
    quick_logins_by_ssh_are_all_in_their_users_slice_and_leave_no_unit
};

const PRIVATE: &str = "/run/systemd/private";
const ASIDE: &str = "/run/systemd/private.aside";
const CAPS: &str =
    "user = { memory_max = \"64M\", memory_swap_max = 0 }\nlogout = { grace = \"1s\" }";

/// Where there are no controllers systemd is asked for the caps all the same.
const WARN: &str = "missing_controller = \"warn\"";

fn capped(machine: &Booted) {
    let policy = Policy {
        defaults: WARN.into(),
        ..Policy::with_profile(CAPS)
    };
    machine.berth("sshd", &policy);
}

/// Fails unless this process is in a scope of Berth's, under its user's caps.
#[track_caller]
fn assert_in_berths_scope(machine: &Booted, user: &str, process: Process) {
    let cgroup = process.cgroup().expect("a cgroup");
    let scope = format!("/user.slice/user-{}.slice/berth-", machine.uid(user));
    assert!(
        cgroup.starts_with(&scope) && cgroup.ends_with(".scope"),
        "{cgroup}"
    );
    assert_eq!(machine.of_user(user, "memory.max"), "67108864");
}

fn without_pam_systemd_a_login_is_in_a_scope_of_berths(machine: &Booted) {
    capped(machine);
    machine.without_pam_systemd();
    let before = machine.settled();
    let (login, sleep) = machine.stay("alice");
    assert_in_berths_scope(machine, "alice", sleep);
    assert_eq!(machine.sessions(), [""; 0]);
    machine.ssh("alice", "berth-probe eat 100").refused();
    let list = machine.host("berth list").ok();
    assert!(list.contains("alice"), "{list}");
    // What a login leaves behind ends with it.
    machine
        .ssh("alice", "setsid sleep 2000 >/dev/null 2>&1 &")
        .ok();
    login.end();
    machine.assert_nothing_left(&before);
}

fn a_login_without_a_network_is_one_to_logind_and_ends_like_any_other(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, uts = true, net = true"#,
        ),
    );
    let before = machine.settled();
    let (login, sleep) = machine.stay("alice");
    for kind in ["net", "uts"] {
        assert_ne!(sleep.namespace(kind), Process(1).namespace(kind), "{kind}");
    }
    assert_eq!(machine.sessions().len(), 1);
    // logind and the bus are reached by sockets that are files.
    let look = "tail -n +3 /proc/net/dev | cut -d: -f1; loginctl list-sessions --no-legend";
    let said = machine.ssh("alice", look).ok();
    let (interface, sessions) = said.split_once('\n').unwrap_or((&said, ""));
    assert_eq!(interface.trim(), "lo");
    assert!(sessions.contains("alice"), "{said}");
    login.end();
    machine.assert_nothing_left(&before);
}

fn past_logins_of_logind_nobody_is_uncapped(machine: &Booted) {
    capped(machine);
    machine.settled();
    let few = "/run/systemd/logind.conf.d";
    fs::create_dir_all(few).expect(few);
    fs::write(format!("{few}/few.conf"), "[Login]\nSessionsMax=1\n").expect(few);
    machine.host("systemctl restart systemd-logind").ok();
    machine.settled();
    let (first, _) = machine.stay("alice");
    let (second, sleep) = machine.stay("bob");
    let place = sleep.cgroup();
    let caps = machine.of_user("bob", "memory.max");
    let hog = machine.ssh("bob", "berth-probe eat 100");
    second.end();
    first.end();
    let _ = fs::remove_dir_all(few);
    machine.settled();
    machine.host("systemctl restart systemd-logind").ok();
    assert!(
        place.as_ref().is_some_and(|at| at.contains("/berth-")),
        "{place:?}"
    );
    assert_eq!(caps, "67108864");
    hog.refused();
    machine.assert_caps_taken_back("bob");
}

fn su_in_a_session_is_in_its_users_slice(machine: &Booted) {
    machine.berth("su", &Policy::with_profile(CAPS));
    let before = machine.settled();
    let inside = || {
        let mut all = Process::named("sleep").into_iter();
        all.find(|one| one.uid() == Some(machine.uid("alice")))
    };
    let su = "su alice -c 'exec sleep 1000'";
    let (login, _) = machine.background("root", su, "su");
    assert!(eventually(|| inside().is_some()));
    let inside = inside().expect("alice's");
    assert_in_berths_scope(machine, "alice", inside);
    for leader in Process::named("su") {
        leader.kill();
    }
    assert!(eventually(|| !inside.exists()));
    login.end();
    machine.assert_nothing_left(&before);
}

/// Users' own managers call units as they like: also as the FIFO that logind has beside each session's file, and as a session
/// of somebody else's, whose leader had the PID that a login of theirs has now.
fn a_scope_that_its_user_calls_as_logind_does_is_no_session(machine: &Booted) {
    // Without pam_systemd, which may make it a session (257).
    let stack =
        ["auth", "account", "session"].map(|kind| format!("{kind} required pam_permit.so\n"));
    fs::write("/etc/pam.d/su", stack.concat()).expect("su's stack");
    machine.berth("su", &Policy::default());
    let before = machine.settled();
    let (hers, sleep) = machine.stay("alice");
    let (his, victim) = machine.stay("bob");
    let session = |process: Process| {
        let cgroup = process.cgroup().expect("a cgroup");
        let (_, id) = cgroup.rsplit_once("/session-").expect("logind's scope");
        id.trim_end_matches(".scope").to_owned()
    };
    let his_id = session(victim);
    for id in [his_id.clone(), format!("{}.ref", session(sleep))] {
        let su = format!(
            "until test -e go; do timeout 0.1 tail -f /dev/null; done; rm -f go
             exec systemd-run --user --scope --unit=session-{id}.scope su alice -c 'exec sleep 1000'"
        );
        let (login, leader) = machine.background("alice", &su, "sh");
        let file = format!("/run/systemd/sessions/{his_id}");
        machine
            .host(&format!("sed -i s/^LEADER=.*/LEADER={}/ {file}", leader.0))
            .ok();
        fs::write("/home/alice/go", "").expect("a file");
        let inside = || {
            let all = Process::named("sleep").into_iter();
            let mut all = all.filter(|one| one.uid() == Some(machine.uid("alice")));
            all.find(|one| *one != sleep)
        };
        assert!(eventually(|| inside().is_some()), "{id}: no login");
        let cgroup = inside().and_then(Process::cgroup).expect("a cgroup");
        let scope = format!("{}/berth-", machine.slice("alice"));
        assert!(cgroup.starts_with(&scope), "{id}: {cgroup}");
        // Nobody holds her lock.
        machine.host("su alice -c true && berth apply").ok();
        machine.host("berth kill --yes alice").ok();
        assert!(victim.exists());
        login.end();
    }
    hers.end();
    his.end();
    // Without a berth a command outlives its connection.
    sleep.kill();
    victim.kill();
    machine.assert_nothing_left(&before);
}

fn what_goes_on_beside_an_application_that_stays_is_ended(machine: &Booted) {
    machine.berth("su", &Policy::with_profile("logout = { grace = \"0s\" }"));
    let before = machine.settled();
    let mut application = Background::talking("berth-probe open-close-stay su alice");
    assert_eq!(application.line(), "open");
    let leader = application.process();
    let scope = leader.cgroup().expect("a cgroup");
    // Moved there, since the application starts nothing: each of these makes others as long as it is let.
    let procs = machine
        .cgroups()
        .root()
        .join(&scope[1..])
        .join("cgroup.procs");
    let others = format!(
        "sh -c 'echo $$ >{}; exec setpriv --reuid={} --clear-groups prlimit --nproc=50 berth-probe headless' >/dev/null 2>&1 &",
        procs.display(),
        machine.uid("alice"),
    );
    machine.host(&others);
    let others = || {
        let all = Process::named("berth-probe").into_iter();
        all.filter(|one| *one != leader).count()
    };
    assert!(eventually(|| others() > 10));
    let input = application.0.stdin.as_mut().expect("stdin");
    input.write_all(b"\n").expect("write");
    assert_eq!(application.line(), "closed");
    becomes(others, 0);
    let records = || fs::read_dir("/run/berth/sessions").map_or(0, Iterator::count);
    becomes(records, 0);
    assert!(leader.exists());
    assert_eq!(leader.cgroup().as_ref(), Some(&scope));
    leader.kill();
    let _ = application.0.wait(); // by that signal
    machine.assert_nothing_left(&before);
}

fn the_users_service_manager_is_under_the_caps(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy {
            profile: CAPS.into(),
            ..Policy::with_namespaces(
                r#"user = "identity", pid = true, ipc = true, mount = true, user_manager = "host""#,
            )
        },
    );
    let before = machine.settled();
    let (login, _) = machine.stay("alice");
    let uid = machine.uid("alice");
    let mine = || {
        let all = Process::named("systemd").into_iter();
        all.filter(|one| one.uid() == Some(uid)).collect::<Vec<_>>()
    };
    assert!(eventually(|| !mine().is_empty()));
    let cgroup = mine()[0].cgroup().expect("a cgroup");
    let slice = format!("/user.slice/user-{uid}.slice/user@{uid}.service");
    assert!(cgroup.starts_with(&slice), "{cgroup}");
    let run = "systemd-run --user --quiet --wait --pipe berth-probe";
    let env = format!("XDG_RUNTIME_DIR=/run/user/{uid}");
    assert_eq!(
        machine.ssh("alice", &format!("{env} {run} eat 20")).ok(),
        "ate 20 MB"
    );
    machine
        .ssh("alice", &format!("{env} {run} eat 100"))
        .refused();
    login.end();
    machine.assert_nothing_left(&before);
}

fn a_killed_part_of_a_capped_login_leaves_nothing_under_systemd(machine: &Booted) {
    capped(machine);
    let before = machine.settled();
    let [keepers, standbys]: [fn() -> Vec<Process>; 2] = [Process::keepers, Process::standbys];
    for (name, parts) in [
        ("keeper", &[keepers][..]),
        ("standby", &[standbys]),
        ("both", &[keepers, standbys]),
    ] {
        let (login, sleep) = machine.stay("alice");
        let victims: Vec<_> = parts.iter().flat_map(|part| part()).collect();
        assert_eq!(victims.len(), parts.len(), "{name}");
        for victim in &victims {
            victim.kill();
        }
        if name == "standby" {
            assert!(sleep.exists());
        } else {
            assert!(eventually(|| !sleep.exists()), "{name}");
        }
        login.end();
        if name == "both" {
            // The next login cleans up.
            machine.ssh("alice", "true").ok();
        }
        machine.assert_nothing_left(&before);
    }
}

/// At the steps at which tests/tests/roll_back.rs kills it, here with what systemd has set and made by then.
fn a_helper_killed_while_it_opens_leaves_nothing_under_systemd(machine: &Booted) {
    capped(machine);
    let trace = |inject: &str| {
        machine.helper(&format!("exec {inject} /usr/libexec/berth-helper \"$@\""));
    };
    trace("");
    let before = machine.settled();
    for call in [
        "/^rename:when=1",
        "mount:when=3",
        "unshare:when=1",
        "/^rename:when=2",
    ] {
        trace(&format!(
            "strace -D -f -qq -o /dev/null -e inject={call}:signal=KILL"
        ));
        machine.ssh("alice", "true").refused();
        trace("");
        // What is left where both of its processes were hit, the next login removes.
        machine.ssh("alice", "true").ok();
        machine.assert_nothing_left(&before);
    }
}

fn what_a_login_leaves_running_ends_with_it(machine: &Booted) {
    // Without namespaces nothing but the scope holds them together.
    let policy = Policy {
        defaults: WARN.into(),
        profile: CAPS.into(),
        ..Policy::with_namespaces("")
    };
    machine.berth("sshd", &policy);
    let before = machine.settled();
    machine.ssh("alice", "setsid sleep 2000 >/dev/null 2>&1 & trap '' TERM HUP; setsid sleep 2000 >/dev/null 2>&1 &").ok();
    machine.assert_nothing_left(&before);

    let (login, sleep) = machine.stay("alice");
    let scope = sleep.cgroup().expect("a cgroup");
    assert!(scope.contains("/session-"), "{scope}");
    machine.host("berth kill --yes alice").ok();
    assert!(eventually(|| !sleep.exists()));
    login.end();
    machine.assert_nothing_left(&before);
}

fn keepers_have_a_place_though_nobody_started_it(machine: &Booted) {
    capped(machine);
    machine.host("systemctl stop berth.service; rmdir /sys/fs/cgroup/berth.slice/berth.service/keepers; true").ok();
    assert!(!machine.host("systemctl is-active berth.service").success());
    let (login, _) = machine.stay("alice");
    machine.host("systemctl is-active berth.service").ok();
    let keepers = Process::named("berth-helper");
    assert!(!keepers.is_empty());
    for keeper in keepers {
        assert_eq!(
            keeper.cgroup().expect("a cgroup"),
            "/berth.slice/berth.service/keepers"
        );
    }
    login.end();

    machine
        .host("systemctl stop berth.service; systemctl mask --runtime berth.service")
        .ok();
    let said = machine.ssh("alice", "echo in");
    machine
        .host("systemctl unmask --runtime berth.service; systemctl start berth.service")
        .ok();
    said.refused();
    // What the account phase had set for it.
    machine.assert_caps_taken_back("alice");
    machine.logged("start berth.service");
}

/// Does something while systemd's own socket is not there.
fn without_private_socket<T>(action: impl FnOnce() -> T) -> T {
    fs::rename(PRIVATE, ASIDE).expect("move the socket aside");
    let done = action();
    let _ = fs::remove_file(PRIVATE);
    fs::rename(ASIDE, PRIVATE).expect("move the socket back");
    done
}

fn a_systemd_that_does_not_answer_costs_a_moment(machine: &Booted) {
    capped(machine);
    machine.settled();
    let (took, said) = without_private_socket(|| {
        let _nobody_answers = UnixListener::bind(PRIVATE).expect("a socket");
        let start = Instant::now();
        let said = machine.ssh("alice", "echo in");
        (start.elapsed(), said)
    });
    // Nobody ever answers; the rest is for a machine that is busy.
    assert!(took < Duration::from_secs(30), "{took:?}");
    said.refused();
    machine.assert_caps_taken_back("alice");
    machine.logged("cannot talk with systemd");

    let mut allow = Policy::with_profile(CAPS);
    allow.defaults = format!("on_error = \"allow\"\n{WARN}");
    machine.policy(&allow);
    let said = without_private_socket(|| {
        let _nobody_answers = UnixListener::bind(PRIVATE).expect("a socket");
        machine.ssh("alice", "echo in")
    });
    assert_eq!(said.ok(), "in");
    assert!(Path::new(PRIVATE).exists());
}

fn a_systemd_that_reloads_for_some_seconds_keeps_nobody_out(machine: &Booted) {
    // A login whose scope Berth has systemd start.
    machine.without_pam_systemd();
    machine.berth(
        "sshd",
        &Policy::with_namespaces(r#"user = "identity", pid = true, mount = true"#),
    );
    machine.settled();
    let said = without_private_socket(|| {
        let answers_late = UnixListener::bind(PRIVATE).expect("a socket");
        std::thread::spawn(move || {
            for asks in answers_late.incoming().flatten() {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(3));
                    let systemd = UnixStream::connect(ASIDE).expect("systemd's socket");
                    let pass = |mut from: &UnixStream, mut to: &UnixStream| {
                        // Either may end it.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    };
                    std::thread::scope(|scope| {
                        scope.spawn(|| pass(&asks, &systemd));
                        pass(&systemd, &asks);
                    });
                });
            }
        });
        machine.ssh("alice", "cat /proc/self/cgroup")
    });
    assert!(said.ok().contains("/berth-"));
}

fn without_its_own_socket_systemd_is_asked_over_the_bus(machine: &Booted) {
    capped(machine);
    let before = machine.settled();
    let (login, _) = without_private_socket(|| machine.stay("alice"));
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    login.end();
    machine.assert_nothing_left(&before);
}

fn quick_logins_by_ssh_are_all_in_their_users_slice_and_leave_no_unit(machine: &Booted) {
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    let log_in = || {
        for _ in 0..25 {
            let said = machine
                .ssh("alice", "cat /proc/1/comm /proc/self/cgroup")
                .ok();
            let slice = machine.slice("alice");
            let is_in_berth = said.starts_with("berth-init\n") && said.contains(&slice);
            assert!(is_in_berth, "{said}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(log_in);
        }
        for user in ["bob", "root"] {
            assert_eq!(machine.ssh(user, "echo in").ok(), "in", "meanwhile");
        }
    });
    machine.assert_nothing_left(&before);
    let units =
        machine.host("systemctl list-units --all --plain --no-legend 'session-*' 'berth-[0-9]*'");
    assert_eq!(units.ok(), "");
}
