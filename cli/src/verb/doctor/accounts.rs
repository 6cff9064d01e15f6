//! The accounts: how many are berthed, exempt and denied.

use berth_config::counted;
use berth_config::outcome::Outcome;

use super::finding::Finding;
use super::world::World;
use crate::place::SILENT;
use crate::readable::named;

pub fn check(world: &World) -> Vec<Finding> {
    if world.policy.is_none() {
        return Vec::new(); // Told elsewhere.
    }
    if world.accounts.is_empty() {
        return vec![Finding::fail(
            SILENT,
            "see which service in /etc/nsswitch.conf does not answer: getent -s SERVICE passwd",
        )];
    }
    let (mut berthed, mut exempt, mut denied) = (0, 0, 0);
    let mut undecided = Vec::new();
    for (login, decision) in &world.accounts {
        match decision.as_ref().map(|decision| &decision.outcome) {
            Some(Outcome::Berth(_)) => berthed += 1,
            Some(Outcome::Exempt) => exempt += 1,
            Some(Outcome::Deny { .. }) => denied += 1,
            None => undecided.push(&*login.user),
        }
    }
    let all = counted(world.accounts.len(), "account");
    let text = format!("{all}: {berthed} berthed, {exempt} exempt, {denied} denied");
    let mut findings = vec![match berthed {
        0 => Finding::warn(
            text,
            "berth explain USER says why. LDAP mostly lists no users: then the checks below look at what each rule would give",
        ),
        _ => Finding::ok(text),
    }];
    if let Some(first) = undecided.first() {
        findings.push(Finding::fail(
            format!(
                "the policy cannot be worked out here for {}",
                named(&undecided)
            ),
            format!("berth explain {first}"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn who_is_berthed_is_counted_and_nobody_is_a_warning() {
        let mut fake = Fake::new("", &[], &[]);
        let told = check(&fake.0);
        assert_eq!(
            told,
            [Finding::ok("1 account: 1 berthed, 0 exempt, 0 denied")]
        );
        fake.0.accounts[0].1 = None;
        let levels: Vec<_> = check(&fake.0).iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Warn, Level::Fail]);
        fake.0.accounts.clear();
        assert_eq!(check(&fake.0)[0].level, Level::Fail);
    }
}
