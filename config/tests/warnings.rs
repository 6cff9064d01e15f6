//! Every warning of the language.

mod written;

use berth_config::{Severity, Trust, check_edited};
use written::{Site, Written, login};

fn warnings(body: &str, site: &Site) -> Vec<String> {
    let checked = Written::new(&format!("version = 1\n{body}")).check_on(site);
    assert_eq!(checked.errors(), 0, "{:?}", checked.diagnostics);
    checked.diagnostics.iter().map(written::short).collect()
}

fn site(groups: &[&'static str]) -> Site {
    Site {
        groups: groups.to_vec(),
        ..Site::default()
    }
}

#[test]
fn a_file_beside_the_drop_ins_that_is_not_read() {
    let written = Written::new("version = 1\n");
    let drop_ins = written.folder.join("policy.d");
    std::fs::create_dir(&drop_ins).unwrap();
    for name in ["10-x.toml", "20-y.toml.bak", "README"] {
        std::fs::write(drop_ins.join(name), "").unwrap();
    }
    // An editor's lock.
    std::os::unix::fs::symlink("root@lab1.4821", drop_ins.join(".#10-x.toml")).unwrap();
    let places = berth_config::Places {
        policy: written.path(),
        drop_ins: drop_ins.clone(),
        ..berth_config::Places::system()
    };
    let checked = check_edited(&places, Trust::Anybody, Some(&site(&[]))).unwrap();
    let told: Vec<String> = checked.diagnostics.iter().map(|d| d.to_string()).collect();
    let ignored = |name: &str| {
        let path = drop_ins.join(name);
        format!(
            "{}: warning: this file is not read: its name begins with a dot, or does not end in `.toml`",
            path.display()
        )
    };
    let expected = [".#10-x.toml", "20-y.toml.bak", "README"].map(ignored);
    assert_eq!(told, expected);
    assert_eq!((checked.errors(), checked.warnings()), (0, 3));
}

#[test]
fn two_rules_of_one_name() {
    let body = "[profile.p]\n[[rule]]\nname = \"x\"\nuser = \"a\"\nprofile = \"p\"\n\
                [[rule]]\nname = \"y\"\nuser = \"b\"\nprofile = \"p\"\n\
                [[rule]]\nname = \"x\"\nuser = \"c\"\nprofile = \"p\"\n";
    assert_eq!(
        warnings(body, &site(&[])),
        ["12:1 another rule has the name `x` | so has policy.toml:3"]
    );
}

#[test]
fn a_profile_that_no_rule_uses() {
    let body =
        "[profile.a]\n[profile.b]\ninherits = \"a\"\n[profile.c]\n[[rule]]\nprofile = \"b\"\n";
    assert_eq!(
        warnings(body, &site(&[])),
        ["5:10 no rule uses profile `c` | "]
    );
}

#[test]
fn a_rule_behind_an_equal_or_a_wider_one() {
    let behind = |first: &str, second: &str| {
        let body = format!(
            "[[rule]]\n{first}\naction = \"deny\"\n[[rule]]\n{second}\naction = \"deny\"\n\
             [time.t]\nhours = \"08:00-09:00\"\n[exempt]\nuids = []\n"
        );
        let told = warnings(&body, &site(&["a", "b", "abc"]));
        match told.as_slice() {
            [] => false,
            [one] => {
                assert!(one.contains("this rule is never reached | policy.toml:2 matches"));
                true
            }
            more => panic!("{more:?}"),
        }
    };
    for (wide, narrow) in [
        ("group = \"a\"", "group = \"a\""),
        ("group = [\"a\", \"b\"]", "group = \"b\""),
        ("group = \"a*\"", "group = \"abc\"\nservice = \"cron\""),
        ("uid = \"1000-2000\"", "uid = 1500"),
        ("rhost = \"10.0.0.0/8\"", "rhost = \"10.1.2.3\""),
        ("rhost = \"0.0.0.0/0\"", "rhost = \"10.1.0.0/16\""),
        (
            "rhost = [\"x\", \"2001:db8::/32\"]",
            "rhost = [\"2001:db8::7\", \"x\"]",
        ),
        ("time = \"t\"", "time = \"t\"\nuid = \"5-9\""),
        (
            "service = [\"sshd\", \"cron\"]\nuid = \"1-\"",
            "service = \"cron\"\nuid = 5",
        ),
        ("", "user = \"x\""),
        (
            "except = { group = \"a\" }",
            "user = \"x\"\nexcept = { group = \"a\" }",
        ),
    ] {
        assert!(behind(wide, narrow), "{wide} / {narrow}");
    }
    for (first, second) in [
        ("group = \"a\"", "group = \"b\""),
        ("group = \"a\"\nservice = \"cron\"", "group = \"a\""),
        ("group = \"abc\"", "group = \"a*\""),
        ("uid = \"1000-2000\"", "uid = \"1500-2500\""),
        ("rhost = \"10.1.0.0/16\"", "rhost = \"10.0.0.0/8\""),
        ("time = \"t\"", "uid = 5"),
        ("except = { group = \"a\" }", "user = \"x\""),
        (
            "except = { group = \"a\" }",
            "except = { group = \"b\", time = \"t\" }",
        ),
    ] {
        assert!(!behind(first, second), "{first} / {second}");
    }
}

#[test]
fn a_group_that_is_not_known() {
    let body = "[[rule]]\ngroup = [\"staff\", \"stuff\", \"s*\"]\naction = \"deny\"\n";
    assert_eq!(
        warnings(body, &site(&["staff"])),
        ["3:1 group `stuff` is not known here | nobody is in it"]
    );
    // Each is asked for once: it may be a directory far away that answers.
    let site = site(&["staff"]);
    let but_staff = "except = { group = \"staff\" }\naction = \"exempt\"\n";
    let rules = format!("[[rule]]\nuser = \"a\"\n{but_staff}[[rule]]\nuser = \"b\"\n{but_staff}");
    assert_eq!(warnings(&rules, &site), [""; 0]);
    assert_eq!(site.asked.get(), 1);
}

#[test]
fn who_is_exempt_and_not_known() {
    let site = Site {
        users: vec!["backup"],
        ..site(&["ops"])
    };
    let body = "[exempt]\nusers = [\"backup\", \"bakcup\"]\ngroups = [\"sudo\", \"wheel\", \"ops\", \"pos\", \"sop\"]\n";
    assert_eq!(
        warnings(body, &site),
        [
            "3:1 user `bakcup` is not known here | nobody is exempt by it",
            "4:1 group `pos`, `sop` is not known here | nobody is exempt by it"
        ]
    );
}

#[test]
fn a_rule_for_none_but_exempt_accounts() {
    let told = |tests: &str| {
        let site = Site {
            users: vec!["backup", "alice"],
            ..site(&["students"])
        };
        let exempt = "[exempt]\nusers = [\"backup\", \"alice\"]\ngroups = [\"sudo\"]";
        let body = format!("{exempt}\n[[rule]]\n{tests}\naction = \"deny\"\n");
        warnings(&body, &site)
    };
    let warning = "5:1 this rule is never reached | [exempt] lists all whom it is for";
    for tests in [
        "uid = \"500-999\"",
        "uid = [\"0-10\", 65534]",
        "user = [\"backup\", \"alice\"]\nservice = \"cron\"",
    ] {
        assert_eq!(told(tests), [warning], "{tests}");
    }
    for group in ["group", "primary_group"] {
        assert!(told(&format!("{group} = \"sudo\"")).contains(&warning.into()));
    }
    for tests in [
        "uid = \"500-1000\"",
        "uid = [5, 1000]",
        "user = [\"backup\", \"bob\"]",
        "user = \"back*\"",
        "group = \"students\"",
    ] {
        assert_eq!(told(tests), [""; 0], "{tests}");
    }
}

#[test]
fn a_service_without_berth_in_its_stack() {
    let site = Site {
        without_berth: vec!["atd"],
        ..Site::default()
    };
    let body = "[[rule]]\nservice = [\"sshd\", \"atd\"]\naction = \"deny\"\n";
    assert_eq!(
        warnings(body, &site),
        ["3:1 service `atd` has no pam_berth in its PAM stack | its logins never reach this rule"]
    );
}

#[test]
fn a_service_whose_name_is_nearly_that_of_one() {
    let told = |services: &str| {
        let body = format!("[[rule]]\nservice = {services}\naction = \"deny\"\n");
        warnings(&body, &Site::default())
    };
    assert_eq!(
        told("\"ssh\""),
        ["3:1 there is no PAM service `ssh` here | did you mean `sshd`?"]
    );
    // Other machines may have what this one has not.
    assert!(told("\"crond\"").len() == 1);
    assert!(told("[\"cron\", \"crond\"]").is_empty());
    assert!(told("[\"gdm\", \"ssh*\"]").is_empty());
}

#[test]
fn a_session_cap_above_the_users() {
    let body = |session: &str| {
        format!(
            "[profile.a]\nuser = {{ memory_max = \"25%\", tasks_max = 64 }}\n\
             session = {{ {session} }}\n[[rule]]\nprofile = \"a\"\n"
        )
    };
    assert_eq!(
        warnings(&body("memory_max = \"17G\""), &site(&[])),
        ["4:13 the session's memory_max is above the user's | it never matters"]
    );
    assert_eq!(warnings(&body("tasks_max = 64"), &site(&[])), [""; 0]);
    for (key, less, more) in [
        ("memory_high", "\"1G\"", "\"2G\""),
        ("memory_max", "\"1G\"", "\"2G\""),
        ("memory_swap_max", "\"1G\"", "\"2G\""),
        ("cpu_quota", "\"100%\"", "\"200%\""),
        ("tasks_max", "64", "65"),
    ] {
        let body = format!(
            "[profile.a]\nuser = {{ {key} = {less} }}\nsession = {{ {key} = {more} }}\n\
             [[rule]]\nprofile = \"a\"\n"
        );
        let told = warnings(&body, &site(&[]));
        let expected = format!("the session's {key} is above the user's");
        assert!(told.iter().any(|one| one.contains(&expected)), "{told:?}");
    }
    assert_eq!(
        warnings(&body("tasks_max = \"infinity\""), &site(&[])).len(),
        1
    );
    assert_eq!(
        warnings(
            &body("memory_max = \"15G\", tasks_max = \"50% of user\""),
            &site(&[])
        ),
        [""; 0]
    );
}

#[test]
fn a_pool_that_depends_on_the_login() {
    let body = |service: &str| {
        format!(
            "[pool.cs]\n[profile.a]\npool = \"cs\"\n[profile.b]\n\
             [[rule]]\nuser = \"x\"\n{service}\nprofile = \"a\"\n\
             [[rule]]\n{service}\nprofile = \"b\"\npool = \"cs\"\n"
        )
    };
    let because = "a user's pool never depends on the login: it comes from the user rule";
    assert_eq!(
        warnings(&body("tty = \"tty1\""), &site(&[])),
        [
            format!(
                "4:1 nobody gets a pool by this | only rules that test the login give it | {because}"
            ),
            format!("13:1 nobody gets a pool by this | this rule tests the login | {because}"),
        ]
    );
    assert_eq!(warnings(&body(""), &site(&[])), [""; 0]);
}

#[test]
fn a_rule_for_a_service_by_which_somebody_without_caps_may_come() {
    let told = |tests: &str, profile: &str, rest: &str| {
        let body = format!(
            "[profile.student]\n{profile}\n[profile.batch]\n[profile.staff]\n\
             [[rule]]\nservice = \"cron\"\n{tests}\nprofile = [\"student\", \"batch\"]\n\
             [[rule]]\ngroup = [\"students\", \"tas\"]\nprofile = \"student\"\n\
             [[rule]]\nuser = \"a\"\nprofile = \"staff\"\n{rest}\n"
        );
        warnings(&body, &site(&["students", "tas"]))
    };
    let capped = "user = { memory_max = \"1G\" }";
    let warning = "6:1 who comes by this rule may have no caps | no rule with a profile and without tests of the \
                   login is for all of them | a user's caps never depend on the login: they come from the user rule";
    assert_eq!(told("", capped, ""), [warning]);
    assert_eq!(told("uid = \"1000-\"", capped, ""), [warning]);
    assert_eq!(told("", capped, "[[rule]]\naction = \"deny\""), [warning]);
    let cron_is_tested = "except = { rhost = \"*\" }";
    assert_eq!(told(cron_is_tested, capped, ""), [warning]);
    // Session caps are the login rule's own.
    for (tests, profile, rest) in [
        ("", "session = { memory_max = \"1G\" }", ""),
        ("group = \"students\"", capped, ""),
        ("group = \"tas\"\nexcept = { user = \"b\" }", capped, ""),
        ("", capped, "[[rule]]\nprofile = \"staff\""),
    ] {
        assert_eq!(
            told(tests, profile, rest),
            [""; 0],
            "{tests} {profile} {rest}"
        );
    }
}

#[test]
fn a_rule_for_a_service_that_leaves_the_users_of_a_pool_their_manager() {
    let told = |systemd, batch: &str, first: &str, last: &str| {
        let site = Site {
            systemd,
            ..site(&["cs101"])
        };
        let hidden = "namespaces = { pid = true, mount = true, user_manager = \"hidden\" }";
        let body = format!(
            "[pool.cs]\n[profile.batch]\n{batch}\n[profile.cs]\n{hidden}\npool = \"cs\"\n\
             [[rule]]\n{first}\n[[rule]]\n{last}\n"
        );
        let body = body.replace("HIDDEN", hidden);
        warnings(&body, &site)
    };
    let cron = "service = \"cron\"\nprofile = \"batch\"";
    let course = "group = \"cs101\"\nprofile = \"cs\"";
    assert_eq!(
        told(true, "session = { tasks_max = 64 }", cron, course),
        [
            "8:1 user_manager = \"host\" before a rule with a pool | users of `cs` who come by this have its cap \
             a second time | set namespaces.user_manager to \"hidden\""
        ]
    );
    let isolated =
        "namespaces = { scope = \"user\", pid = true, mount = true, user_manager = \"isolated\" }";
    assert_eq!(told(true, isolated, cron, course).len(), 1);
    assert_eq!(
        told(false, "", cron, course),
        [""; 0],
        "no user has a manager"
    );
    assert_eq!(told(true, "HIDDEN", cron, course), [""; 0]);
    // By an earlier rule, users of the pool do not get as far.
    assert_eq!(told(true, "", course, cron), [""; 0]);
    let refused =
        "service = \"cron\"\naction = \"deny\"\n[[rule]]\nuser = \"a\"\nprofile = \"batch\"";
    assert_eq!(told(true, "", refused, course), [""; 0]);
}

#[test]
fn limits_that_are_slips_of_units() {
    let told = |profile: &str, tests: &str| {
        let body = format!("[profile.a]\n{profile}\n[[rule]]\nprofile = \"a\"\n{tests}\n");
        warnings(&body, &site(&[]))
    };
    let kib =
        "hardly a program starts with so little; limits.conf(5) has KiB, and this is in bytes";
    let minutes = "then a shell is killed; limits.conf(5) has minutes, and this is in seconds";
    for (limit, warning) in [
        ("stack = 8192", format!("`stack` of 8192 bytes | {kib}")),
        ("stack = \"127K:8M\"", format!("`stack` of 130048 bytes | {kib}")),
        ("as = 4194304", format!("`as` of 4194304 bytes | {kib}")),
        ("data = \"15M\"", format!("`data` of 15728640 bytes | {kib}")),
        ("cpu = 10", format!("`cpu` of 10 seconds | {minutes}")),
        (
            "nofile = \"1024:1048577\"",
            "this machine gives nobody so many files | fs.nr_open is 1048576: logins that get this fail".into(),
        ),
    ] {
        let limits = format!("rlimits = {{ {limit} }}");
        assert_eq!(told(&limits, ""), [format!("3:13 {warning}")], "{limit}");
    }
    for limit in [
        "stack = \"128K\"",
        "as = \"16M\"",
        "data = \"infinity\"",
        "cpu = \"1min\"",
        "core = 0",
        "nofile = 1048576",
    ] {
        let limits = format!("rlimits = {{ {limit} }}");
        assert_eq!(told(&limits, ""), [""; 0], "{limit}");
    }
    assert_eq!(told("rlimits.nofile = 1048577", "host = \"big*\""), [""; 0]);
}

#[test]
fn caps_under_which_all_stand_still() {
    let told = |caps: &str, body: &str| warnings(&body.replace("CAPS", caps), &site(&[]));
    let stalls = |high: &str, why: &str| {
        let caps = format!("memory_high = {high}\nmemory_max = \"8G\"\n");
        (caps, format!("memory_high of {why}"))
    };
    let slow = |rate: &str, bytes: u32| {
        let caps = format!("io_write_bandwidth_max = {{ \"/srv\" = {rate}, \"/\" = \"50M\" }}\n");
        let label = "a number alone is bytes: megabytes are written \"50M\"";
        (
            caps,
            format!("a bandwidth of {bytes} bytes a second | {label}"),
        )
    };
    for (caps, warning) in [
        stalls(
            "4",
            "4 holds no login | a number alone is bytes; did you mean \"4G\"?",
        ),
        stalls("\"15M\"", "15M holds no login | at least 16M"),
        slow("50", 50),
        slow("\"9K\"", 9000),
    ] {
        for body in [
            "[profile.a.user]\nCAPS[[rule]]\nprofile = \"a\"",
            "[profile.a.session]\nCAPS[[rule]]\nprofile = \"a\"\nservice = \"cron\"",
            "[everyone]\nCAPS",
            "[pool.p]\nCAPS",
        ] {
            assert_eq!(told(&caps, body), [format!("3:1 {warning}")], "{body}");
        }
    }
    for (caps, _) in [stalls("\"16M\"", ""), slow("\"10K\"", 0)] {
        assert_eq!(told(&caps, "[everyone]\nCAPS"), [""; 0]);
    }
}

#[test]
fn a_users_cap_above_the_pools() {
    let body = |user: &str| {
        format!(
            "[pool.cs]\nmemory_max = \"16G\"\n[profile.a]\nuser = {{ {user} }}\npool = \"cs\"\n\
             [[rule]]\nprofile = \"a\"\n"
        )
    };
    assert_eq!(
        warnings(&body("memory_max = \"17G\", tasks_max = 9"), &site(&[])),
        ["5:10 the user's memory_max is above the pool's | it never matters"]
    );
    assert!(warnings(&body("memory_max = \"50% of pool\""), &site(&[])).is_empty());
}

#[test]
fn cpus_nodes_and_disks_that_this_machine_has_not() {
    let body = |tests: &str, all: &str| {
        let caps = |number: u8| format!("allowed_memory_nodes = \"{number}\"");
        let (pool, user, session) = (caps(2), caps(3), caps(4));
        format!(
            "[pool.cs]\n{pool}\n[profile.a]\npool = \"cs\"\nuser = {{ {user} }}\n\
             session = {{ {session}, io_read_iops_max = {{ \"/nfs/home\" = 5, \"/srv\" = 5, \"/home/bob\" = 5 }} }}\n{all}\n[[rule]]\n{tests}\nprofile = \"a\"\n"
        )
    };
    let told = |line: &str, key: &str, here: &str| {
        format!(
            "{line} this machine has none of these {key} | it has {here}: logins that get this fail"
        )
    };
    assert_eq!(
        warnings(
            &body("uid = \"1-\"", "[everyone]\nallowed_cpus = \"16-\""),
            &site(&[])
        ),
        [
            told("3:1", "allowed_memory_nodes", "0-1"),
            told("6:10", "allowed_memory_nodes", "0-1"),
            told("7:13", "allowed_memory_nodes", "0-1"),
            "7:41 not root alone decides which disk /home/bob means | it is somebody's".into(),
            "7:41 /nfs/home cannot be capped here | it has no disk: logins that get this fail"
                .into(),
            told("9:1", "allowed_cpus", "0-15"),
        ]
    );
    for others in ["host = \"big*\"", "role = \"big\""] {
        assert_eq!(warnings(&body(others, ""), &site(&[])), [""; 0]);
    }
}

#[test]
fn cpus_of_a_session_or_a_user_that_lie_outside_of_what_holds_them() {
    let body = |pool: &str, user: &str, session: &str| {
        format!(
            "[pool.cs]\n{pool}\n[profile.a]\nuser = {{ {user} }}\nsession = {{ {session} }}\n\
             pool = \"cs\"\n[[rule]]\nprofile = \"a\"\n"
        )
    };
    for key in ["allowed_cpus", "allowed_memory_nodes"] {
        let one = |ids: &str| format!("{key} = \"{ids}\"");
        assert_eq!(
            warnings(&body("", &one("0"), &one("1")), &site(&[])),
            [format!(
                "6:13 the session's {key} has none of the user's | the kernel gives all of those instead"
            )]
        );
        assert_eq!(
            warnings(&body(&one("0"), &one("1"), ""), &site(&[])),
            [format!(
                "5:10 the user's {key} has none of the pool's | the kernel gives all of those instead"
            )]
        );
        let everyone = format!(
            "[everyone]\n{}\n{}",
            one("1"),
            body(&one("0"), &one("0"), "")
        );
        let told = |place: &str, whose: &str| {
            format!(
                "{place} the {whose} {key} has none of everyone's | the kernel gives all of those instead"
            )
        };
        assert_eq!(
            warnings(&everyone, &site(&[])),
            [told("5:1", "pool's"), told("7:10", "user's")]
        );
        assert_eq!(
            warnings(&body(&one("0-1"), &one("1"), &one("1-")), &site(&[])),
            [""; 0]
        );
    }
}

#[test]
fn what_another_key_of_the_profile_takes_away() {
    let told = |profile: &str, rule: &str| {
        let body = format!("[profile.a]\n{profile}\n[[rule]]\nprofile = \"a\"\n{rule}\n");
        warnings(&body, &site(&[]))
    };
    assert_eq!(
        told("namespaces = { pid = true, ipc = true }", ""),
        [
            "3:16 `pid` without a mount namespace | /proc is the host's",
            "3:28 `ipc` without a mount namespace | /dev/mqueue is the host's"
        ]
    );
    for mount in ["pid = true, ipc = true, mount = true", "pid = false"] {
        assert_eq!(told(&format!("namespaces = {{ {mount} }}"), ""), [""; 0]);
    }
    let net = "3:16 `net` with a way back to the host's network | it needs `pid`, `mount`, `user` or no_new_privs, and \
               a user_manager that is out of reach";
    for (and, expected) in [
        ("user = \"identity\"", &[net][..]),
        ("pid = true, mount = true", &[net]),
        (
            "user = \"identity\", pid = true, mount = true, user_manager = \"host\"",
            &[net],
        ),
        ("user = \"identity\", pid = true, mount = true", &[]),
        (
            "pid = true, mount = true, user_manager = \"hidden\" }\nprivileges = { no_new_privs = true",
            &[],
        ),
    ] {
        assert_eq!(
            told(&format!("namespaces = {{ net = true, {and} }}"), ""),
            expected,
            "{and}"
        );
    }
    assert_eq!(told("namespaces = { net = false }", ""), [""; 0]);
    let keep = "3:1 `cgroup = \"keep\"` with caps or linger | no cap is set, and nothing lingers";
    for (and, expected) in [
        ("session = { tasks_max = 9 }", &[keep][..]),
        ("user = { tasks_max = 9 }", &[keep]),
        ("logout = { linger = \"1h\" }", &[keep]),
        ("logout = { linger = \"0s\", grace = \"1s\" }", &[]),
        ("namespaces = { uts = true }", &[]),
    ] {
        assert_eq!(
            told(&format!("cgroup = \"keep\"\n{and}"), ""),
            expected,
            "{and}"
        );
    }
    assert_eq!(
        told("cgroup = \"own\"\nlogout = { linger = \"1h\" }", ""),
        [""; 0]
    );
    // The caps of a user are not this rule's.
    let body = "[profile.base]\nuser = { tasks_max = 9 }\n[profile.job]\ninherits = \"base\"\ncgroup = \"keep\"\n\
        [[rule]]\nservice = \"slurm\"\nprofile = \"job\"\n[[rule]]\nprofile = \"base\"\n";
    assert_eq!(warnings(body, &site(&[])), [""; 0]);
}

#[test]
fn a_private_tmp_or_shm_that_memory_max_does_not_hold() {
    let told = |tmp: &str, caps: &str| {
        let namespaces = format!("namespaces = {{ mount = true, private_tmp = \"{tmp}\" }}");
        let body = format!("[profile.a]\n{namespaces}\n{caps}\n[[rule]]\nprofile = \"a\"\n");
        warnings(&body, &site(&[]))
    };
    let warning = "3:30 this private_tmp is not below memory_max | it is charged to that, and who fills it has \
                   programs killed: write \"disk\", or less";
    for (tmp, caps, expected) in [
        ("1G", "user = { memory_max = \"1G\" }", &[warning][..]),
        ("1023M", "user = { memory_max = \"1G\" }", &[]),
        ("16G", "user = { memory_max = \"25%\" }", &[warning]),
        ("15G", "user = { memory_max = \"25%\" }", &[]),
        ("disk", "user = { memory_max = \"1G\" }", &[]),
        ("1G", "", &[]),
        ("1G", "user = { memory_max = \"infinity\" }", &[]),
        (
            "1G",
            "user = { memory_max = \"4G\" }\nsession = { memory_max = \"25% of user\" }",
            &[warning],
        ),
    ] {
        assert_eq!(told(tmp, caps), expected, "{tmp} {caps}");
    }
    let shm = |size: &str| {
        told(
            &format!("1M\", private_shm = \"{size}"),
            "user = { memory_max = \"1G\" }",
        )
    };
    let warning = "3:50 this private_shm is not below memory_max | it is charged to that, and who fills it has \
                   programs killed: write less";
    assert_eq!(shm("1G"), [warning]);
    assert_eq!(shm("1023M"), [""; 0]);
    // By a rule for a service, the caps of its users are another rule's.
    let body = "[profile.all]\nuser = { memory_max = \"1G\" }\n[profile.job]\ninherits = \"all\"\n\
                namespaces = { mount = true, private_tmp = \"2G\" }\n[[rule]]\nservice = \"cron\"\n\
                profile = \"job\"\n[[rule]]\nprofile = \"all\"\n";
    assert_eq!(warnings(body, &site(&[])), [""; 0]);
}

#[test]
fn nproc_where_nothing_counts_the_tasks_of_all_logins() {
    let told = |nproc: &str, namespaces: &str, caps: &str| {
        let body = format!(
            "[profile.a]\nrlimits = {{ nproc = {nproc} }}\nnamespaces = {{ {namespaces} }}\n{caps}\n\
             [[rule]]\nprofile = \"a\"\n"
        );
        warnings(&body, &site(&[]))
    };
    let own = "user = \"identity\"";
    let warning =
        "3:13 `nproc` without tasks_max | it counts each login by itself: set tasks_max in `user`";
    for (nproc, namespaces, caps, expected) in [
        ("100", own, "", &[warning][..]),
        ("\"100:infinity\"", own, "", &[]),
        ("100", "mount = true", "", &[]),
        ("100", "user = \"minimal\", scope = \"user\"", "", &[]),
        ("100", own, "user = { tasks_max = 99 }", &[]),
        ("100", own, "session = { tasks_max = \"1%\" }", &[]),
        (
            "100",
            own,
            "user = { tasks_max = \"infinity\" }",
            &[warning],
        ),
    ] {
        let told = told(nproc, namespaces, caps);
        assert_eq!(told, expected, "{nproc} {namespaces} {caps}");
    }
}

#[test]
fn who_may_sudo_and_is_in_a_berth() {
    let site = Site {
        sudoers: vec![login("alice", 1001, &["alice", "sudo"])],
        ..Site::default()
    };
    let body = |exempt: &str, namespaces: &str| {
        format!(
            "[exempt]\n{exempt}\n[profile.a]\nnamespaces = {{ {namespaces} }}\n[[rule]]\nprofile = \"a\"\n"
        )
    };
    assert_eq!(
        warnings(&body("", "pid = true, mount = true"), &site),
        [
            "6:1 alice may use sudo, and is in a berth by this rule | sudo cannot leave it | \
          list the account or its group in [exempt], or give a profile of caps alone"
        ]
    );
    assert_eq!(
        warnings(
            &body("groups = [\"sudo\"]", "pid = true, mount = true"),
            &site
        ),
        [""; 0]
    );
    assert_eq!(warnings(&body("", "uts = true"), &site), [""; 0]);
    // They are looked up by name, and have come by no terminal.
    let mut site = site;
    site.sudoers[0].tty.clear();
    let by_ssh =
        body("", "pid = true, mount = true").replace("[[rule]]", "[[rule]]\ntty = \"ssh\"");
    let told = warnings(&by_ssh, &site);
    assert!(told[0].starts_with("6:1 alice may use sudo"), "{told:?}");
}

#[test]
fn who_may_sudo_and_is_refused() {
    let site = Site {
        sudoers: vec![login("alice", 1001, &["alice", "sudo"])],
        ..Site::default()
    };
    let rule = "[[rule]]\nuser = \"alice\"\naction = \"deny\"\n";
    assert_eq!(
        warnings(rule, &site),
        [
            "2:1 alice may use sudo, and is refused by this rule | only [exempt] comes before this | \
          list the account or its group in [exempt]"
        ]
    );
    let no_match = "defaults.no_match = \"deny\"\n";
    let told = warnings(no_match, &site);
    assert!(
        told[0].starts_with("2:10 alice may use sudo, and is refused by `no_match`"),
        "{told:?}"
    );
    let exempt = format!("{no_match}exempt.groups = [\"sudo\"]\n");
    assert_eq!(warnings(&exempt, &site), [""; 0]);
}

#[test]
fn a_window_that_is_over_before_it_begins() {
    let body = |until: &str| {
        let rule = "[[rule]]\ntime = \"exam\"\naction = \"deny\"\n";
        format!("[time.exam]\nfrom = 2026-12-14T08:45:00\nuntil = {until}\n{rule}")
    };
    for never in ["2026-12-14T08:45:00", "2025-12-14T12:15:00"] {
        assert_eq!(
            warnings(&body(never), &site(&[])),
            ["4:1 this can never match | `from` is not before it"]
        );
    }
    assert_eq!(warnings(&body("2026-12-14T08:46:00"), &site(&[])), [""; 0]);
}

#[test]
fn a_terminal_that_sshd_never_has() {
    let body = "[[rule]]\nservice = \"sshd\"\ntty = \"pts/*\"\naction = \"deny\"\n";
    assert_eq!(
        warnings(body, &site(&[])),
        [
            "4:1 this can never match | under sshd the tty is always \"ssh\" | \
          sshd opens the PAM session before it has a terminal"
        ]
    );
    assert_eq!(warnings(&body.replace("pts/*", "s*"), &site(&[])), [""; 0]);
    assert_eq!(
        warnings(
            &body.replace("\"sshd\"", "[\"sshd\", \"login\"]"),
            &site(&[])
        ),
        [""; 0]
    );
}

#[test]
fn a_terminal_that_is_named_by_its_path() {
    let body =
        |ttys: &str| format!("[[rule]]\nservice = \"login\"\ntty = {ttys}\naction = \"deny\"\n");
    assert_eq!(
        warnings(&body("\"/dev/tty*\""), &site(&[])),
        ["4:1 this can never match | a tty is named without \"/dev/\""]
    );
    let both = body("[\"/dev/tty1\", \"tty2\"]");
    assert_eq!(warnings(&both, &site(&[])), [""; 0]);
}

#[test]
fn a_throttle_without_a_limit() {
    let body = "[profile.a]\nuser = { memory_high = \"1G\" }\n[[rule]]\nprofile = \"a\"\n";
    assert_eq!(
        warnings(body, &site(&[])),
        ["3:10 memory_high without memory_max | past it programs stall, and nothing ends them"]
    );
    let both = body.replace("\"1G\"", "\"1G\", memory_max = \"2G\"");
    assert_eq!(warnings(&both, &site(&[])), [""; 0]);
}

#[test]
fn a_throttle_that_the_limit_keeps_everybody_from_passing() {
    let told = |high: &str, rest: &str| {
        let caps = format!("memory_high = \"{high}\"\nmemory_max = \"16G\"\n");
        let rest = rest.replace("CAPS", &caps);
        let told = warnings(&rest, &site(&[]));
        let expected = "memory_high is not below memory_max | nothing is ever slowed down by it";
        assert!(
            told.len() < 2 && told.iter().all(|one| one.ends_with(expected)),
            "{told:?}"
        );
        told.len() == 1
    };
    let rule = "[[rule]]\nprofile = \"a\"";
    let by_service = format!("[[rule]]\nprofile = \"a\"\nservice = \"cron\"\n{rule}");
    for body in [
        format!("[profile.a.user]\nCAPS{rule}"),
        format!("[profile.a.session]\nCAPS{rule}"),
        format!("[profile.a.session]\nCAPS{by_service}"),
        "[everyone]\nCAPS".into(),
        "[pool.p]\nCAPS".into(),
    ] {
        for high in ["16G", "17G", "25%"] {
            assert!(told(high, &body), "{high} {body}");
        }
        for high in ["15G", "infinity"] {
            assert!(!told(high, &body), "{high} {body}");
        }
    }
}

#[test]
fn a_policy_with_warnings_only_can_be_used() {
    let checked = Written::new("version = 1\n[profile.a]\n").check_on(&site(&[]));
    assert!(checked.policy.is_some());
    assert_eq!(checked.diagnostics[0].severity, Severity::Warning);
}

#[test]
fn an_accounting_file_that_cannot_be_written_and_what_is_about_none() {
    let good = "[accounting]\nfile = \"/var/log/berth/sessions.jsonl\"\nkeep = \"90d\"\n";
    assert_eq!(warnings(good, &site(&[])), [""; 0]);
    let closed = Site {
        accounting_problem: Some("the directory's owner is not root"),
        ..Site::default()
    };
    assert_eq!(
        warnings(good, &closed),
        [
            "3:1 nothing can be written here | the directory's owner is not root | \
          the folder must be there but for its last part, and nobody but root may write to it"
        ]
    );
    assert_eq!(
        warnings("[accounting]\njournal = false\n", &closed),
        [""; 0]
    );
    assert_eq!(
        warnings("[accounting]\nkeep = \"90d\"\n", &site(&[])),
        ["3:1 there is no `file` that this could be about | "]
    );
}

#[test]
fn an_accounting_file_is_roots_from_the_root_on() {
    use berth_config::{Site as _, ThisMachine};
    let me = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me));
    assert_eq!(me.unwrap(), 0, "this test must be run by root");
    let written = Written::new("");
    let folder = &written.folder;
    let machine = ThisMachine { cgroup_root: None };
    let problem = |path: &str| machine.accounting_problem(&folder.join(path));
    assert_eq!(problem("sessions"), None);
    assert_eq!(
        problem("berth/sessions"),
        None,
        "made with the first session"
    );
    assert!(problem("a/b/sessions").unwrap().starts_with("cannot read "));
    assert_eq!(problem("").unwrap(), "it is a folder");
    std::fs::create_dir(folder.join("berth")).unwrap();
    let _ = std::os::unix::fs::chown(folder, Some(1001), None);
    for path in ["sessions", "berth/sessions"] {
        let told = problem(path).unwrap();
        assert!(
            told.ends_with("the directory's owner is not root"),
            "{told}"
        );
    }
}

#[test]
fn logins_that_are_to_stand_are_refused_under_systemd_and_that_is_said() {
    let body = "[defaults]\nfrozen_login = \"freeze\"\n";
    let systemd = Site {
        systemd: true,
        ..Site::default()
    };
    assert_eq!(warnings(body, &Site::default()), [""; 0]);
    assert_eq!(
        warnings(body, &systemd),
        [
            "3:1 logins of who is frozen are refused here | systemd starts nothing in a slice that is frozen"
        ]
    );
    assert_eq!(
        warnings("[defaults]\nfrozen_login = \"deny\"\n", &systemd),
        [""; 0]
    );
}
