//! check, reload and diff, by their output and exit codes.

mod system;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system::ran::somebody;
use system::{Ran, System, berth, needs_root, with_files};

const TWO_ERRORS: &str = "version = 1\n[profile.a]\nuser = { memory_maks = \"3G\" }\n[profile.b]\nuser = { tasks_max = 9 }\n[[rule]]\nservice = \"cron\"\nprofile = \"b\"\n";

#[test]
fn check_prints_errors_with_their_lines_and_what_stays_in_force() {
    needs_root();
    let system = System::new(TWO_ERRORS);
    let path = system.policy();
    let path = path.display();
    let ran = system.berth("check", &[]);
    let expected = format!(
        "{path}:3:10: error: unknown key `memory_maks`\n\
         \u{20}   3 | user = {{ memory_maks = \"3G\" }}\n\
         \u{20}     |          ^^^^^^^^^^^ did you mean `memory_max`?\n\
         {path}:5:1: error: these caps can never apply\n\
         \u{20}   5 | user = {{ tasks_max = 9 }}\n\
         \u{20}     | ^^^^ only policy.toml:6 selects `b`, and it tests `service`\n\
         \u{20}     = a user's caps never depend on the login: write `session = {{ ... }}`\n\
         2 errors; no policy is loaded\n"
    );
    assert_eq!(ran.out, expected);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""));

    system.edit("version = 1\n");
    assert_eq!(system.berth("reload", &[]).code, Some(0));
    system.edit(TWO_ERRORS);
    let out = system.berth("check", &[]).out;
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with("2 errors; the policy loaded on 20"),
        "{last}"
    );
    assert!(last.ends_with(" stays in force"), "{last}");
}

#[test]
fn check_of_a_file_reads_that_file_and_strict_minds_warnings() {
    let system = System::new("version = 1\n[profile.a]\n");
    let path = system.policy();
    let path = path.to_str().unwrap();
    let warned = format!(
        "{path}:2:10: warning: no rule uses profile `a`\n\
         \u{20}   2 | [profile.a]\n\
         \u{20}     |          ^\n\
         no errors in 0 rules and 1 profile, 1 warning\n"
    );
    let ran = berth(&["check", path]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), warned.as_str()));
    let ran = berth(&["check", "--strict", path]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), warned.as_str()));
    let object = berth(&["check", "--json", path]).json();
    assert_eq!(object["version"], 1);
    assert_eq!(
        (&object["errors"], &object["warnings"]),
        (&0.into(), &1.into())
    );
    assert_eq!(object["diagnostics"][0]["place"]["column"], 10);
}

#[test]
fn check_of_what_a_program_still_writes_waits_for_its_end() {
    let system = System::new("version = 1\n");
    let script = format!(
        "{{ sleep 0.3; cat {}; }} | {} check /dev/stdin",
        system.policy().display(),
        env!("CARGO_BIN_EXE_berth")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn reload_does_not_say_that_there_was_none_where_it_cannot_compare() {
    needs_root();
    let system = System::new("version = 1\n");
    let root = system.root.display();
    let berth = env!("CARGO_BIN_EXE_berth");
    let script = format!(
        "{berth} reload --root {root} >/dev/null; mount --bind /dev/null /proc/meminfo; exec {berth} reload --root {root}"
    );
    let ran = Ran::of(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = "how many users change is not known: this machine cannot be looked at\n";
    assert!(ran.out.ends_with(told), "{ran:?}");
}

/// As after an upgrade, which is no review of what somebody is editing.
#[test]
fn reload_if_unusable_loads_only_what_no_login_could_use_and_names_what_is_newer() {
    needs_root();
    let system = System::new("version = 1\n");
    system.berth("reload", &[]);
    let loaded = system.root.join("var/lib/berth/policy.json");
    let before = std::fs::read_to_string(&loaded).unwrap();
    let drop_in = system.root.write("etc/berth/policy.d/90-monday.toml", "");
    let if_unusable = || system.berth("reload", &["--if-unusable"]);
    // Nothing of the edited policy is even read.
    system.edit(TWO_ERRORS);
    let ran = if_unusable();
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
    assert_eq!(std::fs::read_to_string(&loaded).unwrap(), before);

    system.edit("version = 1\n");
    let passed_over = system.root.write("etc/berth/policy.d/README", "");
    let format = || {
        std::thread::sleep(Duration::from_millis(50)); // the kernel's clock for files has coarse ticks
        std::fs::write(&loaded, before.replace("\"format\":", "\"format\":9")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    };
    format();
    // What was copied with the time of the original.
    let mut touch = Command::new("touch");
    touch
        .args(["-d", "1 hour ago"])
        .args([&drop_in, &passed_over]);
    assert!(touch.status().unwrap().success());
    let ran = if_unusable();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = format!(
        "\nthe copy that was loaded before cannot be used here; newer than it, and in force now: {}\n",
        drop_in.display()
    );
    assert!(ran.out.ends_with(&told), "{ran:?}");
    format();
    std::fs::remove_file(&drop_in).unwrap();
    let told = format!(
        "; no file of the policy is newer than it; a file has come into {} or gone since\n",
        drop_in.parent().unwrap().display()
    );
    let ran = if_unusable();
    assert!(ran.out.ends_with(&told), "{ran:?}");
    let ran = if_unusable();
    assert_eq!((ran.code, &*ran.out), (Some(0), ""));
}

#[test]
fn reload_that_cannot_print_its_object_says_that_the_policy_is_in_force() {
    needs_root();
    let system = System::new("version = 1\n");
    let root = system.root.display();
    let berth = env!("CARGO_BIN_EXE_berth");
    let script = format!("exec {berth} reload --json --root {root} >/dev/full");
    let ran = Ran::of(Command::new("sh").args(["-c", &script]));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(system.root.join("var/lib/berth/policy.json").exists());
}

#[test]
fn reload_puts_no_policy_with_an_error_in_force() {
    needs_root();
    let system = System::new("version = 1\n");
    let ran = system.berth("reload", &[]);
    assert_eq!(
        ran.out,
        "loaded 0 rules and 0 profiles from 1 file\nno policy was loaded before\n"
    );
    let loaded = system.root.join("var/lib/berth/policy.json");
    let before = std::fs::read_to_string(&loaded).unwrap();
    system.edit(TWO_ERRORS);
    let ran = system.berth("reload", &[]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.out.contains("2 errors; the policy loaded on "),
        "{}",
        ran.out
    );
    assert_eq!(std::fs::read_to_string(&loaded).unwrap(), before);

    system.edit(
        "version = 1\n[exempt]\nuids = [1]\n[[rule]]\nuser = \"nobody\"\naction = \"deny\"\n",
    );
    let out = system.berth("reload", &[]).out;
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with("1 of ") && last.ends_with("users change"),
        "{last}"
    );
    let out = system.berth("reload", &[]).out;
    assert!(out.lines().last().unwrap().starts_with("0 of "), "{out}");
    let list = std::fs::read_to_string(system.root.join("var/lib/berth/exempt")).unwrap();
    assert!(list.ends_with("uid 1-1\n"), "{list}");
}

#[test]
fn diff_tells_what_changes_for_whom() {
    let system = System::new("");
    let write = |name: &str, text: &str| {
        let path = system.root.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let policy = |cap: &str, linger: &str| {
        format!(
            "version = 1\n[exempt]\nuids = [1]\n[profile.a]\nuser = {{ {cap} }}\nlogout = {{ linger = \"{linger}\" }}\n\
             [[rule]]\nuser = \"nobody\"\nprofile = \"a\"\n"
        )
    };
    let old = write("old.toml", &policy("memory_max = \"3G\"", "infinity"));
    let new = write(
        "new.toml",
        &policy("memory_max = \"4G\", tasks_max = 64", "12h"),
    );
    let same = write(
        "same.toml",
        &policy("memory_max = \"3072M\"", "infinity")
            .replace("[[rule]]", "# moved\n[[rule]]\nname = \"x\""),
    );
    let ran = berth(&["diff", "--user", "nobody", &old, &new]);
    assert_eq!(
        ran.out,
        "nobody (65534)\n  cron, login, sshd, su\n    user.memory_max: 3G -> 4G\n    linger: infinity -> 12h\n    \
         user.tasks_max: unset -> 64\n1 of 1 users differ\n"
    );
    assert_eq!(ran.code, Some(1));
    let ran = berth(&["diff", "--user", "nobody", &old, &same]);
    assert_eq!(
        (ran.out.as_str(), ran.code),
        ("0 of 1 users differ\n", Some(0))
    );
    let object = berth(&["diff", "--json", "--user", "nobody", &old, &new]).json();
    let penalty = "[penalty.hog]\ncpu_above = \"12.5%\"\nmemory_above = \"1G\"\nwindow = \"10min\"\nexcept = \"/usr/bin/make\"\n\
                   steps = [\"80%\", \"50%\"]\nstep_time = \"30min\"\nforget = \"3h\"\n[profile.a]\npenalty = \"hog\"\n";
    let watched = std::fs::read_to_string(&same).unwrap();
    let watched = write("watched.toml", &watched.replace("[profile.a]\n", penalty));
    let out = berth(&["diff", "--user", "nobody", &old, &watched]).out;
    let told = "penalty: unset -> hog: cpu above 12.5%, memory above 1G, over 10min; steps 80% 50% of 30min; \
                forgotten after 3h; not /usr/bin/make\n";
    assert!(out.contains(told), "{out}");
    assert_eq!(object["differing"][0]["user"], "nobody");
    let refusing = |tests: &str| {
        let rule = format!("[[rule]]\n{tests}\naction = \"deny\"\n[[rule]]");
        let text = std::fs::read_to_string(&same).unwrap();
        let new = write("refusing.toml", &text.replace("[[rule]]", &rule));
        berth(&["diff", "--user", "nobody", &same, &new]).out
    };
    // sshd's is known, and no other.
    let by_ssh = refusing("tty = \"ssh\"");
    assert!(
        by_ssh.starts_with("nobody (65534)\n  sshd\n    outcome: profile a -> deny\n"),
        "{by_ssh}"
    );
    let tests = "(rules test rhost, ruser, tty, time or a pattern of services: tried from nowhere, and now)";
    assert!(
        by_ssh.ends_with(&format!("1 of 1 users differ {tests}\n")),
        "{by_ssh}"
    );
    for test in ["rhost = \"*\"", "ruser = \"*\"", "service = \"vs*\""] {
        let out = refusing(test);
        assert_eq!(out, format!("0 of 1 users differ {tests}\n"));
    }
    assert_eq!(
        refusing("service = \"vsftpd\"\nuser = \"x\""),
        "0 of 1 users differ\n"
    );
}

#[test]
fn wrong_arguments_are_2_and_a_missing_policy_is_3() {
    assert_eq!(berth(&["explain", "--at", "noon"]).code, Some(2));
    assert_eq!(berth(&["chekc"]).code, Some(2));
    let missing = Path::new("/nowhere/policy.toml");
    let ran = berth(&["check", missing.to_str().unwrap()]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(
        ran.err,
        "berth: cannot read /nowhere/policy.toml: No such file or directory (os error 2)\n"
    );
}

/// Runs berth where the machine's lists of accounts are these, and only for it.
fn with_accounts(system: &System, users: &str, groups: &str, arguments: &[&str]) -> Ran {
    let lists = [
        ("/etc/passwd", users),
        ("/etc/group", groups),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
    ];
    with_files(system, &lists, arguments)
}

const USERS: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1001:100::/:/bin/sh\nbob:x:1002:100::/:/bin/sh\n\
                     carol:x:1003:100::/:/bin/sh\nalice:x:1009:101::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nusers:x:100:\nstaff:x:101:bob\nsuspended:x:102:carol\n";
const LANDING: &str = "version = 1
[pool.labs]
memory_max = \"50%\"
[profile.student]
[profile.staff]
[[rule]]
name = \"suspended\"
group = \"suspended\"
action = \"deny\"
[[rule]]
group = \"staff\"
profile = \"staff\"
[[rule]]
primary_group = \"users\"
profile = \"student\"
pool = \"labs\"
[[rule]]
user = \"bob\"
profile = \"staff\"
";

#[test]
fn check_of_all_users_tells_who_lands_where_and_which_rule_is_for_nobody() {
    needs_root();
    let system = System::new(LANDING);
    let path = system.policy();
    let path = path.to_str().unwrap();
    let ran = with_accounts(&system, USERS, GROUPS, &["check", "--users", path]);
    let (_, told) = ran.out.split_once("\n\n").unwrap();
    assert_eq!(
        told,
        "\
4 accounts, by what an ssh login of each gets:

PROFILE  POOL  USERS
staff    -         1
student  labs      1
exempt             1
denied             1

EXEMPT
  UID 0 always is: root

DENIED
  rule suspended: carol

RULES THAT MATCH NOBODY
  policy.toml:17  policy.toml:17  earlier rules match all whom it fits
"
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = with_accounts(
        &system,
        USERS,
        GROUPS,
        &["check", "--json", "--users", path],
    );
    let users = &ran.json()["users"];
    assert_eq!(users["accounts"], 4);
    assert_eq!(users["landings"][1]["pool"], "labs");
    assert_eq!(users["denied"]["rule suspended"][0], "carol");
    assert_eq!(users["unmatched"][0]["place"], "policy.toml:17");
}

#[test]
fn a_policy_that_cannot_be_worked_out_for_somebody_is_told_by_check_of_all_users() {
    needs_root();
    let policy =
        "version = 1\n[profile.p]\nuser = { allowed_cpus = \"4000\" }\n[[rule]]\nprofile = \"p\"\n";
    let system = System::new(policy);
    let path = system.policy();
    let arguments = ["check", "--users", path.to_str().unwrap()];
    let ran = with_accounts(&system, USERS, GROUPS, &arguments);
    assert!(
        ran.out
            .contains("\nNOT KNOWN HERE\n  policy.toml:3: allowed_cpus"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, Some(1));
}

#[test]
fn everybodys_groups_are_found_in_seconds_where_they_are_many() {
    needs_root();
    let system = System::new(
        "version = 1\n[profile.p]\n[[rule]]\ngroup = \"g199?\"\naction = \"deny\"\n[[rule]]\nprofile = \"p\"\n",
    );
    let (mut users, mut groups) = (String::new(), String::new());
    for nth in 0..20_000 {
        users.push_str(&format!("u{nth}:x:{}:100::/:/bin/sh\n", 100_000 + nth));
    }
    for nth in 0..2_000 {
        let members: Vec<_> = (0..20)
            .map(|member| format!("u{}", nth * 10 + member))
            .collect();
        groups.push_str(&format!(
            "g{nth}:x:{}:{}\n",
            200_000 + nth,
            members.join(",")
        ));
    }
    let path = system.policy();
    let begun = std::time::Instant::now();
    let arguments = ["check", "--users", "--json", path.to_str().unwrap()];
    let ran = with_accounts(&system, &users, &groups, &arguments);
    // One by one they took 20 s and more.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    let denied = &ran.json()["users"]["denied"]["rule policy.toml:3"];
    assert_eq!(denied.as_array().unwrap().len(), 100);
}

#[test]
fn a_user_in_400_groups_has_them_all() {
    needs_root();
    let system = System::new(
        "version = 1\n[exempt]\nuids = [1]\n[[rule]]\ngroup = \"many399\"\naction = \"deny\"\n",
    );
    let mut groups = std::fs::read_to_string("/etc/group").unwrap();
    for number in 0..400 {
        groups.push_str(&format!("many{number}:x:{}:nobody\n", 70_000 + number));
    }
    let path = system.policy();
    let arguments = [
        "explain",
        "nobody",
        "--json",
        "--policy",
        path.to_str().unwrap(),
    ];
    let ran = with_files(&system, &[("/etc/group", &groups)], &arguments);
    let object = ran.json();
    // nogroup, and the 400.
    assert_eq!(object["login"]["groups"].as_array().unwrap().len(), 401);
    assert_eq!(object["action"], "deny");
}

#[test]
fn pam_status_is_that_of_the_system_that_root_names() {
    let system = System::new("");
    let root = system.root.to_str().unwrap();
    let nothing = berth(&["pam", "status", "--root", root]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("no service there"), "{}", nothing.err);
    let pam = system.root.join("etc/pam.d");
    std::fs::create_dir(&pam).unwrap();
    std::fs::write(pam.join("login"), "session required pam_unix.so\n").unwrap();
    let ran = berth(&["pam", "status", "--root", root]);
    assert_eq!(ran.out, "SERVICE  PAM_BERTH\nlogin    disabled\n");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
}

#[test]
fn pam_status_says_what_becomes_of_a_login_whose_helper_gives_no_answer() {
    needs_root();
    let system = System::new("version = 1\n[defaults]\non_error = \"allow\"\n");
    let root = system.root.to_str().unwrap();
    let pam = system.root.join("etc/pam.d");
    std::fs::create_dir(&pam).unwrap();
    let lines = "account required pam_berth.so\nsession required pam_berth.so\n";
    std::fs::write(pam.join("login"), lines).unwrap();
    let says = |then: &str, word: &str| {
        let ran = berth(&["pam", "status", "--root", root]);
        let line = format!("A login whose helper gives no answer {then}.\n");
        assert!(ran.out.ends_with(&line), "{}", ran.out);
        let ran = berth(&["pam", "status", "--json", "--root", root]);
        assert_eq!(ran.json()["no_answer"], word);
    };
    says("is refused (on_error = \"deny\")", "deny");
    assert_eq!(system.berth("reload", &[]).code, Some(0));
    says("goes on without a berth (on_error = \"allow\")", "allow");
}

/// As where /var/lib/berth was lost: users look into it for what they get, and for this.
#[test]
fn a_reload_makes_folders_that_users_may_look_into_whatever_the_umask_is() {
    needs_root();
    let system = System::new("version = 1\n[defaults]\non_error = \"allow\"\n");
    let lines = "account required pam_berth.so\nsession required pam_berth.so\n";
    system.root.write("etc/pam.d/login", lines);
    let root = system.root.display();
    std::fs::set_permissions(&*system.root, Permissions::from_mode(0o755)).unwrap();
    let berth = env!("CARGO_BIN_EXE_berth");
    let script = format!("umask 077; exec {berth} reload --root {root}");
    Ran::of(Command::new("sh").args(["-c", &script])).ok();
    let folder = system.root.join("var/lib/berth");
    let status = || {
        let script = format!(
            "exec {} /proc/self/fd/9 pam status --root {root} 9<{berth}",
            somebody(65534)
        );
        Ran::of(Command::new("sh").args(["-c", &script])).ok()
    };
    assert!(status().contains("goes on without a berth (on_error = \"allow\")"));
    // What is not known is not said.
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    assert!(status().ends_with("does what only root may see here.\n"));
}

#[test]
fn a_policy_that_cannot_be_written_is_no_policy_with_an_error() {
    needs_root();
    let system = System::new("version = 1\n");
    let copy = system.root.join("var/lib/berth/policy.json");
    std::fs::create_dir_all(&copy).unwrap();
    let ran = system.berth("reload", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("policy.json"), "{}", ran.err);
    let output = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["edit", "--yes", "--root", system.root.to_str().unwrap()])
        .env("SUDO_EDITOR", "sed -i $a#more")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let path = system.policy();
    let expected = format!("{} is saved, and not in force\n", path.display());
    assert!(said.ends_with(&expected), "{said}");
}
