//! Shares of what two users want at once, felt.

use std::time::Duration;

use berth_tests::{Background, Machine, Process, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    cpu_weights_share_a_cpu_between_users
    an_idle_user_gets_what_others_leave_of_a_cpu
    who_was_idle_has_a_weight_from_their_next_login_on
};

/// What disks are shared by needs a kernel that user-mode Linux's is not.
pub const CASES_OF_DISKS: &[Case] = cases! {
    io_weights_share_a_disk_between_users
    // This one loads bfq, which stays.
    an_io_weight_is_in_the_file_of_each_scheduler
    io_weights_share_a_disk_of_bfqs_between_users
};

/// A policy that caps alice and bob differently.
fn two_users(machine: &Machine, alice: &str, bob: &str) {
    machine.policy_text(&format!(
        "version = 1\n\
         [profile.alice]\nuser = {{ {alice} }}\nlogout = {{ grace = \"1s\" }}\n\
         [profile.bob]\nuser = {{ {bob} }}\nlogout = {{ grace = \"1s\" }}\n\
         [[rule]]\nuser = \"alice\"\nprofile = \"alice\"\n\
         [[rule]]\nuser = \"bob\"\nprofile = \"bob\"\n"
    ));
}

/// How many times as much as alice bob gets, of what their cgroups count, while both run this.
fn bob_to_alice(machine: &mut Machine, command: &str, count: fn(&Machine, &str) -> u64) -> f64 {
    let users = ["alice", "bob"];
    let at_work = |machine: &Machine, user| {
        let all = machine.processes_of(user).into_iter();
        all.map(Process::name)
            .any(|name| name == "berth-probe" || name == "dd")
    };
    // One after the other: beside bob's work an idle alice would take long to log in.
    let logins = users.map(|user| {
        let login = machine.ssh_background(user, &format!("exec {command}"));
        assert!(eventually(|| at_work(machine, user)), "{user} does nothing");
        login
    });
    let before = users.map(|user| count(machine, user));
    std::thread::sleep(Duration::from_secs(6));
    let after = users.map(|user| count(machine, user));
    logins.into_iter().for_each(Background::end);
    let [alice, bob] = [0, 1].map(|one| (after[one] - before[one]) as f64);
    println!("# alice {alice}, bob {bob}");
    bob / alice.max(1.0)
}

fn cpu_time(machine: &Machine, user: &str) -> u64 {
    let uid = machine.uid(user);
    machine.cgroups().keyed(uid, "cpu.stat", "usage_usec")
}

fn cpu_weights_share_a_cpu_between_users(machine: &mut Machine) {
    let burn = machine.probe("burn 60");
    two_users(machine, "cpu_weight = 100", "cpu_weight = 900");
    let ratio = bob_to_alice(machine, &burn, cpu_time);
    assert!((4.5..=18.0).contains(&ratio), "1 to 9 came out as {ratio}");
}

fn an_idle_user_gets_what_others_leave_of_a_cpu(machine: &mut Machine) {
    let burn = machine.probe("burn 60");
    two_users(machine, "cpu_weight = \"idle\"", "");
    let ratio = bob_to_alice(machine, &burn, cpu_time);
    assert!(ratio > 15.0, "the idle user got 1 part of {ratio}");
}

fn who_was_idle_has_a_weight_from_their_next_login_on(machine: &mut Machine) {
    two_users(machine, "cpu_weight = \"idle\"", "");
    let (first, _) = machine.stay("alice");
    two_users(machine, "cpu_weight = 50", "");
    let (second, _) = machine.stay("alice");
    let user = machine.cgroups().user(machine.uid("alice"));
    let weight = std::fs::read_to_string(user.join("cpu.weight")).unwrap();
    assert_eq!(weight.trim(), "50");
    [first, second].into_iter().for_each(Background::end);
}

/// The disk below /disk, as the kernel numbers it.
fn disk(machine: &Machine) -> String {
    machine.host("stat -c %Hd:%Ld /disk").ok()
}

fn writes(machine: &Machine, user: &str) -> u64 {
    let file = machine.cgroups().user(machine.uid(user)).join("io.stat");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut fields = text.split_whitespace();
    let writes = fields.find_map(|field| field.strip_prefix("wios="));
    writes
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn io_weights_share_a_disk_between_users(machine: &mut Machine) {
    let (root, disk) = (machine.cgroups().root().to_owned(), disk(machine));
    let set =
        |file: &str, line: &str| std::fs::write(root.join(file), format!("{disk} {line}")).unwrap();
    // io.cost, told that the disk does 100 writes a second: it is full whatever the host's does.
    set(
        "io.cost.model",
        "ctrl=user model=linear rbps=400000000 rseqiops=100 rrandiops=100 wbps=400000000 wseqiops=100 wrandiops=100",
    );
    set("io.cost.qos", "enable=1 ctrl=user min=100 max=100");
    two_users(machine, "io_weight = 100", "io_weight = 900");
    let write = "dd if=/dev/zero of=/disk/$USER bs=4k oflag=direct";
    let ratio = bob_to_alice(machine, write, writes);
    set("io.cost.qos", "enable=0");
    assert!((4.0..=20.0).contains(&ratio), "1 to 9 came out as {ratio}");
}

/// The third disk does few writes a second; on a fast one bfq's queues would be empty.
fn io_weights_share_a_disk_of_bfqs_between_users(machine: &mut Machine) {
    let slow = "mknod /dev/slow b $(tr : ' ' </sys/block/vdc/dev) && mkdir /slow && mount /dev/slow /slow && chmod 1777 /slow";
    machine.host(slow).ok();
    // What has just begun would be favoured, whatever its weight.
    let bfq = "modprobe bfq && cd /sys/block/vdc/queue && echo bfq >scheduler && echo 0 >iosched/low_latency";
    machine.host(bfq).ok();
    two_users(machine, "io_weight = 10", "io_weight = 100");
    let write = "dd if=/dev/zero of=/slow/$USER bs=4k oflag=direct";
    let ratio = bob_to_alice(machine, write, writes);
    assert!((2.5..=25.0).contains(&ratio), "1 to 10 came out as {ratio}");
}

fn an_io_weight_is_in_the_file_of_each_scheduler(machine: &mut Machine) {
    let weights = |machine: &mut Machine, weight: u32| {
        two_users(machine, &format!("io_weight = {weight}"), "");
        let (login, _) = machine.stay("alice");
        let user = machine.cgroups().user(machine.uid("alice"));
        let read = |name: &str| {
            let text = std::fs::read_to_string(user.join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        let both = (read("io.weight"), read("io.bfq.weight"));
        login.end();
        both
    };
    assert_eq!(weights(machine, 900), ("default 900".into(), String::new()));
    // bfq has a file of its own, with a narrower range; what systemd does there is done.
    machine.host("modprobe bfq").ok();
    assert_eq!(
        weights(machine, 50),
        ("default 50".into(), "default 50".into())
    );
    assert_eq!(
        weights(machine, 10_000),
        ("default 10000".into(), "default 1000".into())
    );
}
