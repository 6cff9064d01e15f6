//! All keys of the language, for documents to be checked against.

use crate::outcome::Resource;
use crate::read::TOP;
use crate::tables::*;

/// Each table, as a policy writes it, and its keys.
pub fn known_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("top", TOP.to_vec()),
        ("defaults", Defaults::KEYS.to_vec()),
        ("exempt", ExemptTable::KEYS.to_vec()),
        ("host", HostTable::KEYS.to_vec()),
        ("caps", CapsTable::KEYS.to_vec()),
        ("time.N", TimeTable::KEYS.to_vec()),
        ("penalty.N", PenaltyTable::KEYS.to_vec()),
        ("profile.P", Profile::all_keys()),
        (
            "profile.P.rlimits",
            Resource::ALL.iter().map(|(name, _)| *name).collect(),
        ),
        ("profile.P.namespaces", NamespacesTable::KEYS.to_vec()),
        ("profile.P.privileges", PrivilegesTable::KEYS.to_vec()),
        ("profile.P.logout", LogoutTable::KEYS.to_vec()),
        ("rule", Rule::all_keys()),
        ("expect", ExpectTable::KEYS.to_vec()),
        ("accounting", AccountingTable::KEYS.to_vec()),
    ]
}
