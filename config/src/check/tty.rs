//! Rules that ask for a terminal which no login has.

use super::Checker;
use crate::diagnostic::Finding;
use crate::setting::value;

/// sshd opens the session before it has a terminal, and says `ssh` for one. And a terminal is looked at by its name.
pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
        if let Some(setting) = &rule.tests.tty {
            let ttys = setting.value.as_ref();
            if ttys.is_some_and(|ttys| ttys.0.iter().all(|tty| tty.as_str().starts_with("/dev/"))) {
                checker.findings.push(Finding::warning(
                    setting.at,
                    "this can never match",
                    "a tty is named without \"/dev/\"",
                ));
            }
        }
        let (Some(services), Some(ttys)) = (value(&rule.tests.service), value(&rule.tests.tty))
        else {
            continue;
        };
        let only_sshd = services
            .0
            .iter()
            .all(|service| service.literal() == Some("sshd"));
        let no_ssh = !ttys.0.iter().any(|tty| tty.matches("ssh"));
        if let (Some(setting), true, true) = (&rule.tests.tty, only_sshd, no_ssh) {
            checker.findings.push(
                Finding::warning(
                    setting.at,
                    "this can never match",
                    "under sshd the tty is always \"ssh\"",
                )
                .note("sshd opens the PAM session before it has a terminal"),
            );
        }
    }
}
