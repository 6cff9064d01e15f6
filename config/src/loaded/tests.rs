//! Copies: that they say what the files say, and that damage is found out.

use super::*;
use crate::own_folder::Folder;
use crate::read;

/// The contents of a text, whether or not all of it is done yet.
fn policy(text: &str) -> Policy {
    let source = source::Source::new("policy.toml".into(), text.into());
    let mut names = read::Names::new();
    let file = read::read(&source, 0, read::Part::Main, &mut names);
    assert_eq!(file.findings, []);
    Policy::new(file.contents, read::listed(names), vec![Stamp::of(&source)])
}

fn file(text: &[u8]) -> std::fs::File {
    use std::io::Write;
    let folder = Folder::new();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(folder.join("copy"))
        .unwrap();
    file.write_all(text).unwrap();
    file
}

fn whole(text: &[u8]) -> Option<Policy> {
    decode(String::from_utf8(text.to_vec()).ok()?)
}

fn narrowed(text: &[u8], login: &Login) -> Option<Policy> {
    let unread = Copy::open(file(text), START).and_then(unread)?;
    unread.narrowed(login)
}

/// As the file would be read again, without the spans, which are not kept.
fn again(policy: &Policy) -> Policy {
    whole(encode(policy, UNIX_EPOCH).unwrap().as_bytes()).unwrap()
}

#[test]
fn a_copy_says_what_the_files_say() {
    let examples = ["lab", "tilde", "hpc"].map(|name| {
        let path = format!(
            "{}/../packaging/examples/{name}.toml",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read_to_string(path).unwrap()
    });
    let odd = r#"version = 1
[profile.a]
max_sessions = "infinity"
pool = "unset"
rlimits = { core = "unset", nice = -5, locks = "1:infinity" }
user = { memory_max = "unset", cpu_quota = "infinity", io_read_iops_max = { "/srv" = "infinity" } }
namespaces = { private_shm = false, private_tmp = false }
logout = { linger = "infinity" }
"#;
    for text in examples.iter().map(String::as_str).chain([odd]) {
        let policy = policy(text);
        let once = again(&policy);
        // Spans apart, which a copy has not, nothing may be lost.
        assert_eq!(again(&once).contents, once.contents);
        assert_eq!(
            serde_json::to_value(&once.contents).unwrap(),
            serde_json::to_value(&policy.contents).unwrap()
        );
        let merged = |policy: &Policy| {
            let names = policy.contents.profiles.keys();
            let merged = policy.contents.merged(names);
            (
                merged.keys.max_sessions.map(|setting| setting.value),
                merged.logout.linger.map(|setting| setting.value),
                merged.namespaces.private_shm.map(|setting| setting.value),
                merged.user.memory_max.map(|setting| setting.value),
                merged
                    .keys
                    .pool
                    .map(|setting| setting.value.map(|pool| pool.name)),
            )
        };
        assert_eq!(merged(&once), merged(&policy));
    }
}

/// Names in each key's test, and rules that have none.
const RULES: &str = r#"version = 1
[profile.a]
[[rule]]
user = ["alice", "bob"]
except = { service = "cron" }
profile = "a"
[[rule]]
user = "b*"
uid = [1001, 1002]
profile = "a"
[[rule]]
uid = ["1000-1999"]
group = "staff"
profile = "a"
[[rule]]
primary_group = "users"
group = ["staff", "guests"]
profile = "a"
[[rule]]
service = "cron"
profile = "a"
[[rule]]
group = ["staff", "g*"]
rhost = "10.0.0.0/8"
profile = "a"
[[expect]]
user = "alice"
profile = "a"
"#;

fn logins() -> Vec<Login> {
    let mut logins = Vec::new();
    for (user, uid) in [("alice", 1000), ("bob", 1001), ("carol", 1002), ("*", 5)] {
        for groups in [&["users"][..], &["staff", "users"], &["guests", ""], &[]] {
            for service in ["sshd", "cron"] {
                let groups = groups.iter().zip(0..);
                logins.push(Login {
                    user: user.into(),
                    uid,
                    gid: 0,
                    groups: groups
                        .map(|(name, gid)| crate::Group {
                            gid,
                            name: (*name).into(),
                        })
                        .collect(),
                    service: service.into(),
                    rhost: "10.1.2.3".into(),
                    ..Login::default()
                });
            }
        }
    }
    logins
}

/// The rules that decide, by their places.
fn decided(policy: &Policy, login: &Login) -> [Option<u32>; 2] {
    let ruling = policy.ruling(login);
    let line = |index: Option<usize>| policy.contents.rules.get(index?).map(|rule| rule.at.line);
    [line(ruling.login), line(ruling.user)]
}

#[test]
fn a_login_decides_by_the_few_rules_that_it_may_match() {
    let policy = policy(RULES);
    let text = encode(&policy, UNIX_EPOCH).unwrap();
    let mut left_out = 0;
    for login in logins() {
        let narrowed = narrowed(text.as_bytes(), &login).unwrap();
        assert_eq!(
            decided(&narrowed, &login),
            decided(&policy, &login),
            "{login:?}"
        );
        left_out += policy.contents.rules.len() - narrowed.contents.rules.len();
    }
    assert!(left_out > 0);
}

#[test]
fn of_many_rules_a_login_reads_its_own() {
    let mut text = String::from("version = 1\n[profile.a]\n");
    for number in 0..5000 {
        text += &format!("[[rule]]\nuser = \"u{number}\"\nprofile = \"a\"\n");
    }
    let policy = policy(&text);
    let text = encode(&policy, UNIX_EPOCH).unwrap();
    assert_eq!(whole(text.as_bytes()).unwrap().contents.rules.len(), 5000);
    for number in [0, 17, 4999] {
        let user = format!("u{number}");
        let login = Login {
            user,
            ..Login::default()
        };
        let narrowed = narrowed(text.as_bytes(), &login).unwrap();
        assert_eq!(narrowed.contents.rules.len(), 1);
        assert_eq!(decided(&narrowed, &login), decided(&policy, &login));
    }
}

#[test]
fn a_copy_of_another_format_is_none() {
    let text = encode(&policy(RULES), UNIX_EPOCH).unwrap();
    let other = text.replacen("\"format\":3", "\"format\":2", 1);
    assert!(other != text && whole(other.as_bytes()).is_none());
    // Which version wrote it, as some have said, is nothing to it.
    let other = text.replacen('{', "{\"version\":\"0.0.9\",", 1);
    assert!(whole(other.as_bytes()).is_some());
}

/// Every key.
const EVERY_KEY: &str = r#"version = 1
[defaults]
on_error = "allow"
missing_controller = "warn"
no_match = "deny"
frozen_login = "freeze"
contact = "help"
owner_uid_base = 1000000000
[exempt]
users = ["a"]
groups = ["b"]
uids = ["1-9", 20]
[host]
roles = ["c"]
[accounting]
file = "/var/log/x"
max_size = "1M"
keep = "1d"
journal = false
[everyone]
memory_low = "1G"
[time.t]
from = 2026-01-01T00:00:00
until = 2026-02-01T00:00:00
days = ["mon", "sun"]
hours = "22:00-07:00"
[penalty.q]
cpu_above = "50%"
memory_above = "1G"
window = "5min"
except = ["/usr/bin/*"]
steps = ["80%", "50%"]
step_time = "1h"
forget = "1d"
[pool.o]
memory_max = "25% of machine"
[profile.base]
[profile.p]
description = "d"
inherits = ["base"]
pool = "o"
enforce = false
on_error = "deny"
contact = "me"
notify = false
motd = true
max_sessions = 3
cgroup = "keep"
penalty = "q"
[profile.p.user]
memory_min = "10%"
memory_low = "50% of pool"
memory_high = "infinity"
memory_max = "unset"
memory_swap_max = 0
cpu_weight = "idle"
cpu_quota = "150%"
allowed_cpus = "0-3,8"
allowed_memory_nodes = "0"
tasks_max = 50
io_weight = 100
io_read_bandwidth_max = { "/a" = "1M" }
io_write_bandwidth_max = { "/b" = "infinity" }
io_read_iops_max = { "/c" = 5 }
io_write_iops_max = "unset"
[profile.p.session]
cpu_weight = 7
[profile.p.rlimits]
nofile = "10:20"
core = "infinity"
[profile.p.namespaces]
scope = "user"
user = "minimal"
pid = true
ipc = true
mount = true
uts = true
time = true
cgroup = true
net = true
private_tmp = "disk"
tmp_keep = ["x"]
private_shm = "1M"
propagation = "private"
user_manager = "hidden"
[profile.p.privileges]
no_new_privs = true
nested_userns = true
[profile.p.logout]
linger = "2h"
grace = "3s"
[[rule]]
name = "r"
profile = ["p"]
pool = "o"
user = "u*"
uid = ["1000-", 7]
group = "g"
primary_group = "h"
host = "i"
role = "c"
time = "t"
service = "sshd"
tty = "tty1"
rhost = ["10.0.0.0/8", "*.example.org", "::1"]
ruser = "v"
except = { user = "ux" }
[[rule]]
user = "w"
action = "deny"
message = "no"
[[expect]]
user = "u1"
uid = 1000
groups = ["g"]
primary_group = "h"
service = "sshd"
tty = "x"
rhost = "10.1.1.1"
ruser = "v"
host = "i"
role = ["c"]
at = 2026-01-05T23:00:00
profile = "p"
pool = "o"
action = "exempt"
"#;

/// What has another format is not read: an upgrade would put what is edited in force, reviewed or not.
#[test]
fn a_copy_that_would_be_read_otherwise_has_a_format_of_its_own() {
    let policy = policy(EVERY_KEY);
    let text = encode(&policy, UNIX_EPOCH).unwrap();
    let keys = crate::keys::known_keys();
    // A limit is as good as the next.
    for (table, keys) in keys
        .iter()
        .filter(|(table, _)| *table != "profile.P.rlimits")
    {
        for key in keys {
            let mut words = EVERY_KEY.split([' ', '\n', '[', ']', '.']);
            assert!(words.any(|word| word == *key), "{table}: {key} is missing");
        }
    }
    let layout = sha256(format!("{keys:?}\n{text}").as_bytes());
    assert_eq!(
        (copy::FORMAT, &layout[..16]),
        (3, "26e79702ba2b68d0"),
        "another layout needs another FORMAT: raise it"
    );
}

#[test]
fn no_damage_to_a_copy_changes_what_is_decided() {
    let policy = policy(RULES);
    let text = encode(&policy, UNIX_EPOCH).unwrap().into_bytes();
    let logins = logins();
    let damaged = |text: &[u8], at: usize| {
        if let Some(whole) = whole(text) {
            assert!(
                logins
                    .iter()
                    .all(|login| decided(&whole, login) == decided(&policy, login)),
                "{at}"
            );
        }
        for login in logins.iter().step_by(7) {
            if let Some(narrowed) = narrowed(text, login) {
                assert_eq!(decided(&narrowed, login), decided(&policy, login), "{at}");
            }
        }
    };
    let head = text.iter().position(|byte| *byte == b'\n').unwrap();
    assert!(whole(&text).is_some());
    for at in 0..text.len() {
        let mut broken = text.clone();
        broken[at] ^= 1;
        damaged(&broken, at);
        let in_rules = at > head && at < head + 100;
        assert!(!in_rules || whole(&broken).is_none(), "{at}");
    }
    for length in (0..text.len()).step_by(13) {
        damaged(&text[..length], length);
    }
    assert!(whole(&text[..text.len() / 2]).is_none() && whole(b"").is_none());
}

#[test]
fn a_page_that_an_older_policy_left_is_damage() {
    let copy = |profile: &str| {
        let text = format!(
            "version = 1\n[profile.a]\n[profile.b]\n[[rule]]\nuser = \"alice\"\nprofile = \"{profile}\"\n"
        );
        encode(&policy(&text), UNIX_EPOCH).unwrap()
    };
    let (new, old) = (copy("a"), copy("b"));
    let pages = new.find('\n').unwrap();
    assert_eq!(old.find('\n'), Some(pages));
    let mixed = new[..pages].to_owned() + &old[pages..];
    let alice = Login {
        user: "alice".into(),
        ..Login::default()
    };
    assert!(narrowed(new.as_bytes(), &alice).is_some());
    assert!(narrowed(mixed.as_bytes(), &alice).is_none() && whole(mixed.as_bytes()).is_none());
    // Nor does it say that it is of another time, or another policy.
    let later = new.replace("\"loaded\":0", "\"loaded\":9");
    assert!(later != new && whole(later.as_bytes()).is_none());
}
