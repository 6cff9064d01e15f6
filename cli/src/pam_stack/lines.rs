//! Berth's own lines in a PAM file: where they belong, and how they are taken out again.

use berth_config::pam_files::entries;

/// The first of the file.
const BEGINNING: [&str; 2] = [
    // After a login it is the first to be run: back on the host, the other modules clean up there. Where a user
    // namespace leaves no way back it does nothing.
    "session  optional  pam_berth.so close",
    // Above what may end the stack: SSSD's and EL's "account sufficient pam_localuser.so" does, for every local user.
    // Whom the policy denies would get in, to where a login opens no session (`ssh -N`).
    "account  required  pam_berth.so",
];

/// The last of the file, below every include, so that all other modules have run when the login is joined.
const OPEN: &str = "session  required  pam_berth.so open";

/// Why lines cannot be put in.
#[derive(Debug, PartialEq, Eq)]
pub enum Cannot {
    /// Somebody has put the module in otherwise, in these lines.
    Named(Vec<usize>),
    /// The last line ends in a backslash: what is put below would be a part of it.
    Continued,
}

/// The text with Berth's lines where they belong; without those that stand elsewhere.
pub fn put(before: &str) -> Result<String, Cannot> {
    // However wide the blanks are: so the documents' lines are known, too, which somebody has typed.
    let text = without(before, |line, own| line == own)?;
    if entries("", &text).1 {
        return Err(Cannot::Continued);
    }
    // A newline at the end is there, or missing, as it was: the last "line" is what stands after it.
    let mut lines: Vec<&str> = text.split('\n').collect();
    let end = match lines.last() {
        Some(&"") => lines.len() - 1,
        _ => lines.len(),
    };
    lines.insert(end, OPEN);
    let marked = lines
        .first()
        .is_some_and(|first| first.starts_with("#%PAM"));
    let first = usize::from(marked);
    lines.splice(first..first, BEGINNING);
    let with = lines.join("\n");
    // No file is changed for its blanks.
    Ok(match entries("", &with).0 == entries("", before).0 {
        true => before.to_owned(),
        false => with,
    })
}

/// The text without Berth's lines: those that [`put`] puts in, also where they have got more arguments (`timeout=30`).
pub fn taken(text: &str) -> Result<String, Cannot> {
    without(text, |line, own| {
        line.get(..3) == own.get(..3) && own.iter().all(|word| line.contains(word))
    })
}

/// The text without the lines that are one of ours, by their words. With any other of Berth's it would be half out.
fn without(text: &str, is: impl Fn(&[&str], &[&str]) -> bool) -> Result<String, Cannot> {
    let lines: Vec<&str> = text.split('\n').collect();
    let is_own = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut all = BEGINNING.iter().chain([&OPEN]);
        all.any(|own| is(&words, &own.split_whitespace().collect::<Vec<_>>()))
    };
    let entries = entries("", text).0.into_iter();
    let (own, foreign): (Vec<_>, Vec<_>) = entries
        .filter(|entry| entry.is_berth())
        .map(|entry| entry.lines)
        .partition(|(first, last)| first == last && lines.get(*first).is_some_and(is_own));
    if !foreign.is_empty() {
        let numbers = foreign.iter().map(|(first, _)| first + 1);
        return Err(Cannot::Named(numbers.collect()));
    }
    let others = lines.into_iter().enumerate();
    let others = others.filter(|(number, _)| !own.contains(&(*number, *number)));
    let others: Vec<&str> = others.map(|(_, line)| line).collect();
    Ok(others.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_config::pam_files::{Entry, Folders};
    use std::path::{Path, PathBuf};

    /// The files of Debian 12 and 13, with their comments cut.
    fn debian() -> Vec<(PathBuf, String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian");
        let mut files = Vec::new();
        for version in ["12", "13"] {
            let folder = root.join(version);
            for service in ["sshd", "login", "su", "su-l", "cron", "atd", "sudo"] {
                let text = std::fs::read_to_string(folder.join(service)).unwrap();
                files.push((folder.clone(), service.to_owned(), text));
            }
        }
        files
    }

    fn modules(folder: &Path, service: &str, text: &str, kind: &str) -> Vec<Entry> {
        Folders::from(folder).modules(service, text, kind)
    }

    #[test]
    fn debians_files_get_them_around_all_others() {
        for (folder, service, text) in debian() {
            let with = put(&text).unwrap();
            let session = modules(&folder, &service, &with, "session");
            let account = modules(&folder, &service, &with, "account");
            let place = (&folder, &service);
            let (first, last) = (session.first().unwrap(), session.last().unwrap());
            assert!(first.is_berth() && first.has("close"), "{place:?}");
            assert!(last.is_berth() && last.has("open"), "{place:?}");
            assert_eq!(last.control, "required", "{place:?}");
            assert!(account.first().unwrap().is_berth(), "{place:?}");
            // Nothing else is touched, in any stack.
            for kind in ["auth", "account", "password", "session"] {
                let old = modules(&folder, &service, &text, kind);
                let mut new = modules(&folder, &service, &with, kind);
                assert!(kind == "password" || !old.is_empty(), "{place:?} {kind}");
                new.retain(|entry| !entry.is_berth());
                let names = |all: &[Entry]| -> Vec<_> {
                    all.iter()
                        .map(|one| (one.control.clone(), one.module.clone()))
                        .collect()
                };
                assert_eq!(names(&new), names(&old), "{place:?} {kind}");
            }
        }
    }

    #[test]
    fn what_was_put_in_is_taken_out_byte_for_byte() {
        let odd = [
            "",
            "\n",
            "session required pam_a.so",
            "\n\nsession required pam_a.so\n\n\n",
            "#%PAM-1.0\nsession required \\\n pam_a.so # x",
            "session required pam_a.so\r\n# no newline",
        ];
        let odd = odd.map(|text| (PathBuf::new(), String::new(), text.to_owned()));
        for (folder, service, text) in debian().into_iter().chain(odd) {
            let with = put(&text).unwrap();
            assert_ne!(with, text);
            assert_eq!(
                put(&with).as_ref(),
                Ok(&with),
                "{folder:?} {service}: again"
            );
            assert_eq!(taken(&with), Ok(text), "{folder:?} {service}");
        }
    }

    #[test]
    fn lines_that_others_were_put_below_are_moved_to_the_end() {
        let with = put("auth required pam_a.so\n").unwrap();
        let below = format!("{with}session required pam_b.so\n");
        let moved = put(&below).unwrap();
        assert!(moved.ends_with(&format!("pam_b.so\n{OPEN}\n")), "{moved}");
        let others = "auth required pam_a.so\nsession required pam_b.so\n";
        assert_eq!(taken(&moved).unwrap(), others);
    }

    #[test]
    fn a_line_of_somebody_elses_is_left_alone_and_stops_us() {
        for (text, lines) in [
            ("session required pam_berth.so quiet\n", vec![1]),
            ("#\nsession \\\nrequired  pam_berth.so open\n", vec![2]),
            ("session optional /lib/security/pam_berth.so\n", vec![1]),
            // Beside ours, which alone would be half of it; as they are counted in the file.
            (
                "account required pam_berth.so\nsession required pam_berth.so\nauth optional pam_berth.so\n",
                vec![2, 3],
            ),
        ] {
            let named = Err(Cannot::Named(lines));
            assert_eq!(put(text), named, "{text}");
            assert_eq!(taken(text), named, "{text}");
        }
        // A line that looks like ours, and is the end of another.
        let text = format!("session required pam_a.so \\\n{OPEN}\n");
        assert_eq!(taken(&text).as_ref(), Ok(&text));
        assert_eq!(put("auth required pam_a.so \\\n"), Err(Cannot::Continued));
    }

    #[test]
    fn lines_that_somebody_has_typed_are_known_however_wide_their_blanks_are() {
        let text = "auth required pam_a.so\n";
        let typed = format!(
            "session optional pam_berth.so close\naccount\trequired\tpam_berth.so\n{text}\
             session   required   pam_berth.so   open \n"
        );
        assert_eq!(taken(&typed).unwrap(), text);
        assert_eq!(put(&typed).as_ref(), Ok(&typed));
        let below = "session required pam_b.so\n";
        let moved = put(&format!("{typed}{below}"));
        assert_eq!(moved, put(&format!("{text}{below}")));
    }

    #[test]
    fn lines_with_more_arguments_are_taken_out_and_not_put_in_anew() {
        let text = "auth required pam_a.so\n";
        let with = put(text).unwrap();
        let given = with.replace("pam_berth.so", "pam_berth.so timeout=30");
        assert_eq!(taken(&given).unwrap(), text);
        assert!(matches!(put(&given), Err(Cannot::Named(_))));
        let given = given.replace("close", "close # ours");
        assert_eq!(taken(&given).unwrap(), text);
    }

    #[test]
    fn the_first_lines_stand_below_the_mark_of_the_file() {
        let with = put("#%PAM-1.0\nauth include su\n").unwrap();
        assert!(
            with.starts_with(&format!("#%PAM-1.0\n{}\n", BEGINNING.join("\n"))),
            "{with}"
        );
    }
}
