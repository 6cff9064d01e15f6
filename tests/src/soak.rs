//! Many logins of many users, several at a time, on a machine where nothing is left in peace.

mod audit;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::{background, output};
use crate::sshd::client;
use crate::{Background, Machine, Output, Policy, Process, eventually};

const USERS: usize = 20;

/// How many logins are on at a time.
const AT_ONCE: u64 = 16;

/// A login that takes longer hangs: the module's deadline is 10 s for each of its two calls.
const LONGEST: Duration = Duration::from_secs(60);

/// What a process may grow by that is there all the time, in kB: pages that it came to late, and no part of each login.
const GROWTH: u64 = 32;

/// A run shows nothing without each of these, and shorter ones may lack some.
const HAPPENS: [&str; 11] = [
    LET_IN, REFUSED, HELPERS, INITS, SUS, SSHDS, RELOADS, APPLIES, FROZEN, LOOKS, BEGUN,
];
const LET_IN: &str = "logins were let in";
const REFUSED: &str = "logins were refused, or killed";
const HELPERS: &str = "helpers, keepers and standbys were killed";
const INITS: &str = "inits were killed";
const SUS: &str = "su's were killed";
const SSHDS: &str = "sshds' processes were killed";
const RELOADS: &str = "reloads";
const APPLIES: &str = "applies";
const FROZEN: &str = "users were frozen and thawed";
const LOOKS: &str = "looks at users' processes";
const BEGUN: &str = "users' programs were looked at before they began";

/// As many logins have all of these.
const ENOUGH: u64 = 100;

/// What a login does. The first says where it is; the others leave something behind.
const COMMANDS: [&str; 4] = [
    "cat /proc/1/comm",
    "cat /proc/1/comm; sleep 0.2",
    "cat /proc/1/comm; sleep 1000 >/dev/null 2>&1 &",
    "cat /proc/1/comm; touch /tmp/left /dev/shm/left; (setsid sh -c 'trap \"\" TERM; sleep 1000') >/dev/null 2>&1 &",
];

/// Pseudo-random numbers (Knuth's MMIX): what happened is not repeated by the same numbers, so they need not be good.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }

    fn of<'i, T>(&mut self, items: &'i [T]) -> Option<&'i T> {
        (!items.is_empty()).then(|| &items[self.below(items.len())])
    }
}

/// What all threads see.
struct Soak<'m> {
    machine: &'m Machine,
    users: Vec<(String, u32)>,
    left: AtomicU64,
    /// What is never killed: the server, and what belongs to the login that stays.
    stays: Vec<(&'static str, Process)>,
    is_over: AtomicBool,
    /// What happened, and how often.
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// What must not be.
    wrong: Mutex<Vec<String>>,
}

/// Logs users in so often. Says what came of it; whether all is as it must be.
pub fn run(machine: &mut Machine, logins: u64) -> bool {
    let mut users: Vec<(String, u32)> = Vec::new();
    for number in 0..USERS {
        let user = machine.add_user(&format!("soak{number}"));
        users.push((user.name, user.uid));
    }
    machine.policy(&policy(FIRST));
    machine.berth("reload").ok();
    for (user, _) in &users {
        // A user's first login leaves a keyring, which the kernel keeps.
        machine.su(user, "keyctl show @u").ok();
    }
    let before = machine.settled();
    let sshd = machine.sshd().process();
    let (login, mut stays) = stay(machine, &users[0].0);
    stays.push(("sshd", sshd));
    let dying_before = dying(machine);
    let soak = Soak {
        machine,
        users,
        left: AtomicU64::new(logins),
        stays,
        is_over: AtomicBool::new(false),
        counts: Mutex::default(),
        wrong: Mutex::default(),
    };
    let warm = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let soak = &soak;
                scope.spawn(move || soak.log_in(Random(number)))
            })
            .collect();
        scope.spawn(|| soak.kill(Random(logins)));
        scope.spawn(|| soak.administer(Random(logins)));
        scope.spawn(|| soak.audit());
        scope.spawn(|| soak.audit_programs());
        let warm = scope.spawn(|| {
            while soak.goes_on() && soak.left.load(Ordering::Relaxed) > logins - logins / 4 {
                sleep(Duration::from_millis(10));
            }
            soak.memory()
        });
        for worker in workers {
            // One that panicked has lost its logins, and the others go on.
            if worker.join().is_err() {
                soak.is_wrong("a thread of the test's panicked".into());
            }
        }
        soak.is_over.store(true, Ordering::Relaxed);
        warm.join().unwrap_or_default()
    });
    soak.judge_memory(&warm);
    soak.judge_dying(dying_before, logins);
    login.end();
    for (user, _) in &soak.users {
        soak.machine.berth(&format!("thaw {user}")); // who is not frozen is none to thaw
        // Where all three processes of a session were killed, the next login removes what they left.
        let said = soak.machine.su(user, "cat /proc/1/comm");
        if said.stdout.trim() != "berth-init" {
            soak.is_wrong(format!("the last login of {user}: {said:?}"));
        }
    }
    let mut left = Vec::new();
    eventually(|| {
        left = before.differences(&soak.machine.snapshot());
        left.is_empty()
    });
    let counts = soak.counts.lock().expect("counts").clone();
    for (what, count) in &counts {
        println!("{count:>8}  {what}");
    }
    for what in HAPPENS {
        if logins >= ENOUGH && !counts.contains_key(what) {
            soak.is_wrong(format!("this never happened, or never succeeded: {what}"));
        }
    }
    let let_in = counts.get(LET_IN).copied().unwrap_or(0);
    // One in six is killed as it comes in. Where half are refused it is not by that.
    if let_in * 2 < logins {
        soak.is_wrong(format!("only {let_in} of {logins} logins were let in"));
    }
    let wrong = soak.wrong.lock().expect("what is wrong");
    for line in wrong.iter().take(20) {
        println!("WRONG     {line}");
    }
    let is_good = left.is_empty() && wrong.is_empty();
    if !is_good {
        println!(
            "left over: {}",
            if left.is_empty() {
                "nothing".into()
            } else {
                left.join(", ")
            }
        );
    }
    is_good
}

/// The policy of the login that stays: others of its user join its berth.
const FIRST: usize = 1;

/// Several that differ, so that a change of them is one. Of the caps a machine has what it has controllers for.
fn policy(number: usize) -> Policy {
    let scope = ["session", "user"][number % 2];
    let caps = format!(
        "tasks_max = {}, cpu_weight = {}",
        2000 + number,
        100 + number
    );
    Policy {
        defaults: "on_error = \"deny\"\nmissing_controller = \"warn\"".into(),
        profile: format!("user = {{ {caps} }}\nlogout = {{ grace = \"1s\" }}"),
        ..Policy::with_namespaces(&format!(
            "scope = \"{scope}\", user = \"identity\", pid = true, ipc = true, mount = true, \
             private_tmp = \"disk\", private_shm = \"16M\""
        ))
    }
}

/// Logs a user in for as long as all goes on, and names what that takes.
fn stay(machine: &Machine, user: &str) -> (Background, Vec<(&'static str, Process)>) {
    let mut su = Command::new("su");
    su.args([user, "-c", "exec sleep 100000"]);
    let login = background(su);
    let is_on = || machine.berth("list").stdout.contains(" active");
    assert!(eventually(is_on), "{:?}", machine.berth("list"));
    let su = login.process();
    let one = |all: Vec<Process>| all.into_iter().next().expect("it is there");
    let stays = vec![
        ("su", su),
        ("keeper", one(Process::keepers())),
        ("standby", one(Process::standbys())),
        ("init", one(Process::named("berth-init"))),
    ];
    (login, stays)
}

/// How many cgroups below Berth's are removed and not gone; none where this is not to be seen, or where pages of files
/// that are charged to a cgroup keep it there until memory is short.
fn dying(machine: &Machine) -> Option<u64> {
    let cgroups = machine.cgroups();
    let text = std::fs::read_to_string(cgroups.root().join("berth/cgroup.stat")).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("nr_dying_descendants "))?;
    count.parse().ok().filter(|_| !cgroups.offers("memory"))
}

impl Soak<'_> {
    fn count(&self, what: &'static str) {
        *self.counts.lock().expect("counts").entry(what).or_default() += 1;
    }

    fn count_if(&self, what: &'static str, is_so: bool) {
        if is_so {
            self.count(what);
        }
    }

    fn is_wrong(&self, what: String) {
        self.wrong.lock().expect("what is wrong").push(what);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// What each process that stays has of its own, in kB. (VmRSS is an estimate.)
    fn memory(&self) -> Vec<Option<u64>> {
        let own = |process: Process| {
            let text = process.file("smaps_rollup");
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("Anonymous:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.stays
            .iter()
            .map(|(_, process)| own(*process))
            .collect()
    }

    /// A leak in each login, or with time, shows between the first quarter and the end.
    fn judge_memory(&self, warm: &[Option<u64>]) {
        for (((name, _), before), after) in self.stays.iter().zip(warm).zip(self.memory()) {
            match before.zip(after) {
                Some((before, after)) => {
                    println!("memory of {name}: {before} kB, then {after} kB");
                    if after > before + GROWTH {
                        self.is_wrong(format!("{name} grew from {before} kB to {after} kB"));
                    }
                }
                None => self.is_wrong(format!("{name} of the login that stays is gone")),
            }
        }
    }

    /// Each session has at least one cgroup. A tenth of them may be others' who use the tree at the same time.
    fn judge_dying(&self, before: Option<u64>, logins: u64) {
        let Some(most) = before.map(|before| before + 10 + logins / 10) else {
            return;
        };
        let mut now = None;
        eventually(|| {
            now = dying(self.machine);
            now.is_some_and(|now| now <= most)
        });
        println!("cgroups that are dying: {now:?}, at most {most}");
        if now.is_none_or(|now| now > most) {
            self.is_wrong(format!(
                "{now:?} cgroups go on dying; {before:?} did before"
            ));
        }
    }

    fn log_in(&self, mut random: Random) {
        let take = |left: u64| left.checked_sub(1);
        while self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            let Some((user, _)) = random.of(&self.users) else {
                return;
            };
            let command = COMMANDS[random.below(COMMANDS.len())];
            let mut login = match random.below(4) {
                0 => {
                    let mut ssh = client("ssh");
                    ssh.args([&format!("{user}@127.0.0.1"), command]);
                    ssh
                }
                _ => {
                    let mut su = Command::new("su");
                    su.args([user, "-c", command]);
                    su
                }
            };
            login.env("LC_ALL", "C");
            let begun = Instant::now();
            let said = output(login);
            if begun.elapsed() > LONGEST {
                self.is_wrong(format!("{user}: {:?} for `{command}`", begun.elapsed()));
            }
            self.judge(user, &said);
        }
    }

    /// A login is whole, or it is none.
    fn judge(&self, user: &str, said: &Output) {
        match said.stdout.trim() {
            "berth-init" => self.count(LET_IN),
            "" if !said.status.success() => self.count(REFUSED),
            // sshd shows the client why a session was not opened.
            text if text.starts_with("Your sessions are frozen") && !said.status.success() => {
                self.count(REFUSED);
            }
            // Killed before its command had said anything, with a shell that takes no notice.
            "" => self.count("logins ended early"),
            _ => self.is_wrong(format!("{user} is in no berth: {said:?}")),
        }
    }

    /// Kills parts of Berth and of the login programs, but the servers.
    fn kill(&self, mut random: Random) {
        while self.goes_on() {
            sleep(Duration::from_millis(20 + random.below(60) as u64));
            let (name, what) = [
                ("berth-helper", HELPERS),
                ("berth-init", INITS),
                ("su", SUS),
                ("sshd", SSHDS),
            ][random.below(4)];
            let all = Process::named(name).into_iter();
            let all: Vec<Process> = all.filter(|one| !self.is_spared(*one)).collect();
            if let Some(victim) = random.of(&all) {
                victim.kill();
                self.count(what);
            }
        }
    }

    fn is_spared(&self, process: Process) -> bool {
        self.stays.iter().any(|(_, stays)| *stays == process)
    }

    /// What admins do meanwhile. What is counted has succeeded; where a helper that it starts is killed, it says so.
    fn administer(&self, mut random: Random) {
        let all_done = || {
            let counts = self.counts.lock().expect("counts");
            [RELOADS, APPLIES, FROZEN]
                .iter()
                .all(|what| counts.contains_key(what))
        };
        let (mut round, mut late) = (0, 0);
        // On a busy machine few logins are over before each was done: then for who stays.
        while self.goes_on() || late < 40 && !all_done() {
            late += u32::from(!self.goes_on());
            sleep(Duration::from_millis(200));
            let all = Process::all().into_iter().filter_map(Process::uid);
            let on: Vec<u32> = all.collect();
            let on = self.users.iter().filter(|(_, uid)| on.contains(uid));
            let on: Vec<_> = on.collect();
            let Some((user, _)) = random.of(&on) else {
                continue;
            };
            round += 1;
            match round % 4 {
                0 => {
                    self.machine.policy(&policy(FIRST + round / 4));
                    self.count_if(RELOADS, self.machine.berth("reload").success());
                }
                1 => {
                    let said = self.machine.berth_with_helper("apply");
                    self.count_if(APPLIES, said.success());
                }
                2 if self.machine.berth(&format!("freeze {user}")).success() => {
                    sleep(Duration::from_millis(100));
                    let thawed = self.machine.berth(&format!("thaw {user}"));
                    self.count_if(FROZEN, thawed.success());
                }
                _ => {
                    self.machine.berth("list");
                }
            }
        }
    }
}
