//! Rules by which somebody comes without caps.

use super::{site, warnings};

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
fn several_rules_may_be_for_all_whom_a_rule_for_a_service_matches() {
    let told = |tests: &str, rest: &str| {
        let body = format!(
            "[profile.student]\nuser = {{ memory_max = \"1G\" }}\n[profile.batch]\n\
             [[rule]]\nservice = \"cron\"\n{tests}\nprofile = [\"student\", \"batch\"]\n\
             [[rule]]\ngroup = \"cs101\"\nprofile = \"student\"\n\
             [[rule]]\ngroup = \"cs202\"\nprofile = \"student\"\n{rest}\n"
        );
        let told = warnings(&body, &site(&["cs101", "cs202", "cs303"]));
        assert!(told.len() < 2, "{told:?}");
        !told.is_empty()
    };
    assert!(!told("group = [\"cs101\", \"cs202\"]", ""));
    assert!(!told("group = [\"cs202\", \"cs101\"]\nuser = \"a*\"", ""));
    let third = "group = [\"cs101\", \"cs202\", \"cs303\"]";
    assert!(told(third, ""));
    assert!(told(
        third,
        "[[rule]]\ngroup = \"cs303\"\naction = \"deny\""
    ));
    assert!(!told(
        third,
        "[[rule]]\ngroup = \"cs303\"\nprofile = \"batch\""
    ));
}

#[test]
fn a_rule_with_an_action_may_be_the_user_rule_of_some() {
    let told = |before: &str, between: &str, behind: &str| {
        let action = |group: &str| match group {
            "" => String::new(),
            group => format!("[[rule]]\ngroup = \"{group}\"\naction = \"exempt\"\n"),
        };
        let [before, between, behind] = [before, between, behind].map(action);
        let body = format!(
            "[profile.student]\nuser = {{ memory_max = \"1G\" }}\n[profile.batch]\n{before}\
             [[rule]]\nservice = \"cron\"\nprofile = [\"student\", \"batch\"]\n{between}\
             [[rule]]\nuid = \"1000-\"\nprofile = \"student\"\n\
             [[rule]]\nprofile = \"student\"\n{behind}"
        );
        warnings(&body, &site(&["staff"]))
    };
    assert_eq!(
        told("", "staff", ""),
        [
            "5:1 who comes by this rule may have no caps | users whom policy.toml:8 matches get no caps from a later rule | \
             a user's caps never depend on the login: they come from the user rule"
        ]
    );
    assert_eq!(told("staff", "", ""), [""; 0]);
    assert_eq!(told("", "", ""), [""; 0]);
    assert!(
        told("", "", "staff")
            .iter()
            .all(|one| one.contains("never reached"))
    );
}

#[test]
fn a_rule_for_a_service_with_a_part_of_what_somebody_may_not_have() {
    let told = |of: &str, tests: &str, rules: &str| {
        let body = format!(
            "[pool.a]\nmemory_max = \"4G\"\n[pool.b]\n[profile.cron]\nsession = {{ memory_max = \"50% of {of}\" }}\n\
             [profile.student]\nuser = {{ memory_max = \"2G\" }}\n[profile.plain]\n\
             [[rule]]\nservice = \"cron\"\n{tests}\nprofile = \"cron\"\n{rules}\n"
        );
        let mut told = warnings(&body, &site(&["students"]));
        told.retain(|one| one.contains("part of"));
        told
    };
    let student = "[[rule]]\ngroup = \"students\"\nprofile = \"student\"\npool = \"a\"\n";
    let one = "[[rule]]\nuser = \"x\"\nprofile = \"plain\"\npool = \"b\"\n";
    let all = "[[rule]]\nprofile = \"student\"\npool = \"a\"\n";
    for of in ["user", "pool"] {
        let warning = |label: &str| {
            [format!(
                "6:13 `memory_max` is a part of the {of}'s, which some who come by policy.toml:10 may not have | {label}: \
                 such logins fail"
            )]
        };
        let nobody = format!(
            "no rule without tests of the login that sets it in the {of} is for all of them"
        );
        assert_eq!(told(of, "", student), warning(&nobody));
        let before = warning("policy.toml:14 comes first for some");
        assert_eq!(told(of, "", &format!("{one}{all}")), before);
        for (tests, rules) in [
            ("", format!("{student}{all}{one}")),
            // Who comes by the one is never of the other.
            ("user = [\"y\", \"z\"]", format!("{one}{all}")),
            ("except = { user = [\"x\", \"y\"] }", format!("{one}{all}")),
            (
                "uid = \"1000-1999\"",
                format!("[[rule]]\nuid = \"2000-\"\nprofile = \"plain\"\npool = \"b\"\n{all}"),
            ),
            ("group = \"students\"", format!("{student}{one}")),
        ] {
            assert_eq!(told(of, tests, &rules), [""; 0], "{tests} {rules}");
        }
    }
}
