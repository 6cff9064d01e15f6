//! One file: its top level, and the tables that have names.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rule;
use super::{CapsOf, FromToml, Key, Node, Reader};
use crate::contents::Contents;
use crate::diagnostic::Finding;
use crate::outcome::Resource;
use crate::setting::Setting;
use crate::source::Source;
use crate::tables::*;
use crate::value::{Name, RlimitValue};

/// The keys of a policy's top level.
pub(crate) const TOP: [&str; 12] = [
    "version",
    "defaults",
    "exempt",
    "host",
    "everyone",
    "pool",
    "time",
    "penalty",
    "profile",
    "rule",
    "expect",
    "accounting",
];

/// A file with more lines like that is no policy.
const DEAD_ENDS: usize = 32;

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// policy.toml, or a file that stands alone: it must say its version.
    Main,
    /// A file of policy.d: one line may be all of it.
    DropIn,
}

/// The names of profiles, and the numbers that settings carry for them.
pub(crate) type Names = HashMap<String, usize>;

/// The names in the order of their numbers.
pub(crate) fn listed(names: Names) -> Vec<String> {
    let mut names = Vec::from_iter(names);
    names.sort_by_key(|(_, number)| *number);
    names.into_iter().map(|(name, _)| name).collect()
}

/// The first number that a setting has no room for.
const PROFILES: usize = 1 << 16;

/// What one file came to.
pub(crate) struct Read {
    pub(crate) contents: Contents,
    pub(crate) findings: Vec<Finding>,
    /// It is no TOML in places, and whole tables may be missing.
    pub(crate) broken: bool,
}

/// Reads one file as far as it can be read, with all that is wrong.
pub(crate) fn read(source: &Source, file: u16, part: Part, names: &mut Names) -> Read {
    let mut reader = Reader::new(source, file);
    let mut text = Cow::Borrowed(&*source.text);
    let mut errors = Vec::new();
    // The parser goes on after most errors, but reads nothing behind a key without a value. So such lines are blanked, and
    // what is behind them has its errors told too. Offsets stay as they are.
    let tree = loop {
        let (tree, mut more) = DeTable::parse_recoverable(&text);
        let dead_end = more.iter().enumerate().find_map(|(index, error)| {
            let is_one = error.message().starts_with("key with no value");
            Some((index, error.span().filter(|_| is_one)?))
        });
        let Some((index, span)) = dead_end.filter(|_| errors.len() < DEAD_ENDS) else {
            errors.extend(more);
            break tree;
        };
        errors.push(more.swap_remove(index));
        drop(tree);
        let line = line_around(&text, span.start);
        text.to_mut()
            .replace_range(line.clone(), &" ".repeat(line.len()));
    };
    let mut contents = Contents::default();
    top(tree.get_ref(), part, &mut contents, names, &mut reader);

    // What does not parse leaves holes in the tree, which are no errors of their own.
    let syntax: Vec<Finding> = errors
        .iter()
        .map(|error| {
            let at = reader.at(error.span().unwrap_or(0..0));
            let message = error.message().lines().next().unwrap_or("not TOML");
            let label = match message.starts_with("duplicate key") {
                true => "it is set before in this table",
                false => "",
            };
            Finding::error(at, message, label)
        })
        .collect();
    let on_broken_line =
        |finding: &Finding| syntax.iter().any(|error| error.at.line == finding.at.line);
    let mut findings = reader.findings;
    findings.retain(|finding| !on_broken_line(finding));
    let broken = !syntax.is_empty();
    findings.extend(syntax);
    Read {
        contents,
        findings,
        broken,
    }
}

/// The line that a byte is on.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let before = text.get(..at).and_then(|before| before.rfind('\n'));
    let start = before.map_or(0, |newline| newline + 1);
    let length = text.get(start..).and_then(|line| line.find('\n'));
    start..length.map_or(text.len(), |length| start + length)
}

fn top(
    tree: &DeTable<'_>,
    part: Part,
    contents: &mut Contents,
    names: &mut Names,
    reader: &mut Reader<'_>,
) {
    let mut version = None;
    for (key, node) in tree {
        match key.get_ref().as_ref() {
            "version" => version = Some(node),
            "defaults" => contents.defaults = Defaults::read(node, reader),
            "exempt" => contents.exempt = ExemptTable::read(node, reader),
            "host" => contents.host = HostTable::read(node, reader),
            "accounting" => contents.accounting = AccountingTable::read(node, reader),
            "everyone" => {
                let table = caps(node, CapsOf::Everyone, reader);
                tasks_of_everyone(&table, reader);
                contents.everyone = Some(Named {
                    at: reader.at(key.span()),
                    table,
                });
            }
            "pool" => {
                contents.pools = named(node, reader, |node, _, reader| {
                    caps(node, CapsOf::Pool, reader)
                });
            }
            "time" => {
                contents.times = named(node, reader, |node, _, reader| {
                    TimeTable::read(node, reader)
                });
            }
            "penalty" => {
                contents.penalties = named(node, reader, |node, _, reader| {
                    PenaltyTable::read(node, reader)
                });
            }
            "profile" => {
                contents.profiles = named(node, reader, |node, name, reader| {
                    let next = names.len();
                    let number = *names.entry(name.to_string()).or_insert(next);
                    if number == PROFILES {
                        let message = format!("more than {PROFILES} profiles");
                        reader.error(node.span(), message, "this is the first that is too many");
                    }
                    reader.profile = u16::try_from(number).ok();
                    let profile = profile(node, reader);
                    reader.profile = None;
                    profile
                });
            }
            "rule" => contents.rules = tables(key, node, reader, rule::rule),
            "expect" => contents.expects = Some(tables(key, node, reader, rule::expect)),
            _ => reader.unknown(key, &TOP),
        }
    }
    check_version(version, part, reader);
}

fn check_version(version: Option<&Node<'_>>, part: Part, reader: &mut Reader<'_>) {
    match version.map(|node| (node, node.get_ref())) {
        None if part == Part::DropIn => {}
        None => reader.error(0..0, "no `version`", "write `version = 1` first"),
        Some((_, DeValue::Integer(number))) if number.as_str() == "1" => {}
        Some((node, DeValue::Integer(number))) => reader.error(
            node.span(),
            format!("version {number} is not known"),
            "this Berth knows version 1",
        ),
        Some((node, _)) => reader.wrong_type(node, "1"),
    }
}

/// A table of tables, each with a name of its own.
fn named<T>(
    node: &Node<'_>,
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&Node<'_>, &Name, &mut Reader<'_>) -> T,
) -> BTreeMap<Name, Named<T>> {
    let mut tables = BTreeMap::new();
    let Some(keys) = reader.table(node, "a table of named tables") else {
        return tables;
    };
    for (key, node) in keys {
        match Name::parse(key.get_ref()) {
            Ok(name) => {
                let table = read(node, &name, reader);
                let at = reader.at(key.span());
                tables.insert(name, Named { at, table });
            }
            Err(wrong) => reader.wrong(key.span(), wrong),
        }
    }
    tables
}

/// `[[rule]]` or `[[expect]]`.
fn tables<T>(
    key: &Key<'_>,
    node: &Node<'_>,
    reader: &mut Reader<'_>,
    read: impl Fn(&Spanned<DeValue<'_>>, &mut Reader<'_>) -> T,
) -> Vec<T> {
    match node.get_ref() {
        DeValue::Array(nodes) => nodes.iter().map(|node| read(node, reader)).collect(),
        _ => {
            let name = key.get_ref();
            reader.error(
                key.span(),
                format!("wrong type: `{name}` is a list of tables"),
                format!("write [[{name}]]"),
            );
            Vec::new()
        }
    }
}

fn caps(node: &Node<'_>, of: CapsOf, reader: &mut Reader<'_>) -> CapsTable {
    let before = (reader.caps, reader.inheritable);
    (reader.caps, reader.inheritable) = (of, true);
    let table = CapsTable::read(node, reader);
    (reader.caps, reader.inheritable) = before;
    table
}

/// systemd has root's logins below user.slice as well, and nothing may stand in their way.
fn tasks_of_everyone(caps: &CapsTable, reader: &mut Reader<'_>) {
    if let Some(setting) = caps.tasks_max.as_ref().filter(|set| set.value.is_some()) {
        let (message, label) = (
            "`tasks_max` cannot be everyone's",
            "set it for users or pools",
        );
        reader
            .findings
            .push(Finding::error(setting.at, message, label).note(
                "where systemd runs the machine it would keep root out when users have used it up",
            ));
    }
}

fn profile(node: &Node<'_>, reader: &mut Reader<'_>) -> Profile {
    let mut profile = Profile::default();
    let Some(keys) = reader.table(node, "a table") else {
        return profile;
    };
    reader.inheritable = true;
    for (key, node) in keys {
        match key.get_ref().as_ref() {
            "user" => {
                profile.user_at = Some(reader.at(key.span()));
                profile.user = caps(node, CapsOf::User, reader);
            }
            "session" => profile.session = caps(node, CapsOf::Session, reader),
            "rlimits" => profile.rlimits = rlimits(node, reader),
            "namespaces" => profile.namespaces = NamespacesTable::read(node, reader),
            "privileges" => profile.privileges = PrivilegesTable::read(node, reader),
            "logout" => profile.logout = LogoutTable::read(node, reader),
            name if CapsTable::KEYS.contains(&name) => reader.error(
                key.span(),
                format!("unknown key `{name}`"),
                "caps stand in `user = { ... }` or `session = { ... }`",
            ),
            _ => {
                if !profile.keys.read_key(key, node, reader) {
                    reader.unknown(key, &Profile::all_keys());
                }
            }
        }
    }
    reader.inheritable = false;
    profile
}

fn rlimits(node: &Node<'_>, reader: &mut Reader<'_>) -> BTreeMap<Resource, Setting<RlimitValue>> {
    let mut rlimits = BTreeMap::new();
    let Some(keys) = reader.table(node, "a table") else {
        return rlimits;
    };
    for (key, node) in keys {
        let name = key.get_ref().as_ref();
        let known = Resource::ALL.iter().find(|(known, _)| *known == name);
        let Some((_, resource)) = known else {
            if ["maxlogins", "maxsyslogins"].contains(&name) {
                reader.error(
                    key.span(),
                    format!("`{name}` is no resource limit"),
                    "write `max_sessions` in the profile",
                );
            } else {
                let names: Vec<&str> = Resource::ALL.iter().map(|(name, _)| *name).collect();
                reader.unknown(key, &names);
            }
            continue;
        };
        let setting = reader.setting_with(key, node, |node, reader| {
            let value = match node.get_ref() {
                DeValue::String(text) => RlimitValue::parse(*resource, text),
                DeValue::Integer(_) => RlimitValue::of(*resource, i64::read(node, reader)?),
                _ => {
                    reader.wrong_type(node, "a number, \"soft:hard\" or \"infinity\"");
                    return None;
                }
            };
            value.map_err(|wrong| reader.wrong(node.span(), wrong)).ok()
        });
        rlimits.extend(setting.map(|setting| (*resource, setting)));
    }
    rlimits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_whose_number_does_not_fit_is_an_error() {
        let numbers = 0..65_535;
        let mut names = numbers
            .map(|number| (format!("p{number}"), number))
            .collect();
        let text = "version = 1\n[profile.last]\n[profile.more]\n[profile.yet]\n[profile.p7]\n";
        let source = Source::new("policy.toml".into(), text.into());
        let read = read(&source, 0, Part::Main, &mut names);
        let told = read.findings.iter().map(|one| (one.at.line, &*one.message));
        assert_eq!(told.collect::<Vec<_>>(), [(3, "more than 65536 profiles")]);
    }
}
