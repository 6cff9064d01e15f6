//! Copies: that they say what the files say, and that damage is found out.

use super::*;
use crate::own_folder::Folder;

/// The contents of a text, whether or not all of it is done yet.
fn policy(text: &str) -> Policy {
    let source = source::Source::new("policy.toml".into(), text.into());
    let mut names = Vec::new();
    let read = crate::read::read(&source, 0, crate::read::Part::Main, &mut names);
    assert_eq!(read.findings, []);
    Policy::new(read.contents, names, vec![Stamp::of(&source)])
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
fn a_copy_of_another_version_is_none() {
    let text = encode(&policy(RULES), UNIX_EPOCH).unwrap();
    for (from, to) in [
        (env!("CARGO_PKG_VERSION"), "99.0.0"),
        ("\"format\":3", "\"format\":2"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(
            whole(text.replacen(from, to, 1).as_bytes()).is_none(),
            "{from}"
        );
    }
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
