//! What nothing refers to, and pools that nobody gets.

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
fn a_pool_or_a_window_that_nothing_names() {
    let body = "[pool.a]\n[pool.b]\n[pool.c]\n[profile.p]\npool = \"a\"\n\
                [time.exam]\ndays = \"mon\"\n[time.night]\ndays = \"mon\"\n[time.exma]\ndays = \"tue\"\n\
                [[rule]]\ntime = \"exam\"\nexcept = { time = \"night\" }\naction = \"deny\"\n\
                [[rule]]\nuser = \"u\"\nprofile = \"p\"\npool = \"b\"\n[[rule]]\nprofile = \"p\"\n";
    assert_eq!(
        warnings(body, &site(&[])),
        [
            "4:7 no rule or profile names pool `c` | ",
            "11:7 no rule tests time `exma` | "
        ]
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
fn a_profile_that_a_list_names_twice() {
    let body = "[profile.a]\n[profile.b]\ninherits = [\"a\", \"a\"]\n[[rule]]\nprofile = [\"b\", \"a\", \"b\"]\n";
    assert_eq!(
        warnings(body, &site(&[])),
        [
            "4:13 this list names profile `a` again | only the last one counts",
            "6:12 this list names profile `b` again | only the last one counts"
        ]
    );
}
