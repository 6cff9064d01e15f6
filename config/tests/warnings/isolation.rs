//! Keys of a profile that do not fit together.

use super::{site, warnings};
use crate::written::Site;

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
    let keep = "3:1 `cgroup = \"keep\"` with caps, a penalty or linger | its logins set no cap, no penalty applies to them, \
                and nothing lingers";
    let hog = "penalty = \"hog\"\n[penalty.hog]\ncpu_above = \"200%\"\nwindow = \"10min\"\n\
               steps = [\"50%\"]\nstep_time = \"1h\"\nforget = \"3h\"";
    for (and, expected) in [
        ("session = { tasks_max = 9 }", &[keep][..]),
        ("user = { tasks_max = 9 }", &[keep]),
        (hog, &[keep]),
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
        told("cgroup = \"own\"\nsession = { tasks_max = 9 }", ""),
        [""; 0]
    );
    // The caps of a user are not this rule's.
    let body = "[profile.base]\nuser = { tasks_max = 9 }\n[profile.job]\ninherits = \"base\"\ncgroup = \"keep\"\n\
        [[rule]]\nservice = \"slurm\"\nprofile = \"job\"\n[[rule]]\nprofile = \"base\"\n";
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
fn sessions_that_linger_where_nothing_limits_their_number() {
    let told = |logout: &str, user: &str, rule: &str| {
        let body = format!(
            "[profile.a]\nlogout = {{ {logout} }}\nuser = {{ {user} }}\n[profile.b]\ninherits = \"a\"\n\
             [[rule]]\nprofile = \"b\"\n{rule}\n"
        );
        warnings(&body, &site(&[]))
    };
    let warning = "3:12 `linger` without the user's tasks_max | nothing else limits how many sessions linger, each with \
                   processes of Berth's outside of the caps";
    for (logout, user, expected) in [
        ("linger = \"infinity\"", "", &[warning][..]),
        ("linger = \"1h\"", "memory_max = \"1G\"", &[warning]),
        ("linger = \"1h\"", "tasks_max = \"infinity\"", &[warning]),
        ("linger = \"1h\"", "tasks_max = 99", &[]),
        ("linger = \"0s\"", "", &[]),
        ("grace = \"1s\"", "", &[]),
    ] {
        assert_eq!(told(logout, user, ""), expected, "{logout} {user}");
    }
    // The caps of a user are not this rule's.
    let of_login = told("linger = \"1h\"", "", "service = \"cron\"");
    assert!(
        of_login.iter().all(|one| !one.contains("linger")),
        "{of_login:?}"
    );
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
