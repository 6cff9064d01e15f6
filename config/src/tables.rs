//! The tables of a policy and their keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::At;
use crate::facts::{LocalTime, Weekday};
use crate::outcome::{
    CgroupPlace, CpuWeight, FrozenLogin, MissingController, OnError, Propagation, Resource, Scope,
    UserManager, UserNamespace,
};
use crate::read::table::table;
use crate::setting::{OneOf, Ref, Setting, value};
use crate::value::{
    AccountName, ByteLimit, Count, CpuQuota, Devices, Glob, Hours, IdList, Line, Linger, Memory,
    MemoryMax, Name, Path, PathGlob, Percent, PrivateShm, PrivateTmpRoom, Rate, Remote,
    RlimitValue, RuleName, Size, Span, Tasks, Text, TmpName, UidRange, Weight, Wrong,
};

/// What a rule does other than give a profile, and what happens to a login that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Exempt,
    Deny,
}

/// The first of the UIDs that own user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UidBase(pub(crate) u32);

impl UidBase {
    pub(crate) const DEFAULT: u32 = 2_000_000_000;

    pub(crate) fn of(uid: i64) -> Result<UidBase, Wrong> {
        // Below, accounts would own berths, and half of the ids of a rootless container (65,536) are theirs
        // to have; above, a UID of 65535 would not fit any more.
        u32::try_from(uid)
            .ok()
            .filter(|uid| (32_768..=4_294_000_000).contains(uid))
            .map(UidBase)
            .ok_or_else(|| Wrong::new(format!("`{uid}` is out of range"), "32768 to 4294000000"))
    }
}

table! {
    /// `[defaults]`
    Defaults {
        on_error: OnError,
        missing_controller: MissingController,
        no_match: Action,
        frozen_login: FrozenLogin,
        contact: Line,
        owner_uid_base: UidBase,
    }
}

table! {
    /// `[exempt]`
    ExemptTable {
        users: Vec<AccountName>,
        groups: Vec<AccountName>,
        uids: Vec<UidRange>,
    }
}

table! {
    /// `[host]`
    HostTable {
        roles: Vec<Name>,
    }
}

table! {
    /// `[time.N]`
    TimeTable {
        from: LocalTime,
        until: LocalTime,
        days: OneOf<Weekday>,
        hours: Hours,
    }
}

table! {
    /// Caps: `[profile.P.user]`, `[profile.P.session]`, `[pool.N]`, `[everyone]`
    CapsTable {
        memory_min: Memory,
        memory_low: Memory,
        memory_high: Memory,
        memory_max: MemoryMax,
        memory_swap_max: ByteLimit,
        cpu_weight: CpuWeight,
        cpu_quota: CpuQuota,
        allowed_cpus: IdList,
        allowed_memory_nodes: IdList,
        tasks_max: Tasks,
        io_weight: Weight,
        io_read_bandwidth_max: Devices<Rate>,
        io_write_bandwidth_max: Devices<Rate>,
        io_read_iops_max: Devices<Rate>,
        io_write_iops_max: Devices<Rate>,
    }
}

table! {
    /// The keys of `[profile.P]` that are not tables
    ProfileKeys {
        description: Line,
        inherits: Vec<Ref>,
        pool: Ref,
        enforce: bool,
        on_error: OnError,
        contact: Line,
        notify: bool,
        motd: bool,
        max_sessions: Count,
        cgroup: CgroupPlace,
        penalty: Ref,
    }
}

table! {
    /// `[profile.P.namespaces]`
    NamespacesTable {
        scope: Scope,
        user: UserNamespace,
        pid: bool,
        ipc: bool,
        mount: bool,
        uts: bool,
        time: bool,
        cgroup: bool,
        net: bool,
        private_tmp: PrivateTmpRoom,
        tmp_keep: Vec<TmpName>,
        private_shm: PrivateShm,
        propagation: Propagation,
        user_manager: UserManager,
    }
}

table! {
    /// `[profile.P.privileges]`
    PrivilegesTable {
        no_new_privs: bool,
        nested_userns: bool,
    }
}

table! {
    /// `[profile.P.logout]`
    LogoutTable {
        linger: Linger,
        grace: Span,
    }
}

table! {
    /// The tests of a rule, and of its `except`
    Tests {
        user: OneOf<Glob>,
        uid: OneOf<UidRange>,
        group: OneOf<Glob>,
        primary_group: OneOf<Glob>,
        host: OneOf<Glob>,
        role: OneOf<Glob>,
        time: OneOf<Ref>,
        service: OneOf<Glob>,
        tty: OneOf<Glob>,
        rhost: OneOf<Remote>,
        ruser: OneOf<Glob>,
    }
}

table! {
    /// The keys of a rule that are not tests
    RuleKeys {
        name: RuleName,
        profile: OneOf<Ref>,
        pool: Ref,
        action: Action,
        message: Text,
    }
}

table! {
    /// `[[expect]]`: a login's facts, and what must come out
    ExpectTable {
        user: AccountName,
        uid: u32,
        groups: Vec<AccountName>,
        primary_group: AccountName,
        service: Line,
        tty: Line,
        rhost: Line,
        ruser: Line,
        host: Line,
        role: Vec<Name>,
        at: LocalTime,
        profile: OneOf<Ref>,
        pool: Ref,
        action: Action,
    }
}

table! {
    /// `[accounting]`
    AccountingTable {
        file: Path,
        max_size: Size,
        keep: Span,
        journal: bool,
    }
}

table! {
    /// `[penalty.N]`
    PenaltyTable {
        cpu_above: CpuQuota,
        memory_above: Memory,
        window: Span,
        except: Vec<PathGlob>,
        steps: OneOf<Percent>,
        step_time: Span,
        forget: Span,
    }
}

/// A table with a name of its own, and where that name stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named<T> {
    pub(crate) at: At,
    pub(crate) table: T,
}

/// `[profile.P]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Profile {
    pub(crate) keys: ProfileKeys,
    pub(crate) user: CapsTable,
    /// Where `user` stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_at: Option<At>,
    pub(crate) session: CapsTable,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rlimits: BTreeMap<Resource, Setting<RlimitValue>>,
    pub(crate) namespaces: NamespacesTable,
    pub(crate) privileges: PrivilegesTable,
    pub(crate) logout: LogoutTable,
}

impl Profile {
    /// All keys of a profile, its tables too.
    pub(crate) fn all_keys() -> Vec<&'static str> {
        let tables = [
            "user",
            "session",
            "rlimits",
            "namespaces",
            "privileges",
            "logout",
        ];
        [ProfileKeys::KEYS, &tables].concat()
    }

    /// Lays another profile over this one, key by key: its keys win.
    pub(crate) fn overlay(&mut self, over: &Profile) {
        self.keys.overlay(&over.keys);
        self.user.overlay(&over.user);
        self.user_at = over.user_at.or(self.user_at);
        self.session.overlay(&over.session);
        for (resource, value) in &over.rlimits {
            self.rlimits.insert(*resource, value.clone());
        }
        self.namespaces.overlay(&over.namespaces);
        self.privileges.overlay(&over.privileges);
        self.logout.overlay(&over.logout);
    }

    /// The names in `inherits`.
    pub(crate) fn inherits(&self) -> &[Ref] {
        value(&self.keys.inherits).map_or(&[], |refs| refs)
    }
}

/// `[[rule]]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rule {
    pub(crate) at: At,
    pub(crate) keys: RuleKeys,
    pub(crate) tests: Tests,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) except: Option<Tests>,
    /// Something in it could not be read: what is missing may only be wrong.
    #[serde(skip)]
    pub(crate) broken: bool,
}

impl Rule {
    /// All keys of a rule, its tests too.
    pub(crate) fn all_keys() -> Vec<&'static str> {
        [RuleKeys::KEYS, Tests::KEYS, &["except"]].concat()
    }

    /// The profiles that the rule gives.
    pub(crate) fn profiles(&self) -> &[Ref] {
        value(&self.keys.profile).map_or(&[], |profiles| &profiles.0)
    }

    /// The pool that the rule gives, its own or that of its profiles.
    pub(crate) fn pool<'r>(&'r self, merged: &'r Profile) -> Option<&'r Ref> {
        value(&self.keys.pool).or_else(|| value(&merged.keys.pool))
    }

    /// Those of its tests that depend on how a login came in, by name.
    pub(crate) fn login_tests(&self) -> Vec<&'static str> {
        let tests = std::iter::once(&self.tests).chain(&self.except);
        let mut tests: Vec<_> = tests.flat_map(Tests::of_login).collect();
        tests.sort();
        tests.dedup();
        tests
    }

    /// Whether it depends on how a login came in. Then it never decides what the user may have.
    pub(crate) fn is_login_rule(&self) -> bool {
        let mut tests = std::iter::once(&self.tests).chain(&self.except);
        tests.any(|tests| tests.of_login().next().is_some())
    }

    /// Whether it says for which machines it is: another one need not have what it asks for.
    pub(crate) fn names_machines(&self) -> bool {
        self.tests.host.is_some() || self.tests.role.is_some()
    }
}

impl Tests {
    /// Whether more is tested than who comes by which of the services that are named.
    pub(crate) fn test_more(&self) -> bool {
        let globs = value(&self.service).map_or(&[][..], |globs| &globs.0);
        let pattern = globs.iter().any(|glob| glob.literal().is_none());
        let terminal = self.tty.is_some() || self.ruser.is_some();
        pattern || terminal || self.rhost.is_some() || self.time.is_some()
    }

    /// Those that depend on how a login came in, by name.
    fn of_login(&self) -> impl Iterator<Item = &'static str> {
        let tests = [
            ("service", self.service.is_some()),
            ("tty", self.tty.is_some()),
            ("rhost", self.rhost.is_some()),
            ("ruser", self.ruser.is_some()),
        ];
        let there = tests.into_iter().filter(|(_, there)| *there);
        there.map(|(name, _)| name)
    }
}

/// `[[expect]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expect {
    pub(crate) at: At,
    pub(crate) table: ExpectTable,
    /// Something in it could not be read.
    #[serde(skip)]
    pub(crate) broken: bool,
}
