//! `berth top`, by the keys that are typed into tmux and the screens that it shows then.

mod pretend;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use berth_config::LocalTime;
use serde_json::{Value, json};

use pretend::ran::somebody;
use pretend::{Run, files, record, with_figures};

const GIB: u64 = 1 << 30;

/// eve, who works, alice, who does little, and bob, whose keeper is dead.
fn machine() -> Run {
    let run = Run::new();
    run.cgroup("berth", &[("cpu.stat", "usage_usec 0\n")]);
    run.session(12, "alice", 4_000_001, &files(0, GIB, 34));
    run.session(14, "eve", 4_000_003, &files(0, 7 * GIB, 61));
    let mut dead = record(9, "bob", 4_000_002, 270_000);
    dead["keeper"]["start"] = 1.into();
    dead["state"] = "linger".into();
    run.write(9, &dead);
    run
}

/// A terminal of 80 columns and 24 rows, in which a shell runs.
struct Terminal<'a> {
    name: String,
    _run: &'a Run,
}

impl<'a> Terminal<'a> {
    fn new(run: &'a Run) -> Terminal<'a> {
        let name = run
            .sessions
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let start = format!(
            "env -u TMUX TERM=xterm \
             tmux -L {name} -f /dev/null new-session -d -x 80 -y 24 'exec env \"PS1=shell> \" bash --noprofile --norc -i'"
        );
        let started = run.shell(&start).output().unwrap();
        assert!(started.status.success(), "tmux: {started:?}");
        let terminal = Terminal { name, _run: run };
        terminal.tmux(&["set-option", "-g", "status", "off"]);
        terminal.shows("shell>");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.name])
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn types(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn is(&self, so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let screen = self.screen();
            if so(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "the screen is\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.is(|screen| screen.contains(text))
    }

    /// Starts top, and waits for its first figures.
    fn top(&self) -> String {
        self.types(&["/run/berth-program top", "Enter"]);
        self.shows("u users  s sessions")
    }

    /// What the terminal does with what is typed; and whether top's screen is there.
    fn settings(&self) -> String {
        let tty = self.tmux(&["display-message", "-p", "#{pane_tty}"]);
        let stty = Command::new("stty")
            .args(["-F", tty.trim(), "-a"])
            .output()
            .unwrap();
        let screen = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        String::from_utf8(stty.stdout).unwrap() + &screen
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The first words of the rows.
fn rows(screen: &str) -> Vec<&str> {
    let rows = screen.lines().skip(5).take_while(|line| !line.is_empty());
    rows.filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn figures_are_rates_and_keys_change_the_view() {
    let run = machine();
    let terminal = Terminal::new(&run);
    terminal.top();
    // Two CPUs, from now on.
    let began = Instant::now();
    let screen = terminal.is(|screen| {
        let used = (began.elapsed().as_secs_f64() * 2e6) as u64;
        let path = run.cgroups.join("berth/user-4000003/cpu.stat");
        // Whole, as the kernel gives it.
        fs::write(path.with_extension("new"), format!("usage_usec {used}\n")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
        let line = screen.lines().nth(5).unwrap_or_default();
        let rate = line.get(31..36).and_then(|rate| rate.trim().parse().ok());
        rate.is_some_and(|rate: f64| (150.0..260.0).contains(&rate))
    });
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("berth top  "), "{screen}");
    assert!(
        lines[0].contains("    3 sessions, 3 users    load "),
        "{screen}"
    );
    assert_eq!(
        lines[4],
        "USER     PROFILE POOL     TASKS   CPU OF CAP   MEMORY OF CAP    PSI 3 MIN"
    );
    assert_eq!(rows(&screen), ["eve", "alice", "bob"]);
    assert!(
        lines[5].starts_with("eve      student -       61/512"),
        "{screen}"
    );
    assert!(
        lines[5][46..].starts_with("   7.0G |||||||.  31%"),
        "{screen}"
    );
    assert_eq!(
        lines[6],
        "alice    student -       34/512    0% ........   1.0G |.......  31%        ."
    );
    assert!(lines[7].ends_with(" L"), "{screen}");
    assert!(
        lines[2].ends_with("So far  2 OOM kills, 8 refused tasks"),
        "{screen}"
    );

    terminal.types(&["s"]);
    let screen = terminal.shows("SESSION  USER    SERVICE");
    terminal.is(|screen| rows(screen).len() == 3);
    assert!(!screen.contains("PROFILE"));
    terminal.types(&["<", "<", "<", "<"]);
    terminal.is(|screen| rows(screen) == ["9", "12", "14"]);
    terminal.types(&["p"]);
    terminal.shows("POOL     USERS");
    terminal.types(&["u", "/", "alic"]);
    terminal.is(|screen| rows(screen) == ["alice"]);
    terminal.types(&["Escape"]);
    terminal.is(|screen| rows(screen).len() == 3);
    terminal.types(&["q"]);
    terminal.is(|screen| screen.contains("shell>") && !screen.contains("berth top  "));
}

#[test]
fn keys_run_berth_on_the_row_that_is_chosen_and_show_its_answer() {
    let run = machine();
    let terminal = Terminal::new(&run);
    terminal.top();
    terminal.types(&["f"]);
    terminal.shows("choose a row first");
    terminal.types(&["<", "<", "<", "<", "Down", "Down", "k"]);
    terminal.shows("End all that user bob runs? y/N");
    terminal.types(&["n"]);
    terminal.shows("nothing is ended");
    assert!(run.sessions.join("9").exists());
    terminal.types(&["k", "y"]);
    terminal.shows("ended session 9 of bob");
    assert!(!run.sessions.join("9").exists());
    terminal.is(|screen| rows(screen) == ["alice", "eve"]);
    // Freezing waits for the kernel, and nobody is one here; thawing does not.
    fs::write(run.cgroups.join("berth/user-4000001/cgroup.freeze"), "1").unwrap();
    terminal.types(&["Up", "Home", "t"]);
    terminal.shows("thawed user \"alice\": 1 session");
    let frozen = fs::read_to_string(run.cgroups.join("berth/user-4000001/cgroup.freeze"));
    assert_eq!(frozen.unwrap(), "0");
    // The kernel says it of a cgroup when all those below stand.
    for group in ["berth/user-4000001/sessions/12", "berth/user-4000001"] {
        run.cgroup(group, &[("cgroup.events", "populated 1\nfrozen 1\n")]);
    }
    terminal.is(|screen| {
        screen
            .lines()
            .nth(5)
            .is_some_and(|line| line.ends_with(" F"))
    });
    terminal.types(&["f"]);
    terminal.shows("frozen user \"alice\": 1 session");
}

#[test]
fn a_terminal_that_changes_is_filled_and_one_too_small_is_told_of() {
    let run = machine();
    let terminal = Terminal::new(&run);
    terminal.top();
    terminal.tmux(&["resize-window", "-x", "60", "-y", "8"]);
    terminal.shows("and this terminal has 60 and 8.");
    terminal.tmux(&["resize-window", "-x", "120", "-y", "30"]);
    let screen = terminal.is(|screen| {
        screen
            .lines()
            .nth(29)
            .is_some_and(|line| line.starts_with("u users"))
    });
    assert!(
        screen.contains("USER                  PROFILE "),
        "{screen}"
    );
}

#[test]
fn the_terminal_is_as_it_was_however_top_ends() {
    let run = machine();
    let terminal = Terminal::new(&run);
    let before = terminal.settings();
    for (end, status) in [
        ("q", 0),
        ("C-c", 0),
        ("TERM", 143),
        ("INT", 130),
        ("HUP", 129),
    ] {
        terminal.top();
        assert_ne!(terminal.settings(), before);
        match end {
            "q" | "C-c" => terminal.types(&[end]),
            signal => {
                // By the terminal, so that no other's can be meant.
                let tty = terminal.tmux(&["display-message", "-p", "#{pane_tty}"]);
                let tty = tty.trim().trim_start_matches("/dev/").to_owned();
                let ps = Command::new("ps")
                    .args(["-t", &tty, "-o", "pid=,comm="])
                    .output()
                    .unwrap();
                let ps = String::from_utf8(ps.stdout).unwrap();
                let top = ps
                    .lines()
                    .find(|line| line.contains("berth-program"))
                    .unwrap();
                let pid = top.split_whitespace().next().unwrap();
                Command::new("kill")
                    .args([&format!("-{signal}"), pid])
                    .status()
                    .unwrap();
            }
        }
        terminal.is(|screen| screen.contains("shell>") && !screen.contains("berth top  "));
        terminal.types(&["echo status=$?", "Enter"]);
        terminal.shows(&format!("\nstatus={status}\n"));
        terminal.is(|_| terminal.settings() == before);
        terminal.types(&["clear", "Enter"]);
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_fg() {
    let run = machine();
    let terminal = Terminal::new(&run);
    let before = terminal.settings();
    terminal.top();
    terminal.types(&["C-z"]);
    terminal.is(|screen| screen.contains("Stopped") && !screen.contains("berth top  "));
    terminal.is(|_| terminal.settings() == before);
    terminal.types(&["fg", "Enter"]);
    terminal.shows("u users  s sessions");
    terminal.is(|screen| rows(screen).len() == 3);
    terminal.types(&["q"]);
    terminal.is(|screen| screen.contains("shell>") && !screen.contains("berth top  "));
    terminal.is(|_| terminal.settings() == before);
}

#[test]
fn a_script_gets_one_page_of_text() {
    let run = machine();
    let ran = run.berth("", "top --batch --delay 0.1");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 8, "{}", ran.out);
    assert_eq!(
        lines[5],
        "alice    student -       34/512    0% ........   1.0G |.......  31%        ."
    );
    assert!(!ran.out.contains('\x1b'));
    let sessions = run.berth("", "top -b -d 0.1 --sessions").out;
    assert!(
        sessions.contains("\n12       alice   sshd    34/512"),
        "{sessions}"
    );
    let ran = run.berth("", "top");
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.err,
        "berth: top needs a terminal; in a script, say --batch\n"
    );
    for wrong in ["top -d 0", "top -d x"] {
        assert_eq!(run.berth("", wrong).code, Some(2), "{wrong}");
    }
}

#[test]
fn what_caps_did_is_of_today_where_it_is_accounted() {
    let run = with_figures();
    let ended = |oom: u64, when: SystemTime| {
        let when = LocalTime::rfc3339(when);
        json!({
            "session": 99, "user": "eve", "uid": 4_000_009, "service": "sshd", "tty": "", "rhost": "",
            "profile": "student", "pool": null, "start": when, "end": when, "seconds": 0, "oom_kills": oom,
            "tasks_refused": oom + 2,
        })
    };
    let today = SystemTime::now();
    let before = today - Duration::from_secs(86_400);
    let file = run.cgroups.with_extension("ledger");
    let lines = format!("{}\n{}\n", ended(100, before), ended(5, today));
    std::fs::write(&file, lines).unwrap();
    let policy =
        format!("version = 1\n[defaults]\nno_match = \"exempt\"\n[accounting]\nfile = {file:?}\n");
    // Three sessions have an OOM kill each, and their two users four refused tasks.
    let object = run.under(&policy, "top --json -d 0.1").json();
    assert_eq!(object["everyone"]["today"]["oom_kills"], 8, "{object}");
    assert_eq!(object["everyone"]["today"]["tasks_refused"], 15);
    // Since midnight, or since the first of them was opened, where that is yesterday's.
    assert!(object["everyone"]["today"]["since"].is_string());
    let text = run.under(&policy, "top -b -d 0.1").out;
    assert!(text.contains("  8 OOM kills, 15 refused"), "{text}");
    assert!(text.contains("Today ") || text.contains("Since "), "{text}");
    std::fs::remove_file(&file).unwrap();
    let alone = run.berth("", "top -b -d 0.1").out;
    assert!(
        alone.contains("So far  3 OOM kills, 8 refused tasks"),
        "{alone}"
    );
}

#[test]
fn before_linux_6_11_refused_tasks_are_known_of_sessions_only() {
    let run = with_figures();
    let user = "berth/user-4000001";
    let (pool, in_pool) = ("berth/pool-cs101", "berth/pool-cs101/user-4000002");
    for group in [user, "berth/user-4000001/sessions", pool, in_pool] {
        let counted = [
            ("pids.events", "max 0\n"),
            ("cgroup.subtree_control", "cpu memory pids\n"),
        ];
        run.cgroup(group, &counted);
        std::fs::remove_file(run.cgroups.join(group).join("pids.events.local")).unwrap();
    }
    let of_bob = "berth/pool-cs101/user-4000002/sessions/9";
    for session in [
        "berth/user-4000001/sessions/12",
        "berth/user-4000001/sessions/14",
        of_bob,
    ] {
        std::fs::remove_file(run.cgroups.join(session).join("pids.events.local")).unwrap();
    }
    let object = |verb: &str| -> Value { run.berth("", &format!("{verb} --json")).json() };
    let refused = |object: &Value| object["tasks"]["refused"].clone();
    assert_eq!(refused(&object("show alice")), Value::Null);
    assert_eq!(refused(&object("list --users")["users"][1]), Value::Null);
    assert_eq!(refused(&object("list --pools")["pools"][0]), Value::Null);
    assert_eq!(refused(&object("show 12")), 4);
    let today = &object("top -d 0.1")["everyone"]["today"];
    assert_eq!(today["tasks_refused"], 12, "{today}");
    let metrics = run.berth("", "metrics").out;
    let is_there = |line: &str| line.starts_with("berth_") && line.contains("_tasks_refused_total");
    assert!(!metrics.lines().any(is_there), "{metrics}");
}

#[test]
fn one_look_is_an_object_for_programs() {
    let run = with_figures();
    let look = |arguments: &str| -> Value {
        let ran = run.berth("", &format!("top --json -d 0.1 {arguments}"));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        ran.json()
    };
    let users = look("");
    assert_eq!(users["version"], 1);
    assert_eq!(users["everyone"]["users"], 2);
    assert_eq!(users["everyone"]["today"]["since"], Value::Null);
    let bob = &users["users"][1];
    for (key, value) in [
        ("user", json!("bob")),
        ("uid", json!(4_000_002)),
        ("profile", json!("ta+batch")),
        ("pool", json!("cs101")),
        ("at_cap", json!(false)),
        ("frozen", json!(false)),
        ("lingers", json!(false)),
        ("stale", json!(false)),
    ] {
        assert_eq!(bob[key], value, "{key}");
    }
    assert_eq!(bob["memory"]["bytes"], 7_u64 << 30);
    assert_eq!(bob["memory"]["max_bytes"], 8_u64 << 30);
    assert_eq!(bob["cpu"]["percent"], 0.0);
    assert_eq!(bob["tasks"]["count"], 61);
    let sessions = look("--sessions");
    let session = &sessions["sessions"][2];
    assert_eq!(
        (&session["session"], &session["user"]),
        (&json!(14), &json!("alice"))
    );
    let pools = look("--pools");
    let pool = &pools["pools"][0];
    assert_eq!(
        (&pool["pool"], &pool["users"], &pool["sessions"]),
        (&json!("cs101"), &json!(1), &json!(1))
    );
}

#[test]
fn all_figures_of_one_look_are_of_its_end() {
    let run = machine();
    // Of each step memory first: what is read of it later cannot be less.
    let steps = "for n in $(seq 999); do sleep 0.02; echo $((n<<20)) >new; mv new memory.current; \
                 echo usage_usec ${n}000000 >new; mv new cpu.stat; done";
    let looked = run
        .shell(&format!(
            "cd {}/berth/user-4000003; echo 0 >memory.current; ({steps}) & \
             /run/berth-program top --json -d 1; kill $!",
            run.cgroups.display()
        ))
        .output()
        .unwrap();
    let look: Value = serde_json::from_slice(&looked.stdout).unwrap();
    let users = look["users"].as_array().unwrap();
    let eve = users.iter().find(|user| user["user"] == "eve").unwrap();
    let memory = eve["memory"]["bytes"].as_u64().unwrap() >> 20;
    let cpu = eve["cpu"]["seconds"].as_f64().unwrap();
    assert!(cpu >= 1.0 && memory as f64 >= cpu, "{eve:#}");
}

#[test]
fn who_is_not_root_sees_their_own_cgroup() {
    let run = machine();
    let ran = run.berth(&somebody(4_000_001), "top -b -d 0.1");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 6, "{ran:?}");
    assert!(
        lines[5].starts_with("4000001  -       -       34/512    0%"),
        "{ran:?}"
    );
    let ran = run.berth(&somebody(4_000_001), "top -b -d 0.1 --sessions");
    assert!(
        ran.out.contains("\n12       4000001 -       34/512"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("\n14 "), "{ran:?}");
    let ran = run.berth(&somebody(4_000_009), "top -b");
    assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""));
}
