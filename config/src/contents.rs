//! What stands in one or more files, before it is known to make sense.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tables::*;
use crate::value::Name;

/// The contents of a policy's files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contents {
    pub(crate) defaults: Defaults,
    pub(crate) exempt: ExemptTable,
    pub(crate) host: HostTable,
    pub(crate) accounting: AccountingTable,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) everyone: Option<Named<CapsTable>>,
    pub(crate) pools: BTreeMap<Name, Named<CapsTable>>,
    pub(crate) times: BTreeMap<Name, Named<TimeTable>>,
    pub(crate) penalties: BTreeMap<Name, Named<PenaltyTable>>,
    pub(crate) profiles: BTreeMap<Name, Named<Profile>>,
    /// In the order they are tried in.
    pub(crate) rules: Vec<Rule>,
    /// An empty list, where it is written, drops the tests of the files before.
    pub(crate) expects: Option<Vec<Expect>>,
}

impl Contents {
    /// Lays a later file over what came before: its keys win, its rules are tried first.
    pub(crate) fn overlay(&mut self, over: Contents) {
        self.defaults.overlay(&over.defaults);
        self.exempt.overlay(&over.exempt);
        self.host.overlay(&over.host);
        self.accounting.overlay(&over.accounting);
        if let Some(over) = over.everyone {
            match &mut self.everyone {
                Some(everyone) => everyone.table.overlay(&over.table),
                None => self.everyone = Some(over),
            }
        }
        named(&mut self.pools, over.pools, CapsTable::overlay);
        named(&mut self.times, over.times, TimeTable::overlay);
        named(&mut self.penalties, over.penalties, PenaltyTable::overlay);
        named(&mut self.profiles, over.profiles, Profile::overlay);
        let earlier = std::mem::replace(&mut self.rules, over.rules);
        self.rules.extend(earlier);
        match over.expects {
            None => {}
            Some(over) if over.is_empty() => self.expects = None,
            Some(over) => self.expects.get_or_insert_default().extend(over),
        }
    }
}

fn named<T>(
    tables: &mut BTreeMap<Name, Named<T>>,
    over: BTreeMap<Name, Named<T>>,
    overlay: impl Fn(&mut T, &T),
) {
    for (name, over) in over {
        match tables.entry(name) {
            std::collections::btree_map::Entry::Occupied(mut known) => {
                overlay(&mut known.get_mut().table, &over.table);
            }
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(over);
            }
        }
    }
}
