//! What cron mails, by an MTA that is setgid.

use std::fs;

use berth_tests::{Booted, Policy, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = &[("mail_of_cron_needs_a_profile_without_no_new_privs", mail)];

const BOX: &str = "/var/mail/alice";

/// Runs a job of alice's that says something, and says whether it came by mail, and what else was said.
fn job(machine: &Booted) -> bool {
    machine.host(&format!("rm -f {BOX} /home/alice/ran")).ok();
    let line = "* * * * * alice echo hello from $(cat /proc/1/comm); touch /home/alice/ran\n";
    // cron looks once a minute.
    fs::write("/etc/cron.d/test", line).expect("a table");
    let ran = || fs::exists("/home/alice/ran").unwrap_or_default();
    let mut came = false;
    for _ in 0..4 {
        if eventually(ran) {
            came = eventually(|| {
                fs::read_to_string(BOX).is_ok_and(|text| text.contains("hello from"))
            });
            break;
        }
    }
    fs::remove_file("/etc/cron.d/test").expect("the table");
    came
}

fn mail(machine: &Booted) {
    machine.berth(
        "cron",
        &Policy::with_namespaces("user = \"identity\", pid = true, mount = true"),
    );
    let inside = job(machine);
    println!("{}", machine.host("ls -la /var/mail /var/spool/dma /usr/sbin/sendmail /usr/sbin/dma /usr/lib/dma; journalctl -b | tail -20; journalctl -b -t dma -t cron -t CRON").stdout);
    machine.policy(&Policy::with_namespaces(""));
    let outside = job(machine);
    println!("{}", machine.host("ls -la /var/mail /var/spool/dma /usr/sbin/sendmail /usr/sbin/dma /usr/lib/dma; journalctl -b | tail -20; cat /var/mail/alice").stdout);
    panic!("{inside} {outside}");
}
