//! Logins under AppArmor: by applications that it leaves alone, as Debian does, and by an sshd that it confines.

use std::fs;

use berth_tests::{Booted, Output, Policy};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_program_in_a_berth_has_its_profile
    an_sshd_that_is_only_complained_of_gets_its_berth
    a_confined_sshd_gets_its_berth_by_the_rules_of_the_documents
    a_scrubbed_environment_is_refused_and_the_log_says_so
    a_hat_before_the_berth_stays_and_one_after_it_does_not
};

const PROFILE: &str = "/etc/apparmor.d/usr.sbin.sshd";
const LOCAL: &str = "/etc/apparmor.d/local/usr.sbin.sshd";

/// What install.md has to say of an sshd that is confined.
const DOCUMENT: &str = include_str!("../../../../docs/install.md");

/// Prints under which profile a process is, and whether it sees others'.
const WHERE: &str = "cat /proc/self/attr/current; readlink /proc/self/ns/pid";

/// sshd's profile goes with this, and the sshd that it confined.
struct Sshd<'a>(&'a Booted);

impl<'a> Sshd<'a> {
    /// Confines sshd by the profile that apparmor-profiles has for it, with these flags, and by these rules besides.
    fn confined(machine: &'a Booted, flags: &str, rules: &str) -> Sshd<'a> {
        let from = "/usr/share/apparmor/extra-profiles/usr.sbin.sshd";
        let profile = fs::read_to_string(from).unwrap();
        let head = format!("/usr/sbin/sshd flags=({flags}) {{");
        Sshd::under(machine, &profile.replace("/usr/sbin/sshd {", &head), rules)
    }

    fn under(machine: &'a Booted, profile: &str, rules: &str) -> Sshd<'a> {
        fs::create_dir_all("/etc/apparmor.d/local").unwrap();
        fs::write(PROFILE, profile).unwrap();
        fs::write(LOCAL, rules).unwrap();
        let load = format!("apparmor_parser --replace {PROFILE} && systemctl restart ssh");
        machine.host(&load).ok();
        Sshd(machine)
    }
}

impl Drop for Sshd<'_> {
    fn drop(&mut self) {
        let away = format!(
            "apparmor_parser --remove {PROFILE}; rm {PROFILE} {LOCAL}; systemctl restart ssh"
        );
        self.0.host(&away);
    }
}

fn policy(user: &str) -> Policy {
    Policy {
        profile: "user = { memory_max = \"200M\" }\nlogout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(&format!(
            "user = \"{user}\", pid = true, ipc = true, mount = true, private_tmp = \"disk\""
        ))
    }
}

/// Fails unless a login was in a PID namespace of its own, under a profile.
#[track_caller]
fn assert_berthed(machine: &Booted, said: Output, profile: &str) {
    let said = said.ok();
    let host = machine.host("readlink /proc/self/ns/pid").ok();
    assert_eq!(said.lines().next(), Some(profile));
    assert!(said.contains("pid:[") && !said.contains(&host), "{said}");
}

fn a_program_in_a_berth_has_its_profile(machine: &Booted) {
    machine.berth("sshd", &policy("identity"));
    let before = machine.settled();
    let profile = "
        #include <tunables/global>
        /usr/local/bin/confined {
            #include <abstractions/base>
            #include <abstractions/consoles>
            /usr/local/bin/confined mr,
            @{PROC}/@{pid}/attr/current r,
            /tmp/may r,
        }";
    fs::write("/etc/apparmor.d/confined", profile).unwrap();
    let load =
        "cp /bin/cat /usr/local/bin/confined && apparmor_parser --replace /etc/apparmor.d/confined";
    machine.host(load).ok();
    assert_berthed(machine, machine.ssh("alice", WHERE), "unconfined");
    let command = "echo may >/tmp/may; echo not >/tmp/not; confined /proc/self/attr/current /tmp/may /tmp/not 2>&1";
    let said = machine.ssh("alice", command).stdout;
    let expected = "/usr/local/bin/confined (enforce)\nmay\nconfined: /tmp/not: Permission denied";
    assert_eq!(said.trim_end(), expected);
    // With a terminal, which was opened outside.
    let mut terminal = machine.terminal("alice");
    assert_eq!(terminal.run("echo may >/tmp/may; confined /tmp/may"), "may");
    terminal.send("confined & kill $! && exit");
    terminal.wait();
    machine.assert_nothing_left(&before);
}

fn an_sshd_that_is_only_complained_of_gets_its_berth(machine: &Booted) {
    machine.berth("sshd", &policy("identity"));
    let _sshd = Sshd::confined(machine, "complain", "");
    let before = machine.settled();
    assert_berthed(
        machine,
        machine.ssh("alice", WHERE),
        "/usr/sbin/sshd (complain)",
    );
    // What has no path is refused even so.
    let log = machine.log();
    assert!(
        log.contains("apparmor=\"ALLOWED\"") && !log.contains("disconnected path"),
        "{log}"
    );
    machine.assert_nothing_left(&before);
}

/// The rules of the document, as they stand there.
fn rules() -> String {
    let section = DOCUMENT
        .split_once("# /etc/apparmor.d/local/usr.sbin.sshd\n")
        .unwrap()
        .1;
    section.split_once("```").unwrap().0.to_owned()
}

fn a_confined_sshd_gets_its_berth_by_the_rules_of_the_documents(machine: &Booted) {
    machine.berth("sshd", &policy("off"));
    let _sshd = Sshd::confined(machine, "attach_disconnected", &rules());
    let before = machine.settled();
    assert_berthed(machine, machine.ssh("alice", WHERE), "unconfined");
    let doctor = machine.host("berth doctor").stdout;
    assert!(
        doctor.contains("under the AppArmor profile /usr/sbin/sshd,"),
        "{doctor}"
    );
    // no_new_privs keeps the shell from leaving the profile.
    machine.policy(&policy("identity"));
    let said = machine.ssh("alice", "true");
    assert!(
        said.stderr.contains("/bin/sh: Operation not permitted"),
        "{said:?}"
    );
    assert!(machine.ssh("root", "true").success());
    machine.assert_nothing_left(&before);
}

fn a_scrubbed_environment_is_refused_and_the_log_says_so(machine: &Booted) {
    machine.berth("sshd", &policy("off"));
    let rules = rules().replace("berth-helper ux,", "berth-helper Ux,");
    let _sshd = Sshd::confined(machine, "attach_disconnected", &rules);
    assert!(!machine.ssh("alice", "true").success());
    machine.logged("refusing to run in secure mode (AT_SECURE)");
    assert!(machine.ssh("root", "true").success());
}

fn a_hat_before_the_berth_stays_and_one_after_it_does_not(machine: &Booted) {
    const HATS: &str = "
        #include <tunables/global>
        profile sshd /usr/sbin/sshd flags=(attach_disconnected) {
            capability, network, signal, ptrace, mount, umount, unix, dbus,
            / r,
            /** rwlkmix,
            /usr/libexec/berth-helper ux,
            ^DEFAULT flags=(attach_disconnected) {
                capability, network, signal, ptrace, unix,
                / r,
                /** rwlkmix,
                /usr/libexec/berth-helper ux,
                deny /etc/secret r,
            }
        }";
    const HAT: &str = "session required pam_apparmor.so order=default";
    let _sshd = Sshd::under(machine, HATS, "");
    let before = machine.settled();
    for user in ["identity", "off"] {
        machine.host("cp /root/pam.d/sshd /etc/pam.d/sshd").ok();
        machine
            .host(&format!("echo '{HAT}' >>/etc/pam.d/sshd"))
            .ok();
        machine.berth("sshd", &policy(user));
        assert_berthed(
            machine,
            machine.ssh("alice", WHERE),
            "sshd//DEFAULT (enforce)",
        );
    }
    // There is no /proc/self any more, by which it would change the profile; and it says nothing.
    machine.host("cp /root/pam.d/sshd /etc/pam.d/sshd").ok();
    machine.berth("sshd", &policy("identity"));
    machine
        .host(&format!("echo '{HAT}' >>/etc/pam.d/sshd"))
        .ok();
    assert_berthed(machine, machine.ssh("alice", WHERE), "sshd (enforce)");
    machine.assert_nothing_left(&before);
}
