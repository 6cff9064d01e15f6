//! Folders that systemd mounts when somebody looks into them.

use std::fs;

use berth_tests::{Booted, Policy};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_home_that_is_mounted_when_it_is_looked_into_appears_in_the_berth
};

fn a_home_that_is_mounted_when_it_is_looked_into_appears_in_the_berth(machine: &Booted) {
    machine.berth("sshd", &Policy::with_map("identity"));
    let before = machine.settled();
    machine.host("mkdir -p /srv/disk/alice /srv/auto && echo there >/srv/disk/alice/file && chown -R alice: /srv/disk/alice").ok();
    let units = "/run/systemd/system/srv-auto";
    fs::write(
        format!("{units}.automount"),
        "[Automount]\nWhere=/srv/auto\n",
    )
    .expect("a unit");
    let mount = "[Mount]\nWhat=/srv/disk\nWhere=/srv/auto\nOptions=bind\n";
    fs::write(format!("{units}.mount"), mount).expect("a unit");
    machine
        .host("systemctl daemon-reload && systemctl start srv-auto.automount")
        .ok();
    let is_mounted = || machine.host("systemctl is-active srv-auto.mount").success();

    // By a program in the berth, and by the login itself, which goes home.
    assert!(!is_mounted());
    let said = machine.ssh("alice", "cat /srv/auto/alice/file && cat /proc/1/comm");
    assert_eq!(said.ok(), "there\nberth-init");
    assert!(is_mounted());
    machine
        .host("systemctl stop srv-auto.mount && sed -i 's,:/home/alice:,:/srv/auto/alice:,' /etc/passwd")
        .ok();
    assert!(!is_mounted());
    let at_home = machine.ssh("alice", "pwd && cat file && cat /proc/1/comm");
    machine
        .host("sed -i 's,:/srv/auto/alice:,:/home/alice:,' /etc/passwd; systemctl stop srv-auto.mount srv-auto.automount")
        .ok();
    machine
        .host(&format!(
            "rm -r {units}.* /srv/disk /srv/auto; systemctl daemon-reload"
        ))
        .ok();
    assert_eq!(at_home.ok(), "/srv/auto/alice\nthere\nberth-init");
    machine.assert_nothing_left(&before);
}
