//! `--json` of each verb prints the keys that docs/commands.md says, and no others.

mod pretend;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use berth_config::{Exception, ExceptionFile, LocalTime, Places, Standing, Standings};
use serde_json::{Value, json};

use pretend::{Ran, Run, files, record, with_figures};

const DOCUMENT: &str = include_str!("../../docs/commands.md");

/// In force. On every machine there are root, daemon (1), bin (2) and nobody.
const POLICY: &str = r#"version = 1
[exempt]
uids = ["3-60000"]
[everyone]
memory_max = "90%"
[pool.labs]
tasks_max = 500
[penalty.hog]
cpu_above = "200%"
window = "10min"
steps = ["80%", "50%"]
step_time = "30min"
forget = "3h"
[profile.p]
pool = "labs"
penalty = "hog"
user = { memory_max = "3G" }
session = { tasks_max = 64 }
rlimits = { nofile = 1024 }
[profile.nowhere]
user = { allowed_cpus = "4095" }
[[rule]]
user = "daemon"
action = "deny"
[[rule]]
user = "bin"
profile = "nowhere"
[[rule]]
profile = "p"
[[rule]]
user = "nobody"
action = "deny"
"#;

/// A helper that has changed a cap, and left another.
const HELPER: &str = r#"#!/bin/sh
echo '[{"whose":{"user":{"name":"alice","uid":4000001}},
    "changes":[{"cap":"memory_max","file":"memory.max","from":"max","to":"4096"}],
    "left":[{"cap":"memory_high","reason":"in use"}],"notes":["x"]}]'
"#;

const LOG: &str =
    "2026-11-24T10:00:00+01:00 lab1 berth[1]: cap session=12 user=alice cap=tasks_max\n";

/// The block of the document, and the command that prints all its keys, and no others: `berth` and `own` run the program
/// with `--json`, `own` as alice. It is typed in a folder with files.
const RUNS: &[(&str, &str)] = &[
    ("check", "echo 'version = 2' | berth check /dev/stdin"),
    ("check --users", "berth check --users policy.toml"),
    ("reload", "berth reload --root root"),
    (
        "diff",
        "sed s/3G/4G/ policy.toml | berth diff --user nobody policy.toml /dev/stdin",
    ),
    (
        "explain",
        "unit=/run/systemd/system/user-pool_labs-65534.slice.d; mkdir -p $unit; \
         printf '[Slice]\nMemoryHigh=1G\n' >$unit/60-x.conf; berth explain 15",
    ),
    ("list", "berth list"),
    ("list --users", "berth list --users"),
    ("list --pools", "berth list --pools"),
    ("own list", "own list"),
    ("own list --users", "own list --users"),
    ("show 12", "berth show 12"),
    ("show alice", "berth show alice"),
    ("show pool:cs101", "berth show pool:cs101"),
    ("show profile:student", "berth show profile:student"),
    ("own show", "own show"),
    ("own show 12", "own show 12"),
    ("top", "berth top -d 0.1"),
    ("top --sessions", "berth top -d 0.1 --sessions"),
    ("top --pools", "berth top -d 0.1 --pools"),
    ("log", "berth log --file events"),
    (
        "log --follow",
        "mkfifo /run/f; /run/berth-program log --follow --json --file events >/run/f & head -n 1 /run/f; kill $!",
    ),
    ("report", "berth report --file ended"),
    ("kill", "berth kill profile:ends --yes --grace 0s"),
    (
        "kill --signal",
        "berth kill profile:ends --yes --signal CONT",
    ),
    ("freeze", "berth freeze dave"),
    ("thaw", "berth thaw dave"),
    ("apply", "berth apply --helper ./helper"),
    (
        "set",
        "berth set nobody tasks_max=9 --for 1h --helper ./helper",
    ),
    ("unset", "berth unset nobody tasks_max --helper ./helper"),
    ("pam status", "berth pam status --root root"),
    ("doctor", "berth doctor"),
];

#[test]
fn every_verb_prints_the_keys_that_the_document_says_and_no_others() {
    let run = machine();
    let blocks = blocks();
    let mut wrong = Vec::new();
    for (name, command) in RUNS {
        let Some(block) = blocks.get(name) else {
            wrong.push(format!("{name}: the document has no such block"));
            continue;
        };
        let mut written = Keys::default();
        written.read(block, "", &blocks);
        let ran = typed(&run, command);
        let mut printed = Keys {
            vary: written.vary.clone(),
            ..Keys::default()
        };
        printed.read(&ran.json(), "", &BTreeMap::new());
        for key in written.keys.difference(&printed.keys) {
            let said = &ran.err;
            wrong.push(format!(
                "{name}: `{key}` is written, and not printed; {said}"
            ));
        }
        for key in printed.keys.difference(&written.keys) {
            wrong.push(format!("{name}: `{key}` is printed, and not written"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_verb_that_has_json_and_every_block_of_the_document_is_run() {
    let run = Run::new();
    let verbs = DOCUMENT.split("\n## `berth ").skip(1);
    let verbs = verbs.filter_map(|text| text.split([' ', '`']).next());
    let of_pam = ["pam status", "pam enable", "pam disable"];
    for verb in verbs.chain(of_pam) {
        let help = run.berth("", &format!("{verb} --help")).ok();
        let runs = RUNS.iter().any(|(name, _)| name.starts_with(verb));
        // Only what is below it may have it.
        assert_eq!(help.contains("--json"), runs && verb != "pam", "{verb}");
    }
    let parts = DOCUMENT.split("\"...\": \"").skip(1);
    let mut used: BTreeSet<&str> = parts.filter_map(|text| text.split('"').next()).collect();
    used.extend(RUNS.iter().map(|(name, _)| *name));
    assert_eq!(blocks().into_keys().collect::<BTreeSet<_>>(), used);
}

/// The examples of the document, by what stands beside the fence.
fn blocks() -> BTreeMap<&'static str, Value> {
    let blocks = DOCUMENT.split("\n```json ").skip(1);
    let block = |text: &'static str| {
        let (name, rest) = text.split_once('\n').unwrap();
        let example = rest.split("\n```").next().unwrap();
        let example = serde_json::from_str(example).unwrap_or_else(|why| panic!("{name}: {why}"));
        (name, example)
    };
    blocks.map(block).collect()
}

/// The keys of an object and of all below it.
#[derive(Default)]
struct Keys {
    keys: BTreeSet<String>,
    /// Below these any key may stand.
    vary: BTreeSet<String>,
}

impl Keys {
    fn read(&mut self, value: &Value, below: &str, blocks: &BTreeMap<&str, Value>) {
        match value {
            Value::Array(all) => all.iter().for_each(|one| self.read(one, below, blocks)),
            Value::Object(object) => {
                for (key, value) in object {
                    if let ("...", Some(name)) = (key.as_str(), value.as_str()) {
                        self.read(&blocks[name], below, blocks);
                        continue;
                    }
                    if key.chars().all(|c| c.is_ascii_uppercase()) {
                        self.vary.insert(below.into());
                    }
                    let key = match self.vary.contains(below) {
                        true => "*",
                        false => key,
                    };
                    let key = format!("{below}.{key}");
                    self.read(value, &key, blocks);
                    self.keys.insert(key);
                }
            }
            _ => {}
        }
    }
}

/// What a command prints where the policy is in force.
fn typed(run: &Run, command: &str) -> Ran {
    let folder = run.sessions.with_file_name("");
    Ran::of(&mut run.shell(&format!(
        "cd {}; mount --bind root/var/lib /var/lib; cp -r standings /run/berth-standings; mkdir -p /run/berth/users/20; \
         touch /run/berth/users/20/berth-20; berth() {{ /run/berth-program \"$@\" --json; }}; \
         own() {{ setpriv --reuid=4000001 --regid=4000001 --clear-groups /run/berth-program \"$@\" --json; }}; {command}",
        folder.display()
    )))
}

/// Sessions of all kinds, and what there is of users and sessions besides.
fn machine() -> Run {
    let run = with_figures();
    run.loaded(POLICY);
    let mut nobodys = record(15, "nobody", 65_534, 60);
    nobodys["service"] = "login".into();
    run.write(15, &nobodys);
    let mut frozen = files(0, 0, 1);
    frozen.retain(|(name, _)| *name != "cgroup.events");
    frozen.push(("cgroup.events", "populated 1\nfrozen 1\n".into()));
    run.session(16, "dave", 4_000_003, &frozen);
    // The first has made the berth that the second shares; the others have no keeper, and what one has left cannot go.
    run.session(23, "erin", 23, &files(0, 0, 1));
    for (id, profile) in [(20, "ends"), (21, "stays"), (22, "ends"), (23, "ends")] {
        let mut ends = record(id, "erin", if id == 23 { 23 } else { 20 }, 60);
        ends["profile"] = profile.into();
        match id {
            20 | 21 => ends["init"] = json!({ "pid": i32::MAX, "start": 1 }),
            _ => ends["keeper"]["start"] = 1.into(),
        }
        if id == 23 {
            ends["cgroup"] = "berth/user-23/sessions/23".into();
        }
        run.write(id, &ends);
    }

    let folder = run.sessions.with_file_name("");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("policy.toml", POLICY);
    write("helper", HELPER);
    fs::set_permissions(folder.join("helper"), fs::Permissions::from_mode(0o755)).unwrap();
    write("events", LOG);
    let now = LocalTime::rfc3339(SystemTime::now()).unwrap();
    run.log(&LOG.replace("2026-11-24T10:00:00+01:00", &now));
    let ended = json!({
        "session": 99, "user": "eve", "uid": 4_000_009, "service": "sshd", "tty": "", "rhost": "", "profile": "student",
        "pool": null, "start": now, "end": now, "seconds": 0
    });
    write("ended", &format!("{ended}\n"));
    let pam = run.root().join("etc/pam.d");
    fs::create_dir(&pam).unwrap();
    fs::write(pam.join("login"), "session required pam_unix.so\n").unwrap();

    let places = Places::under(&run.root());
    let exception = |user: &str, key: &str, value: &str| Exception {
        user: Some(user.into()),
        key: key.into(),
        value: value.into(),
        until: 4_000_000_000,
        by: "root".into(),
        reason: None,
        is_taken_back: false,
    };
    let write = |uid, all: &[Exception]| ExceptionFile::of(&places, uid).write(all).unwrap();
    ExceptionFile::folder(&places).unwrap();
    write(4_000_001, &[exception("alice", "tasks_max", "512")]);
    let both = [
        exception("nobody", "memory_max", "\"8G\""),
        exception("nobody", "tasks_max", "64"),
    ];
    write(65_534, &both);
    let standing = pretend::standing();
    fs::create_dir(folder.join("standings")).unwrap();
    // By no name service.
    let own = Standing {
        user: "4000001".into(),
        ..standing.clone()
    };
    let to_alice = serde_json::to_string(&own).unwrap();
    fs::write(folder.join("standings/4000001"), to_alice).unwrap();
    let users = BTreeMap::from([(4_000_001, standing)]);
    Standings { users }.write(&places).unwrap();
    run
}
