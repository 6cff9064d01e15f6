//! explain, by its output and exit codes.

mod system;

use std::path::Path;

use serde_json::json;
use system::ran::somebody;
use system::{Ran, System, berth, needs_root, with_files};

const EXPLAINED: &str = "version = 1
[exempt]
uids = [1]
[profile.base]
user = { memory_max = \"3G\", cpu_weight = 100 }
namespaces = { user = \"minimal\", pid = true, mount = true }
penalty = \"hog\"
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
[penalty.hog]
cpu_above = \"200%\"
window = \"10min\"
steps = [\"80%\", \"50%\"]
step_time = \"30min\"
forget = \"3h\"
";

#[test]
fn windows_of_time_are_in_the_machines_time_and_not_in_the_callers() {
    let halves = "version = 1
exempt.uids = [1]
[time.morning]
hours = \"00:00-12:00\"
[profile.p]
[[rule]]
name = \"morning\"
time = \"morning\"
profile = \"p\"
[[rule]]
name = \"afternoon\"
profile = \"p\"
";
    let system = System::new(halves);
    // Twelve hours apart.
    let rules = ["UTC-6", "UTC+6"].map(|zone| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_berth"));
        command
            .args(["explain", "nobody", "--json", "--policy"])
            .arg(system.policy());
        Ran::of(command.env("TZ", zone)).json()["user_rule"].clone()
    });
    assert!(rules[0].is_string());
    assert_eq!(rules[0], rules[1]);
}

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
  -      suspended       policy.toml:10  group: not in suspended
  LOGIN  jobs            policy.toml:15  service cron
  -      late            policy.toml:19  passed over: tests tty
  USER   policy.toml:23  policy.toml:23  group nogroup
  1 later rule not reached

USER CAPS    base
  memory_max        3G                  policy.toml:5  profile base
  cpu_weight        100                 policy.toml:5  profile base
  penalty           hog                 policy.toml:7  profile base

THIS LOGIN   base + batch
  session.memory_max  50% of user = 1.5G      policy.toml:9  profile batch
  session.tasks_max   64                      policy.toml:9  profile batch
  namespaces          user=minimal pid mount  policy.toml:6  profile base
  no_new_privs        true                    because user = \"minimal\"
  nested_userns       false                   because user = \"minimal\"
  user_manager        hidden                  because no_new_privs = true"
    );
    assert_eq!(told, expected);
    arguments.push("--json");
    let object = berth(&arguments).json();
    assert_eq!(object["user_rule"], "policy.toml:23");
    assert_eq!(object["user_caps"][0]["key"], "memory_max");
    assert_eq!(object["user_caps"][0]["value"], 3_u64 << 30);
    assert_eq!(object["session_caps"][0]["value"], 3_u64 << 29);
    assert_eq!(object["penalty"]["place"], "policy.toml:7");
    assert_eq!(object["penalty"]["cpu_above_percent"], 200.0);
    assert_eq!(object["penalty"]["step_percents"], json!([80.0, 50.0]));
    assert_eq!(
        object["berth"]["namespaces"],
        json!(["user", "pid", "mount"])
    );
    assert_eq!(object["rules"][1]["verdict"], "login");
    let at = object["login"]["at"].as_str().unwrap();
    assert!(at.starts_with("2026-11-24T10:12:07"), "{at}");
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
    // login tells PAM a path.
    for tty in ["tty1", "/dev/tty1"] {
        let login = ["--tty", tty, "--service", "login"];
        let ran = berth(&[&["explain", "nobody", "--policy", path], &login[..]].concat());
        assert!(
            ran.out
                .ends_with("\nUSER CAPS    base; not set by this login\n\nTHIS LOGIN   denied\n"),
            "{}",
            ran.out
        );
    }
    let by_su = EXPLAINED.replace("tty = \"tty*\"", "ruser = \"web*\"");
    let system = System::new(&by_su);
    let path = system.policy();
    let path = path.to_str().unwrap();
    for (ruser, denied) in [("www", false), ("web", true)] {
        let ran = berth(&["explain", "nobody", "--ruser", ruser, "--policy", path]);
        assert_eq!(
            ran.out.ends_with("\nTHIS LOGIN   denied\n"),
            denied,
            "{ran:?}"
        );
    }
    let ran = berth(&["explain", "no-such-user", "--policy", path]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("user \"no-such-user\" is not known here"),
        "{}",
        ran.err
    );
}

/// What is told of this machine, whatever `--host` says.
fn here(told: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    told.replace("lab1", host.trim_end())
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
        here(
            "  on_error          deny                    policy.toml:8   profile p
  notify            false                   policy.toml:9   profile p
  motd              true                    policy.toml:10  profile p
  cgroup            keep                    policy.toml:11  profile p
  contact           Help: help@example.edu  policy.toml:6

lab1 can enforce all of this.
"
        )
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
    let lacks = here(lacks).replace("refused.", "refused (on_error = \"deny\").");
    assert!(told.ends_with(&lacks), "{told}");
    let told = with_files(&system, &[(limit, "7\n")], &arguments).out;
    assert!(
        told.ends_with(&here("\nlab1 can enforce all of this.\n")),
        "{told}"
    );
    let for_programs = [&arguments[..], &["--json"]].concat();
    for (makes, lacks) in [("0\n", json!([["namespace", ["IPC"]]])), ("7\n", json!([]))] {
        let object = with_files(&system, &[(limit, makes)], &for_programs).json();
        let told = object["lacks"].as_array().unwrap().iter();
        let told: Vec<_> = told
            .map(|lack| json!([lack["what"], lack["names"]]))
            .collect();
        assert_eq!(json!(told), lacks);
    }

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
    assert!(
        told.ends_with(&here("\nlab1 enforces all of this.\n")),
        "{told}"
    );
}

#[test]
fn explain_says_that_a_login_from_nowhere_misses_what_tests_from_where() {
    let told = |rule: &str, more: &[&str]| {
        let system = System::new(&format!(
            "version = 1\n[exempt]\nuids = [1]\n[[rule]]\n{rule}\naction = \"deny\"\n"
        ));
        let path = system.policy();
        let mut arguments = vec!["explain", "nobody", "--policy", path.to_str().unwrap()];
        arguments.extend(more);
        berth(&arguments).out.contains(
            "\n  rules test rhost, and this login comes from nowhere: try --rhost ADDRESS\n",
        )
    };
    let from = "rhost = \"192.0.2.0/24\"";
    assert!(told(from, &[]));
    assert!(told(&format!("except = {{ {from} }}"), &[]));
    assert!(!told(from, &["--rhost", "198.51.100.1"]));
    assert!(!told("service = \"cron\"", &[]));
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

#[test]
fn who_may_not_read_the_files_is_not_told_that_they_were_edited() {
    needs_root();
    let system = System::new("version = 1\n[exempt]\nuids = [1]\n");
    assert_eq!(system.berth("reload", &[]).code, Some(0));
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(system.policy(), closed).unwrap();
    // The build may be where only root can go.
    let script = format!(
        "mount -t tmpfs none /run; touch /run/berth; mount --bind {} /run/berth; exec {} /run/berth explain --root {}",
        env!("CARGO_BIN_EXE_berth"),
        somebody(65_534),
        system.root.display()
    );
    let ran =
        Ran::of(std::process::Command::new("unshare").args(["--mount", "sh", "-ec", &script]));
    let second = ran.out.lines().nth(1).unwrap();
    let (loaded, at) = second.split_at("policy loaded ".len());
    assert_eq!(loaded, "policy loaded ");
    assert_eq!(at.len(), "2026-11-24 10:12:07".len(), "{second}");
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
            Some(true) => "lab1 can enforce all of this.".to_owned(),
            Some(false) => format!(
                "lab1 does not offer the cgroup controllers memory, so it cannot keep their caps:\n{then}"
            ),
            None => return,
        };
        assert_eq!(last(defaults), here(&expected));
    }
}

#[test]
fn explain_tells_what_becomes_of_a_login_where_there_is_no_cgroup_to_give_it() {
    needs_root();
    let told = |profile: &str| {
        let system = System::new(&format!(
            "version = 1\n[exempt]\nuids = [1]\n[profile.p]\n{profile}\n[[rule]]\nprofile = \"p\"\n"
        ));
        let path = system.policy();
        let arguments = ["explain", "nobody", "--policy", path.to_str().unwrap()];
        let out = with_files(&system, &[("/proc/$$/mountinfo", "")], &arguments).out;
        out.trim_end().rsplit_once("\n\n").unwrap().1.to_owned()
    };
    let refused = "lab1 has no cgroup v2 mounted, and cgroup = \"own\" needs one:\n\
                   the login is refused (on_error = \"deny\").";
    // With caps and without, and whatever is said of a controller that is missing.
    assert_eq!(told(""), here(refused));
    assert_eq!(told("user.memory_max = \"1G\""), here(refused));
    let allowed = refused
        .replace("is refused", "gets no berth")
        .replace("deny", "allow");
    assert_eq!(told("on_error = \"allow\""), here(&allowed));
    assert_eq!(
        told("cgroup = \"keep\""),
        here("lab1 can enforce all of this.")
    );
}

#[test]
fn explain_tells_what_a_login_beside_the_caps_of_its_user_does_not_set() {
    let told = |profile: &str, service: &str| {
        let system = System::new(&format!(
            "version = 1\n[exempt]\nuids = [1]\n[profile.p]\nuser.memory_max = \"1G\"\n{profile}\n\
             [profile.job]\n[[rule]]\nservice = \"cron\"\nprofile = \"job\"\n[[rule]]\nprofile = \"p\"\n"
        ));
        let path = system.policy();
        let path = path.to_str().unwrap();
        let arguments = ["explain", "nobody", "--service", service, "--policy", path];
        let not_set = berth(&[&arguments[..], &["--json"]].concat()).json()["not_set"].clone();
        (berth(&arguments).out, not_set)
    };
    // It refuses nobody that this machine could not keep it.
    let (text, not_set) = told("cgroup = \"keep\"", "sshd");
    let all = here("\nlab1 can enforce all of this.\n");
    let caps = "\nUSER CAPS    p; not set by this login: ";
    assert!(
        text.contains(&format!("{caps}cgroup = \"keep\"\n")) && text.ends_with(&all),
        "{text}"
    );
    assert_eq!(not_set, "cgroup = \"keep\"");
    let (text, not_set) = told("enforce = false", "cron");
    assert!(text.contains(&format!("{caps}enforce = false\n")), "{text}");
    assert_eq!(not_set, "enforce = false");
    let (text, not_set) = told("enforce = false", "sshd");
    assert!(text.contains("\n  memory_max        1G"), "{text}");
    assert_eq!(not_set, json!(null));
}

#[test]
fn explain_tells_which_services_are_not_joined() {
    let told = |profile: &str, service: &str, rule: &str| {
        let system = System::new(&format!(
            "version = 1\n[exempt]\nuids = [1]\n[profile.p]\n{profile}\n[[rule]]\n{rule}\nprofile = \"p\"\n"
        ));
        let path = system.policy();
        let path = path.to_str().unwrap();
        let ran = berth(&["explain", "nobody", "--service", service, "--policy", path]);
        ran.out.trim_end().rsplit_once("\n\n").unwrap().1.to_owned()
    };
    let pid = "cgroup = \"keep\"\nnamespaces = { pid = true, mount = true }";
    let all = here("lab1 can enforce all of this.");
    let alone = |why| format!("{why}: it gets no namespaces and no privileges of this.");
    let unnamed = alone("vsftpd is not joined, because no rule names it in full");
    assert_eq!(told(pid, "vsftpd", "service = \"vs*\""), unnamed);
    assert_eq!(told(pid, "vsftpd", "service = \"vsftpd\""), all);
    assert_eq!(
        told(pid, "sudo", "service = \"sudo\""),
        alone("sudo is never joined")
    );
    assert_eq!(told(pid, "sshd", ""), all);
    assert_eq!(told("cgroup = \"keep\"", "vsftpd", ""), all);
}
