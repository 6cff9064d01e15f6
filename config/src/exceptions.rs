//! Exceptions: caps that a user has for a while instead of the policy's (`berth set`).
//!
//! One file for each user, by UID, below the folder where the policy in force is; root's alone. It holds the
//! values as the policy language has them, so that percentages are worked out where they are used.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::check;
use crate::decide::{Bases, caps};
use crate::diagnostic::Severity;
use crate::facts::{LocalTime, Login, Machine, disk_of, led_by_others};
use crate::places::Places;
use crate::read::{self, Part};
use crate::source::{self, Source};
use crate::state::{self, StateError};
use crate::tables::CapsTable;
use crate::value::Name;

/// What to do with a file that is damaged.
const REMEDY: &str = "`berth unset` with the user's name or UID removes it";

/// What to do with one that comes to nothing.
const NOT_HERE: &str = "`berth unset` ends it";

/// What to do with one that was made for somebody else.
const REMEDY_OF_ANOTHER: &str = "`berth unset` with the user's name or UID ends it";

/// A cap that is something else for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// For whom it was made. An earlier version did not write it; then it is for whoever has the UID.
    #[serde(default)]
    pub user: Option<String>,
    /// The policy's key, of `[profile.P.user]`.
    pub key: String,
    /// The value, in TOML.
    pub value: String,
    /// When it ends, in seconds since 1970.
    pub until: u64,
    /// Who made it.
    pub by: String,
    /// What for.
    pub reason: Option<String>,
    /// It is over by a clock that may be wrong, and is kept; what it gave has been taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_taken_back: bool,
}

impl Exception {
    /// When it ends.
    pub fn end(&self) -> SystemTime {
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(self.until));
        end.unwrap_or(UNIX_EPOCH)
    }

    /// The value as people write it.
    pub fn shown_value(&self) -> &str {
        self.value.trim_matches('"')
    }

    /// Whether it is over.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.end() <= now
    }

    /// When it ends, as people read it: `12:40`, or with the date if that is another day.
    pub fn until_text(&self) -> String {
        clock_text(self.until)
    }
}

/// `KEY VALUE until TIME`
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value, until) = (&self.key, self.shown_value(), self.until_text());
        write!(f, "{key} {value} until {until}")
    }
}

/// A moment in seconds since 1970 as people read it: `12:40`, or with the date if that is another day.
pub(crate) fn clock_text(moment: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(moment));
    let Some(at) = at.and_then(LocalTime::of) else {
        return format!("{moment} seconds since 1970");
    };
    let (at, now) = (at.to_string(), LocalTime::now().map(|now| now.to_string()));
    let day = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let clock = at.split(' ').nth(1).and_then(|clock| clock.get(..5));
    match (clock, now) {
        (Some(clock), Some(now)) if day(&now) == day(&at) => clock.into(),
        _ => at,
    }
}

/// A user's exceptions that are in force, as a decision takes them.
#[derive(Debug, Default, Clone)]
pub struct Exceptions {
    list: Vec<Exception>,
    pub(crate) table: CapsTable,
}

impl Exceptions {
    /// Those of a user that are not over. A file that cannot be used is an error, and whoever goes on without it
    /// says so.
    pub fn in_force(places: &Places, uid: u32) -> Result<Exceptions, StateError> {
        let mut list = ExceptionFile::of(places, uid).read()?;
        let now = SystemTime::now();
        list.retain(|one| !one.is_over(now));
        let damaged = |why| StateError::Damaged {
            path: ExceptionFile::of(places, uid).path,
            why,
            remedy: REMEDY,
        };
        Exceptions::of(list).map_err(damaged)
    }

    /// Reads their values.
    pub fn of(list: Vec<Exception>) -> Result<Exceptions, String> {
        let table = match list.is_empty() {
            true => CapsTable::default(),
            false => table(&list)?,
        };
        Ok(Exceptions { list, table })
    }

    /// Those of them that were made for this user. `failed` is told of each other one: the UID may be another's by now, or
    /// the user has another name, and nobody can tell these two apart.
    pub fn of_user(
        mut self,
        places: &Places,
        login: &Login,
        mut failed: impl FnMut(&StateError),
    ) -> Exceptions {
        let count = self.list.len();
        self.list.retain(|one| {
            let other = one.user.as_deref().filter(|user| !login.is(user));
            let other = other.map(|user| StateError::Another {
                path: ExceptionFile::of(places, login.uid).path,
                user: user.into(),
                remedy: REMEDY_OF_ANOTHER,
            });
            other.inspect(&mut failed).is_none()
        });
        match self.list.len() == count {
            true => self,
            // Each has been read with the others.
            false => Exceptions::of(self.list).unwrap_or_default(),
        }
    }

    /// Those of them that come to something on this machine: a disk may be gone by now. `failed` is told of each other one,
    /// which takes nothing from the rest, as exceptions may lower caps, too.
    pub(crate) fn here(
        mut self,
        places: &Places,
        uid: u32,
        machine: &Machine,
        mut failed: impl FnMut(&StateError),
    ) -> Exceptions {
        if self.check(machine).is_ok() {
            return self;
        }
        self.list.retain(|one| {
            let alone = Exceptions::of(vec![one.clone()]);
            let checked = alone.and_then(|alone| alone.check(machine));
            let not_here = checked.map_err(|why| StateError::NotHere {
                path: ExceptionFile::of(places, uid).path,
                why,
                remedy: NOT_HERE,
            });
            not_here.inspect_err(&mut failed).is_ok()
        });
        // Each has been read by itself.
        Exceptions::of(self.list).unwrap_or_default()
    }

    /// What they are.
    pub fn list(&self) -> &[Exception] {
        &self.list
    }

    /// Whether somebody can work under them. Of a policy this is a warning, which is read when it is made; an exception is
    /// in force at once.
    pub fn bearable(&self) -> Result<(), String> {
        let mut slips = check::too_little(&self.table).into_iter();
        slips.try_for_each(|slip| Err(format!("{} ({})", slip.message, slip.label)))
    }

    /// Whether they come to something on a machine, whatever the policy says besides.
    pub fn check(&self, machine: &Machine) -> Result<(), String> {
        match caps(&self.table, &Bases::new(machine, &[])) {
            Ok(caps) => caps.ceilings().iter().try_for_each(|(key, ceilings)| {
                let mut paths = ceilings.keys();
                paths.try_for_each(|path| {
                    match led_by_others(path).map_or_else(|| disk_of(path), Err) {
                        Ok(_) => Ok(()),
                        Err(why) => Err(format!("{key}: {}: {why}", path.display())),
                    }
                })
            }),
            Err(crate::DecideError::NoBase { key, of, .. }) => Err(format!(
                "{key}: an exception cannot be a part of the {of}'s: name the amount, or a part of the machine"
            )),
            Err(crate::DecideError::NotHere {
                key, list, machine, ..
            }) => Err(format!(
                "{key} = \"{list}\" has nothing in common with this machine's {machine}"
            )),
        }
    }
}

/// Takes `KEY=VALUE` apart; the value becomes TOML.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}`: write KEY=VALUE, as in memory_max=8G"))?;
    let (key, value) = (key.trim(), value.trim());
    check_key(key)?;
    if value.contains(|c: char| c.is_control()) {
        return Err(format!("the value of {key} has a control character in it"));
    }
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = match value.chars().next() {
        _ if digits => value.to_owned(),
        Some('{' | '"') => value.to_owned(),
        _ if value.contains(['"', '\\']) => return Err(format!("`{value}` is no value of {key}")),
        _ => format!("\"{value}\""),
    };
    Ok((key.into(), value))
}

/// A cap's name as a policy has it. In quotes or between blanks it is the same to TOML, and another to who looks for it.
fn check_key(key: &str) -> Result<(), String> {
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match !key.is_empty() && key.bytes().all(is_key) {
        true => Ok(()),
        false => Err(format!(
            "`{}` is no cap's name, as memory_max is",
            key.escape_debug()
        )),
    }
}

/// The caps that values come to, read as a profile's are.
fn table(list: &[Exception]) -> Result<CapsTable, String> {
    const PROFILE: &str = "exception";
    let mut text = format!("version = 1\n[profile.{PROFILE}.user]\n");
    for one in list {
        check_key(&one.key)?;
        text += &format!("{} = {}\n", one.key, one.value);
    }
    let source = Source::new("exception".into(), text);
    let read = read::read(&source, 0, Part::Main, &mut read::Names::new());
    let found = source::diagnostics(read.findings, std::slice::from_ref(&source));
    let mut errors = found.into_iter();
    if let Some(error) = errors.find(|one| one.severity == Severity::Error) {
        let label = match error.label.as_str() {
            "" => String::new(),
            label => format!(" ({label})"),
        };
        return Err(format!("{}{label}", error.message));
    }
    let profiles = read.contents.profiles;
    let is_it = |(name, _): &(&Name, _)| name.as_str() == PROFILE;
    let profile = profiles.iter().find(is_it);
    let (_, profile) = profile.ok_or("it has no caps")?;
    let table = profile.table.user.clone();
    let unset = profiles.len() != 1 || table.marks().len() != list.len();
    match unset {
        // `unset`, or TOML that is more than a value.
        true => Err("an exception gives each cap one value; \"infinity\" lifts it".into()),
        false => Ok(table),
    }
}

/// A user's exceptions on the disk.
#[derive(Debug)]
pub struct ExceptionFile {
    path: PathBuf,
}

impl ExceptionFile {
    /// Where they are.
    pub fn of(places: &Places, uid: u32) -> ExceptionFile {
        ExceptionFile {
            path: places.exceptions.join(uid.to_string()),
        }
    }

    /// The UIDs that have some.
    pub fn uids(places: &Places) -> Vec<u32> {
        let entries = std::fs::read_dir(&places.exceptions).into_iter().flatten();
        let mut uids: Vec<u32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        uids.sort_unstable();
        uids
    }

    /// The folder, made if need be, for a lock on it: root's alone to open.
    pub fn folder(places: &Places) -> std::io::Result<File> {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o711)
            .create(&places.exceptions)?;
        File::open(&places.exceptions)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of them, also those that are over.
    pub fn read(&self) -> Result<Vec<Exception>, StateError> {
        Ok(state::read(&self.path, REMEDY)?.unwrap_or_default())
    }

    /// Writes them, whole or not at all; without any the file goes.
    pub fn write(&self, exceptions: &[Exception]) -> Result<(), StateError> {
        state::write(&self.path, (!exceptions.is_empty()).then_some(exceptions))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::own_folder::Folder;
    use crate::setting::value;

    fn exception(text: &str) -> Exception {
        let (key, value) = parse(text).unwrap();
        Exception {
            user: None,
            key,
            value,
            until: u64::MAX >> 16,
            by: "root".into(),
            reason: None,
            is_taken_back: false,
        }
    }

    #[test]
    fn values_are_those_of_the_policy_language() {
        let read = |text: &str| Exceptions::of(vec![exception(text)]);
        for good in [
            "memory_max=8G",
            "memory_swap_max=0",
            "tasks_max=512",
            "cpu_quota=800%",
            "cpu_quota=infinity",
            "cpu_weight=idle",
            "allowed_cpus=0-3",
            "allowed_cpus=3",
            "allowed_memory_nodes=0",
            "io_read_iops_max={ \"/srv\" = 5 }",
        ] {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good));
        }
        for (bad, why) in [
            ("memory_max=8X", "unknown unit `X`"),
            ("memory_max=1M", "16M"),
            ("memory_maks=8G", "unknown key"),
            ("cpu_quota=unset", "lifts it"),
            ("linger=5s", "unknown key"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        for bad in [
            "memory_max",
            "=8G",
            "a.b=1",
            "memory_max=8G\"\nx=\"",
            "memory_max=8G\" # ",
            "Memory=1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        // As a file may have it that somebody has written by hand.
        for key in ["\n tasks_max", "\"tasks_max\"", ""] {
            let one = Exception {
                key: key.into(),
                ..exception("tasks_max=512")
            };
            let error = Exceptions::of(vec![one]).unwrap_err();
            assert!(
                error.ends_with("is no cap's name, as memory_max is"),
                "{error}"
            );
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn an_exception_that_nobody_can_work_under_is_a_slip() {
        let bearable = |text: &str| Exceptions::of(vec![exception(text)]).unwrap().bearable();
        assert_eq!(
            bearable("memory_high=2").unwrap_err(),
            "memory_high of 2 holds no login (a number alone is bytes; did you mean \"2G\"?)"
        );
        let slow = "io_write_bandwidth_max={ \"/\" = 50 }";
        let told = bearable(slow).unwrap_err();
        assert!(
            told.starts_with("a bandwidth of 50 bytes a second ("),
            "{told}"
        );
        for good in [
            "memory_high=2G",
            "memory_high=1%",
            "io_write_bandwidth_max={ \"/\" = \"50M\" }",
        ] {
            assert_eq!(bearable(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn an_exception_that_comes_to_nothing_on_this_machine_is_refused() {
        let machine = Machine::read(None).unwrap();
        let theirs = Folder::new();
        fs::set_permissions(&theirs, Permissions::from_mode(0o777)).unwrap();
        let link = theirs.join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        let on = |path: &Path| format!("io_read_iops_max={{ \"{}\" = 5 }}", path.display());
        for (text, expected) in [
            (&*on(&theirs), Some("name the device")),
            (&*on(&link), Some("name the device")),
            ("memory_max=8G", None),
            ("memory_max=\"50%\"", None),
            ("memory_max=\"50% of pool\"", Some("a part of the pool's")),
            (
                "allowed_cpus=\"8000\"",
                Some("nothing in common with this machine's"),
            ),
        ] {
            let exceptions = Exceptions::of(vec![exception(text)]).unwrap();
            let error = exceptions.check(&machine).err();
            match expected {
                None => assert_eq!(error, None, "{text}"),
                Some(expected) => assert!(error.clone().unwrap().contains(expected), "{error:?}"),
            }
        }
    }

    #[test]
    fn an_end_is_told_by_the_clock_and_with_its_day_if_that_is_another() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ends = |until| Exception {
            until,
            ..exception("tasks_max=9")
        };
        let today = ends(now.as_secs());
        let at = LocalTime::of(today.end()).unwrap().to_string();
        assert_eq!(today.until_text(), &at[11..16]);
        let long_ago = ends(366 * 86_400);
        let at = LocalTime::of(long_ago.end()).unwrap().to_string();
        assert_eq!(long_ago.until_text(), at);
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_a_damaged_one_is_named() {
        let root = Folder::new();
        let places = Places::under(&root);
        ExceptionFile::folder(&places).unwrap();
        let file = ExceptionFile::of(&places, 1001);
        assert_eq!(file.read().unwrap(), []);
        let mut list = vec![exception("memory_max=8G"), exception("tasks_max=9")];
        list[1].until = 1;
        file.write(&list).unwrap();
        assert_eq!(file.read().unwrap(), list);
        assert_eq!(ExceptionFile::uids(&places), [1001]);
        // What is over counts no more.
        let now = Exceptions::in_force(&places, 1001).unwrap();
        assert_eq!(now.list(), &list[..1]);
        // A UID is another's after its user; one with two names has both.
        for (user, login, is_theirs) in [
            (None, "no-such-bob", true),
            (Some("no-such-alice"), "no-such-alice", true),
            (Some("no-such-alice"), "no-such-bob", false),
            (Some("root"), "admin", true),
        ] {
            let login = Login {
                user: login.into(),
                uid: if user == Some("root") { 0 } else { 1001 },
                ..Login::default()
            };
            let user = user.map(String::from);
            let for_user = Exception {
                user,
                ..exception("tasks_max=8")
            };
            let list = vec![exception("memory_max=8G"), for_user];
            let mut told = Vec::new();
            let failed = |error: &StateError| told.push(error.to_string());
            let all = Exceptions::of(list.clone()).unwrap();
            let all = all.of_user(&places, &login, failed);
            match is_theirs {
                true => assert_eq!((all.list(), told.len()), (&list[..], 0)),
                false => {
                    assert_eq!(all.list(), &list[..1]);
                    assert!(value(&all.table.tasks_max).is_none());
                    assert!(
                        told[0].contains("exceptions/1001 has one for no-such-alice"),
                        "{told:?}"
                    );
                }
            }
        }
        let text = r#"{"key":"tasks_max","value":"9","until":1,"by":"root","reason":null}"#;
        let old: Exception = serde_json::from_str(text).unwrap();
        assert_eq!(old.user, None);
        // One digit of a cap is enough.
        let text = std::fs::read_to_string(file.path()).unwrap();
        std::fs::write(file.path(), text.replace("8G", "9G")).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("it is not what was written"), "{error}");
        std::fs::write(file.path(), "{\"format\":1,\"exc").unwrap();
        let error = Exceptions::in_force(&places, 1001).unwrap_err().to_string();
        assert!(error.contains("exceptions/1001 is damaged"), "{error}");
        file.write(&[]).unwrap();
        assert_eq!(ExceptionFile::uids(&places), [0_u32; 0]);
    }
}
