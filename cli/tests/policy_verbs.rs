//! check, reload, diff and explain, by their output and exit codes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A system of its own: what `--root` names.
struct System {
    root: PathBuf,
}

impl System {
    fn new(policy: &str) -> System {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("berth-cli-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(root.join("etc/berth")).unwrap();
        let system = System { root };
        system.edit(policy);
        system
    }

    fn policy(&self) -> PathBuf {
        self.root.join("etc/berth/policy.toml")
    }

    fn edit(&self, policy: &str) {
        std::fs::write(self.policy(), policy).unwrap();
    }

    fn berth(&self, verb: &str, arguments: &[&str]) -> Ran {
        let root = self.root.to_str().unwrap();
        let mut all = vec![verb, "--root", root];
        all.extend(arguments);
        berth(&all)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn berth(arguments: &[&str]) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(arguments)
        .env_remove("SUDO_USER")
        .output()
        .unwrap();
    Ran {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// Files of anybody else's are refused.
#[track_caller]
fn needs_root() {
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(me, 0, "this test must be run by root");
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

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
    let object = json(&berth(&["check", "--json", path]).out);
    assert_eq!(object["version"], 1);
    assert_eq!(
        (&object["errors"], &object["warnings"]),
        (&0.into(), &1.into())
    );
    assert_eq!(object["diagnostics"][0]["place"]["column"], 10);
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
    let object = json(&berth(&["diff", "--json", "--user", "nobody", &old, &new]).out);
    assert_eq!(object["differing"][0]["user"], "nobody");
}

const EXPLAINED: &str = "version = 1
[exempt]
uids = [1]
[profile.base]
user = { memory_max = \"3G\", cpu_weight = 100 }
namespaces = { user = \"minimal\", pid = true, mount = true }
[profile.batch]
session = { tasks_max = 64, memory_max = \"50% of user\" }
[[rule]]
name = \"suspended\"
group = \"suspended\"
action = \"deny\"
message = \"See the front desk.\"
[[rule]]
name = \"jobs\"
service = [\"cron\", \"atd\"]
profile = [\"base\", \"batch\"]
[[rule]]
name = \"late\"
tty = \"tty*\"
action = \"deny\"
[[rule]]
group = \"nogroup\"
profile = \"base\"
[[rule]]
action = \"deny\"
";

#[test]
fn explain_tells_the_rules_and_where_each_value_is_from() {
    let system = System::new(EXPLAINED);
    let path = system.policy();
    let path = path.to_str().unwrap();
    let at = ["--host", "lab1", "--at", "2026-11-24T10:12:07"];
    let mut arguments = vec!["explain", "nobody", "--service", "cron", "--policy", path];
    arguments.extend(at);
    let ran = berth(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // What comes last is about this machine's kernel.
    let (told, _) = ran.out.rsplit_once("\n\n").unwrap();
    let expected = format!(
        "\
nobody (65534), groups nogroup; service cron; lab1, 2026-11-24 10:12:07
policy of {path}, not loaded

RULES
  -      suspended       policy.toml:9   group: not in suspended
  LOGIN  jobs            policy.toml:14  service cron
  -      late            policy.toml:18  passed over: tests tty
  USER   policy.toml:22  policy.toml:22  group nogroup
  1 later rule not reached

USER CAPS    base
  memory_max        3G                  policy.toml:5  profile base
  cpu_weight        100                 policy.toml:5  profile base

THIS LOGIN   base + batch
  session.memory_max  50% of user = 1.5G      policy.toml:8  profile batch
  session.tasks_max   64                      policy.toml:8  profile batch
  namespaces          user=minimal pid mount  policy.toml:6  profile base
  no_new_privs        true                    because user = \"minimal\"
  nested_userns       false                   because user = \"minimal\"
  user_manager        hidden                  because no_new_privs = true"
    );
    assert_eq!(told, expected);
    arguments.push("--json");
    let object = json(&berth(&arguments).out);
    assert_eq!(object["user_rule"], "policy.toml:22");
    assert_eq!(
        object["outcome"]["user_caps"]["memory_max"]["finite"],
        3_u64 << 30
    );
    assert_eq!(object["rules"][1]["verdict"], "login");
    assert_eq!(object["login"]["at"]["hour"], 10);
}

#[test]
fn explain_tells_who_is_denied_who_is_exempt_and_who_is_nobody() {
    let system = System::new(EXPLAINED);
    let path = system.policy();
    let path = path.to_str().unwrap();
    let ran = berth(&["explain", "root", "--policy", path]);
    assert!(
        ran.out
            .ends_with("EXEMPT       UID 0 always is\n\nBerth leaves root alone.\n"),
        "{}",
        ran.out
    );
    let ran = berth(&[
        "explain",
        "nobody",
        "--tty",
        "tty1",
        "--service",
        "login",
        "--policy",
        path,
    ]);
    assert!(ran.out.ends_with("\nTHIS LOGIN   denied\n"), "{}", ran.out);
    let ran = berth(&["explain", "no-such-user", "--policy", path]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("user \"no-such-user\" is not known here"),
        "{}",
        ran.err
    );
}

/// Runs berth with files of its own mounted on some of the machine's, and only for it.
fn with_files(system: &System, files: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut mounts = String::new();
    for (nth, (over, text)) in files.iter().enumerate() {
        let file = system.root.join(format!("over-{nth}"));
        std::fs::write(&file, text).unwrap();
        mounts.push_str(&format!("mount --bind {} {over} && ", file.display()));
    }
    let script = format!("{mounts} exec \"$@\"");
    let output = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_berth"),
        ])
        .args(arguments)
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn explain_tells_what_the_defaults_and_each_key_of_a_profile_come_to() {
    let system = System::new(
        "version = 1
[exempt]
uids = [1]
[defaults]
on_error = \"allow\"
contact = \"Help: help@example.edu\"
[profile.p]
on_error = \"deny\"
notify = false
motd = true
cgroup = \"keep\"
[[rule]]
profile = \"p\"
",
    );
    let path = system.policy();
    let ran = berth(&[
        "explain",
        "nobody",
        "--host",
        "lab1",
        "--policy",
        path.to_str().unwrap(),
    ]);
    let (_, told) = ran.out.split_once("\nTHIS LOGIN   p\n").unwrap();
    assert_eq!(
        told,
        "  on_error          deny                    policy.toml:8   profile p
  notify            false                   policy.toml:9   profile p
  motd              true                    policy.toml:10  profile p
  cgroup            keep                    policy.toml:11  profile p
  contact           Help: help@example.edu  policy.toml:6

lab1 enforces all of this.
"
    );
}

#[test]
fn explain_tells_which_namespaces_and_which_line_of_pam_this_machine_lacks() {
    needs_root();
    let system = System::new(
        "version = 1\n[exempt]\nuids = [1]\n[profile.p]\nnamespaces = { ipc = true, mount = true }\n\
         [[rule]]\nprofile = \"p\"\n",
    );
    let path = system.policy();
    let path = path.to_str().unwrap();
    let arguments = ["explain", "nobody", "--host", "lab1", "--policy", path];
    let limit = "/proc/sys/user/max_ipc_namespaces";
    let told = with_files(&system, &[(limit, "0\n")], &arguments).out;
    let lacks = "\nlab1 makes no IPC namespace, because user.max_ipc_namespaces is 0:\n\
                 the login is refused.\n";
    let lacks = lacks.replace("refused.", "refused (on_error = \"deny\").");
    assert!(told.ends_with(&lacks), "{told}");
    let told = with_files(&system, &[(limit, "7\n")], &arguments).out;
    assert!(told.ends_with("\nlab1 enforces all of this.\n"), "{told}");

    // A policy in force is for services that ask it.
    assert_eq!(system.berth("reload", &[]).code, Some(0));
    let root = system.root.to_str().unwrap();
    let su = [
        "explain",
        "--root",
        root,
        "nobody",
        "--host",
        "lab1",
        "--service",
        "su",
    ];
    let told = with_files(
        &system,
        &[("/etc/pam.d/su", "session required pam_unix.so\n")],
        &su,
    )
    .out;
    assert!(
        told.ends_with(
            "\nsu has no pam_berth in its PAM stack here, so its logins get nothing of this:\nberth pam enable su\n"
        ),
        "{told}"
    );
    let told = with_files(
        &system,
        &[("/etc/pam.d/su", "session required pam_berth.so open\n")],
        &su,
    )
    .out;
    assert!(told.ends_with("\nlab1 enforces all of this.\n"), "{told}");
}

#[test]
fn explain_takes_other_roles_than_the_machines() {
    let system = System::new(
        "version = 1\n[exempt]\nuids = [1]\n[host]\nroles = [\"lab\"]\n[[rule]]\nrole = \"login\"\naction = \"deny\"\n",
    );
    let path = system.policy();
    let path = path.to_str().unwrap();
    let denied = |more: &[&str]| {
        let mut arguments = vec!["explain", "nobody", "--policy", path];
        arguments.extend(more);
        berth(&arguments).out.ends_with("THIS LOGIN   denied\n")
    };
    assert!(!denied(&[]));
    assert!(denied(&["--role", "lab", "--role", "login"]));
    assert_eq!(berth(&["explain", "--role", "a b"]).code, Some(2));
}

#[test]
fn explain_tells_of_files_that_changed_or_came_since_the_reload() {
    needs_root();
    let system = System::new("version = 1\n[exempt]\nuids = [1]\n");
    assert_eq!(system.berth("reload", &[]).code, Some(0));
    let second = || {
        let out = system.berth("explain", &["nobody"]).out;
        out.lines().nth(1).unwrap().to_owned()
    };
    assert!(
        second().ends_with(", files unchanged since"),
        "{}",
        second()
    );
    let folder = system.root.join("etc/berth/policy.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("20-new.toml"), "").unwrap();
    let told = format!(
        "; edited since, not in force: {}/20-new.toml",
        folder.display()
    );
    assert!(second().ends_with(&told), "{}", second());
}

/// The cgroup controllers of this machine's cgroup v2 tree, as the kernel names them.
fn controllers() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let tree = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let folder = tree.split(' ').nth(4)?;
    std::fs::read_to_string(Path::new(folder).join("cgroup.controllers")).ok()
}

#[test]
fn explain_tells_what_becomes_of_a_login_whose_cap_this_machine_cannot_keep() {
    let offered = controllers().map(|all| all.split_whitespace().any(|one| one == "memory"));
    let last = |defaults: &str| {
        let system = System::new(&format!(
            "version = 1\n[exempt]\nuids = [1]\n[defaults]\n{defaults}\n\
             [profile.p]\nuser.memory_max = \"1G\"\n[[rule]]\nprofile = \"p\"\n"
        ));
        let path = system.policy();
        let path = path.to_str().unwrap();
        let ran = berth(&["explain", "nobody", "--host", "lab1", "--policy", path]);
        ran.out.trim_end().rsplit_once("\n\n").unwrap().1.to_owned()
    };
    for (defaults, then) in [
        ("", "the login is refused (missing_controller = \"deny\")."),
        (
            "on_error = \"allow\"",
            "the login gets no berth (missing_controller = \"deny\", on_error = \"allow\").",
        ),
        (
            "missing_controller = \"warn\"",
            "the login goes on without them (missing_controller = \"warn\").",
        ),
    ] {
        let expected = match offered {
            Some(true) => "lab1 enforces all of this.".to_owned(),
            Some(false) => format!(
                "lab1 does not offer the cgroup controllers memory, so it cannot keep their caps:\n{then}"
            ),
            None => "lab1 has no cgroup v2 mounted: it can keep no cap.".to_owned(),
        };
        assert_eq!(last(defaults), expected);
    }
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
    for verb in ["check", "edit", "reload", "diff", "explain"] {
        let ran = berth(&[verb, "--help"]);
        assert!(ran.out.contains("Exit status: 0"), "{verb}");
    }
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
    let users = &json(&ran.out)["users"];
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
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    let denied = &json(&ran.out)["users"]["denied"]["rule policy.toml:3"];
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
    let list = system.root.join("group");
    std::fs::write(&list, groups).unwrap();
    // The machine's own list stays as it is: the mount is in a namespace of its own.
    let script = format!(
        "mount --bind {} /etc/group && exec {} explain nobody --policy {} --json",
        list.display(),
        env!("CARGO_BIN_EXE_berth"),
        system.policy().display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let object = json(&String::from_utf8(output.stdout).unwrap());
    // nogroup, and the 400.
    assert_eq!(object["login"]["groups"].as_array().unwrap().len(), 401);
    assert_eq!(object["outcome"]["action"], "deny");
}
