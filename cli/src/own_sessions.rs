//! A user's own sessions, as the cgroups have them: the kernel lets everybody read those.

use berth_session::{Backend, Group, SessionId, Tree};
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::{json, live};

/// A session that has a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its id. A scope of logind's is named after logind's.
    pub id: Option<SessionId>,
    /// Its cgroup.
    pub group: Group,
}

impl Own {
    /// `12`, or as logind has it: `session-3`.
    pub fn name(&self) -> String {
        let scope = || self.group.name().trim_end_matches(".scope").to_owned();
        self.id.map_or_else(scope, |id| id.to_string())
    }

    /// For programs.
    pub fn object(&self, tree: &Tree, figures: &Figures) -> Value {
        let cgroup = live::path(&tree.below(&self.group));
        let about = json!({ "session": self.id, "cgroup": cgroup });
        json::merged(about, figures.object())
    }
}

/// The cgroup of who runs this, and the hierarchy.
pub fn group(tree: Option<&Tree>) -> Option<(&Tree, Group)> {
    let tree = tree?;
    let uid = nix::unistd::getuid().as_raw();
    Some((tree, tree.existing_user(uid).ok()??))
}

/// All that a user's cgroup has, in the order of their names.
pub fn sessions(tree: &Tree, user: &Group) -> Vec<Own> {
    let mut all: Vec<Own> = match tree.backend() {
        Backend::Cgroupfs => Tree::parts(user)
            .iter()
            .flat_map(|part| below(part, |name| Some(Some(name.parse().ok()?))))
            .collect(),
        Backend::Systemd => below(user, |name| {
            let scope = name.strip_suffix(".scope")?;
            Some(scope.strip_prefix("berth-").and_then(|id| id.parse().ok()))
        }),
    };
    all.sort_by_cached_key(|own| (own.id, own.name()));
    all
}

/// The cgroups in one, whose name is a session's: its id is given back, if the name tells that, too.
fn below(group: &Group, is_session: impl Fn(&str) -> Option<Option<SessionId>>) -> Vec<Own> {
    group
        .children()
        .filter_map(|group| {
            let id = is_session(group.name())?;
            Some(Own { id, group })
        })
        .collect()
}
