//! The policy's resource limits: there in a login, and only there.

use std::process::Command;
use std::time::Duration;

use berth_tests::{Background, Door, Machine, Policy, Process, eventually};

#[test]
fn they_are_in_force_and_cannot_be_raised() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_profile(
            "rlimits = { nofile = \"100:200\", core = 0, nproc = 77, fsize = \"1M:2M\" }",
        ));
        let look = "ulimit -Sn; ulimit -Hn; ulimit -Hc; ulimit -Hf; grep -c '^Max processes  *77  *77' /proc/self/limits";
        for door in Door::ALL {
            let said = machine.through(door, "alice", look);
            // dash counts file sizes in blocks of 512 bytes.
            assert_eq!(said, "100\n200\n0\n4096\n1", "{door:?}");
        }
        let raise = machine.ssh("alice", "ulimit -Hn 300");
        assert!(!raise.success(), "{raise:?}");
        // By the kernel's names. nice and rtprio are 0 already where nobody may raise them.
        let all = [
            ("as", "\"8G\"", "address space", "8589934592"),
            ("core", "4096", "core file size", "4096"),
            ("cpu", "\"1h\"", "cpu time", "3600"),
            ("data", "\"7G\"", "data size", "7516192768"),
            ("fsize", "\"2M\"", "file size", "2097152"),
            ("locks", "1234", "file locks", "1234"),
            ("memlock", "12288", "locked memory", "12288"),
            ("msgqueue", "54321", "msgqueue size", "54321"),
            ("nofile", "123", "open files", "123"),
            ("nproc", "88", "processes", "88"),
            ("rss", "\"6G\"", "resident set", "6442450944"),
            ("sigpending", "99", "pending signals", "99"),
            ("stack", "\"4M\"", "stack size", "4194304"),
        ];
        let lines = all.map(|(key, value, ..)| format!("{key} = {value}"));
        let rlimits = format!("rlimits = {{ {} }}", lines.join(", "));
        machine.policy(&Policy::with_profile(&rlimits));
        let limits = machine.ssh("alice", "cat /proc/self/limits").ok();
        for (key, _, name, value) in all {
            let line = limits
                .lines()
                .find_map(|line| line.strip_prefix(&format!("Max {name} ")));
            let both = line.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
            assert_eq!(both, Some(vec![value, value]), "{key}: {limits}");
        }
    });
}

#[test]
fn none_is_so_low_that_the_join_fails_by_it() {
    Machine::run(|machine| {
        // Without a user namespace the join opens the most files.
        machine.policy(&Policy {
            profile: "rlimits = { nofile = 6, fsize = 0, memlock = 0, sigpending = 0, msgqueue = 0, as = \"16M\" }".into(),
            ..Policy::with_namespaces(r#"user = "off", pid = true, ipc = true, mount = true"#)
        });
        let look = "ulimit -Hn; cat /proc/1/comm";
        assert_eq!(machine.su("alice", look).ok(), "6\nberth-init");
    });
}

#[test]
fn one_that_may_not_be_raised_follows_on_error_and_says_why() {
    Machine::run(|machine| {
        let su = "ulimit -n 50; exec capsh --drop=cap_sys_resource -- -c \"su alice -c 'ulimit -Hn; ulimit -Hc; cat /proc/1/comm'\"";
        let core = machine.host("ulimit -Hc").ok();
        for answer in ["deny", "allow"] {
            let policy = Policy::with_profile("rlimits = { core = 0, nofile = \"100:900\" }");
            machine.policy(&policy.on_error(answer));
            let said = machine.host(su);
            if answer == "deny" {
                said.refused();
            } else {
                assert_eq!(said.ok(), format!("50\n{core}\nlogin-machine"));
            }
            let line = machine.logged(&format!("on_error = {answer}"));
            assert!(
                line.contains("rlimit nofile to 50:900: Operation not permitted"),
                "{line}"
            );
            assert!(line.contains("CAP_SYS_RESOURCE"), "{line}");
        }
    });
}

/// The application goes on without a berth, and so without what the policy gives to one.
#[test]
fn a_login_whose_helper_is_killed_keeps_its_own() {
    Machine::run(|machine| {
        let policy = Policy::with_profile("rlimits = { nofile = \"20:30\", cpu = \"1h\" }");
        machine.policy(&policy.on_error("allow"));
        let mut sh = Command::new("sh");
        sh.args([
            "-c",
            "ulimit -n 50; exec strace -qq -o /dev/null -e inject=setns:delay_enter=2000000 \
             su alice -c 'ulimit -Sn; ulimit -Hn; ulimit -Ht; cat /proc/1/comm'",
        ]);
        sh.stdout(std::process::Stdio::piped());
        let login = Background(sh.spawn().unwrap());
        let replied = || {
            let record = std::fs::read_to_string("/run/berth/sessions/1");
            record.is_ok_and(|record| record.contains("\"active\""))
        };
        assert!(eventually(replied));
        std::thread::sleep(Duration::from_millis(200));
        Process::keepers()[0].kill();
        let host = machine.host("ulimit -Ht").ok();
        assert_ne!(host, "3600");
        assert_eq!(
            login.wait().ok().trim_end(),
            format!("50\n50\n{host}\nlogin-machine")
        );
    });
}
