//! What becomes of what the policy says, by what the application can be given.

use berth_config::{Machine, Trust, check_files};
use berth_protocol::Phase;

use super::*;

/// What a policy of one rule plans for alice, before it is known what her application can be given.
pub fn planned(name: &str, rule: &str, profile: &str) -> Planned {
    let path = std::env::temp_dir().join(format!("berth-planned-{name}-{}", std::process::id()));
    let text = format!(
        "version = 1\n[pool.cs101]\nmemory_max = \"9G\"\n\
         [[rule]]\nname = \"r\"\nprofile = \"p\"\n{rule}\n[profile.p]\n{profile}\n"
    );
    std::fs::write(&path, text).unwrap();
    let checked = check_files(std::slice::from_ref(&path), Trust::Anybody, None).unwrap();
    std::fs::remove_file(&path).unwrap();
    let policy = checked
        .policy
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let login = Login {
        user: "alice".into(),
        uid: 1001,
        ..Login::default()
    };
    let decision = policy.decide(&login, &Machine::read(None).unwrap());
    let decision = decision.unwrap();
    let Outcome::Berth(berth) = decision.outcome else {
        panic!("{:?}", decision.outcome);
    };
    Planned {
        login,
        berth: *berth,
        rule: decision.rule,
        user_rule: decision.user_rule,
        pool: decision.pool.map(|pool| (pool, decision.pool_caps)),
        everyone_caps: decision.everyone_caps,
        frozen_login: policy.frozen_login(),
        owner_uid_base: policy.owner_uid_base(),
        accounting: policy.accounting(),
        notes: Vec::new(),
        policy: None,
        by: (Source::default(), Source::default().basis()),
    }
}

/// A request of alice's by ssh.
pub fn request(join: JoinAbility) -> Request {
    Request {
        phase: Phase::Session,
        user: "alice".into(),
        service: "sshd".into(),
        tty: "ssh".into(),
        rhost: "192.0.2.7".into(),
        ruser: Vec::new(),
        policy: None,
        join,
        on_error: OnError::Deny,
    }
}

const CAPS: &str =
    "max_sessions = 2\nuser = { memory_max = \"3G\" }\nsession = { tasks_max = 64 }\n";
const NAMESPACES: &str =
    "namespaces = { user = \"identity\", pid = true, mount = true, ipc = true }\n";
const ALL: &str = "user,pid,ipc,mount";

#[test]
fn an_application_is_joined_if_it_can_be_and_the_log_says_why_not() {
    use JoinAbility::*;
    let threaded = "has more than one thread";
    let unnamed = "caps only: no rule names this service";
    for (join, service, is_named, profile, expected) in [
        (Yes, "sshd", false, NAMESPACES, Ok((ALL, ""))),
        (IfNamed, "xrdp", true, NAMESPACES, Ok((ALL, ""))),
        (IfNamed, "xrdp", false, NAMESPACES, Ok(("", unnamed))),
        (
            Service,
            "sudo",
            true,
            NAMESPACES,
            Ok(("", "caps only: this service is never joined")),
        ),
        // There is nothing to be left out, and nothing to be told.
        (Service, "sudo", true, "", Ok(("", ""))),
        // A display manager, which nobody has asked to be joined.
        (
            Threaded,
            "gdm-password",
            false,
            NAMESPACES,
            Ok(("", unnamed)),
        ),
        (Threaded, "gdm-password", true, NAMESPACES, Err(threaded)),
        (Threaded, "sshd", false, NAMESPACES, Err(threaded)),
        (Threaded, "sshd", true, "", Ok(("", ""))),
        (
            Threaded,
            "sshd",
            false,
            "on_error = \"allow\"\nnamespaces = { pid = true, mount = true }\n",
            Ok(("", "caps only: the application has more than one thread")),
        ),
    ] {
        let mut planned = planned("joined", "", &format!("{CAPS}{profile}"));
        planned.login.service = service.into();
        let fit = planned.fit_to_application(join, is_named);
        let case = format!("{join:?} {service} {is_named} {profile}");
        let Ok((namespaces, note)) = expected else {
            let error = fit.unwrap_err().to_string();
            assert!(error.contains(expected.unwrap_err()), "{case}: {error}");
            continue;
        };
        fit.unwrap();
        assert_eq!(planned.namespace_names(), namespaces, "{case}");
        assert_eq!(planned.notes.join("; "), note, "{case}");
        let is_joined = !namespaces.is_empty();
        assert_eq!(planned.berth.privileges.no_new_privs, is_joined, "{case}");
        assert_eq!(planned.berth.max_sessions, Some(2), "caps stay: {case}");
        assert!(!planned.berth.session_caps.is_empty(), "caps stay: {case}");
    }
    // What a profile without namespaces denies is told as well, and would be one thread's alone.
    for privileges in ["no_new_privs = true", "nested_userns = false"] {
        let profile = format!("privileges = {{ {privileges} }}");
        let mut bare = planned("privileges", "", &profile);
        let error = bare.fit_to_application(Threaded, true).unwrap_err();
        assert!(error.to_string().contains(threaded), "{error}");
        bare.fit_to_application(Service, false).unwrap();
        assert_eq!(bare.notes, ["caps only: this service is never joined"]);
    }
}

#[test]
fn a_service_manager_is_no_session_and_in_the_berth_only_if_the_policy_isolates_it() {
    let isolated = NAMESPACES.replace("pid", "scope = \"user\", user_manager = \"isolated\", pid");
    for (namespaces, expected) in [(NAMESPACES, ""), (&isolated, ALL)] {
        let profile = format!("{CAPS}{namespaces}");
        let mut planned = planned("manager", "pool = \"cs101\"", &profile);
        assert!(planned.pool.is_some());
        planned
            .fit_to_application(JoinAbility::Manager, false)
            .unwrap();
        assert_eq!(planned.namespace_names(), expected);
        assert_eq!(planned.notes.is_empty(), !expected.is_empty());
        assert!(planned.pool.is_none() && planned.berth.session_caps.is_empty());
        assert_eq!(planned.berth.max_sessions, None);
        assert!(!planned.berth.user_caps.is_empty(), "the user's caps hold");
    }
}

#[test]
fn what_is_not_enforced_changes_nothing_and_the_log_has_what_would_be() {
    let profile = format!(
        "enforce = false\nmotd = true\nlogout = {{ linger = \"1h\" }}\n{CAPS}{NAMESPACES}\
         rlimits = {{ nofile = 1000 }}\n[everyone]\nmemory_max = \"8G\"\n"
    );
    let mut planned = planned("enforce", "pool = \"cs101\"", &profile);
    let has_all = |planned: &Planned| {
        let berth = &planned.berth;
        [
            !planned.everyone_caps.is_empty(),
            planned.pool.is_some(),
            !berth.user_caps.is_empty(),
            !berth.session_caps.is_empty(),
            !berth.rlimits.is_empty(),
            berth.max_sessions.is_some(),
            berth.notify,
            berth.motd,
            berth.logout.linger.is_some(),
            berth.namespaces.any(),
            berth.privileges.no_new_privs,
        ]
    };
    assert_eq!(has_all(&planned), [true; 11], "there is all to be left out");
    planned.fit_to_application(JoinAbility::Yes, true).unwrap();
    assert_eq!(
        planned.notes,
        [
            "enforce = false; with it the user has memory_max 3G; this login tasks_max 64; \
             all in cs101 together memory_max 9G; own user,pid,ipc,mount; max_sessions 2; linger 1h",
            "caps only: enforce = false"
        ]
    );
    assert_eq!(has_all(&planned), [false; 11]);
}

#[test]
fn as_many_sessions_as_max_sessions_are_open_and_no_more() {
    let mut planned = planned("sessions", "", CAPS);
    let refusal = |planned: &Planned, logins| planned.refusal(None, || Ok(logins)).unwrap();
    assert_eq!(refusal(&planned, 1), None);
    for logins in [2, 3] {
        assert_eq!(
            refusal(&planned, logins).as_deref(),
            Some("You have 2 sessions already, and no more are allowed.")
        );
    }
    planned.berth.max_sessions = None;
    assert_eq!(refusal(&planned, 1000), None);
}

#[test]
fn what_nss_said_in_the_account_phase_is_not_asked_again_but_of_another_user() {
    let no_such_user = |name: &str| Login {
        user: name.into(),
        uid: 1001,
        ..Login::default()
    };
    let request = Request {
        user: b"berth-nobody-has-this-name".into(),
        ..request(JoinAbility::Yes)
    };
    let mut account = Some(no_such_user("berth-nobody-has-this-name"));
    let found = login(&request, &mut account).unwrap();
    assert_eq!((found.uid, found.rhost.as_str()), (1001, "192.0.2.7"));
    assert!(account.is_some(), "for the session phase");
    login(&request, &mut Some(no_such_user("alice"))).unwrap_err();
}

#[test]
fn an_account_phases_decision_serves_a_session_that_is_the_same_under_the_same_policy() {
    let session = request(JoinAbility::Yes);
    let account = Request {
        phase: Phase::Account,
        ..session.clone()
    };
    let decided = || Box::new(planned("known", "", ""));
    let basis = decided().by.1;
    let holds = |request: &Request, basis: &Basis| {
        let mut known = Known::default();
        known.keep(account.clone(), decided());
        known.still_holds(request, basis).is_some()
    };
    assert!(holds(&session, &basis));
    let other_policy = Source::of(Some(b"/")).basis();
    assert!(!holds(&session, &other_policy));
    let others: [fn(&mut Request); 4] = [
        |request| request.user = "bob".into(),
        |request| request.tty = "/dev/pts/1".into(),
        |request| request.join = JoinAbility::Threaded,
        |request| request.policy = Some("/etc/berth/strict.toml".into()),
    ];
    for other in others {
        let mut request = session.clone();
        other(&mut request);
        assert!(!holds(&request, &basis), "{request:?}");
    }
}
