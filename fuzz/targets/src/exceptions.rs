//! A file of exceptions, whatever is in it, and a login of whose user's they are.

use std::collections::BTreeSet;

use berth_config::outcome::{Caps, Outcome};
use berth_config::{Decision, Exception, Exceptions, Layers};

use crate::{decide, input, policy};

/// The file's list; and a login's facts and a policy, as `decide` has them.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let mut parts = input::parts(&text).chain(std::iter::repeat(""));
    let mut next = || parts.next().unwrap_or_default();
    let (list, facts, policy) = (next(), next(), next());
    let Ok(list) = serde_json::from_str::<Vec<Exception>>(list) else {
        return;
    };
    for one in &list {
        let _ = (one.until_text(), one.end());
        assert!(one.is_over(one.end()));
    }
    let keys: BTreeSet<String> = list.iter().map(|one| one.key.clone()).collect();
    let exceptions = match Exceptions::of(list) {
        Ok(exceptions) => exceptions,
        // It goes to the log, and to a terminal.
        Err(why) => return assert!(!why.contains(char::is_control), "{why:?}"),
    };
    let machine = decide::machine(facts);
    // Each is one cap, and has one value: none brings anything else along.
    assert_eq!(exceptions.list().len(), keys.len());
    let known = fields(&Caps::default());
    for key in &keys {
        assert!(known.iter().any(|(name, _)| name == key), "{key:?}");
    }

    let Some(policy) = policy::read(&[("policy.toml", policy)]) else {
        return;
    };
    // What comes to nothing on the machine is left out before a decision is made.
    if exceptions.check(&machine).is_err() {
        return;
    }
    let login = decide::login(facts);
    let layers = Layers {
        exceptions,
        standing: None,
    };
    let Ok(without) = policy.decide(&login, &machine) else {
        return;
    };
    // They keep nobody out, and change their caps and no other.
    let with = policy.decide_with(&login, &machine, &layers);
    let with = with.expect("a decision");
    if let (Some(with), Some(without)) = (user_caps(&with), user_caps(&without)) {
        decide::livable(with);
        for (with, without) in fields(with).into_iter().zip(fields(without)) {
            assert!(keys.contains(&with.0) || with == without, "{with:?}");
        }
    }
    assert_eq!(rest(with), rest(without));
}

fn user_caps(decision: &Decision) -> Option<&Caps> {
    match &decision.outcome {
        Outcome::Berth(berth) => Some(&berth.user_caps),
        Outcome::Exempt | Outcome::Deny { .. } => None,
    }
}

/// All but the caps of the user, and those of the session, which may be a part of them.
fn rest(mut decision: Decision) -> Decision {
    if let Outcome::Berth(berth) = &mut decision.outcome {
        berth.user_caps = Caps::default();
        berth.session_caps = Caps::default();
    }
    decision
}

/// The caps by name, as text.
fn fields(caps: &Caps) -> Vec<(String, String)> {
    let fields = serde_json::to_value(caps).expect("an object");
    let fields = fields.as_object().expect("an object").clone();
    let text = |(name, value): (String, serde_json::Value)| (name, value.to_string());
    fields.into_iter().map(text).collect()
}
