//! When a login is over, however it ended, nothing of it is left.

use std::time::{Duration, Instant};

use berth_tests::{Door, Machine, Policy, Process, Terminal, becomes, eventually};

/// The processes of a session as they are seen on the host: the application's and the user's.
fn of_session(uid: u32) -> Vec<Process> {
    let all = Process::all().into_iter();
    all.filter(|one| one.uid() == Some(uid)).collect()
}

#[test]
fn a_logout_leaves_nothing_through_any_door() {
    Machine::run(|machine| {
        let before = machine.settled();
        for door in Door::ALL {
            machine.through(door, "alice", "true");
            machine.assert_nothing_left(&before);
        }
        machine.sftp("alice", "pwd\n").ok();
        machine.sftp("carol", "pwd\n").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn what_a_user_started_ends_with_the_login() {
    Machine::run(|machine| {
        let before = machine.settled();
        let leave = "setsid nohup sleep 1000 >/dev/null 2>&1 & (trap '' TERM HUP; sleep 1000) >/dev/null 2>&1 & ipcmk -M 4096 >/dev/null; touch /tmp/x /dev/shm/x /dev/mqueue/x; keyctl add user k v @s >/dev/null";
        for door in [Door::Ssh, Door::Su, Door::SuLogin] {
            machine.through(door, "alice", leave);
            machine.assert_nothing_left(&before);
        }
    });
}

/// A shell ends at SIGHUP and not at SIGTERM; what is stopped must go on to end at all.
#[test]
fn what_is_left_is_asked_to_end_and_gets_the_time_of_the_policy_for_that() {
    Machine::run(|machine| {
        let before = machine.settled();
        // What forks from a shell keeps what a redirection of a part of its work has set aside.
        let leave = "
            exec >/dev/null 2>&1
            left() {
                trap '' TERM HUP
                trap \"touch $1.asked; sleep 1; touch $1.ended; exit\" $2
                touch $1.ready
                while :; do sleep 1000; done
            }
            (left terminated TERM) & (left hung_up HUP) & (left stopped TERM) &
            until [ $(ls *.ready | wc -l) = 3 ]; do sleep 0.1; done
            kill -STOP $!
            until grep -q '^State:.T' /proc/$!/status; do sleep 0.1; done
            rm *.ready";
        let all = "hung_up.asked\nhung_up.ended\nstopped.asked\nstopped.ended\nterminated.asked\nterminated.ended";
        for (grace, notes) in [("30s", all), ("0s", "")] {
            let profile = format!("logout = {{ grace = \"{grace}\" }}");
            machine.policy(&Policy::with_profile(&profile));
            machine.ssh("alice", leave).ok();
            machine.assert_nothing_left(&before);
            let left = machine.host("cd /home/alice && ls && rm -f *.asked *.ended");
            assert_eq!(left.ok(), notes, "{grace}");
        }
    });
}

#[test]
fn what_may_linger_for_ever_outlasts_other_logins_and_does_not_count_as_one() {
    Machine::run(|machine| {
        let before = machine.settled();
        for scope in ["session", "user"] {
            machine.policy(&Policy {
                profile: "max_sessions = 1\nlogout = { linger = \"infinity\", grace = \"0s\" }"
                    .into(),
                ..Policy::with_namespaces(&format!(
                    r#"scope = "{scope}", user = "identity", pid = true, mount = true"#
                ))
            });
            let leave = "setsid nohup sleep 1000 >/dev/null 2>&1 &";
            machine.ssh("alice", leave).ok();
            let lingers = || machine.berth("list").stdout.contains(" linger");
            assert!(eventually(lingers), "{:?}", machine.berth("list"));
            let left = Process::running("sleep 1000")[0];
            let (login, _) = machine.stay("alice");
            machine.ssh("alice", "true").refused();
            login.end();
            assert_eq!(left.name(), "sleep", "{scope}");
            machine.berth("kill alice --yes").ok();
            machine.assert_nothing_left(&before);
        }
    });
}

#[test]
fn a_login_that_ended_without_room_to_write_that_counts_as_one_only_until_there_is_room() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            profile: "max_sessions = 1\nlogout = { linger = \"infinity\" }".into(),
            ..Policy::with_namespaces(r#"scope = "user", pid = true, mount = true"#)
        });
        let of_its_own = "mkdir -p /run/berth && mount -t tmpfs -o size=64k none /run/berth";
        machine.host(of_its_own).ok();
        let before = machine.settled();
        let (login, _) = machine.stay("alice");
        machine.host("! cat /dev/zero >/run/berth/full").ok();
        login.end();
        machine.logged("No space left on device");
        machine.ssh("alice", "true").refused();
        machine.host("rm /run/berth/full").ok();
        let lingers = || machine.berth("list").stdout.contains(" linger");
        assert!(eventually(lingers), "{:?}", machine.berth("list"));
        machine.ssh("alice", "true").ok();
        machine.berth("kill alice --yes").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn what_may_linger_stays_as_long_as_the_policy_says() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine.policy(&Policy::with_profile(
            "logout = { linger = \"6s\", grace = \"1s\" }",
        ));
        let begun = Instant::now();
        machine
            .ssh("alice", "setsid nohup sleep 1000 >/dev/null 2>&1 &")
            .ok();
        let lingers = || Process::named("sleep").len() == 1;
        std::thread::sleep(Duration::from_millis(1500));
        assert!(lingers());
        let keepers = Process::keepers();
        assert_eq!(keepers.len(), 1);
        let ticks = cpu_ticks(keepers[0]);
        assert!(ticks < 20, "{ticks} of 150 ticks spent on waiting");
        assert!(eventually(|| !lingers()));
        let lingered = Duration::from_secs(6)..Duration::from_secs(30);
        assert!(lingered.contains(&begun.elapsed()), "{:?}", begun.elapsed());
        machine.assert_nothing_left(&before);
    });
}

/// The CPU time of a process, in hundredths of a second (proc_pid_stat(5), fields 14 and 15).
fn cpu_ticks(process: Process) -> u64 {
    let stat = process.file("stat");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    [11, 12]
        .map(|n| fields[n].parse::<u64>().unwrap())
        .iter()
        .sum()
}

/// The kernel's cgroup.kill ends no process whose first thread has ended while another goes on; and these start others.
#[test]
fn what_goes_on_without_its_first_thread_ends_with_the_login() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        let probe = machine.probe("headless");
        let headless = || {
            let all = Process::named("berth-probe").into_iter();
            all.filter(|one| one.is_zombie()).count()
        };
        let leave = format!(
            "trap '' TERM HUP; setsid prlimit --nproc=60 {probe} >/dev/null 2>&1 </dev/null & sleep 1"
        );
        machine.ssh("alice", &leave).ok();
        machine.assert_nothing_left(&before);
        let login = machine.ssh_background("alice", &format!("{leave}; exec sleep 1000"));
        assert!(eventually(|| headless() > 20));
        machine.berth("kill --yes --grace 0s alice").ok();
        assert_eq!(headless(), 0);
        login.end();
        machine.assert_nothing_left(&before);
    });
}

/// `hidepid` of proc(5): it shows others' processes to a group, or to who may trace them.
#[test]
fn where_proc_hides_others_a_login_ends_all_the_same() {
    Machine::run(|machine| {
        // A busy machine may take a while to let the shell see its signal.
        machine.policy(&Policy {
            profile: r#"logout = { grace = "5s" }"#.into(),
            ..Policy::with_namespaces("")
        });
        let before = machine.settled();
        let probe = machine.probe("headless");
        let leave = format!(
            "(trap '' HUP; trap 'touch asked; exit' TERM; while :; do sleep 1; done) >/dev/null 2>&1 &
            trap '' TERM HUP; setsid prlimit --nproc=60 {probe} >/dev/null 2>&1 </dev/null & sleep 1"
        );
        for hides in ["hidepid=2,gid=4242", "hidepid=4"] {
            let remounted = machine.host(&format!("mount -o remount,{hides} /proc"));
            remounted.ok();
            machine.ssh("alice", &leave).ok();
            machine.assert_nothing_left(&before);
            machine.ssh("alice", "rm asked").ok();
        }
    });
}

#[test]
fn a_private_tmp_goes_however_deep_it_is_and_no_link_in_it_is_followed() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let before = machine.settled();
        // More levels than a process has descriptors.
        let nest = "cd /tmp && for n in $(seq 1500); do mkdir d && ln -s /srv/kept && cd d || exit 1; done";
        machine.host("mkdir -p /srv/kept/folder && touch /srv/kept/folder/file && chown -R alice: /srv/kept").ok();
        let look = "find /srv/kept -printf '%p %U %m\\n' | sort";
        let kept = machine.host(look).ok();
        machine.ssh("alice", nest).ok();
        machine.assert_nothing_left(&before);
        assert_eq!(machine.host(look).ok(), kept);
        let left: Vec<_> = std::fs::read_dir("/var/lib/berth/tmp").unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_session_whose_traces_somebody_removed_still_ends() {
    Machine::run(|machine| {
        let before = machine.settled();
        for scope in ["session", "user"] {
            machine.policy(&Policy::with_namespaces(&format!(
                r#"scope = "{scope}", user = "identity", pid = true, mount = true, private_tmp = "disk""#
            )));
            let (login, _) = machine.stay("alice");
            machine.host("rm -rf /run/berth").ok();
            login.end();
            machine.assert_nothing_left(&before);
        }
        let errors = machine.log_lines().into_iter();
        let errors: Vec<_> = errors
            .filter(|line| line.contains("No such file"))
            .collect();
        // Only that its last state could not be written down.
        assert!(
            errors.iter().all(|line| line.contains("linger")),
            "{errors:#?}"
        );
    });
}

/// The id of a session, as a process of it knows it.
fn id_of(inside: Process) -> u64 {
    let environment = inside.file("environ");
    let mut variables = environment.split('\0');
    let id = variables.find_map(|variable| variable.strip_prefix("BERTH_SESSION="));
    id.expect("a session").parse().expect("a number")
}

#[test]
fn a_session_whose_traces_somebody_removed_takes_nothing_of_the_next_one() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let before = machine.settled();
        machine.host("rm -rf /run/berth").ok();
        let (first, alices) = machine.stay("alice");
        machine.host("rm -rf /run/berth").ok();
        let (second, bobs) = machine.stay("bob");
        let id = id_of(bobs);
        assert_ne!(id, id_of(alices));
        let traces = [
            format!("/run/berth/sessions/{id}"),
            format!("/var/lib/berth/tmp/{id}"),
        ];
        first.end();
        assert!(eventually(|| !alices.exists()));
        becomes(|| Process::named("berth-init").len(), 1);
        for trace in traces {
            assert!(std::path::Path::new(&trace).exists(), "no {trace}");
        }
        second.end();
        machine.assert_nothing_left(&before);
    });
}

type Choice = fn(&Terminal, u32) -> Vec<Process>;

/// Ends one session after another by killing something of it, and looks at what is left each time.
fn killed(machine: &mut Machine, choose: Choice) {
    let before = machine.settled();
    let uid = machine.uid("alice");
    for round in 0..3 {
        let mut terminal = match round {
            0 => machine.ssh_terminal("alice"),
            1 => machine.su_terminal("alice"),
            _ => machine.login("alice"),
        };
        let inside = terminal.run("cat /proc/1/comm; (sleep 1000 >/dev/null 2>&1 &)");
        assert_eq!(inside, "berth-init");
        let victims = choose(&terminal, uid);
        assert!(!victims.is_empty(), "nothing to kill");
        for victim in victims {
            victim.kill();
        }
        drop(terminal);
        machine.assert_nothing_left(&before);
        // And the next login is as good as the first.
        assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
        machine.assert_nothing_left(&before);
    }
}

#[test]
fn a_killed_login_program_leaves_nothing() {
    Machine::run(|machine| {
        killed(machine, |terminal, uid| {
            // sshd's process for the session (root's), or su, or login.
            // "sshd: alice [priv]", or "sshd-session: …" from OpenSSH 10 on.
            let sshd = Process::running(": alice").into_iter();
            let mut programs: Vec<Process> = sshd.filter(|one| one.uid() != Some(uid)).collect();
            if programs.is_empty() {
                programs.push(terminal.process());
            }
            programs
        });
    });
}

#[test]
fn a_killed_users_process_of_the_login_program_leaves_nothing() {
    Machine::run(|machine| {
        killed(machine, |_, uid| of_session(uid));
    });
}

#[test]
fn a_killed_init_leaves_nothing() {
    Machine::run(|machine| {
        killed(machine, |_, _| Process::named("berth-init"));
    });
}

#[test]
fn a_killed_keeper_leaves_nothing() {
    Machine::run(|machine| {
        killed(machine, |_, _| Process::keepers());
    });
}

#[test]
fn a_killed_standby_leaves_nothing() {
    Machine::run(|machine| {
        killed(machine, |terminal, uid| {
            let [keeper, standby] = [Process::keepers(), Process::standbys()];
            assert_eq!((keeper.len(), standby.len()), (1, 1));
            // It is missed by nobody: the session goes on, until the user ends it.
            standby[0].kill();
            let session = of_session(uid);
            assert!(!session.is_empty() && keeper[0].exists());
            [session, vec![terminal.process()]].concat()
        });
    });
}

#[test]
fn a_killed_init_and_keeper_leave_nothing() {
    Machine::run(|machine| {
        killed(machine, |_, _| {
            [Process::keepers(), Process::named("berth-init")].concat()
        });
    });
}

/// By `killall5`, or `kill -1` of a container's init: those of Berth are signalled, too.
#[test]
fn a_machine_that_shuts_down_gives_a_session_the_time_that_it_gives_everything() {
    Machine::run(|machine| {
        let isolated = r#"user = "identity", pid = true, mount = true"#;
        for namespaces in [isolated, ""] {
            machine.policy(&Policy {
                namespaces: namespaces.into(),
                ..Policy::with_profile("logout = { grace = \"30s\" }")
            });
            let before = machine.settled();
            machine.forget_log();
            let save =
                "exec >/dev/null 2>&1; trap '' HUP; trap 'trap \"\" TERM; sleep 0.5; touch saved; exit' TERM; touch ready
                while :; do sleep 0.1; done";
            let login = machine.ssh_background("alice", save);
            let has = |machine: &Machine, file: &str| {
                let removed = machine.host(&format!("rm /home/alice/{file}"));
                removed.success()
            };
            assert!(eventually(|| has(machine, "ready")));
            let mut all = Process::named("berth-helper");
            all.extend(Process::named("berth-init"));
            all.extend(Process::running(": alice"));
            all.extend(machine.processes_of("alice"));
            all.sort_unstable();
            let pids = all.iter().map(|one| one.0.to_string());
            let pids = pids.collect::<Vec<_>>().join(" ");
            machine.host(&format!(
                "kill -STOP {pids}; kill -TERM {pids}; kill -CONT {pids}"
            ));
            assert!(eventually(|| has(machine, "saved")), "{namespaces:?}");
            login.end();
            machine.assert_nothing_left(&before);
            let closed = machine.logged("close session=");
            assert!(closed.contains(" result=ok "), "{closed}");
        }
    });
}

#[test]
fn when_all_of_berth_is_killed_the_processes_end_and_the_next_login_removes_the_traces() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = machine.uid("alice");
        let mut terminal = machine.ssh_terminal("alice");
        terminal.run("(setsid sleep 1000 >/dev/null 2>&1 &)");
        for victim in Process::named("berth-helper") {
            victim.kill();
        }
        assert!(
            eventually(|| of_session(uid).is_empty()),
            "{:?}",
            of_session(uid)
        );
        terminal.wait();
        assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn what_a_killed_keeper_left_running_ends_with_the_next_login_also_where_that_gets_no_cgroup() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        let (login, left) = machine.stay("alice");
        Process::kill_the_keepers();
        assert!(left.exists());
        machine.policy(&Policy {
            namespaces: String::new(),
            ..Policy::with_profile("cgroup = \"keep\"")
        });
        machine.ssh("alice", "true").ok();
        assert!(eventually(|| !left.exists()));
        login.end();
        machine.assert_nothing_left(&before);
    });
}

/// A user may put what they start behind all others, su too, and what it starts.
#[test]
fn who_keeps_a_session_does_not_wait_behind_all_others() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let alice = machine.uid("alice");
        let look = "for pid in $(pgrep -x berth-helper); do
            chrt -p $pid; taskset -pc $pid; ionice -p $pid; echo nice: $(ps -o ni= -p $pid)
            done";
        let seen = machine.host(&format!(
            "exec setpriv --reuid={alice} --regid={alice} --clear-groups \
                 chrt -i 0 nice -n 7 ionice -c 3 taskset -c 0 su bob -c '{look}'"
        ));
        let seen = seen.ok();
        let of_init = machine.host("taskset -pc 1").ok();
        let (_, cpus) = of_init.trim().split_once("affinity ").unwrap();
        // Of keeper and standby each.
        for (text, times) in [("SCHED_OTHER", 2), (cpus, 2), ("idle", 0), ("nice: 0", 2)] {
            assert_eq!(seen.matches(text).count(), times, "{text} in {seen}");
        }
    });
}

/// A user may have the kernel wake what they start a day late, su too, and what it starts (PR_SET_TIMERSLACK).
#[test]
fn what_a_login_with_slow_timers_leaves_running_ends_in_time_all_the_same() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        let alice = machine.uid("alice");
        machine
            .host(&format!(
                "exec setpriv --reuid={alice} --regid={alice} --clear-groups sh -c '
                     echo 86400000000000 >/proc/$$/timerslack_ns
                     exec su bob -c \"trap \\\"\\\" TERM HUP; sleep 1000 >/dev/null 2>&1 &\"'"
            ))
            .ok();
        machine.assert_nothing_left(&before);
    });
}
