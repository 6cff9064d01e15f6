//! What Berth adds to a login next to what its neighbours in the stack add, on a booted machine that systemd runs.
//!
//! All are measured in one boot. A sample is the account phase and the opening of the session together.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_tests::{Booted, Session, eventually};

use crate::sample::{Measured, Regime, milliseconds};

/// One user gets caps and one namespaces too, and so do the two who are not logged in when a sample starts.
const POLICY: &str = r#"
version = 1

[profile.caps.user]
@CAPS@

[profile.whole]
inherits   = "caps"
namespaces = { user = "identity", pid = true, ipc = true, mount = true }
logout     = { grace = "0s" }

[[rule]]
user    = "bob"
profile = "caps"

[[rule]]
user    = ["alice", "carol", "dave"]
profile = "whole"
"#;

const CAPS: &str = "memory_max = \"256M\"\ntasks_max = 200\n";

/// Whether the machine has controllers. A cap that the kernel does not have is set anew at each login, so without
/// them the policy has none.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Controllers {
    There,
    Missing,
}

/// dave's UID.
const DAVE: &str = "30001";

/// A stack that lets everybody in.
const STACK: &str =
    "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

const SYSTEMD: &str = "session required pam_systemd.so class=user\n";

const BERTH: &str = "account required pam_berth.so\nsession required pam_berth.so\n";

/// Every user has a /tmp of their own.
const NAMESPACE: &str = "/tmp /tmp-inst/ user:create root\n";

/// Which stack a login goes through, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stack {
    Plain,
    PamNamespace,
    PamSystemd,
    Caps,
    Whole,
    /// The first in the user's berth; their service manager runs.
    First,
    /// The user's first of all: pam_systemd waits for the start of their service manager.
    FirstOfPamSystemd,
    FirstOfAll,
}

const AGAIN: [Stack; 6] = [
    Stack::Plain,
    Stack::PamNamespace,
    Stack::PamSystemd,
    Stack::Caps,
    Stack::Whole,
    Stack::First,
];

const FIRST: [Stack; 3] = [Stack::Plain, Stack::FirstOfPamSystemd, Stack::FirstOfAll];

/// The service with all of it, by a name that Berth joins.
const WITH: &str = "login";

impl Stack {
    fn label(self) -> &'static str {
        match self {
            Stack::Plain => "none of them",
            Stack::PamNamespace => "pam_namespace",
            Stack::PamSystemd => "pam_systemd",
            Stack::Caps => "+ pam_berth, caps",
            Stack::Whole => "+ pam_berth, caps and berth",
            Stack::First => "+ pam_berth, first in a berth",
            Stack::FirstOfPamSystemd => "pam_systemd, first login",
            Stack::FirstOfAll => "+ pam_berth, first login",
        }
    }

    /// What it is compared with: Berth stands behind pam_systemd.
    fn base(self) -> Stack {
        match self {
            Stack::Caps | Stack::Whole | Stack::First => Stack::PamSystemd,
            Stack::FirstOfAll => Stack::FirstOfPamSystemd,
            _ => Stack::Plain,
        }
    }

    fn service_and_user(self) -> (&'static str, &'static str) {
        match self {
            Stack::Plain => ("bench-plain", "alice"),
            Stack::PamNamespace => ("bench-namespace", "alice"),
            Stack::PamSystemd => ("bench-systemd", "alice"),
            Stack::Caps => (WITH, "bob"),
            Stack::Whole => (WITH, "alice"),
            Stack::First => (WITH, "carol"),
            Stack::FirstOfPamSystemd => ("bench-systemd", "dave"),
            Stack::FirstOfAll => (WITH, "dave"),
        }
    }

    fn once(self) -> Result<Duration, String> {
        let (service, user) = self.service_and_user();
        if matches!(self, Stack::FirstOfPamSystemd | Stack::FirstOfAll) {
            // A manager that has gone is one that may start again.
            let slice = format!("/sys/fs/cgroup/user.slice/user-{DAVE}.slice");
            let left = [slice, format!("/run/user/{DAVE}")];
            if !eventually(|| left.iter().all(|path| !Path::new(path).exists())) {
                return Err(format!("{user}'s service manager does not end"));
            }
        }
        let session = Session::open(service, user)?;
        if session.is_in_berth() != (service == WITH) {
            return Err(format!(
                "{service}: in a berth where there should be none, or not in one"
            ));
        }
        let took = session.account + session.open;
        session.close();
        Ok(took)
    }
}

/// Measures, on the booted machine.
pub fn measure(hot: usize, cold: usize, controllers: Controllers) -> String {
    Booted::prepare();
    run("useradd", &["-m", "carol"]);
    run("useradd", &["-m", "-u", DAVE, "dave"]);
    let write = |path: &str, text: &str| fs::write(path, text).expect("a file of the machine's");
    let caps = match controllers {
        Controllers::There => CAPS,
        Controllers::Missing => "",
    };
    write("/etc/berth/policy.toml", &POLICY.replace("@CAPS@", caps));
    write("/etc/security/namespace.conf", NAMESPACE);
    fs::create_dir("/tmp-inst").expect("a folder");
    run("chmod", &["000", "/tmp-inst"]);
    write("/etc/pam.d/bench-plain", STACK);
    let with = |line: &str| format!("{STACK}{line}");
    let namespace = with("session required pam_namespace.so\n");
    write("/etc/pam.d/bench-namespace", &namespace);
    write("/etc/pam.d/bench-systemd", &with(SYSTEMD));
    write(
        &format!("/etc/pam.d/{WITH}"),
        &with(&[SYSTEMD, BERTH].concat()),
    );
    run("berth", &["reload"]);
    // Each user's service manager runs all the time, so that no sample has its start in it.
    let held = [(WITH, "alice"), (WITH, "bob"), ("bench-systemd", "carol")];
    let held = held.map(|(service, user)| Held::new(service, user));
    let regimes = [
        (Regime::Hot, hot),
        (Regime::Cold(Duration::from_millis(250)), cold),
    ];
    let again = regimes.map(|(regime, samples)| regime.measure(samples, &AGAIN, Stack::once));
    let first = Regime::Cold(Duration::from_millis(250)).measure(cold / 2, &FIRST, Stack::once);
    drop(held);
    let mut text = String::from(
        "a login's account phase and opening of the session, milliseconds in this guest\n\n\
         regime  stack                             p50      p99    added  of pam_systemd\n",
    );
    for measured in &again {
        rows(&mut text, measured, &AGAIN, Stack::PamSystemd);
    }
    rows(&mut text, &first, &FIRST, Stack::FirstOfPamSystemd);
    text
}

/// A session that stays open.
struct Held(Child);

impl Held {
    fn new(service: &str, user: &str) -> Held {
        let me = std::env::current_exe().expect("this program's path");
        let said = format!("/run/held-{user}");
        let child = Command::new(me)
            .args(["--hold", service, user])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said).expect("a file"))
            .spawn();
        let held = Held(child.expect("a session"));
        let is_open = || fs::read_to_string(&said).is_ok_and(|text| !text.is_empty());
        assert!(eventually(is_open), "no session of {user}'s");
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The machine is switched off next.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a session, says so, and stays until it is killed.
pub fn hold(service: &str, user: &str) -> Result<Infallible, String> {
    let _session = Session::open(service, user)?;
    println!("open");
    loop {
        std::thread::park();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program}");
}

/// The figures of one regime, as shares of what pam_systemd adds there.
fn rows(text: &mut String, measured: &Measured<Stack>, stacks: &[Stack], systemd: Stack) {
    let whole = measured.added(systemd, Stack::Plain);
    for stack in stacks {
        let figures = measured.figures(*stack);
        let [p50, p99] = [figures.p50, figures.p99].map(milliseconds);
        let (name, label) = (measured.regime.name(), stack.label());
        *text += &format!("{name:<7} {label:<29} {p50:>7.2}  {p99:>7.2}");
        if *stack != Stack::Plain {
            let added = measured.added(*stack, stack.base());
            let share = added.as_secs_f64() / whole.as_secs_f64();
            *text += &format!("  {:>7.2}  {share:>6.2}", milliseconds(added));
        }
        text.push('\n');
    }
}
