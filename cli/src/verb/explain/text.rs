//! An explanation, for people.

use berth_config::outcome::Outcome;
use berth_config::{Explanation, Login, Policy, Shown, Verdict};

use berth_session::systemd::slice;

use super::enforced;
use super::session::Session;
use crate::place;
use crate::units::Other;

/// Prints it.
pub fn print(
    login: &Login,
    session: Option<&Session>,
    policy: &Policy,
    explanation: &Explanation,
    others: &[Other],
) {
    head(login, policy);
    if let Some(session) = session {
        println!("{}", session.text(explanation));
    }
    if let Some(because) = &explanation.exempt {
        println!("\nEXEMPT       {because}");
        println!("\nBerth leaves {} alone.", login.user);
        return;
    }
    rules(explanation);
    if session.is_none() && login.rhost.is_empty() && policy.tests_rhost() {
        println!("  rules test rhost, and this login comes from nowhere: try --rhost ADDRESS");
    }
    let pool = match &explanation.decision.pool {
        Some(pool) => format!(", pool {pool}"),
        None => String::new(),
    };
    let user = &explanation.user_profile;
    let profile = if user.is_empty() { "no profile" } else { user };
    match &explanation.decision.outcome {
        Outcome::Berth(_) => section(
            "USER CAPS",
            &format!("{profile}{pool}"),
            &explanation.user_caps,
        ),
        Outcome::Exempt | Outcome::Deny { .. } => {
            println!("\n{:<13}{profile}{pool}; not set by this login", "USER CAPS");
        }
    }
    let pool = explanation.decision.pool.as_deref().unwrap_or_default();
    section("POOL CAPS", pool, &explanation.pool_caps);
    section("EVERYONE", "", &explanation.everyone_caps);
    if !others.is_empty() {
        section(
            "SYSTEMD",
            &slice(login.uid),
            &others.iter().map(shown).collect::<Vec<_>>(),
        );
    }
    match &explanation.decision.outcome {
        Outcome::Exempt => println!("\nTHIS LOGIN   exempt: Berth leaves it alone."),
        Outcome::Deny { message: None } => println!("\nTHIS LOGIN   denied"),
        Outcome::Deny {
            message: Some(message),
        } => println!("\nTHIS LOGIN   denied: {message}"),
        Outcome::Berth(berth) => {
            let profile = berth.profile.replace('+', " + ");
            section("THIS LOGIN", &profile, &explanation.login);
            println!();
            match berth.enforce {
                false => println!("Nothing of this is enforced: enforce = false."),
                true => enforced::print(login, policy, explanation, berth),
            }
        }
    }
}

fn head(login: &Login, policy: &Policy) {
    let groups: Vec<&str> = login
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    let from = match login.rhost.as_str() {
        "" => String::new(),
        rhost => format!(" from {rhost}"),
    };
    let at = login.at.map(|at| format!(", {at}")).unwrap_or_default();
    println!(
        "{} ({}), groups {}; service {}{from}; {}{at}",
        login.user,
        login.uid,
        groups.join(" "),
        login.service,
        login.host,
    );
    match (policy.loaded(), place::loaded_at(policy)) {
        (Some(loaded), Some(at)) => {
            let changed = loaded.changed();
            if changed.is_empty() {
                println!("policy loaded {at}, files unchanged since");
            } else {
                let paths: Vec<_> = changed
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                println!(
                    "policy loaded {at}; edited since, not in force: {}",
                    paths.join(", ")
                );
            }
        }
        _ => {
            let paths: Vec<_> = policy
                .files()
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            println!("policy of {}, not loaded", paths.join(", "));
        }
    }
}

fn rules(explanation: &Explanation) {
    println!("\nRULES");
    let width = |text: fn(&berth_config::Tried) -> &str| {
        explanation
            .rules
            .iter()
            .map(|rule| text(rule).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (names, places) = (width(|rule| &rule.name), width(|rule| &rule.place));
    for rule in &explanation.rules {
        let mark = match rule.verdict {
            Verdict::Missed => "-",
            Verdict::Login => "LOGIN",
            Verdict::User => "USER",
            Verdict::Both => "BOTH",
        };
        println!(
            "  {mark:<5}  {:<names$}  {:<places$}  {}",
            rule.name, rule.place, rule.why
        );
    }
    match explanation.not_reached {
        0 => {}
        1 => println!("  1 later rule not reached"),
        later => println!("  {later} later rules not reached"),
    }
    let matched = explanation
        .rules
        .iter()
        .any(|rule| rule.verdict != Verdict::Missed);
    if !matched {
        println!("  no rule matches: [defaults] no_match decides");
    }
}

fn section(title: &str, of: &str, lines: &[Shown]) {
    if lines.is_empty() && of.is_empty() {
        return;
    }
    println!("\n{}", format!("{title:<13}{of}").trim_end());
    let width = |text: fn(&Shown) -> &str| {
        lines
            .iter()
            .map(|line| text(line).chars().count())
            .max()
            .unwrap_or(0)
    };
    let keys = width(|line| &line.key).max(16);
    let values = width(|line| &line.value).max(18);
    let places = width(|line| &line.place);
    let print = |line: &Shown, key: &str, value: &str| {
        let text = match (&line.because, &line.profile) {
            (Some(because), _) => format!("  {key:<keys$}  {value:<values$}  {because}"),
            (None, Some(profile)) => format!(
                "  {key:<keys$}  {value:<values$}  {:<places$}  profile {profile}",
                line.place
            ),
            (None, None) => format!("  {key:<keys$}  {value:<values$}  {}", line.place),
        };
        println!("{text}");
    };
    for line in lines {
        print(line, &line.key, &line.value);
        if let Some(was) = &line.was {
            print(was, "", &format!("was {}", was.value));
        }
    }
    if lines.is_empty() {
        println!("  none");
    }
}

fn shown(other: &Other) -> Shown {
    let path = other.path.display();
    Shown {
        key: other.key.into(),
        value: other.value.clone(),
        place: String::new(),
        profile: None,
        because: Some(match other.wins {
            true => format!("{path}, which wins at the next daemon-reload"),
            false => path.to_string(),
        }),
        was: None,
    }
}
