//! Many logins of many users, several at a time, on a machine where nothing is left in peace.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::output;
use crate::sshd::client;
use crate::{Machine, Output, Policy, Process, eventually};

const USERS: usize = 20;

/// How many logins are on at a time.
const AT_ONCE: u64 = 16;

/// A login that takes longer hangs: the module's deadline is 10 s for each of its two calls.
const LONGEST: Duration = Duration::from_secs(60);

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
    machine.policy(&policy(0));
    machine.berth("reload").ok();
    for (user, _) in &users {
        // A user's first login leaves a keyring, which the kernel keeps.
        machine.su(user, "keyctl show @u").ok();
    }
    let before = machine.settled();
    let sshd = machine.sshd().process();
    let memory = || sshd.status("VmRSS").unwrap_or_default();
    let memory_before = memory();
    let soak = Soak {
        machine,
        users,
        left: AtomicU64::new(logins),
        is_over: AtomicBool::new(false),
        counts: Mutex::default(),
        wrong: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let soak = &soak;
                scope.spawn(move || soak.log_in(Random(number)))
            })
            .collect();
        scope.spawn(|| soak.kill(Random(logins), sshd));
        scope.spawn(|| soak.administer(Random(logins)));
        scope.spawn(|| soak.audit());
        for worker in workers {
            // One that panicked has lost its logins, and the others go on.
            if worker.join().is_err() {
                soak.is_wrong("a thread of the test's panicked".into());
            }
        }
        soak.is_over.store(true, Ordering::Relaxed);
    });
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
    for (what, count) in soak.counts.lock().expect("counts").iter() {
        println!("{count:>8}  {what}");
    }
    println!("sshd's memory: {memory_before} before, {} after", memory());
    let wrong = soak.wrong.lock().expect("what is wrong");
    for line in wrong.iter().take(20) {
        println!("WRONG     {line}");
    }
    if !left.is_empty() {
        println!("left over: {}", left.join(", "));
    }
    left.is_empty() && wrong.is_empty()
}

/// Several that differ, so that a change of them is one.
fn policy(number: usize) -> Policy {
    let scope = ["session", "user"][number % 2];
    Policy {
        defaults: "on_error = \"deny\"".into(),
        profile: "logout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(&format!(
            "scope = \"{scope}\", user = \"identity\", pid = true, ipc = true, mount = true, \
             private_tmp = \"disk\", private_shm = \"16M\""
        ))
    }
}

impl Soak<'_> {
    fn count(&self, what: &'static str) {
        *self.counts.lock().expect("counts").entry(what).or_default() += 1;
    }

    fn is_wrong(&self, what: String) {
        self.wrong.lock().expect("what is wrong").push(what);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
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
            "berth-init" => self.count("logins were let in"),
            "" if !said.status.success() => self.count("logins were refused, or killed"),
            // sshd shows the client why a session was not opened.
            text if text.starts_with("Your sessions are frozen") && !said.status.success() => {
                self.count("logins were refused, or killed");
            }
            // Killed before its command had said anything, with a shell that takes no notice.
            "" => self.count("logins ended early"),
            _ => self.is_wrong(format!("{user} is in no berth: {said:?}")),
        }
    }

    /// Kills parts of Berth and of the login programs, but the servers.
    fn kill(&self, mut random: Random, sshd: Process) {
        while self.goes_on() {
            sleep(Duration::from_millis(20 + random.below(60) as u64));
            let (name, what) = [
                ("berth-helper", "helpers, keepers and standbys were killed"),
                ("berth-init", "inits were killed"),
                ("su", "su's were killed"),
                ("sshd", "sshds' processes were killed"),
            ][random.below(4)];
            let all = Process::named(name).into_iter();
            let all: Vec<Process> = all.filter(|one| *one != sshd).collect();
            if let Some(victim) = random.of(&all) {
                victim.kill();
                self.count(what);
            }
        }
    }

    /// What admins do meanwhile.
    fn administer(&self, mut random: Random) {
        let mut round = 0;
        while self.goes_on() {
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
                    self.machine.policy(&policy(round / 4));
                    // The helper that it starts may be killed: then it says so.
                    self.machine.berth("reload");
                    self.count("reloads");
                }
                1 => {
                    self.machine.berth("apply");
                    self.count("applies");
                }
                2 if self.machine.berth(&format!("freeze {user}")).success() => {
                    sleep(Duration::from_millis(100));
                    self.machine.berth(&format!("thaw {user}"));
                    self.count("users were frozen and thawed");
                }
                _ => {
                    self.machine.berth("list");
                }
            }
        }
    }

    /// Looks whether any process of a user's is not where the user's caps are, from its first program on: an sshd that
    /// was refused a session has a process that is the user by then, and runs nothing.
    fn audit(&self) {
        let login_programs = [
            "/usr/sbin/sshd",
            "/usr/lib/openssh/sshd-session",
            "/usr/bin/su",
        ];
        let runs_a_program = |process: Process| {
            // One that is about to end has none any more.
            let program = std::fs::read_link(format!("/proc/{}/exe", process.0));
            program.is_ok_and(|path| login_programs.iter().all(|one| path != Path::new(one)))
        };
        while self.goes_on() {
            for process in Process::all() {
                let uid = process.uid();
                let Some((user, uid)) = self.users.iter().find(|(_, one)| Some(*one) == uid) else {
                    continue;
                };
                let place = process.cgroup().unwrap_or_default();
                let is_in =
                    place.starts_with("/berth/") && place.contains(&format!("/user-{uid}/"));
                // One that has ended meanwhile was not asked in time.
                if !is_in && runs_a_program(process) && process.uid() == Some(*uid) {
                    let what = process.command_line();
                    self.is_wrong(format!("a process of {user} is in `{place}`: {what}"));
                }
                self.count("looks at users' processes");
            }
        }
    }
}
