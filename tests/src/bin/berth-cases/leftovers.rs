//! What is left of a capped login where there are controllers: nothing.

use berth_tests::{Door, Machine, Policy, Process};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_logout_through_any_door_leaves_nothing
    a_killed_part_of_a_capped_login_leaves_nothing
    in_a_container_the_root_is_cleared_and_caps_hold
};

fn capped(machine: &Machine) {
    machine.policy(&Policy::with_profile(
        "user = { memory_max = \"64M\", tasks_max = 40, cpu_quota = \"80%\" }\n\
         session = { tasks_max = 30 }\nlogout = { grace = \"1s\" }",
    ));
}

fn a_logout_through_any_door_leaves_nothing(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    for door in Door::ALL {
        let leave = "setsid sleep 1000 >/dev/null 2>&1 &";
        machine.through(door, "alice", leave);
        machine.assert_nothing_left(&before);
    }
}

fn a_killed_part_of_a_capped_login_leaves_nothing(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    let uid = machine.uid("alice");
    let sshd = || {
        // "sshd: alice [priv]", or "sshd-session: …" from OpenSSH 10 on.
        let all = Process::running(": alice").into_iter();
        all.filter(|one| one.uid() != Some(uid)).collect::<Vec<_>>()
    };
    let init = || Process::named("berth-init");
    let victims: [(&str, &dyn Fn() -> Vec<Process>); 3] = [
        ("keeper", &Process::keepers),
        ("sshd", &sshd),
        ("init", &init),
    ];
    for (name, choose) in victims {
        let (login, _) = machine.stay("alice");
        let chosen = choose();
        assert!(!chosen.is_empty(), "no {name}");
        for victim in chosen {
            victim.kill();
        }
        login.end();
        machine.assert_nothing_left(&before);
        assert_eq!(
            machine.ssh("alice", "cat /proc/1/comm").ok(),
            "berth-init",
            "after {name}"
        );
        machine.assert_nothing_left(&before);
    }
}

/// As in a container with a cgroup namespace of its own: the visible root is an ordinary cgroup that holds
/// processes, so no controller can be enabled below it.
fn in_a_container_the_root_is_cleared_and_caps_hold(machine: &mut Machine) {
    let root = machine.cgroups().root().to_owned();
    let inside = root.join("box");
    std::fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +pids").unwrap();
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("cgroup.procs"), "0").unwrap();
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).unwrap();
    let at = root.display();
    machine
        .host(&format!("umount {at} && mount -t cgroup2 none {at}"))
        .ok();
    assert!(
        !std::fs::read_to_string(root.join("cgroup.procs"))
            .unwrap()
            .is_empty()
    );

    capped(machine);
    let said = machine.ssh("alice", &machine.probe("eat 100")).refused();
    assert!(!said.stdout.contains("ate"), "{said:?}");
    assert_eq!(
        machine.ssh("alice", &machine.probe("eat 10")).ok(),
        "ate 10 MB"
    );
    let moved = std::fs::read_to_string(root.join("berth-init/cgroup.procs")).unwrap();
    assert!(
        moved
            .lines()
            .any(|pid| pid == std::process::id().to_string()),
        "{moved}"
    );
    assert_eq!(
        std::fs::read_to_string(root.join("cgroup.procs")).unwrap(),
        ""
    );
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
}
