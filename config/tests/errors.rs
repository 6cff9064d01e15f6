//! Every error of the language: what is said, and where.

mod written;

use berth_config::NOT_YET;
use written::Written;

/// The errors of a policy, `line:column message | label | notes`, without what is not done yet.
fn errors(text: &str) -> Vec<String> {
    Written::new(text)
        .check()
        .diagnostics
        .iter()
        .filter(|diagnostic| !diagnostic.message.ends_with(NOT_YET))
        .map(written::short)
        .collect()
}

fn one(body: &str, expected: &str) {
    assert_eq!(
        errors(&format!("version = 1\n{body}")),
        [expected],
        "{body}"
    );
}

/// A profile, and a rule that gives it, so that only the profile's own errors are left.
fn in_profile(body: &str, expected: &str) {
    let rule = "[[rule]]\nprofile = \"p\"\n";
    one(&format!("[profile.p]\n{body}\n{rule}"), expected);
}

#[test]
fn an_error_is_printed_with_its_line_and_a_caret() {
    let text =
        "version = 1\n[profile.student]\n\nuser     = { memory_maks = \"3G\", tasks_max = 256 }\n";
    let written = Written::new(text);
    let checked = written.check();
    assert_eq!(
        checked.diagnostics[0].to_string(),
        format!(
            "{}:4:14: error: unknown key `memory_maks`\n\
             \u{20}   4 | user     = {{ memory_maks = \"3G\", tasks_max = 256 }}\n\
             \u{20}     |              ^^^^^^^^^^^ did you mean `memory_max`?",
            written.path().display()
        )
    );
}

#[test]
fn caps_that_can_never_apply_are_told_with_the_rule_that_selects_them() {
    let text = "version = 1\n[profile.batch]\nuser = { memory_max = \"1G\" }\n\
                [[rule]]\nservice = \"cron\"\nprofile = \"batch\"\n";
    let written = Written::new(text);
    assert_eq!(
        written.check().diagnostics[0].to_string(),
        format!(
            "{}:3:1: error: these caps can never apply\n\
             \u{20}   3 | user = {{ memory_max = \"1G\" }}\n\
             \u{20}     | ^^^^ only policy.toml:4 selects `batch`, and it tests `service`\n\
             \u{20}     = a user's caps never depend on the login: write `session = {{ ... }}`",
            written.path().display()
        )
    );
    // The same profile by a rule that does not test the login: they can apply.
    assert_eq!(
        errors(&format!("{text}[[rule]]\nprofile = \"batch\"\n")),
        [""; 0]
    );
    // An exception that tests the login makes a login rule as well.
    let except = text.replace("service = \"cron\"", "except = { tty = \"tty1\" }");
    assert_eq!(errors(&except).len(), 1);
    // Inherited by what only login rules select.
    let inherited = text.replace("profile = \"batch\"\n", "profile = \"x\"\n")
        + "[profile.x]\ninherits = \"batch\"\n";
    assert_eq!(errors(&inherited).len(), 1);
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let text = "defaults = { on_error = \"alow\" }\nverzion = 1\n[profile.a.user]\ntasks_max = 4\n\
                bogus\n[[rule]]\ngroup = 5\n[[rule]]\nuid = \"9-1\"\n";
    let told = errors(text);
    for part in [
        "alow",
        "verzion",
        "no `version`",
        "tasks_max of 4",
        "key with no value",
        "an integer",
        "backwards",
    ] {
        assert!(
            told.iter().any(|line| line.contains(part)),
            "{part}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest() {
    one(
        "exemt = {}",
        "2:1 unknown key `exemt` | did you mean `exempt`?",
    );
    one(
        "[host]\ncolour = 1",
        "3:1 unknown key `colour` | known here: roles",
    );
    in_profile(
        "lingr = \"0s\"",
        "3:1 unknown key `lingr` | known here: description, inherits, pool, enforce, on_error, contact, notify, motd, max_sessions, cgroup, penalty, user, session, rlimits, namespaces, privileges, logout",
    );
    in_profile(
        "memory_max = \"1G\"",
        "3:1 unknown key `memory_max` | caps stand in `user = { ... }` or `session = { ... }`",
    );
    in_profile(
        "rlimits = { maxlogins = 3 }",
        "3:13 `maxlogins` is no resource limit | write `max_sessions` in the profile",
    );
    one(
        "[[rule]]\ngruop = \"x\"\naction = \"deny\"",
        "3:1 unknown key `gruop` | did you mean `group`?",
    );
}

#[test]
fn a_duplicate_key_is_an_error() {
    one(
        "[defaults]\non_error = \"deny\"\non_error = \"allow\"",
        "4:1 duplicate key | it is set before in this table",
    );
}

#[test]
fn a_wrong_type_unit_or_range_is_an_error() {
    for (key, label) in [
        (
            "memory_max = 1.5",
            "expected bytes such as \"4G\", a percentage, or \"infinity\"",
        ),
        (
            "memory_max = \"3GB\"",
            "units are K, M, G, T: powers of 1024",
        ),
        ("memory_max = \"1M\"", "at least 16M"),
        (
            "memory_max = 4",
            "a number alone is bytes; did you mean \"4G\"?",
        ),
        ("memory_max = 0", "at least 16M"),
        ("memory_max = \"unlimited\"", "write \"infinity\""),
        ("memory_high = \"120%\"", "at most 100%"),
        (
            "memory_swap_max = \"5%\"",
            "write bytes, as in \"2G\", or \"infinity\"",
        ),
        (
            "memory_swap_max = \"5% of machine\"",
            "write bytes, as in \"2G\", or \"infinity\"",
        ),
        (
            "cpu_quota = 2",
            "expected a percentage such as \"400%\" (of one CPU), or \"infinity\"",
        ),
        ("cpu_quota = \"0%\"", "above 0%"),
        ("cpu_weight = 0", "1 to 10000"),
        (
            "cpu_weight = \"idel\"",
            "write 1 to 10000 without quotes, or \"idle\"",
        ),
        ("io_weight = 10001", "1 to 10000"),
        ("tasks_max = 7", "at least 8"),
        ("tasks_max = -1", "write \"infinity\""),
        ("allowed_cpus = \"3-1\"", "write \"1-3\""),
        ("allowed_cpus = \"4-,8\"", "write \"0-3,8-\""),
        (
            "io_read_bandwidth_max = { srv = \"1M\" }",
            "write it from the root, without `..`",
        ),
        (
            "io_read_iops_max = \"5\"",
            "expected a table such as { \"/srv\" = \"50M\" }",
        ),
        (
            "io_read_iops_max = { \"/srv\" = 5, \"/srv/\" = 6 }",
            "write it once",
        ),
        (
            "memory_low = \"5% of user\"",
            "this stands in `session` only",
        ),
        (
            "memory_low = \"5% of moon\"",
            "a percentage is `of machine`, `of pool` or `of user`",
        ),
    ] {
        let text =
            format!("version = 1\n[profile.p]\nuser = {{ {key} }}\n[[rule]]\nprofile = \"p\"\n");
        let told = errors(&text);
        assert_eq!(told.len(), 1, "{key}: {told:?}");
        assert!(told[0].contains(&format!("| {label}")), "{key}: {told:?}");
    }
    one(
        "[everyone]\nmemory_low = \"5% of pool\"",
        "3:14 `of pool` means nothing here | this stands in `user` and `session` only",
    );
    one(
        "everyone.tasks_max = 5000",
        "2:10 `tasks_max` cannot be everyone's | set it for users or pools | where systemd runs the machine it would keep root out when users have used it up",
    );
    assert_eq!(
        errors("version = 1\neveryone.tasks_max = \"unset\"\n"),
        [""; 0]
    );
    in_profile(
        "logout = { linger = 5 }",
        "3:21 `5`: seconds, minutes, hours? | write \"5s\", \"5min\" or \"5h\"",
    );
    in_profile(
        "max_sessions = 0",
        "3:16 `0` is out of range | at least 1; to let nobody in, write a rule with action = \"deny\"",
    );
    in_profile(
        "namespaces = { private_tmp = true }",
        "3:30 `true` does not say how large | write a size such as \"128M\", or \"disk\"",
    );
    in_profile(
        "namespaces = { user = \"minimum\" }",
        "3:23 `minimum` is none of off, identity, minimal | did you mean \"minimal\"?",
    );
    one(
        "[time.t]\nfrom = 2026-12-14T08:45:00Z",
        "3:8 a time with an offset: windows are in the machine's local time | leave the offset out",
    );
    one(
        "[exempt]\nusers = [\"adm-*\"]",
        "3:10 `adm-*`: no patterns here | write the name in full | who is exempt is decided from local files, before anything else can fail",
    );
    one(
        "[[rule]]\nrhost = \"10.1.4.22/16\"\naction = \"deny\"",
        "3:9 `10.1.4.22/16` has bits set past its prefix | did you mean \"10.1.0.0/16\"?",
    );
    one(
        "[[rule]]\nuser = \"!x\"\naction = \"deny\"",
        "3:8 `!` does not negate a test | write this test in `except = { ... }`",
    );
    assert_eq!(
        errors("version = 2\n"),
        ["1:11 version 2 is not known | this Berth knows version 1"]
    );
    assert_eq!(errors(""), ["1:1 no `version` | write `version = 1` first"]);
}

#[test]
fn a_cycle_is_named() {
    one(
        "[profile.a]\ninherits = \"b\"\n[profile.b]\ninherits = [\"c\"]\n[profile.c]\ninherits = \"a\"",
        "7:12 a profile inherits from itself | a -> b -> c -> a",
    );
    one(
        "[profile.a]\ninherits = \"a\"",
        "3:12 a profile inherits from itself | a -> a",
    );
}

#[test]
fn what_is_not_defined_is_an_error() {
    one(
        "[profile.base]\n[[rule]]\nprofile = [\"base\", \"bsae\"]",
        "4:20 undefined profile `bsae` | did you mean `base`?",
    );
    one(
        "[profile.a]\ninherits = \"zzz\"",
        "3:12 undefined profile `zzz` | there is no [profile.zzz]",
    );
    one(
        "[profile.a]\n[[rule]]\nprofile = \"a\"\npool = \"x\"",
        "5:8 undefined pool `x` | there is no [pool.x]",
    );
    one(
        "[[rule]]\ntime = \"exam\"\naction = \"deny\"",
        "3:8 undefined time `exam` | there is no [time.exam]",
    );
    one(
        "[profile.a]\npenalty = \"hog\"",
        "3:11 undefined penalty `hog` | there is no [penalty.hog]",
    );
}

#[test]
fn a_window_without_a_key_is_an_error() {
    let rule = "[[rule]]\ntime = \"exam\"\naction = \"deny\"";
    one(
        &format!("[time.exam]\n[time.exam1]\nhours = \"08:00-10:00\"\n{rule}"),
        "2:7 no key in [time.exam] | it would always hold",
    );
    // What is wrong is not missing.
    one(
        &format!("[time.exam]\nhours = \"8-10\"\n{rule}"),
        "3:9 `8-10` are no hours | write \"08:00-18:00\", or \"22:00-07:00\" past midnight",
    );
}

#[test]
fn a_rule_has_one_outcome() {
    one(
        "[[rule]]\nuser = \"x\"",
        "2:1 a rule with no outcome | write `profile = ...` or `action = ...`",
    );
    one(
        "[profile.a]\n[[rule]]\nprofile = \"a\"\naction = \"deny\"",
        "5:1 a rule with two outcomes | either `profile` or `action`",
    );
    one(
        "[[rule]]\naction = \"exempt\"\nmessage = \"x\"",
        "4:1 a message that nobody would see | it needs `action = \"deny\"`",
    );
    one(
        "[pool.p]\n[[rule]]\naction = \"deny\"\npool = \"p\"",
        "5:1 a pool without a profile | `action` gives no caps",
    );
}

#[test]
fn a_user_namespace_needs_no_new_privs() {
    in_profile(
        "namespaces = { user = \"identity\" }\nprivileges = { no_new_privs = false }",
        "4:16 a user namespace without no_new_privs | a setuid program in there would be root on the host | leave this out, or write namespaces.user = \"off\"",
    );
    for fine in [
        "namespaces = { user = \"identity\" }\nprivileges = { no_new_privs = true }",
        "privileges = { no_new_privs = false }",
    ] {
        let text = format!("version = 1\n[profile.p]\n{fine}\n[[rule]]\nprofile = \"p\"\n");
        assert_eq!(errors(&text), [""; 0], "{fine}");
    }
    // Also where the two come from different profiles.
    one(
        "[profile.a]\nnamespaces = { user = \"identity\" }\n[profile.b]\nprivileges = { no_new_privs = false }\n\
         [[rule]]\nprofile = [\"a\", \"b\"]",
        "5:16 a user namespace without no_new_privs | a setuid program in there would be root on the host | leave this out, or write namespaces.user = \"off\"",
    );
}

#[test]
fn what_is_mounted_needs_a_mount_namespace() {
    in_profile(
        "namespaces = { private_tmp = \"disk\" }",
        "3:16 `private_tmp` without a mount namespace | it needs `mount = true`",
    );
    in_profile(
        "namespaces = { private_shm = \"64M\" }",
        "3:16 `private_shm` without a mount namespace | it needs `mount = true`",
    );
    in_profile(
        "namespaces = { propagation = \"private\" }",
        "3:16 `propagation` without a mount namespace | it needs `mount = true`",
    );
    in_profile(
        "namespaces = { mount = true, tmp_keep = [\"x\"] }",
        "3:30 `tmp_keep` without a private /tmp | it needs `private_tmp`",
    );
}

#[test]
fn hiding_the_service_manager_needs_two_namespaces() {
    for one in ["pid = true", "mount = true"] {
        for manager in ["hidden", "isolated"] {
            in_profile(
                &format!(
                    "namespaces = {{ scope = \"user\", {one}, user_manager = \"{manager}\" }}"
                ),
                &format!(
                    "3:{} `user_manager = \"{manager}\"` without PID and mount namespaces | it needs `pid = true, mount = true`",
                    34 + one.len()
                ),
            );
        }
    }
}

#[test]
fn a_service_manager_in_the_berth_needs_a_berth_for_all_logins() {
    for scope in ["", "scope = \"session\", "] {
        in_profile(
            &format!(
                "namespaces = {{ {scope}pid = true, mount = true, user_manager = \"isolated\" }}"
            ),
            &format!(
                "3:{} `user_manager = \"isolated\"` with a berth for each login | it needs `scope = \"user\"`: a user has one service manager",
                42 + scope.len()
            ),
        );
    }
}

#[test]
fn under_systemd_a_pool_and_the_hosts_user_manager_do_not_go_together() {
    let text = "version = 1\n[pool.p]\n[profile.a]\n[[rule]]\nprofile = \"a\"\npool = \"p\"\n";
    let told = |systemd, text: &str| -> Vec<String> {
        let site = written::Site {
            systemd,
            ..written::Site::default()
        };
        let checked = Written::new(text).check_on(&site);
        let errors = checked
            .diagnostics
            .iter()
            .filter(|d| !d.message.ends_with(NOT_YET));
        errors.map(written::short).collect()
    };
    assert_eq!(
        told(true, text),
        [
            "6:8 pool `p` with user_manager = \"host\" | the user's service manager would have the cap a second time | set namespaces.user_manager to \"hidden\""
        ]
    );
    assert_eq!(told(false, text), [""; 0], "no user has a manager");
    let isolated = text.replace(
        "[profile.a]",
        "[profile.a]\nnamespaces = { scope = \"user\", pid = true, mount = true, user_manager = \"isolated\" }",
    );
    assert_eq!(told(false, &isolated), [""; 0]);
    let errors = told(true, &isolated);
    assert!(
        errors.len() == 1 && errors[0].contains("\"isolated\""),
        "{errors:?}"
    );
    let hidden = text.replace(
        "[profile.a]",
        "[profile.a]\nnamespaces = { pid = true, mount = true, user_manager = \"hidden\" }",
    );
    assert_eq!(told(true, &hidden), [""; 0]);
    let by_default = text.replace(
        "[profile.a]",
        "[profile.a]\nnamespaces = { user = \"identity\", pid = true, mount = true }",
    );
    assert_eq!(told(true, &by_default), [""; 0]);
    // What cannot be hidden is not hidden.
    let without_mounts = by_default.replace("mount = true", "mount = false");
    assert_eq!(told(true, &without_mounts).len(), 1);
}

#[test]
fn an_error_behind_a_key_without_a_value_is_told_with_its_own_place() {
    let told = errors("version = 1\n[profile.p]\nmotd\n[[rule]]\nprofile = \"p\"\nusr = \"x\"\n");
    assert!(told[0].starts_with("3:"), "{told:?}");
    assert!(told[1].starts_with("6:1 unknown key `usr`"), "{told:?}");
}

#[test]
fn a_part_of_what_is_not_there_is_an_error() {
    in_profile(
        "session = { memory_max = \"50% of user\" }",
        "3:13 `memory_max` is a part of the user's, which has none | set memory_max in `user` too",
    );
    in_profile(
        "user = { tasks_max = \"50% of pool\" }",
        "3:10 `tasks_max` is a part of the pool's, which has none | set tasks_max in the pool too",
    );
    let with = |user: &str| {
        errors(&format!(
            "version = 1\n[profile.p]\n{user}\n[profile.batch]\nsession = {{ memory_max = \"50% of user\" }}\n\
             [[rule]]\nservice = \"cron\"\nprofile = [\"p\", \"batch\"]\n[[rule]]\nprofile = \"p\"\n"
        ))
    };
    assert_eq!(with("user = { memory_max = \"1G\" }"), [""; 0]);
    assert_eq!(with("").len(), 1);
    // Nobody's caps come from a rule that tests how the user logs in.
    let by_service = errors(
        "version = 1\n[profile.p]\nuser = { memory_max = \"1G\" }\n\
         [profile.batch]\nsession = { memory_max = \"50% of user\" }\n\
         [[rule]]\nservice = \"cron\"\nprofile = \"batch\"\n\
         [[rule]]\nservice = \"sshd\"\nprofile = \"p\"\n",
    );
    let has_none = "`memory_max` is a part of the user's, which has none";
    assert!(
        by_service.iter().any(|one| one.contains(has_none)),
        "{by_service:?}"
    );
    let of_pool = |pool: &str| {
        errors(&format!(
            "version = 1\n[pool.a]\ntasks_max = 100\n[pool.b]\nmemory_max = \"1G\"\n[profile.p]\n\
             session = {{ tasks_max = \"50% of pool\" }}\n[[rule]]\nprofile = \"p\"\n{pool}\n"
        ))
    };
    assert_eq!(of_pool("pool = \"a\""), [""; 0]);
    for pool in ["", "pool = \"b\""] {
        let told = of_pool(pool);
        let expected = "`tasks_max` is a part of the pool's, which has none";
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn an_expectation_asks_for_a_login_with_the_uid_that_it_names() {
    let text = "[[rule]]\nuid = 1001\naction = \"deny\"\n[[expect]]\nuser = \"x\"\nuid = 1001\naction = \"deny\"\n";
    assert_eq!(errors(&format!("version = 1\n{text}")), [""; 0]);
}

#[test]
fn an_expectation_asks_for_a_login_with_the_terminal_that_it_would_have() {
    for (tests, login) in [
        ("tty = \"ssh\"", "service = \"sshd\""),
        ("tty = \"tty1\"", "service = \"login\"\ntty = \"/dev/tty1\""),
        ("tty = \"tty2\"", "service = \"sshd\"\ntty = \"tty2\""),
    ] {
        let rule = format!("[[rule]]\n{tests}\naction = \"deny\"\n");
        let expect = format!("[[expect]]\nuser = \"x\"\n{login}\naction = \"deny\"\n");
        assert_eq!(
            errors(&format!("version = 1\n{rule}{expect}")),
            [""; 0],
            "{tests}"
        );
    }
}

#[test]
fn an_expectation_that_is_not_met_is_an_error() {
    let policy = "version = 1\n[profile.a]\n[[rule]]\nname = \"staff\"\ngroup = \"staff\"\nprofile = \"a\"\n[[rule]]\nservice = \"cron\"\naction = \"deny\"\n";
    let expect = |expect: &str| errors(&format!("{policy}[[expect]]\n{expect}\n"));
    assert_eq!(
        expect("user = \"x\"\ngroups = [\"staff\"]\nprofile = \"a\""),
        [""; 0]
    );
    assert_eq!(
        expect("user = \"x\"\nservice = \"cron\"\naction = \"deny\""),
        [""; 0]
    );
    assert_eq!(
        expect("user = \"root\"\nuid = 0\naction = \"exempt\""),
        [""; 0]
    );
    assert_eq!(
        expect("user = \"x\"\ngroups = [\"staff\"]\naction = \"deny\""),
        [
            "13:1 expected action deny for x, and got profile a |  | rule `staff` (policy.toml:3) matches first"
        ]
    );
    assert_eq!(
        expect("user = \"x\"\nprofile = \"a\""),
        [
            "12:1 expected profile a for x, and got action exempt |  | no rule matches: [defaults] no_match decides"
        ]
    );
    assert_eq!(expect("user = \"x\"").len(), 1);
    let pools = "version = 1\n[pool.a]\n[pool.b]\n[profile.p]\n\
                 [[rule]]\nuser = \"x\"\nprofile = \"p\"\npool = \"a\"\n[[rule]]\nprofile = \"p\"\n";
    let pool = |user: &str, pool: &str| {
        let expect = format!("[[expect]]\nuser = \"{user}\"\npool = \"{pool}\"\n");
        let told = errors(&format!("{pools}{expect}"));
        told.first()
            .map(|told| told.split(" | ").next().unwrap().to_owned())
    };
    assert_eq!(pool("x", "a"), None);
    let got = |pool| Some(format!("13:1 expected {pool}"));
    assert_eq!(pool("x", "b"), got("pool b for x, and got pool a"));
    assert_eq!(pool("y", "a"), got("pool a for y, and got no pool"));
    // The pool is of another rule than the login, and that is the one to look at.
    let jobs = "[[rule]]\nservice = \"cron\"\nprofile = \"p\"\n[[rule]]";
    let told = errors(&format!(
        "{}[[expect]]\nuser = \"x\"\nservice = \"cron\"\npool = \"b\"\n",
        pools.replacen("[[rule]]", jobs, 1)
    ));
    assert!(
        told[0].ends_with("test the login the rule at policy.toml:8 matches first"),
        "{told:?}"
    );
    let two = expect("user = \"x\"\nprofile = \"a\"\naction = \"deny\"");
    assert!(two[0].contains("an expectation of two outcomes"), "{two:?}");
    assert_eq!(expect("action = \"deny\"").len(), 1);
}

#[test]
fn what_is_not_done_yet_is_refused() {
    for body in [
        "[profile.p]\nnamespaces = { time = true }",
        "[profile.p]\nnamespaces = { cgroup = true }",
    ] {
        let checked = Written::new(&format!("version = 1\n{body}\n")).check();
        assert!(checked.policy.is_none(), "{body}");
        assert_eq!(checked.diagnostics.len(), 1, "{body}");
        assert!(checked.diagnostics[0].message.ends_with(NOT_YET), "{body}");
    }
    // To ask for nothing is no error.
    let body = "version = 1\n[profile.p]\nnamespaces = { time = false, user_manager = \"host\" }\n";
    assert_eq!(Written::new(body).check().diagnostics, []);
}

#[test]
fn nothing_in_a_file_can_steer_the_terminal() {
    let text = "version = 1\n[profile.p]\nuser = { memory_max = \"\\u001b[2J\" }\n[time.t]\nhours = '\u{1b}[2J\u{202e}'\n\"\\u001b\" = 1\n";
    let diagnostics = Written::new(text).check().diagnostics;
    assert_eq!(diagnostics.len(), 3, "{diagnostics:?}");
    for mut diagnostic in diagnostics {
        diagnostic.path = "/home/\u{1b}[2J/p.toml".into();
        let printed = diagnostic.to_string();
        assert!(!printed.contains(['\u{1b}', '\u{202e}']), "{printed:?}");
    }
}

#[test]
fn an_accounting_file_has_a_path_and_some_room() {
    let told = |line: &str, expected: &str| one(&format!("[accounting]\n{line}"), expected);
    told(
        "file = \"sessions.jsonl\"",
        "3:8 `sessions.jsonl` is no absolute path | write it from the root, without `..`",
    );
    told(
        "file = \"/var/log/berth/\"",
        "3:1 `/var/log/berth/` is a folder | write the file's name too, as in \"/var/log/berth/sessions.jsonl\"",
    );
    told(
        "max_size = \"1K\"",
        "3:1 a max_size below 4K | at least \"4K\"",
    );
    let least = "version = 1\n[accounting]\nfile = \"/var/log/x\"\nmax_size = \"4K\"\n";
    assert_eq!(errors(least), [""; 0]);
    told(
        "keep = 400",
        "3:8 `400`: seconds, minutes, hours? | write \"400s\", \"400min\" or \"400h\"",
    );
}

#[test]
fn a_file_that_does_not_parse_has_no_error_for_what_the_lost_part_may_have_held() {
    // The profile's head is damaged; a later file that parses does not change that.
    let written = Written::new("version = 1\n[profile.p\nenforce = true\n");
    let later = written.folder.join("later.toml");
    std::fs::write(&later, "[[rule]]\nprofile = \"p\"\n").unwrap();
    let files = [written.path(), later];
    let checked = berth_config::check_files(&files, berth_config::Trust::Anybody, None).unwrap();
    let told = checked.diagnostics.iter().map(|one| &one.path);
    assert!(checked.errors() > 0 && told.into_iter().all(|path| *path == written.path()));
}

#[test]
fn a_rule_or_an_expectation_with_an_error_is_not_told_of_what_it_then_lacks() {
    let unknown = |line: u32| format!("{line}:1 unknown key `profil` | did you mean `profile`?");
    one("[[rule]]\nprofil = \"p\"\n", &unknown(3));
    one("[[expect]]\nuser = \"x\"\nprofil = \"p\"\n", &unknown(4));
}

#[test]
fn a_time_is_written_without_quotes() {
    one(
        "[time.exam]\nfrom = \"2026-12-14T08:45:00\"\nuntil = 2026-12-14T10:15:00\n",
        "3:8 a time in quotes | write it without quotes",
    );
}

#[test]
fn what_could_not_be_read_is_not_missed_elsewhere() {
    let hog = "[penalty.hog]\ncpu_above = \"200%\"\nwindow = \"10min\"\nsteps = \"80%\"\nstep_time = \"1h\"\nforget = \"3h\"";
    one(
        &format!(
            "{hog}\n[profile.p]\nuser = {{ memory_max = \"1G\" }}\npenalty = \"hog\"\n\
             [[rule]]\nservice = \"cron\"\nprofile = \"p\"\n[[rule]]\nprofil = \"p\""
        ),
        "15:1 unknown key `profil` | did you mean `profile`?",
    );
    in_profile(
        "namespaces = { pid = true, mount = \"true\", private_tmp = \"disk\", user_manager = \"hidden\" }",
        "3:36 wrong type: this is a string | expected true or false",
    );
}
