//! A test's machine, seen from the test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::apart::test_of;
use crate::elsewhere::run_elsewhere;
use crate::kernel::eventually;
use crate::log::Log;
use crate::namespaces::PROGRAMS;
use crate::sshd::{CHROOTED, Sshd, client};
use crate::{
    Background, Cgroups, Door, Output, Policy, Process, Snapshot, Stack, Terminal, policy,
};

/// An account of a test's machine.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its UID, and the GID of its own group.
    pub uid: u32,
}

/// A machine on which the test is root.
#[derive(Debug)]
pub struct Machine {
    first_uid: u32,
    users: Vec<User>,
    cgroups: Cgroups,
    log: Log,
    /// How many lines of it were told to be forgotten.
    forgotten: usize,
    sshd: Option<Sshd>,
}

impl Machine {
    /// Runs a test on a machine of its own.
    ///
    /// The test program starts itself again on the machine, to run just this test there.
    #[track_caller]
    pub fn run<T: FnOnce(&mut Machine)>(test: T) {
        Machine::run_named(test_of::<T>(), test);
    }

    /// Whether this process runs on a test's machine.
    pub fn is_here() -> bool {
        std::env::var_os("BERTH_FIRST_UID").is_some()
    }

    /// As [`Machine::run`], where the test's name is known.
    #[track_caller]
    pub fn run_named<T: FnOnce(&mut Machine)>(name: &str, test: T) {
        if let Some(first_uid) = std::env::var_os("BERTH_FIRST_UID") {
            let first_uid = first_uid.to_str().and_then(|uid| uid.parse().ok());
            test(&mut Machine::new(first_uid.expect("BERTH_FIRST_UID")));
        } else {
            run_elsewhere(name);
        }
    }

    fn new(first_uid: u32) -> Machine {
        // What the machine's daemons inherit is a system's, not a test program's.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let mut machine = Machine {
            first_uid,
            users: Vec::new(),
            cgroups: Cgroups::find().expect("no cgroup v2 tree is mounted"),
            log: Log::open(),
            forgotten: 0,
            sshd: None,
        };
        for name in ["alice", "bob", CHROOTED] {
            machine.add_user(name);
        }
        machine.stack(&Stack::default());
        machine.policy(&Policy::default());
        machine
    }

    /// Makes an account, with a group and a home directory.
    pub fn add_user(&mut self, name: &str) -> User {
        let uid = self.first_uid + u32::try_from(self.users.len()).expect("few users");
        append(
            "/etc/passwd",
            &format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh"),
        );
        append("/etc/shadow", &format!("{name}:*:19000:0:99999:7:::"));
        append("/etc/group", &format!("{name}:x:{uid}:"));
        let home = PathBuf::from("/home").join(name);
        fs::create_dir_all(&home).expect("home");
        chown(&home, Some(uid), Some(uid)).expect("chown");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("chmod");
        let user = User {
            name: name.into(),
            uid,
        };
        self.users.push(user.clone());
        user
    }

    /// Adds a group of this test's own, with members, and gives back its GID.
    pub fn add_group(&mut self, name: &str, gid: u32, members: &[&str]) -> u32 {
        append(
            "/etc/group",
            &format!("{name}:x:{gid}:{}", members.join(",")),
        );
        gid
    }

    /// An account by its name.
    pub fn user(&self, name: &str) -> &User {
        let mut users = self.users.iter();
        users.find(|user| user.name == name).expect("no such user")
    }

    /// The UID of an account.
    pub fn uid(&self, name: &str) -> u32 {
        self.user(name).uid
    }

    /// Puts a policy in place.
    pub fn policy(&self, policy: &Policy) {
        policy::install(&policy.text());
    }

    /// Puts any text in the policy's place.
    pub fn policy_text(&self, text: &str) {
        policy::install(text);
    }

    /// Puts a PAM stack in place for every login service.
    pub fn stack(&self, stack: &Stack) {
        stack.install();
    }

    /// Takes Berth out of every login service's stack, for tests of the machine alone.
    pub fn without_berth(&self) {
        let module = Stack::default().module();
        for service in policy::SERVICES {
            let path = format!("/etc/pam.d/{service}");
            let text = fs::read_to_string(&path).expect("stack");
            fs::write(&path, text.replace(&module, "pam_permit.so")).expect("stack");
        }
        assert!(!self.host("grep -r berth /etc/pam.d").success());
    }

    /// The host's cgroup tree.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// A file of the kernel's for all that a user runs.
    #[track_caller]
    pub fn of_user(&self, user: &str, file: &str) -> String {
        let path = self.cgroups.user(self.uid(user)).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        text.trim_end().to_owned()
    }

    /// Every line of the system log so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// From here on [`Machine::logged`] finds new lines only.
    pub fn forget_log(&mut self) {
        self.forgotten = self.log.lines().len();
    }

    /// Waits for a line of the system log that contains a text.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        let find = || {
            let mut lines = self.log.lines().into_iter().skip(self.forgotten);
            lines.find(|line| line.contains(text))
        };
        let there = eventually(|| find().is_some());
        assert!(there, "no {text:?} in the log: {:#?}", self.log.lines());
        find().unwrap_or_default()
    }

    /// Leaves the machine few pseudo terminals: its own, and not the real machine's, which others use.
    pub fn few_terminals(&self) {
        let options = "remount,ptmxmode=0666,mode=620,gid=5,max=40";
        self.host(&format!("mount -o {options} /dev/pts")).ok();
    }

    /// Everything there is on the machine now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.cgroups, self.first_uid)
    }

    /// Everything there is when the daemons run, and a first login of another user's is over.
    #[track_caller]
    pub fn settled(&mut self) -> Snapshot {
        self.ssh("bob", "true").ok();
        self.su("bob", "true").ok();
        let mut last = self.snapshot();
        let quiet = eventually(|| {
            let before = std::mem::replace(&mut last, self.snapshot());
            last == before && Process::named("berth-helper").is_empty() && {
                std::thread::sleep(Duration::from_millis(100));
                last == self.snapshot()
            }
        });
        assert!(quiet, "the machine does not come to rest: {last:#?}");
        last
    }

    /// Fails unless everything becomes as it was, soon.
    #[track_caller]
    pub fn assert_nothing_left(&self, before: &Snapshot) {
        before.assert_restored(|| self.snapshot());
    }

    /// The server, started at its first use.
    pub fn sshd(&mut self) -> &Sshd {
        self.sshd.get_or_insert_with(Sshd::start)
    }

    /// `ssh`, ready to be given more options.
    pub fn ssh_command(&mut self, user: &str, command: &str) -> Command {
        self.sshd();
        let mut ssh = client("ssh");
        ssh.arg(format!("{user}@127.0.0.1"));
        if !command.is_empty() {
            ssh.arg(command);
        }
        ssh
    }

    /// Whether a connection that opens no session (`ssh -N`) is refused. One that is let in stays, and is ended.
    pub fn refuses_without_session(&mut self, user: &str) -> bool {
        let mut ssh = self.ssh_command(user, "");
        ssh.arg("-N").stdin(Stdio::null());
        let mut ssh = ssh.spawn().expect("ssh");
        let ended = eventually(|| ssh.try_wait().expect("ssh").is_some());
        let _ = ssh.kill(); // where it has not ended
        ended && !ssh.wait().expect("ssh").success()
    }

    /// Runs a command by ssh.
    pub fn ssh(&mut self, user: &str, command: &str) -> Output {
        output(self.ssh_command(user, command))
    }

    /// Runs a command by ssh, at another server of the machine's.
    pub fn ssh_at(&mut self, port: u16, user: &str, command: &str) -> Output {
        let mut ssh = client("ssh");
        ssh.args([
            "-p",
            &port.to_string(),
            &format!("{user}@127.0.0.1"),
            command,
        ]);
        output(ssh)
    }

    /// Logs in by ssh with a terminal.
    pub fn ssh_terminal(&mut self, user: &str) -> Terminal {
        self.sshd();
        let mut ssh = client("ssh");
        ssh.args(["-tt", &format!("{user}@127.0.0.1")]);
        Terminal::start(ssh)
    }

    /// Runs a command by ssh, and goes on at once.
    pub fn ssh_background(&mut self, user: &str, command: &str) -> Background {
        let ssh = self.ssh_command(user, command);
        background(ssh)
    }

    /// Logs in by ssh and stays; the process that stays is the user's `sleep`.
    #[track_caller]
    pub fn stay(&mut self, user: &str) -> (Background, Process) {
        let before = self.processes_of(user);
        let login = self.ssh_background(user, "exec sleep 1000");
        let new = || {
            let mut all = self.processes_of(user).into_iter();
            all.find(|one| one.name() == "sleep" && !before.contains(one))
        };
        assert!(eventually(|| new().is_some()), "no login of {user}'s");
        (login, new().expect("a process"))
    }

    /// Has a session of this user's begin and end, whole. Other keepers have had as long as that for what they are about to do.
    #[track_caller]
    pub fn another_session(&mut self, user: &str) {
        let id = self.next_session();
        self.ssh(user, "true").ok();
        self.logged(&format!("close session={id} "));
    }

    /// Whether a helper has a user's folder open, as it does to lock it. One that waits for that asks again and again, so
    /// /proc/locks does not name it.
    pub fn is_at_the_lock_of(&self, user: &str) -> bool {
        let folder = format!("/run/berth/users/{}", self.uid(user));
        let mut helpers = Process::named("berth-helper").into_iter();
        helpers.any(|one| {
            let open = fs::read_dir(format!("/proc/{}/fd", one.0));
            let open = open.into_iter().flatten().flatten();
            let mut open = open.filter_map(|fd| fs::read_link(fd.path()).ok());
            open.any(|path| path == Path::new(&folder))
        })
    }

    /// The processes that run as this user, wherever they are.
    pub fn processes_of(&self, user: &str) -> Vec<Process> {
        let uid = self.uid(user);
        let all = Process::all().into_iter();
        all.filter(|one| one.uid() == Some(uid)).collect()
    }

    /// Gives commands to sftp.
    pub fn sftp(&mut self, user: &str, batch: &str) -> Output {
        self.sshd();
        let mut sftp = client("sftp");
        sftp.args(["-b", "-", &format!("{user}@127.0.0.1")]);
        with_input(sftp, batch)
    }

    /// An sftp that stays connected.
    pub fn ssh_background_sftp(&mut self, user: &str) -> Background {
        self.sshd();
        let mut ssh = client("ssh");
        ssh.args(["-s", &format!("{user}@127.0.0.1"), "sftp"]);
        ssh.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Background(ssh.spawn().expect("ssh"))
    }

    /// `su USER -c COMMAND`, from a directory.
    pub fn su_from(&self, directory: &Path, user: &str, command: &str) -> Output {
        let mut su = Command::new("su");
        su.args([user, "-c", command]).current_dir(directory);
        output(su)
    }

    /// `su USER -c COMMAND`.
    pub fn su(&self, user: &str, command: &str) -> Output {
        self.su_from(Path::new("/"), user, command)
    }

    /// `su - USER -c COMMAND`.
    pub fn su_login(&self, user: &str, command: &str) -> Output {
        let mut su = Command::new("su");
        su.args(["-", user, "-c", command]);
        output(su)
    }

    /// `su - USER` at a terminal.
    pub fn su_terminal(&self, user: &str) -> Terminal {
        let mut su = Command::new("su");
        su.args(["-", user]);
        Terminal::start(su)
    }

    /// `login -f USER` at a terminal.
    pub fn login(&self, user: &str) -> Terminal {
        let mut login = Command::new("login");
        login.args(["-f", user]);
        Terminal::start(login)
    }

    /// Runs a command through one of the ways in, and gives back what it prints.
    #[track_caller]
    pub fn through(&mut self, door: Door, user: &str, command: &str) -> String {
        match door {
            Door::Ssh => self.ssh(user, command).ok(),
            Door::Su => self.su(user, command).ok(),
            Door::SuLogin => self.su_login(user, command).ok(),
            Door::Cron => self.cron(user, command),
            Door::At => self.at(user, command),
            Door::SshTerminal => at_terminal(self.ssh_terminal(user), command),
            Door::Login => at_terminal(self.login(user), command),
        }
    }

    /// The id that the next session gets.
    pub fn next_session(&self) -> u64 {
        // Each takes a byte.
        fs::metadata("/run/berth-last-id").map_or(0, |file| file.len()) + 1
    }

    /// Runs a program as root, outside every berth.
    pub fn host(&self, command: &str) -> Output {
        let mut sh = Command::new("sh");
        sh.args(["-c", command]);
        output(sh)
    }

    /// Runs `berth` as root, outside every berth.
    pub fn berth(&self, arguments: &str) -> Output {
        self.host(&format!("{PROGRAMS}/berth {arguments}"))
    }

    /// The same, for what starts the helper: that is where the test's programs are.
    pub fn berth_with_helper(&self, arguments: &str) -> Output {
        self.berth(&format!("{arguments} --helper {PROGRAMS}/berth-helper"))
    }

    /// The same at a terminal.
    pub fn berth_terminal(&self, arguments: &[&str]) -> Terminal {
        let mut berth = Command::new(format!("{PROGRAMS}/berth"));
        berth.args(arguments);
        Terminal::start(berth)
    }

    /// The id of the one session, once it is set up.
    #[track_caller]
    pub fn session(&self) -> String {
        let list = || self.berth("list");
        assert!(
            eventually(|| list().stdout.contains(" active")),
            "{:?}",
            list()
        );
        let said = list().ok();
        assert!(said.ends_with("1 session, 1 user."), "{said}");
        let mut words = said
            .split_whitespace()
            .skip_while(|word| word.parse::<u64>().is_err());
        words.next().expect("an id").to_owned()
    }

    /// Writes a program that is a script, beside the product's, and gives back its path.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = format!("{PROGRAMS}/{name}");
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// The command line of the tests' own probe (see the program `berth-probe`).
    pub fn probe(&self, arguments: &str) -> String {
        format!("{PROGRAMS}/berth-probe {arguments}")
    }
}

impl Drop for Machine {
    /// A test that fails shows the log: that is where the product says why.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.log.lines() {
                let line: String = line.chars().take(500).collect();
                eprintln!("log: {}", line.escape_debug());
            }
        }
    }
}

fn at_terminal(mut terminal: Terminal, command: &str) -> String {
    let said = terminal.run(command);
    terminal.send("exit");
    terminal.wait();
    said
}

pub(crate) fn background(mut command: Command) -> Background {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Background(command.spawn().expect("start a program"))
}

pub(crate) fn output(mut command: Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.expect("run a program").into()
}

pub(crate) fn with_input(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("run a program");
    let mut stdin = child.stdin.take().expect("stdin");
    // A program that refuses to listen shows in its status.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("wait").into()
}

fn append(path: &str, line: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("open");
    writeln!(file, "{line}").expect("append");
}
