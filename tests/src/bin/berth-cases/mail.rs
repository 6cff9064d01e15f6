//! What cron mails, by an MTA that is setgid.

use std::fs;
use std::time::Duration;

use berth_tests::{Booted, Policy, eventually, within};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    mail_of_cron_needs_a_profile_without_no_new_privs
};

const BOX: &str = "/var/mail/alice";

/// Runs a job of alice's that says something, and says whether it came by mail.
fn job(machine: &Booted) {
    machine.host(&format!("rm -f {BOX} /home/alice/ran")).ok();
    let line = "@reboot alice echo hello; touch /home/alice/ran\n";
    fs::write("/etc/cron.d/test", line).expect("a table");
    // It takes this for a boot.
    machine
        .host("rm -f /run/crond.reboot; systemctl start cron")
        .ok();
    assert!(
        eventually(|| fs::exists("/home/alice/ran").unwrap_or_default()),
        "no job"
    );
    // cron mails before it ends the session.
    assert!(eventually(|| machine
        .host("berth list")
        .stdout
        .contains("0 sessions")));
    machine
        .host("systemctl stop cron; rm /etc/cron.d/test")
        .ok();
    // As its package does every few minutes: what was delivering it has ended with the session.
    machine.host("dma -q").ok();
}

fn is_delivered() -> bool {
    fs::read_to_string(BOX).is_ok_and(|text| text.contains("\nhello\n"))
}

fn mail_of_cron_needs_a_profile_without_no_new_privs(machine: &Booted) {
    let berth = "user = \"identity\", pid = true, mount = true";
    machine.berth("cron", &Policy::with_namespaces(berth));
    machine.host("systemctl stop cron").ok();
    let before = machine.settled();
    job(machine);
    let effect = within(Duration::from_secs(6), is_delivered);
    assert!(!effect, "a setgid program has had one");
    machine.logged("of output but got status");
    machine.policy(&Policy::with_namespaces(""));
    job(machine);
    assert!(eventually(is_delivered), "no mail");
    fs::remove_file(BOX).expect("the mail");
    machine.assert_nothing_left(&before);
    machine.host("systemctl start cron").ok();
}
