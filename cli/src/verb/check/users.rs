//! `berth check --users`: what the policy comes to for all accounts.

use berth_config::{Policy, Survey, counted};

use crate::exit::{Exit, not_so};
use crate::progress::Progress;
use crate::readable::named;
use crate::{place, table};

/// Decides an ssh login of every account.
pub fn survey(policy: &Policy) -> Result<Survey, Exit> {
    let machine = place::machine().map_err(not_so)?;
    let accounts = place::accounts().map_err(not_so)?;
    let mut progress = Progress::new("accounts decided");
    Ok(policy.survey(&accounts, &machine, |done, all| progress.tell(done, all)))
}

/// Its lines.
pub fn lines(survey: &Survey) -> Vec<String> {
    let mut out = Vec::new();
    let count = |lists: &std::collections::BTreeMap<String, Vec<String>>| {
        lists.values().map(Vec::len).sum::<usize>()
    };
    let line = |cells: [&str; 3]| cells.map(String::from).to_vec();
    let mut lines = vec![line(["PROFILE", "POOL", "USERS"])];
    for landing in &survey.landings {
        let pool = landing.pool.as_deref().unwrap_or("-");
        lines.push(line([&landing.profile, pool, &landing.users.to_string()]));
    }
    let apart = [
        ("exempt", "EXEMPT", &survey.exempt),
        ("denied", "DENIED", &survey.denied),
        ("not known", "NOT KNOWN HERE", &survey.undecided),
    ];
    for (word, _, lists) in &apart {
        if !lists.is_empty() {
            lines.push(line([word, "", &count(lists).to_string()]));
        }
    }
    let accounts = counted(survey.accounts, "account");
    out.push(format!(
        "\n{accounts}, by what an ssh login of each gets:\n"
    ));
    for line in table::lines(&lines, &[2]) {
        out.push(line);
    }
    for (_, title, lists) in apart {
        if !lists.is_empty() {
            out.push(format!("\n{title}"));
        }
        for (why, users) in lists {
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            out.push(format!("  {why}: {}", named(&users)));
        }
    }
    if !survey.unmatched.is_empty() {
        out.push("\nRULES THAT MATCH NOBODY".into());
        let lines = survey.unmatched.iter();
        let lines = lines.map(|rule| line([&rule.rule, &rule.place, &rule.why]));
        for line in table::lines(&lines.collect::<Vec<_>>(), &[]) {
            out.push(format!("  {line}"));
        }
    }
    out
}
