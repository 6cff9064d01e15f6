//! Penalties: what the policy says of them, and what a step does to a user's caps.

mod written;

use std::time::Duration;

use berth_config::outcome::{Caps, Limit, Outcome};
use berth_config::{
    Exception, ExceptionFile, Exceptions, Layers, Places, Policy, Standing, Standings,
    parse_exception,
};
use written::{Site, Written, login, machine, policy, short};

const HOG: &str = "[penalty.hog]\ncpu_above = \"200%\"\nmemory_above = \"25%\"\nwindow = \"10min\"\n\
                   except = [\"/usr/bin/make\", \"/opt/**\"]\nsteps = [\"80%\", \"50%\"]\n\
                   step_time = \"30min\"\nforget = \"3h\"\n";

fn watched(user: &str) -> Policy {
    policy(&format!(
        "{HOG}[profile.p]\npenalty = \"hog\"\nuser = {{ {user} }}\nsession = {{ cpu_quota = \"50% of machine\" }}\n\
         [[rule]]\nprofile = \"p\"\n"
    ))
}

fn on_step() -> Layers {
    let standing = Standing {
        user: "alice".into(),
        penalty: "hog".into(),
        step: 2,
        steps: 2,
        share: berth_config::value::Percent::parse("50%").unwrap(),
        since: 0,
        until: u64::MAX >> 16,
        forgotten: u64::MAX >> 16,
        is_over: false,
    };
    Layers {
        standing: Some(standing),
        ..Layers::default()
    }
}

fn excepted(cap: &str) -> Layers {
    let (key, value) = parse_exception(cap).unwrap();
    let exceptions = Exceptions::of(vec![Exception {
        user: Some("alice".into()),
        key,
        value,
        until: u64::MAX >> 16,
        by: "root".into(),
        reason: None,
        is_taken_back: false,
    }]);
    Layers {
        exceptions: exceptions.unwrap(),
        ..on_step()
    }
}

fn user_caps(policy: &Policy, layers: &Layers) -> Caps {
    let alice = login("alice", 1001, &["alice"]);
    let decision = policy.decide_with(&alice, &machine(), layers).unwrap();
    let Outcome::Berth(berth) = decision.outcome else {
        panic!("{decision:?}");
    };
    assert_eq!(berth.session_caps.cpu_quota, Some(Limit::Finite(8_000_000)));
    berth.user_caps
}

#[test]
fn a_penalty_is_worked_out_for_the_machine_and_is_the_user_rules() {
    let policy = policy(&format!(
        "{HOG}[profile.p]\npenalty = \"hog\"\n[profile.q]\ninherits = \"p\"\npenalty = \"unset\"\n\
         [[rule]]\nservice = \"cron\"\nprofile = \"q\"\n[[rule]]\nuser = \"bob\"\nprofile = \"q\"\n\
         [[rule]]\nprofile = \"p\"\n"
    ));
    assert!(policy.has_penalties() && policy.is_due_each_minute() && !policy.has_windows());
    let of = |user: &str, service: &str| {
        let mut login = login(user, 1001, &[user]);
        login.service = service.into();
        policy.decide(&login, &machine()).unwrap().penalty
    };
    let penalty = of("alice", "sshd").unwrap();
    assert_eq!(penalty.name, "hog");
    assert_eq!(penalty.cpu_above, Some(2_000_000));
    assert_eq!(penalty.memory_above, Some(16 << 30));
    assert_eq!(penalty.window, Duration::from_secs(600));
    assert_eq!((penalty.except.len(), penalty.steps.len()), (2, 2));
    assert_eq!(of("alice", "cron"), Some(penalty));
    assert_eq!(of("bob", "sshd"), None);
}

#[test]
fn above_what_may_be_told_of_the_machine_or_as_an_amount() {
    let penalty = |from: &str, to: &str| {
        let text = HOG.replace(from, to);
        let policy = policy(&format!(
            "{text}[profile.p]\npenalty = \"hog\"\n[[rule]]\nprofile = \"p\"\n"
        ));
        let alice = login("alice", 1001, &[]);
        policy.decide(&alice, &machine()).unwrap().penalty.unwrap()
    };
    let of_machine = penalty("200%", "50% of machine");
    assert_eq!(of_machine.cpu_above, Some(8_000_000));
    assert_eq!(penalty("25%", "3G").memory_above, Some(3 << 30));
}

#[test]
fn a_step_leaves_a_share_of_the_quota_and_all_of_the_memory() {
    let quota = |user: &str, layers: &Layers| user_caps(&watched(user), layers).cpu_quota;
    let capped = "cpu_quota = \"400%\", memory_max = \"2G\"";
    assert_eq!(
        quota(capped, &Layers::default()),
        Some(Limit::Finite(4_000_000))
    );
    assert_eq!(quota(capped, &on_step()), Some(Limit::Finite(2_000_000)));
    let without = Caps {
        cpu_quota: None,
        ..user_caps(&watched(capped), &Layers::default())
    };
    let with = user_caps(&watched(capped), &on_step());
    assert_eq!(
        Caps {
            cpu_quota: None,
            ..with
        },
        without
    );
    // Without a quota, of the machine's 16 CPUs.
    for none in ["cpu_quota = \"infinity\"", "tasks_max = 99"] {
        assert_eq!(
            quota(none, &on_step()),
            Some(Limit::Finite(8_000_000)),
            "{none}"
        );
    }
    // An exception from the quota wins, another does not.
    assert_eq!(
        quota(capped, &excepted("cpu_quota=300%")),
        Some(Limit::Finite(3_000_000))
    );
    assert_eq!(
        quota(capped, &excepted("tasks_max=99")),
        Some(Limit::Finite(2_000_000))
    );
}

#[test]
fn exceptions_and_steps_in_force_are_those_on_the_disk_and_a_damaged_file_is_named() {
    let written = Written::new("");
    let places = Places::under(&written.folder);
    ExceptionFile::folder(&places).unwrap();
    let over = excepted("tasks_max=99");
    let file = ExceptionFile::of(&places, 1001);
    file.write(over.exceptions.list()).unwrap();
    let mut ended = over.standing.clone().unwrap();
    ended.is_over = true;
    let users = [(1001, over.standing.clone().unwrap()), (1002, ended)];
    Standings {
        users: users.into(),
    }
    .write(&places)
    .unwrap();
    let in_force_for = |user: &str, uid| {
        let mut damaged = Vec::new();
        let named = |of: &str, _: &_| damaged.push(of.to_owned());
        let login = login(user, uid, &[]);
        let layers = Layers::in_force(&places, &login, &machine(), named);
        (layers, damaged)
    };
    let in_force = |uid| in_force_for("alice", uid);
    let (layers, damaged) = in_force(1001);
    assert_eq!(layers.exceptions.list(), over.exceptions.list());
    assert_eq!((layers.standing, damaged.len()), (over.standing, 0));
    assert_eq!(in_force(1002).0.standing, None, "its step is over");
    // The UID is another user's by now.
    let (layers, told) = in_force_for("no-such-bob", 1001);
    assert!(layers.exceptions.list().is_empty() && layers.standing.is_none());
    assert_eq!(told, ["exceptions"]);
    for not_here in ["allowed_cpus=64-", "io_read_iops_max={ \"/proc\" = 5 }"] {
        let (quota, not_here) = (excepted("cpu_quota=50%"), excepted(not_here));
        let both = [quota.exceptions.list(), not_here.exceptions.list()].concat();
        file.write(&both).unwrap();
        let (layers, named) = in_force(1001);
        // The others stay: an exception may lower a cap, too.
        assert_eq!(layers.exceptions.list(), &both[..1]);
        let policy = watched("cpu_quota = \"400%\", allowed_cpus = \"0-3\"");
        let capped = user_caps(&policy, &layers);
        assert_eq!(capped.cpu_quota, Some(Limit::Finite(500_000)));
        assert_eq!(capped.allowed_cpus.as_deref(), Some("0-3"));
        assert_eq!(named, ["exceptions"], "{both:?}");
    }
    std::fs::write(file.path(), "x").unwrap();
    std::fs::write(&places.penalties, "x").unwrap();
    let (layers, damaged) = in_force(1001);
    assert!(layers.exceptions.list().is_empty() && layers.standing.is_none());
    assert_eq!(damaged, ["exceptions", "penalties"]);
}

#[test]
fn a_penalty_that_the_policy_has_no_more_lowers_nothing() {
    let other = HOG.replace("hog", "other");
    let policy = policy(&format!(
        "{other}[profile.p]\npenalty = \"other\"\nuser = {{ cpu_quota = \"400%\" }}\n\
         session = {{ cpu_quota = \"50% of machine\" }}\n[[rule]]\nprofile = \"p\"\n"
    ));
    assert_eq!(
        user_caps(&policy, &on_step()).cpu_quota,
        Some(Limit::Finite(4_000_000))
    );
}

#[test]
fn explain_names_the_step_and_what_the_quota_was() {
    let policy = watched("cpu_quota = \"25% of machine\"");
    let alice = login("alice", 1001, &["alice"]);
    let caps = |layers: &Layers| {
        let explanation = policy.explain_with(&alice, &machine(), layers).unwrap();
        explanation.user_caps.into_iter().next().unwrap()
    };
    let line = caps(&on_step());
    assert_eq!(
        (line.key.as_str(), line.value.as_str()),
        ("cpu_quota", "50% of it = 2 of 16 CPUs")
    );
    let because = line.because.unwrap();
    assert!(
        because.starts_with("penalty hog, step 2 of 2 until "),
        "{because}"
    );
    assert_eq!(line.amount, 200.0);
    let was = line.was.unwrap();
    assert_eq!(was.value, "25% of machine = 4 of 16 CPUs");
    assert_eq!(was.amount, 400.0);
    let line = caps(&excepted("cpu_quota=300%"));
    assert!(line.because.unwrap().starts_with("exception until "));
}

#[test]
fn explain_tells_an_exception_that_is_what_the_policy_says_anyway() {
    let policy = policy("[profile.p]\nuser = { tasks_max = 256 }\n[[rule]]\nprofile = \"p\"\n");
    let alice = login("alice", 1001, &[]);
    let explained = policy.explain_with(&alice, &machine(), &excepted("tasks_max=256"));
    let cap = &explained.unwrap().user_caps[0];
    assert!(
        cap.because
            .as_ref()
            .is_some_and(|why| why.starts_with("exception until")),
        "{cap:?}"
    );
    assert_eq!(cap.was.as_ref().unwrap().value, "256");
}

#[test]
fn explain_tells_where_the_users_penalty_is_set_also_where_another_rule_decides_the_login() {
    let policy = policy(&format!(
        "{HOG}[profile.base]\npenalty = \"hog\"\n[profile.p]\ninherits = \"base\"\n[profile.batch]\n\
         [[rule]]\nservice = \"cron\"\nprofile = \"batch\"\n[[rule]]\nprofile = \"p\"\n"
    ));
    for service in ["sshd", "cron"] {
        let mut alice = login("alice", 1001, &["alice"]);
        alice.set_service(service);
        let explanation = policy.explain(&alice, &machine()).unwrap();
        let told = explanation.penalty.unwrap();
        let line = told.place.rsplit(':').next().unwrap_or_default();
        assert_eq!(
            [&told.key, &told.value, line, &told.profile.unwrap()],
            ["penalty", "hog", "11", "base"],
            "{service}"
        );
    }
}

fn errors(body: &str) -> Vec<String> {
    let rest = "[profile.p]\npenalty = \"hog\"\n[[rule]]\nprofile = \"p\"\n";
    let checked = Written::new(&format!("version = 1\n{body}\n{rest}")).check();
    checked.diagnostics.iter().map(short).collect()
}

#[test]
fn what_a_penalty_needs_and_the_range_of_each_value() {
    assert_eq!(errors(HOG), [""; 0]);
    for key in ["window", "steps", "step_time", "forget"] {
        let lines = HOG.lines().filter(|line| !line.starts_with(key));
        let without: Vec<_> = lines.collect();
        assert_eq!(
            errors(&without.join("\n")),
            [format!("2:10 no `{key}` | a penalty needs it")]
        );
    }
    let without = HOG.replace("cpu_above = \"200%\"\nmemory_above = \"25%\"\n", "");
    assert_eq!(
        errors(&without),
        ["2:10 no `cpu_above` or `memory_above` | a penalty needs it"]
    );
    for (good, bad, error) in [
        (
            "\"10min\"",
            "\"59s\"",
            "5:1 `window` is out of range | 1min to 1d",
        ),
        (
            "\"10min\"",
            "\"25h\"",
            "5:1 `window` is out of range | 1min to 1d",
        ),
        (
            "\"10min\"",
            "10",
            "5:10 `10`: seconds, minutes, hours? | write \"10s\", \"10min\" or \"10h\"",
        ),
        (
            "\"30min\"",
            "\"59s\"",
            "8:1 `step_time` is out of range | 1min to 366d",
        ),
        (
            "\"3h\"",
            "\"0s\"",
            "9:1 `forget` is out of range | 1min to 366d",
        ),
        (
            "\"50%\"",
            "\"0.5%\"",
            "7:1 a step of 0.5% | 1% to 100% of the user's cpu_quota",
        ),
        (
            "\"50%\"",
            "\"101%\"",
            "7:1 a step of 101% | 1% to 100% of the user's cpu_quota",
        ),
        (
            "\"200%\"",
            "\"infinity\"",
            "3:1 nobody is ever above infinity | leave it out",
        ),
        (
            "\"200%\"",
            "\"50% of user\"",
            "3:13 `of user` means nothing here | this stands in `session` only",
        ),
        (
            "\"25%\"",
            "\"50% of pool\"",
            "4:16 `of pool` means nothing here | this stands in `user` and `session` only",
        ),
        (
            "\"/opt/**\"",
            "\"opt\"",
            "6:28 `opt` is no absolute path | write it from the root, without `..`",
        ),
        (
            "\"/opt/**\"",
            "\"/opt/x**\"",
            "6:28 `/opt/x**`: `**` beside other characters | write it as a folder's name, as in \"/opt/tools/**\"",
        ),
    ] {
        assert_eq!(errors(&HOG.replacen(good, bad, 1)), [error], "{bad}");
    }
}

#[test]
fn a_penalty_that_only_login_rules_select_can_never_apply() {
    let body = format!(
        "version = 1\n{HOG}[profile.p]\npenalty = \"hog\"\n[[rule]]\nservice = \"cron\"\nprofile = \"p\"\n"
    );
    let told: Vec<_> = Written::new(&body)
        .check()
        .diagnostics
        .iter()
        .map(short)
        .collect();
    assert_eq!(
        told,
        [
            "11:1 this penalty can never apply | only rules that test the login select `p`: policy.toml:12 | \
          a penalty is about all that a user does: it comes from the user rule's profile"
        ]
    );
}

#[test]
fn programs_that_are_not_here_or_anybodys_are_warned_of() {
    let site = Site {
        program_problem: Some("others can write to it"),
        ..Site::default()
    };
    let body =
        format!("version = 1\n{HOG}[profile.p]\npenalty = \"hog\"\n[[rule]]\nprofile = \"p\"\n");
    let told = |site: &Site| -> Vec<_> {
        let checked = Written::new(&body).check_on(site);
        checked.diagnostics.iter().map(short).collect()
    };
    assert_eq!(told(&Site::default()), [""; 0]);
    assert_eq!(
        told(&site),
        [
            "6:1 `/usr/bin/make` excepts nothing here | others can write to it",
            "6:1 `/opt/**` excepts nothing here | others can write to it"
        ]
    );
}

#[test]
fn a_program_is_roots_alone_from_the_root_on() {
    use berth_config::value::PathGlob;
    use berth_config::{Site as _, ThisMachine};
    use std::os::unix::fs::{PermissionsExt, chown};
    let written = Written::new("");
    let program = written.folder.join("bin/tool");
    std::fs::create_dir(written.folder.join("bin")).unwrap();
    std::fs::write(&program, "").unwrap();
    let site = ThisMachine { cgroup_root: None };
    let told = |path: &str| {
        let path = written.folder.join(path);
        site.program_problem(&PathGlob::parse(path.to_str().unwrap()).unwrap())
    };
    let problem = || told("bin/tool");
    assert_eq!(problem(), None);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o775)).unwrap();
    assert!(
        problem()
            .unwrap()
            .ends_with("others than root can write to it")
    );
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(&written.folder, Some(1001), None).unwrap();
    assert!(
        problem()
            .unwrap()
            .ends_with("the directory's owner is not root")
    );
    assert!(told("no").unwrap().starts_with("cannot read "));
    // Other machines may have these.
    assert_eq!(told("intel/bin/icx"), None);
    assert_eq!(told("intel/**"), None);
}

#[test]
fn what_no_profile_names_or_a_cap_keeps_everybody_below_is_warned_of() {
    let warnings = |penalty: &str, user: &str| -> Vec<String> {
        let text = format!(
            "version = 1\n{HOG}[profile.p]\n{penalty}\nuser = {{ {user} }}\n[[rule]]\nprofile = \"p\"\n\
             [[rule]]\ngroup = \"x\"\nprofile = \"p\"\n"
        );
        let site = Site {
            groups: vec!["x"],
            ..Site::default()
        };
        let checked = Written::new(&text).check_on(&site);
        assert!(checked.policy.is_some());
        let findings = checked.diagnostics.iter().map(short);
        findings
            .filter(|finding| !finding.contains("never reached"))
            .collect()
    };
    assert_eq!(warnings("", ""), ["2:10 no profile names penalty `hog` | "]);
    let named = "penalty = \"hog\"";
    assert_eq!(
        warnings(named, "cpu_quota = \"201%\", memory_max = \"17G\""),
        [""; 0]
    );
    assert_eq!(warnings(named, "cpu_quota = \"infinity\""), [""; 0]);
    // Once, however many rules give it; by what both come to on this machine of 16 CPUs and 64G.
    assert_eq!(
        warnings(
            named,
            "cpu_quota = \"12.5% of machine\", memory_max = \"16G\""
        ),
        [
            "3:1 nobody is ever above this `cpu_above` here | the cpu_quota of policy.toml:12 is no higher",
            "4:1 nobody is ever above this `memory_above` here | the memory_max of policy.toml:12 is no higher",
        ]
    );
}

#[test]
fn nobody_is_above_it_where_that_holds_for_all_who_are_watched() {
    let told = |rules: &str| -> Vec<String> {
        let text = format!(
            "version = 1\n{HOG}[profile.base]\npenalty = \"hog\"\nuser = {{ cpu_quota = \"200%\" }}\n\
             [profile.staff]\ninherits = \"base\"\nuser = {{ cpu_quota = \"800%\" }}\n{rules}"
        );
        let site = Site {
            groups: vec!["x", "y"],
            ..Site::default()
        };
        let found = Written::new(&text).check_on(&site).diagnostics;
        let found = found.iter().map(short);
        found.filter(|one| one.contains("cpu_above")).collect()
    };
    let rule = |tests: &str, profiles: &str| format!("[[rule]]\n{tests}\nprofile = [{profiles}]\n");
    let base = rule("group = \"x\"", "\"base\"");
    let warning = "3:1 nobody is ever above this `cpu_above` here | the cpu_quota of policy.toml:12 is no higher";
    assert_eq!(told(&base), [warning]);
    assert_eq!(told(&format!("{base}{}", rule("", "\"staff\""))), [""; 0]);
    assert_eq!(
        told(&format!("{}{base}", rule("group = \"y\"", "\"staff\""))),
        [""; 0]
    );
    // The caps of who comes by a rule for a service are not that rule's.
    let console = rule("service = \"login\"", "\"staff\", \"base\"");
    let staffs = rule("group = \"y\"", "\"staff\"");
    assert_eq!(told(&format!("{console}{staffs}")), [""; 0]);
    let others = rule("role = \"login\"", "\"base\"");
    assert_eq!(told(&others), [""; 0]);
}
