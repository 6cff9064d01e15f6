//! The logins themselves, on a machine of their own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::host::Host;
use super::point::{Fault, Place, Point, Setting, points_of};
use super::tracer::{Fired, Seen, Tracer};
use super::traits::{END, Traits};
use super::verdict::{Good, Login, Verdict, is_left_to_the_next, judge};
use crate::{Background, Policy, Process, Snapshot, Stack, eventually, within};

/// How long the last processes of a login may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is waited for that nothing is left, before the next login has to clear it.
const SOON: Duration = Duration::from_secs(5);

/// What is run in each login.
const ACCOUNT: &str = "/berth/berth-faults account";

/// The berth that all logins are to have. Every kind of thing that Berth makes or sets is in it, but for caps where the
/// kernel offers none.
fn policy(machine: &dyn Host, setting: Setting) -> Policy {
    let caps = [
        ("pids", "tasks_max = 500"),
        ("memory", "memory_max = \"512M\", memory_high = \"400M\""),
        ("cpu", "cpu_quota = \"300%\", cpu_weight = 50"),
    ];
    let caps = caps.map(|(controller, cap)| machine.takes_caps_of(controller).then_some(cap));
    let caps: Vec<&str> = caps.into_iter().flatten().collect();
    let caps = match caps.is_empty() {
        false => format!("user = {{ {} }}\n", caps.join(", ")),
        true => String::new(),
    };
    let scope = match setting {
        Setting::Founds | Setting::Joins => "user",
        _ => "session",
    };
    let user = match setting {
        Setting::Off => "off",
        _ => "identity",
    };
    let cgroup = match setting {
        Setting::Keep => "cgroup = \"keep\"\n",
        _ => "",
    };
    let namespaces = match setting {
        Setting::Caps => String::new(),
        _ => format!(
            "scope = \"{scope}\", user = \"{user}\", pid = true, ipc = true, mount = true, uts = true, net = true, private_tmp = \"disk\", private_shm = \"16M\""
        ),
    };
    Policy {
        defaults: format!(
            "on_error = \"{}\"\nmissing_controller = \"warn\"",
            setting.on_error().name()
        ),
        profile: format!(
            "logout = {{ grace = \"1s\" }}\n{cgroup}{caps}rlimits = {{ core = 0, nofile = \"500:600\" }}"
        ),
        rest: "[accounting]\nfile = \"/var/log/berth/sessions.jsonl\"".into(),
        ..Policy::with_namespaces(&namespaces)
    }
}

/// A machine on which logins are made to fail.
pub struct Stage<'m> {
    machine: &'m mut dyn Host,
    tracer: Tracer,
    setting: Setting,
    /// The login that is on meanwhile, where there is to be one.
    other: Option<Background>,
    before: Snapshot,
    good: Good,
}

/// What came of one point.
#[derive(Debug)]
pub struct Tried {
    /// What came of the login, or what was wrong with it.
    pub verdict: Result<Verdict, String>,
    /// How long the login took.
    pub took: Duration,
    /// What of the point was not reached.
    pub missed: Option<&'static str>,
    /// What was left until the keeper tried again, a minute later, or until the user's next login.
    pub cleared_by: Option<&'static str>,
}

impl<'m> Stage<'m> {
    /// Sets it, and has a good login.
    pub fn set(machine: &'m mut dyn Host, setting: Setting) -> Stage<'m> {
        let tracer = Tracer::follow(machine.server());
        let mut stage = Stage {
            before: machine.snapshot(),
            machine,
            tracer,
            setting,
            other: None,
            good: Good {
                inside: Traits::default(),
                outside: Traits::default(),
                caps: Traits::default(),
                guards: Traits::default(),
            },
        };
        // Without a helper, and so without a berth.
        let without = policy(stage.machine, Setting::Allow);
        stage.machine.policy(&without);
        stage.stack(Setting::Allow, "/nonexistent");
        stage.good.outside = stage.good_traits();
        stage.prepare(Setting::Caps);
        // The first leaves a keyring, which the kernel keeps.
        stage.good_login();
        stage.good.caps = stage.good_traits();
        stage.prepare(setting);
        stage.before = stage.machine.settled();
        stage
    }

    /// Goes on with other logins.
    pub fn prepare(&mut self, setting: Setting) {
        self.setting = setting;
        self.machine.policy(&policy(self.machine, setting));
        self.stack(setting, "/berth/berth-helper");
        if self.other.is_some() != (setting == Setting::Joins) {
            self.begin();
        }
        self.good.inside = self.good_traits();
        self.good.guards = self.good_login().guards;
        assert!(self.tracer.is_quiet_within(PATIENCE), "it does not settle");
    }

    /// Has the other login where there is to be one, and looks at the machine as it is between logins.
    fn begin(&mut self) {
        drop(self.other.take());
        self.before = self.machine.settled();
        if self.setting != Setting::Joins {
            return;
        }
        // By su, which is not followed. It is `sh` that stays, as every login sees one of its own.
        let mut su = Command::new("su");
        su.args(["alice", "-c", "read line; true"])
            .stdin(Stdio::piped());
        self.other = Some(Background(su.spawn().expect("su")));
        let is_on = |one: &Process| one.name() == "sh";
        let on = eventually(|| self.machine.processes_of("alice").iter().any(is_on));
        assert!(on, "the other login");
        // Caps that had gone on without a session are this login's now, which is found out then and not in some point's time.
        self.machine.look();
        let rests = eventually(|| {
            std::thread::sleep(Duration::from_millis(100));
            let last = std::mem::replace(&mut self.before, self.machine.snapshot());
            last == self.before
        });
        assert!(rests, "the other login does not come to rest");
    }

    fn stack(&self, setting: Setting, helper: &str) {
        let stack = Stack {
            helper: helper.into(),
            ..Stack::default()
        };
        self.machine
            .stack(&stack.on_error(setting.on_error().name()));
    }

    fn good_login(&mut self) -> Login {
        let login = self.log_in();
        assert!(login.ended_well, "no good login: {login:?}");
        login
    }

    fn good_traits(&mut self) -> Traits {
        self.good_login().traits.expect("a good login")
    }

    /// The steps of a good login.
    pub fn record(&mut self) -> Vec<Seen> {
        self.tracer.record();
        self.good_login();
        assert!(self.tracer.is_quiet_within(PATIENCE), "it does not end");
        let seen = self.tracer.recorded();
        self.tracer.disarm();
        assert_eq!(
            self.tracer.unknown(),
            None,
            "a system call that was given up"
        );
        seen
    }

    fn log_in(&mut self) -> Login {
        let ssh = self.machine.ssh_command("alice", ACCOUNT);
        // One that hangs is wrong, and is not waited for for ever.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", "60"])
            .arg(ssh.get_program());
        command.args(ssh.get_args());
        let begun = Instant::now();
        let mut ssh = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh");
        let said = BufReader::new(ssh.stdout.take().expect("its output"));
        let mut account = String::new();
        for line in said.lines() {
            account += &line.expect("a line");
            if account.ends_with(END) {
                break;
            }
            account.push('\n');
        }
        let traits = Traits::of(self.machine, "alice", &account);
        let guards = Traits::of_guards();
        drop(ssh.stdin.take());
        let status = ssh.wait().expect("ssh");
        Login {
            traits,
            said: Traits::said(&account),
            has_begun: !account.is_empty(),
            guards,
            ended_well: status.success(),
            took: begun.elapsed(),
            log: Vec::new(),
        }
    }

    /// Has a login fail at a point.
    pub fn try_point(&mut self, point: &Point) -> Tried {
        if point.setting != self.setting {
            self.prepare(point.setting);
        }
        self.tracer.arm(point.clone());
        let logged = self.machine.log_lines().len();
        let mut login = self.log_in();
        let has_ended = self.tracer.is_quiet_within(PATIENCE);
        let (fired, minutes) = self.tracer.disarm();
        let missed = match (&fired[..], &point.second) {
            ([], _) => Some("not reached"),
            ([_], Some(_)) => Some("second not reached"),
            _ => None,
        };
        let mut verdict = Err(String::new());
        // What was logged last may not have been read yet.
        within(SOON, || {
            login.log = self.machine.log_lines().split_off(logged);
            verdict = judge(point.setting, &fired, &login, &self.good);
            verdict.is_ok()
        });
        if fired.is_empty() && verdict != Ok(Verdict::Whole) {
            verdict = Err(format!("never reached, and {verdict:?}"));
        }
        if let Some(number) = self.tracer.unknown() {
            verdict = Err(format!(
                "Berth makes a system call that it has given up: {number}"
            ));
        }
        if let Err(wrong) = &mut verdict {
            *wrong += &format!("; after {:?}; log: {}", login.took, login.log.join(" | "));
        }
        let root = self.machine.su("root", "echo in");
        if !root.success() || root.stdout != "in" {
            verdict = Err(format!("root did not get in: {root:?}"));
        }
        let mut cleared_by = (minutes > 0).then_some("the keeper's next try");
        match self.left(has_ended) {
            Ok(None) => {}
            // A cgroup that cannot be removed is taken for one that another login is in.
            Ok(by) if is_left_to_the_next(&fired, &login) || is_busy(&fired) => cleared_by = by,
            Ok(_) => verdict = Err("it was left to the user's next login to clear up".into()),
            Err(left) => verdict = Err(format!("left over: {left}")),
        }
        if let (Err(wrong), [_, second]) = (&mut verdict, &fired[..]) {
            *wrong += &format!("; second: {second:?}");
        }
        Tried {
            verdict,
            took: login.took,
            missed,
            cleared_by,
        }
    }

    /// Whether nothing is left, or by what it goes.
    fn left(&mut self, has_ended: bool) -> Result<Option<&'static str>, String> {
        let mut left = Vec::new();
        let mut is_as_before = |stage: &Stage<'_>, patience| {
            within(patience, || {
                left = stage.before.differences(&stage.machine.snapshot());
                left.is_empty()
            })
        };
        if has_ended && is_as_before(self, SOON) {
            return Ok(None);
        }
        if has_ended {
            self.machine.su("alice", "true");
            if is_as_before(self, SOON) {
                return Ok(Some("the user's next login"));
            }
        }
        is_as_before(self, Duration::ZERO);
        // The points that follow are not to suffer from it.
        for process in ["berth-helper", "berth-init"].map(Process::named).concat() {
            process.kill();
        }
        self.machine.su("alice", "true");
        self.begin();
        Err(left.join(", "))
    }
}

fn is_busy(fired: &[Fired]) -> bool {
    let mut fired = fired.iter();
    fired.any(|one| one.fault == Fault::Error(Errno::EBUSY))
}

/// All points, with what is shown of each.
pub fn list(machine: &mut dyn Host) -> Vec<(Point, String)> {
    let mut stage = Stage::set(machine, Setting::Deny);
    let mut all = Vec::new();
    for setting in Setting::ALL {
        stage.prepare(setting);
        let mut steps = stage.record();
        steps.retain(|seen| setting.is_about(seen.step.place));
        for seen in steps {
            let points = points_of(setting, &seen.step).into_iter();
            all.extend(points.map(|point| (point, seen.shown.clone())));
        }
    }
    assert!(
        all.iter().any(|(point, _)| point.step.place == Place::Init),
        "nothing was followed"
    );
    all
}
