//! Accounts that another name service than the local files knows.

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Output};

/// dora, whom only extrausers knows, as it knows her groups: `remote`, her own, and `lab`.
fn dora(machine: &Machine) -> u32 {
    let uid = machine.uid("alice") + 30;
    machine
        .host("sed -i -E 's/^(passwd|group|shadow):.*/\\1: files extrausers/' /etc/nsswitch.conf")
        .ok();
    let write = |name: &str, text: String| {
        std::fs::create_dir_all("/var/lib/extrausers").unwrap();
        std::fs::write(format!("/var/lib/extrausers/{name}"), text).unwrap();
    };
    write(
        "passwd",
        format!("dora:x:{uid}:{uid}::/home/dora:/bin/sh\n"),
    );
    write(
        "group",
        format!("remote:x:{uid}:\nlab:x:{}:dora\n", uid + 1),
    );
    write("shadow", "dora:*:19000:0:99999:7:::\n".into());
    machine.host("install -d -o dora -g remote /home/dora").ok();
    assert!(
        !machine
            .host("grep -r dora /etc/passwd /etc/group /etc/shadow")
            .success()
    );
    uid
}

/// Makes a name service of the test's own, in C.
fn name_service(machine: &Machine, name: &str, text: &str) {
    std::fs::create_dir_all("/opt/nss").unwrap();
    let source = format!("/opt/nss/{name}.c");
    let headers = "#define _GNU_SOURCE\n#include <errno.h>\n#include <grp.h>\n#include <string.h>\n#include <unistd.h>\n";
    std::fs::write(&source, format!("{headers}{text}")).unwrap();
    let library = format!("/opt/nss/libnss_{name}.so.2");
    let compile = format!("cc -w -shared -fPIC -o {library} {source}");
    let find = "echo /opt/nss >/etc/ld.so.conf.d/nss.conf && ldconfig -X 2>/dev/null";
    machine.host(&format!("{compile} && {find}")).ok();
}

#[test]
fn a_user_of_another_name_service_is_matched_by_name_and_by_groups_and_logs_in() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = dora(machine);
        for test in [
            "user = \"dora\"",
            "group = \"lab\"",
            "group = \"remote\"",
            "primary_group = \"remote\"",
            &format!("uid = \"{uid}\""),
        ] {
            machine.policy_text(&format!(
                "version = 1\n[defaults]\nno_match = \"deny\"\n[profile.p]\nlogout = {{ grace = \"1s\" }}\n\
                 namespaces = {{ user = \"minimal\", pid = true, mount = true }}\n[[rule]]\n{test}\nprofile = \"p\"\n"
            ));
            for said in [
                machine.ssh("dora", "cat /proc/1/comm; id -un; id -Gn; echo $HOME"),
                machine.su_login("dora", "cat /proc/1/comm; id -un; id -Gn; echo $HOME"),
            ] {
                assert_eq!(
                    said.ok(),
                    "berth-init\ndora\nremote lab\n/home/dora",
                    "{test}"
                );
            }
            machine.ssh("alice", "true").refused();
        }
        assert!(machine.logged("user=dora").contains(&format!("uid={uid}")));
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_user_whose_groups_a_service_cannot_be_asked_for_passes_by_no_rule_for_groups() {
    Machine::run(|machine| {
        dora(machine);
        machine.policy_text(
            "version = 1\n[profile.p]\n[[rule]]\ngroup = \"suspended\"\naction = \"deny\"\n[[rule]]\nprofile = \"p\"\n",
        );
        // As SSSD's, while that does not run: who the user is stands in a file that it left.
        name_service(
            machine,
            "away",
            "int _nss_away_initgroups_dyn(const char *user, gid_t group, long *start, long *size, gid_t **groups, long limit, int *error)\n\
             { *error = errno = ECONNREFUSED; return -1; }\n",
        );
        machine
            .host("sed -i -E 's/^group:.*/group: files extrausers away/' /etc/nsswitch.conf")
            .ok();
        machine.su("dora", "true").refused();
        machine.logged("NSS cannot name the groups of user");
        // Who is in this machine's own files waits for no service.
        assert_eq!(machine.su("alice", "echo in").ok(), "in");
    });
}

#[test]
fn a_socket_that_nscd_left_keeps_nobody_out() {
    Machine::run(|machine| {
        dora(machine);
        machine.host("mkdir -p /var/run/nscd").ok();
        // Nobody listens any more: what libc tries first fails as a service does that is not there.
        drop(std::os::unix::net::UnixListener::bind("/var/run/nscd/socket").unwrap());
        assert_eq!(machine.su("dora", "echo in").ok(), "in");
    });
}

#[test]
fn one_that_hangs_holds_up_no_list_and_no_reload() {
    Machine::run(|machine| {
        machine.policy_text(
            "version = 1\n[time.never]\nfrom = 2001-01-01T00:00:00\nuntil = 2001-01-02T00:00:00\n\
             [profile.p]\n[[rule]]\ntime = \"never\"\naction = \"deny\"\n[[rule]]\nprofile = \"p\"\n",
        );
        machine.berth("reload").ok();
        let mut terminal = machine.su_terminal("alice");
        terminal.run("true");
        // It hangs in what is looked at only, or su itself would hang.
        name_service(
            machine,
            "hang",
            "int _nss_hang_getgrnam_r() { if (!strcmp(program_invocation_short_name, \"berth\")) for (;;) pause(); return 0; }\n\
             int _nss_hang_initgroups_dyn() { return _nss_hang_getgrnam_r(); }\n\
             int _nss_hang_getpwnam_r() { return _nss_hang_getgrnam_r(); }\n",
        );
        machine
            .host("sed -i -E 's/^(passwd|group):.*/\\1: hang files/' /etc/nsswitch.conf")
            .ok();
        let berth =
            |arguments: &str| machine.host(&format!("timeout 60 {PROGRAMS}/berth {arguments}"));
        let list = berth("list");
        assert!(list.stdout.contains("\n1 session, 1 user."), "{list:?}");
        assert_eq!(list.status.code(), Some(5), "{list:?}");
        assert!(
            list.stderr.contains("NSS did not answer in time"),
            "{list:?}"
        );
        let top = berth("top --batch --delay 0.1");
        assert!(top.stdout.contains("alice"), "{top:?}");
        for verb in ["list --stale", "kill --stale --yes"] {
            let refused = berth(verb);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert!(
                refused.stderr.contains("NSS did not answer in time"),
                "{refused:?}"
            );
        }
        // Nor does it keep a policy from being put in force, as one by which everybody gets in meanwhile.
        let edit = "sed -i 's/^\\[\\[rule/[[rule]]\\ngroup = \"lab\"\\nprofile = \"p\"\\n&/' /etc/berth/policy.toml";
        machine.host(edit).ok();
        let [check, reload, doctor] = ["check", "reload", "doctor"].map(|verb| {
            let program = format!("{PROGRAMS}/berth");
            let mut berth = std::process::Command::new("timeout");
            berth.args(["60", &program, verb]);
            std::thread::spawn(move || Output::from(berth.output().unwrap()))
        });
        let silent = "NSS did not answer in time";
        let check = check.join().unwrap();
        assert!(
            check.success() && check.stderr.contains(silent),
            "{check:?}"
        );
        let reload = reload.join().unwrap();
        assert!(reload.stdout.contains("loaded 4 rules"), "{reload:?}");
        assert!(
            reload.success() && reload.stdout.contains(silent),
            "{reload:?}"
        );
        let doctor = doctor.join().unwrap();
        assert!(doctor.stdout.contains(silent), "{doctor:?}");
        terminal.send("exit");
        terminal.wait();
    });
}
