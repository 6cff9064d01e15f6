//! Matching and merging against the slowest and most obvious way to do the same: policies and logins by chance.

mod written;

use std::collections::BTreeMap;

use berth_config::outcome::{Limit, Outcome};
use berth_config::{Group, LocalTime, Login, Trust, check_files};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use written::{Written, machine};

const PROFILES: [&str; 4] = ["a", "b", "c", "d"];
const POOLS: [&str; 2] = ["p", "q"];
const USERS: [&str; 4] = ["alice", "bob", "carol", "root"];
const GROUPS: [&str; 4] = ["staff", "students", "ta", "wheel"];
const SERVICES: [&str; 3] = ["sshd", "cron", "login"];

/// What a test of a name may be, and which of the names above it means: by hand, and not by what is tested.
const GLOBS: [(&str, &[&str]); 8] = [
    ("alice", &["alice"]),
    (
        "*",
        &[
            "alice", "bob", "carol", "root", "staff", "students", "ta", "wheel", "sshd", "cron",
            "login",
        ],
    ),
    ("st*", &["staff", "students"]),
    ("?o*", &["bob", "root", "login"]),
    ("[a-b]*", &["alice", "bob"]),
    ("[!a-s]*", &["ta", "wheel"]),
    ("cron", &["cron"]),
    ("students", &["students"]),
];

/// The same of a test of where a login comes from, and of when.
const REMOTES: [(&str, &[&str]); 4] = [
    ("10.1.0.0/16", &["10.1.2.3"]),
    ("10.*", &["10.1.2.3", "10.2.0.1"]),
    ("[c-z]*", &["cron", "students"]),
    ("students", &["students"]),
];
const TIMES: [(&str, &[&str]); 2] = [
    ("night", &["2026-12-14 23:30:00", "2026-12-15 06:59:59"]),
    ("monday", &["2026-12-14 12:00:00", "2026-12-14 23:30:00"]),
];
const WINDOWS: &str = "[time.night]\nhours = \"22:00-07:00\"\n[time.monday]\ndays = \"mon\"\n";

/// What a rule tests, and how often.
const TESTS: [(&str, f64); 10] = [
    ("user", 0.35),
    ("group", 0.35),
    ("service", 0.3),
    ("primary_group", 0.1),
    ("host", 0.1),
    ("role", 0.1),
    ("time", 0.1),
    ("tty", 0.05),
    ("rhost", 0.05),
    ("ruser", 0.05),
];

/// A value of a test, and what it means.
fn tested(key: &str, nth: usize) -> (&'static str, &'static [&'static str]) {
    match key {
        "rhost" => REMOTES[nth % REMOTES.len()],
        "time" => TIMES[nth % TIMES.len()],
        _ => GLOBS[nth],
    }
}

/// One key's values. `unset` is among them.
const MEMORY: [&str; 6] = [
    "1G",
    "12.5%",
    "50% of machine",
    "50% of pool",
    "infinity",
    "unset",
];
const TASKS: [&str; 4] = ["100", "\"10%\"", "\"infinity\"", "\"unset\""];
const SESSION_TASKS: [&str; 3] = ["20", "\"50% of user\"", "\"unset\""];

#[derive(Debug, Clone, Default)]
struct ProfileText {
    inherits: Option<Vec<usize>>,
    /// Keys as they are written, with their tables: `user.memory_max` and `"1G"`.
    keys: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone, Default)]
struct TestsText {
    /// Of all tests but `uid`: values, by their numbers.
    names: BTreeMap<&'static str, Vec<usize>>,
    uid: Option<(u32, u32)>,
}

#[derive(Debug, Clone)]
enum OutcomeText {
    Profiles(Vec<usize>, Option<usize>),
    Exempt,
    Deny,
}

#[derive(Debug, Clone)]
struct RuleText {
    tests: TestsText,
    except: Option<TestsText>,
    outcome: OutcomeText,
}

#[derive(Debug, Clone)]
struct FileText {
    profiles: BTreeMap<usize, ProfileText>,
    pools: BTreeMap<usize, &'static str>,
    rules: Vec<RuleText>,
    exempt_users: Option<Vec<&'static str>>,
    exempt_groups: Option<Vec<&'static str>>,
    exempt_uids: Option<(u32, u32)>,
    no_match: Option<&'static str>,
    roles: Option<Vec<&'static str>>,
}

fn file() -> impl Strategy<Value = FileText> {
    (
        proptest::collection::btree_map(0..4_usize, profile(), 0..=4),
        proptest::collection::btree_map(0..2_usize, select(vec!["8G", "25%", "infinity"]), 0..=2),
        vec(rule(), 0..5),
        (
            proptest::option::weighted(0.2, subsequence(USERS.to_vec(), 0..=2)),
            proptest::option::weighted(0.2, subsequence(GROUPS.to_vec(), 0..=2)),
            proptest::option::weighted(0.2, Just((1002, 1002))),
        ),
        proptest::option::weighted(0.3, select(vec!["exempt", "deny"])),
        proptest::option::weighted(0.5, subsequence(GROUPS.to_vec(), 0..=2)),
    )
        .prop_map(
            |(profiles, pools, rules, exempt, no_match, roles)| FileText {
                profiles,
                pools,
                rules,
                exempt_users: exempt.0,
                exempt_groups: exempt.1,
                exempt_uids: exempt.2,
                no_match,
                roles,
            },
        )
}

fn profile() -> impl Strategy<Value = ProfileText> {
    let key = |name: &'static str, values: Vec<String>| {
        proptest::option::weighted(0.4, select(values))
            .prop_map(move |value| value.map(|value| (name, value)))
    };
    let quoted = |values: &[&str]| values.iter().map(|value| format!("{value:?}")).collect();
    let plain = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let keys = vec![
        key("user.memory_max", quoted(&MEMORY)).boxed(),
        key("user.tasks_max", plain(&TASKS)).boxed(),
        key("session.tasks_max", plain(&SESSION_TASKS)).boxed(),
        key("pool", quoted(&["p", "q", "unset"])).boxed(),
        key("enforce", plain(&["true", "false"])).boxed(),
        key("namespaces.pid", plain(&["true", "false"])).boxed(),
        key("logout.linger", quoted(&["0s", "1h", "infinity", "unset"])).boxed(),
    ];
    let inherits = proptest::option::weighted(0.5, vec(0..4_usize, 0..3));
    (inherits, keys).prop_map(|(inherits, keys)| ProfileText {
        inherits,
        keys: keys.into_iter().flatten().collect(),
    })
}

fn tests() -> impl Strategy<Value = TestsText> {
    let names = TESTS.map(|(key, often)| {
        proptest::option::weighted(often, vec(0..GLOBS.len(), 1..3))
            .prop_map(move |globs| globs.map(|globs| (key, globs)))
    });
    let uid = select(vec![(0, 0), (1000, 1001), (1002, 70_000)]);
    (names, proptest::option::weighted(0.15, uid)).prop_map(|(names, uid)| TestsText {
        names: names.into_iter().flatten().collect(),
        uid,
    })
}

fn rule() -> impl Strategy<Value = RuleText> {
    let outcome = prop_oneof![
        6 => (vec(0..4_usize, 1..3), proptest::option::weighted(0.2, 0..2_usize))
            .prop_map(|(profiles, pool)| OutcomeText::Profiles(profiles, pool)),
        1 => Just(OutcomeText::Exempt),
        1 => Just(OutcomeText::Deny),
    ];
    (tests(), proptest::option::weighted(0.3, tests()), outcome).prop_map(
        |(tests, except, outcome)| RuleText {
            tests,
            except: except.filter(|except| !except.names.is_empty() || except.uid.is_some()),
            outcome,
        },
    )
}

fn account() -> impl Strategy<Value = Login> {
    let uid = select(vec![0, 1000, 1001, 1002, 69_999, 70_001]);
    let groups = subsequence(GROUPS.to_vec(), 0..=4);
    (
        select(USERS.to_vec()),
        uid,
        groups,
        select(SERVICES.to_vec()),
        // A host, a terminal, another user and a place that it comes from, or none.
        [(); 3].map(|()| select(vec!["", "alice", "cron", "students"])),
        select(vec!["", "10.1.2.3", "10.2.0.1", "cron", "students"]),
        select(vec![
            "2026-12-14 12:00:00",
            "2026-12-14 23:30:00",
            "2026-12-15 06:59:59",
            "2026-12-15 07:00:00",
        ]),
    )
        .prop_map(
            |(user, uid, groups, service, [host, tty, ruser], rhost, at)| Login {
                user: user.into(),
                uid,
                gid: 100,
                groups: groups
                    .iter()
                    .zip(100..)
                    .map(|(name, gid)| Group {
                        gid,
                        name: (*name).into(),
                    })
                    .collect(),
                service: service.into(),
                tty: tty.into(),
                rhost: rhost.into(),
                ruser: ruser.into(),
                host: host.into(),
                at: LocalTime::parse(at),
            },
        )
}

// How it is written.

fn text(nth: usize, file: &FileText) -> String {
    let mut text = String::new();
    if nth == 0 {
        text += "version = 1\n";
        text += WINDOWS;
    }
    if let Some(no_match) = file.no_match {
        text += &format!("[defaults]\nno_match = \"{no_match}\"\n");
    }
    if file.exempt_users.is_some() || file.exempt_groups.is_some() || file.exempt_uids.is_some() {
        text += "[exempt]\n";
        if let Some(users) = &file.exempt_users {
            text += &format!("users = {users:?}\n");
        }
        if let Some(groups) = &file.exempt_groups {
            text += &format!("groups = {groups:?}\n");
        }
        if let Some((first, last)) = file.exempt_uids {
            text += &format!("uids = [\"{first}-{last}\"]\n");
        }
    }
    if let Some(roles) = &file.roles {
        text += &format!("[host]\nroles = {roles:?}\n");
    }
    for (pool, memory) in &file.pools {
        text += &format!("[pool.{}]\nmemory_max = {memory:?}\n", POOLS[*pool]);
    }
    for (profile, written) in &file.profiles {
        text += &format!("[profile.{}]\n", PROFILES[*profile]);
        if let Some(inherits) = &written.inherits {
            let names: Vec<_> = inherits.iter().map(|nth| PROFILES[*nth]).collect();
            text += &format!("inherits = {names:?}\n");
        }
        for (key, value) in &written.keys {
            text += &format!("{key} = {value}\n");
        }
    }
    for rule in &file.rules {
        text += "[[rule]]\n";
        text += &lines(&rule.tests).join("\n");
        text += "\n";
        if let Some(except) = &rule.except {
            text += &format!("except = {{ {} }}\n", lines(except).join(", "));
        }
        text += &match &rule.outcome {
            OutcomeText::Exempt => "action = \"exempt\"\n".to_owned(),
            OutcomeText::Deny => "action = \"deny\"\n".to_owned(),
            OutcomeText::Profiles(profiles, pool) => {
                let names: Vec<_> = profiles.iter().map(|nth| PROFILES[*nth]).collect();
                let pool = pool.map(|pool| format!("pool = {:?}\n", POOLS[pool]));
                format!("profile = {names:?}\n{}", pool.unwrap_or_default())
            }
        };
    }
    text
}

fn lines(tests: &TestsText) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, globs) in &tests.names {
        let globs: Vec<_> = globs.iter().map(|nth| tested(key, *nth).0).collect();
        lines.push(format!("{key} = {globs:?}"));
    }
    if let Some((first, last)) = tests.uid {
        lines.push(format!("uid = \"{first}-{last}\""));
    }
    lines
}

// What it means.

/// What is compared of a decision.
#[derive(Debug, PartialEq)]
enum Meant {
    Exempt,
    Deny,
    /// A part of what there is none of.
    Nothing,
    Berth {
        profile: String,
        pool: Option<&'static str>,
        memory: Option<Limit>,
        tasks: Option<Limit>,
        session_tasks: Option<Limit>,
        enforce: bool,
        pid: bool,
        linger: Option<u64>,
    },
}

fn meant(files: &[FileText], login: &Login) -> Meant {
    let last = |of: &dyn Fn(&FileText) -> bool| files.iter().rev().find(|file| of(file));
    let exempt_users =
        last(&|file| file.exempt_users.is_some()).and_then(|file| file.exempt_users.clone());
    let exempt_groups =
        last(&|file| file.exempt_groups.is_some()).and_then(|file| file.exempt_groups.clone());
    let by_group = exempt_groups.is_some_and(|exempt| {
        let mut groups = login.groups.iter();
        groups.any(|group| exempt.contains(&group.name.as_str()))
    });
    let exempt_uids = last(&|file| file.exempt_uids.is_some()).and_then(|file| file.exempt_uids);
    let by_uid = match exempt_uids {
        Some((first, last)) => (first..=last).contains(&login.uid),
        None => {
            (1..1000).contains(&login.uid)
                || (61_184..65_520).contains(&login.uid)
                || login.uid == 65_534
        }
    };
    if login.uid == 0
        || by_uid
        || by_group
        || exempt_users
            .unwrap_or_default()
            .contains(&login.user.as_str())
    {
        return Meant::Exempt;
    }
    // Of later files first; in each as they are written.
    let rules: Vec<&RuleText> = files.iter().rev().flat_map(|file| &file.rules).collect();
    let roles = last(&|file| file.roles.is_some()).and_then(|file| file.roles.clone());
    let roles = roles.unwrap_or_default();
    let matching = || rules.iter().filter(|rule| does_match(rule, login, &roles));
    let Some(login_rule) = matching().next() else {
        let no_match = last(&|file| file.no_match.is_some()).and_then(|file| file.no_match);
        return match no_match {
            Some("deny") => Meant::Deny,
            _ => Meant::Exempt,
        };
    };
    let (names, own_keys) = match &login_rule.outcome {
        OutcomeText::Exempt => (None, BTreeMap::new()),
        OutcomeText::Deny => (None, BTreeMap::new()),
        OutcomeText::Profiles(profiles, _) => (Some(profiles), laid(files, profiles)),
    };
    let tests_login = |rule: &&&RuleText| {
        let mut tests = std::iter::once(&rule.tests).chain(&rule.except);
        let of_login = ["service", "tty", "rhost", "ruser"];
        tests.any(|tests| of_login.iter().any(|key| tests.names.contains_key(key)))
    };
    let user_rule = matching().find(|rule| !tests_login(rule));
    let (user_keys, rules_pool) = match user_rule.map(|rule| &rule.outcome) {
        Some(OutcomeText::Profiles(profiles, pool)) => (laid(files, profiles), *pool),
        _ => (BTreeMap::new(), None),
    };
    let set = |keys: &BTreeMap<&'static str, String>, key: &str| {
        let value = keys
            .get(key)
            .map(|value| value.trim_matches('"').to_owned());
        value.filter(|value| value != "unset")
    };
    let profiles_pool =
        set(&user_keys, "pool").and_then(|name| POOLS.iter().position(|pool| **pool == name));
    let pool = rules_pool.or(profiles_pool);
    let pool_memory = pool.and_then(|pool| {
        let written = files.iter().rev().find_map(|file| file.pools.get(&pool));
        written.map(|memory| share(memory, 64 << 30, None, None))
    });
    let pool_memory = pool_memory.map(|memory| memory.expect("of no other"));
    let enforced = |keys: &BTreeMap<_, _>| set(keys, "enforce").is_none_or(|value| value == "true");
    // Only the user's caps are on trial: none of them is set, and they keep nobody out.
    let on_trial = !enforced(&user_keys) && enforced(&own_keys);
    let memory = part(
        set(&user_keys, "user.memory_max"),
        64 << 30,
        pool_memory,
        None,
    );
    let tasks = part(set(&user_keys, "user.tasks_max"), 32_768, None, None);
    let (memory, tasks) = match (memory, tasks) {
        (Some(memory), Some(tasks)) => (memory, tasks),
        _ if on_trial => (None, None),
        _ => return Meant::Nothing,
    };
    let Some(names) = names else {
        return match login_rule.outcome {
            OutcomeText::Deny => Meant::Deny,
            _ => Meant::Exempt,
        };
    };
    let Some(session_tasks) = part(set(&own_keys, "session.tasks_max"), 32_768, None, tasks) else {
        return Meant::Nothing;
    };
    let (pool, memory, tasks) = match on_trial {
        true => (None, None, None),
        false => (pool, memory, tasks),
    };
    let names: Vec<_> = names.iter().map(|nth| PROFILES[*nth]).collect();
    Meant::Berth {
        profile: names.join("+"),
        pool: pool.map(|pool| POOLS[pool]),
        memory,
        tasks: tasks.map(|tasks| tasks.max(Limit::Finite(8))),
        session_tasks: session_tasks.map(|tasks| tasks.max(Limit::Finite(8))),
        enforce: enforced(&own_keys),
        pid: set(&own_keys, "namespaces.pid").is_some_and(|value| value == "true"),
        linger: match set(&own_keys, "logout.linger").as_deref() {
            Some("1h") => Some(3600),
            Some("infinity") => None,
            _ => Some(0),
        },
    }
}

/// The keys of profiles, one after the other, each with what it inherits below it.
fn laid(files: &[FileText], profiles: &[usize]) -> BTreeMap<&'static str, String> {
    let mut keys = BTreeMap::new();
    for profile in profiles {
        let written = || files.iter().filter_map(|file| file.profiles.get(profile));
        let inherits = written()
            .filter_map(|file| file.inherits.clone())
            .next_back();
        keys.extend(laid(files, &inherits.unwrap_or_default()));
        for file in written() {
            keys.extend(file.keys.clone());
        }
    }
    keys
}

/// A cap that may be absent; `None` where it is a part of what there is none of.
fn part(
    text: Option<String>,
    machine: u64,
    pool: Option<Limit>,
    user: Option<Limit>,
) -> Option<Option<Limit>> {
    match text {
        None => Some(None),
        Some(text) => share(&text, machine, pool, user).map(Some),
    }
}

fn share(text: &str, machine: u64, pool: Option<Limit>, user: Option<Limit>) -> Option<Limit> {
    let (number, of) = text.split_once('%').unwrap_or((text, "-"));
    let hundredths = |whole: u64| {
        let per_mille: u64 = match number {
            "12.5" => 125,
            whole => whole.parse::<u64>().unwrap() * 10,
        };
        (u128::from(whole) * u128::from(per_mille) / 1000) as u64
    };
    match (text, of) {
        ("infinity", _) => Some(Limit::Infinity),
        ("1G", _) => Some(Limit::Finite(1 << 30)),
        ("8G", _) => Some(Limit::Finite(8 << 30)),
        (number, "-") => Some(Limit::Finite(number.parse().unwrap())),
        (_, "" | " of machine") => Some(Limit::Finite(hundredths(machine))),
        (_, of) => match if of == " of pool" { pool } else { user }? {
            Limit::Infinity => Some(Limit::Infinity),
            Limit::Finite(whole) => Some(Limit::Finite(hundredths(whole))),
        },
    }
}

fn does_match(rule: &RuleText, login: &Login, roles: &[&str]) -> bool {
    let holds = |tests: &TestsText| -> Vec<bool> {
        let mut all = Vec::new();
        for (key, globs) in &tests.names {
            let groups = || login.groups.iter().map(|group| group.name.as_str());
            let at = login.at.map(|at| at.to_string()).unwrap_or_default();
            let names: Vec<&str> = match *key {
                "user" => vec![&login.user],
                "group" => groups().collect(),
                "primary_group" => groups().take(1).collect(),
                "host" => vec![&login.host],
                "role" => roles.to_vec(),
                "time" => vec![&at],
                "service" => vec![&login.service],
                "tty" => vec![&login.tty],
                "rhost" => vec![&login.rhost],
                "ruser" => vec![&login.ruser],
                other => panic!("{other}"),
            };
            let mut globs = globs.iter();
            all.push(globs.any(|nth| {
                let means = tested(key, *nth).1;
                names.iter().any(|name| means.contains(name))
            }));
        }
        if let Some((first, last)) = tests.uid {
            all.push((first..=last).contains(&login.uid));
        }
        all
    };
    let excepted = rule
        .except
        .as_ref()
        .is_some_and(|except| holds(except).contains(&true));
    !holds(&rule.tests).contains(&false) && !excepted
}

// Whether they are the same.

#[test]
fn every_login_gets_what_the_slow_and_obvious_way_gives_it() {
    // The same cases each time: a run that fails says something of the change, not of luck.
    let config = Config {
        cases: 1500,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
    let cases = (vec(file(), 1..4), vec(account(), 12));
    let ran = runner.run(&cases, |(mut files, logins)| {
        // Every profile is there, and a rule that matches nobody gives it to users: so no cap is one that can
        // never apply.
        for nth in 0..PROFILES.len() {
            files[0].profiles.entry(nth).or_default();
        }
        let all = RuleText {
            tests: TestsText {
                uid: Some((4_000_000_000, 4_000_000_000)),
                ..TestsText::default()
            },
            except: None,
            outcome: OutcomeText::Profiles(vec![0, 1, 2, 3], Some(0)),
        };
        files[0].rules.push(all);
        for nth in 0..POOLS.len() {
            files[0].pools.entry(nth).or_insert("8G");
        }
        // What would be a circle is cut: a profile inherits from those behind it.
        for (nth, profile) in files.iter_mut().flat_map(|file| &mut file.profiles) {
            if let Some(inherits) = &mut profile.inherits {
                inherits.retain(|below| below > nth);
            }
        }
        let written = Written::new(&text(0, &files[0]));
        let mut paths = vec![written.path()];
        for (nth, file) in files.iter().enumerate().skip(1) {
            let path = written.folder.join(format!("{nth}0-drop-in.toml"));
            std::fs::write(&path, text(nth, file)).unwrap();
            paths.push(path);
        }
        let checked = check_files(&paths, Trust::Anybody, None).unwrap();
        let Some(policy) = checked.policy else {
            // Nothing else may be wrong with such a policy.
            for diagnostic in &checked.diagnostics {
                let is_a_part = diagnostic.message.contains("which has none");
                prop_assert!(is_a_part, "{diagnostic}");
            }
            *counts.borrow_mut().entry("refused".into()).or_default() += 1;
            return Err(TestCaseError::reject("a part of a cap that nobody has"));
        };
        for login in &logins {
            let expected = meant(&files, login);
            let kind = format!("{expected:?}");
            let kind = kind.split(' ').next().unwrap_or_default().to_owned();
            *counts.borrow_mut().entry(kind).or_default() += 1;
            let decision = policy.decide(login, &machine());
            let came = match &decision {
                Err(_) => Meant::Nothing,
                Ok(decision) => match &decision.outcome {
                    Outcome::Exempt => Meant::Exempt,
                    Outcome::Deny { .. } => Meant::Deny,
                    Outcome::Berth(berth) => Meant::Berth {
                        profile: berth.profile.clone(),
                        pool: POOLS
                            .into_iter()
                            .find(|pool| decision.pool.as_deref() == Some(pool)),
                        memory: berth.user_caps.memory_max,
                        tasks: berth.user_caps.tasks_max,
                        session_tasks: berth.session_caps.tasks_max,
                        enforce: berth.enforce,
                        pid: berth.namespaces.pid,
                        linger: berth.logout.linger.map(|linger| linger.as_secs()),
                    },
                },
            };
            prop_assert_eq!(&came, &expected, "{:?}", login);
        }
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    let counts = counts.into_inner();
    for kind in ["Exempt", "Deny", "Berth"] {
        assert!(
            counts.get(kind).is_some_and(|count| *count > 100),
            "{counts:?}"
        );
    }
}
