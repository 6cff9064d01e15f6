//! The units for `berth metrics`, with the little privilege that they have.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use berth_tests::{Booted, Output, Policy, eventually};

use super::BootedCase;

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    the_units_for_metrics_have_enough_privilege
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    who_connects_again_and_again_ends_nobodys_figures
};

const FOLDER: &str = "/var/lib/prometheus/node-exporter";

/// Asks the endpoint, as a user.
fn get(machine: &Booted, user: &str) -> Output {
    machine.host(&format!(
        "setpriv --reuid={user} --clear-groups bash -c \"exec 3<>/dev/tcp/127.0.0.1/9754; \
         printf 'GET /metrics HTTP/1.1\\r\\n\\r\\n' >&3; timeout 60 cat <&3\""
    ))
}

fn the_units_for_metrics_have_enough_privilege(machine: &Booted) {
    machine.install();
    let caps = "user = { memory_max = \"64M\", tasks_max = 100 }";
    machine.berth("sshd", &Policy::with_profile(caps));
    machine.host("systemctl daemon-reload").ok();
    let enabled = "systemctl is-enabled berth-metrics.socket berth-textfile.timer";
    assert_eq!(machine.host(enabled).stdout.trim(), "disabled\ndisabled");
    prometheus(machine);
    let before = machine.settled();
    let (login, _) = machine.stay("alice");
    let caps = [
        format!(
            "berth_user_memory_max_bytes{{user=\"alice\",uid=\"{}\"}} 67108864",
            machine.uid("alice")
        ),
        "berth_sessions{state=\"active\"} 1".into(),
        "berth_logins_total{outcome=\"ok\"}".into(),
    ];
    machine.host("systemctl start berth-metrics.socket").ok();
    for user in ["prometheus", "root"] {
        let said = get(machine, user).stdout;
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{user}: {said}");
        for line in &caps {
            assert!(said.contains(line), "{user}: no {line} in {said}");
        }
    }
    let said = get(machine, "alice").stdout;
    assert!(said.starts_with("HTTP/1.1 403 Forbidden"), "{said}");
    assert!(!said.contains("berth_"), "{said}");
    machine.host("systemctl stop berth-metrics.socket").ok();

    // As Debian's node_exporter has it: not root's.
    fs::create_dir_all(FOLDER).expect(FOLDER);
    machine.host(&format!("chown prometheus {FOLDER}")).ok();
    let unit = "berth-textfile.service";
    let start = format!("systemctl start {unit} || journalctl -u {unit} -o cat");
    let said = machine.host(&start).ok();
    let file = format!("{FOLDER}/berth.prom");
    let text = fs::read_to_string(&file).unwrap_or_default();
    for line in &caps {
        assert!(text.contains(line), "no {line} in {text}\n{said}");
    }
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    login.end();
    machine.assert_nothing_left(&before);
    let failed = machine
        .host("systemctl --failed --no-legend | grep berth-")
        .stdout;
    assert_eq!(failed, "");
    fs::remove_dir_all("/var/lib/prometheus").expect("remove the folder");
}

/// A socket of systemd's is closed for good after 200 connections in two seconds, unless its unit says otherwise.
fn who_connects_again_and_again_ends_nobodys_figures(machine: &Booted) {
    machine.install(); // A case before may have removed it.
    machine.policy(&Policy::default());
    prometheus(machine);
    machine.host("systemctl start berth-metrics.socket").ok();
    let connect = "for i in $(seq 500); do exec 3<>/dev/tcp/127.0.0.1/9754; done";
    let crowd = format!("setpriv --reuid=alice --clear-groups bash -c '{connect}'");
    machine.host(&crowd).ok();
    let is_answered = || get(machine, "root").stdout.starts_with("HTTP/1.1 200 OK");
    assert!(eventually(is_answered));
    machine.host("systemctl stop berth-metrics.socket").ok();
}

/// The account that may ask.
fn prometheus(machine: &Booted) {
    machine
        .host("id prometheus || useradd --system prometheus")
        .ok();
}
