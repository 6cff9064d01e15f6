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

#[test]
fn an_exception_for_a_terminal_that_no_login_has() {
    let told = |tests: &str, tty: &str| {
        let except = format!("except = {{ tty = {tty}, group = \"tas\" }}");
        let body = format!("[[rule]]\n{tests}\n{except}\naction = \"deny\"\n");
        warnings(&body, &site(&["tas"]))
    };
    assert_eq!(
        told("uid = \"1000-\"", "\"/dev/tty*\""),
        ["4:12 this excepts nobody | a tty is named without \"/dev/\""]
    );
    assert_eq!(
        told("service = \"sshd\"", "\"pts/*\""),
        [
            "4:12 this excepts nobody | under sshd the tty is always \"ssh\" | \
          sshd opens the PAM session before it has a terminal"
        ]
    );
    assert_eq!(told("uid = \"1000-\"", "\"pts/*\""), [""; 0]);
    assert_eq!(told("service = \"sshd\"", "\"ssh\""), [""; 0]);
}
