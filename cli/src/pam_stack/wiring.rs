//! How a service stands to Berth.

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;

use berth_config::pam_files::{Entry, Folders};
use berth_protocol::service::{MANAGER, is_never_joined};

use super::lines;
use super::order::after_the_join;

/// How a service stands to Berth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wiring {
    /// Berth's lines stand where they belong.
    Enabled,
    /// It includes another service's file, which has them.
    Through(String),
    /// Somebody has put the module in, and nothing runs after it.
    ByHand,
    /// The module is there, but not as it should be.
    Wrong(Wrong),
    /// It has no line of Berth's.
    Disabled,
    /// It has none, and should have none.
    Never(&'static str),
    /// There is no such service here.
    Absent,
}

/// What is not as it should be, of which the first that is found is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// This line of Berth's is there, and no session line that opens.
    NoOpening(Entry),
    /// These run after Berth's.
    After(Vec<Entry>),
    /// In the stack of this kind (`session`) its line may be skipped, and how.
    Skipped(&'static str, String),
    /// The session line that opens is there, and no account line.
    NoAccount(Entry),
}

impl Display for Wrong {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::NoOpening(line) => write!(to, "{}: no session line that opens", line.place()),
            Wrong::After(entries) => entries.first().map_or(Ok(()), |first| {
                let (place, name) = (first.place(), &first.module);
                write!(
                    to,
                    "{place}: {name} runs after pam_berth, so inside the berth"
                )
            }),
            Wrong::Skipped(_, how) => to.write_str(how),
            Wrong::NoAccount(line) => write!(to, "{}: no account line", line.place()),
        }
    }
}

impl Wiring {
    pub fn of(folders: &Folders, service: &str) -> std::io::Result<Wiring> {
        let text = match folders.read(service) {
            Ok((_, text)) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Wiring::Absent),
            Err(error) => return Err(error),
        };
        let session = folders.modules(service, &text, "session");
        let account = folders.modules(service, &text, "account");
        let Some(opening) = session.iter().find(|entry| entry.opens()) else {
            let mut all = session.iter().chain(&account);
            return Ok(match (all.find(|entry| entry.is_berth()), never(service)) {
                (Some(entry), _) => Wiring::Wrong(Wrong::NoOpening(entry.clone())),
                (None, Some(why)) => Wiring::Never(why),
                (None, None) => Wiring::Disabled,
            });
        };
        let after = after_the_join(&session);
        let skipped = |kind| {
            let how = skipping(&folders.stack(service, &text, kind))?;
            Some(Wrong::Skipped(kind, how))
        };
        let wrong = match after.is_empty() {
            false => Some(Wrong::After(after)),
            true => skipped("account").or_else(|| skipped("session")),
        };
        let has_account = account.iter().any(Entry::is_berth);
        let no_account = || (!has_account).then(|| Wrong::NoAccount(opening.clone()));
        Ok(match wrong.or_else(no_account) {
            Some(wrong) => Wiring::Wrong(wrong),
            None if lines::put(&text).as_ref() == Ok(&text) => Wiring::Enabled,
            None if opening.file != service => Wiring::Through(opening.file.clone()),
            None => Wiring::ByHand,
        })
    }

    /// Whether logins get what the policy says.
    pub fn is_right(&self) -> bool {
        matches!(
            self,
            Wiring::Enabled | Wiring::Through(_) | Wiring::ByHand | Wiring::Never(_)
        )
    }
}

/// Why a service should have no line of Berth's.
pub fn never(service: &str) -> Option<&'static str> {
    if is_included(service) {
        return Some("other services include it, and have lines after that: name those services");
    }
    match service {
        "sudo" | "sudo-i" => Some("it is there to get out of a berth, and is never joined"),
        MANAGER => None, // Berth starts it, where this is enabled.
        _ if is_never_joined(service.as_bytes()) => {
            Some("it is never joined: lines written by hand give its sessions caps alone")
        }
        _ => None,
    }
}

/// Whether it is a file that services include, by its name.
pub fn is_included(file: &str) -> bool {
    file.starts_with("common-") || matches!(file, "other" | "system-auth" | "password-auth")
}

/// What may end the stack before it comes to Berth's line, or lead over that; an answer if there is such a line.
fn skipping(stack: &[Entry]) -> Option<String> {
    let line = stack.iter().position(Entry::opens)?;
    let others = stack.iter().take(line).enumerate();
    let mut others = others.filter(|(_, entry)| !entry.is_berth() && entry.includes().is_none());
    others.find_map(|(number, entry)| {
        let below = stack.iter().take(line + 1).skip(number + 1);
        if below.clone().any(|other| other.level < entry.level) {
            return None; // Berth's line is not in its substack.
        }
        // The last is Berth's line, or the substack that has it.
        let mut beside = below.filter(|other| other.level == entry.level);
        let how = if entry.may_end_the_stack() {
            "if it succeeds, pam_berth is skipped"
        } else if beside.nth(entry.may_jump_over()).is_none() {
            "it may skip pam_berth"
        } else {
            return None;
        };
        Some(format!(
            "{}: {} is \"{}\", and {how}",
            entry.place(),
            entry.module,
            entry.control
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_stack_is_read_with_what_it_includes() {
        let folder = Folder::new();
        let folders = Folders::from(&*folder);
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let of = |name: &str| Wiring::of(&folders, name).unwrap();
        let plain = "account required pam_unix.so\nsession required pam_unix.so\n";
        write("su", plain);
        write("su-l", "account include su\nsession include su\n");
        write("sudo", plain);
        assert_eq!(of("su"), Wiring::Disabled);
        assert_eq!(of("su-l"), Wiring::Disabled);
        assert_eq!(of("login"), Wiring::Absent);
        assert!(matches!(of("sudo"), Wiring::Never(_)));

        write("su", &lines::put(plain).unwrap());
        assert_eq!(of("su"), Wiring::Enabled);
        assert_eq!(of("su-l"), Wiring::Through("su".into()));
        write("su", &lines::put(plain).unwrap().replace("  ", " "));
        assert_eq!(of("su"), Wiring::Enabled);
        let by_hand = "account required pam_berth.so\nsession required pam_berth.so quiet\n";
        write("su", by_hand);
        assert_eq!(of("su"), Wiring::ByHand);

        let wrong = |text: &str, expected: &str| {
            write("su", text);
            let Wiring::Wrong(why) = of("su") else {
                panic!("{text}: {expected}");
            };
            assert_eq!(why.to_string(), expected);
        };
        wrong(
            &format!("{by_hand}session optional pam_mail.so\n"),
            "su:3: pam_mail.so runs after pam_berth, so inside the berth",
        );
        wrong("session required pam_berth.so\n", "su:1: no account line");
        wrong(
            "account required pam_berth.so\n",
            "su:1: no session line that opens",
        );
        let ends = "session sufficient pam_permit.so\n";
        wrong(
            &lines::put(ends).unwrap(),
            "su:3: pam_permit.so is \"sufficient\", and if it succeeds, pam_berth is skipped",
        );
        let of_sssd = "account sufficient pam_localuser.so\n";
        wrong(
            &format!("{of_sssd}{by_hand}"),
            "su:1: pam_localuser.so is \"sufficient\", and if it succeeds, pam_berth is skipped",
        );
        let jumps = "session [default=2] pam_succeed_if.so\nsession optional pam_a.so\n";
        wrong(
            &lines::put(jumps).unwrap(),
            "su:3: pam_succeed_if.so is \"[default=2]\", and it may skip pam_berth",
        );
        write("su", &lines::put(&jumps.replace('2', "1")).unwrap());
        assert_eq!(of("su"), Wiring::Enabled);
        write("su", &lines::put(of_sssd).unwrap());
        assert_eq!(of("su"), Wiring::Enabled);
        write("su", &format!("{by_hand}{of_sssd}"));
        assert_eq!(of("su"), Wiring::ByHand);
        // libpam does not mind how a comment is encoded.
        let latin = [b"# f\xfcr alle\n", of_sssd.as_bytes()].concat();
        std::fs::write(folder.join("latin"), latin).unwrap();
        wrong(
            &format!("account include latin\n{by_hand}"),
            "latin:2: pam_localuser.so is \"sufficient\", and if it succeeds, pam_berth is skipped",
        );
        // What ends a substack, or what that includes, ends no more than the substack (pam.conf(5)).
        write("local", of_sssd);
        write("auth-of-el", "account include local\n");
        write("su", &format!("account substack auth-of-el\n{by_hand}"));
        assert_eq!(of("su"), Wiring::ByHand);
        write("with-berth", &format!("{of_sssd}{by_hand}"));
        wrong(
            &format!("account substack with-berth\n{by_hand}"),
            "with-berth:1: pam_localuser.so is \"sufficient\", and if it succeeds, pam_berth is skipped",
        );
        wrong(
            &format!("account include auth-of-el\n{by_hand}"),
            "local:1: pam_localuser.so is \"sufficient\", and if it succeeds, pam_berth is skipped",
        );
        // libpam jumps over a substack as over one module (its pam_dispatch.c); what is included counts by itself.
        let two = "account optional pam_a.so\naccount optional pam_b.so\n";
        write("two", two);
        let jump = "account [success=2 default=ignore] pam_c.so\n";
        let over = "su:1: pam_c.so is \"[success=2 default=ignore]\", and it may skip pam_berth";
        wrong(&format!("{jump}account substack two\n{by_hand}"), over);
        wrong(
            &format!("{jump}account substack with-berth\n{by_hand}"),
            over,
        );
        let one_more = format!("{jump}account substack two\naccount optional pam_d.so\n{by_hand}");
        let included = format!("{jump}account include two\n{by_hand}");
        // In a substack the jump leads to its end, and what is nested in that is one.
        write("jumps", &format!("{jump}account substack two\n"));
        let nested = format!("account substack jumps\n{by_hand}");
        for text in [one_more, included, nested] {
            write("su", &text);
            assert_eq!(of("su"), Wiring::ByHand, "{text}");
        }
        write("jumps", &format!("{jump}account substack two\n{by_hand}"));
        wrong(
            &format!("account substack jumps\n{by_hand}"),
            &over.replace("su:1", "jumps:1"),
        );
    }
}
