//! The Debian package, installed and removed with dpkg.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use berth_tests::{Booted, Policy};

use super::BootedCase;

pub const CASES: &[BootedCase] = &[
    ("the_package_touches_nothing_of_pam", pam),
    ("the_package_stays_while_pam_needs_it", needed),
    (
        "berth_pam_puts_the_package_in_force_and_takes_it_out",
        in_force,
    ),
];

const HELPER: &str = "/usr/libexec/berth-helper";
const POLICY: &str = "/etc/berth/policy.toml";

/// Every file of PAM's configuration.
fn pam_files() -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir("/etc/pam.d").expect("/etc/pam.d").flatten();
    let content = |file: fs::DirEntry| {
        let name = file.file_name().to_string_lossy().into_owned();
        (name, fs::read(file.path()).expect("a PAM file"))
    };
    files.map(content).collect()
}

#[track_caller]
fn everybody_logs_in(machine: &Booted) {
    for user in ["root", "alice"] {
        assert_eq!(machine.ssh(user, "id --user --name").ok(), user);
    }
}

fn pam(machine: &Booted) {
    // The policy of an earlier case is not what the package brought.
    machine.host("dpkg --purge berth; rm -rf /etc/berth").ok();
    let before = pam_files();
    assert!(before.contains_key("sshd"));

    machine.install();
    assert_eq!(pam_files(), before);
    assert!(Path::new(HELPER).exists());
    machine.host("berth check && berth reload").ok();
    everybody_logs_in(machine);

    machine.host(&format!("echo '# mine' >>{POLICY}")).ok();
    machine.host("dpkg --remove berth").ok();
    assert_eq!(pam_files(), before);
    assert!(!Path::new(HELPER).exists());
    let kept = fs::read_to_string(POLICY).expect("the policy");
    assert!(kept.ends_with("# mine\n"));
    everybody_logs_in(machine);

    machine.host("dpkg --purge berth").ok();
    assert_eq!(pam_files(), before);
    for gone in ["/etc/berth", "/var/lib/berth", "/run/berth"] {
        assert!(!Path::new(gone).exists(), "{gone}");
    }
}

fn needed(machine: &Booted) {
    machine.berth("sshd", &Policy::with_profile("cgroup = \"keep\""));
    for verb in ["--remove", "--purge"] {
        let said = machine.host(&format!("dpkg {verb} berth")).refused();
        assert!(said.stderr.contains("/etc/pam.d/sshd"), "{said:?}");
    }
    assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
}

/// The policy and Debian's stacks as the packages bring them, and typed in a session of root's: logind makes no
/// session in a session, so the test logins are in scopes of Berth's.
fn in_force(machine: &Booted) {
    machine.host("dpkg --purge berth; rm -rf /etc/berth").ok();
    let before = pam_files();
    machine.install();
    machine.host("berth reload").ok();
    let enabled = machine.ssh("root", "berth pam enable --yes sshd su").ok();
    for service in ["sshd", "su"] {
        let line = format!("{service}: alice logs in, into a berth");
        assert!(enabled.contains(&line), "{enabled}");
    }
    everybody_logs_in(machine);
    assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
    let doctor = machine.host("berth doctor").refused();
    for line in [
        "\nok    pam        pam_berth stands right in sshd, su\n",
        "\nFAIL  pam        cron has no pam_berth",
    ] {
        assert!(doctor.stdout.contains(line), "{doctor:?}");
    }

    let disable = "berth pam disable --yes sshd su";
    machine.ssh("root", disable).ok();
    assert_eq!(pam_files(), before);
    everybody_logs_in(machine);
}
