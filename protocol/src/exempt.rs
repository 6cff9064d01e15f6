//! What the module knows of the loaded policy by itself: whom Berth never touches, and what a failure does that leaves
//! the module without the policy's own word.
//!
//! Root and the names under `[exempt]` must be able to log in whatever is broken: the helper, the
//! policy, LDAP. So `berth reload` writes a plain list beside the loaded policy, and the module looks
//! a name up in it, in /etc/passwd and in /etc/group, before anything else happens. The helper uses
//! the same look-up, so the two can never disagree. The list says, too, what becomes of the others where the helper
//! gives no answer: a mistake in Berth must not lock everybody out whose admin has said so.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::OnError;

/// Where `berth reload` installs the list.
pub const EXEMPT_FILE: &str = "/var/lib/berth/exempt";

/// The first line of the list.
const HEADER: &str = "# written by berth reload: whom Berth never touches";

/// What says that a login goes on whose helper gives no answer. Older modules pass over it.
const ALLOW: &str = "on_error allow";

/// No local file is read past this; a longer one is treated as if it ended here.
const MAX_FILE: u64 = 64 << 20;

/// The names, groups and UIDs that `[exempt]` lists. Root is always exempt, listed or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exempt {
    /// User names.
    pub users: Vec<String>,
    /// Group names; members are looked up in /etc/group, a primary group by its GID in /etc/passwd.
    pub groups: Vec<String>,
    /// UIDs, tested for accounts that stand in /etc/passwd.
    pub uids: Vec<RangeInclusive<u32>>,
}

/// Why a list could not be used. Root stays exempt all the same.
#[derive(Debug, thiserror::Error)]
pub enum ExemptError {
    /// The file could not be read.
    #[error("cannot read {EXEMPT_FILE}: {0}")]
    Read(#[from] std::io::Error),
    /// Somebody other than root could have written the file.
    #[error("{EXEMPT_FILE} is not owned by root, or others can write to it: not used")]
    Untrusted,
    /// It is a folder, a FIFO or the like.
    #[error("{EXEMPT_FILE} is not a regular file: not used")]
    NoFile,
}

/// What stands in the list.
#[derive(Debug)]
pub struct List {
    /// Whom Berth never touches.
    pub exempt: Exempt,
    /// What becomes of a login whose helper gives no answer.
    pub unanswered: OnError,
}

impl List {
    /// Reads it. A missing file is an empty list, which says `deny`: no policy has been loaded.
    pub fn load(path: &Path) -> Result<List, ExemptError> {
        let text = read(path)?;
        Ok(List {
            exempt: Exempt::parse(&text),
            unanswered: match text.lines().any(|line| line == ALLOW) {
                true => OnError::Allow,
                false => OnError::Deny,
            },
        })
    }
}

impl Exempt {
    /// Of the installed list.
    pub fn load() -> Result<Exempt, ExemptError> {
        List::load(Path::new(EXEMPT_FILE)).map(|list| list.exempt)
    }

    /// Reads a list: lines of `user NAME`, `group NAME` or `uid FIRST-LAST`. Other lines are passed
    /// over, so that a list from a newer version still exempts whom this one understands.
    pub fn parse(text: &str) -> Exempt {
        let mut exempt = Exempt::default();
        // Not `lines`, which takes a carriage return for a part of the line's end: a name may end with one.
        for line in text.split('\n') {
            match line.split_once(' ') {
                Some(("user", name)) => exempt.users.push(name.into()),
                Some(("group", name)) => exempt.groups.push(name.into()),
                Some(("uid", range)) => {
                    if let Some((Ok(first), Ok(last))) =
                        range.split_once('-').map(|(a, b)| (a.parse(), b.parse()))
                    {
                        exempt.uids.push(first..=last);
                    }
                }
                _ => {}
            }
        }
        exempt
    }

    /// The list as [`List::load`] reads it. Names with a newline cannot be accounts and are left
    /// out.
    pub fn render(&self, unanswered: OnError) -> String {
        let mut text = format!("{HEADER}\n");
        if unanswered == OnError::Allow {
            text.push_str(&format!("{ALLOW}\n"));
        }
        let names = |kind: &str, names: &[String], text: &mut String| {
            for name in names.iter().filter(|name| !name.contains('\n')) {
                text.push_str(&format!("{kind} {name}\n"));
            }
        };
        names("user", &self.users, &mut text);
        names("group", &self.groups, &mut text);
        for uids in &self.uids {
            text.push_str(&format!("uid {}-{}\n", uids.start(), uids.end()));
        }
        text
    }

    /// Whether this account is exempt, as far as local files can tell.
    pub fn covers(&self, user: &[u8]) -> bool {
        self.covers_in(user, Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn covers_in(&self, user: &[u8], passwd: &Path, group: &Path) -> bool {
        let account = find_line(passwd, |fields| fields.first() == Some(&user)).and_then(|line| {
            let fields = fields_of(&line);
            Some((number(fields.get(2)?)?, number(fields.get(3)?)?))
        });
        if let Some((uid, _)) = account {
            if uid == 0 || self.uids.iter().any(|range| range.contains(&uid)) {
                return true;
            }
        }
        if self.users.iter().any(|name| name.as_bytes() == user) {
            return true;
        }
        if self.groups.is_empty() {
            return false;
        }
        find_line(group, |fields| {
            let listed = fields
                .first()
                .is_some_and(|name| self.groups.iter().any(|group| group.as_bytes() == *name));
            let primary = || {
                let gid = fields.get(2).and_then(|gid| number(gid));
                gid.is_some() && gid == account.map(|(_, gid)| gid)
            };
            let member = || {
                fields
                    .get(3)
                    .is_some_and(|members| members.split(|b| *b == b',').any(|m| m == user))
            };
            listed && (primary() || member())
        })
        .is_some()
    }
}

/// What the list says of a login whose helper gives no answer. `deny` where there is none, or nothing that could be
/// believed.
pub fn unanswered(list: &Path) -> OnError {
    List::load(list).map_or(OnError::Deny, |list| list.unanswered)
}

/// The text of a list that only root can have written. One that is missing is empty.
fn read(path: &Path) -> Result<String, ExemptError> {
    // Not blocking: whoever opens a FIFO in its place would wait, and root, too, asks here.
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(String::new());
        }
        Err(error) => return Err(error.into()),
    };
    // Checked on the open file, so that it cannot be exchanged in between.
    let metadata = file.metadata()?;
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(ExemptError::Untrusted);
    }
    if !metadata.is_file() {
        return Err(ExemptError::NoFile);
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn fields_of(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| *byte == b':').collect()
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The first line of a passwd(5) or group(5) file whose fields satisfy `wanted`. What cannot be read
/// matches nothing: NSS then has the word, through the helper.
fn find_line(path: &Path, wanted: impl Fn(&[&[u8]]) -> bool) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(File::open(path).ok()?.take(MAX_FILE));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).ok()? > 0 {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if wanted(&fields_of(&line)) {
            return Some(line);
        }
        line.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::own_folder::Folder;

    fn exempt(users: &[&str], groups: &[&str], uids: &[RangeInclusive<u32>]) -> Exempt {
        Exempt {
            users: users.iter().map(|s| s.to_string()).collect(),
            groups: groups.iter().map(|s| s.to_string()).collect(),
            uids: uids.to_vec(),
        }
    }

    fn covered(list: &Exempt, user: &str) -> bool {
        let folder = Folder::new();
        let passwd = folder.write(
            "passwd",
            "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n\
             alice:x:1001:1001::/:/bin/sh\nbob:x:1002:27::/:/bin/sh\nbroken:x::\nali:x:1003:1003::/:\n",
        );
        let group = folder.write("group", "sudo:x:27:alice,carol\nstaff:x:50:\n");
        list.covers_in(user.as_bytes(), &passwd, &group)
    }

    #[test]
    fn uid_0_is_exempt_under_any_name_and_with_no_list() {
        let none = Exempt::default();
        assert!(covered(&none, "root"));
        assert!(covered(&none, "toor"));
        assert!(!covered(&none, "alice"));
        assert!(!covered(&none, "broken"));
        assert!(!covered(&none, "nobody-knows"));
    }

    #[test]
    fn the_files_that_are_asked_are_this_machines() {
        assert!(Exempt::default().covers(b"root"));
        assert!(!Exempt::default().covers(b"nobody-knows"));
    }

    #[test]
    fn names_groups_and_uids_count() {
        assert!(covered(&exempt(&["alice"], &[], &[]), "alice"));
        assert!(!covered(&exempt(&["alice"], &[], &[]), "ali"));
        assert!(covered(&exempt(&[], &["sudo"], &[]), "alice"), "a member");
        assert!(covered(&exempt(&[], &["sudo"], &[]), "carol"), "the last");
        assert!(
            covered(&exempt(&[], &["sudo"], &[]), "bob"),
            "by the primary group"
        );
        assert!(!covered(&exempt(&[], &["staff"], &[]), "alice"));
        assert!(covered(&exempt(&[], &[], &[1..=999]), "daemon"));
        assert!(
            covered(&exempt(&["ldapadmin"], &[], &[]), "ldapadmin"),
            "not a local account"
        );
    }

    #[test]
    fn the_list_is_believed_only_where_it_is_a_file_of_roots_that_nobody_else_may_write_to() {
        let folder = Folder::new();
        let path = folder.join("exempt");
        let load = || List::load(&path).map(|list| list.exempt);
        assert_eq!(load().unwrap(), Exempt::default(), "no policy is loaded");
        assert_eq!(unanswered(&path), OnError::Deny, "no policy is loaded");
        let list = exempt(&["ldapadmin"], &[], &[]);
        std::fs::write(&path, list.render(OnError::Allow)).unwrap();
        let chmod = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for (mode, trusted) in [(0o644, true), (0o664, false), (0o646, false)] {
            chmod(mode);
            assert_eq!(unanswered(&path) == OnError::Allow, trusted, "{mode:o}");
            match load() {
                Ok(read) => assert!(trusted && read == list, "{mode:o}: {read:?}"),
                Err(error) => assert!(!trusted && matches!(error, ExemptError::Untrusted)),
            }
        }
        chmod(0o644);
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(matches!(load(), Err(ExemptError::Untrusted)));
        std::fs::remove_file(&path).unwrap();
        // Whoever waited for a writer here would never log in.
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(matches!(load(), Err(ExemptError::NoFile)));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(matches!(load(), Err(ExemptError::Read(_))));
    }

    #[test]
    fn a_list_survives_writing_and_reading() {
        let list = exempt(&["a b", "c", "d\r"], &["sudo"], &[1..=999, 65534..=65534]);
        let [allow, deny] = [OnError::Allow, OnError::Deny].map(|word| list.render(word));
        assert_eq!(Exempt::parse(&allow), list);
        assert_eq!(Exempt::parse(&deny), list);
        assert!(allow.contains("\non_error allow\n") && !deny.contains("on_error"));
        for forged in ["x\nuser alice", "x\non_error allow"] {
            let text = exempt(&[forged], &[], &[]).render(OnError::Deny);
            assert_eq!(text, format!("{HEADER}\n"));
        }
    }
}
