//! What Berth's lines in a file would open: whom the stack refuses without them it would let in with them.

use berth_config::pam_files::{Entry, Folders};

/// What would be open, and what keeps it shut.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    pub what: String,
    pub remedy: &'static str,
}

const INCLUDE_ACCOUNT: &str = "put \"account include other\" at its end";
const INCLUDE_SESSION: &str = "put \"session include other\" at its end";

/// A pam_deny at the end would refuse everybody where a success does not end the stack (`optional`, `[success=ok ...]`).
const REFUSE: &str = "make one of them \"required\", or, if each is \"sufficient\", put \"account required pam_deny.so\" at its end";

/// What is open in a service's stack once Berth's lines are in it.
pub fn open(folders: &Folders, service: &str, text: &str) -> Option<Open> {
    let others = |kind| {
        let mut entries = folders.stack(service, text, kind);
        entries.retain(|entry| !entry.is_berth());
        entries
    };
    let account = others("account");
    for (kind, entries) in [("account", &account), ("session", &others("session"))] {
        if entries.is_empty() {
            // libpam then takes those of "other", but not where there is one line: Berth's.
            return Some(Open {
                what: format!(
                    "it has no {kind} line of its own, so that of /etc/pam.d/other counts, and would not beside Berth's"
                ),
                remedy: match kind {
                    "account" => INCLUDE_ACCOUNT,
                    _ => INCLUDE_SESSION,
                },
            });
        }
    }
    // Berth's lets in, and the failure of one that is "sufficient" is passed over. Without Berth's nobody would have said yes,
    // unless the stack refuses nobody as it is.
    let refuses_nobody = account
        .iter()
        .all(|entry| entry.module.ends_with("pam_permit.so"));
    (!refuses_nobody && !account.iter().any(Entry::may_refuse)).then(|| Open {
        what: "none of its own account lines can refuse a login; with Berth's line, everybody whom Berth lets in would get in".into(),
        remedy: REFUSE,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_stack_that_lives_on_others_or_in_which_nobody_refuses_would_be_open() {
        const OTHER: Option<&str> = Some(INCLUDE_ACCOUNT);
        const SESSION: Option<&str> = Some(INCLUDE_SESSION);
        let folder = Folder::with(&[
            ("some", "account required pam_a.so\n"),
            ("none", "# nothing\n"),
        ]);
        for (account, session, line) in [
            ("", "session required pam_unix.so", OTHER),
            ("@include none", "session required pam_unix.so", OTHER),
            ("account required pam_unix.so", "", SESSION),
            (
                "account required pam_unix.so",
                "session optional pam_a.so",
                None,
            ),
            ("@include some", "session optional pam_a.so", None),
            ("account substack some", "session optional pam_a.so", None),
            (
                "account sufficient pam_a.so",
                "session optional pam_a.so",
                Some(REFUSE),
            ),
            (
                "account [success=ok default=ignore] pam_a.so",
                "session optional pam_a.so",
                Some(REFUSE),
            ),
            (
                "account optional pam_permit.so",
                "session optional pam_a.so",
                None,
            ),
            (
                "account [success=ok default = die] pam_a.so",
                "session optional pam_a.so",
                None,
            ),
        ] {
            let text = format!("auth required pam_a.so\n{account}\n{session}\n");
            for text in [crate::pam_stack::lines::put(&text).unwrap(), text] {
                let open = open(&Folders::from(&*folder), "x", &text);
                assert_eq!(open.as_ref().map(|open| open.remedy), line, "{text}");
            }
        }
    }

    #[test]
    fn no_stack_of_debians_would_be_open() {
        let debian = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian");
        for folder in ["12", "13"].map(|version| debian.join(version)) {
            for service in ["sshd", "login", "su", "su-l", "cron", "atd"] {
                let text = fs::read_to_string(folder.join(service)).unwrap();
                let open = open(&Folders::from(&*folder), service, &text);
                assert_eq!(open, None, "{folder:?} {service}");
            }
        }
    }
}
