//! What came of a login that failed at one point, and whether that is as it must be.

use std::time::Duration;

use nix::errno::Errno;

use super::point::{Fault, OnError, Place, Setting};
use super::tracer::Fired;
use super::traits::Traits;

/// One that takes longer hangs: the module's deadline is 10 s for each of its two calls, a roll-back may take 2 s more, and
/// a machine that is busy with others needs its time.
const LONGEST: Duration = Duration::from_secs(50);

/// A login, as it went.
#[derive(Debug, Default)]
pub struct Login {
    /// What it is like, if it got so far as to say.
    pub traits: Option<Traits>,
    /// What it has said of itself, the last line left away where it was not the last one.
    pub said: Traits,
    /// Whether anything of the user's ran at all.
    pub has_begun: bool,
    /// What the processes of Berth's beside it may do.
    pub guards: Traits,
    /// Whether it went on until it was to end.
    pub ended_well: bool,
    /// How long it took.
    pub took: Duration,
    /// What was logged meanwhile.
    pub log: Vec<String>,
}

impl Login {
    fn says(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

/// What is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// A login with all that a good one has.
    Whole,
    /// The same, which ended with the part of Berth that failed.
    Ended,
    /// Refused.
    Refused,
    /// Let in without a berth, and the log says so.
    WithoutBerth,
    /// Let in with its caps and without namespaces, as an application whose threads cannot be counted, and the log says
    /// so.
    CapsOnly,
}

/// What good logins are like: in a berth, and without one.
#[derive(Debug)]
pub struct Good {
    /// In a berth.
    pub inside: Traits,
    /// Without one.
    pub outside: Traits,
    /// With nothing but caps.
    pub caps: Traits,
    /// What the processes of Berth's may do beside one in a berth.
    pub guards: Traits,
}

fn was_killed(fired: &[Fired], place: Place) -> bool {
    fired
        .iter()
        .any(|one| one.fault == Fault::Kill && one.step.place == place)
}

/// Whether a process of Berth's may be left with more than it needs: a call failed by which it gives that up or hears that it
/// may, or by which the module knows the helper of the account phase again, which then waits on.
fn may_be_left_more(fired: &[Fired]) -> bool {
    const GIVES_UP: [&str; 5] = ["capget", "capset", "prctl", "seccomp", "statx"];
    const TELLS: [&str; 4] = ["poll", "recvfrom", "recvmsg", "sendmsg"];
    fired.iter().any(|one| {
        let is_it = match one.step.place {
            Place::Helper | Place::Keeper | Place::Init => {
                GIVES_UP.contains(&one.step.call) || TELLS.contains(&one.step.call)
            }
            Place::Account | Place::Open => one.step.call == "newfstatat",
            Place::Close | Place::Starter => false,
        };
        is_it && one.fault != Fault::Ignored
    })
}

/// Whether the module could not log, which it does when something else has failed.
fn was_silenced(fired: &[Fired]) -> bool {
    fired.iter().any(|one| {
        matches!(one.step.place, Place::Account | Place::Open | Place::Close)
            && matches!(one.step.call, "socket" | "connect" | "sendto")
    })
}

/// Whether nobody but the user's next login cleans up: the keeper was killed, and its standby too, or it failed at the one
/// try that it has before the session is open.
pub fn is_left_to_the_next(fired: &[Fired], login: &Login) -> bool {
    let standby_failed = fired.iter().any(|one| one.step.place == Place::Helper);
    let was_open = login.has_begun || login.says("result=ok");
    was_killed(fired, Place::Keeper)
        && (was_killed(fired, Place::Helper) || standby_failed && !was_open)
}

/// Judges a login; the error says what must not be.
pub fn judge(
    setting: Setting,
    fired: &[Fired],
    login: &Login,
    good: &Good,
) -> Result<Verdict, String> {
    if login.took > LONGEST {
        return Err(format!("it took {:?}", login.took));
    }
    let module_was_killed = [Place::Account, Place::Open, Place::Close]
        .into_iter()
        .any(|place| was_killed(fired, place));
    let were_killed = was_killed(fired, Place::Keeper) && was_killed(fired, Place::Helper);
    let keeper_failed = fired.iter().any(|one| one.step.place == Place::Keeper);
    let says = |text: &str| login.says(text);
    let was_ended = was_killed(fired, Place::Keeper) || was_killed(fired, Place::Init);
    // A keeper that has nothing to wait by ends its session.
    let waits_no_more = fired.iter().any(|one| {
        one.step.place == Place::Keeper
            && one.step.call == "poll"
            && one.fault == Fault::Error(Errno::ENOMEM)
    });
    // Without room for the private /tmp it is another, on purpose.
    let is_inside = |traits: &Traits| {
        *traits == good.inside
            || says("private_tmp is 16M of memory") && traits.has_its_tmp_in_memory(&good.inside)
    };
    match &login.traits {
        Some(traits)
            if is_inside(traits) && login.guards != good.guards && !may_be_left_more(fired) =>
        {
            let differences = login.guards.differences(&good.guards).join(", ");
            Err(format!("Berth's own processes: {differences}"))
        }
        Some(traits)
            if is_inside(traits)
                && !(login.ended_well || was_ended || module_was_killed || waits_no_more) =>
        {
            Err("it ended early".into())
        }
        Some(traits) if is_inside(traits) => Ok(match login.ended_well {
            true => Verdict::Whole,
            false => Verdict::Ended,
        }),
        Some(traits) if *traits == good.outside => match setting.on_error() {
            OnError::Deny => Err("it was let in without a berth".into()),
            OnError::Allow if !says("on_error = allow") && !was_silenced(fired) => {
                Err("it was let in without a berth, and the log says nothing".into())
            }
            OnError::Allow => Ok(Verdict::WithoutBerth),
        },
        // Nobody was left to move it back.
        Some(traits)
            if were_killed
                && setting.on_error() == OnError::Allow
                && says("on_error = allow")
                && traits.differ_by(&good.outside, &["is in /"]) =>
        {
            Ok(Verdict::WithoutBerth)
        }
        Some(traits)
            if *traits == good.caps
                && setting.on_error() == OnError::Allow
                && says("not_enforced=\"caps only") =>
        {
            Ok(Verdict::CapsOnly)
        }
        Some(traits) => {
            let differences = traits.differences(&good.inside).join(", ");
            Err(format!("it was let in half done: {differences}"))
        }
        None if login.has_begun && !was_ended => Err("it ended early".into()),
        None if login.has_begun && !login.said.are_of(&good.inside) => {
            let differences = login.said.differences(&good.inside).join(", ");
            Err(format!("it was let in half done, and ended: {differences}"))
        }
        None if login.has_begun => Ok(Verdict::Ended),
        None if login.ended_well => Err("it was let in, and nothing ran".into()),
        // sshd's own process is gone, and with it whoever could log anything or let anybody in.
        None if module_was_killed => Ok(Verdict::Refused),
        None => match setting.on_error() {
            OnError::Deny if says("on_error") || was_silenced(fired) => Ok(Verdict::Refused),
            OnError::Allow if says("whatever on_error says") => Ok(Verdict::Refused),
            OnError::Allow if says("on_error = allow") => {
                Err("it was to go on without a berth, and did not".into())
            }
            // Let in, and ended with its keeper before anything of the user's ran.
            _ if was_ended && (says("result=ok") || says("result=killed")) => Ok(Verdict::Ended),
            // The same, and nobody was left to say so.
            _ if were_killed => Ok(Verdict::Ended),
            // Joined, as far as the module knows, when its keeper failed to read so.
            _ if keeper_failed && says("result=error") => Ok(Verdict::Ended),
            OnError::Deny => Err("it was refused, and the log does not say why".into()),
            OnError::Allow => Err("it was refused although on_error = allow".into()),
        },
    }
}
