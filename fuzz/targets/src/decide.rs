//! A login, and a policy that decides it.

use berth_config::outcome::{Caps, Limit, Outcome, UserNamespace};
use berth_config::value::IdSet;
use berth_config::{Group, LocalTime, Login, Machine, Policy, fuzzing};

use crate::{input, policy};

/// The first part has the login's facts, one a line; the second is the policy.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let mut parts = input::parts(&text);
    let (facts, text) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let Some(policy) = policy::checked(&[("policy.toml", text)]) else {
        return;
    };
    let (login, machine) = (login(facts), machine(facts));
    let decision = policy.decide(&login, &machine);
    assert_eq!(decision, policy.decide(&login, &machine));

    let copy = fuzzing::copied(&policy).expect("a copy");
    assert_eq!(decision, copy.decide(&login, &machine), "by the copy");
    assert_eq!(policy.case(&login), copy.case(&login));
    let own = fuzzing::narrowed(&policy, &login).expect("a copy");
    assert_eq!(decision, own.decide(&login, &machine), "by its own rules");

    match (policy.explain(&login, &machine), &decision) {
        (Ok(explanation), Ok(decision)) => assert_eq!(explanation.decision, *decision),
        (explanation, decision) => assert!(explanation.is_err() && decision.is_err()),
    }
    whoever_is_exempt_is_let_in(&policy, &login, &machine);
    let Ok(decision) = decision else { return };
    livable(&decision.pool_caps);
    livable(&decision.everyone_caps);
    match decision.outcome {
        Outcome::Berth(berth) => {
            livable(&berth.user_caps);
            livable(&berth.session_caps);
            let isolated = berth.namespaces.user != UserNamespace::Off;
            assert!(!isolated || berth.privileges.no_new_privs);
            assert!(decision.rule.is_some());
        }
        Outcome::Exempt | Outcome::Deny { .. } => {}
    }
}

fn whoever_is_exempt_is_let_in(policy: &Policy, login: &Login, machine: &Machine) {
    let let_in = |login: &Login| {
        let decision = policy.decide(login, machine).expect("a decision");
        assert_eq!(decision.outcome, Outcome::Exempt, "{login:?}");
    };
    let but = |change: &dyn Fn(&mut Login)| {
        let mut login = login.clone();
        change(&mut login);
        let_in(&login);
    };
    but(&|login| login.uid = 0);
    let exempt = policy.exempt();
    for user in &exempt.users {
        but(&|login| login.user.clone_from(user));
    }
    for group in &exempt.groups {
        but(&|login| {
            let (gid, name) = (7, group.clone());
            login.groups.push(Group { gid, name });
        });
    }
    for range in &exempt.uids {
        but(&|login| login.uid = *range.start());
        but(&|login| login.uid = *range.end());
    }
}

/// Caps under which somebody can log in.
pub fn livable(caps: &Caps) {
    let least = |limit: Option<Limit>, least: u64| {
        assert!(limit.is_none_or(|limit| limit >= Limit::Finite(least)));
    };
    least(caps.memory_max, 16 << 20);
    least(caps.tasks_max, 8);
    least(caps.cpu_quota, 1);
}

/// `key=value`, a line each; what is not there is empty.
pub fn login(facts: &str) -> Login {
    let of = |key: &str| fact(facts, key).unwrap_or_default();
    let number = |key| of(key).parse().unwrap_or(1001);
    let groups = of("groups").split(',');
    Login {
        user: of("user").into(),
        uid: number("uid"),
        gid: number("gid"),
        groups: groups
            .filter_map(|group| {
                let (name, gid) = group.split_once(':')?;
                Some(Group {
                    gid: gid.parse().ok()?,
                    name: name.into(),
                })
            })
            .collect(),
        service: of("service").into(),
        tty: of("tty").into(),
        rhost: of("rhost").into(),
        ruser: of("ruser").into(),
        host: of("host").into(),
        at: LocalTime::parse(of("at")),
    }
}

pub fn machine(facts: &str) -> Machine {
    let of = |key: &str| fact(facts, key).unwrap_or_default();
    let default = policy::machine();
    Machine {
        memory: of("memory").parse().unwrap_or(default.memory),
        cpus: IdSet::parse(of("cpus")).unwrap_or(default.cpus),
        memory_nodes: IdSet::parse(of("nodes")).unwrap_or(default.memory_nodes),
        tasks: of("tasks").parse().unwrap_or(default.tasks),
    }
}

fn fact<'t>(facts: &'t str, key: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(key)?.strip_prefix('=');
    facts.split('\n').find_map(value)
}
