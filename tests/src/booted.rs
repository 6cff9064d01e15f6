//! A whole booted machine that systemd runs, seen from a case that runs on it as root.
//!
//! Cases run one after the other in one boot, each in a process of its own. Whatever a case left behind, also one
//! that failed or hung, is out of the next one's way: PAM's files are put back, and logins ended.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::elsewhere::{Build, TEST_TIMEOUT, run_within};
use crate::kernel::eventually;
use crate::machine::{background, output, with_input};
use crate::policy::{POLICY, install};
use crate::sshd::{KEYS, client, let_in};
use crate::{Background, Cgroups, Output, Policy, Process, Snapshot, Terminal};

/// Says to a case's process that it is one.
const IS_CASE: &str = "BERTH_BOOTED";

/// The product's package, beside the programs that run the cases.
pub(crate) const PACKAGE: &str = "berth.deb";

/// What a machine leaves in the folder that it shares with the host, to be switched on again.
pub(crate) const AGAIN: &str = "again";

/// The first account's UID; the others follow. A container shares its kernel, which counts keys by UID, with whatever else
/// the host runs, and is told of a slot of its own.
fn first_uid() -> u32 {
    let slot = std::env::var(FIRST_UID).ok();
    slot.and_then(|uid| uid.parse().ok()).unwrap_or(50_000)
}

/// What tells it.
pub(crate) const FIRST_UID: &str = "BERTH_BOOTED_UID";

/// The accounts that every machine has.
const USERS: [&str; 2] = ["alice", "bob"];

/// Where prepared machines keep what `/etc/pam.d` was.
const PAM_BEFORE: &str = "/root/pam.d";

/// Is there once a case has rebooted the machine.
const REBOOTED: &str = "/root/rebooted";

/// The program that uses what is capped.
const PROBE: &str = "/usr/local/bin/berth-probe";

/// A user's service manager goes one second after the last logout and not ten, so that cases do not wait.
const LOGIND: &str = "[Login]\nUserStopDelaySec=1s\n";

/// A machine that systemd runs.
#[derive(Debug)]
pub struct Booted {
    cgroups: Cgroups,
    /// The end of the journal when this began: before it is what other cases did.
    cursor: String,
}

impl Booted {
    /// Makes a machine ready that has just booted: the product, the accounts, a key for them.
    pub fn prepare() {
        for (name, uid) in USERS.iter().zip(first_uid()..) {
            let uid = uid.to_string();
            run("useradd", &["-m", "-u", &uid, "-s", "/bin/sh", name]);
        }
        run("cp", &["-a", "/etc/pam.d", PAM_BEFORE]);
        install_package();
        let probe = Build::find().tools.join("berth-probe");
        fs::copy(probe, PROBE).expect("the probe");
        let_in();
        let sshd =
            format!("AuthorizedKeysFile {KEYS}\nPermitRootLogin yes\nUseDNS no\nMaxStartups 500\n");
        fs::write("/etc/ssh/sshd_config.d/test.conf", sshd).expect("sshd's configuration");
        fs::create_dir_all("/etc/systemd/logind.conf.d").expect("logind's configuration");
        fs::write("/etc/systemd/logind.conf.d/test.conf", LOGIND).expect("logind's configuration");
        run("systemctl", &["restart", "ssh", "systemd-logind"]);
        // A user's first login leaves a keyring, which the kernel keeps.
        for user in USERS {
            output(ssh(user, "true")).ok();
        }
    }

    /// Runs a case in a process of its own. The program starts itself again for it, with `--exact NAME`.
    #[track_caller]
    pub fn run_named(name: &str, case: impl FnOnce(&Booted)) {
        if std::env::var_os(IS_CASE).is_some() {
            if !Booted::is_rebooted() {
                Booted::here().put_back();
            }
            case(&Booted::here());
        } else {
            let mut again = Command::new(std::env::current_exe().expect("this program's path"));
            again.args(["--exact", name]).env(IS_CASE, "1");
            run_within(TEST_TIMEOUT, again);
        }
    }

    /// Whether a case has rebooted this machine: only that case goes on, with what it has set up.
    pub fn is_rebooted() -> bool {
        Path::new(REBOOTED).exists()
    }

    /// Switches the machine off, and has the host switch it on again: user-mode Linux, which starts itself anew at a reboot,
    /// panics in doing so after some minutes of work. This case will be started once more.
    pub fn reboot(&self) -> ! {
        for mark in [REBOOTED, &format!("/host/{AGAIN}")] {
            fs::write(mark, "").expect("a file");
        }
        self.host("systemctl poweroff").ok();
        // This ends with the machine.
        std::thread::sleep(TEST_TIMEOUT);
        panic!("it does not end");
    }

    /// The machine on which this runs.
    pub fn here() -> Booted {
        let mut end = Command::new("journalctl");
        end.args(["--lines=1", "--show-cursor"]);
        let said = output(end).ok();
        let mut lines = said.lines();
        let cursor = lines.find_map(|line| line.strip_prefix("-- cursor: "));
        let cursor = cursor.expect("a cursor");
        Booted {
            cgroups: Cgroups::find().expect("no cgroup v2 tree is mounted"),
            cursor: cursor.into(),
        }
    }

    /// What the journal has got since then.
    pub fn log(&self) -> String {
        let new = "journalctl --quiet --no-pager --output=cat --after-cursor";
        self.host(&format!("{new} '{}'", self.cursor)).ok()
    }

    /// Waits for a line of it that contains a text.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        let mut line = None;
        let there = eventually(|| {
            let log = self.log();
            line = log
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            line.is_some()
        });
        assert!(there, "no {text:?} in the log: {}", self.log());
        line.unwrap_or_default()
    }

    fn put_back(&self) {
        run("cp", &["-a", &format!("{PAM_BEFORE}/."), "/etc/pam.d"]);
        let added = format!(
            "cd /etc/pam.d && for file in *; do test -e {PAM_BEFORE}/$file || rm $file; done"
        );
        self.host(&added).ok();
        // A loaded copy would be in force, and not what a case writes.
        self.host("rm -f /var/lib/berth/policy.json /var/lib/berth/due");
        // What a service manager is started by, and without a login.
        let manager = "/etc/systemd/system/user@.service.d";
        if Path::new(manager).exists() {
            self.host(&format!("rm -r {manager}; systemctl daemon-reload"));
        }
        self.host("rm -f /var/lib/systemd/linger/*");
        // What the bus forbids besides, and a unit of alice's.
        let forbidden = Path::new("/etc/dbus-1/system.d/berth-attach.conf");
        if fs::remove_file(forbidden).is_ok() {
            self.host("systemctl reload dbus; systemctl stop alices.service");
        }
        // What the machine was short of.
        if Path::new("/full-64M-0").exists() {
            self.host("rm /full-*; umount /etc/berth");
        }
        if UnixStream::connect("/run/dbus/system_bus_socket").is_err() {
            self.host("systemctl start dbus.socket dbus.service systemd-logind.service");
        }
        if !self.host("dpkg-query -W berth").success() {
            self.install();
        }
        for slice in self.slices() {
            // It may be gone by now, which is what is wanted.
            let _ = fs::write(slice.join("cgroup.kill"), "1");
            // A slice whose user's manager was killed while it stopped may stay, empty, for ever.
            let name = slice.file_name().unwrap_or_default().to_string_lossy();
            self.host(&format!("systemctl stop {name}"));
            let _ = fs::remove_dir(&slice);
        }
        // Whose unmounting was killed with the slice.
        self.host("umount /run/user/*; rmdir /run/user/*; systemctl reset-failed");
    }

    /// The machine's cgroup tree.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// The UID of an account; root's is 0.
    pub fn uid(&self, name: &str) -> u32 {
        let place = USERS.iter().position(|user| *user == name);
        place.map_or(0, |place| first_uid() + place as u32)
    }

    /// Puts a policy in place.
    pub fn policy(&self, policy: &Policy) {
        install(&policy.text());
    }

    /// Puts a policy in place, and Berth's lines at the end of a service's PAM file: account, and session.
    pub fn berth(&self, service: &str, policy: &Policy) {
        self.policy(policy);
        let file = Path::new("/etc/pam.d").join(service);
        let before = fs::read(&file).expect("a PAM file");
        let module = format!("pam_berth.so policy={POLICY}");
        let account = format!("account required {module}\n");
        let session = format!("session required {module}\n");
        let with = [account.as_bytes(), &before, session.as_bytes()].concat();
        fs::write(&file, with).expect("a PAM file");
    }

    /// Takes pam_systemd out of every service, as on a machine whose logins have no session of logind's.
    #[track_caller]
    pub fn without_pam_systemd(&self) {
        let strip = "sed -i '/pam_systemd/d' /etc/pam.d/common-session";
        self.host(strip).ok();
    }

    /// Has sshd's lines name a helper that is this script, and gives back its path.
    #[track_caller]
    pub fn helper(&self, script: &str) -> &'static str {
        const HELPER: &str = "/root/helper";
        fs::write(HELPER, format!("#!/bin/sh\n{script}\n")).expect("a helper");
        let name = format!(
            "sed -i 's| helper=[^ ]*||; s|pam_berth.so|& helper={HELPER}|' /etc/pam.d/sshd"
        );
        self.host(&format!("chmod 755 {HELPER} && {name}")).ok();
        HELPER
    }

    /// Has Berth start users' service managers, as an admin does. After that the policy's files count again.
    #[track_caller]
    pub fn enable_managers(&self) -> String {
        let enable = "berth reload && berth pam enable --yes --user alice systemd-user && \
                      cd /var/lib/berth && rm policy.json exempt reload.lock";
        self.host(enable).ok()
    }

    /// Installs the product's package again, and gives back what dpkg complained of.
    #[track_caller]
    pub fn install(&self) -> String {
        install_package()
    }

    /// The product's package.
    pub fn package(&self) -> PathBuf {
        package()
    }

    /// A file of the kernel's for all that a user runs; empty where there is nothing.
    pub fn of_user(&self, user: &str, file: &str) -> String {
        self.of_cgroup(&self.slice(user), file)
    }

    /// A user's slice, by its path as /proc/PID/cgroup has it.
    pub fn slice(&self, user: &str) -> String {
        format!("/user.slice/user-{}.slice", self.uid(user))
    }

    /// The same for any cgroup, by such a path.
    pub fn of_cgroup(&self, cgroup: &str, file: &str) -> String {
        let path = format!("{}{cgroup}/{file}", self.cgroups.root().display());
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim_end().to_owned()
    }

    /// How often the OOM killer came to a cgroup.
    #[track_caller]
    pub fn oom_kills(&self, cgroup: &str) -> u64 {
        let events = self.of_cgroup(cgroup, "memory.events");
        let mut lines = events.lines();
        let kills = lines.find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("memory.events").parse().expect("a number")
    }

    /// What systemd was told to set for a user until the next boot, as names of files.
    pub fn drop_ins(&self, user: &str) -> Vec<String> {
        let folder = format!(
            "/run/systemd/system.control/user-{}.slice.d",
            self.uid(user)
        );
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    /// Runs a command by ssh, at the system's own server.
    pub fn ssh(&self, user: &str, command: &str) -> Output {
        output(ssh(user, command))
    }

    /// Gives commands to sftp.
    pub fn sftp(&self, user: &str, batch: &str) -> Output {
        let mut sftp = client("sftp");
        sftp.args(["-b", "-", &format!("{user}@127.0.0.1")]);
        with_input(sftp, batch)
    }

    /// Logs in by ssh with a terminal.
    pub fn terminal(&self, user: &str) -> Terminal {
        let mut ssh = client("ssh");
        ssh.args(["-tt", &format!("{user}@127.0.0.1")]);
        Terminal::start(ssh)
    }

    /// Logs in by ssh and stays; the process that stays is the user's `sleep`.
    #[track_caller]
    pub fn stay(&self, user: &str) -> (Background, Process) {
        self.background(user, "exec sleep 1000", "sleep")
    }

    /// Logs in by ssh for a command that stays; waits for its process of that name.
    #[track_caller]
    pub fn background(&self, user: &str, command: &str, name: &str) -> (Background, Process) {
        let running = || {
            let all = Process::named(name).into_iter();
            all.filter(|one| one.uid() == Some(self.uid(user)))
        };
        let before: Vec<Process> = running().collect();
        let login = background(ssh(user, command));
        let mut new = None;
        let is_there = || {
            new = running().find(|one| !before.contains(one));
            new.is_some()
        };
        assert!(eventually(is_there), "no login of {user}'s");
        (login, new.expect("a process"))
    }

    /// Runs a command as root, outside every berth.
    pub fn host(&self, command: &str) -> Output {
        let mut sh = Command::new("sh");
        sh.args(["-c", command]);
        output(sh)
    }

    /// The names of who has a session with logind, as it wrote them down. What it calls a session and is a
    /// user's service manager does not count.
    pub fn sessions(&self) -> Vec<String> {
        let files = fs::read_dir("/run/systemd/sessions").into_iter().flatten();
        // Beside them stand FIFOs (ID.ref), which would not end.
        let regular = |file: &fs::DirEntry| file.file_type().is_ok_and(|kind| kind.is_file());
        let sessions = files.flatten().filter(regular).filter_map(|file| {
            let text = fs::read_to_string(file.path()).ok()?;
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
            (value("CLASS=")? == "user").then(|| value("USER=").map(str::to_owned))?
        });
        let mut names: Vec<String> = sessions.collect();
        names.sort_unstable();
        names
    }

    /// Everything there is on the machine when nobody is logged in any more.
    #[track_caller]
    pub fn settled(&self) -> Snapshot {
        let is_quiet = || {
            // As long as logind knows a user it starts no other service manager, whatever has become of theirs.
            let known = fs::read_dir("/run/systemd/users").map_or(0, Iterator::count);
            let gone = self.sessions().is_empty() && self.slices().is_empty() && known == 0;
            // A user's folder is unmounted when their slice is gone.
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            gone && !mounts.contains(" /run/user/") && self.is_nobody_capped()
        };
        Snapshot::at_rest(|| self.snapshot(), is_quiet)
    }

    /// Fails unless everything becomes as it was, soon.
    #[track_caller]
    pub fn assert_nothing_left(&self, before: &Snapshot) {
        before.assert_restored(|| {
            self.is_nobody_capped();
            self.snapshot()
        });
    }

    /// Fails unless the caps of a user are taken back, soon.
    #[track_caller]
    pub fn assert_caps_taken_back(&self, user: &str) {
        let is_none = || self.is_nobody_capped() && self.drop_ins(user).is_empty();
        assert!(eventually(is_none), "{:?}", self.drop_ins(user));
    }

    /// Whether no user without a session has caps on. If so the next look, for which the timer takes a minute, is here at once.
    fn is_nobody_capped(&self) -> bool {
        let nobody = || {
            let users = fs::read_dir("/run/berth/users").into_iter().flatten();
            !users
                .flatten()
                .any(|user| user.path().join("goes-on").exists())
        };
        let is_nobody = nobody();
        if !is_nobody {
            self.look();
        }
        is_nobody
    }

    /// Does what the timer does each minute.
    pub fn look(&self) {
        // More often than systemd lets anything be started, without the first of these.
        let start = "systemctl reset-failed berth-due.service; systemctl start berth-due.service";
        self.host(start).ok();
    }

    /// The slices of users that are there.
    fn slices(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.cgroups.root().join("user.slice"));
        let all = all.into_iter().flatten().flatten();
        let all = all.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        all.map(|entry| entry.path()).collect()
    }

    /// Everything there is now, and what systemd is to set until the next boot.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.cgroups, first_uid()).and_in(Path::new("/run/systemd/system.control"))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // A case that failed shows the log: that is where the product says why.
        if std::thread::panicking() {
            let log = "journalctl --boot --no-pager --no-hostname --lines=100";
            eprintln!("{}", self.host(log).stdout);
        }
    }
}

pub(crate) fn ssh(user: &str, command: &str) -> Command {
    let mut ssh = client("ssh");
    ssh.args([&format!("{user}@127.0.0.1"), command]);
    ssh
}

fn package() -> PathBuf {
    Build::find().tools.join(PACKAGE)
}

/// Installs the product as a user would. Gives back what dpkg complained of.
#[track_caller]
fn install_package() -> String {
    let said = run("dpkg", &["--install", &package().display().to_string()]);
    run(
        "systemctl",
        &["--quiet", "enable", "--now", "berth.service"],
    );
    said
}

/// Runs a program that must succeed, and gives back its standard error.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let said = output(command);
    assert!(said.success(), "{said:?}");
    said.stderr
}
