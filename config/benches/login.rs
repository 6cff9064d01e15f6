//! What reading a policy and deciding by it add to a login: a usual policy of twenty rules, and one that has a rule for
//! each of 100,000 users. Run as root: the files must be.

use std::path::Path;
use std::time::{Duration, Instant};

use berth_config::{InForce, Login, Machine, Places, Policy, install};

const RULES: usize = 20;
/// Rules of one user each, and how many of them a drop-in has.
const MANY: usize = 100_000;
const PART: usize = 50_000;
const ROUNDS: usize = 2_000;

fn policy() -> String {
    let mut text = String::from(
        "version = 1\n[exempt]\ngroups = [\"sudo\"]\n[profile.base]\nmax_sessions = 10\n\
         user = { memory_max = \"4G\", memory_swap_max = 0, cpu_weight = 100, cpu_quota = \"400%\", tasks_max = 512 }\n\
         rlimits = { core = 0, nofile = \"1024:65536\" }\n\
         namespaces = { user = \"minimal\", pid = true, ipc = true, mount = true, private_tmp = \"disk\" }\n\
         logout = { linger = \"12h\" }\n",
    );
    for number in 0..RULES / 2 {
        text.push_str(&format!(
            "[profile.p{number}]\ninherits = \"base\"\nuser = {{ memory_max = \"{}G\", tasks_max = 256 }}\n",
            number + 1
        ));
    }
    for number in 0..RULES {
        let service = if number % 3 == 0 {
            "service = [\"cron\", \"atd\"]\n"
        } else {
            ""
        };
        text.push_str(&format!(
            "[[rule]]\nname = \"r{number}\"\ngroup = [\"g{number}\", \"h{number}-*\"]\n{service}profile = \"p{}\"\n",
            number / 2
        ));
    }
    text
}

fn median(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{what:<40} median {:7.1} µs   99% {:7.1} µs",
        microseconds(times[ROUNDS / 2]),
        microseconds(times[ROUNDS * 99 / 100])
    );
}

fn main() {
    let root = std::env::temp_dir().join(format!("berth-bench-{}", std::process::id()));
    let places = Places::under(&root);
    let folder = places.policy.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&places.policy, policy()).expect("a policy");

    let from_files = || Policy::load_in(&places).expect("no errors");
    let policy = from_files();
    median("load from the files", || drop(from_files()));
    install(&policy, &places).expect("installed");
    let size = std::fs::metadata(&places.loaded).map(|metadata| metadata.len());
    println!("the loaded copy has {} bytes", size.unwrap_or_default());
    median("load the copy in force, whole", || {
        let policy = Policy::load_in(&places).expect("a copy");
        assert!(policy.loaded().is_some());
    });

    let login = Login {
        user: "alice".into(),
        uid: 20_001,
        gid: 0,
        groups: vec![berth_config::Group {
            gid: 0,
            name: "g19".into(),
        }],
        service: "sshd".into(),
        ..Login::default()
    };
    let machine = Machine::read(None).expect("a machine");
    median("load it for a login", || {
        let policy = InForce::open_in(&places).and_then(|policy| policy.narrowed(&login));
        assert!(policy.expect("a copy").loaded().is_some());
    });
    median("measure the machine", || {
        drop(Machine::read(None).expect("a machine"));
    });
    median("decide (the last rule matches)", || {
        let decision = policy.decide(&login, &machine).expect("decided");
        assert_eq!(decision.rule.as_deref(), Some("r19"));
    });
    median("look an account up", || {
        Login::of("root").expect("root is known");
    });
    of_many_rules(&places, login);
    std::fs::remove_dir_all(&root).expect("removed");
}

/// The same with so many rules that only their own are looked at.
fn of_many_rules(places: &Places, mut login: Login) {
    std::fs::create_dir_all(&places.drop_ins).expect("a folder");
    for part in 0..MANY / PART {
        let rules = (part * PART..(part + 1) * PART)
            .map(|number| format!("[[rule]]\nuser = \"u{number}\"\nprofile = \"base\"\n"));
        let path = places.drop_ins.join(format!("{part:03}.toml"));
        std::fs::write(path, rules.collect::<String>()).expect("a drop-in");
    }
    // What is loaded is read first.
    std::fs::remove_file(&places.loaded).expect("removed");
    let begun = Instant::now();
    let policy = Policy::load_in(places).expect("no errors");
    println!("\n{MANY} rules more");
    println!(
        "load from the files: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    install(&policy, places).expect("installed");
    let size = std::fs::metadata(&places.loaded).map(|metadata| metadata.len());
    println!(
        "write the copy: {:.2} s, {} bytes",
        begun.elapsed().as_secs_f64(),
        size.unwrap_or_default()
    );
    let begun = Instant::now();
    Policy::load_in(places).expect("a copy");
    println!("load it whole: {:.2} s", begun.elapsed().as_secs_f64());
    for (what, user) in [
        ("of a user with a rule", "u77777"),
        ("of one without", "alice"),
    ] {
        login.user = user.into();
        median(&format!("load it for a login {what}"), || {
            let policy = InForce::open_in(places).and_then(|policy| policy.narrowed(&login));
            assert!(policy.expect("a copy").loaded().is_some());
        });
    }
}
