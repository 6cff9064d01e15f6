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
