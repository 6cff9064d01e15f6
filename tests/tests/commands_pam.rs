//! `berth pam`: Debian's own stacks get Berth's lines and lose them again, and at no moment is a stack in force
//! through which nobody could log in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Output, Policy};

const SERVICES: [&str; 4] = ["sshd", "su", "su-l", "cron"];

fn berth(machine: &Machine, arguments: &str) -> Output {
    machine.berth(&format!("pam {arguments}"))
}

/// With the policy in force, as an admin has it by then.
fn install(machine: &Machine) {
    machine.install();
    machine.berth("reload").ok();
}

fn stack(service: &str) -> String {
    fs::read_to_string(format!("/etc/pam.d/{service}")).unwrap()
}

#[test]
fn debians_stacks_log_users_into_berths_and_are_byte_for_byte_as_before_afterwards() {
    Machine::run(|machine| {
        install(machine);
        // As configuration tools leave them: a link, a mode of its own, and no newline at the end.
        fs::rename("/etc/pam.d/su", "/etc/su.real").unwrap();
        symlink("../su.real", "/etc/pam.d/su").unwrap();
        fs::set_permissions("/etc/pam.d/cron", fs::Permissions::from_mode(0o640)).unwrap();
        chown("/etc/pam.d/cron", Some(0), Some(1)).unwrap();
        fs::write("/etc/pam.d/sshd", stack("sshd").trim_end()).unwrap();
        let before = SERVICES.map(stack);
        let all = SERVICES.join(" ");
        assert_eq!(berth(machine, "status sshd").status.code(), Some(1));

        let said = berth(machine, &format!("enable --yes {all}")).ok();
        for line in [
            "  + session  required  pam_berth.so open",
            "su-l: as su, which it includes",
            "sshd: root logs in",
            "cron: alice logs in, into a berth",
        ] {
            assert!(said.lines().any(|other| other == line), "{line}: {said}");
        }
        let status = berth(machine, &format!("status {all}")).ok();
        assert_eq!(status.matches("enabled").count(), 4, "{status}");
        let enabled = SERVICES.map(stack);
        let inside = "cat /proc/1/comm";
        assert_eq!(machine.ssh("alice", inside).ok(), "berth-init");
        assert_eq!(machine.su("alice", inside).ok(), "berth-init");
        assert_eq!(machine.su_login("alice", inside).ok(), "berth-init");
        assert_eq!(machine.cron("alice", inside), "berth-init");
        assert_ne!(machine.su("root", inside).ok(), "berth-init");
        let again = berth(machine, &format!("enable --yes {all}")).ok();
        assert!(again.contains("sshd: is enabled already"), "{again}");
        assert_eq!(SERVICES.map(stack), enabled);

        berth(machine, &format!("disable --yes {all}")).ok();
        assert_eq!(SERVICES.map(stack), before);
        assert!(fs::symlink_metadata("/etc/pam.d/su").unwrap().is_symlink());
        let cron = fs::metadata("/etc/pam.d/cron").unwrap();
        assert_eq!((cron.mode() & 0o7777, cron.gid()), (0o640, 1));
        assert_ne!(machine.ssh("alice", inside).ok(), "berth-init");
        let strays = machine.host("ls -A /etc/pam.d | grep '^\\.'; ls -d /run/berth-pam/");
        assert_eq!(strays.stdout, "");
    });
}

#[test]
fn an_admin_who_is_not_exempt_is_told_so_before_anything_is_changed() {
    Machine::run(|machine| {
        install(machine);
        let uid = machine.uid("alice");
        // As sudo leaves it; and pam_loginuid, if this runs below a login.
        let by_login =
            format!("{{ echo {uid} >/proc/self/loginuid; }} 2>/dev/null; export SUDO_UID={uid}");
        let before = stack("su");
        let told = || {
            // Without --yes it stops at the question.
            let asked = machine.host(&format!("{by_login}; {PROGRAMS}/berth pam enable su"));
            assert_eq!(asked.status.code(), Some(2), "{asked:?}");
            assert_eq!(stack("su"), before);
            asked
                .stdout
                .contains("You logged in as alice, who is not exempt")
        };
        assert!(told());
        let exempt = "mkdir -p /etc/berth/policy.d && echo 'exempt.users = [\"alice\"]' >/etc/berth/policy.d/50-admin.toml";
        machine.host(exempt).ok();
        machine.berth("reload").ok();
        assert!(!told());
    });
}

#[test]
fn services_that_are_not_there_are_named_and_the_others_are_changed() {
    Machine::run(|machine| {
        install(machine);
        let before = stack("su");
        fs::remove_file("/etc/pam.d/cron").unwrap();
        let partly = |verb: &str| {
            let said = berth(machine, &format!("{verb} --yes cron su nosuch"));
            assert_eq!(said.status.code(), Some(5), "{said:?}");
            for absent in ["cron", "nosuch"] {
                let line = format!("berth: {absent}: there is no such service in /etc/pam.d");
                assert!(said.stderr.contains(&line), "{said:?}");
            }
        };
        partly("enable");
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        partly("disable");
        assert_eq!(stack("su"), before);
    });
}

/// Who is locked out copies it back, and may have no module any more.
#[test]
fn the_file_that_is_kept_has_no_line_of_berths_whatever_was_done_since() {
    Machine::run(|machine| {
        install(machine);
        let before = stack("cron");
        let last = "session optional pam_permit.so\n";
        let kept = |expected: &str| {
            let kept = fs::read_to_string("/var/lib/berth/pam.d/cron").unwrap();
            assert_eq!(kept, expected);
        };
        berth(machine, "enable --yes cron").ok();
        kept(&before);
        // Something is put below Berth's last line, which is moved.
        fs::write("/etc/pam.d/cron", format!("{}{last}", stack("cron"))).unwrap();
        berth(machine, "enable --yes cron").ok();
        kept(&format!("{before}{last}"));
        berth(machine, "disable --yes cron").ok();
        kept(&format!("{before}{last}"));
    });
}

#[test]
fn a_packages_file_is_not_changed_where_a_link_leads_to_it_either() {
    Machine::run(|machine| {
        install(machine);
        let of_package = stack("su");
        let moved = "mount -t tmpfs none /usr/lib/pam.d && mv /etc/pam.d/su /usr/lib/pam.d/";
        machine.host(moved).ok();
        symlink("/usr/lib/pam.d/su", "/etc/pam.d/su").unwrap();
        let read = || fs::read_to_string("/usr/lib/pam.d/su").unwrap();
        berth(machine, "enable --yes su").ok();
        assert_eq!(read(), of_package);
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        berth(machine, "disable --yes su").ok();
        assert!(!fs::exists("/etc/pam.d/su").unwrap());

        // A link to elsewhere stays, whatever it leads to.
        fs::write("/etc/su.real", read()).unwrap();
        symlink("../su.real", "/etc/pam.d/su").unwrap();
        for verb in ["enable", "disable"] {
            berth(machine, &format!("{verb} --yes su")).ok();
        }
        assert_eq!(stack("su"), of_package);
        assert_eq!(fs::read_to_string("/etc/su.real").unwrap(), of_package);
    });
}

#[test]
fn logins_without_a_user_namespace_come_back_out_before_others_clean_up() {
    Machine::run(|machine| {
        install(machine);
        machine.policy(&Policy::with_namespaces("pid = true, mount = true"));
        machine.berth("reload").ok();
        // Runs at the close, and needs the host's /proc for what it says.
        let last = "session optional pam_exec.so type=close_session log=/run/close /bin/cat /proc/1/comm\n";
        fs::write("/etc/pam.d/su", format!("{}{last}", stack("su"))).unwrap();
        berth(machine, "enable --yes su").ok();
        fs::remove_file("/run/close").unwrap();
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        let said = fs::read_to_string("/run/close").unwrap();
        assert!(
            said.contains("*** ") && !said.contains("berth-init"),
            "{said}"
        );
    });
}

#[test]
fn a_stack_through_which_a_test_login_fails_is_never_put_in_force() {
    Machine::run(|machine| {
        install(machine);
        let before = stack("sshd");
        let fails = |what: &str, why: &str| {
            let failed = berth(machine, "enable --yes sshd");
            assert_eq!(failed.status.code(), Some(1), "{what}: {failed:?}");
            assert!(failed.stderr.contains(why), "{what}: {failed:?}");
            assert_eq!(stack("sshd"), before, "{what}");
            assert_eq!(machine.host("ls -d /run/berth-pam/").stdout, "", "{what}");
        };
        machine.host("mv /usr/libexec/berth-helper /root").ok();
        fails("no helper", "alice could not log in");
        machine.host("mv /root/berth-helper /usr/libexec").ok();
        machine.host("rm /usr/lib/*/security/pam_berth.so").ok();
        fails("no module", "root could not log in");
        machine.ssh("alice", "true").ok();

        // Out, it goes all the same: that is the way back for a machine without the module.
        let broken = format!("{before}account  required  pam_berth.so\n");
        fs::write("/etc/pam.d/sshd", &broken).unwrap();
        machine.ssh("alice", "true").refused();
        berth(machine, "disable --yes sshd").ok();
        assert_eq!(stack("sshd"), before);
        machine.ssh("alice", "true").ok();
    });
}

/// pam_env fills PAM's environment from it, as in Debian 12's stack of sshd.
#[test]
fn a_session_that_a_users_own_environment_names_is_not_taken_for_their_test_logins() {
    Machine::run(|machine| {
        install(machine);
        let before = format!(
            "{}session required pam_env.so user_readenv=1\n",
            stack("su")
        );
        fs::write("/etc/pam.d/su", &before).unwrap();
        berth(machine, "enable --yes sshd").ok();
        let id = machine.next_session();
        let (login, _) = machine.stay("bob");
        let variable = format!("BERTH_SESSION DEFAULT={id}\n");
        fs::write("/home/alice/.pam_environment", variable).unwrap();
        let enables = |place: &str, what: &str| {
            let said = berth(machine, "enable --yes su").ok();
            let line = format!("su: alice logs in, {place}");
            assert!(said.contains(&line), "{what}: {said}");
            let said = berth(machine, "disable --yes su").ok();
            assert!(said.contains("su: alice logs in\n"), "{what}: {said}");
            assert_eq!(stack("su"), before, "{what}");
        };
        // Whatever it is in, a test login sees the record of its own.
        for namespaces in [
            "user = \"minimal\", pid = true, ipc = true, mount = true, private_tmp = \"16M\"",
            "scope = \"user\", user = \"identity\", pid = true, mount = true, net = true",
            "mount = true",
            "",
        ] {
            machine.policy(&Policy::with_namespaces(namespaces));
            machine.berth("reload").ok();
            enables("into a berth", namespaces);
        }
        machine.policy(&Policy::default().on_error("allow"));
        machine.berth("reload").ok();
        machine.host("mv /usr/libexec/berth-helper /root").ok();
        enables("WITHOUT a berth", "no helper");
        login.end();
    });
}

/// As the packages of SSSD leave a machine: local users' account stacks end before their last line.
#[test]
fn whom_the_policy_denies_is_refused_where_another_module_ends_the_account_stack() {
    Machine::run(|machine| {
        install(machine);
        let stack = format!("account sufficient pam_localuser.so\n{}", stack("sshd"));
        fs::write("/etc/pam.d/sshd", &stack).unwrap();
        berth(machine, "enable --yes sshd").ok();
        machine.policy_text("version = 1\n[[rule]]\nname = \"all\"\naction = \"deny\"\n");
        machine.berth("reload").ok();
        assert!(machine.refuses_without_session("alice"));

        // Where somebody has put the line below.
        let below =
            format!("{stack}account required pam_berth.so\nsession required pam_berth.so\n");
        fs::write("/etc/pam.d/sshd", below).unwrap();
        let status = berth(machine, "status sshd");
        assert_eq!(status.status.code(), Some(1));
        let why = "pam_localuser.so is \"sufficient\", and if it succeeds, pam_berth is skipped";
        assert!(status.stdout.contains(why), "{status:?}");
    });
}

#[test]
fn of_the_service_managers_file_and_drop_in_both_are_changed_or_none() {
    Machine::run(|machine| {
        install(machine);
        let drop_in = "/etc/systemd/system/user@.service.d/50-berth.conf";
        let before = stack("su");
        fs::write("/etc/pam.d/systemd-user", &before).unwrap();
        // Its own, as /usr is that of the machine below.
        let own = "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work && \
                   mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/upper,workdir=/mnt/work none /usr/bin";
        machine.host(own).ok();
        // Not the program that is typed, which need not be root's alone; and without the other no manager would start.
        let refused = berth(machine, "enable --yes systemd-user");
        assert!(
            refused.stderr.contains("install Berth first"),
            "{refused:?}"
        );
        assert_eq!(stack("systemd-user"), before);
        machine.host("cp /berth/berth /usr/bin/").ok();
        berth(machine, "enable --yes systemd-user").ok();
        let enabled = stack("systemd-user");
        assert_ne!(enabled, before);
        let text = fs::read_to_string(drop_in).unwrap();
        let start = "\nExecStart=+/usr/bin/berth user-manager %i\n";
        assert!(text.contains(start), "{text}");

        // What is no file cannot be removed as one.
        machine
            .host(&format!("rm {drop_in} && mkdir -p {drop_in}/x"))
            .ok();
        let failed = berth(machine, "disable --yes systemd-user");
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        assert!(
            failed.stderr.contains("nothing is changed there"),
            "{failed:?}"
        );
        assert_eq!(stack("systemd-user"), enabled);

        machine.host(&format!("rm -r {drop_in}")).ok();
        berth(machine, "disable --yes systemd-user").ok();
        assert_eq!(stack("systemd-user"), before);
    });
}

/// With what it knows alone the lines would be half out: no account check, and a session that needs a helper.
#[test]
fn lines_that_it_does_not_know_are_named_and_the_other_services_are_disabled() {
    Machine::run(|machine| {
        install(machine);
        let before = stack("cron");
        berth(machine, "enable --yes cron").ok();
        let by_hand =
            "account  required  pam_berth.so\nsession  required  pam_berth.so timeout=30\n";
        let text = format!("# f\u{fc}r alle\n{by_hand}{}", stack("su"));
        fs::write("/etc/pam.d/su", &text).unwrap();
        fs::write(
            "/etc/pam.d/common-own",
            "session  required  pam_berth.so open\n",
        )
        .unwrap();
        let including = format!("{}@include common-own\n", stack("sshd"));
        fs::write("/etc/pam.d/sshd", &including).unwrap();
        // What others than root can write is nothing to build on.
        machine
            .host("cp /etc/pam.d/cron /etc/pam.d/atd && chmod g+w /etc/pam.d/atd")
            .ok();
        let said = berth(machine, "disable --yes atd su sshd cron");
        assert_eq!(said.status.code(), Some(5), "{said:?}");
        for why in [
            "berth: atd: others than root can write /etc/pam.d/atd: chown root /etc/pam.d/atd; chmod go-w /etc/pam.d/atd\n",
            "berth: su: line 3 of /etc/pam.d/su has pam_berth, but not as this command writes it: remove it by hand\n",
            "berth: sshd: it includes common-own, which has pam_berth (common-own:1): berth pam disable common-own\n",
        ] {
            assert!(said.stderr.contains(why), "{why}: {said:?}");
        }
        let texts = ["su", "sshd", "cron"].map(stack);
        assert_eq!(texts, [text, including, before]);
        berth(machine, "disable --yes common-own sshd").ok();
        assert_eq!(stack("common-own"), "");
    });
}

/// libpam does not mind how a comment is encoded.
#[test]
fn a_comment_that_is_not_utf_8_stays_as_it_is() {
    Machine::run(|machine| {
        install(machine);
        let mut before = fs::read("/etc/pam.d/su").unwrap();
        before.extend(b"# f\xfcr alle\n");
        fs::write("/etc/pam.d/su", &before).unwrap();
        berth(machine, "enable --yes su").ok();
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        berth(machine, "disable --yes su").ok();
        assert_eq!(fs::read("/etc/pam.d/su").unwrap(), before);
    });
}

#[test]
fn without_a_login_that_was_tested_lines_are_put_in_only_if_that_is_said() {
    Machine::run(|machine| {
        install(machine);
        let refused = |arguments: &str, why: &str| {
            let before = stack("su");
            let refused = berth(machine, &format!("enable --yes su {arguments}"));
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert!(refused.stderr.contains(why), "{refused:?}");
            assert_eq!(stack("su"), before);
        };
        // Nobody can be chosen where the machine cannot be looked at; and no login of theirs would go well.
        let masked = "/sys/devices/system";
        machine.host(&format!("mount -t tmpfs none {masked}")).ok();
        refused("", "this machine cannot be looked at");
        machine.host(&format!("umount {masked}")).ok();
        // As where pam_access lets in others.
        let before = format!(
            "account required pam_succeed_if.so uid = 0\n{}",
            stack("su")
        );
        fs::write("/etc/pam.d/su", &before).unwrap();
        refused("", "no local user whom the policy covers can log in here");
        refused("--user alice", "alice cannot log in here");
        berth(machine, "enable --yes --untested su").ok();
        assert!(stack("su").contains("pam_berth.so open"));
        berth(machine, "disable --yes su").ok();
        assert_eq!(stack("su"), before);
    });
}

/// As behind a logind that hangs, where this is the way out.
#[test]
fn nobody_else_is_tried_once_a_test_login_hangs_and_lines_are_taken_out_all_the_same() {
    Machine::run(|machine| {
        install(machine);
        let before = stack("su");
        berth(machine, "enable --yes su").ok();
        let script = "#!/bin/sh\necho $PAM_USER >>/run/tried\nexec sleep 600\n";
        fs::write("/run/hangs", script).unwrap();
        machine.host("chmod 755 /run/hangs").ok();
        let hangs = "session required pam_exec.so /run/hangs\n";
        fs::write("/etc/pam.d/su", format!("{}{hangs}", stack("su"))).unwrap();
        let said = berth(machine, "disable --yes su").ok();
        let told = "su: no user is tested: root's login gave no answer within 60 s";
        assert!(said.contains(told), "{said}");
        assert_eq!(fs::read_to_string("/run/tried").unwrap(), "root\n");
        assert_eq!(stack("su"), format!("{before}{hangs}"));
    });
}

#[test]
fn a_stack_through_which_a_test_login_hangs_is_never_put_in_force() {
    Machine::run(|machine| {
        install(machine);
        let script = "#!/bin/sh\ngrep -q pam_berth /run/berth-pam/su && exec sleep 600\nexit 0\n";
        fs::write("/run/hangs", script).unwrap();
        machine.host("chmod 755 /run/hangs").ok();
        let before = format!("{}session required pam_exec.so /run/hangs\n", stack("su"));
        fs::write("/etc/pam.d/su", &before).unwrap();
        let failed = berth(machine, "enable --yes --untested su");
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let why = "root could not log in: root's login gave no answer within 60 s";
        assert!(failed.stderr.contains(why), "{failed:?}");
        assert_eq!(stack("su"), before);
    });
}

/// The test logins run as who types it, and would meet nothing of that.
#[test]
fn what_security_modules_keep_from_logins_is_told_before_it_asks() {
    Machine::run(|machine| {
        install(machine);
        let enforcing = "mkdir /run/cgroup && mount --rbind /sys/fs/cgroup /run/cgroup && mount -t tmpfs none /sys/fs && \
                         mkdir /sys/fs/cgroup /sys/fs/selinux && mount --rbind /run/cgroup /sys/fs/cgroup && \
                         echo 1 >/sys/fs/selinux/enforce";
        machine.host(enforcing).ok();
        let asked = berth(machine, "enable su");
        assert_eq!(asked.status.code(), Some(2), "{asked:?}");
        let told = "FAIL  confined   SELinux is enforcing and Berth's policy module is not in";
        assert!(asked.stdout.contains(told), "{asked:?}");
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    Machine::run(|machine| {
        install(machine);
        fs::write("/etc/pam.d/sudo", stack("su")).unwrap();
        fs::write("/etc/pam.d/own", "session required pam_berth.so quiet\n").unwrap();
        let without_account = "auth required pam_permit.so\nsession required pam_permit.so\n";
        fs::write("/etc/pam.d/ftp", without_account).unwrap();
        for (arguments, status, why) in [
            ("enable --yes sudo", 1, "it is there to get out of a berth"),
            (
                "enable --yes common-session",
                1,
                "other services include it",
            ),
            ("enable --yes su-l", 1, "berth pam enable su\n"),
            ("enable --yes nosuch", 1, "there is no such service"),
            ("enable --yes ../passwd", 2, "a service is a name"),
            ("enable su", 2, "say --yes"),
            ("enable --yes own", 1, "not as this command writes it"),
            ("disable --yes own", 1, "remove it by hand"),
            ("enable --yes ftp", 1, "put \"account include other\""),
        ] {
            let before = machine.host("cat /etc/pam.d/*").ok();
            let refused = berth(machine, arguments);
            assert_eq!(
                refused.status.code(),
                Some(status),
                "{arguments}: {refused:?}"
            );
            assert!(refused.stderr.contains(why), "{arguments}: {refused:?}");
            assert_eq!(machine.host("cat /etc/pam.d/*").ok(), before, "{arguments}");
        }
        let as_user = machine.su("alice", &format!("{PROGRAMS}/berth pam enable --yes su"));
        assert_eq!(as_user.status.code(), Some(4), "{as_user:?}");

        // Of [exempt] the module would know nothing, and let in root alone if Berth fails.
        fs::remove_file("/var/lib/berth/policy.json").unwrap();
        let early = berth(machine, "enable --yes su");
        assert_eq!(early.status.code(), Some(1), "{early:?}");
        assert!(early.stderr.contains("no policy is loaded"), "{early:?}");
    });
}

/// sed writes each file that it is given anew, and an SELinux machine refuses all logins by files without a label.
#[test]
fn the_way_back_in_of_the_documents_writes_no_file_without_lines_of_berths() {
    Machine::run(|machine| {
        install(machine);
        fs::rename("/etc/pam.d/su", "/etc/su.real").unwrap();
        symlink("../su.real", "/etc/pam.d/su").unwrap();
        let before = SERVICES.map(stack);
        berth(machine, "enable --yes su sshd").ok();
        let inode = || fs::metadata("/etc/pam.d/cron").unwrap().ino();
        let untouched = inode();
        let document = include_str!("../../docs/install.md");
        let mut lines = document.lines();
        let way_back = lines.find(|line| line.contains("'/pam_berth/d'")).unwrap();
        machine.host(way_back).ok();
        assert_eq!(SERVICES.map(stack), before);
        assert_eq!(inode(), untouched);
    });
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_file_or_the_new_one() {
    Machine::run(|machine| {
        install(machine);
        let old = stack("su");
        let begun = Instant::now();
        berth(machine, "enable --yes su").ok();
        let whole = begun.elapsed();
        let new = stack("su");
        assert_ne!(new, old);
        let (mut unchanged, mut changed) = (0, 0);
        const ROUNDS: u32 = 40;
        for round in 0..ROUNDS {
            let (verb, from) = match stack("su") == old {
                true => ("enable", &old),
                false => ("disable", &new),
            };
            let mut command = Command::new(format!("{PROGRAMS}/berth"));
            let mut change = command.args(["pam", verb, "--yes", "su"]).spawn().unwrap();
            // Most of them near the end, where the file is replaced. The first does nothing and the last is through, however
            // slow the machine is.
            let of_whole = if round == 0 { 0 } else { 20 + round * 3 };
            std::thread::sleep(whole * of_whole / 100);
            if round + 1 < ROUNDS {
                change.kill().unwrap();
            }
            change.wait().unwrap();
            let now = stack("su");
            assert!(now == old || now == new, "{verb}: {now}");
            match now == *from {
                true => unchanged += 1,
                false => changed += 1,
            }
            machine.su("root", "true").ok();
        }
        assert!(
            unchanged > 0 && changed > 0,
            "{unchanged} old, {changed} new"
        );
        std::thread::sleep(Duration::from_secs(1));
        berth(machine, "enable --yes su").ok();
        berth(machine, "disable --yes su").ok();
        assert_eq!(stack("su"), old);
        let strays = machine.host("ls -A /etc/pam.d | grep '^\\.'; ls -d /run/berth-pam/");
        assert_eq!(strays.stdout, "");
    });
}
