//! Rules that cannot be told apart.

use super::{site, warnings};

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
