//! Caps on a machine that systemd runs, felt and read from the kernel.

use std::fs;
use std::path::Path;
use std::time::Duration;

use berth_tests::{Booted, Policy, Process, becomes, eventually};

use super::BootedCase;
use super::time_and_disk::dd_seconds;

pub const CASES: &[BootedCase] = cases! {
    past_memory_max_a_user_is_killed_under_systemd_and_no_other
    two_logins_of_a_user_share_one_cap
    caps_of_cpu_tasks_and_disks_are_felt
    a_cap_of_a_session_is_on_its_scope
    a_missing_controller_is_told_from_one_in_force
    a_user_at_their_tasks_gets_in_to_clean_up
    everyone_together_is_capped_while_anybody_is_in
    caps_outlive_a_reload_a_reexec_and_logind
    a_manager_that_outlives_its_users_last_login_keeps_the_caps
};

fn past_memory_max_a_user_is_killed_under_systemd_and_no_other(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"64M\", memory_swap_max = 0"),
    );
    let before = machine.settled();
    // Other logins keep the users' slices, so that their events can be read.
    let (alice, _) = machine.stay("alice");
    let (bob, held) = machine.stay("bob");
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    assert_eq!(machine.of_user("alice", "memory.swap.max"), "0");
    assert_eq!(
        machine.drop_ins("alice"),
        ["50-MemoryMax.conf", "50-MemorySwapMax.conf"]
    );
    assert_eq!(machine.ssh("alice", "berth-probe eat 30").ok(), "ate 30 MB");
    assert_eq!(machine.oom_kills(&machine.slice("alice")), 0);
    let hog = machine.ssh("alice", "berth-probe eat 100").refused();
    assert!(!hog.stdout.contains("ate"), "{hog:?}");
    assert!(machine.oom_kills(&machine.slice("alice")) >= 1);
    assert_eq!(machine.oom_kills(&machine.slice("bob")), 0);
    assert!(held.exists(), "bob's is alive");
    assert_eq!(
        machine.ssh("root", "berth-probe eat 100").ok(),
        "ate 100 MB"
    );
    assert!(
        !machine.cgroups().slice(0).join("memory.max").exists()
            || machine.of_user("root", "memory.max") == "max"
    );

    let keepers = Process::named("berth-helper");
    assert!(!keepers.is_empty());
    for keeper in keepers {
        let cgroup = keeper.cgroup().expect("a cgroup");
        assert_eq!(cgroup, "/berth.slice/berth.service/keepers");
    }
    alice.end();
    bob.end();
    let closed = eventually(|| machine.sessions().is_empty());
    assert!(closed, "open: {:?}", machine.sessions());
    machine.assert_nothing_left(&before);
}

fn two_logins_of_a_user_share_one_cap(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"64M\", memory_swap_max = 0"),
    );
    let before = machine.settled();
    let (first, _) = machine.stay("alice");
    let (second, _) = machine.stay("alice");
    becomes(|| machine.sessions(), ["alice", "alice"]);
    let (holder, held) = machine.background("alice", "berth-probe hold 40", "berth-probe");
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    let another = machine.ssh("alice", "berth-probe eat 40");
    // The kernel takes one of them.
    assert!(!another.success() || !held.exists(), "{another:?}");
    assert!(machine.oom_kills(&machine.slice("alice")) >= 1);

    // The first to leave takes nothing along.
    first.end();
    holder.end();
    becomes(|| machine.sessions(), ["alice"]);
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    second.end();
    machine.assert_nothing_left(&before);
}

fn caps_of_cpu_tasks_and_disks_are_felt(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_user_caps(
            "cpu_quota = \"30%\", cpu_weight = 50, tasks_max = 40, memory_high = \"300M\", \
             memory_max = \"400M\", memory_swap_max = \"50M\", \
             io_write_bandwidth_max = { \"/\" = \"1M\" }, io_read_iops_max = { \"/\" = 5000 }",
        ),
    );
    let before = machine.settled();
    let (login, _) = machine.stay("alice");
    for (file, value) in [
        ("cpu.max", "30000 100000"),
        ("cpu.weight", "50"),
        ("pids.max", "40"),
        ("memory.high", "314572800"),
        ("memory.max", "419430400"),
        ("memory.swap.max", "52428800"),
        ("io.max", "98:0 rbps=max wbps=1000000 riops=5000 wiops=max"),
    ] {
        assert_eq!(machine.of_user("alice", file), value, "{file}");
    }
    let used = machine.ssh("alice", "berth-probe burn 4").ok();
    let used: u64 = used.trim().parse().expect("milliseconds");
    assert!(used < 1700, "{used} ms of 4 s at 30%");

    let write = "dd if=/dev/zero of=$HOME/file bs=64k count=64 oflag=direct 2>&1; rm $HOME/file";
    let slowed = dd_seconds(&machine.ssh("alice", write).ok());
    assert!(slowed > 3.0, "4 MiB at 1 MB/s took {slowed} s");

    // The login does not wait for the bomb, which ends with it.
    let bomb = "(berth-probe fork-bomb </dev/null 2>/dev/null &) | head -1";
    let said = machine.ssh("alice", bomb).ok();
    let count: u32 = said.split(' ').next().expect("words").parse().expect(&said);
    assert!((8..=40).contains(&count), "{said}");
    login.end();
    machine.assert_nothing_left(&before);
}

fn a_cap_of_a_session_is_on_its_scope(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_profile(
            "session = { memory_max = \"48M\", memory_swap_max = 0, tasks_max = 20 }\nlogout = { grace = \"1s\" }",
        ),
    );
    let before = machine.settled();
    let (login, sleep) = machine.stay("alice");
    let cgroup = sleep.cgroup().expect("a cgroup");
    let scope = machine
        .cgroups()
        .root()
        .join(cgroup.trim_start_matches('/'));
    let of_scope = |file: &str| {
        let text = std::fs::read_to_string(scope.join(file)).expect(file);
        text.trim_end().to_owned()
    };
    assert_eq!(of_scope("memory.max"), "50331648");
    assert_eq!(of_scope("pids.max"), "20");
    assert_eq!(machine.of_user("alice", "memory.max"), "max");
    machine.ssh("alice", "berth-probe eat 60").refused();
    // The user's caps are another thing: two sessions may have that much each.
    let (holder, held) = machine.background("alice", "berth-probe hold 35", "berth-probe");
    assert_eq!(machine.ssh("alice", "berth-probe eat 35").ok(), "ate 35 MB");
    assert!(held.exists());
    holder.end();
    login.end();
    machine.assert_nothing_left(&before);
}

fn a_missing_controller_is_told_from_one_in_force(machine: &Booted) {
    assert!(
        !machine.cgroups().offers("cpuset"),
        "user-mode Linux has no cpuset"
    );
    let caps = Policy::with_user_caps("allowed_cpus = \"0\", tasks_max = 70");
    machine.berth("sshd", &caps);
    machine.ssh("alice", "echo in").refused();
    let warn = Policy {
        defaults: "missing_controller = \"warn\"".into(),
        ..caps
    };
    machine.policy(&warn);
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "pids.max"), "70");
    let log = machine.log();
    let told = log.lines().any(|line| {
        line.contains("not_enforced")
            && line.contains("allowed_cpus")
            && !line.contains("tasks_max")
    });
    assert!(told, "{log}");
    login.end();
}

fn caps_outlive_a_reload_a_reexec_and_logind(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"64M\", memory_swap_max = 0, tasks_max = 50"),
    );
    machine.settled();
    let (login, sleep) = machine.stay("alice");
    let cgroup = sleep.cgroup();
    for restart in [
        "systemctl daemon-reload",
        "systemctl daemon-reexec",
        "systemctl restart systemd-logind",
        "systemctl restart berth.service",
    ] {
        machine.host(restart).ok();
        assert_eq!(
            machine.of_user("alice", "memory.max"),
            "67108864",
            "{restart}"
        );
        assert_eq!(machine.of_user("alice", "pids.max"), "50", "{restart}");
        assert_eq!(sleep.cgroup(), cgroup, "{restart}");
        assert_ne!(sleep.namespace("pid"), Process(1).namespace("pid"));
        machine.ssh("alice", "berth-probe eat 100").refused();
    }
    let list = machine.host("berth list").ok();
    assert!(list.contains("alice"), "{list}");
    let shown = machine.host("berth show alice").ok();
    assert!(shown.contains("64M"), "{shown}");
    login.end();
    // A daemon that restarts is another process.
    assert!(eventually(|| machine.sessions().is_empty()));
    machine.assert_caps_taken_back("alice");
    assert!(eventually(|| !machine
        .cgroups()
        .slice(machine.uid("alice"))
        .exists()));
}

fn a_manager_that_outlives_its_users_last_login_keeps_the_caps(machine: &Booted) {
    let caps = Policy::with_user_caps("memory_max = \"64M\", memory_swap_max = 0, tasks_max = 50");
    machine.berth("sshd", &caps);
    let before = machine.settled();
    let admins = format!("/etc/systemd/system/user-{}.slice.d", machine.uid("alice"));
    let _ = fs::create_dir_all(&admins);
    let admins_own = Path::new(&admins).join("10-site.conf");
    fs::write(&admins_own, "[Slice]\nTasksMax=500\n").expect("a drop-in");
    let linger = "systemctl daemon-reload; loginctl enable-linger alice";
    machine.host(linger).ok();
    let has = |tasks: &str, memory: &str| {
        machine.of_user("alice", "pids.max") == tasks
            && machine.of_user("alice", "memory.max") == memory
    };
    assert!(eventually(|| has("500", "max")));
    let log = "journalctl --boot --no-pager --quiet --unit berth-due.service";
    let said = machine.host(log).ok();
    for _ in 0..2 {
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        assert!(eventually(|| !machine
            .host("berth list")
            .ok()
            .contains("alice")));
        for _ in 0..2 {
            assert!(has("50", "67108864"));
            machine.host("systemctl start berth-due.service").ok();
        }
    }
    // It was started four times, of which systemd's own lines are not in the log.
    assert_eq!(machine.host(log).ok(), said);
    // The policy reaches it without a login.
    machine.policy(&Policy::with_user_caps("tasks_max = 60"));
    machine.host("berth apply").ok();
    assert!(has("60", "max"));
    // And a penalty looks at what it uses.
    let mut watched = Policy::with_user_caps("tasks_max = 60, cpu_quota = \"80%\"");
    watched.profile += "\npenalty = \"hog\"";
    watched.rest = "[penalty.hog]\ncpu_above = \"70%\"\nwindow = \"10min\"\nsteps = [\"50%\"]\n\
                    step_time = \"1min\"\nforget = \"1h\"\n"
        .into();
    machine.policy(&watched);
    machine.host("berth apply --due").ok();
    let track = format!("grep '\"{}\":' /run/berth-penalties", machine.uid("alice"));
    machine.host(&track).ok();
    machine.policy(&Policy {
        rest: "[exempt]\nusers = [\"alice\"]\n".into(),
        ..caps
    });
    machine.host("berth apply").ok();
    assert!(has("500", "max"));
    assert_eq!(machine.drop_ins("alice"), [""; 0]);
    assert!(admins_own.exists());
    fs::remove_dir_all(&admins).expect("the drop-in");
    machine
        .host("systemctl daemon-reload; loginctl disable-linger alice")
        .ok();
    machine.assert_nothing_left(&before);
}

fn a_user_at_their_tasks_gets_in_to_clean_up(machine: &Booted) {
    // Without namespaces, so that one login of theirs sees what another runs.
    let policy = Policy {
        namespaces: String::new(),
        ..Policy::with_user_caps("tasks_max = 40")
    };
    machine.berth("sshd", &policy);
    let before = machine.settled();
    let (stays, beside) = machine.stay("alice");
    let beside = beside.cgroup().expect("a cgroup");
    let of_beside = || machine.of_cgroup(&beside, "pids.max");
    let (bomb, first) = machine.background("alice", "berth-probe fork-bomb", "berth-probe");
    becomes(|| machine.of_user("alice", "pids.current"), "40");
    // A shell with some children of its own.
    let count = machine
        .ssh("alice", "sleep 1 & sleep 1 & ps ax | grep -c [b]erth-probe")
        .ok();
    assert!(count.parse::<u32>().expect(&count) > 10, "{count}");
    assert_eq!(machine.of_user("alice", "pids.max"), "56");
    assert!(first.exists());
    // What it has is all that the bomb gets, also while there is room.
    let bombs = Process::named("berth-probe").len();
    std::thread::sleep(Duration::from_secs(1));
    assert!(Process::named("berth-probe").len() <= bombs);
    // Nor does it get more when caps are set anew.
    let scope = first.cgroup().expect("a cgroup");
    let of_scope = || machine.of_cgroup(&scope, "pids.max");
    let given: u32 = of_scope().parse().expect("a number");
    assert!(given <= 40, "{given}");
    for _ in 0..2 {
        machine.host("berth apply").ok();
        assert_eq!(machine.of_user("alice", "pids.max"), "56");
        assert_eq!(of_scope(), given.to_string());
    }
    assert_ne!(of_beside(), "max");
    // Not for their next service manager, too.
    let held = format!(
        "/run/systemd/system.control/user@{}.service.d",
        machine.uid("alice")
    );
    assert!(!Path::new(&held).exists());
    machine.ssh("alice", "pkill berth-probe").ok();
    assert!(eventually(|| Process::named("berth-probe").is_empty()));
    // Nobody needs to come for it to end: the timer does.
    machine.host("systemctl start berth-due.service").ok();
    assert_eq!(machine.of_user("alice", "pids.max"), "40");
    assert_eq!(of_beside(), "max");
    let mark = format!("/run/berth/users/{}/held", machine.uid("alice"));
    assert!(!Path::new(&mark).exists());
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "pids.max"), "40");
    login.end();
    bomb.end();
    stays.end();
    machine.assert_nothing_left(&before);
}

fn everyone_together_is_capped_while_anybody_is_in(machine: &Booted) {
    let mut policy = Policy::with_user_caps("cpu_weight = 50");
    policy.rest = "[everyone]\nmemory_max = \"90M\"\nmemory_swap_max = 0\n".into();
    machine.berth("sshd", &policy);
    let before = machine.settled();
    let of_all = |file: &str| machine.of_cgroup("/user.slice", file);
    assert_eq!(of_all("memory.max"), "max");
    let (alice, holding) = machine.background("alice", "berth-probe hold 50", "berth-probe");
    assert_eq!(of_all("memory.max"), "94371840");
    let (bob, _) = machine.stay("bob");
    let another = machine.ssh("bob", "berth-probe eat 50");
    assert!(!another.success() || !holding.exists(), "{another:?}");
    alice.end();
    becomes(|| machine.sessions(), ["bob"]);
    assert_eq!(of_all("memory.max"), "94371840");
    // A user's folder without a session, as `apply` makes one that waits for a lock: the last logout sees a user in it.
    let folder = Path::new("/run/berth/users/4242");
    std::fs::create_dir(folder).expect("a folder");
    bob.end();
    machine.assert_caps_taken_back("bob");
    becomes(|| Process::named("berth-helper").len(), 0);
    std::fs::remove_dir(folder).expect("no folder");
    assert_eq!(of_all("memory.max"), "94371840");
    machine.host("berth apply").ok();
    machine.assert_nothing_left(&before);
    assert_eq!(of_all("memory.max"), "max");
    let drop_ins = "/run/systemd/system.control/user.slice.d";
    assert!(!Path::new(drop_ins).exists());
}
