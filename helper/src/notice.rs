//! Telling users what their caps do to them, and before that that they come close: once a second the keeper looks at
//! some of the kernel's files; what there is to say goes to the session's terminals.

mod level;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use berth_config::value::bytes_text;
use berth_session::systemd::Held;
use berth_session::{Backend, Group, Tree};

use crate::kernel_log::KernelLog;
use crate::terminals::Speaker;
use level::Level;

/// How often the keeper looks.
pub const LOOK: Duration = Duration::from_secs(1);

/// How often the same is said at most; and how often it is looked what the caps are.
const AGAIN: Duration = Duration::from_secs(60);

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// To the user.
    pub text: String,
    /// To the log, where a cap has bitten: its name, and the program that was killed.
    pub bite: Option<(String, Option<String>)>,
}

/// What counts as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Kill,
    Refusal,
    SlowMemory,
    SlowCpu,
    CloseToMemory,
    CloseToTasks,
}

/// Looks at the caps that a session is under.
#[derive(Debug)]
pub struct Watch {
    /// The session's own first.
    levels: Vec<Level>,
    kills: Option<u64>,
    /// Knows what was killed, and by which cap.
    log: Option<KernelLog>,
    /// Whose session it is.
    uid: u32,
    /// Whom the user may ask.
    contact: Option<String>,
    said: BTreeMap<About, Instant>,
    caps_read: Option<Instant>,
    /// By whom the user is told.
    pub speaker: Speaker,
}

impl Watch {
    /// Begins with a session, unless its user has no cap that could be told of.
    pub fn new(tree: &Tree, session: &Group, uid: u32, contact: Option<String>) -> Option<Watch> {
        let line = tree.line_to(session);
        let others = 1 + usize::from(tree.pool_of(session).is_some());
        let level = |(index, group): (usize, &Group)| {
            let name = match (index < others, tree.pool_of(group)) {
                (false, _) if group == session => ("session.", String::new()),
                (false, _) => ("", String::new()),
                (true, Some(pool)) => ("", format!(" of pool {pool}")),
                (true, None) => ("", " of all users".into()),
            };
            let path = format!("/{}", tree.below(group).display());
            let mut level = Level::new(group.clone(), path, name, index >= others);
            if let (Backend::Cgroupfs, Some(user)) = (tree.backend(), line.get(others)) {
                let [sessions, rescue] = Tree::parts(user);
                if user == group {
                    level.tasks_cap = None;
                } else if rescue == *group {
                    level.tasks_cap = Some(sessions);
                }
            }
            level
        };
        let levels = line.iter().enumerate().map(level).rev().collect();
        Watch::of(levels, uid, contact)
    }

    fn of(mut levels: Vec<Level>, uid: u32, contact: Option<String>) -> Option<Watch> {
        let held = Held::of(uid).ok().flatten();
        for level in &mut levels {
            level.read_caps(held.as_ref());
        }
        levels.iter().any(Level::is_capped).then(|| {
            let mut watch = Watch {
                levels,
                kills: None,
                log: KernelLog::open(),
                uid,
                contact,
                said: BTreeMap::new(),
                caps_read: None,
                speaker: Speaker::default(),
            };
            // What was before is not this session's; but that it is close to a cap its user should know.
            watch.look(Instant::now());
            watch.said.clear();
            for level in &mut watch.levels {
                (level.is_close_to_memory, level.is_close_to_tasks) = (false, false);
            }
            watch
        })
    }

    /// What is to be said now. What the first look finds was before, and is not this session's.
    pub fn look(&mut self, now: Instant) -> Vec<Notice> {
        let is_over = |then: &Instant| now.saturating_duration_since(*then) >= AGAIN;
        let minute_is_over = self.caps_read.as_ref().is_none_or(is_over);
        let mut found = Vec::new();
        let held = match minute_is_over {
            true => Held::of(self.uid).ok().flatten(),
            false => None,
        };
        for level in self.levels.iter_mut().filter(|level| level.is_users) {
            if minute_is_over {
                level.read_caps(held.as_ref());
                found.extend(level.slow_cpu());
            }
            found.extend(level.slow_memory());
            found.extend(level.close_to_memory());
            found.extend(level.close_to_tasks());
        }
        if minute_is_over {
            self.caps_read = Some(now);
        }
        found.extend(self.refusal());
        found.extend(self.kill());
        let mut notices = Vec::new();
        for (about, notice) in found {
            if self.said.get(&about).is_none_or(is_over) {
                self.said.insert(about, now);
                notices.push(self.finished(notice));
            }
        }
        notices
    }

    fn finished(&self, notice: Notice) -> Notice {
        let mut text = format!("berth: {}", notice.text);
        if let Some(contact) = &self.contact {
            text += &format!(". Help: {contact}");
        }
        Notice { text, ..notice }
    }

    /// Before Linux 6.11 a refusal is counted where the program is, whosever cap it was; later where the cap is.
    fn refusal(&mut self) -> Option<(About, Notice)> {
        let own = self.levels.iter_mut().filter(|level| level.is_users);
        if own.fold(false, |any, level| level.has_refused() | any) {
            let mut full = self.levels.iter().filter(|level| level.is_full_of_tasks());
            let mut capped = self.levels.iter().filter(|level| level.tasks_max.is_some());
            let level = full.next().or_else(|| capped.next())?;
            let max = level.tasks_max?.to_string();
            return Some(level.bitten(
                About::Refusal,
                "refused to start a task",
                "tasks_max",
                &max,
            ));
        }
        None
    }

    /// A program of the session's was killed, whosever cap it was.
    fn kill(&mut self) -> Option<(About, Notice)> {
        let session = self.levels.first()?;
        let kills = session.group.keyed("memory.events", "oom_kill");
        let before = std::mem::replace(&mut self.kills, kills);
        if kills? <= before? {
            return None;
        }
        let kill = self
            .log
            .as_mut()
            .and_then(|log| log.last_kill_in(&session.path, self.uid));
        let (program, by) = kill.map_or((None, None), |kill| (Some(kill.program), kill.by));
        let level = by.and_then(|by| self.levels.iter().find(|level| by.ends_with(&level.path)));
        let (cap, why) = match level {
            Some(level) => {
                let max = level.memory_max.map(bytes_text).unwrap_or_default();
                let why = level.reached("memory_max", &max);
                (level.called("memory_max"), why)
            }
            None => ("-".into(), "out of memory".into()),
        };
        let text = format!(
            "killed {}: {why}",
            program.as_deref().unwrap_or("a program")
        );
        let bite = Some((cap, program));
        Some((About::Kill, Notice { text, bite }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::folder::Folder;

    /// A session's cgroup below its user's.
    struct Fake(Folder);

    impl Fake {
        fn new() -> Fake {
            let fake = Fake(Folder::new());
            for level in ["", "session/"] {
                fake.write(&format!("{level}memory.events"), "oom_kill 0\n");
                fake.write(&format!("{level}pids.events"), "max 0\n");
                fake.write(&format!("{level}memory.events.local"), "high 0\n");
            }
            fake
        }

        fn write(&self, file: &str, text: &str) {
            self.0.write(file, text);
        }

        fn watch(&self) -> Option<Watch> {
            let user = self.0.group();
            let level = |group, name| Level::new(group, "/".into(), (name, String::new()), true);
            let levels = vec![level(user.child("session"), "session."), level(user, "")];
            Watch::of(levels, 1001, Some("help@example.org".into()))
        }
    }

    fn texts(watch: &mut Watch, now: Instant) -> Vec<String> {
        let notices = watch.look(now).into_iter();
        let text = |notice: Notice| notice.text.replace(". Help: help@example.org", "!");
        notices.map(text).collect()
    }

    #[test]
    fn who_has_no_caps_is_not_watched() {
        let fake = Fake::new();
        fake.write("memory.max", "max\n");
        fake.write("cpu.max", "max 100000\n");
        assert!(fake.watch().is_none());
    }

    #[test]
    fn the_reserve_of_a_users_tasks_is_no_cap_of_theirs() {
        let root = Folder::new();
        let user = "berth/user-1001";
        for (group, max) in [("", 272), ("/sessions", 256), ("/rescue", 16)] {
            root.write(format!("{user}{group}/pids.max"), format!("{max}\n"));
        }
        root.write(format!("{user}/rescue/2/pids.events"), "max 0\n");
        let tree = root.tree(Backend::Cgroupfs);
        let watch = |session: &str| {
            let session = tree.group(&std::path::Path::new(user).join(session));
            Watch::new(&tree, &session, 1001, Some("help@example.org".into())).unwrap()
        };
        let have = |ordinary: u64, rescued: u64| {
            for (group, tasks) in [
                ("", ordinary + rescued),
                ("/sessions", ordinary),
                ("/rescue", rescued),
            ] {
                root.write(format!("{user}{group}/pids.current"), format!("{tasks}\n"));
            }
        };
        let begun = Instant::now();
        have(0, 0);
        let mut watch_of_one = watch("sessions/1");
        have(231, 0);
        let at = |seconds| begun + Duration::from_secs(seconds);
        let told = texts(&mut watch_of_one, at(1));
        assert_eq!(told, ["berth: 231 of tasks_max 256 in use!"]);
        have(245, 0);
        assert_eq!(texts(&mut watch_of_one, at(62)), [""; 0]);

        have(256, 3);
        let mut rescued = watch("rescue/2");
        have(256, 16);
        root.write(format!("{user}/rescue/2/pids.events"), "max 1\n");
        let told = texts(&mut rescued, at(1));
        assert_eq!(
            told,
            ["berth: refused to start a task: tasks_max 256 reached!"]
        );
    }

    #[test]
    fn what_a_unit_is_held_at_is_no_cap_of_its_users() {
        let root = Folder::new();
        let slice = root.group().child("user-1001.slice");
        let max = |group: &Group, held: Option<&Held>| {
            let name = ("", String::new());
            let mut level = Level::new(group.clone(), String::new(), name, true);
            level.read_caps(held);
            level.tasks_max
        };
        root.write("user-1001.slice/pids.max", "56\n");
        let units = [(1, u64::MAX), (2, 30)];
        for (id, _) in units {
            root.write(
                format!("user-1001.slice/session-{id}.scope/pids.max"),
                "3\n",
            );
        }
        let scope = |id: u64| slice.child(&format!("session-{id}.scope"));
        let held = Held {
            tasks_max: 40,
            units: units
                .map(|(id, before)| (scope(id).name().to_owned(), before))
                .into(),
        };
        let held = Some(&held);
        assert_eq!(max(&slice, held), Some(40));
        assert_eq!([1, 2].map(|id| max(&scope(id), held)), [None, Some(30)]);
        assert_eq!(
            [max(&slice, None), max(&scope(1), None)],
            [Some(56), Some(3)]
        );
    }

    #[test]
    fn each_cap_that_bites_is_told_at_most_once_a_minute() {
        let fake = Fake::new();
        fake.write("memory.max", "3221225472\n");
        fake.write("session/pids.max", "64\n");
        let mut watch = fake.watch().unwrap();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(texts(&mut watch, at(1)), [""; 0]);

        fake.write("session/memory.events", "oom_kill 1\n");
        fake.write("session/pids.events", "max 7\n");
        let told = [
            "berth: refused to start a task: session.tasks_max 64 reached!",
            "berth: killed a program: out of memory!",
        ];
        assert_eq!(texts(&mut watch, at(2)), told);
        fake.write("session/memory.events", "oom_kill 2\n");
        assert_eq!(texts(&mut watch, at(61)), [""; 0]);
        assert_eq!(texts(&mut watch, at(70)), [""; 0], "it is over");
        fake.write("session/memory.events", "oom_kill 3\n");
        assert_eq!(texts(&mut watch, at(71)), told[1..]);
        fake.write("session/memory.events", "oom_kill 4\n");
        let bite = watch.look(at(200)).remove(0).bite;
        assert_eq!(bite, Some(("-".into(), None)));
    }

    #[test]
    fn a_refused_task_is_laid_to_the_cap_that_is_full_wherever_the_kernel_counts_it() {
        let fake = Fake::new();
        fake.write("session/pids.max", "64\n");
        fake.write("session/pids.current", "3\n");
        fake.write("pids.max", "100\n");
        fake.write("pids.current", "100\n");
        let mut watch = fake.watch().unwrap();
        let mut now = Instant::now();
        let mut refused = || {
            now += AGAIN;
            let bites = watch.look(now).into_iter();
            let bites = bites.filter(|notice| notice.bite.is_some());
            bites
                .map(|notice| notice.text)
                .collect::<Vec<_>>()
                .join("; ")
        };
        let full = "berth: refused to start a task: tasks_max 100 reached. Help: help@example.org";
        fake.write("session/pids.events", "max 1\n");
        assert_eq!(refused(), full);
        fake.write("pids.events", "max 1\n");
        fake.write("session/pids.events", "max 2\n");
        assert_eq!(refused(), full, "counted in both");
        fake.write("session/pids.current", "64\n");
        fake.write("pids.current", "80\n");
        fake.write("pids.events", "max 2\n");
        assert_eq!(
            refused(),
            full.replace("tasks_max 100", "session.tasks_max 64")
        );
        assert_eq!(refused(), "");
    }

    #[test]
    fn a_cap_that_comes_close_is_told_once_until_it_has_been_far() {
        let fake = Fake::new();
        fake.write("memory.max", "1000\n");
        fake.write("pids.max", "10\n");
        fake.write("pids.current", "8\n");
        fake.write("memory.current", "950\n");
        fake.write("memory.stat", "inactive_file 50\nactive_file 10\n");
        let mut watch = fake.watch().unwrap();
        let begun = Instant::now();
        let mut look = |seconds| texts(&mut watch, begun + Duration::from_secs(seconds));
        assert_eq!(look(1), [""; 0], "files that were read are no need");
        fake.write("memory.current", "960\n");
        fake.write("pids.current", "9\n");
        let close = [
            "berth: 900 of memory_max 1000 in use!",
            "berth: 9 of tasks_max 10 in use!",
        ];
        assert_eq!(look(2), close);
        fake.write("pids.current", "8\n");
        look(100);
        fake.write("pids.current", "9\n");
        assert_eq!(look(200), [""; 0], "it was never far");
        fake.write("pids.current", "7\n");
        look(201);
        fake.write("pids.current", "9\n");
        assert_eq!(look(202), close[1..]);
        let mut next = fake.watch().unwrap();
        assert_eq!(texts(&mut next, begun), close, "at the next login");
    }

    #[test]
    fn to_be_slowed_down_for_long_is_told() {
        let fake = Fake::new();
        fake.write("memory.high", "2147483648\n");
        fake.write("cpu.max", "12500 100000\n");
        fake.write("cpu.stat", "nr_periods 1000\nnr_throttled 900\n");
        let mut watch = fake.watch().unwrap();
        let begun = Instant::now();
        let mut look = |seconds| texts(&mut watch, begun + Duration::from_secs(seconds));
        for second in 1..5 {
            fake.write("memory.events.local", &format!("high {second}\n"));
            assert_eq!(look(second), [""; 0]);
        }
        fake.write("memory.events.local", "high 5\n");
        assert_eq!(look(5), ["berth: slowed down: memory_high 2G reached!"]);
        // Half of a minute's work, and of little work all of it.
        fake.write("cpu.stat", "nr_periods 1600\nnr_throttled 1200\n");
        assert_eq!(look(61), [""; 0]);
        fake.write("cpu.stat", "nr_periods 1700\nnr_throttled 1300\n");
        assert_eq!(look(122), [""; 0]);
        fake.write("cpu.stat", "nr_periods 2200\nnr_throttled 1600\n");
        assert_eq!(look(183), ["berth: slowed down: cpu_quota 12.5% reached!"]);
    }
}
