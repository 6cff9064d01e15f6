//! One file: its top level, and the tables that have names.

use std::borrow::Cow;
use std::collections::BTreeMap;

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

/// What one file came to.
pub(crate) struct Read {
    pub(crate) contents: Contents,
    pub(crate) findings: Vec<Finding>,
    /// It is no TOML in places, and whole tables may be missing.
    pub(crate) broken: bool,
}

/// Reads one file as far as it can be read, with all that is wrong.
pub(crate) fn read(source: &Source, file: u16, part: Part, names: &mut Vec<String>) -> Read {
    let mut reader = Reader::new(source, file);
    let (text, mut errors) = without_dead_ends(&source.text);
    let (tree, more) = DeTable::parse_recoverable(&text);
    let mut contents = Contents::default();
    top(tree.get_ref(), part, &mut contents, names, &mut reader);

    // What does not parse leaves holes in the tree, which are no errors of their own.
    errors.extend(more);
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

/// The parser goes on after most errors, but reads nothing behind a key without a value. So such
/// lines are blanked, and what is behind them has its errors told too. Offsets stay as they are.
fn without_dead_ends(text: &str) -> (Cow<'_, str>, Vec<toml::de::Error>) {
    let mut text = Cow::Borrowed(text);
    let mut found = Vec::new();
    while found.len() < DEAD_ENDS {
        let (_, errors) = DeTable::parse_recoverable(&text);
        let dead_end = errors
            .into_iter()
            .find(|error| error.message().starts_with("key with no value"));
        let Some((span, error)) = dead_end.and_then(|error| Some((error.span()?, error))) else {
            break;
        };
        let start = text.get(..span.start).and_then(|before| before.rfind('\n'));
        let start = start.map_or(0, |newline| newline + 1);
        let end = text.get(start..).and_then(|after| after.find('\n'));
        let end = end.map_or(text.len(), |length| start + length);
        if start >= end {
            break;
        }
        text.to_mut()
            .replace_range(start..end, &" ".repeat(end - start));
        found.push(error);
    }
    (text, found)
}

fn top(
    tree: &DeTable<'_>,
    part: Part,
    contents: &mut Contents,
    names: &mut Vec<String>,
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
                // The same for all whom it watches: no part of what one of them has.
                let before = std::mem::replace(&mut reader.caps, CapsOf::Everyone);
                contents.penalties = named(node, reader, |node, _, reader| {
                    PenaltyTable::read(node, reader)
                });
                reader.caps = before;
            }
            "profile" => {
                contents.profiles = named(node, reader, |node, name, reader| {
                    reader.profile = Some(interned(names, name.as_str()));
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
        let value = match node.get_ref() {
            DeValue::String(text) if text == "unset" => Some(None),
            DeValue::String(text) => Some(Some(RlimitValue::parse(*resource, text))),
            DeValue::Integer(_) => {
                i64::read(node, reader).map(|number| Some(RlimitValue::of(*resource, number)))
            }
            _ => {
                reader.wrong_type(node, "a number, \"soft:hard\" or \"infinity\"");
                None
            }
        };
        let value = match value {
            Some(Some(Ok(value))) => Some(value),
            Some(None) => None,
            Some(Some(Err(wrong))) => {
                reader.wrong(node.span(), wrong);
                continue;
            }
            None => continue,
        };
        let setting = Setting {
            value,
            at: reader.at(key.span()),
            profile: reader.profile,
        };
        rlimits.insert(*resource, setting);
    }
    rlimits
}

/// The index of a name in the policy's list of names.
fn interned(names: &mut Vec<String>, name: &str) -> u16 {
    let known = names.iter().position(|known| known == name);
    let index = known.unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u16::try_from(index).unwrap_or(u16::MAX)
}
