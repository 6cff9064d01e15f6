//! Homes on NFS with root_squash, which root may not look into.

use std::fs;
use std::path::Path;

use berth_tests::{Booted, Policy, becomes};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    homes_that_root_may_not_look_into_are_used_through_every_door
};

/// Serves /srv/homes to this machine itself, and mounts it on /home. Version 4 without its daemons for recovery: a server
/// that has just started need not wait for clients of before. Not every machine has modprobe.
const MOUNT: &str = "
    mkdir -p /srv/homes && cp -a /home/. /srv/homes
    printf 'nfsd\\nnfsv4\\n' >/run/nfs.conf && /usr/lib/systemd/systemd-modules-load /run/nfs.conf && mount -t nfsd nfsd /proc/fs/nfsd
    exportfs -o rw,root_squash,no_subtree_check 127.0.0.1:/srv/homes
    rpc.mountd --no-nfs-version 3 && rpc.nfsd --no-nfs-version 3 --no-udp 2
    echo Y >/proc/fs/nfsd/v4_end_grace
    mount -t nfs4 127.0.0.1:/srv/homes /home";

/// Takes that back, also for the cases that come after one that failed.
struct Mounted<'a>(&'a Booted);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        self.0.host(
            "umount -l /home; rpc.nfsd 0; kill $(pidof rpc.mountd); exportfs -ua; umount /proc/fs/nfsd
             rm -r /srv/homes /home/alice/deep /etc/cron.d/test; systemctl start cron",
        );
    }
}

/// Starts su with root's rights in a folder of the user's, as sudo or a daemon does that has gone there as the user.
const SU: &str = r#"perl -e '$> = $ARGV[0]; chdir "/home/alice/deep" or die $!; $> = 0; exec "su", "alice", "-c", "pwd; cat file"'"#;

fn homes_that_root_may_not_look_into_are_used_through_every_door(machine: &Booted) {
    machine
        .host("cd /home/alice && mkdir deep && echo hers >deep/file && chown -R alice: deep && chmod 700 . deep")
        .ok();
    let _mounted = Mounted(machine);
    machine.host(MOUNT).ok();
    assert!(
        !machine.host("ls /home/alice").success(),
        "root may look into it, and this shows nothing"
    );
    let su = format!("{SU} {}", machine.uid("alice"));
    let at_home = machine.host(&su).ok();
    assert_eq!(at_home, "/home/alice/deep\nhers", "without Berth");
    for user in ["off", "identity"] {
        let policy = Policy::with_namespaces(&format!(
            "user = \"{user}\", pid = true, ipc = true, mount = true, private_tmp = \"8M\""
        ));
        for service in ["sshd", "su", "su-l", "cron"] {
            machine.berth(service, &policy);
        }
        machine.host("systemctl stop cron").ok();
        let before = machine.settled();
        let said = machine.ssh(
            "alice",
            "pwd; cat deep/file; echo x >new; stat -c '%U %n' new; rm new; cat /proc/1/comm",
        );
        assert_eq!(
            said.ok(),
            "/home/alice\nhers\nalice new\nberth-init",
            "{user}"
        );
        let batch = "put /etc/hostname there\nget there /run/back\nrm there\npwd\n";
        let said = machine.sftp("alice", batch).ok();
        let there = "Remote working directory: /home/alice";
        assert!(said.contains(there), "{user}: {said}");
        assert_eq!(fs::read("/run/back").ok(), fs::read("/etc/hostname").ok());
        fs::remove_file("/run/back").expect("what came back");
        let said = machine.host("su - alice -c 'pwd; cat deep/file'");
        assert_eq!(said.ok(), "/home/alice\nhers", "{user}");
        assert_eq!(machine.host(&su).ok(), at_home, "{user}");
        let job = "@reboot alice cat deep/file >ran; cat /proc/1/comm >>ran\n";
        fs::write("/etc/cron.d/test", job).expect("a table");
        // It takes this for a boot.
        machine
            .host("rm -f /run/crond.reboot; systemctl start cron")
            .ok();
        // Where the server has it, root may look.
        let ran = Path::new("/srv/homes/alice/ran");
        let said = || fs::read_to_string(ran).unwrap_or_default();
        becomes(said, "hers\nberth-init\n");
        fs::remove_file(ran).expect("a file");
        machine
            .host("systemctl stop cron; rm /etc/cron.d/test")
            .ok();
        machine.assert_nothing_left(&before);
        machine.host("cp -a /root/pam.d/. /etc/pam.d").ok();
    }
}
