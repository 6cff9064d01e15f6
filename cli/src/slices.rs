//! What systemd's own files, and records of users, say of the caps of a slice that Berth caps too.
//!
//! systemd reads all drop-ins of a unit in the order of their names, whatever folder they are in (systemd.unit(5)),
//! and has Berth's caps as `50-NAME.conf`. One that sorts after that wins, from the next daemon-reload on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use berth_config::Login;
use berth_session::systemd::slice;
use serde_json::{Value, json};

/// Where systemd looks for drop-ins; of two with one name that in the earlier folder counts.
const FOLDERS: [&str; 10] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// Where systemd writes down what is set at run time: by logind's slices, and by transient ones, as those in pools are.
const AT_RUN_TIME: [&str; 2] = ["run/systemd/system.control", "run/systemd/transient"];

/// Where records of users are (userdbd.service(8)).
const RECORDS: [&str; 4] = [
    "etc/userdb",
    "run/userdb",
    "run/host/userdb",
    "usr/lib/userdb",
];

/// The policy's keys, as unit files and records of users have them. logind knows those of a record that are named.
const KEYS: [(&str, &str, &str); 15] = [
    ("memory_min", "MemoryMin", ""),
    ("memory_low", "MemoryLow", ""),
    ("memory_high", "MemoryHigh", "memoryHigh"),
    ("memory_max", "MemoryMax", "memoryMax"),
    ("memory_swap_max", "MemorySwapMax", ""),
    ("cpu_weight", "CPUWeight", "cpuWeight"),
    ("cpu_quota", "CPUQuota", ""),
    ("allowed_cpus", "AllowedCPUs", ""),
    ("allowed_memory_nodes", "AllowedMemoryNodes", ""),
    ("tasks_max", "TasksMax", "tasksMax"),
    ("io_weight", "IOWeight", "ioWeight"),
    ("io_read_bandwidth_max", "IOReadBandwidthMax", ""),
    ("io_write_bandwidth_max", "IOWriteBandwidthMax", ""),
    ("io_read_iops_max", "IOReadIOPSMax", ""),
    ("io_write_iops_max", "IOWriteIOPSMax", ""),
];

/// A cap that somebody else has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The policy's key for it.
    pub key: &'static str,
    /// The name that it has there.
    pub name: &'static str,
    /// As it stands there.
    pub value: String,
    /// The file.
    pub path: PathBuf,
    /// The policy sets it too, and loses from the next daemon-reload on.
    pub wins: bool,
}

impl Other {
    /// As an object of JSON.
    pub fn object(&self) -> Value {
        json!({ "key": self.key, "value": self.value, "place": self.path, "wins": self.wins })
    }
}

/// The keys that caps have.
pub fn keys(caps: &berth_config::outcome::Caps) -> BTreeSet<String> {
    let Ok(Value::Object(all)) = serde_json::to_value(caps) else {
        return BTreeSet::new();
    };
    let is_set = |value: &Value| match value {
        Value::Null => false,
        Value::Object(table) => !table.is_empty(),
        _ => true,
    };
    let set = all.into_iter().filter(|(_, value)| is_set(value));
    set.map(|(key, _)| key).collect()
}

/// The caps that others set for a user's slice, on a system below `root`: where the policy, which sets `keys`, does not,
/// and where it loses.
pub fn others(
    root: &Path,
    login: &Login,
    pool: Option<&str>,
    keys: &BTreeSet<String>,
) -> Vec<Other> {
    let drop_ins = drop_ins(root, &slice(pool, login.uid));
    // logind knows no other slice than its own.
    let record = pool.is_none().then(|| record(root, &login.user)).flatten();
    let mut others = Vec::new();
    for (key, name, in_record) in KEYS {
        let by_policy = keys.contains(key);
        let by_record = record.as_ref().filter(|_| !by_policy);
        let by_record = by_record.and_then(|(path, record)| Some((path, record.get(in_record)?)));
        // As systemd writes down what Berth sets, or logind for a record.
        let set_at_run_time = format!("50-{name}.conf");
        let is_later = |file: &str| *file >= *set_at_run_time;
        let mut latest = drop_ins.iter().rev().filter_map(|(file, path)| {
            let at_run_time = AT_RUN_TIME.map(|folder| root.join(folder));
            let at_run_time = at_run_time.iter().any(|folder| path.starts_with(folder));
            let value = set_in(path, "[Slice]", name)?;
            (!at_run_time || *file != set_at_run_time).then_some((file, path, value))
        });
        let latest = latest
            .next()
            .filter(|(file, _, _)| is_later(file) || !(by_policy || by_record.is_some()));
        let (value, path) = match (latest, by_record) {
            (Some((_, path, value)), _) => (value, path.clone()),
            (None, Some((path, value))) => (value.to_string(), path.clone()),
            (None, None) => continue,
        };
        others.push(Other {
            key,
            name,
            value,
            path,
            wins: by_policy,
        });
    }
    others
}

/// What a service sets a key to, in its file, its template's, or in a drop-in.
pub fn set_in_service(root: &Path, unit: &str, key: &str) -> Option<String> {
    let instance = instance(unit);
    let names = [
        Some(unit),
        instance.as_ref().map(|(template, _)| &**template),
    ];
    let files = names.into_iter().flatten();
    let mut files = files.flat_map(|name| FOLDERS.map(|folder| root.join(folder).join(name)));
    let file = files.find(|file| file.is_file());
    let drop_ins = drop_ins(root, unit).into_values().rev().chain(file);
    let mut values = drop_ins.filter_map(|path| set_in(&path, "[Service]", key));
    let value = values.next().filter(|value| !value.is_empty())?;
    Some(match instance {
        Some((_, name)) => value.replace("%i", name).replace("%I", name),
        None => value,
    })
}

/// Of `bot@alice.service` its template, `bot@.service`, and `alice`.
pub fn instance(unit: &str) -> Option<(String, &str)> {
    let (template, rest) = unit.split_once('@')?;
    let (name, kind) = rest.rsplit_once('.')?;
    (!name.is_empty()).then(|| (format!("{template}@.{kind}"), name))
}

/// The drop-ins of a unit by their names, in the order in which systemd reads them.
fn drop_ins(root: &Path, unit: &str) -> BTreeMap<String, PathBuf> {
    // Those of the unit, of its template, of all whose names begin like its own up to a dash, and of all of its kind.
    let mut names = vec![unit.to_owned()];
    names.extend(instance(unit).map(|(template, _)| template));
    let (stem, kind) = unit.rsplit_once('.').unwrap_or((unit, ""));
    let dashes = stem
        .match_indices('-')
        .map(|(at, _)| at)
        .collect::<Vec<_>>();
    let prefixes = dashes.iter().rev().filter_map(|at| stem.get(..=*at));
    names.extend(prefixes.map(|prefix| format!("{prefix}.{kind}")));
    let mut found = BTreeMap::new();
    for names in [names, vec![kind.into()]] {
        for folder in FOLDERS {
            for name in &names {
                let folder = root.join(folder).join(format!("{name}.d"));
                for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                    let name = file.file_name().to_string_lossy().into_owned();
                    if name.ends_with(".conf") {
                        found.entry(name).or_insert_with(|| file.path());
                    }
                }
            }
        }
    }
    found
}

/// What a file sets a key of a section to. One that is masked, by a link to /dev/null, sets none.
fn set_in(path: &Path, section: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut in_section = false;
    let mut value = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_section = line == section;
        } else if let Some((key, set)) = line.split_once('=').filter(|_| in_section) {
            if key.trim_end() == name {
                value = Some(set.trim_start().to_owned());
            }
        }
    }
    value
}

/// A user's record, and what stands in it.
fn record(root: &Path, user: &str) -> Option<(PathBuf, Value)> {
    RECORDS.iter().find_map(|folder| {
        let path = root.join(folder).join(format!("{user}.user"));
        let record = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        Some((path, record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    struct Root(Folder);

    impl Root {
        fn new(files: &[(&str, &str)]) -> Root {
            Root(Folder::with(files))
        }

        /// What others set beside a policy that sets memory_max.
        fn others(&self) -> Vec<String> {
            let keys = BTreeSet::from(["memory_max".to_owned()]);
            let alice = Login::known_as("alice", 1001);
            let found = others(&self.0, &alice, None, &keys).into_iter();
            let told = found.map(|one| {
                let path = one.path.strip_prefix(&self.0).unwrap().display();
                let wins = if one.wins { " wins" } else { "" };
                format!("{} {} {path}{wins}", one.key, one.value)
            });
            told.collect()
        }
    }

    const OWN: &str = "run/systemd/system.control/user-1001.slice.d/50-MemoryMax.conf";
    const ALL: &str = "etc/systemd/system/user-.slice.d";
    const TWO: &str =
        "# a comment\n[Slice]\nMemoryMax=1G\nMemoryMax = 2G\n[Install]\nMemoryMax=9G\n";

    #[test]
    fn a_drop_in_that_sorts_later_wins_and_an_earlier_one_does_not() {
        let path = |name: &str| format!("{ALL}/{name}");
        for (name, expected) in [
            ("10-a.conf", vec![]),
            ("50-MemoryMaw.conf", vec![]),
            (
                "50-a.conf",
                vec!["memory_max 2G etc/systemd/system/user-.slice.d/50-a.conf wins"],
            ),
            (
                "99-a.conf",
                vec!["memory_max 2G etc/systemd/system/user-.slice.d/99-a.conf wins"],
            ),
            ("99-a.txt", vec![]),
        ] {
            let root = Root::new(&[(OWN, "[Slice]\nMemoryMax=1\n"), (&path(name), TWO)]);
            assert_eq!(root.others(), expected, "{name}");
        }
    }

    #[test]
    fn what_the_policy_does_not_set_is_everybodys_to_set() {
        let tasks = |value: &str| format!("[Slice]\nTasksMax={value}\n");
        let root = Root::new(&[
            (
                "usr/lib/systemd/system/user-.slice.d/10-defaults.conf",
                &tasks("33%"),
            ),
            (
                "etc/systemd/system/slice.d/20-all.conf",
                "[Slice]\nCPUWeight=5\n",
            ),
            (
                "etc/systemd/system/service.d/20-all.conf",
                "[Slice]\nIOWeight=5\n",
            ),
        ]);
        assert_eq!(
            root.others(),
            [
                "cpu_weight 5 etc/systemd/system/slice.d/20-all.conf",
                "tasks_max 33% usr/lib/systemd/system/user-.slice.d/10-defaults.conf",
            ]
        );
    }

    #[test]
    fn of_two_with_one_name_the_admins_counts() {
        let usr = "usr/lib/systemd/system/user-1001.slice.d/90-a.conf";
        let etc = format!("{ALL}/90-a.conf");
        let both = Root::new(&[(usr, TWO), (&etc, "")]);
        assert_eq!(both.others(), [""; 0]);
        let other = Root::new(&[(usr, TWO), (&etc, "[Slice]\nMemoryMax=7G\n")]);
        assert_eq!(other.others(), [format!("memory_max 7G {etc} wins")]);
        // As `systemctl set-property` without --runtime leaves it.
        let kept = "etc/systemd/system.control/user-1001.slice.d/50-MemoryMax.conf";
        let same = Root::new(&[(OWN, TWO), (kept, TWO)]);
        assert_eq!(same.others(), [format!("memory_max 2G {kept} wins")]);
    }

    #[test]
    fn a_record_of_the_user_loses_against_the_policy_and_wins_over_earlier_drop_ins() {
        let record = r#"{ "userName": "alice", "memoryMax": 1000000, "tasksMax": 77 }"#;
        let defaults = "[Slice]\nTasksMax=33%\n";
        let user = "run/userdb/alice.user";
        let early = Root::new(&[(user, record), (&format!("{ALL}/10-a.conf"), defaults)]);
        assert_eq!(early.others(), ["tasks_max 77 run/userdb/alice.user"]);
        let path = format!("{ALL}/99-a.conf");
        let late = Root::new(&[(user, record), (&path, defaults)]);
        assert_eq!(late.others(), [format!("tasks_max 33% {path}")]);
    }

    #[test]
    fn the_keys_of_caps_are_those_that_are_set() {
        let caps = berth_config::outcome::Caps {
            io_weight: Some(5),
            ..Default::default()
        };
        assert_eq!(keys(&caps), BTreeSet::from(["io_weight".to_owned()]));
        // Each key of a policy has its name in a unit.
        let Ok(Value::Object(all)) = serde_json::to_value(&caps) else {
            panic!()
        };
        let known: BTreeSet<&str> = KEYS.iter().map(|(key, _, _)| *key).collect();
        assert_eq!(
            all.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            known
        );
    }
}
