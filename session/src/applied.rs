//! What bringing caps up to date changed, or would: the helper's answer to `berth apply`.

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// Who a cgroup's caps are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// One user's.
    User {
        /// The user's name.
        name: String,
        /// The user's UID.
        uid: u32,
    },
    /// One session's own.
    Session {
        /// The session.
        id: SessionId,
        /// Its user's name.
        user: String,
    },
    /// A pool's.
    Pool(String),
    /// All users' together.
    Everyone,
}

/// One cap that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The policy's key.
    pub cap: String,
    /// The cgroup's file, in whose words the values are.
    pub file: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// One cap that stays what it was, though the policy says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The policy's key; absent where nothing could be worked out.
    pub cap: Option<String>,
    /// Why.
    pub reason: String,
}

/// What became of the caps of one user, one pool, or of all users together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whose they are.
    pub whose: Whose,
    /// What changed.
    pub changes: Vec<Change>,
    /// What did not and should have.
    pub left: Vec<Left>,
    /// What is as it should be, and may surprise.
    pub notes: Vec<String>,
}

impl Applied {
    /// Nothing, so far.
    pub fn to(whose: Whose) -> Applied {
        Applied {
            whose,
            changes: Vec::new(),
            left: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Enters a change. A cap that stands in two files counts once.
    pub fn changed(&mut self, cap: &str, file: &str, from: &str, to: &str) {
        let twice = |one: &Change| one.cap == cap && one.cap == "io_weight";
        if !self.changes.iter().any(twice) {
            self.changes.push(Change {
                cap: cap.into(),
                file: file.into(),
                from: from.into(),
                to: to.into(),
            });
        }
    }

    /// Enters a cap that was left as it was.
    pub fn left(&mut self, cap: &str, reason: impl std::fmt::Display) {
        self.left.push(Left {
            cap: Some(cap.into()),
            reason: reason.to_string(),
        });
    }

    /// Enters why nothing could be worked out.
    pub fn failed(mut self, reason: impl std::fmt::Display) -> Applied {
        self.left.push(Left {
            cap: None,
            reason: reason.to_string(),
        });
        self
    }
}
