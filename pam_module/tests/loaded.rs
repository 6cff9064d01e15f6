//! The real module under the real libpam: `pamtester` loads it in a mount namespace with a stack, a log
//! and a helper of its own. The helper is this program again, playing the part that its stage tells it.

use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use berth_protocol::{Ack, Channel, OnError, Phase, Reply, Request, Session};
use eventually::eventually;

#[path = "../src/tests/eventually.rs"]
mod eventually;

/// Whom the stacks are about: every machine has them, and they are exempt only by a loaded policy.
const USER: &str = "nobody";

/// The variable by which a stage's script makes this program a helper.
const STAGE: &str = "BERTH_TEST_STAGE";

struct Stage(PathBuf);

impl Stage {
    fn new(name: &str, helper: &str) -> Stage {
        let dir = std::env::temp_dir().join(format!("berth-loaded-{}-{name}", std::process::id()));
        for sub in ["pam.d", "dev"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        symlink(dir.join("log"), dir.join("dev/log")).unwrap();
        symlink(module(), dir.join("pam_berth.so")).unwrap();
        fs::write(dir.join("pam.d/other"), "auth required pam_deny.so\n").unwrap();
        for device in ["null", "zero", "urandom", "tty"] {
            fs::write(dir.join("dev").join(device), "").unwrap();
        }
        let stage = Stage(dir);
        let this = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n{STAGE}={} exec {} --exact plays_the_helper --nocapture --ignored\n",
            stage.0.display(),
            this.display()
        );
        fs::write(stage.helper(), script).unwrap();
        fs::set_permissions(stage.helper(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(stage.0.join("part"), helper).unwrap();
        stage
    }

    fn helper(&self) -> PathBuf {
        self.0.join("helper")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// Runs operations under a stack; `MODULE` in it is the module with this stage's helper, and `SHOW:NAME`
    /// writes what a process is like that a module after it starts.
    fn run(&self, stack: &str, user: &str, operations: &str) -> Ran {
        let (so, helper) = (self.0.join("pam_berth.so"), self.helper());
        let module = format!("{} helper={}", so.display(), helper.display());
        let mut text = String::from("auth required pam_permit.so\n");
        for line in stack.lines() {
            let line = line.trim().replace("MODULE", &module);
            text += &match line.split_once("SHOW:") {
                Some((before, name)) => {
                    let file = self.0.join(name);
                    let show = "readlink /proc/self/ns/mnt; env | grep ^BERTH; cat /proc/self/status; ls -l /proc/$PPID/fd; true";
                    fs::write(self.0.join("show"), format!("#!/bin/sh\n{show}\n")).unwrap();
                    fs::set_permissions(self.0.join("show"), fs::Permissions::from_mode(0o755))
                        .unwrap();
                    format!(
                        "{before}pam_exec.so log={} {}",
                        file.display(),
                        self.0.join("show").display()
                    )
                }
                None => line,
            };
            text.push('\n');
        }
        fs::write(self.0.join("pam.d/sshd"), text).unwrap();
        let _ = fs::remove_file(self.0.join("log"));
        let log = UnixDatagram::bind(self.0.join("log")).unwrap();
        log.set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();

        let dir = self.0.display();
        // No policy of this machine's may play a part, and nothing of this machine's is touched.
        let script = format!(
            "set -e
            mount --make-rprivate /
            mount --bind {dir}/pam.d /etc/pam.d
            mount -t tmpfs none /var/lib
            for device in null zero urandom tty; do mount --bind /dev/$device {dir}/dev/$device; done
            mount --rbind {dir}/dev /dev
            exec pamtester sshd {user} {operations}"
        );
        let before = Instant::now();
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .output()
            .unwrap();
        let mut lines = Vec::new();
        let mut line = [0; 4096];
        while let Ok(length) = log.recv(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..length]).into_owned());
        }
        Ran {
            took: before.elapsed(),
            success: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
            log: lines.join("\n"),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[derive(Debug)]
struct Ran {
    success: bool,
    output: String,
    log: String,
    took: Duration,
}

/// The module, built here: cargo does not do it for a test, which cannot link a cdylib.
fn module() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let this = std::env::current_exe().unwrap();
        let target = this.ancestors().nth(3).unwrap();
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "pam-berth",
                "--lib",
                "--target-dir",
            ])
            .arg(target)
            .status()
            .unwrap();
        assert!(built.success());
        target.join("debug/libpam_berth.so")
    };
    BUILT.get_or_init(build).clone()
}

const PLAIN: &str = "account required MODULE
    session required MODULE";

#[test]
fn root_gets_in_whatever_is_broken() {
    let stage = Stage::new("root", "");
    fs::remove_file(stage.helper()).unwrap();
    for arguments in ["", "polcy=/x timeout=never", "policy=/nonexistent"] {
        let stack = PLAIN.replace("MODULE", &format!("MODULE {arguments}"));
        let ran = stage.run(&stack, "root", "acct_mgmt open_session close_session");
        assert!(ran.success, "{ran:?}");
        let ran = stage.run(&stack, USER, "acct_mgmt");
        assert!(
            !ran.success && ran.output.contains("Permission denied"),
            "{ran:?}"
        );
        let ran = stage.run(&stack, USER, "open_session");
        assert!(!ran.success, "{ran:?}");
        assert!(
            !ran.output.contains("berth"),
            "not a word to the user: {ran:?}"
        );
    }
}

#[test]
fn a_helper_that_is_missing_follows_on_error_and_says_so() {
    let stage = Stage::new("missing", "");
    fs::remove_file(stage.helper()).unwrap();
    let says = format!(
        "cannot start {}: No such file or directory",
        stage.helper().display()
    );
    let ran = stage.run(PLAIN, USER, "acct_mgmt");
    assert!(!ran.success && ran.log.contains(&says), "{ran:?}");
    // An error (3), for those who may read of logins (AUTHPRIV, 10).
    assert!(ran.log.starts_with("<83>"), "{ran:?}");
    let allow = PLAIN.replace("MODULE", "MODULE on_error=allow");
    let ran = stage.run(&allow, USER, "acct_mgmt open_session close_session");
    assert!(ran.success && ran.log.contains(&says), "{ran:?}");
}

#[test]
fn two_lines_of_one_policy_are_asked_once_and_of_two_policies_are_a_failure() {
    let stage = Stage::new("policies", "caps");
    let stack = "account required MODULE policy=/a
        account required MODULE policy=/a";
    let ran = stage.run(stack, USER, "acct_mgmt");
    assert!(ran.success, "{ran:?}");
    let other = stack.replacen("/a", "/b", 1);
    let ran = stage.run(&other, USER, "acct_mgmt");
    assert!(
        !ran.success && ran.log.contains("another policy="),
        "{ran:?}"
    );
}

#[test]
fn a_hung_helper_costs_the_time_allowed_and_is_killed() {
    let stage = Stage::new("hung", "hang");
    // Listed twice, it costs it once.
    let stack = "account required MODULE timeout=1
        account required MODULE timeout=1";
    let ran = stage.run(stack, USER, "acct_mgmt");
    assert!(!ran.success, "{ran:?}");
    assert_eq!(ran.log.matches("no answer from").count(), 1, "{ran:?}");
    assert!((1..30).contains(&ran.took.as_secs()), "{ran:?}");
    let pid = stage.read("pid");
    eventually("the helper is gone", || {
        !Path::new("/proc").join(&pid).exists()
    });
}

#[test]
fn a_helper_that_hangs_after_the_join_costs_the_time_allowed_or_two_seconds_and_is_killed() {
    let stage = Stage::new("hung-joined", "hang-joined");
    let stack = "session required MODULE timeout=1";
    let ran = stage.run(stack, USER, "open_session");
    assert!(!ran.success, "although on_error is allow: {ran:?}");
    assert!(ran.log.contains("whatever on_error says"), "{ran:?}");
    assert!((2..30).contains(&ran.took.as_secs()), "{ran:?}");
    let pid = stage.read("pid");
    eventually("the helper is gone", || {
        !Path::new("/proc").join(&pid).exists()
    });
}

#[test]
fn a_refusal_reaches_the_user() {
    let stage = Stage::new("refused", "refuse");
    let ran = stage.run(PLAIN, USER, "acct_mgmt");
    assert!(
        !ran.success && ran.output.contains("come back at 8"),
        "{ran:?}"
    );
    assert!(ran.log.contains("refused by the policy"), "{ran:?}");
    let quiet = PLAIN.replace("MODULE", "MODULE quiet");
    let ran = stage.run(&quiet, USER, "open_session");
    assert!(!ran.success && !ran.output.contains("come back"), "{ran:?}");
}

#[test]
fn an_application_that_was_refused_goes_on_without_a_helper() {
    let stage = Stage::new("refused-on", "refuse");
    let stack = "account optional MODULE
        account required SHOW:shown";
    let ran = stage.run(stack, USER, "acct_mgmt");
    assert!(ran.log.contains("refused by the policy"), "{ran:?}");
    let shown = stage.read("shown");
    let open = |what| shown.lines().filter(|line| line.contains(what)).count();
    // The socket is the log's.
    assert_eq!((open("socket:"), open("pidfd")), (1, 0), "{shown}");
}

#[test]
fn nothing_that_was_said_can_forge_a_log_line() {
    let stage = Stage::new("forged", "fail");
    let ran = stage.run(PLAIN, USER, "acct_mgmt");
    assert!(
        !ran.success && ran.log.contains(r"one\x0atwo\x1b[2J"),
        "{ran:?}"
    );
    assert_eq!(ran.log.lines().count(), 1, "{ran:?}");
}

#[test]
fn a_session_lasts_from_open_to_close() {
    let stage = Stage::new("session", "caps");
    let stack = "account required MODULE
        account required SHOW:asked
        session required MODULE
        session required MODULE
        session required SHOW:shown";
    let ran = stage.run(stack, USER, "acct_mgmt open_session close_session");
    assert!(ran.success && ran.log.is_empty(), "{ran:?}");
    let requests = stage.read("requests");
    let requests: Vec<_> = requests.lines().map(|line| line.split_once(' ')).collect();
    let [Some(("Account", first)), Some(("Session", second))] = requests[..] else {
        panic!("once each: {requests:?}");
    };
    assert_eq!(first, second, "one helper");
    let (asked, shown) = (stage.read("asked"), stage.read("shown"));
    assert!(shown.contains("BERTH_SESSION=c7\n") && !asked.contains("BERTH_SESSION"));
    // What the application holds open for us, while the helper waits and then.
    let open = |text: &str, what| text.lines().filter(|line| line.contains(what)).count();
    for held in [&asked, &shown] {
        assert_eq!(
            (open(held, "socket:"), open(held, "pidfd")),
            (1, 0),
            "{held}"
        );
    }
    eventually("the helper sees the end", || {
        stage.read("ended") == "Joined"
    });
}

#[test]
fn no_line_for_the_user_is_longer_than_libpam_lets_a_message_be() {
    let stage = Stage::new("greets", "greets");
    let ran = stage.run(PLAIN, USER, "open_session");
    let longest = ran.output.lines().map(str::len).max();
    assert_eq!(longest, Some(511), "{ran:?}");
}

#[test]
fn one_application_may_open_one_session_after_the_other() {
    let stage = Stage::new("again", "caps");
    let once = "open_session close_session";
    let stack = format!("{PLAIN}\n session required SHOW:shown");
    let ran = stage.run(&stack, USER, &format!("{once} {once}"));
    assert!(ran.success && ran.log.is_empty(), "{ran:?}");
    // One while each session lasts, and none after it.
    let shown = stage.read("shown");
    assert_eq!(shown.matches("socket:").count(), 2, "{shown}");
    let requests = stage.read("requests");
    let phases: Vec<_> = requests
        .lines()
        .map(|line| line.split(' ').next())
        .collect();
    assert_eq!(phases, [Some("Session"); 2]);
}

#[test]
fn an_application_in_a_user_namespace_has_lost_its_power() {
    let stage = Stage::new("identity", "identity");
    let stack = "session required SHOW:before
        session required MODULE debug
        session optional SHOW:after";
    let ran = stage.run(stack, USER, "open_session close_session");
    // At the end the berth is gone when `after` is due, so a line behind ours fails there, and even `optional`
    // does not help: libpam takes the action that fitted the beginning. Ours belongs last.
    assert!(ran.output.contains("successfully opened"), "{ran:?}");
    assert!(ran.log.contains("joined session"), "{ran:?}");
    let (before, after) = (stage.read("before"), stage.read("after"));
    let mounts = |text: &str, part: usize| {
        text.lines()
            .filter(|line| line.starts_with("mnt:"))
            .nth(part)
            .map(String::from)
    };
    assert_ne!(mounts(&before, 0), mounts(&after, 0));
    assert_eq!(
        mounts(&before, 1),
        mounts(&after, 0),
        "no way back at the end"
    );
    for line in ["NoNewPrivs:\t1", "CapBnd:\t0000000000000000", "Seccomp:\t2"] {
        assert!(after.contains(line), "{line}: {after}");
    }
    assert!(before.contains("NoNewPrivs:\t0"), "{before}");
    eventually("the helper sees the end", || {
        stage.read("ended") == "Joined"
    });
}

#[test]
fn with_user_off_a_close_line_brings_the_application_back() {
    for (name, stack) in [
        (
            "two-lines",
            "session required MODULE close
            session required SHOW:outer
            session required MODULE open
            session required SHOW:inner",
        ),
        (
            "one-line",
            "session required SHOW:outer
            session required MODULE
            session optional SHOW:inner",
        ),
    ] {
        let stage = Stage::new(name, "off");
        let ran = stage.run(stack, USER, "open_session close_session");
        assert!(ran.success && ran.log.is_empty(), "{ran:?}");
        let mounts = |name: &str| -> Vec<String> {
            let text = stage.read(name);
            let lines = text.lines().filter(|line| line.starts_with("mnt:"));
            lines.map(String::from).collect()
        };
        let (outer, inner) = (mounts("outer"), mounts("inner"));
        assert_ne!(outer[0], inner[0]);
        assert_eq!(inner[1], outer[0], "back, for all that stands behind");
        if name == "two-lines" {
            assert_eq!(outer[1], outer[0], "and for what stands in between");
        } else {
            assert_eq!(outer[1], inner[0], "which is what the close line is for");
        }
        eventually("the helper sees the end", || {
            stage.read("ended") == "Joined"
        });
    }
}

#[test]
fn a_failed_join_leaves_the_application_as_it_was() {
    let stage = Stage::new("no-pidfd", "no-pidfd");
    let stack = "session required MODULE
        session required SHOW:shown";
    let ran = stage.run(stack, USER, "open_session");
    assert!(ran.success, "the policy's on_error is allow: {ran:?}");
    assert!(ran.log.contains("goes on without a berth"), "{ran:?}");
    assert!(!stage.read("shown").contains("BERTH_SESSION"));
    eventually("the helper is told", || {
        stage.read("ended").contains("no pidfd")
    });
}

#[test]
fn an_application_whose_helper_dies_before_it_says_that_it_keeps_the_session_does_not_go_on() {
    let stage = Stage::new("unkept", "unkept");
    let ran = stage.run("session required MODULE", USER, "open_session");
    assert!(!ran.success, "although on_error is allow: {ran:?}");
    assert!(ran.log.contains("whatever on_error says"), "{ran:?}");
    assert_eq!(stage.read("ended"), "Joined");
    // The socket's end says it: the module's deadline of ten seconds is not waited for.
    assert!(ran.took < Duration::from_secs(8), "{ran:?}");
}

#[test]
fn the_library_needs_little_and_shows_little() {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .arg(module())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let needed = run("readelf", &["-d"]);
    assert!(
        needed.contains("libpam.so.0") && !needed.contains("pam_misc"),
        "{needed}"
    );
    let symbols = run("nm", &["-D", "--defined-only"]);
    let mut names: Vec<_> = symbols
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    names.sort();
    let entries = [
        "acct_mgmt",
        "authenticate",
        "chauthtok",
        "close_session",
        "open_session",
        "setcred",
    ];
    assert_eq!(names, entries.map(|entry| format!("pam_sm_{entry}")));
    let all = run("nm", &["--demangle"]);
    assert!(all.contains(" std::io::"), "it is stripped");
    // std makes a buffer for it that stays when libpam unloads the module: a kilobyte of the application's at each login.
    assert!(!all.contains(" std::io::stdio::STDOUT"), "std's stdout");
}

#[test]
#[ignore = "no test, but the helper's part, which a stage's script runs"]
fn plays_the_helper() {
    let dir = std::env::var(STAGE).unwrap();
    let dir = Path::new(&dir);
    let part = fs::read_to_string(dir.join("part")).unwrap();
    fs::write(dir.join("pid"), std::process::id().to_string()).unwrap();
    // SAFETY: the module leaves the socket here, and nobody else knows of it.
    let channel = Channel::from_fd(unsafe { OwnedFd::from_raw_fd(3) });
    let soon = || Instant::now() + Duration::from_secs(60);
    // Until the application asks no more.
    while let Ok((request, _)) = channel.receive::<Request>(soon()) {
        let seen = fs::read_to_string(dir.join("requests")).unwrap_or_default();
        let pid = std::process::id();
        let line = format!("{:?} {pid}\n", request.phase);
        fs::write(dir.join("requests"), seen + &line).unwrap();
        answer(dir, &part, &channel, request.phase);
    }
}

fn answer(dir: &Path, part: &str, channel: &Channel, phase: Phase) {
    match (part, phase) {
        ("hang", _) => std::thread::sleep(Duration::from_secs(1000)),
        ("refuse", _) => {
            let message = Some("come back at 8".into());
            channel.send(&Reply::Refused { message }, None).unwrap();
        }
        ("fail", _) => {
            let (on_error, message) = (OnError::Deny, "one\ntwo\x1b[2J".into());
            channel
                .send(&Reply::Failed { on_error, message }, None)
                .unwrap();
        }
        (_, Phase::Account) => channel.send(&Reply::Untouched, None).unwrap(),
        (part, Phase::Session) => keep(dir, part, channel),
    }
}

/// A session, from the reply to the end of the socket.
fn keep(dir: &Path, part: &str, channel: &Channel) {
    let inner = libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWNS;
    let (namespaces, mut init) = match part {
        "identity" => (
            inner | libc::CLONE_NEWUSER,
            Some(Init::start(&["--user", "--map-root-user"])),
        ),
        "off" => (inner, Some(Init::start(&[]))),
        "no-pidfd" => (inner, None),
        _ => (0, None),
    };
    let power = namespaces & libc::CLONE_NEWUSER != 0;
    // Allows everything; what counts is that it is there.
    let allow = berth_protocol::Instruction {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    let session = Session {
        id: "c7".into(),
        on_error: OnError::Allow,
        namespaces,
        no_new_privs: power,
        filter: if power { vec![allow] } else { vec![] },
        rlimits: vec![],
        motd: (part == "greets").then(|| "x".repeat(600)),
    };
    let fd = init.as_ref().map(|init| init.pidfd.as_fd());
    channel.send(&Reply::Ready(session), fd).unwrap();
    let soon = Instant::now() + Duration::from_secs(60);
    let (ack, _): (Ack, _) = channel.receive(soon).unwrap();
    if part == "hang-joined" {
        std::thread::sleep(Duration::from_secs(1000));
    }
    if part == "unkept" {
        fs::write(dir.join("ended"), format!("{ack:?}")).unwrap();
        std::process::exit(0);
    }
    let reply = match &ack {
        Ack::Joined => Reply::Kept,
        Ack::Failed { message } => Reply::Failed {
            on_error: OnError::Deny,
            message: message.clone(),
        },
    };
    channel.send(&reply, None).unwrap();
    assert!(channel.receive::<Ack>(soon).is_err());
    if let Some(init) = &mut init {
        init.unshare.kill().unwrap();
        init.unshare.wait().unwrap();
    }
    fs::write(dir.join("ended"), format!("{ack:?}")).unwrap();
}

/// PID 1 of fresh namespaces.
struct Init {
    unshare: Child,
    pidfd: OwnedFd,
}

impl Init {
    fn start(more: &[&str]) -> Init {
        let unshare = Command::new("unshare")
            .args([
                "--pid",
                "--ipc",
                "--mount",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .args(more)
            .args(["sleep", "1000"])
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let mut pid = 0;
        eventually("sleep runs as PID 1", || {
            let text = fs::read_to_string(&children).unwrap_or_default();
            pid = text.trim().parse().unwrap_or(0);
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n")
        });
        // SAFETY: touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).unwrap();
        assert!(fd >= 0);
        // SAFETY: the kernel has just made it, and nobody else knows it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
        Init { unshare, pidfd }
    }
}
