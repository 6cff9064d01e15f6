//! Where a user stands: on which step of a penalty, until when, and when that is forgotten.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::exceptions::clock_text;
use crate::outcome::Penalty;
use crate::places::Places;
use crate::state::{self, StateError};
use crate::value::Percent;

/// What becomes of a file that is damaged.
const REMEDY: &str = "all penalties in it are over, and `berth apply --due` begins a new one; it stays as penalties.damaged";

/// How long one that the policy has no more is kept, in seconds.
const DROPPED: u64 = 600;

/// A user who was above what a penalty allows, not long ago. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The user's name.
    pub user: String,
    /// The penalty's.
    pub penalty: String,
    /// The step that the user is on, or was last: from 1 on.
    pub step: usize,
    /// How many steps there are.
    pub steps: usize,
    /// What is left of the user's CPU quota.
    pub share: Percent,
    /// When the step began.
    pub since: u64,
    /// When it ends.
    pub until: u64,
    /// When the next offence is a first one again.
    pub forgotten: u64,
    /// The quota was given back.
    pub is_over: bool,
}

impl Standing {
    /// After an offence: the next step; the last repeats. `None` of a penalty that has no steps.
    pub fn after_offence(
        before: Option<&Standing>,
        penalty: &Penalty,
        user: &str,
        now: u64,
    ) -> Option<Standing> {
        let before = before.filter(|before| before.is_of(penalty) && now < before.forgotten);
        let steps = penalty.steps.len();
        let step = before
            .map_or(1, |before| before.step.saturating_add(1))
            .min(steps);
        let until = now.saturating_add(penalty.step_time.as_secs());
        Some(Standing {
            user: user.into(),
            penalty: penalty.name.clone(),
            step,
            steps,
            share: *penalty.steps.get(step.checked_sub(1)?)?,
            since: now,
            until,
            forgotten: until.saturating_add(penalty.forget.as_secs()),
            is_over: false,
        })
    }

    /// Without an offence: whether the step ends now. `None` is who is forgotten.
    pub fn pass(mut self, now: u64) -> (Option<Standing>, bool) {
        if now < self.since {
            // The clock was set back while nobody looked (a boot): nobody waits for longer than a step.
            self.shift(-i64::try_from(self.since - now).unwrap_or(i64::MAX));
        }
        let ends = !self.is_over && now >= self.until;
        self.is_over |= ends;
        ((now < self.forgotten).then_some(self), ends)
    }

    /// Ends one that the policy has no more. It is not forgotten at once: whom the file names has the quota given back
    /// each minute anew, and the first time systemd may not have answered.
    pub fn drop_soon(mut self, now: u64) -> Standing {
        self.is_over = true;
        self.forgotten = self.forgotten.min(now.saturating_add(DROPPED));
        self
    }

    /// Follows a clock that was set: steps last as long as they last.
    pub fn shift(&mut self, seconds: i64) {
        for time in [&mut self.since, &mut self.until, &mut self.forgotten] {
            *time = time.saturating_add_signed(seconds);
        }
    }

    /// Whether it is of this penalty: a policy may name another by now.
    pub fn is_of(&self, penalty: &Penalty) -> bool {
        self.penalty == penalty.name
    }

    /// Whether the quota is lowered now.
    pub fn is_on_step(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        !self.is_over && now.is_ok_and(|now| now.as_secs() < self.until)
    }

    /// `hog, step 2 of 3 until 12:40`.
    pub fn text(&self) -> String {
        let (penalty, step, steps) = (&self.penalty, self.step, self.steps);
        format!(
            "{penalty}, step {step} of {steps} until {}",
            self.until_text()
        )
    }

    /// When it ends, as people read it.
    pub fn until_text(&self) -> String {
        clock_text(self.until)
    }

    /// When it is forgotten, as people read it.
    pub fn forgotten_text(&self) -> String {
        clock_text(self.forgotten)
    }
}

/// All of them, by UID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    /// Each user's.
    pub users: BTreeMap<u32, Standing>,
}

impl Standings {
    /// Reads them.
    pub fn read(places: &Places) -> Result<Standings, StateError> {
        Ok(state::read(&places.penalties, REMEDY)?.unwrap_or_default())
    }

    /// Writes them, whole or not at all; without any the file goes.
    pub fn write(&self, places: &Places) -> Result<(), StateError> {
        state::write(&places.penalties, (!self.users.is_empty()).then_some(self))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::own_folder::Folder;

    fn penalty() -> Penalty {
        Penalty {
            name: "hog".into(),
            cpu_above: Some(2_000_000),
            memory_above: None,
            window: Duration::from_secs(600),
            except: Vec::new(),
            steps: ["80%", "50%", "30%"]
                .map(|step| Percent::parse(step).unwrap())
                .into(),
            step_time: Duration::from_secs(1800),
            forget: Duration::from_secs(10_800),
        }
    }

    fn offence(before: Option<&Standing>, now: u64) -> Standing {
        Standing::after_offence(before, &penalty(), "alice", now).unwrap()
    }

    #[test]
    fn each_offence_within_the_time_is_a_step_and_the_last_repeats() {
        let first = offence(None, 1000);
        assert_eq!(
            (first.step, first.until, first.forgotten),
            (1, 2800, 13_600)
        );
        let second = offence(Some(&first), 2000);
        assert_eq!((second.step, second.until), (2, 3800));
        let (second, ends) = second.pass(3800);
        assert!(ends);
        let third = offence(second.as_ref(), 14_000);
        assert_eq!((third.step, third.share.to_string()), (3, "30%".into()));
        let fourth = offence(Some(&third), 15_000);
        assert_eq!((fourth.step, fourth.until), (3, 16_800));
    }

    #[test]
    fn a_step_is_given_back_once_and_then_forgotten() {
        let (standing, ends) = offence(None, 1000).pass(2799);
        assert!(!ends);
        let (standing, ends) = standing.unwrap().pass(2800);
        assert!(ends);
        let (standing, ends) = standing.unwrap().pass(13_599);
        assert!(!ends);
        let known = standing.clone().unwrap();
        assert_eq!(offence(Some(&known), 13_599).step, 2);
        assert_eq!(offence(Some(&known), 13_600).step, 1);
        assert_eq!(standing.unwrap().pass(13_600), (None, false));
        // Over and forgotten while the machine was off: it is told all the same.
        assert_eq!(offence(None, 1000).pass(99_999), (None, true));
    }

    #[test]
    fn a_step_is_told_with_its_end() {
        let standing = offence(None, 366 * 86_400);
        let [until, forgotten] = [standing.until, standing.forgotten].map(clock_text);
        assert_eq!(
            standing.text(),
            format!("{}, step 1 of 3 until {until}", penalty().name)
        );
        assert_eq!(standing.forgotten_text(), forgotten);
        assert!(until.starts_with("1971-01-") && forgotten.starts_with("1971-01-"));
    }

    #[test]
    fn one_that_the_policy_has_no_more_is_kept_for_a_while_and_no_longer() {
        let mut standing = offence(None, 1000);
        for now in [1100, 1160, 1699] {
            let (after, ends) = standing.pass(now);
            standing = after.unwrap().drop_soon(now);
            assert_eq!((ends, standing.is_over), (false, true));
        }
        assert_eq!(standing.pass(1700), (None, false));
        // Nor longer than any other.
        let known = offence(None, 1000).drop_soon(13_599);
        assert_eq!(known.pass(13_600), (None, false));
    }

    #[test]
    fn another_penalty_begins_at_its_first_step() {
        let first = offence(None, 1000);
        let mut other = penalty();
        other.name = "other".into();
        let next = Standing::after_offence(Some(&first), &other, "alice", 1500).unwrap();
        assert_eq!((next.step, next.penalty.as_str()), (1, "other"));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_for_longer_than_a_step() {
        let (standing, ends) = offence(None, 1_000_000).pass(1000);
        let standing = standing.unwrap();
        assert!(!ends);
        assert_eq!((standing.since, standing.until), (1000, 2800));
        assert!(standing.pass(2800).1);
    }

    /// Whatever comes when: never past the last step, and whoever stops has all back after one step's time.
    #[test]
    fn no_order_of_events_leads_past_the_steps_or_keeps_a_quota() {
        let mut random = 42_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for _ in 0..200 {
            let (mut standing, mut now) = (None::<Standing>, 1_000_000);
            for _ in 0..200 {
                now += 1 + next(2000);
                standing = match (standing, next(3)) {
                    (before, 0) => {
                        let after = offence(before.as_ref(), now);
                        let least = before.as_ref().map_or(0, |before| before.step);
                        assert!((1..=3).contains(&after.step) && after.step <= least + 1);
                        Some(after)
                    }
                    (before, _) => before.and_then(|before| before.pass(now).0),
                };
                let lasts = standing
                    .as_ref()
                    .map_or(0, |one| one.until.saturating_sub(now));
                assert!(lasts <= 1800);
            }
            if let Some(standing) = standing {
                let was_over = standing.is_over;
                let (after, ends) = standing.pass(now + 1800);
                assert!(after.as_ref().is_none_or(|after| after.is_over));
                assert_eq!(ends, !was_over, "it is told once");
                let rest = after.and_then(|after| after.pass(now + 1800 + 10_800).0);
                assert_eq!(rest, None);
            }
        }
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_a_damaged_one_is_named() {
        let root = Folder::new();
        let places = Places::under(&root);
        assert_eq!(Standings::read(&places).unwrap(), Standings::default());
        let users = BTreeMap::from([(1001, offence(None, 1000))]);
        let standings = Standings { users };
        standings.write(&places).unwrap();
        assert_eq!(Standings::read(&places).unwrap(), standings);
        std::fs::write(&places.penalties, "{\"format\":1,\"st").unwrap();
        let error = Standings::read(&places).unwrap_err().to_string();
        assert!(error.contains("berth/penalties is damaged"), "{error}");
        Standings::default().write(&places).unwrap();
        assert!(!places.penalties.exists());
    }
}
