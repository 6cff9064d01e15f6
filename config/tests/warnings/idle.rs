//! Profiles and pools that nobody gets.

use super::{site, warnings};

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
