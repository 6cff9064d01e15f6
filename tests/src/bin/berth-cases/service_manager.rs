//! The user's service manager, which starts any program for whoever asks, outside of every berth.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use berth_tests::{Booted, Output, Policy, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_service_manager_can_be_asked_from_a_berth_unless_it_is_hidden
    a_hidden_managers_folder_is_the_berths_own_and_usable
    a_manager_that_starts_after_a_login_is_hidden_from_it_too
    a_hidden_manager_starts_what_its_user_has_enabled_outside
    a_unit_of_the_users_takes_a_login_out_of_its_session_unless_the_bus_forbids_it
    a_scope_of_the_users_own_manager_needs_what_the_bus_forbids_then
    the_cgroups_of_a_manager_take_no_login_out_of_its_session
    a_users_journal_can_be_read_from_a_berth
};

const FORBIDDEN: &str = "/etc/dbus-1/system.d/berth-attach.conf";

const BERTH: &str = r#"user = "identity", pid = true, ipc = true, mount = true"#;

fn policy(user_manager: &str) -> Policy {
    Policy {
        profile: "logout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(&format!("{BERTH}, user_manager = \"{user_manager}\""))
    }
}

/// Where a unit that is asked for writes where it runs.
const ASKED: &str = "/home/alice/asked";

/// By which ways it has run.
fn ran_by() -> BTreeSet<String> {
    let asked = fs::read_to_string(ASKED).unwrap_or_default();
    asked.lines().map(str::to_owned).collect()
}

/// Asks a manager by every way to it for such a unit, and gives back what was said.
fn ask(machine: &Booted) -> Output {
    let own = format!("/run/user/{}", machine.uid("alice"));
    let write = |way: &str| format!("echo {way} >>{ASKED}");
    let mut command = String::new();
    // By folders that may not be the berth's.
    for (number, before) in [
        "",
        "/proc/1/root",
        "/proc/$PPID/root",
        "/proc/self/cwd/../..",
    ]
    .iter()
    .enumerate()
    {
        let folder = format!("{before}{own}");
        let (bus, private) = (format!("bus-{number}"), format!("private-{number}"));
        command += &format!(
            "busctl --address=unix:path={folder}/bus -- call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
             org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' \
             {bus}.service fail 1 ExecStart 'a(sasb)' 1 /bin/sh 3 /bin/sh -c '{}' false 0\n",
            write(&bus)
        );
        // Without a bus it has the manager's own socket.
        command += &format!(
            "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent XDG_RUNTIME_DIR={folder} \
             systemd-run --user --quiet --unit={private} /bin/sh -c '{}'\n",
            write(&private)
        );
    }
    // It may not be there.
    let _ = fs::remove_file(ASKED);
    machine.ssh("alice", &format!("{command}true"))
}

fn a_service_manager_can_be_asked_from_a_berth_unless_it_is_hidden(machine: &Booted) {
    machine.berth("sshd", &policy("host"));
    // A session outside that keeps the manager there.
    let before = machine.settled();
    let (login, _) = machine.stay("alice");
    let manager = format!("/run/user/{}/systemd/private", machine.uid("alice"));
    assert!(eventually(|| Path::new(&manager).exists()), "no manager");
    // Nobody but root may use another's root. From a PID namespace the manager's own socket answers nobody: to the manager who
    // asks there has the PID 0.
    let by_the_bus = ["bus-0", "bus-3"];
    let all = ["bus-0", "bus-3", "private-0", "private-3"];
    let caps_only = Policy::with_namespaces("");
    for (policy, open) in [(&caps_only, &all[..]), (&policy("host"), &by_the_bus)] {
        machine.policy(policy);
        let said = ask(machine);
        let is_open = eventually(|| open.iter().all(|way| ran_by().contains(*way)));
        assert!(is_open, "it ran by {:?} alone: {said:?}", ran_by());
    }

    machine.policy(&policy("hidden"));
    let said = ask(machine);
    // One that is asked for later, and from outside, is the only one.
    let uid = machine.uid("alice");
    let outside = format!(
        "setpriv --reuid={uid} --regid={uid} --clear-groups env XDG_RUNTIME_DIR=/run/user/{uid} \
         systemd-run --user --quiet --wait /bin/sh -c 'echo outside >>{ASKED}'"
    );
    machine.host(&outside).ok();
    assert_eq!(ran_by(), BTreeSet::from(["outside".to_owned()]), "{said:?}");
    assert!(Path::new(&manager).exists(), "the manager had gone");
    for command in ["systemctl --user status", "systemd-run --user true"] {
        let said = machine.ssh("alice", command).refused().stderr;
        let is_clear = said.starts_with("Failed to connect to ")
            && said.ends_with(": No such file or directory\n");
        assert!(is_clear, "{command}: {said}");
    }
    // What does not need the manager works.
    let sessions = machine
        .ssh("alice", "loginctl --no-legend list-sessions")
        .ok();
    assert!(sessions.contains("alice"), "{sessions}");
    login.end();
    fs::remove_file(ASKED).expect("what ran outside");
    machine.assert_nothing_left(&before);
}

fn a_hidden_managers_folder_is_the_berths_own_and_usable(machine: &Booted) {
    machine.berth("sshd", &policy("hidden"));
    let before = machine.settled();
    let uid = machine.uid("alice");
    let said = machine.ssh(
        "alice",
        "echo $XDG_RUNTIME_DIR; stat -c '%u %a %T' $XDG_RUNTIME_DIR; ls -A $XDG_RUNTIME_DIR; ls /run/user; echo kept >$XDG_RUNTIME_DIR/note && cat $XDG_RUNTIME_DIR/note; ssh-agent -a $XDG_RUNTIME_DIR/agent true && echo agent",
    );
    let said = said.ok();
    let lines: Vec<&str> = said.lines().collect();
    let own = format!("/run/user/{uid}");
    assert_eq!(
        lines,
        [
            &own,
            &format!("{uid} 700 0"),
            &uid.to_string(),
            "kept",
            "agent"
        ]
    );
    assert!(!Path::new(&own).join("note").exists(), "on the host");
    machine.assert_nothing_left(&before);
}

/// As in a login by cron or su, which logind may know nothing of.
fn a_manager_that_starts_after_a_login_is_hidden_from_it_too(machine: &Booted) {
    machine.berth("sshd", &policy("hidden"));
    machine.without_pam_systemd();
    let before = machine.settled();
    let uid = machine.uid("alice");
    let own = format!("/run/user/{uid}");
    let look = format!(
        "until [ -e go ]; do sleep 0.2; done; ls -A {own} >seen; mv seen done; exec sleep 1000"
    );
    assert!(
        !Path::new(&own).exists(),
        "there is something to hide at once"
    );
    let (login, _) = machine.background("alice", &look, "sleep");
    let manager = format!("user@{uid}.service");
    machine.host(&format!("systemctl start {manager}")).ok();
    assert!(Path::new(&own).join("systemd/private").exists());
    machine.host("touch /home/alice/go").ok();
    let seen = || fs::read_to_string("/home/alice/done").ok();
    assert!(eventually(|| seen().is_some()));
    let inside = seen();
    // The berth does not hold up the unmounting of the host's.
    machine
        .host(&format!(
            "systemctl stop {manager} user-runtime-dir@{uid}.service"
        ))
        .ok();
    let mounted = machine.host(&format!("findmnt {own}"));
    login.end();
    machine.host("rm /home/alice/go /home/alice/done").ok();
    assert_eq!(inside.as_deref(), Some(""));
    assert!(!mounted.success(), "{mounted:?}");
    machine.assert_nothing_left(&before);
}

/// Nobody inside can ask it, but it reads its user's files. The threat model says so.
fn a_hidden_manager_starts_what_its_user_has_enabled_outside(machine: &Booted) {
    machine.berth("sshd", &policy("hidden"));
    let before = machine.settled();
    let write = "cd .config/systemd/user && echo \"[Service]\nExecStart=/bin/sh -c 'readlink /proc/self/ns/pid >/home/alice/ran'\" \
                 >own.service && ln -s ../own.service default.target.wants/";
    machine
        .ssh(
            "alice",
            &format!("mkdir -p .config/systemd/user/default.target.wants && {write}"),
        )
        .ok();
    let manager = format!("/run/user/{}/systemd/private", machine.uid("alice"));
    assert!(eventually(|| !Path::new(&manager).exists()), "it stays");
    let until_it_ran = "for try in $(seq 300); do [ -s ran ] && break; sleep 0.2; done";
    machine.ssh("alice", until_it_ran).ok();
    let ran = fs::read_to_string("/home/alice/ran").unwrap_or_default();
    assert_eq!(ran.trim(), machine.host("readlink /proc/self/ns/pid").ok());
    machine
        .host("rm -r /home/alice/.config /home/alice/ran")
        .ok();
    machine.assert_nothing_left(&before);
}

/// systemd moves processes of a user's into units of that user's which are delegated, for whoever asks as that user. The
/// threat model says so, and docs/policy.md how the bus refuses it.
fn a_unit_of_the_users_takes_a_login_out_of_its_session_unless_the_bus_forbids_it(
    machine: &Booted,
) {
    let policy = Policy {
        defaults: "missing_controller = \"warn\"".into(), // a container has none
        rest: "[pool.cs]\nmemory_max = \"64M\"\n".into(),
        ..policy("hidden")
    };
    let pool = format!("pool = \"cs\"\n{}", policy.profile);
    machine.berth("sshd", &policy);
    machine
        .host("systemd-run --quiet --uid=alice --property=Delegate=yes --unit=alices tail -f /dev/null")
        .ok();
    let managers = format!("user@{}.service", machine.uid("alice"));
    let mut seen = Vec::new();
    for is_forbidden in [false, true] {
        if is_forbidden {
            forbid(machine);
        }
        for (profile, unit, below) in [
            (&policy.profile, &*managers, "/init.scope"),
            (&pool, &managers, "/init.scope"),
            (&policy.profile, "alices.service", ""),
        ] {
            machine.policy(&Policy {
                profile: profile.clone(),
                ..policy.clone()
            });
            // The processes as the host numbers them are told to everybody.
            let object = unit.replace('@', "_40").replace('.', "_2e");
            let leave = format!(
                "call='busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1'
                 until systemctl --quiet is-active {unit}; do timeout 0.1 tail -f /dev/null; done
                 sleep 1000 & own=$(sed -n 's,^0::.*/,,p' /proc/self/cgroup)
                 for pid in $($call org.freedesktop.systemd1.Manager GetUnitProcesses s $own | tr ' ' '\\n' | grep -x '[0-9]*'); do
                     $call org.freedesktop.systemd1.Manager AttachProcessesToUnit ssau {unit} '{below}' 1 $pid ||
                     $call/unit/{object} org.freedesktop.systemd1.Service AttachProcesses sau '{below}' 1 $pid
                 done; touch tried-all; wait"
            );
            let (login, sleep) = machine.background("alice", &leave, "sleep");
            let tried_all = Path::new("/home/alice/tried-all");
            assert!(eventually(|| tried_all.exists()));
            fs::remove_file(tried_all).expect("a file");
            let cgroup = sleep.cgroup().unwrap_or_default();
            seen.push(cgroup.ends_with(&format!("/{unit}{below}")));
            login.end();
            assert!(eventually(|| !sleep.exists()), "it outlives its login");
        }
    }
    machine
        .host(&format!(
            "rm {FORBIDDEN}; systemctl reload dbus; systemctl stop alices.service"
        ))
        .ok();
    assert_eq!(seen, [true, true, true, false, false, false]);
}

/// What the rule costs: programs that have their own manager make a scope of what runs already.
fn a_scope_of_the_users_own_manager_needs_what_the_bus_forbids_then(machine: &Booted) {
    let scope = || machine.ssh("alice", "systemd-run --user --scope true");
    scope().ok();
    forbid(machine);
    scope().refused();
    machine
        .host(&format!("rm {FORBIDDEN}; systemctl reload dbus"))
        .ok();
    scope().ok();
}

/// Puts the rule of docs/policy.md into force.
fn forbid(machine: &Booted) {
    let documented = include_str!("../../../../docs/policy.md");
    let (_, rule) = documented.split_once("```xml\n").expect("the rule");
    let (rule, _) = rule.split_once("```").expect("its end");
    fs::write(FORBIDDEN, rule).expect("the bus's policy");
    machine.host("systemctl reload dbus").ok();
}

/// Their files are the user's, and a berth shows the tree. But what stands above both cgroups is root's.
fn the_cgroups_of_a_manager_take_no_login_out_of_its_session(machine: &Booted) {
    machine.berth("sshd", &policy("host"));
    let manager = format!("user@{}.service", machine.uid("alice"));
    let find = format!(
        "find /sys/fs/cgroup -path '*/{manager}/*' -user alice -name cgroup.procs 2>/dev/null"
    );
    let try_each = format!(
        "for file in $({find}); do test -w $file && echo $file; echo 0 >$file; done >tried 2>refused
         exec sleep 1000"
    );
    let (login, sleep) = machine.background("alice", &try_each, "sleep");
    let read = |file: &str| fs::read_to_string(format!("/home/alice/{file}")).expect("a file");
    let (tried, refused) = (read("tried"), read("refused"));
    assert!(tried.contains(&manager), "{tried}");
    assert_eq!(tried.lines().count(), refused.lines().count(), "{refused}");
    let cgroup = || sleep.cgroup().unwrap_or_default();
    assert!(!cgroup().contains(&manager), "{}", cgroup());
    // Root may do the same.
    let file = tried.lines().last().unwrap_or_default();
    machine.host(&format!("echo {} >{file}", sleep.0)).ok();
    assert!(cgroup().contains(&manager), "{}", cgroup());
    machine.host(&format!("kill {}", sleep.0)).ok();
    login.end();
}

/// It is a file, for which no manager is asked.
fn a_users_journal_can_be_read_from_a_berth(machine: &Booted) {
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    for map in ["identity", "minimal"] {
        for manager in ["host", "hidden"] {
            let [of_unit, of_berth] = ["unit", "berth"].map(|by| format!("{by}-{map}-{manager}"));
            machine.policy(&Policy::with_namespaces(""));
            let unit = format!("systemd-run --user --quiet --wait echo {of_unit}");
            machine.ssh("alice", &unit).ok();
            machine.policy(&Policy {
                namespaces: BERTH.replace("identity", map)
                    + &format!(", user_manager = \"{manager}\""),
                ..policy(manager)
            });
            let write = format!("echo {of_berth} | systemd-cat");
            machine.ssh("alice", &write).ok();
            let read = || {
                machine
                    .ssh("alice", "journalctl --user --quiet --output=cat")
                    .ok()
            };
            let has = |line: &String| read().lines().any(|it| it == line);
            let is_there = eventually(|| [&of_unit, &of_berth].into_iter().all(has));
            assert!(is_there, "no {of_unit} or {of_berth} in {}", read());
        }
    }
    machine.assert_nothing_left(&before);
}
