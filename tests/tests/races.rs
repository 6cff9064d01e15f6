//! Paths that a user changes while Berth, as root, is about to use them.

use berth_tests::{Machine, Policy, Process, Stack, eventually};

/// Of so many logins each meets with the link or with what it is the name of, by chance.
#[track_caller]
fn assert_some_met(met: usize, logins: usize) {
    assert!((1..logins).contains(&met), "{met} of {logins} met the link");
    eprintln!("{met} of {logins} met the link");
}

/// root is in a folder of alice's, who makes its name that of a link meanwhile.
#[test]
fn a_working_directory_that_becomes_a_link_leads_nowhere() {
    Machine::run(|machine| {
        machine
            .host(
                "mkdir -p /root/open && chmod 700 /root && chmod 755 /root/open && echo of-root >/root/open/secret",
            )
            .ok();
        let uid = machine.uid("alice");
        for policy in [
            Policy::default(),
            Policy::with_namespaces("pid = true, mount = true"),
        ] {
            machine.policy(&policy);
            // The shell stays in the folder itself, whatever that is called. su goes back to it by the name that it
            // had a moment before, which is a link's by then in every other login.
            let su = "strace -qq -o /dev/null -e trace=setns -e inject=setns:delay_enter=100000 su";
            let swap = machine.probe("swap /home/alice/own /home/alice/link");
            let said = machine.host(&format!(
                "cd /home/alice && rm -rf own link && mkdir own && ln -s /root/open link && chown -h alice: own link
                 cd own && {{ setpriv --reuid={uid} --regid={uid} --clear-groups {swap} >/dev/null & }}
                 swapping=$!
                 for login in $(seq 20); do {su} alice -c 'cat secret; pwd -P'; done 2>/dev/null
                 kill $swapping"
            ));
            let said = said.ok();
            assert!(
                !said.contains("of-root") && !said.contains("/root"),
                "{said}"
            );
            assert_some_met(said.lines().filter(|line| *line == "/").count(), 20);
        }
    });
}

/// What a berth keeps of /tmp is mounted by root; alice makes its name that of a link meanwhile.
#[test]
fn a_kept_name_of_tmp_that_becomes_a_link_shows_nothing_of_where_it_leads() {
    Machine::run(|machine| {
        machine
            .host("mkdir -p /root/open && chmod 700 /root && chmod 755 /root/open && echo of-root >/root/open/secret")
            .ok();
        let uid = machine.uid("alice");
        machine.policy(&Policy::with_namespaces(
            r#"pid = true, mount = true, private_tmp = "16M", tmp_keep = ["own"]"#,
        ));
        let swap = machine.probe("swap /tmp/own /tmp/link");
        // Not sticky: there the kernel itself follows nobody's link for root (fs.protected_symlinks).
        let said = machine.host(&format!(
            "cd /tmp && chmod 777 . && mkdir own && touch own/hers && ln -s /root/open link && chown -hR alice: own link
             setpriv --reuid={uid} --regid={uid} --clear-groups {swap} >/dev/null &
             swapping=$!
             for login in $(seq 30); do su alice -c 'ls /tmp/own; cat /tmp/own/secret; echo in'; done 2>/dev/null
             kill $swapping"
        ));
        let said = said.ok();
        assert!(!said.contains("secret"), "{said}");
        assert!(!said.contains("of-root"), "{said}");
        let count = |word| said.lines().filter(|line| *line == word).count();
        assert_eq!(count("in"), 30);
        assert_some_met(30 - count("hers"), 30);
    });
}

/// root has mounted a procfs in a chroot of alice's. Her name for it is another folder's meanwhile, in which a link leads
/// to bob's home.
#[test]
fn a_chroot_that_its_user_renames_shows_no_process_of_the_hosts_and_nothing_else_is_mounted_over() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces("pid = true, mount = true"));
        // The init mounts a moment after it has looked where.
        let slowly = "#!/bin/sh\nexec strace -f -qq -o /berth/calls.$$ -e trace=openat,mount \
                      -e inject=openat,mount:delay_enter=1000 /berth/berth-helper \"$@\"\n";
        machine.stack(&Stack {
            helper: machine.script("slow-helper", slowly),
            ..Stack::default()
        });
        let uid = machine.uid("alice");
        let swap = machine.probe("swap /home/alice/own /home/alice/link");
        let said = machine.host(&format!(
            "cd /home/alice && mkdir -p own/proc link && ln -s /home/bob link/proc && touch /home/bob/his
             chmod 755 . ../bob && mount -t proc proc own/proc
             setpriv --reuid={uid} --regid={uid} --clear-groups {swap} >/dev/null &
             swapping=$!
             look='for look in $(seq 50); do cat /home/alice/*/proc/1/comm; done 2>/dev/null | sort -u; ls /home/bob'
             for login in $(seq 20); do su bob -c \"$look\"; done
             kill $swapping; cat /berth/calls.* | grep -c '\"proc\", .*O_PATH' >&2"
        ));
        assert!(said.success(), "{said:?}");
        assert_eq!(said.stdout, ["berth-init\nhis"; 20].join("\n"), "{said:?}");
        let looks: usize = said.stderr.trim().parse().expect("a number");
        assert!(looks > 20, "{looks} looks: none met with the other folder");
        eprintln!(
            "{} looks of 20 logins met with the other folder",
            looks - 20
        );
    });
}

/// Has alice mount a file system of her own somewhere, as fusermount lets her, whose server hears what it is asked and says
/// nothing. It goes with the machine.
fn mount_of_alices(machine: &Machine, at: &str, options: &str) {
    let uid = machine.uid("alice");
    // But to the first question, which is whether it is there (FUSE_INIT): who asks before that can still be killed.
    let server = "sysread STDIN, $_, 1 << 17; \
                  syswrite STDOUT, pack q(IiQ IIII SSI), 40, 0, unpack(q(x8 Q)), 7, 22, 0, 0, 16, 12, 4096; \
                  1 while sysread STDIN, $_, 1 << 17";
    machine
        .host(&format!(
            "test -c /dev/fuse || mknod /dev/fuse c 10 229
             mkdir -p \"{at}\" && chown alice: \"{at}\" && exec 9<>/dev/fuse
             mount -i -t fuse -o fd=9,rootmode=40000,user_id={uid},group_id={uid}{options} hers \"{at}\"
             perl -e '{server}' <&9 >&9 2>/dev/null &"
        ))
        .ok();
}

/// One that asks her before it lets anybody look, and one that lets nobody else look: neither may hold up bob.
#[test]
fn a_users_own_file_system_in_a_kept_names_place_is_not_kept_and_holds_up_nobody() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"pid = true, mount = true, private_tmp = "16M", tmp_keep = ["hers", "open", "roots"]"#,
        ));
        machine.host("mkdir /tmp/roots").ok();
        mount_of_alices(machine, "/tmp/hers", "");
        mount_of_alices(machine, "/tmp/open", ",allow_other");
        for user in ["alice", "bob"] {
            assert_eq!(machine.su(user, "ls /tmp").ok(), "roots");
        }
    });
}

/// The folder that root has mounted a procfs in is the user's, too. Who asks it for what is in there waits, and is not ended
/// by SIGKILL.
#[test]
fn a_users_own_file_system_over_a_chroot_with_a_proc_is_asked_nothing_and_is_named() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces("pid = true, mount = true"));
        let proc = "mkdir -p /home/alice/own/proc && mount -t proc proc /home/alice/own/proc";
        machine.host(proc).ok();
        mount_of_alices(machine, "/home/alice/own", ",allow_other");
        machine.su("bob", "true").refused();
        let line = machine.logged("another mount hides it");
        assert!(
            line.contains("mount proc on /home/alice/own/proc"),
            "{line}"
        );
    });
}

/// The folder is the user's, so they may mount there. Root asks that file system nothing when it covers the folder.
#[test]
fn a_users_own_file_system_in_the_place_of_their_runtime_folder_holds_up_nobody() {
    Machine::run(|machine| {
        let at = format!("/run/user/{}", machine.uid("alice"));
        mount_of_alices(machine, &at, "");
        for scope in ["session", "user"] {
            machine.policy(&Policy::with_namespaces(&format!(
                r#"scope = "{scope}", user = "identity", pid = true, mount = true, user_manager = "hidden""#,
            )));
            for user in ["alice", "bob"] {
                assert_eq!(machine.su(user, "cat /proc/1/comm").ok(), "berth-init");
            }
        }
    });
}

/// What waits there is ended by nothing, not by SIGKILL, and its session stays. It may hold up nobody, nor alice's next login.
#[test]
fn a_session_that_waits_for_its_users_file_system_holds_up_nobody() {
    Machine::run(|machine| {
        for scope in ["session", "user"] {
            mount_of_alices(machine, "/home/alice/hers", "");
            let namespaces =
                format!(r#"scope = "{scope}", pid = true, mount = true, private_tmp = "disk""#);
            machine.policy(&Policy {
                profile: r#"logout = { grace = "0s" }"#.into(),
                ..Policy::with_namespaces(&namespaces)
            });
            let login = machine.ssh_background("alice", "cat hers/any");
            let one_more = |state: &str| {
                let waiting = Process::running("cat hers/any").into_iter();
                let mut waiting = waiting.filter(|one| one.name() == "cat");
                waiting.any(|one| one.status("State").is_some_and(|is| is.starts_with(state)))
            };
            assert!(eventually(|| one_more("S")), "nobody asks");
            login.end();
            assert!(eventually(|| machine
                .berth("list")
                .stdout
                .contains(" linger")));
            assert!(eventually(|| one_more("D")), "it has ended");
            if scope == "session" {
                it_cannot_be_frozen_and_all_else_can(machine);
            }
            for user in ["alice", "bob"] {
                assert_eq!(machine.ssh(user, "echo in").ok(), "in", "{scope}");
                assert_eq!(machine.su(user, "echo in").ok(), "in", "{scope}");
            }
            // Once its server has gone it ends, and the next mount begins anew.
            machine.host("pkill perl; umount -l /home/alice/hers").ok();
        }
    });
}

/// It is cloned while the user's lock is held, and goes on after its parent for as long as the disk hangs.
#[test]
fn an_init_that_waits_for_the_disk_of_private_tmps_holds_no_lock() {
    Machine::run(|machine| {
        mount_of_alices(machine, "/var/lib/berth/tmp", ",allow_other");
        machine.policy(&Policy::with_namespaces(
            r#"scope = "user", pid = true, mount = true, private_tmp = "disk""#,
        ));
        machine.stack(&Stack {
            arguments: "timeout=2".into(),
            ..Stack::default()
        });
        machine.su("alice", "true").refused();
        let waits = || {
            let mut inits = Process::named("berth-init").into_iter();
            inits.any(|one| one.status("State").is_some_and(|is| is.starts_with("D")))
        };
        assert!(eventually(waits), "it has ended");
        let lock = format!(
            "flock --nonblock /run/berth/users/{} true",
            machine.uid("alice")
        );
        let is_free = || machine.host(&lock).success();
        assert!(eventually(is_free) && waits());
        machine
            .host("pkill perl; umount -l /var/lib/berth/tmp")
            .ok();
    });
}

/// Beside a session of alice's that waits for what nobody answers.
fn it_cannot_be_frozen_and_all_else_can(machine: &mut Machine) {
    let (login, sleep) = machine.stay("alice");
    let said = machine.berth("freeze alice").refused();
    assert_eq!(said.status.code(), Some(5), "{said:?}");
    let user = machine.cgroups().user(machine.uid("alice"));
    assert!(
        said.stderr.contains(&format!("{}", user.display())),
        "{said:?}"
    );
    let own = sleep.cgroup().expect("a cgroup");
    let (_, id) = own.rsplit_once('/').expect("a session");
    let shown = machine.berth(&format!("show {id}")).ok();
    assert!(shown.contains("    State: frozen\n"), "{shown}");
    machine.su("alice", "true").refused();
    machine.berth("thaw alice").ok();
    login.end();
}

/// Nor may one in a place whose name is no text, which stands in everybody's mount table.
#[test]
fn a_mount_point_whose_name_is_no_text_keeps_nobody_out() {
    Machine::run(|machine| {
        mount_of_alices(machine, "$(printf '/home/alice/\\377')", "");
        for user in ["alice", "bob"] {
            assert_eq!(machine.ssh(user, "echo in").ok(), "in");
        }
        let said = machine.berth("doctor").stdout;
        assert!(said.contains("v2 at "), "{said}");
        assert!(eventually(|| machine
            .host("ls /run/berth/sessions")
            .ok()
            .is_empty()));
    });
}

/// A program has the name by which it was called.
#[test]
fn a_login_program_whose_name_is_no_text_leads_in_all_the_same() {
    Machine::run(|machine| {
        let said = machine.host(
            "ln -s $(command -v su) $(printf '/srv/\\377'); exec /srv/?* alice -c 'echo $BERTH_SESSION; readlink /proc/self/ns/pid'",
        );
        let said = said.ok();
        let (session, namespace) = said.split_once('\n').expect("a session");
        assert!(session.parse::<u32>().is_ok(), "{said}");
        assert_ne!(namespace, machine.host("readlink /proc/self/ns/pid").ok());
        let ended = machine.logged(&format!("close session={session}"));
        assert!(ended.contains("result=ok"), "{ended}");
    });
}

/// A program of a user's may be in a file system of theirs. One below an overlay in a user namespace of theirs asks its server
/// for root too, who would wait for ever.
#[test]
fn a_look_at_what_users_run_waits_for_no_file_system_of_theirs() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            profile: "penalty = \"hog\"".into(),
            rest: "[penalty.hog]\ncpu_above = \"50%\"\nwindow = \"1min\"\nsteps = [\"50%\"]\nstep_time = \"1h\"\n\
                   forget = \"1h\"\nexcept = [\"/usr/bin/**\", \"/bin/**\"]\n"
                .into(),
            ..Policy::default()
        });
        machine.berth("reload").ok();
        let (login, inside) = machine.stay("alice");
        let looks = |command: &str| -> Vec<String> {
            let said = machine.host(&format!(
                "strace -f -qq -o /berth/looks -e trace=%file,statx /berth/berth {command}; cat /berth/looks"
            ));
            let program = format!("/proc/{}/exe\"", inside.0);
            let looks = said.stdout.lines().filter(|look| look.contains(&program));
            let looks = looks.filter(|look| !look.contains("readlink"));
            looks.map(str::to_owned).collect()
        };
        let waits = |look: &&String| !look.contains("AT_STATX_DONT_SYNC");
        let round = looks("apply --due --helper /berth/berth-helper");
        assert!(!round.is_empty());
        assert_eq!(round.iter().find(waits), None);
        // Which looks for a cron, where there is a job for one.
        machine
            .host("mkdir -p /etc/cron.d; touch /etc/cron.d/berth")
            .ok();
        assert!(machine.berth("doctor").stdout.contains("no cron runs"));
        assert_eq!(looks("doctor").iter().find(waits), None);
        login.end();
    });
}
