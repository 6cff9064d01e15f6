//! Whom a penalty watches, and what of their use is an offence.

use berth_config::outcome::{CgroupPlace, Outcome, Penalty};
use berth_config::value::{Percent, bytes_text, duration_text};
use berth_config::{Login, Machine, Mean, Policy, Standing, name_of};
use berth_session::{UserFolder, systemd};

/// A user who is logged in, or of whom something goes on, and whom a penalty watches.
pub struct Watched {
    /// The user's name.
    pub name: String,
    /// What they are watched for.
    pub penalty: Penalty,
    /// Whether they are told.
    notify: bool,
    contact: Option<String>,
}

/// What is known of a user who is logged in.
pub enum Seen {
    /// A penalty watches them.
    Watched(Box<Watched>),
    /// Their profile names no penalty.
    Unwatched,
    /// NSS does not answer, or the policy has no profile for who is in already.
    Unknown,
}

impl Seen {
    /// Looks a user up.
    pub fn of(uid: u32, policy: &Policy, machine: &Machine) -> Seen {
        let logins = logins(uid).unwrap_or_default().into_iter();
        let seen = logins.filter_map(|login| {
            let decision = policy.decide(&login, machine).ok()?;
            let Outcome::Berth(berth) = decision.outcome else {
                return None;
            };
            let Some(penalty) = decision.penalty else {
                return Some(Seen::Unwatched);
            };
            // In a job's cgroup no cap is set. Without enforcement the log has what would be.
            (berth.cgroup == CgroupPlace::Own).then(|| {
                Seen::Watched(Box::new(Watched {
                    name: login.user,
                    penalty,
                    notify: berth.notify && berth.enforce && decision.not_set.is_none(),
                    contact: berth.contact,
                }))
            })
        });
        Seen::by_all(seen)
    }

    /// Who has one session on trial is told all the same, by what the others have.
    fn by_all(seen: impl Iterator<Item = Seen>) -> Seen {
        let mut first = None;
        for one in seen {
            if one.watched().is_some_and(|user| user.notify) {
                return one;
            }
            first.get_or_insert(one);
        }
        first.unwrap_or(Seen::Unknown)
    }

    /// Who is watched.
    pub fn watched(&self) -> Option<&Watched> {
        match self {
            Seen::Watched(user) => Some(user),
            Seen::Unwatched | Seen::Unknown => None,
        }
    }
}

/// How a user is logged in; what goes on of theirs without a session is under the caps of a login by ssh.
fn logins(uid: u32) -> Option<Vec<Login>> {
    let records = UserFolder::records_of(uid);
    let name = match records.first() {
        Some(first) => first.user.clone(),
        None => systemd::goes_on(uid).then(|| name_of(uid))??,
    };
    let login = Login::of(&name).ok()?;
    if records.is_empty() {
        return Some(vec![login.by_ssh()]);
    }
    Some(
        records
            .iter()
            .map(|record| login.through(record.door()))
            .collect(),
    )
}

impl Watched {
    /// What they are told of a step, if they are.
    pub fn told(&self, mut text: String) -> Option<String> {
        if let Some(contact) = &self.contact {
            text += &format!(". Help: {contact}");
        }
        self.notify.then_some(text)
    }
}

/// What a user did that is an offence. On a step less is allowed, as they can use less.
pub fn offence(mean: Mean, penalty: &Penalty, standing: Option<&Standing>) -> Option<String> {
    let on_step = standing.filter(|standing| !standing.is_over);
    let over = duration_text(penalty.window);
    if let Some(above) = penalty.cpu_above {
        let allowed = on_step.map_or(above, |standing| standing.share.of(above));
        if mean.cpu > allowed {
            let mean = (mean.cpu + 5_000) / 10_000;
            let allowed = Percent::what_of(allowed, 1_000_000);
            return Some(format!("cpu {mean}% over {over}, above {allowed}"));
        }
    }
    let allowed = penalty.memory_above.filter(|above| mean.memory > *above)?;
    let (mean, allowed) = (bytes_text(mean.memory), bytes_text(allowed));
    Some(format!("memory {mean} over {over}, above {allowed}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn penalty() -> Penalty {
        Penalty {
            name: "hog".into(),
            cpu_above: Some(2_000_000),
            memory_above: Some(1 << 30),
            window: Duration::from_secs(600),
            except: Vec::new(),
            steps: Vec::new(),
            step_time: Duration::from_secs(60),
            forget: Duration::from_secs(60),
        }
    }

    #[test]
    fn one_session_on_trial_does_not_keep_its_user_from_being_told() {
        let seen = |notify| {
            Seen::Watched(Box::new(Watched {
                name: "alice".into(),
                penalty: penalty(),
                notify,
                contact: None,
            }))
        };
        for (sessions, told) in [
            (vec![false], false),
            (vec![false, true], true),
            (vec![true, false], true),
        ] {
            let user = Seen::by_all(sessions.into_iter().map(seen));
            let said = user.watched().unwrap().told("slowed".into());
            assert_eq!(said.is_some(), told);
        }
        assert!(Seen::by_all(std::iter::empty()).watched().is_none());
    }

    #[test]
    fn on_a_step_less_cpu_is_allowed_and_no_less_memory() {
        let penalty = penalty();
        let standing = Standing {
            user: "alice".into(),
            penalty: "hog".into(),
            step: 1,
            steps: 1,
            share: Percent::parse("50%").unwrap(),
            since: 0,
            until: 0,
            forgotten: 0,
            is_over: false,
        };
        let told = |cpu, memory, standing| offence(Mean { cpu, memory }, &penalty, standing);
        assert_eq!(told(2_000_000, 1 << 30, None), None);
        let cpu = "cpu 350% over 10min, above 200%";
        assert_eq!(told(3_500_000, 2 << 30, None).as_deref(), Some(cpu));
        let memory = "memory 2G over 10min, above 1G";
        assert_eq!(told(0, 2 << 30, None).as_deref(), Some(memory));
        assert_eq!(told(1_000_000, 1 << 30, Some(&standing)), None);
        let cpu = "cpu 150% over 10min, above 100%";
        assert_eq!(told(1_500_000, 0, Some(&standing)).as_deref(), Some(cpu));
        let eighth = Penalty {
            cpu_above: Some(125_000),
            ..penalty.clone()
        };
        let cpu = "cpu 13% over 10min, above 12.5%";
        let mean = Mean {
            cpu: 126_000,
            memory: 0,
        };
        assert_eq!(offence(mean, &eighth, None).as_deref(), Some(cpu));
        let over = Standing {
            is_over: true,
            ..standing.clone()
        };
        assert_eq!(told(1_500_000, 0, Some(&over)), None);
    }
}
