//! Rules that ask for a terminal which no login has.

use super::Checker;
use crate::diagnostic::Finding;
use crate::setting::{set, value};

/// sshd opens the session before it has a terminal, and says `ssh` for one. And a terminal is looked at by its name.
pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let services = value(&rule.tests.service);
        let only_sshd = services.is_some_and(|services| {
            let mut services = services.0.iter();
            services.all(|service| service.literal() == Some("sshd"))
        });
        let except = rule.except.as_ref();
        for (setting, told) in [
            (&rule.tests.tty, "this can never match"),
            (
                except.map_or(&None, |except| &except.tty),
                "this excepts nobody",
            ),
        ] {
            let Some((setting, ttys)) = set(setting) else {
                continue;
            };
            let mut warn = |label: &str, note: Option<&str>| {
                let warning = Finding::warning(setting.at, told, label);
                checker.findings.push(match note {
                    Some(note) => warning.note(note),
                    None => warning,
                });
            };
            if ttys.0.iter().all(|tty| tty.as_str().starts_with("/dev/")) {
                warn("a tty is named without \"/dev/\"", None);
            }
            if only_sshd && !ttys.0.iter().any(|tty| tty.matches("ssh")) {
                warn(
                    "under sshd the tty is always \"ssh\"",
                    Some("sshd opens the PAM session before it has a terminal"),
                );
            }
        }
    }
}
