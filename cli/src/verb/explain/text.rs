//! An explanation, for people.

use berth_config::outcome::Outcome;
use berth_config::{Explanation, Login, Policy, Shown, Verdict};

use berth_session::systemd::slice;

use super::Explained;
use super::enforced::{self, Lack};
use crate::place;
use crate::readable::harmless;
use crate::slices::Other;

/// Its lines.
pub fn lines(explained: &Explained) -> Vec<String> {
    let Explained {
        login,
        session,
        policy,
        explanation,
        others,
        lacks,
    } = explained;
    let mut out = Vec::new();
    head(&mut out, login, policy);
    if let Some(session) = session {
        out.push(session.text(explanation));
    }
    if let Some(because) = &explanation.exempt {
        out.push(format!("\nEXEMPT       {because}"));
        out.push(format!("\nBerth leaves {} alone.", login.user));
        return out;
    }
    rules(&mut out, explanation);
    if session.is_none() && login.rhost.is_empty() && policy.tests_rhost() {
        out.push(
            "  rules test rhost, and this login comes from nowhere: try --rhost ADDRESS".into(),
        );
    }
    caps(&mut out, explanation);
    if !others.is_empty() {
        section(
            &mut out,
            "SYSTEMD",
            &slice(explanation.decision.pool.as_deref(), login.uid),
            &others.iter().map(shown).collect::<Vec<_>>(),
        );
    }
    this_login(&mut out, policy, explanation, lacks);
    out
}

/// What the user gets in all, with their pool's and everyone's.
fn caps(out: &mut Vec<String>, explanation: &Explanation) {
    let pool = match &explanation.decision.pool {
        Some(pool) => format!(", pool {pool}"),
        None => String::new(),
    };
    let user = &explanation.user_profile;
    let profile = if user.is_empty() { "no profile" } else { user };
    match (&explanation.decision.outcome, explanation.decision.not_set) {
        (Outcome::Berth(_), None) => {
            let of_user = format!("{profile}{pool}");
            let caps = explanation.user_caps.as_slice();
            let watched = [caps, explanation.penalty.as_slice()].concat();
            section(out, "USER CAPS", &of_user, &watched);
            let pool = explanation.decision.pool.as_deref().unwrap_or_default();
            section(out, "POOL CAPS", pool, &explanation.pool_caps);
        }
        (_, why) => {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            out.push(format!(
                "\n{:<13}{profile}{pool}; not set by this login{why}",
                "USER CAPS"
            ));
        }
    }
    section(out, "EVERYONE", "", &explanation.everyone_caps);
}

fn this_login(out: &mut Vec<String>, policy: &Policy, explanation: &Explanation, lacks: &[Lack]) {
    match &explanation.decision.outcome {
        Outcome::Exempt => out.push("\nTHIS LOGIN   exempt: Berth leaves it alone.".into()),
        Outcome::Deny { message: None } => out.push("\nTHIS LOGIN   denied".into()),
        Outcome::Deny {
            message: Some(message),
        } => out.push(format!("\nTHIS LOGIN   denied: {message}")),
        Outcome::Berth(berth) => {
            let profile = berth.profile.replace('+', " + ");
            section(out, "THIS LOGIN", &profile, &explanation.login);
            out.push(String::new());
            match berth.enforce {
                false => out.push("Nothing of this is enforced: enforce = false.".into()),
                true => out.extend(enforced::lines(policy, lacks)),
            }
        }
    }
}

fn head(out: &mut Vec<String>, login: &Login, policy: &Policy) {
    let groups: Vec<&str> = login
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    let from = match login.rhost.as_str() {
        "" => String::new(),
        rhost => format!(" from {}", harmless(rhost)),
    };
    let at = login.at.map(|at| format!(", {at}")).unwrap_or_default();
    out.push(format!(
        "{} ({}), groups {}; service {}{from}; {}{at}",
        login.user,
        login.uid,
        groups.join(" "),
        harmless(&login.service),
        login.host,
    ));
    match place::loaded_at(policy) {
        Some(at) => {
            let since = match policy.changed() {
                None => String::new(),
                Some(changed) if changed.is_empty() => ", files unchanged since".into(),
                Some(changed) => {
                    let paths: Vec<_> = changed
                        .iter()
                        .map(|path| path.display().to_string())
                        .collect();
                    format!("; edited since, not in force: {}", paths.join(", "))
                }
            };
            out.push(format!("policy loaded {at}{since}"));
        }
        None => {
            let paths: Vec<_> = policy
                .files()
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            out.push(format!("policy of {}, not loaded", paths.join(", ")));
        }
    }
}

fn rules(out: &mut Vec<String>, explanation: &Explanation) {
    out.push("\nRULES".into());
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
        out.push(format!(
            "  {mark:<5}  {:<names$}  {:<places$}  {}",
            rule.name,
            rule.place,
            harmless(&rule.why)
        ));
    }
    match explanation.not_reached {
        0 => {}
        1 => out.push("  1 later rule not reached".into()),
        later => out.push(format!("  {later} later rules not reached")),
    }
    let matched = explanation
        .rules
        .iter()
        .any(|rule| rule.verdict != Verdict::Missed);
    if !matched {
        out.push("  no rule matches: [defaults] no_match decides".into());
    }
}

fn section(out: &mut Vec<String>, title: &str, of: &str, lines: &[Shown]) {
    if lines.is_empty() && of.is_empty() {
        return;
    }
    out.push(format!("\n{}", format!("{title:<13}{of}").trim_end()));
    let mut rows = Vec::new();
    for line in lines {
        rows.push((line.key.as_str(), line.value.clone(), line));
        if let Some(was) = &line.was {
            rows.push(("", format!("was {}", was.value), was));
        }
    }
    let width = |text: fn(&(&str, String, &Shown)) -> usize| rows.iter().map(text).max();
    let keys = width(|(key, ..)| key.chars().count()).max(Some(16));
    let values = width(|(_, value, _)| value.chars().count()).max(Some(18));
    let places = width(|(.., line)| line.place.chars().count());
    let [keys, values, places] = [keys, values, places].map(Option::unwrap_or_default);
    for (key, value, line) in &rows {
        let place = &line.place;
        let text = match (&line.because, &line.profile) {
            (Some(because), _) => format!("  {key:<keys$}  {value:<values$}  {because}"),
            (None, Some(profile)) => {
                format!("  {key:<keys$}  {value:<values$}  {place:<places$}  profile {profile}")
            }
            (None, None) => format!("  {key:<keys$}  {value:<values$}  {place}"),
        };
        out.push(text);
    }
    if lines.is_empty() {
        out.push("  none".into());
    }
}

fn shown(other: &Other) -> Shown {
    let path = other.path.display();
    Shown {
        key: other.key.into(),
        value: other.value.clone(),
        amount: serde_json::Value::Null,
        place: String::new(),
        profile: None,
        because: Some(match other.wins {
            true => format!("{path}, which wins at the next daemon-reload"),
            false => path.to_string(),
        }),
        was: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_was_stands_in_the_same_columns() {
        let shown = |value: &str, place: &str, was| Shown {
            key: "cpu_quota".into(),
            value: value.into(),
            amount: serde_json::Value::Null,
            place: place.into(),
            profile: Some("p".into()).filter(|_| !place.is_empty()),
            because: Some("exception".into()).filter(|_| place.is_empty()),
            was,
        };
        let was = shown("12.5% of machine = 2 CPUs", "a:7", None);
        let lines = [
            shown("400%", "", Some(Box::new(was))),
            shown("x", "long:7", None),
        ];
        let mut out = Vec::new();
        section(&mut out, "USER CAPS", "p", &lines);
        assert_eq!(
            out.split_off(1),
            [
                "  cpu_quota         400%                           exception",
                "                    was 12.5% of machine = 2 CPUs  a:7     profile p",
                "  cpu_quota         x                              long:7  profile p",
            ]
        );
    }
}
