//! The tests' own machine: that it is one, that every way in works, and that leaks are seen.

use std::process::Command;

use berth_tests::slot::{Slot, UIDS};
use berth_tests::{Door, Folder, Machine, Process, eventually};

#[test]
fn a_machine_has_its_own_processes_users_and_network() {
    Machine::run(|machine| {
        let uid = machine.uid("alice");
        assert_eq!(machine.host("id -u alice").ok(), uid.to_string());
        assert_eq!(machine.host("cat /proc/1/comm").ok(), "login-machine");
        assert_eq!(machine.host("ls /home | xargs").ok(), "alice bob carol");
        assert_eq!(machine.host("wc -l < /proc/net/route").ok(), "1");
    });
}

#[test]
fn every_door_leads_in() {
    Machine::run(|machine| {
        machine.without_berth();
        for door in Door::ALL {
            let said = machine.through(door, "alice", "id -un; echo two words");
            assert_eq!(said, "alice\ntwo words", "{door:?}");
        }
        assert_eq!(machine.ssh("root", "id -u").ok(), "0");
        assert!(!machine.ssh("alice", "exit 3").success());
    });
}

#[test]
fn sftp_works_and_can_be_chrooted() {
    Machine::run(|machine| {
        machine.without_berth();
        let said = machine.sftp("alice", "pwd\n").ok();
        assert!(said.contains("/home/alice"), "{said}");
        let said = machine.sftp("carol", "ls /\n").ok();
        assert!(said.contains("\n/files"), "{said}");
    });
}

#[test]
fn what_is_logged_is_seen() {
    Machine::run(|machine| {
        machine.host("logger -t someone 'a line'").ok();
        assert!(machine.logged("someone").contains("a line"));
    });
}

#[test]
fn what_a_login_leaves_behind_is_seen() {
    Machine::run(|machine| {
        machine.without_berth();
        // The kernel makes a user's own keyring at its first use, and keeps it, with what other tests of this UID put in.
        machine.su("alice", "keyctl clear @u").ok();
        // The session's own keyring goes a moment after the session.
        let before = machine.settled();
        machine.su("alice", "true").ok();
        machine.assert_nothing_left(&before);
        let user = machine.cgroups().user(machine.uid("alice"));
        for (leave, remove) in [
            // Left by a shell that ends before its child has become `sleep`.
            (
                "setsid sleep 1000 >/dev/null 2>&1 &",
                "timeout 10 sh -c 'until kill $(pidof sleep); do :; done' 2>/dev/null",
            ),
            ("mount -t tmpfs none /mnt", "umount /mnt"),
            ("touch /dev/shm/left", "rm /dev/shm/left"),
            ("touch /dev/mqueue/left", "rm /dev/mqueue/left"),
            ("ipcmk -M 4096", "ipcrm --all=shm"),
            ("ipcmk -S 1", "ipcrm --all=sem"),
            (
                "mkdir -p /run/berth; touch /run/berth/1",
                "rm -r /run/berth",
            ),
            (
                &format!("mkdir -p {0}/sessions/1", user.display()),
                &format!("rmdir {0}/sessions/1 {0}/sessions {0}", user.display()),
            ),
            (
                "su alice -c 'keyctl add user left behind @u'",
                "su alice -c 'keyctl clear @u'",
            ),
        ] {
            machine.host(leave).ok();
            assert_ne!(before, machine.snapshot(), "{leave}");
            machine.host(remove).ok();
            machine.assert_nothing_left(&before);
        }
    });
}

#[test]
fn a_killed_test_takes_everything_with_it() {
    let mut machine = Command::new(env!("CARGO_BIN_EXE_login-machine"))
        .args(["/bin/sleep", "--", "987654"])
        .spawn()
        .unwrap();
    let running = || Process::running("/berth/sleep 987654");
    assert!(eventually(|| !running().is_empty()));
    machine.kill().unwrap();
    machine.wait().unwrap();
    assert!(eventually(|| running().is_empty()), "{:?}", running());
}

#[test]
fn where_real_logins_lead_into_berths_no_test_runs() {
    let stack = Folder::with(&[("sshd", "session required pam_berth.so\n")]);
    let ran = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/pam.d && exec \"$0\" /bin/echo -- ran")
        .arg(env!("CARGO_BIN_EXE_login-machine"))
        .arg(&*stack)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(125), "{said}");
    assert!(said.contains("/etc/pam.d/sshd is of real logins"), "{said}");
    assert_eq!(ran.stdout, b"");
}

#[test]
fn no_test_uses_an_accounts_uid() {
    Machine::run(|machine| {
        let next = || Slot::take().unwrap().first_uid();
        let free = next();
        // Other tests take some and give them back.
        assert!(eventually(|| next() == free));
        let somebody = free + UIDS - 1;
        machine
            .host(&format!("useradd --no-create-home -u {somebody} somebody"))
            .ok();
        assert!((0..20).all(|_| next() != free));
    });
}

#[test]
fn what_is_left_of_a_test_is_removed_and_nobody_ended() {
    Machine::run(|machine| {
        let uid = machine.uid("bob");
        let session = machine.cgroups().user(uid).join("sessions/1");
        std::fs::create_dir_all(&session).unwrap();
        let enter = format!("echo $$ >{}/cgroup.procs; exec sleep 2", session.display());
        let mut child = Command::new("sh").args(["-c", &enter]).spawn().unwrap();
        let there = || std::fs::read_to_string(session.join("cgroup.procs")).unwrap();
        assert!(eventually(|| !there().is_empty()));
        machine.cgroups().clear(uid..uid + 1);
        assert!(child.wait().unwrap().success(), "it was ended");
        assert!(!session.exists());
    });
}
