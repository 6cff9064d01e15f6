//! The Debian package, installed and removed with dpkg.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_tests::{Booted, Policy, Process, Terminal, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    an_upgrade_and_a_removal_disturb_nobody_who_is_logged_in
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    the_package_touches_nothing_of_pam
    the_package_stays_while_pam_needs_it
    berth_pam_puts_the_package_in_force_and_takes_it_out
    after_an_upgrade_the_policy_is_loaded_as_before
    a_purge_takes_nothing_from_who_is_logged_in
    a_removal_takes_the_caps_back_of_what_goes_on_without_a_session
};

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
    assert_eq!(machine.ssh("root", "id --user --name").ok(), "root");
    // By a password of this machine's own.
    machine.host("echo alice:open-sesame | chpasswd").ok();
    let mut login = Command::new("login");
    login.arg("alice");
    let mut terminal = Terminal::start(login);
    terminal.expect("Password:");
    terminal.send("open-sesame");
    assert_eq!(terminal.run("id --user --name"), "alice");
    terminal.send("exit");
    terminal.wait();
}

fn the_package_touches_nothing_of_pam(machine: &Booted) {
    // The policy of an earlier case is not what the package brought.
    machine.host("dpkg --purge berth; rm -rf /etc/berth").ok();
    let before = pam_files();
    assert!(before.contains_key("sshd"));

    machine.install();
    assert_eq!(pam_files(), before);
    assert!(Path::new(HELPER).exists());
    let folders = "stat -c '%a %U' /run/berth /run/berth/sessions /run/berth/users /var/lib/berth";
    assert_eq!(machine.host(folders).ok(), ["755 root"; 4].join("\n"));
    machine.host("berth check && berth reload").ok();
    everybody_logs_in(machine);

    machine
        .host(&format!("echo 'nonsense = 1' >>{POLICY}"))
        .ok();
    let said = machine.install();
    for told in ["unknown key `nonsense`", "stays in force"] {
        assert!(said.contains(told), "{said}");
    }
    everybody_logs_in(machine);
    machine
        .host(&format!("sed -i '/^nonsense/d' {POLICY}"))
        .ok();
    assert_eq!(machine.install(), "");

    let links =
        "ls /etc/systemd/system/*.wants | grep -E '^berth(.service|-metrics|-textfile)' | wc -l";
    let enabled = || machine.host(links).ok();
    machine
        .host("systemctl enable berth.service berth-metrics.socket berth-textfile.timer")
        .ok();
    assert_eq!(enabled(), "3");
    machine.host(&format!("echo '# mine' >>{POLICY}")).ok();
    machine.host("dpkg --remove berth").ok();
    // As after the removal of others' packages.
    assert_eq!(enabled(), "3");
    let state = machine.host("systemctl show --property LoadState --value berth-due.service");
    assert_eq!(state.ok(), "not-found");
    assert_eq!(pam_files(), before);
    assert!(!Path::new(HELPER).exists());
    let kept = fs::read_to_string(POLICY).expect("the policy");
    assert!(kept.ends_with("# mine\n"));
    everybody_logs_in(machine);

    machine
        .host("mkdir -p /run/berth-standings && touch /run/berth-due-wrong /run/berth-due.lock /run/berth-penalties /run/berth-pam.lock")
        .ok();
    machine.host("dpkg --purge berth").ok();
    assert_eq!(enabled(), "0");
    assert_eq!(pam_files(), before);
    for gone in [
        "/etc/berth",
        "/var/lib/berth",
        "/run/berth",
        "/run/berth-last-id",
        "/run/berth-counters",
        "/run/berth-penalties",
        "/run/berth-standings",
        "/run/berth-due-wrong",
        "/run/berth-due.lock",
        "/run/berth-pam.lock",
    ] {
        assert!(!Path::new(gone).exists(), "{gone}");
    }
}

fn the_package_stays_while_pam_needs_it(machine: &Booted) {
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
fn berth_pam_puts_the_package_in_force_and_takes_it_out(machine: &Booted) {
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
        "\nok    pam        pam_berth is in the right place in sshd, su\n",
        "\nFAIL  pam        cron has no pam_berth",
    ] {
        assert!(doctor.stdout.contains(line), "{doctor:?}");
    }

    let disable = "berth pam disable --yes sshd su";
    machine.ssh("root", disable).ok();
    assert_eq!(pam_files(), before);
    everybody_logs_in(machine);
}

/// The helper of a later version is told from this one's by its size.
fn make_newer_package(machine: &Booted) {
    let package = machine.package();
    let package = package.display();
    machine
        .host(&format!(
            "rm -rf /root/newer && dpkg-deb -R {package} /root/newer && cd /root/newer && \
             sed -i 's/^Version: .*/Version: 99/' DEBIAN/control && printf newer >>.{HELPER} && \
             dpkg-deb --root-owner-group -Znone -b . /root/newer.deb"
        ))
        .ok();
}

/// The keepers of sessions, and the file that each runs.
fn keepers() -> Vec<(Process, PathBuf)> {
    let exe =
        |process: Process| fs::read_link(format!("/proc/{}/exe", process.0)).unwrap_or_default();
    let all = Process::named("berth-helper").into_iter();
    all.map(|one| (one, exe(one))).collect()
}

fn an_upgrade_and_a_removal_disturb_nobody_who_is_logged_in(machine: &Booted) {
    machine.berth("sshd", &Policy::with_user_caps("memory_max = \"64M\""));
    let stacks = pam_files();
    machine.settled();
    make_newer_package(machine);
    let (alice, sleep) = machine.stay("alice");
    let old = keepers();
    assert!(!old.is_empty());
    let service = || {
        machine
            .host("systemctl show --property MainPID,NRestarts,ActiveState berth.service")
            .ok()
    };
    let service_before = service();
    assert!(
        service_before.contains("ActiveState=active"),
        "{service_before}"
    );

    machine.host("dpkg --install /root/newer.deb").ok();
    assert_eq!(service(), service_before, "keepers live in it");
    let replaced = PathBuf::from(format!("{HELPER} (deleted)"));
    for (keeper, _) in &old {
        assert!(
            keepers().contains(&(*keeper, replaced.clone())),
            "{:?}",
            keepers()
        );
    }
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    assert_eq!(sleep.name(), "sleep");
    let (bob, _) = machine.stay("bob");
    let new = |(_, file): &(Process, PathBuf)| file == Path::new(HELPER);
    assert!(keepers().iter().any(new), "{:?}", keepers());
    assert_eq!(pam_files(), stacks);
    everybody_logs_in(machine);
    alice.end();
    let gone = || old.iter().all(|(keeper, _)| !keeper.exists());
    assert!(eventually(gone), "{:?}", keepers());
    machine.assert_caps_taken_back("alice");

    machine.host("systemctl start berth-due.timer").ok();
    machine
        .host("sed -i /pam_berth/d /etc/pam.d/sshd && dpkg --remove berth")
        .ok();
    let timer = machine.host("systemctl is-active berth-due.timer");
    assert_eq!(timer.stdout.trim(), "inactive");
    assert_eq!(
        machine.of_user("bob", "memory.max"),
        "67108864",
        "after the removal"
    );
    assert!(!keepers().is_empty());
    everybody_logs_in(machine);
    bob.end();
    assert!(eventually(|| keepers().is_empty()));
    // With its timer gone too nobody comes again: they are taken back although their service manager goes on.
    assert!(eventually(|| machine.drop_ins("bob").is_empty()));
    let records = fs::read_dir("/run/berth/sessions").expect("records");
    assert_eq!(records.count(), 0);
    machine.install();
}

/// Only where this version cannot use the copy the files are loaded at an installation, and each that is newer is named.
fn after_an_upgrade_the_policy_is_loaded_as_before(machine: &Booted) {
    machine.policy(&Policy::default());
    machine.host("berth reload").ok();
    const COPY: &str = "/var/lib/berth/policy.json";
    let copy = || fs::read_to_string(COPY).expect("the policy in force");
    let before = copy();
    machine.host(&format!("echo '# not yet' >>{POLICY}")).ok();
    assert_eq!(machine.install(), "");
    assert_eq!(copy(), before);
    let format = "{\"format\":";
    let other = before.replacen(format, &format!("{format}9"), 1);
    fs::write(COPY, &other).expect("a copy of another format");
    // The kernel's clock for files has coarse ticks.
    machine.host(&format!("sleep 0.1; touch {POLICY}")).ok();
    let install = format!("dpkg --install {}", machine.package().display());
    let said = machine.host(&install).ok();
    let told = format!("newer than it, and in force now: {POLICY}");
    assert!(said.contains(&told), "{said}");
    assert_ne!(copy(), other);
    assert!(copy().starts_with(&before[..format.len() + 1]));
}

/// Caps that a machine without controllers has for what systemd wrote down alone.
fn capped(namespaces: &str) -> Policy {
    Policy {
        defaults: "missing_controller = \"warn\"".into(),
        profile: "user = { tasks_max = 50 }\nlogout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(namespaces)
    }
}

fn a_purge_takes_nothing_from_who_is_logged_in(machine: &Booted) {
    machine.berth("sshd", &capped("mount = true, private_tmp = \"disk\""));
    machine.settled();
    let command = "echo mine >/tmp/mine; exec sleep 1000";
    let (alice, sleep) = machine.background("alice", command, "sleep");
    assert_eq!(machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    machine
        .host("sed -i /pam_berth/d /etc/pam.d/sshd && dpkg --purge berth")
        .ok();
    let mine = format!("/proc/{}/root/tmp/mine", sleep.0);
    assert_eq!(fs::read_to_string(mine).ok().as_deref(), Some("mine\n"));
    assert_eq!(machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    alice.end();
    assert!(eventually(|| keepers().is_empty()), "{:?}", keepers());
    assert!(eventually(|| machine.drop_ins("alice").is_empty()));
    let left = "find /run/berth* /var/lib/berth /etc/berth -not -type d";
    assert_eq!(machine.host(left).stdout, "/run/berth-last-id");
}

fn a_removal_takes_the_caps_back_of_what_goes_on_without_a_session(machine: &Booted) {
    machine.berth("sshd", &capped(""));
    machine.settled();
    let (bob, _) = machine.stay("bob");
    machine.host("loginctl enable-linger alice").ok();
    assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
    let mark = format!("/run/berth/users/{}/goes-on", machine.uid("alice"));
    assert!(eventually(|| Path::new(&mark).exists()));
    assert_eq!(machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    machine
        .host("sed -i /pam_berth/d /etc/pam.d/sshd && dpkg --remove berth")
        .ok();
    assert_eq!(machine.drop_ins("alice"), [""; 0]);
    // Installed again while somebody is in, whose keeper's place no login has to start.
    let install = format!("dpkg --install {}", machine.package().display());
    machine.host(&install).ok();
    let timer = machine.host("systemctl is-active berth-due.timer");
    assert_eq!(timer.stdout.trim(), "active");
    bob.end();
    machine.install();
}
