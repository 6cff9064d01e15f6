//! What people do at a terminal all day, in a berth.

use std::fs;

use berth_tests::{Machine, Policy, Process, Stack, Terminal, eventually};

/// The one process of this name.
fn the(name: &str) -> Process {
    assert!(eventually(|| Process::named(name).len() == 1), "no {name}");
    Process::named(name)[0]
}

fn is_in_state(process: Process, state: char) -> bool {
    eventually(|| {
        let now = process.status("State");
        now.is_some_and(|now| now.starts_with(state))
    })
}

/// A terminal on which programs can draw, of alice's by ssh.
fn xterm(machine: &mut Machine) -> Terminal {
    let mut ssh = machine.ssh_command("alice", "");
    ssh.arg("-tt").env("TERM", "xterm");
    let mut terminal = Terminal::start(ssh);
    terminal.run("true");
    terminal.resize(24, 80);
    terminal
}

/// A shell with job control at a terminal of alice's.
fn bash(machine: &mut Machine) -> Terminal {
    let mut terminal = machine.ssh_terminal("alice");
    terminal.run("true");
    terminal.send("exec bash --norc --noprofile --noediting");
    terminal
}

#[test]
fn a_shell_has_job_control() {
    Machine::run(|machine| {
        let mut terminal = bash(machine);
        terminal.send("sleep 1000");
        let sleep = the("sleep");
        terminal.keys("\x1a");
        assert!(is_in_state(sleep, 'T'), "not stopped by ^Z");
        assert!(terminal.run("jobs").contains("Stopped"));
        terminal.run("bg");
        assert!(is_in_state(sleep, 'S'), "not continued by bg");
        assert!(terminal.run("jobs").contains("Running"));
        terminal.send("fg");
        let is_in_front = || {
            let group = machine.host(&format!("ps -o tpgid= -p {}", sleep.0)).stdout;
            group.trim() == sleep.0.to_string()
        };
        assert!(eventually(is_in_front), "not brought to the front by fg");
        terminal.keys("\x03");
        assert!(eventually(|| !sleep.exists()), "not ended by ^C");
        assert_eq!(terminal.run("jobs"), "");
    });
}

#[test]
fn the_window_and_the_locale_are_the_clients() {
    Machine::run(|machine| {
        let mut ssh = machine.ssh_command("alice", "");
        ssh.args(["-tt", "-o", "SendEnv=LANG"])
            .env("LANG", "C.UTF-8")
            .env("TERM", "screen-256color");
        let mut terminal = Terminal::start(ssh);
        let look = "echo $TERM $LANG; locale charmap; tty";
        let said = terminal.run(look);
        assert!(
            said.starts_with("screen-256color C.UTF-8\nUTF-8\n/dev/pts/"),
            "{said}"
        );
        for (rows, columns) in [(24, 80), (50, 132)] {
            terminal.resize(rows, columns);
            let size = format!("{rows} {columns}");
            assert!(
                eventually(|| terminal.run("stty size") == size),
                "not {size}"
            );
        }
    });
}

#[test]
fn an_editor_edits() {
    Machine::run(|machine| {
        let mut terminal = xterm(machine);
        terminal.send("vim.tiny -n -u NONE note");
        terminal.expect("[New");
        terminal.keys("ifirst line\rsecond\x1b");
        terminal.keys("kyyp:wq\r");
        let is_written =
            || fs::read_to_string("/home/alice/note").is_ok_and(|text| text.ends_with("second\n"));
        assert!(eventually(is_written), "{}", terminal.shown());
        assert_eq!(
            fs::read_to_string("/home/alice/note").unwrap(),
            "first line\nfirst line\nsecond\n"
        );
    });
}

/// In a berth that a user's logins share, and that stays for a while after the last of them.
#[test]
fn a_tmux_that_was_left_is_there_at_the_next_login() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            profile: r#"logout = { linger = "60s", grace = "1s" }"#.into(),
            ..Policy::with_namespaces(
                r#"scope = "user", user = "identity", pid = true, ipc = true, mount = true, private_tmp = "16M""#,
            )
        });
        let mut first = xterm(machine);
        // Or keys that come at once, as on a busy machine all do, are taken for pasted text.
        first.run("echo 'set -g assume-paste-time 0' >.tmux.conf");
        first.send("tmux -f .tmux.conf new-session -s work");
        first.expect("[work]");
        first.send("echo marker-$((40 + 2))");
        first.expect("marker-42");
        first.keys("\x02d");
        first.expect("[detached");
        first.send("exit");
        first.wait();
        let mut second = xterm(machine);
        assert!(
            second
                .run("tmux list-sessions")
                .starts_with("work: 1 windows")
        );
        second.send("tmux attach -t work");
        second.expect("marker-42");
        second.keys("\x02d");
        second.expect("[detached");
        second.run("tmux kill-server");
    });
}

#[test]
fn a_tmux_of_a_berth_of_its_own_ends_with_it() {
    Machine::run(|machine| {
        let mut first = xterm(machine);
        first.run("tmux -f /dev/null new-session -d -s work 'sleep 1000'");
        let server = the("tmux: server");
        let said = machine.ssh("alice", "tmux list-sessions").refused();
        assert!(
            said.stderr.contains("no server running") || said.stderr.contains("No such file"),
            "{said:?}"
        );
        first.send("exit");
        first.wait();
        assert!(eventually(|| !server.exists()));
    });
}

#[test]
fn screen_keeps_what_runs_in_it() {
    Machine::run(|machine| {
        let mut terminal = xterm(machine);
        terminal.run("mkdir -m 700 .screen; export SCREENDIR=$HOME/.screen");
        terminal.run("screen -d -m -S work sleep 1000");
        the("sleep");
        let list = |terminal: &mut Terminal| terminal.run("screen -ls");
        let is_detached = |terminal: &mut Terminal| list(terminal).contains("(Detached)");
        assert!(
            eventually(|| is_detached(&mut terminal)),
            "{}",
            list(&mut terminal)
        );
        terminal.send("screen -r work");
        let attached = || Process::running("screen -r work").len() == 1;
        assert!(eventually(attached));
        terminal.keys("\x01d");
        terminal.expect("detached");
        assert!(
            eventually(|| is_detached(&mut terminal)),
            "{}",
            list(&mut terminal)
        );
    });
}

#[test]
fn debuggers_and_tracers_work_on_ones_own_programs() {
    Machine::run(|machine| {
        let run =
            "gdb -nx -batch -ex starti -ex 'info registers rip' -ex kill /bin/true </dev/null";
        let said = machine.ssh("alice", run).ok();
        assert!(
            said.contains("Program stopped.") && said.contains("rip "),
            "{said}"
        );
        let said = machine.ssh("alice", "sleep 1000 & pid=$!; gdb -nx -batch -p $pid -ex 'info inferiors' 2>/dev/null </dev/null; kill $pid").ok();
        assert!(said.contains("* 1    process "), "{said}");
        let said = machine
            .ssh(
                "alice",
                r"strace -f -o trace sh -c 'cat /dev/null; true'; grep -c 'execve.*\[.cat.,' trace",
            )
            .ok();
        assert_eq!(said, "1");
    });
}

/// What there is to count is for the kernel to say (`kernel.perf_event_paranoid`), not for the berth.
#[test]
fn perf_counts_in_a_berth_what_it_counts_outside() {
    Machine::run(|machine| {
        let count = "perf stat -x, -e task-clock -e page-faults -o counted true; echo $?; grep -oE 'task-clock|page-faults' counted; cat /proc/1/comm";
        let inside = machine.ssh("alice", count).ok();
        machine.without_berth();
        let outside = machine.ssh("alice", count).ok();
        let (said, init) = inside.rsplit_once('\n').unwrap();
        assert_eq!(init, "berth-init");
        let (said_outside, init) = outside.rsplit_once('\n').unwrap();
        assert_ne!(init, "berth-init");
        assert_eq!(said, said_outside);
    });
}

#[test]
fn who_and_last_show_a_login_and_its_end() {
    Machine::run(|machine| {
        // last believes a login whose process has the user's login UID.
        machine.stack(&Stack {
            before: "session required pam_loginuid.so".into(),
            ..Stack::default()
        });
        fs::write("/var/log/wtmp", "").unwrap();
        fs::write("/run/utmp", "").unwrap();
        for door in ["ssh", "login"] {
            let mut terminal = match door {
                "ssh" => machine.ssh_terminal("alice"),
                _ => machine.login("alice"),
            };
            let tty = terminal.run("tty");
            let line = tty.strip_prefix("/dev/").unwrap();
            for look in ["who", "w -h"] {
                let said = machine.host(look).ok();
                assert!(
                    said.starts_with("alice ") && said.contains(line),
                    "{door}, {look}: {said}"
                );
            }
            if door == "login" {
                continue; // The rest is for init and getty to do.
            }
            let wtmp = || machine.host("utmpdump /var/log/wtmp").ok();
            assert!(
                machine.host("last -w alice").ok().contains(" still "),
                "{}",
                wtmp()
            );
            terminal.send("exit");
            terminal.wait();
            assert!(eventually(|| machine.host("who").ok().is_empty()));
            let is_end = |record: &str| record.starts_with("[8]") && record.contains(line);
            assert!(wtmp().lines().any(is_end), "{}", wtmp());
        }
    });
}
