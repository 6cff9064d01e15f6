//! Terminals that no login has.

use super::{site, warnings};

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
