//! A round of penalties (`berth apply --due`), with a helper that is a script.

mod pretend;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::value::Percent;
use berth_config::{Exception, ExceptionFile, Places, Standing, Standings};
use pretend::{Ran, Run, files, record};

/// It has no penalty.
const POLICY: &str = "version = 1\n[profile.p]\nuser = { tasks_max = 64 }\n\
                      [[rule]]\nuser = \"nobody\"\nprofile = \"p\"\n";

const ALICE: u32 = 4_000_001;
const BOB: u32 = 4_000_002;

/// Since now and for an hour.
fn standing(user: &str) -> Standing {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Standing {
        user: user.into(),
        penalty: "hog".into(),
        step: 1,
        steps: 2,
        share: Percent::parse("50%").unwrap(),
        since: now.as_secs(),
        until: now.as_secs() + 3600,
        forgotten: now.as_secs() + 7200,
        is_over: false,
    }
}

/// A round on a machine with this policy; the helper is a script. How it ended, and what the helper was asked.
fn round(run: &Run, script: &str) -> (Ran, String) {
    let (helper, asked) = helper(run, script);
    let ran = run.under(POLICY, &format!("apply --due --helper {helper}"));
    (ran, fs::read_to_string(asked).unwrap())
}

/// Writes the helper; and the file in which it writes what it was asked.
fn helper(run: &Run, script: &str) -> (String, PathBuf) {
    let [helper, asked] = ["helper", "asked"].map(|name| run.sessions.with_file_name(name));
    fs::write(&asked, "").unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\n{script}\n", asked.display());
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    (helper.display().to_string(), asked)
}

/// Runs a shell command where a policy is in force; `$due` is a round there. What the helper was asked.
#[track_caller]
fn shell(run: &Run, policy: &str, command: &str) -> String {
    run.loaded(policy);
    let root = run.sessions.with_file_name("root");
    let (helper, asked) = helper(run, "echo '[]'");
    let command = format!(
        "mount --bind {}/var/lib /var/lib; due='/run/berth-program apply --due --helper {helper}'; {command}",
        root.display()
    );
    let output = run.shell(&command).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::read_to_string(asked).unwrap()
}

#[test]
fn a_quota_that_cannot_be_given_back_at_once_is_later_and_keeps_nobody_elses() {
    let run = Run::new();
    let places = Places::under(&run.sessions.with_file_name("root"));
    let users = BTreeMap::from([(ALICE, standing("alice")), (BOB, standing("bob"))]);
    Standings { users }.write(&places).unwrap();
    let fails = format!("case \"$*\" in *--uid={ALICE}*) echo busy >&2; exit 1;; esac; echo '[]'");
    let (ran, asked) = round(&run, &fails);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(1), "berth: busy\n"),
        "{ran:?}"
    );
    assert!(asked.contains(&format!("--uid={BOB}")), "{asked}");

    let (ran, asked) = round(&run, "echo '[]'");
    assert_eq!((ran.code, ran.out + &ran.err), (Some(0), String::new()));
    assert!(asked.contains(&format!("--uid={ALICE}")), "{asked}");
    let users = Standings::read(&places).unwrap().users;
    assert!(users.values().all(|standing| standing.is_over), "{users:?}");
}

#[test]
fn a_file_that_can_be_put_right_costs_nobody_their_step_and_a_damaged_one_is_kept() {
    let run = Run::new();
    let places = Places::under(&run.root());
    let users = BTreeMap::from([(ALICE, standing("alice"))]);
    Standings { users }.write(&places).unwrap();
    let file = &places.penalties;
    let whole = fs::read_to_string(file).unwrap();
    let chmod = |mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    let later = whole.replace("{\"format\":2", "{\"format\":3");
    for (mode, text, why) in [
        (0o664, &whole, "penalties is not used: "),
        (0o600, &later, "penalties is of another version of Berth: "),
    ] {
        chmod(mode);
        fs::write(file, text).unwrap();
        let (ran, _) = round(&run, "echo '[]'");
        assert!(ran.code == Some(1) && ran.err.contains(why), "{ran:?}");
        assert_eq!(fs::read_to_string(file).unwrap(), *text);
    }
    fs::write(file, &whole[..99]).unwrap();
    let (ran, asked) = round(&run, "echo '[]'");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("penalties is damaged: "), "{ran:?}");
    assert!(!file.exists() && !asked.contains("--uid"), "{asked}");
    let kept = fs::read_to_string(file.with_extension("damaged"));
    assert_eq!(kept.unwrap(), whole[..99]);
}

#[test]
fn a_penalty_is_forgiven_whatever_the_helper_does_and_a_file_of_exceptions_says() {
    let run = Run::new();
    let places = Places::under(&run.root());
    let users = BTreeMap::from([(ALICE, standing("alice"))]);
    Standings { users }.write(&places).unwrap();
    fs::create_dir(&places.exceptions).unwrap();
    fs::write(places.exceptions.join(ALICE.to_string()), "damaged").unwrap();
    let (helper, _) = helper(&run, "echo busy >&2; exit 1");
    let ran = run.under(POLICY, &format!("unset {ALICE} penalty --helper {helper}"));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let left = "berth: left alice: the helper failed; `berth apply` tries again\n";
    assert!(ran.err.contains("berth: busy\n"), "{ran:?}");
    assert!(ran.err.ends_with(left), "{ran:?}");
    assert!(ran.out.contains("the penalty is forgiven"), "{ran:?}");
    assert!(Standings::read(&places).unwrap().users.is_empty());
}

#[test]
fn who_is_forgiven_is_told_as_the_policy_says() {
    let nobody = 65_534;
    let said = |profile: &str| {
        let run = Run::new();
        run.write(12, &record(12, "nobody", nobody, 60));
        let users = BTreeMap::from([(nobody, standing("nobody"))]);
        Standings { users }
            .write(&Places::under(&run.root()))
            .unwrap();
        let policy = format!(
            "version = 1\nexempt.uids = [1]\n[penalty.hog]\ncpu_above = \"200%\"\nwindow = \"10min\"\n\
             steps = [\"50%\"]\nstep_time = \"1h\"\nforget = \"3h\"\n[profile.p]\npenalty = \"hog\"\n{profile}\n\
             [[rule]]\nprofile = \"p\"\n"
        );
        let helper = run.sessions.with_file_name("helper");
        let command = format!(
            "mkdir -p /run/berth/users/{nobody}; touch /run/berth/users/{nobody}/12; \
             /run/berth-program unset nobody penalty --helper {}",
            helper.display()
        );
        let asked = shell(&run, &policy, &command);
        let text = asked.split_once("--say=").map(|(_, text)| text.to_owned());
        text.map(|text| text.trim_end().to_owned())
    };
    let over = "berth: penalty hog is over: your cpu_quota is whole again";
    assert_eq!(said("").as_deref(), Some(over));
    let help = format!("{over}. Help: help@example.org");
    assert_eq!(said("contact = \"help@example.org\""), Some(help));
    assert_eq!(said("notify = false"), None);
    assert_eq!(said("enforce = false"), None);
}

#[test]
fn what_a_round_waits_for_another_is_no_clock_that_was_set() {
    let run = Run::new();
    let places = Places::under(&run.sessions.with_file_name("root"));
    let before = standing("alice");
    let users = BTreeMap::from([(ALICE, before.clone())]);
    Standings { users }.write(&places).unwrap();
    let lock = "flock /run/berth-penalties.lock sh -c 'touch /run/held; sleep 8' &
                until test -e /run/held; do sleep 0.02; done";
    shell(&run, POLICY, &format!("$due; {lock}; $due"));
    let after = &Standings::read(&places).unwrap().users[&ALICE];
    assert_eq!(after.until, before.until);
}

#[test]
fn a_penalty_is_not_for_who_has_its_users_uid_after_them() {
    let run = Run::new();
    let places = Places::under(&run.root());
    let gone = Standing {
        user: "no-such-alice".into(),
        ..standing("")
    };
    let users = BTreeMap::from([(1, gone), (2, standing("bin"))]);
    Standings { users }.write(&places).unwrap();
    let mut watched = String::new();
    for (uid, user) in [(1, "daemon"), (2, "bin")] {
        run.write(uid.into(), &record(uid.into(), user, uid, 60));
        watched +=
            &format!("mkdir -p /run/berth/users/{uid}; touch /run/berth/users/{uid}/{uid}; ");
    }
    let policy = "version = 1\n[exempt]\nuids = [3]\n[penalty.hog]\ncpu_above = \"1%\"\nwindow = \"1min\"\nsteps = [\"50%\"]\n\
                  step_time = \"1h\"\nforget = \"1h\"\n[profile.p]\npenalty = \"hog\"\n\
                  [[rule]]\nuser = [\"daemon\", \"bin\"]\nprofile = \"p\"\n";
    shell(&run, policy, &format!("{watched}$due"));
    let left = Standings::read(&places).unwrap().users;
    assert_eq!(left.keys().collect::<Vec<_>>(), [&2]);
    assert!(!left[&2].is_over, "{left:?}");
}

#[test]
fn a_clock_that_is_years_ahead_ends_no_exception_for_good() {
    let run = Run::new();
    let places = Places::under(&run.root());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    ExceptionFile::folder(&places).unwrap();
    // As the clock has it, one has just ended, and the other 40 years ago.
    let of = |uid| ExceptionFile::of(&places, uid);
    for (uid, until) in [
        (ALICE, now.as_secs() - 60),
        (BOB, now.as_secs() - (40 << 25)),
    ] {
        let exception = Exception {
            user: None,
            key: "tasks_max".into(),
            value: "512".into(),
            until,
            by: "root".into(),
            reason: None,
            is_taken_back: false,
        };
        of(uid).write(&[exception]).unwrap();
    }
    let asked = shell(&run, POLICY, "$due; $due; $due");
    // One whose clock was years behind when it was made is of no other look, and its caps go. Once: it stays for ever.
    for uid in [ALICE, BOB] {
        let of_them = asked.matches(&format!("--uid={uid}")).count();
        assert_eq!(of_them, 1, "{asked}");
    }
    assert_eq!(of(ALICE).read().unwrap(), []);
    // And once for each time that the clock is right and then wrong again.
    let mut kept = of(BOB).read().unwrap();
    kept[0].until += 80 << 25;
    of(BOB).write(&kept).unwrap();
    let asked = shell(&run, POLICY, "$due; $due");
    assert_eq!(asked.matches("--uid=").count(), 1, "{asked}");
    let [one] = &of(BOB).read().unwrap()[..] else {
        panic!("it is not kept");
    };
    assert!(!one.is_taken_back);
}

#[test]
fn a_round_that_hangs_has_no_other_behind_it() {
    let run = Run::new();
    let lock = "flock /run/berth-penalties.lock sh -c 'touch /run/held; until test -e /run/go; do sleep 0.02; done' &
                until test -e /run/held; do sleep 0.02; done";
    let policy = "version = 1\n[penalty.hog]\ncpu_above = \"1%\"\nwindow = \"1min\"\nsteps = [\"50%\"]\n\
                  step_time = \"1h\"\nforget = \"1h\"\n[profile.p]\npenalty = \"hog\"\n\
                  [[rule]]\nuser = \"nobody\"\nprofile = \"p\"\n";
    let hangs = "i=0; until grep -q \":$(stat -c %i /run/berth-due.lock || echo none) \" /proc/locks; do sleep 0.02; i=$((i + 1)); test $i -lt 1000; done";
    let command = format!(
        "trap 'touch /run/go' EXIT; {lock}; $due & {hangs}; echo berth: before > /run/berth-due-wrong; \
         timeout 60 $due; grep -q before /run/berth-due-wrong; timeout 60 $due --json | grep -q applied; \
         touch /run/go; wait; timeout 60 $due; ! test -e /run/berth-due-wrong"
    );
    shell(&run, policy, &command);
}

#[test]
fn caps_of_who_has_gone_are_taken_back_before_anybody_is_asked_who_users_are() {
    let run = Run::new();
    let mark = format!("/run/berth/users/{ALICE}/goes-on");
    // The helper would wait for a directory of users that does not answer.
    let (helper, asked) = helper(&run, &format!("ls {mark} >&2; echo '[]'"));
    let policy = "version = 1\n[time.long-ago]\nfrom = 2001-01-01T00:00:00\nuntil = 2001-01-02T00:00:00\n[profile.p]\n\
                  [[rule]]\ntime = \"long-ago\"\nprofile = \"p\"\n";
    run.loaded(policy);
    let command = format!(
        "mount --bind {}/var/lib /var/lib; mkdir -p $(dirname {mark}); touch {mark}; \
         /run/berth-program apply --due --helper {helper}; ! test -e {mark}",
        run.root().display()
    );
    let ran = Ran::of(&mut run.shell(&command));
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    assert!(fs::read_to_string(asked).unwrap().contains("--by=time"));
}

#[test]
fn a_round_looks_once_which_pools_there_are() {
    const WATCHED: [(u32, &str); 3] = [(1, "daemon"), (2, "bin"), (65_534, "nobody")];
    let run = Run::new();
    let mut users = String::new();
    for (uid, user) in WATCHED {
        let slice = format!("user.slice/user-{uid}.slice");
        let files = files(1_000_000, 1 << 20, 3);
        let files = files.iter().map(|(name, text)| (*name, text.as_str()));
        run.cgroup(&slice, &files.collect::<Vec<_>>());
        run.write(uid.into(), &record(uid.into(), user, uid, 60));
        users += &format!("mkdir -p /run/berth/users/{uid}; touch /run/berth/users/{uid}/{uid}; ");
    }
    let policy = "version = 1\n[exempt]\nuids = [3]\n[penalty.hog]\ncpu_above = \"1%\"\nwindow = \"1min\"\nsteps = [\"50%\"]\n\
                  step_time = \"1h\"\nforget = \"1h\"\n[profile.p]\npenalty = \"hog\"\n\
                  [[rule]]\nuser = [\"daemon\", \"bin\", \"nobody\"]\nprofile = \"p\"\n";
    let looks = run.sessions.with_file_name("looks");
    let command = format!(
        "mkdir -p /run/systemd/system; {users} strace -f -qq -e trace=openat -o {} $due; \
         grep -q '\"1\":{{' /run/berth-penalties",
        looks.display()
    );
    shell(&run, policy, &command);
    let looks = fs::read_to_string(looks).unwrap();
    let looks: Vec<_> = looks
        .lines()
        .filter(|look| look.contains("/user.slice\""))
        .collect();
    assert_eq!(looks.len(), 1, "{looks:?}");
}

#[test]
fn a_window_goes_on_while_nobody_can_say_who_its_user_is() {
    let run = Run::new();
    run.write(1, &record(1, "daemon", 1, 60));
    let slice = "user.slice/user-1.slice";
    let figures = files(1_000_000, 1 << 20, 3);
    let figures = figures.iter().map(|(name, text)| (*name, text.as_str()));
    run.cgroup(slice, &figures.collect::<Vec<_>>());
    let policy = "version = 1\n[exempt]\nuids = [3]\n[penalty.hog]\ncpu_above = \"1%\"\nwindow = \"1min\"\nsteps = [\"50%\"]\n\
                  step_time = \"1h\"\nforget = \"1h\"\n[profile.p]\npenalty = \"hog\"\n\
                  [[rule]]\nuid = 1\nprofile = \"p\"\n";
    let kept = "grep -q '\"1\":{' /run/berth-penalties";
    let command = format!(
        "mkdir -p /run/systemd/system /run/berth/users/1; touch /run/berth/users/1/1; $due; {kept}; \
         mount --bind /dev/null /etc/passwd; $due; {kept}; \
         mv /run/berth/users /run/berth/before; touch /run/berth/users; ! $due; {kept}"
    );
    shell(&run, policy, &command);
}
