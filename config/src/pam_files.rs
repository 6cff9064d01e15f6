//! PAM's files as libpam reads them: entries, continued lines, and what they include.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A stack includes others; not deeper than this.
const INCLUDE_DEPTH: usize = 8;

/// One entry of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file's name, which is the service's.
    pub file: String,
    /// The first and the last line of it, counted from 0.
    pub lines: (usize, usize),
    /// `auth`, `account`, `password`, `session`, in small letters; or `@include`.
    pub kind: String,
    /// `required`, `[success=1 default=ignore]`; empty for `@include`.
    pub control: String,
    /// The module, or the file that is included.
    pub module: String,
    /// The module's arguments.
    pub arguments: Vec<String>,
    /// In how many substacks it is. What ends one, or jumps in it, leads no further than to its end.
    pub level: usize,
}

impl Entry {
    /// Whether it is a module of this name (without `.so`, and wherever it stands).
    pub fn is(&self, module: &str) -> bool {
        let file = self.module.rsplit('/').next().unwrap_or_default();
        self.includes().is_none() && file.trim_end_matches(".so") == module
    }

    /// Whether it is Berth's module.
    pub fn is_berth(&self) -> bool {
        self.is("pam_berth") || self.is("libpam_berth")
    }

    /// Whether it is Berth's, and opens a session.
    pub fn opens(&self) -> bool {
        self.is_berth() && !self.has("close")
    }

    /// Whether it has this argument.
    pub fn has(&self, argument: &str) -> bool {
        self.arguments.iter().any(|other| other == argument)
    }

    /// The file that it includes.
    pub fn includes(&self) -> Option<&str> {
        let included = self.kind == "@include" || matches!(&*self.control, "include" | "substack");
        included.then_some(&*self.module)
    }

    /// Whether its success ends the stack, or the substack that it is in, so that what follows is not run.
    pub fn may_end_the_stack(&self) -> bool {
        self.control == "sufficient"
            || self.control.contains("success=done")
            || self.control.contains("default=done")
    }

    /// Whether its failure refuses, whatever the others say.
    pub fn may_refuse(&self) -> bool {
        let mut words = self.control.split(['[', '=', ' ', '\t', ']']);
        words.any(|word| matches!(word, "required" | "requisite" | "bad" | "die"))
    }

    /// How many of the entries below it may be jumped over, as by `[success=2 default=ignore]`. A substack is one of them.
    pub fn may_jump_over(&self) -> usize {
        let words = self.control.split(['=', ' ', '\t', ']']);
        let jumps = words.filter_map(|word| word.parse().ok());
        jumps.max().unwrap_or(0)
    }

    /// `sshd:12`, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.lines.0 + 1)
    }
}

/// A file's entries, and whether its last line waits for another (it ends in a backslash).
pub fn entries(file: &str, text: &str) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue; // Also in the middle of a continued line.
        }
        let (first, mut all) = begun.take().unwrap_or((number, String::new()));
        match line.strip_suffix('\\') {
            Some(line) => {
                all += line;
                all.push(' ');
                begun = Some((first, all));
            }
            None => {
                all += line;
                entries.extend(entry(file, (first, number), &all));
            }
        }
    }
    (entries, begun.is_some())
}

fn entry(file: &str, lines: (usize, usize), text: &str) -> Option<Entry> {
    let (kind, rest) = word(text)?;
    // A module that may be missing.
    let kind = kind.trim_start_matches('-').to_ascii_lowercase();
    let (control, rest) = match &*kind {
        "@include" => ("", rest),
        _ => word(rest)?,
    };
    let (module, mut rest) = word(rest)?;
    let mut arguments = Vec::new();
    while let Some((argument, after)) = word(rest) {
        arguments.push(argument.to_owned());
        rest = after;
    }
    Some(Entry {
        file: file.into(),
        lines,
        kind,
        control: control.to_ascii_lowercase(),
        module: module.into(),
        arguments,
        level: 0,
    })
}

/// The first word, and what follows. Brackets hold one together.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = match text.starts_with('[') {
        true => text.find(']').map(|end| end + 1),
        false => text.find(char::is_whitespace),
    };
    let word = text.split_at(end.unwrap_or(text.len()));
    (!word.0.is_empty()).then_some(word)
}

/// Where PAM's files are.
#[derive(Debug, Clone)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// This machine's: the admin's, and what packages bring.
    pub fn system() -> Folders {
        Folders::under(Path::new("/"))
    }

    /// Those of a system that is mounted somewhere.
    pub fn under(root: &Path) -> Folders {
        Folders(
            ["etc/pam.d", "usr/lib/pam.d"]
                .map(|folder| root.join(folder))
                .into(),
        )
    }

    /// Each of them, the admin's first.
    pub fn each(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// The file of a service, and its text. Comments may have any encoding.
    pub fn read(&self, service: &str) -> std::io::Result<(PathBuf, String)> {
        for folder in &self.0 {
            let path = folder.join(service);
            match fs::read(&path) {
                Ok(text) => return Ok((path, String::from_utf8_lossy(&text).into_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// The names of all files.
    pub fn names(&self) -> BTreeSet<String> {
        let folders = self.0.iter().filter_map(|folder| fs::read_dir(folder).ok());
        let names = folders.flatten().flatten().map(|file| file.file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    }

    /// Whether a file is a package's, or a link to one.
    pub fn is_of_package(&self, path: &Path) -> bool {
        let of_packages = self.0.iter().skip(1).map(fs::canonicalize);
        let mut of_packages = of_packages.filter_map(std::io::Result::ok);
        fs::canonicalize(path).is_ok_and(|path| of_packages.any(|folder| path.starts_with(folder)))
    }

    /// What a package brought for a service, where the admin's file may take its place.
    pub fn of_package(&self, service: &str) -> Option<String> {
        let below_the_first = self.0.iter().skip(1);
        let mut texts = below_the_first.map(|folder| fs::read_to_string(folder.join(service)));
        texts.find_map(Result::ok)
    }

    /// The modules of one kind that a service runs, in order, those of included files too.
    pub fn modules(&self, service: &str, text: &str, kind: &str) -> Vec<Entry> {
        let mut stack = self.stack(service, text, kind);
        stack.retain(|entry| entry.includes().is_none());
        stack
    }

    /// The same as libpam has it: the line of a substack stands before what is in that.
    pub fn stack(&self, service: &str, text: &str, kind: &str) -> Vec<Entry> {
        let mut stack = Vec::new();
        self.add(&mut stack, service, text, kind, (0, 0));
        stack
    }

    fn add(
        &self,
        stack: &mut Vec<Entry>,
        file: &str,
        text: &str,
        kind: &str,
        (depth, level): (usize, usize),
    ) {
        for mut entry in entries(file, text).0 {
            if entry.kind != kind && entry.kind != "@include" {
                continue;
            }
            entry.level = level;
            let included = entry.includes().map(str::to_owned);
            let is_substack = entry.control == "substack";
            if included.is_none() || is_substack {
                stack.push(entry);
            }
            // What cannot be read has nothing to tell; libpam refuses it.
            let read = |other: String| Some((self.read(&other).ok()?.1, other));
            if let Some((text, other)) = included.filter(|_| depth < INCLUDE_DEPTH).and_then(read) {
                let inside = (depth + 1, level + usize::from(is_substack));
                self.add(stack, &other, &text, kind, inside);
            }
        }
    }
}

/// One folder alone.
impl From<&Path> for Folders {
    fn from(folder: &Path) -> Folders {
        Folders(vec![folder.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_libpam_takes_for_them() {
        let text = "# session required pam_a.so\n\
                    -Session [success=1 default=ignore] /lib/pam_b.so x=1 [y=a b] # z\n\
                    auth \\\n # in between\n\n  required pam_c.so\n\
                    @include common\nsession include su";
        let (entries, waits) = entries("x", text);
        assert!(!waits);
        let told: Vec<_> = entries
            .iter()
            .map(|one| (one.lines, &*one.kind, &*one.control, &*one.module))
            .collect();
        assert_eq!(
            told,
            [
                (
                    (1, 1),
                    "session",
                    "[success=1 default=ignore]",
                    "/lib/pam_b.so"
                ),
                ((2, 5), "auth", "required", "pam_c.so"),
                ((6, 6), "@include", "", "common"),
                ((7, 7), "session", "include", "su"),
            ]
        );
        assert_eq!(entries[0].arguments, ["x=1", "[y=a b]"]);
        assert!(entries[0].is("pam_b") && !entries[0].is("pam"));
        assert_eq!(entries[3].includes(), Some("su"));
        assert_eq!(entries.iter().map(Entry::may_jump_over).max(), Some(1));
    }

    #[test]
    fn a_jump_is_as_long_as_the_longest_of_its_entry() {
        for (control, jump) in [
            ("required", 0),
            ("[success=ok default=bad]", 0),
            ("[success=1 new_authtok_reqd=done default=ignore]", 1),
            ("[success=ok user_unknown = 12 default=2]", 12),
        ] {
            let text = format!("account {control} pam_a.so x=5");
            let (entries, _) = entries("x", &text);
            assert_eq!(entries[0].may_jump_over(), jump, "{control}");
        }
    }

    #[test]
    fn a_last_line_that_ends_in_a_backslash_waits_for_another() {
        assert!(entries("x", "session required pam_a.so \\\n# end\n").1);
        assert!(!entries("x", "# no entry \\\n").1);
    }
}
