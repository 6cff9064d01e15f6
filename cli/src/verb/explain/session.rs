//! A live session, whose login is explained.

use berth_config::outcome::Outcome;
use berth_config::{Explanation, LocalTime, Login};
use berth_session::{Record, SessionId};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::live;

/// A live session.
#[derive(Debug)]
pub struct Session(Record);

impl Session {
    pub fn read(id: SessionId) -> Result<Session, Exit> {
        live::one(id).map(Session)
    }

    /// The session in which this command was typed, as its environment names it. That is a hint, which anybody can
    /// set to anything: so the session has to be its reader's own, as a record that only its owner and root can read
    /// says.
    pub fn own() -> Option<Session> {
        let id = std::env::var("BERTH_SESSION").ok()?.parse().ok()?;
        let session = Session(Record::read(id).ok()?);
        (berth_config::own_name().as_deref() == Some(session.user())).then_some(session)
    }

    /// Whose it is.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// How and when its user logged in.
    pub fn login(&self, account: &Login) -> Login {
        Login {
            at: LocalTime::of(self.0.opened_at()),
            ..account.through(self.0.door())
        }
    }

    /// Whether the login would get something else now.
    fn differs(&self, explanation: &Explanation) -> bool {
        let decision = &explanation.decision;
        let profile = match &decision.outcome {
            Outcome::Berth(berth) => Some(&berth.profile),
            Outcome::Exempt | Outcome::Deny { .. } => None,
        };
        profile != Some(&self.0.profile) || decision.pool_entered() != self.0.pool.as_deref()
    }

    /// In a line.
    pub fn text(&self, explanation: &Explanation) -> String {
        let record = &self.0;
        let pool = record.pool.iter().map(|pool| format!(", pool {pool}"));
        let rule = record.rule.iter().map(|rule| format!(", rule {rule}"));
        let parts: String = pool.chain(rule).collect();
        let since = match self.differs(explanation) {
            true => "; such a login gets what is below now",
            false => "",
        };
        format!(
            "session {}, opened with profile {}{parts}{since}",
            record.id, record.profile
        )
    }

    /// For programs.
    pub fn object(&self, explanation: &Explanation) -> Value {
        let record = &self.0;
        json!({
            "session": record.id,
            "opened": LocalTime::rfc3339(record.opened_at()),
            "profile": record.profile,
            "pool": record.pool,
            "rule": record.rule,
            "user_rule": record.user_rule,
            "differs": self.differs(explanation),
        })
    }
}
