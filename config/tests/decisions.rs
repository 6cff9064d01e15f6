//! What comes out of a policy for a login.

mod written;

use std::time::Duration;

use berth_config::outcome::{
    Accounting, Berth, CpuWeight, Limit, OnError, Outcome, PrivateTmp, Resource, Scope,
    UserNamespace,
};
use berth_config::value::IdSet;
use berth_config::{
    DecideError, Decision, Exception, Exceptions, Layers, LocalTime, Login, Machine, Places,
    Policy, Trust, check_edited, check_files,
};
use written::{Written, login, machine, policy};

fn decide(policy: &Policy, login: &Login) -> Decision {
    policy.decide(login, &machine()).unwrap()
}

fn berth(decision: &Decision) -> &Berth {
    match &decision.outcome {
        Outcome::Berth(berth) => berth,
        other => panic!("{other:?}"),
    }
}

fn by(login: &Login, service: &str) -> Login {
    Login {
        service: service.into(),
        ..login.clone()
    }
}

#[test]
fn what_somebody_may_get_is_told_where_nobody_is_listed() {
    let policy = policy(
        "[profile.student]\nuser = { memory_max = \"3G\" }\n\
         [profile.half]\nsession = { memory_max = \"50% of user\" }\n\
         [[rule]]\nname = \"elsewhere\"\nhost = \"other*\"\nprofile = \"student\"\n\
         [[rule]]\nname = \"jobs\"\nservice = \"cron\"\nprofile = \"student\"\n\
         [[rule]]\nname = \"not here\"\ngroup = \"a\"\nexcept = { host = \"lab*\" }\nprofile = \"student\"\n\
         [[rule]]\nname = \"ssh\"\nservice = \"sshd\"\ngroup = \"a\"\nprofile = \"half\"\n\
         [[rule]]\nname = \"students\"\nexcept = { group = \"a\" }\nprofile = \"student\"\n\
         [[rule]]\nname = \"off\"\naction = \"exempt\"\n\
         [[rule]]\nname = \"never\"\nuser = \"bob\"\nprofile = \"student\"\n",
    );
    let anybody = Login {
        host: "lab1".into(),
        ..Login::default()
    };
    let decisions = policy.decide_for_anybody(&anybody.by_ssh(), &machine());
    let rules: Vec<_> = decisions
        .iter()
        .filter_map(|one| one.rule.as_deref())
        .collect();
    assert_eq!(rules, ["ssh", "students", "off"]);
    assert_eq!(decisions[0].user_rule.as_deref(), Some("students"));
    assert_eq!(
        berth(&decisions[0]).session_caps.memory_max,
        Some(Limit::Finite(3 << 29))
    );
}

#[test]
fn a_cron_job_does_not_change_what_the_user_may_have() {
    let policy = policy(
        "[profile.student]\nuser = { memory_max = \"3G\" }\n\
         [profile.batch]\nsession = { tasks_max = 64, memory_max = \"50% of user\" }\n\
         [profile.big]\nuser = { memory_max = \"9G\" }\n\
         [[rule]]\nname = \"jobs\"\nservice = \"cron\"\nprofile = [\"big\", \"batch\"]\n\
         [[rule]]\nname = \"students\"\ngroup = \"students\"\nprofile = \"student\"\n\
         [[rule]]\nname = \"others\"\nprofile = \"big\"\n",
    );
    let alice = login("alice", 1001, &["alice", "students"]);
    let ssh = decide(&policy, &alice);
    let cron = decide(&policy, &by(&alice, "cron"));
    assert_eq!(ssh.rule.as_deref(), Some("students"));
    assert_eq!(cron.rule.as_deref(), Some("jobs"));
    assert_eq!(cron.user_rule, ssh.user_rule);
    assert!(!berth(&ssh).user_caps.is_empty());
    assert_eq!(berth(&cron).profile, "big+batch");
    assert_eq!(berth(&cron).user_caps, berth(&ssh).user_caps);
    assert_eq!(
        berth(&cron).user_caps.memory_max,
        Some(Limit::Finite(3 << 30))
    );
    // "of user" is of what the user has, by the user rule.
    assert_eq!(
        berth(&cron).session_caps.memory_max,
        Some(Limit::Finite(3 << 29))
    );
    assert!(cron.service_named && !ssh.service_named);
}

#[test]
fn profiles_are_laid_over_one_another_key_by_key() {
    let policy = policy(
        "[profile.base]\nmax_sessions = 10\nuser = { memory_max = \"4G\", tasks_max = 512 }\n\
         rlimits = { core = 0, nofile = \"1024:65536\" }\n\
         [profile.student]\ninherits = \"base\"\nuser = { memory_max = \"3G\" }\nmax_sessions = \"infinity\"\n\
         rlimits = { core = \"unset\" }\n\
         [profile.free]\nuser = { tasks_max = \"unset\", cpu_weight = \"idle\" }\n\
         [[rule]]\nprofile = [\"student\", \"free\"]\n",
    );
    let decision = decide(&policy, &login("alice", 1001, &["alice"]));
    let berth = berth(&decision);
    assert_eq!(berth.user_caps.memory_max, Some(Limit::Finite(3 << 30)));
    assert_eq!(berth.user_caps.tasks_max, None);
    assert_eq!(berth.user_caps.cpu_weight, Some(CpuWeight::Idle));
    assert_eq!(berth.max_sessions, None);
    let resources: Vec<Resource> = berth.rlimits.iter().map(|limit| limit.resource).collect();
    assert_eq!(resources, [Resource::Nofile]);
    assert_eq!(decision.rule.as_deref(), Some("policy.toml:13"), "no name");
}

#[test]
fn percentages_are_of_the_machine_of_one_cpu_and_of_the_systems_tasks() {
    let policy = policy(
        "[profile.a]\nuser = { memory_max = \"25%\", memory_high = \"12.5% of machine\", cpu_quota = \"400%\", tasks_max = \"50%\", allowed_cpus = \"2-\" }\n\
         session = { cpu_quota = \"50% of machine\", memory_max = \"0.01%\" }\n[[rule]]\nprofile = \"a\"\n",
    );
    let decision = decide(&policy, &login("alice", 1001, &[]));
    let berth = berth(&decision);
    assert_eq!(berth.user_caps.memory_max, Some(Limit::Finite(16 << 30)));
    assert_eq!(berth.user_caps.memory_high, Some(Limit::Finite(8 << 30)));
    assert_eq!(berth.user_caps.cpu_quota, Some(Limit::Finite(4_000_000)));
    assert_eq!(berth.user_caps.tasks_max, Some(Limit::Finite(16_384)));
    assert_eq!(berth.user_caps.allowed_cpus.as_deref(), Some("2-15"));
    assert_eq!(berth.session_caps.cpu_quota, Some(Limit::Finite(8_000_000)));
    // Less than a login can live in is raised to that.
    assert_eq!(berth.session_caps.memory_max, Some(Limit::Finite(16 << 20)));
}

#[test]
fn cpus_that_the_machine_has_not_are_an_error_and_no_cap_left_out() {
    let policy =
        policy("[profile.a]\nuser = { allowed_cpus = \"64-\" }\n[[rule]]\nprofile = \"a\"\n");
    let error = policy
        .decide(&login("alice", 1001, &[]), &machine())
        .unwrap_err();
    assert_eq!(
        error,
        DecideError::NotHere {
            place: "policy.toml:3".into(),
            key: "allowed_cpus",
            list: "64-".into(),
            machine: "0-15".into()
        }
    );
}

#[test]
fn caps_that_come_to_nothing_here_let_nobody_in_whom_a_rule_refuses() {
    let policy = policy(
        "[defaults]\non_error = \"allow\"\n[everyone]\nallowed_cpus = \"64-\"\n\
         [profile.strict]\non_error = \"deny\"\n[profile.lax]\n\
         [[rule]]\nuser = \"mallory\"\naction = \"deny\"\n\
         [[rule]]\nuser = \"root2\"\naction = \"exempt\"\n\
         [[rule]]\nuser = \"alice\"\nprofile = \"strict\"\n[[rule]]\nprofile = \"lax\"\n",
    );
    let outcome = |user| {
        let decision = policy.decide(&login(user, 1001, &[]), &machine());
        decision.map(|decision| decision.outcome)
    };
    assert_eq!(outcome("mallory"), Ok(Outcome::Deny { message: None }));
    assert_eq!(outcome("root2"), Ok(Outcome::Exempt));
    // And of who cannot be decided the profile says what becomes of them.
    for (user, expected) in [("alice", OnError::Deny), ("bob", OnError::Allow)] {
        outcome(user).unwrap_err();
        assert_eq!(policy.on_error(&login(user, 1001, &[])), expected, "{user}");
    }
}

#[test]
fn caps_that_come_to_nothing_here_refuse_nobody_for_whom_they_would_not_be_set() {
    let cpus = "{ allowed_cpus = \"64-\" }";
    let policy = policy(&format!(
        "[everyone]\nallowed_cpus = \"64-\"\n[pool.p]\nallowed_cpus = \"64-\"\n\
         [profile.trial]\nenforce = false\non_error = \"deny\"\nuser = {cpus}\n\
         [profile.job]\ncgroup = \"keep\"\npool = \"p\"\nuser = {cpus}\nsession = {cpus}\n\
         [[rule]]\nuser = \"alice\"\nprofile = \"trial\"\n[[rule]]\nprofile = \"job\"\n"
    ));
    // Who is on trial goes on as after any error, whatever on_error says; and explain says why.
    let alice = login("alice", 1001, &[]);
    policy.decide(&alice, &machine()).unwrap_err();
    assert_eq!(policy.on_error(&alice), OnError::Allow);
    let all = IdSet::parse("0-127").unwrap();
    let larger = Machine {
        cpus: all,
        ..machine()
    };
    let lines = policy.explain(&alice, &larger).unwrap().login;
    let line = lines.iter().find(|line| line.key == "on_error").unwrap();
    let because = line.because.as_deref();
    assert_eq!(
        (line.value.as_str(), because),
        ("allow", Some("because enforce = false"))
    );
    // Who keeps their cgroup gets no cap, so none is worked out.
    let bob = login("bob", 1002, &[]);
    let exceptions = Exceptions::of(vec![Exception {
        user: None,
        key: "tasks_max".into(),
        value: "99".into(),
        until: u64::MAX,
        by: "root".into(),
        reason: None,
        is_taken_back: false,
    }]);
    let layers = Layers {
        exceptions: exceptions.unwrap(),
        ..Layers::default()
    };
    let told = policy.explain_with(&bob, &machine(), &layers).unwrap();
    let berth = berth(&told.decision);
    for caps in [
        &berth.user_caps,
        &berth.session_caps,
        &told.decision.pool_caps,
        &told.decision.everyone_caps,
    ] {
        assert!(caps.is_empty(), "{caps:?}");
    }
    assert_eq!(told.decision.not_set, Some("cgroup = \"keep\""));
    let shown = [told.user_caps, told.pool_caps, told.everyone_caps];
    assert_eq!(shown.concat(), []);
}

#[test]
fn what_a_user_has_on_trial_no_login_beside_it_enforces() {
    let policy = |cpus: &str| {
        policy(&format!(
            "[everyone]\nmemory_max = \"32G\"\n[pool.p]\nmemory_max = \"16G\"\n\
             [profile.watch]\nenforce = false\npool = \"p\"\n\
             user = {{ memory_max = \"4G\", tasks_max = 100, allowed_cpus = \"{cpus}\" }}\n\
             [profile.batch]\nsession = {{ tasks_max = \"50% of user\", memory_max = \"50% of pool\" }}\n\
             [profile.capped]\nsession = {{ memory_max = \"1G\", tasks_max = \"50% of user\" }}\n\
             [[rule]]\nservice = \"cron\"\nprofile = \"batch\"\n\
             [[rule]]\nservice = \"atd\"\nprofile = \"capped\"\n[[rule]]\nprofile = \"watch\"\n"
        ))
    };
    let alice = login("alice", 1001, &[]);
    let here = policy("0-3");
    // By the log it would have all of it.
    let ssh = decide(&here, &alice);
    assert_eq!((ssh.not_set, ssh.pool.as_deref()), (None, Some("p")));
    assert_eq!(berth(&ssh).user_caps.tasks_max, Some(Limit::Finite(100)));
    let cron = here.explain(&by(&alice, "cron"), &machine()).unwrap();
    let Decision {
        pool, pool_caps, ..
    } = &cron.decision;
    let job = berth(&cron.decision);
    assert!(job.enforce && job.user_caps.is_empty() && pool_caps.is_empty());
    assert_eq!(
        (pool, &cron.user_caps, &cron.pool_caps),
        (&None, &vec![], &vec![])
    );
    assert_eq!(cron.decision.not_set, Some("enforce = false"));
    // But what is of the job alone, or of all, it has.
    assert_eq!(job.session_caps.tasks_max, Some(Limit::Finite(50)));
    assert_eq!(job.session_caps.memory_max, Some(Limit::Finite(8 << 30)));
    assert!(!cron.decision.everyone_caps.is_empty());
    // Nor does what would come to nothing here refuse it.
    let job = decide(&policy("64-"), &by(&alice, "atd"));
    let own = &berth(&job).session_caps;
    let (gib, half) = (Limit::Finite(1 << 30), Limit::Finite(50));
    assert_eq!((own.memory_max, own.tasks_max), (Some(gib), Some(half)));
}

/// Who is in one of them may be able to make the helper fail.
#[test]
fn one_profile_that_says_deny_decides_where_nobody_knows_whose_login_it_is() {
    let of = |text: &str| policy(text).unanswered();
    let (allow, deny) = (OnError::Allow, OnError::Deny);
    let profiles = "[profile.strict]\non_error = \"deny\"\n[profile.lax]\non_error = \"allow\"\n\
                    [profile.of_strict]\ninherits = \"strict\"\n";
    for (defaults, rules, expected) in [
        ("allow", "[[rule]]\nprofile = \"lax\"\n", allow),
        // Before it is known which profile a login has.
        ("deny", "[[rule]]\nprofile = \"lax\"\n", deny),
        (
            "allow",
            "[[rule]]\nuser = \"bob\"\nprofile = \"of_strict\"\n[[rule]]\nprofile = \"lax\"\n",
            deny,
        ),
        (
            "allow",
            "[[rule]]\nprofile = [\"strict\", \"lax\"]\n",
            allow,
        ),
        (
            "allow",
            "[[rule]]\nuser = \"bob\"\naction = \"deny\"\n[[rule]]\nprofile = \"lax\"\n",
            allow,
        ),
    ] {
        let text = format!("[defaults]\non_error = \"{defaults}\"\n{profiles}{rules}");
        assert_eq!(of(&text), expected, "{text}");
    }
    assert_eq!(of(profiles), deny, "the default of the default");
}

#[test]
fn defaults_are_those_of_the_documents() {
    let policy = policy("[profile.a]\n[[rule]]\nprofile = \"a\"\n");
    assert_eq!(policy.default_on_error(), OnError::Deny);
    assert_eq!(policy.owner_uid_base(), 2_000_000_000);
    let decision = decide(&policy, &login("alice", 1001, &[]));
    let berth = berth(&decision);
    assert!(berth.enforce && berth.user_caps.is_empty() && !berth.namespaces.any());
    assert_eq!(berth.namespaces.scope, Scope::Session);
    assert_eq!(berth.namespaces.private_tmp, PrivateTmp::Off);
    assert_eq!(berth.logout.linger, Some(Duration::ZERO));
    assert_eq!(berth.logout.grace, Duration::from_secs(5));
    assert!(!berth.privileges.no_new_privs && berth.privileges.nested_userns);
}

#[test]
fn a_user_namespace_brings_no_new_privs_and_forbids_more_of_them() {
    let with = |body: &str| {
        let policy = policy(&format!("[profile.a]\n{body}\n[[rule]]\nprofile = \"a\"\n"));
        let decision = decide(&policy, &login("alice", 1001, &[]));
        berth(&decision).privileges
    };
    let minimal = with("namespaces = { user = \"minimal\" }");
    assert!(minimal.no_new_privs && !minimal.nested_userns);
    let nested =
        with("namespaces = { user = \"identity\" }\nprivileges = { nested_userns = true }");
    assert!(nested.no_new_privs && nested.nested_userns);
    let filter = with("privileges = { nested_userns = false }");
    assert!(!filter.no_new_privs && !filter.nested_userns);
}

#[test]
fn an_empty_contact_is_none_and_takes_that_of_the_defaults_away() {
    let contact = |profile: &str| {
        let defaults = "[defaults]\ncontact = \"help\"\n";
        let policy = policy(&format!(
            "{defaults}[profile.a]\n{profile}\n[[rule]]\nprofile = \"a\"\n"
        ));
        berth(&decide(&policy, &login("alice", 1001, &[])))
            .contact
            .clone()
    };
    assert_eq!(contact("").as_deref(), Some("help"));
    assert_eq!(contact("contact = \"\""), None);
}

#[test]
fn exempt_accounts_are_exempt_before_any_rule() {
    let policy = policy(
        "[exempt]\nusers = [\"ann\"]\ngroups = [\"sudo\"]\n[[rule]]\naction = \"deny\"\nmessage = \"no\"\n",
    );
    let outcome =
        |name: &str, uid, groups: &[&str]| decide(&policy, &login(name, uid, groups)).outcome;
    assert_eq!(outcome("toor", 0, &[]), Outcome::Exempt);
    assert_eq!(outcome("ann", 1001, &[]), Outcome::Exempt);
    assert_eq!(outcome("bob", 1002, &["bob", "sudo"]), Outcome::Exempt);
    assert_eq!(outcome("daemon", 999, &[]), Outcome::Exempt);
    let refused = Outcome::Deny {
        message: Some("no".into()),
    };
    assert_eq!(outcome("carol", 1003, &["carol"]), refused);
    assert!(policy.exempt().uids.contains(&(61_184..=65_519)));
}

#[test]
fn each_test_matches_what_it_is_for() {
    let mut alice = login("alice", 20_001, &["staff", "cs101"]);
    alice.ruser = "al".into();
    alice.tty = "tty1".into();
    let matches = |tests: &str| {
        let policy = policy(&format!(
            "[defaults]\nno_match = \"exempt\"\n[host]\nroles = [\"login\"]\n[[rule]]\n{tests}\naction = \"deny\"\n"
        ));
        decide(&policy, &alice).outcome != Outcome::Exempt
    };
    for tests in [
        "user = \"a*\"",
        "uid = \"20000-29999\"",
        "uid = [1, 20001]",
        "group = \"cs101\"",
        "group = \"staff\"",
        "primary_group = \"staff\"",
        "host = \"lab[0-9]\"",
        "role = \"login\"",
        "service = \"sshd\"",
        "tty = \"tty*\"",
        "rhost = \"192.0.2.0/24\"",
        "rhost = [\"*.example\", \"192.0.2.7\"]",
        "ruser = \"al\"",
        "except = { group = \"cs202\" }",
        "group = \"cs101\"\nservice = [\"cron\", \"sshd\"]",
    ] {
        assert!(matches(tests), "{tests}");
    }
    for tests in [
        "user = \"bob\"",
        "uid = \"20002-\"",
        "group = \"cs1\"",
        "primary_group = \"cs101\"",
        "host = \"lab2\"",
        "role = \"compute\"",
        "service = \"ssh\"",
        "tty = \"pts/*\"",
        "rhost = \"198.51.100.0/24\"",
        "ruser = \"alice\"",
        "except = { group = \"cs101\" }",
        "except = { service = \"sshd\", group = \"cs202\" }",
        "group = \"cs101\"\nservice = \"cron\"",
    ] {
        assert!(!matches(tests), "{tests}");
    }
}

#[test]
fn later_files_win_and_their_rules_are_tried_first() {
    let written = Written::new(
        "version = 1\n[profile.a]\nuser = { memory_max = \"4G\", tasks_max = 100 }\n\
         [[rule]]\nname = \"last\"\nprofile = \"a\"\n",
    );
    let drop_ins = written.folder.join("policy.d");
    std::fs::create_dir(&drop_ins).unwrap();
    let drop_in = |name: &str, text: &str| std::fs::write(drop_ins.join(name), text).unwrap();
    drop_in(
        "10-a.toml",
        "[profile.a.user]\nmemory_max = \"5G\"\n[[rule]]\nname = \"second\"\nuser = \"x\"\naction = \"deny\"\n",
    );
    drop_in(
        "20-b.toml",
        "profile.a.user.memory_max = \"6G\"\n[[rule]]\nname = \"first\"\nuser = \"y\"\naction = \"deny\"\n",
    );
    drop_in("05-role.toml", "host.roles = [\"login\"]\n");
    let places = Places {
        policy: written.path(),
        drop_ins,
        ..Places::system()
    };
    let policy = check_edited(&places, Trust::Anybody, None, None)
        .unwrap()
        .policy
        .unwrap();
    assert_eq!((policy.files().len(), policy.size()), (4, (3, 1)));
    assert_eq!(policy.files()[0], written.path());
    let alice = login("alice", 1001, &[]);
    let decision = decide(&policy, &alice);
    assert_eq!(
        berth(&decision).user_caps.memory_max,
        Some(Limit::Finite(6 << 30))
    );
    assert_eq!(
        berth(&decision).user_caps.tasks_max,
        Some(Limit::Finite(100))
    );
    let explanation = policy.explain(&alice, &machine()).unwrap();
    let tried: Vec<&str> = explanation
        .rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(tried, ["first", "second", "last"]);
    assert_eq!(explanation.user_caps[0].place, "policy.d/20-b.toml:1");
    assert_eq!(explanation.rules[0].place, "policy.d/20-b.toml:2");
}

#[test]
fn an_empty_list_of_expectations_drops_those_of_the_files_before() {
    let written = Written::new(
        "version = 1\n[[rule]]\naction = \"deny\"\n[[expect]]\nuser = \"x\"\naction = \"deny\"\n",
    );
    let off = written.folder.join("99-off.toml");
    let errors = |drop_in: &str| {
        std::fs::write(&off, drop_in).unwrap();
        let files = [written.path(), off.clone()];
        check_files(&files, Trust::Anybody, None).unwrap().errors()
    };
    let rule = "[[rule]]\naction = \"exempt\"\n";
    assert_eq!(errors(rule), 1);
    assert_eq!(errors(&format!("expect = []\n{rule}")), 0);
    let own = "[[expect]]\nuser = \"x\"\naction = \"exempt\"\n";
    assert_eq!(errors(&format!("{rule}{own}")), 1);
}

#[test]
fn namespaces_of_a_profile_are_all_handed_on() {
    let policy = policy(
        "[profile.a]\nnamespaces = { scope = \"user\", user = \"identity\", pid = true, ipc = true, mount = true, private_tmp = \"128M\", tmp_keep = [\".X11-unix\"], private_shm = \"64M\", propagation = \"private\" }\n[[rule]]\nprofile = \"a\"\n",
    );
    let decision = decide(&policy, &login("alice", 1001, &[]));
    let namespaces = &berth(&decision).namespaces;
    assert_eq!(namespaces.user, UserNamespace::Identity);
    assert_eq!(namespaces.kinds(), ["user", "pid", "ipc", "mount"]);
    assert!(namespaces.any() && namespaces.pid && namespaces.ipc && namespaces.mount);
    assert_eq!(namespaces.private_tmp, PrivateTmp::Tmpfs(128 << 20));
    assert_eq!(namespaces.private_shm, Some(64 << 20));
    assert_eq!(namespaces.tmp_keep, [".X11-unix"]);
}

#[test]
fn accounting_goes_where_the_last_file_says() {
    assert_eq!(
        policy("").accounting(),
        Accounting {
            file: None,
            max_size: 1 << 30,
            keep: Duration::from_secs(400 * 86_400),
            journal: true,
        }
    );
    let text = "[accounting]\nfile = \"/var/log/berth\"\nmax_size = \"64K\"\nkeep = \"4w\"\njournal = false\n";
    assert_eq!(
        policy(text).accounting(),
        Accounting {
            file: Some("/var/log/berth".into()),
            max_size: 64 << 10,
            keep: Duration::from_secs(28 * 86_400),
            journal: false,
        }
    );
}

#[test]
fn however_profiles_inherit_each_is_laid_once() {
    // By 2^40 ways, which nobody waits for, and in a line that no stack holds.
    let mut text = "[profile.a0]\nuser = { memory_max = \"1G\", tasks_max = 10 }\n".to_string();
    for nth in 1..=40 {
        let below = nth - 1;
        text += &format!("[profile.a{nth}]\ninherits = [\"a{below}\", \"a{below}\"]\n");
    }
    for nth in 41..=2000 {
        text += &format!(
            "[profile.a{nth}]\ninherits = [\"a{}\"]\nuser = {{ tasks_max = {nth} }}\n",
            nth - 1
        );
    }
    text += "[[rule]]\nprofile = [\"a2000\", \"a100\"]\n";
    let policy = policy(&text);
    let alice = login("alice", 1001, &["alice"]);
    // What the last one inherits wins over what the first sets itself.
    let decision = decide(&policy, &alice);
    assert_eq!(
        berth(&decision).user_caps.tasks_max,
        Some(Limit::Finite(100))
    );
    assert_eq!(
        berth(&decision).user_caps.memory_max,
        Some(Limit::Finite(1 << 30))
    );
}

#[test]
fn the_caps_of_all_users_and_of_each_pool_can_be_asked_for() {
    let with = policy(
        "[everyone]\nmemory_max = \"50%\"\n[pool.a]\nmemory_max = \"8G\"\n[pool.b]\nmemory_max = \"4G\"\n\
         [profile.p]\n[[rule]]\nuser = \"x\"\nprofile = \"p\"\npool = \"a\"\n\
         [[rule]]\nprofile = \"p\"\npool = \"b\"\n",
    );
    let memory_max = |pool| {
        let caps = with.caps_of_many(pool, &machine()).unwrap();
        caps.map(|caps| caps.memory_max)
    };
    assert_eq!(memory_max(None), Some(Some(Limit::Finite(32 << 30))));
    assert_eq!(memory_max(Some("a")), Some(Some(Limit::Finite(8 << 30))));
    assert_eq!(memory_max(Some("b")), Some(Some(Limit::Finite(4 << 30))));
    assert_eq!(memory_max(Some("c")), None, "no such pool");
    let without = policy("").caps_of_many(None, &machine()).unwrap();
    assert!(without.unwrap().is_empty());
}

#[test]
fn a_policy_knows_what_its_rules_and_their_exceptions_test() {
    let tests = |rule: &str| {
        let policy = policy(&format!(
            "[time.exam]\nhours = \"08:00-10:00\"\n[[rule]]\nname = \"r\"\n{rule}\naction = \"deny\"\n"
        ));
        assert_eq!(policy.place_of_rule("r").as_deref(), Some("policy.toml:4"));
        assert_eq!(policy.place_of_rule("x"), None);
        (
            policy.has_windows(),
            policy.tests_rhost(),
            policy.is_due_each_minute(),
        )
    };
    assert_eq!(tests("user = \"x\""), (false, false, false));
    assert_eq!(tests("time = \"exam\""), (true, false, true));
    assert_eq!(tests("except = { time = \"exam\" }"), (true, false, true));
    assert_eq!(tests("rhost = \"192.0.2.7\""), (false, true, false));
    let both = "rhost = \"192.0.2.7\"\nexcept = { user = \"x\" }";
    assert_eq!(tests(both), (false, true, false));
}

#[test]
fn a_machine_can_play_another_role() {
    let text = "[host]\nroles = [\"lab\"]\n[[rule]]\nrole = \"login\"\naction = \"deny\"\n\
                [[rule]]\naction = \"exempt\"\n";
    let mut policy = policy(text);
    let alice = login("alice", 1001, &[]);
    assert_eq!(decide(&policy, &alice).outcome, Outcome::Exempt);
    policy.play(vec![berth_config::value::Name::parse("login").unwrap()]);
    let denied = Outcome::Deny { message: None };
    assert_eq!(decide(&policy, &alice).outcome, denied);
}

#[test]
fn what_disks_may_do_is_handed_on_for_each() {
    let policy = policy(
        "[profile.a]\nuser = { io_read_iops_max = { \"/srv\" = 500, \"/home\" = \"infinity\" } }\n\
         [[rule]]\nprofile = \"a\"\n",
    );
    let decision = decide(&policy, &login("alice", 1001, &[]));
    let caps = &berth(&decision).user_caps;
    let expected = [
        ("/home".into(), Limit::Infinity),
        ("/srv".into(), Limit::Finite(500)),
    ];
    assert_eq!(caps.io_read_iops_max, expected.into());
    assert!(caps.io_write_iops_max.is_empty());
}

#[test]
fn limits_and_the_owners_uids_are_those_that_are_written() {
    let policy = policy(
        "[defaults]\nowner_uid_base = 3000000000\n[profile.a]\n\
         rlimits = { nofile = 1024, core = \"0:infinity\", nice = -5 }\n[[rule]]\nprofile = \"a\"\n",
    );
    assert_eq!(policy.owner_uid_base(), 3_000_000_000);
    let decision = decide(&policy, &login("alice", 1001, &[]));
    let mut limits: Vec<_> = berth(&decision)
        .rlimits
        .iter()
        .map(|one| (one.resource.name(), one.soft, one.hard))
        .collect();
    limits.sort_by_key(|one| one.0);
    let [none, files] = [Limit::Finite(0), Limit::Finite(1024)];
    // RLIMIT_NICE counts from 20 down (getrlimit(2)).
    let nice = Limit::Finite(25);
    assert_eq!(
        limits,
        [
            ("core", none, Limit::Infinity),
            ("nice", nice, nice),
            ("nofile", files, files)
        ]
    );
}

#[test]
fn a_rule_with_a_time_holds_while_it_lasts_and_why_is_told() {
    let policy = policy(
        "[time.exam]\nhours = \"08:00-10:00\"\n[[rule]]\ntime = \"exam\"\naction = \"deny\"\n",
    );
    let at = |time: Option<&str>| {
        let alice = Login {
            at: time.map(|time| LocalTime::parse(time).unwrap()),
            ..login("alice", 1001, &[])
        };
        let explanation = policy.explain(&alice, &machine()).unwrap();
        let denied = decide(&policy, &alice).outcome != Outcome::Exempt;
        (denied, explanation.rules[0].why.clone())
    };
    assert_eq!(at(Some("2026-12-14T09:00")), (true, "time exam".into()));
    let not_now = "time: exam is 08:00..10:00";
    assert_eq!(at(Some("2026-12-14T10:00")), (false, not_now.into()));
    assert!(!at(None).0, "no clock");
}

#[test]
fn why_a_rule_matches_or_does_not_is_told() {
    let mut alice = login("alice", 1001, &["staff", "cs101"]);
    alice.ruser = "al".into();
    let why = |tests: &str| {
        let policy = policy(&format!(
            "[host]\nroles = [\"lab\"]\n[[rule]]\n{tests}\naction = \"deny\"\n"
        ));
        let explanation = policy.explain(&alice, &machine()).unwrap();
        explanation.rules[0].why.clone()
    };
    for (tests, told) in [
        ("", "tests nothing"),
        ("user = \"a*\"", "user alice"),
        ("uid = \"1000-\"\ngroup = \"cs*\"", "uid 1001, group cs101"),
        ("primary_group = \"staff\"", "primary_group staff"),
        ("host = \"lab?\"\nrole = \"l*\"", "host lab1, role lab"),
        ("service = \"s*\"\ntty = \"*\"", "service sshd, tty ssh"),
        ("rhost = \"192.0.2.0/24\"", "rhost 192.0.2.7"),
        ("ruser = \"al\"", "ruser al"),
        ("except = { user = \"bob\" }", "tests nothing"),
        ("except = { group = \"cs*\" }", "except: group cs101"),
        ("user = [\"bob\", \"eve\"]", "user: not bob, eve"),
        ("uid = [7, \"2000-\"]", "uid: 1001 is not in 7, 2000-"),
        ("group = \"wheel\"", "group: not in wheel"),
        ("primary_group = \"x\"", "primary_group: staff is not x"),
        ("host = \"x\"", "host: lab1 is not x"),
        ("role = \"x\"", "role: not x"),
        ("service = \"cron\"", "service: sshd is not cron"),
        ("tty = \"pts/*\"", "tty: ssh is not pts/*"),
        (
            "rhost = \"10.0.0.0/8\"",
            "rhost: 192.0.2.7 is not 10.0.0.0/8",
        ),
        ("ruser = \"x\"", "ruser: al is not x"),
    ] {
        assert_eq!(why(tests), told, "{tests}");
    }
    alice.tty = String::new();
    let policy = policy("[[rule]]\ntty = \"pts/*\"\naction = \"deny\"\n");
    let explanation = policy.explain(&alice, &machine()).unwrap();
    assert_eq!(explanation.rules[0].why, "tty: none, not pts/*");
}

#[test]
fn a_rule_that_is_passed_over_names_each_test_of_the_login_once() {
    let policy = policy(
        "[profile.p]\n[[rule]]\nservice = \"sshd\"\nprofile = \"p\"\n\
         [[rule]]\nservice = \"cron\"\nrhost = \"10.0.0.0/8\"\nexcept = { service = \"su\", tty = \"tty1\" }\nprofile = \"p\"\n",
    );
    let explained = policy.explain(&login("alice", 1001, &[]), &machine());
    assert_eq!(
        explained.unwrap().rules[1].why,
        "passed over: tests rhost, service, tty"
    );
}

#[test]
fn explain_tells_every_cap_and_namespace_as_it_is_and_what_a_percentage_comes_to() {
    let policy = policy(
        "[defaults]\non_error = \"allow\"\nmissing_controller = \"warn\"\n[profile.p]\nenforce = true\n\
         contact = \"help@example.org\"\nmax_sessions = 8\nlogout = { linger = \"1h\" }\n\
         user = { memory_min = \"16M\", memory_low = \"10%\", memory_high = \"2G\", memory_swap_max = 0, \
         cpu_quota = \"50% of machine\", allowed_cpus = \"12-\", allowed_memory_nodes = \"0\", io_weight = 50, \
         io_read_bandwidth_max = { \"/srv\" = \"10M\", \"/home\" = \"infinity\" }, io_write_bandwidth_max = { \"/srv\" = \"5M\" }, \
         io_read_iops_max = { \"/srv\" = 500 }, io_write_iops_max = { \"/srv\" = 200 } }\n\
         rlimits = { nofile = \"1024:4096\", core = \"infinity\" }\n\
         namespaces = { scope = \"user\", user = \"identity\", pid = true, ipc = true, mount = true, uts = true, \
         net = true, private_tmp = \"128M\", tmp_keep = [\"x\"], private_shm = \"64M\", propagation = \"private\", \
         user_manager = \"hidden\" }\n[[rule]]\nprofile = \"p\"\n",
    );
    let explained = policy
        .explain(&login("alice", 1001, &[]), &machine())
        .unwrap();
    let told = |all: &[berth_config::Shown]| {
        let one = |one: &berth_config::Shown| format!("{}: {}", one.key, one.value);
        all.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&explained.user_caps),
        [
            "memory_min: 16M",
            "memory_low: 10% of 64G = 6.4G",
            "memory_high: 2G",
            "memory_swap_max: 0",
            "cpu_quota: 50% of machine = 8 of 16 CPUs",
            "allowed_cpus: 12- = 12-15",
            "allowed_memory_nodes: 0",
            "io_weight: 50",
            "io_read_bandwidth_max: /home infinity, /srv 10M",
            "io_write_bandwidth_max: /srv 5M",
            "io_read_iops_max: /srv 500",
            "io_write_iops_max: /srv 200",
        ]
    );
    let amounts = explained.user_caps.iter().map(|one| one.amount.to_string());
    assert_eq!(
        amounts.collect::<Vec<_>>(),
        [
            "16777216",
            "6871947673",
            "2147483648",
            "0",
            "800.0",
            "\"12-15\"",
            "\"0\"",
            "50",
            "{\"/home\":null,\"/srv\":10000000}",
            "{\"/srv\":5000000}",
            "{\"/srv\":500}",
            "{\"/srv\":200}",
        ]
    );
    assert_eq!(
        told(&explained.login),
        [
            "enforce: true",
            "contact: help@example.org",
            "max_sessions: 8",
            "on_error: allow",
            "missing_controller: warn",
            "rlimits.core: infinity",
            "rlimits.nofile: 1024:4096",
            "namespaces: scope=user user=identity pid ipc mount uts net private_tmp=128M tmp_keep=x \
             private_shm=64M propagation=private user_manager=hidden",
            "no_new_privs: true",
            "nested_userns: false",
            "linger: 1h",
        ]
    );
}

#[test]
fn explain_tells_where_namespaces_and_privileges_come_from_each_by_its_own_line() {
    let told = |profile: &str| {
        let text = format!(
            "[profile.base]\nnamespaces = {{ pid = true }}\n[profile.p]\ninherits = \"base\"\n\
             {profile}\n[[rule]]\nprofile = \"p\"\n"
        );
        let alice = login("alice", 1001, &[]);
        let explained = policy(&text).explain(&alice, &machine()).unwrap();
        let line = |one: &berth_config::Shown| {
            let line = one.place.rsplit(':').next().unwrap_or_default();
            format!("{line} {}: {}", one.key, one.value)
        };
        explained.login.iter().map(line).collect::<Vec<_>>()
    };
    let pid = "3 namespaces: pid";
    assert_eq!(
        told("namespaces = { ipc = true }"),
        [pid, "6 namespaces: ipc"]
    );
    assert_eq!(
        told("privileges = { no_new_privs = true }"),
        [pid, "6 no_new_privs: true"]
    );
    assert_eq!(told("privileges = { no_new_privs = \"unset\" }"), [pid]);
}

#[test]
fn a_files_lines_may_end_with_a_carriage_return_and_a_message_has_none() {
    let text = "[[rule]]\naction = \"deny\"\nmessage = \"\"\"\nfirst\nsecond\"\"\"\n";
    let policy = policy(&text.replace('\n', "\r\n"));
    let decision = policy.decide(&login("alice", 1001, &[]), &machine());
    let message = Some("first\nsecond".into());
    assert_eq!(decision.unwrap().outcome, Outcome::Deny { message });
}
