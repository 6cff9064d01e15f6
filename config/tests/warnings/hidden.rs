//! Rules behind wider ones.

use super::{site, warnings};

#[test]
fn a_rule_behind_an_equal_or_a_wider_one() {
    let behind = |first: &str, second: &str| {
        let body = format!(
            "[[rule]]\n{first}\naction = \"deny\"\n[[rule]]\n{second}\naction = \"deny\"\n\
             [time.t]\nhours = \"08:00-09:00\"\n[exempt]\nuids = []\n"
        );
        let mut told = warnings(&body, &site(&["a", "b", "abc"]));
        told.retain(|one| !one.contains("no rule tests time `t`"));
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
fn a_rule_that_excepts_all_logins_that_it_is_for() {
    let excepts_all = |tests: &str, except: &str| {
        let body = format!(
            "[[rule]]\n{tests}\naction = \"deny\"\n[rule.except]\n{except}\n[time.t]\nhours = \"08:00-09:00\"\n"
        );
        let mut told = warnings(&body, &site(&["cs", "cs101", "tas"]));
        told.retain(|one| !one.contains("no rule tests time `t`"));
        let expected = "6:1 this excepts all logins that the rule is for | one of the tests in `except` is enough for that";
        assert!(told.is_empty() || told == [expected], "{told:?}");
        !told.is_empty()
    };
    for (tests, except) in [
        (
            "group = \"cs101\"",
            "group = \"cs101\"\nrhost = \"10.1.0.0/16\"",
        ),
        ("group = [\"cs\", \"cs101\"]", "group = \"cs*\""),
        ("time = \"t\"", "time = \"t\"\ngroup = \"tas\""),
        ("rhost = \"10.1.0.0/16\"", "rhost = \"10.0.0.0/8\""),
        ("uid = 5000", "uid = [\"1000-9999\"]"),
        ("group = \"cs\"", "user = \"*\""),
        ("", "uid = \"0-\""),
        ("", "service = [\"sshd\", \"*\"]"),
    ] {
        assert!(excepts_all(tests, except), "{tests} / {except}");
    }
    for (tests, except) in [
        ("group = \"cs*\"", "group = \"cs101\""),
        ("group = [\"cs\", \"cs101\"]", "group = \"cs101\""),
        ("group = \"cs101\"", "primary_group = \"cs101\""),
        ("uid = \"1000-\"", "uid = \"1000-1999\""),
        ("", "uid = \"1000-\""),
        ("", "user = \"a*\""),
        ("", "rhost = \"*\""),
    ] {
        assert!(!excepts_all(tests, except), "{tests} / {except}");
    }
}
