//! A policy's text, and drop-ins over it.

use crate::policy::{checked, machine, read};
use crate::{decide, input};
use berth_config::fuzzing;

/// The first part is policy.toml, each further one a drop-in.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let mut files = files(&text);
    let Some(policy) = checked(&files) else {
        return;
    };

    // To read is what takes time: one more reading of each input, of one kind or the other.
    let (name, last) = *files.last().expect("a file");
    let says_no_more = files.len() > 1 && !last.contains("rule") && !last.contains("expect");
    if input.len() % 2 == 0 || !says_no_more {
        // A drop-in that says nothing changes nothing, wherever it stands.
        files.push(("99-empty.toml", "# nothing\n"));
        let with_empty = read(&files).expect("a policy");
        let contents = fuzzing::contents(&policy);
        assert_eq!(fuzzing::contents(&with_empty), contents);
    } else {
        // Read twice, a drop-in without rules and expectations says no more than once.
        files.push((name, last));
        let twice = read(&files).expect("a policy");
        assert_eq!(without_places(&twice), without_places(&policy));
    }
}

/// The files that an input stands for.
fn files(text: &str) -> Vec<(&'static str, &str)> {
    let names = ["policy.toml", "10-a.toml", "20-b.toml", "30-c.toml"];
    names.into_iter().zip(input::parts(text)).collect()
}

/// The policy that an input is.
pub fn policy(text: &str) -> Option<berth_config::Policy> {
    checked(&files(text))
}

/// A policy without the places where its values stand: of two files with one text each value has another.
fn without_places(policy: &berth_config::Policy) -> Vec<String> {
    let (rules, profiles) = policy.size();
    let exempt = policy.exempt().render(policy.unanswered());
    let accounting = format!("{:?}", policy.accounting());
    let decided = policy.decide(&decide::login("user=alice"), &machine());
    vec![
        format!("{:?}", decided.map(|decision| decision.outcome)),
        format!("{rules} {profiles} {:?}", policy.default_on_error()),
        format!("{}", policy.owner_uid_base()),
        exempt,
        accounting,
    ]
}
