//! Penalties, round after round, from whatever files the first one finds.

use std::time::Duration;

use berth_config::outcome::Penalty;
use berth_config::value::Percent;
use berth_config::{Look, Standing, Track, Tracks};
use serde::Deserialize;

/// Files, and what rounds see.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Story {
    standing: Option<Standing>,
    tracks: Tracks,
    penalty: Settings,
    rounds: Vec<Round>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    window: u64,
    step_time: u64,
    forget: u64,
    steps: Vec<Percent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Round {
    /// Clocks, as [`Tracks`] has them.
    wall: u64,
    boot: u64,
    look: Look,
    offends: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let steps = ["80%", "50%", "30%"].map(|step| Percent::parse(step).expect("a percentage"));
        Settings {
            window: 600,
            step_time: 1800,
            forget: 10_800,
            steps: steps.into(),
        }
    }
}

/// One story.
pub fn run(input: &[u8]) {
    let Ok(mut story) = serde_json::from_slice::<Story>(input) else {
        return;
    };
    let penalty = Penalty {
        name: "hog".into(),
        cpu_above: Some(2_000_000),
        memory_above: None,
        // What a policy may say (`config/src/check/penalty.rs`): none is shorter.
        window: Duration::from_secs(story.penalty.window.max(60)),
        except: Vec::new(),
        steps: story.penalty.steps,
        step_time: Duration::from_secs(story.penalty.step_time),
        forget: Duration::from_secs(story.penalty.forget),
    };
    let mut standing = story.standing;
    // Of this round's making, and not of a file's.
    let mut is_ours = standing.is_none();
    for round in story.rounds {
        let jump = story.tracks.jump(round.wall, round.boot);
        if let Some(standing) = &mut standing {
            standing.shift(jump);
        }
        (story.tracks.wall, story.tracks.boot) = (round.wall, round.boot);
        look(&mut story.tracks, round.look, penalty.window);
        let before = standing.clone();
        standing = match round.offends {
            true => {
                let after = Standing::after_offence(before.as_ref(), &penalty, "alice", round.wall);
                assert_eq!(after.is_none(), penalty.steps.is_empty());
                is_ours |= after.is_some();
                after.or(before.clone())
            }
            false => {
                let Some(standing) = standing else { continue };
                let was_over = standing.is_over;
                let (after, ends) = standing.pass(round.wall);
                assert!(!(was_over && ends), "it is told once");
                assert!(!ends || after.as_ref().is_none_or(|after| after.is_over));
                after
            }
        };
        let Some(standing) = &standing else { continue };
        let _ = (
            standing.text(),
            standing.forgotten_text(),
            standing.is_on_step(),
        );
        if is_ours {
            let (step, steps) = (standing.step, standing.steps);
            assert!(1 <= step && step <= steps && steps == penalty.steps.len());
            assert_eq!(penalty.steps.get(step - 1), Some(&standing.share));
            // Whatever the clocks do, nobody waits for longer than a step from the next round on.
            let left = standing.clone().pass(round.wall).0;
            let left = left.map_or(0, |left| left.until.saturating_sub(round.wall));
            assert!(left <= penalty.step_time.as_secs(), "{standing:?}");
        }
        let text = serde_json::to_string(standing).expect("a file");
        assert_eq!(
            serde_json::from_str::<Standing>(&text).expect("it"),
            *standing
        );
    }
    let text = serde_json::to_string(&story.tracks).expect("a file");
    assert_eq!(
        serde_json::from_str::<Tracks>(&text).expect("it"),
        story.tracks
    );
}

/// A look at a user: a mean is of what was used, and no more.
fn look(tracks: &mut Tracks, look: Look, window: Duration) {
    const USER: u32 = 1001;
    let is_new = !tracks.users.contains_key(&USER);
    let known = tracks.users.entry(USER);
    let track = known.or_insert_with(|| Track::begin(look.clone()));
    if is_new {
        return;
    }
    if track.look(look, window).is_some() {
        track.begin_anew();
        let text = serde_json::to_string(track).expect("a file");
        assert!(text.len() < 1 << 20);
    }
}
