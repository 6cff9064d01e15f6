//! Caps that other caps make useless.

use super::{site, warnings};

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
    // A rule for other machines, which may be as large.
    let others = body("memory_max = \"17G\"") + "role = \"big\"\n";
    assert_eq!(
        warnings(&others.replace("\"16G\"", "\"25%\""), &site(&[])),
        [""; 0]
    );
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
fn a_throttle_without_a_limit() {
    let stalls = |body: &str| {
        let told = warnings(body, &site(&[]));
        let expected =
            "3:1 memory_high without memory_max | past it programs stall, and nothing ends them";
        assert!(told.is_empty() || told == [expected], "{told:?}");
        !told.is_empty()
    };
    let rule = "[[rule]]\nprofile = \"a\"";
    for body in [
        format!("[profile.a.user]\nCAPS{rule}"),
        format!("[profile.a.session]\nCAPS{rule}"),
        "[everyone]\nCAPS".into(),
        format!("[pool.p]\nCAPS[profile.a]\npool = \"p\"\n{rule}"),
    ] {
        for caps in [
            "memory_high = \"1G\"\n",
            "memory_high = \"1G\"\nmemory_max = \"infinity\"\n",
            "memory_high = \"10%\"\nmemory_max = \"unset\"\n",
        ] {
            assert!(stalls(&body.replace("CAPS", caps)), "{caps} {body}");
        }
        for caps in [
            "memory_high = \"1G\"\nmemory_max = \"2G\"\n",
            "memory_high = \"infinity\"\nmemory_max = \"unset\"\n",
            "memory_high = \"unset\"\n",
        ] {
            assert!(!stalls(&body.replace("CAPS", caps)), "{caps} {body}");
        }
    }
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
        "[pool.p]\nCAPS[profile.a]\npool = \"p\"\n[[rule]]\nprofile = \"a\"".into(),
    ] {
        for high in ["16G", "17G", "25%"] {
            assert!(told(high, &body), "{high} {body}");
        }
        for high in ["15G", "infinity"] {
            assert!(!told(high, &body), "{high} {body}");
        }
    }
}
