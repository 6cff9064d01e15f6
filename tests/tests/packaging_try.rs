//! `packaging/try`, which is to leave nothing on the machine that it was tried on.

use std::fs;
use std::process::Command;

use berth_tests::{Folder, Machine, Output};

/// Programs that are found before the system's.
struct Programs(Folder);

impl Programs {
    fn new(programs: &[(&str, &str)]) -> Programs {
        let all = Programs(Folder::new());
        for (program, text) in programs {
            all.put(program, text);
        }
        all
    }

    /// A script of the shell's, in a folder below.
    fn put(&self, program: &str, text: &str) {
        self.0.script(program, &format!("#!/bin/sh\n{text}\n"));
    }

    /// Runs commands of bash's in the source tree.
    fn run(&self, commands: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(["-c", commands])
            .env("PATH", format!("{}:{path}", self.0.display()))
            .current_dir(berth_tests::tree());
        bash.output().unwrap().into()
    }
}

/// Debian 12's packages of a new Rust conflict with those of the old one, and with rustup.
#[test]
fn a_rust_that_is_there_is_used_if_it_is_new_and_never_removed() {
    let programs = Programs::new(&[
        ("cargo", "echo cargo 1.63.0"),
        ("home/.cargo/bin/cargo", "echo cargo 1.90.0"),
    ]);
    let home = programs.0.join("home").display().to_string();
    programs.put("getent", &format!("echo alice:x:1000:1000::{home}:/bin/sh"));
    programs.put("apt-get", &format!("echo \"$@\" >>{home}/apt"));
    let commands = "SUDO_USER=alice; source packaging/build-needs; find_rust; install_rust";
    let found = programs.run(&format!("{commands}; command -v cargo"));
    assert!(found.stdout.contains("home/.cargo/bin/cargo"), "{found:?}");
    let apt = || fs::read_to_string(format!("{home}/apt")).unwrap_or_default();
    assert_eq!(apt(), "");

    // One that is as old is not put before what apt brings.
    programs.put("home/.cargo/bin/cargo", "echo cargo 1.63.0");
    programs.run(&format!("{commands}; command -v cargo"));
    let apt = apt();
    let install = apt.lines().find(|line| line.starts_with("install"));
    let install = install.unwrap_or_default();
    assert!(install.contains(" APT::Get::Remove=false "), "{apt}");
    // After a boot Debian's own upgrade may have dpkg's lock.
    assert!(install.contains(" DPkg::Lock::Timeout="), "{apt}");
}

/// At a terminal ^C goes to all that the trial has started, and who is impatient types it again.
#[test]
fn a_trial_that_is_interrupted_again_and_again_leaves_nothing() {
    Machine::run(|machine| {
        let left =
            "ls -d /dev/shm/berth-try* /tmp/berth-try* /var/lib/berth/try; ipcs -m | grep ' 644 '";
        fs::create_dir("/tmp/packaging").unwrap();
        fs::write("/tmp/packaging/try", include_str!("../../packaging/try")).unwrap();
        let interrupt = "set -m; unshare --mount --propagation private -- bash /tmp/packaging/try --on-stage /berth >/tmp/said 2>&1 &
             until grep --quiet 'A login by ssh' /tmp/said; do kill -0 $! || break; done
             while kill -INT -- -$!; do sleep 0.01; done; cat /tmp/said";
        let said = machine.host(&format!("bash -c '{}'", interrupt.replace('\'', "'\\''")));
        let said = said.stdout;
        assert!(
            said.contains("A login by ssh") && !said.contains("should be."),
            "{said}"
        );
        assert_eq!(machine.host(left).stdout, "");
    });
}

/// With that file in place no service of any package starts at its installation, for good.
#[test]
fn a_trial_that_was_killed_while_it_installed_a_server_does_not_veto_others_for_good() {
    let programs = Programs::new(&[
        (
            "cargo",
            "[ \"$1\" != --version ] || echo cargo 1.90.0; [ \"$1\" = --version ]",
        ),
        // Everything but the server is there.
        ("dpkg-query", "echo ii"),
    ]);
    let in_place = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
         mount -t overlay none -o lowerdir=/usr/sbin,upperdir=/mnt/upper,workdir=/mnt/work /usr/sbin
         rm -f /usr/sbin/sshd /usr/sbin/policy-rc.d; set +e";
    let run = |apt: &str, then: &str| {
        programs.put("apt-get", apt);
        let script =
            format!("{in_place}\npackaging/try\n{then}\npackaging/try; ls /usr/sbin/policy-rc.d");
        programs.run(&format!(
            "unshare --mount --propagation private bash -c '{}'",
            script.replace('\'', "'\\''")
        ))
    };
    let server_is_there = "cat /usr/sbin/policy-rc.d; cp /bin/true /usr/sbin/sshd";
    let killed = run("[ \"$1\" != install ] || kill -KILL $PPID", server_is_there);
    assert!(killed.stdout.contains("exit 101"), "{killed:?}");
    assert!(killed.stderr.contains("the build failed"), "{killed:?}");
    assert!(killed.stderr.contains("cannot access"), "{killed:?}");

    let failed = run("[ \"$1\" != install ]", "echo $?; ls /usr/sbin/policy-rc.d");
    assert!(failed.stdout.contains("\n2\n"), "{failed:?}");
    assert!(
        failed.stderr.contains("apt did not install openssh-server"),
        "{failed:?}"
    );
    assert_eq!(
        failed.stderr.matches("cannot access").count(),
        2,
        "{failed:?}"
    );

    // One of the admin's stays.
    let theirs = run(
        "exit 0",
        "echo theirs >/usr/sbin/policy-rc.d; packaging/try",
    );
    assert!(
        theirs.stdout.ends_with("/usr/sbin/policy-rc.d"),
        "{theirs:?}"
    );
}
