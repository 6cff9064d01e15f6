//! What a session leaves under /run and /var/lib while it is on, what others read in it, and that all of it goes.
//!
//! Each test runs again in a process that has these folders to itself, and sees no other.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use berth_protocol::{Instruction, install_filter};
use berth_session::systemd::{take_back, who_goes_on};
use berth_session::{
    Backend, Leftover, NamespaceIds, PRIVATE_TMP, RECORDS, Record, Role, STATE, SessionId, State,
    Tree, UserFolder, make_private_tmp, private_tmp, stat_of, sweep, sweep_until,
};

#[path = "../../tests/src/apart.rs"]
mod apart;

/// A cap that systemd has of UID 1001, and what stood there before.
const DROP_IN: &str = "/run/systemd/system.control/user-1001.slice.d/50-TasksMax.conf";
const BEFORE: &str =
    r#"[{"property":{"name":"TasksMax","value":{"number":50}},"has_drop_in":false}]"#;

/// Runs a test with a /run, a /var/lib and PIDs of its own.
#[track_caller]
fn alone<T: FnOnce()>(test: T) {
    if apart::is_apart() {
        Record::prepare().unwrap();
    }
    let mounts = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec \"$@\"";
    let mut through = "unshare --mount --pid --fork --mount-proc sh -ec"
        .split(' ')
        .collect::<Vec<_>>();
    through.extend([mounts, "sh"]);
    apart::apart(&through, test);
}

fn id(number: u64) -> SessionId {
    number.to_string().parse().unwrap()
}

/// A session of UID 1001's that this process keeps.
fn record(number: u64) -> Record {
    let me = Role::of(std::process::id() as i32).unwrap();
    Record {
        id: id(number),
        user: "alice".into(),
        uid: 1001,
        service: "sshd".into(),
        tty: "pts/3".into(),
        rhost: "192.0.2.7".into(),
        ruser: "carol".into(),
        profile: "student".into(),
        rule: None,
        user_rule: None,
        pool: None,
        policy: None,
        opened: 1_795_511_527,
        state: State::Active,
        leader: me,
        keeper: me,
        init: None,
        cgroup: Some(format!("berth/user-1001/sessions/{number}").into()),
        namespaces: NamespaceIds::default(),
    }
}

/// One that nobody keeps any more.
fn dead(number: u64) -> Record {
    let mut record = record(number);
    record.keeper.start -= 1;
    record
}

/// The lock of a user that nobody holds, or soon lets go.
fn lock(uid: u32) -> berth_session::Result<UserFolder> {
    UserFolder::lock_until(uid, Instant::now() + UserFolder::PATIENCE)
}

/// Writes a record and enters the session.
fn enter(record: &Record) {
    record.write().unwrap();
    let folder = lock(record.uid).unwrap();
    folder.add(record.id).unwrap();
}

/// A tree of folders.
fn tree() -> Tree {
    Tree::at("/run/tree".into(), Backend::Cgroupfs)
}

fn cgroup(below: &str) -> PathBuf {
    let path = Path::new("/run/tree").join(below);
    fs::create_dir_all(&path).unwrap();
    path
}

fn can_read(uid: u32, path: &Path) -> bool {
    let user = [format!("--reuid={uid}"), "--regid=100".into()];
    let mut reader = Command::new("setpriv");
    let reader = reader.args(user).args(["--clear-groups", "cat"]).arg(path);
    reader.output().unwrap().status.success()
}

#[test]
fn a_record_is_what_was_written_and_its_users_and_roots_alone_to_read() {
    alone(|| {
        assert_eq!(Record::ids().unwrap(), []);
        let mut one = record(12);
        (one.namespaces.pid, one.namespaces.user) = (Some(4026532201), Some(4026532202));
        one.write().unwrap();
        assert_eq!(one.namespaces.kinds(), ["user", "pid"]);
        assert_eq!(Record::read(one.id).unwrap(), one);
        let path = Record::path(one.id);
        assert!(can_read(1001, &path) && !can_read(1002, &path));
        record(9).write().unwrap();
        // What is still being written, or is none, is no session.
        fs::write("/run/berth/sessions/.13", "{").unwrap();
        fs::write("/run/berth/sessions/x", "").unwrap();
        assert_eq!(Record::ids().unwrap(), [id(9), id(12)]);
        let before = Record::files().unwrap();
        Record::leave_cgroup_alone(id(12)).unwrap();
        let cgroup = None;
        assert_eq!(
            Record::read(id(12)).unwrap(),
            Record {
                cgroup,
                ..one.clone()
            }
        );
        let after = Record::files().unwrap();
        assert!(before[0] == after[0] && before[1].0 == after[1].0 && before[1] != after[1]);
        fs::write(&path, "{").unwrap();
        assert!(Record::read(id(12)).is_err());
        assert!(Record::read(id(13)).unwrap_err().is_not_found());
        fs::remove_dir_all(STATE).unwrap();
        assert_eq!(Record::ids().unwrap(), []);
        // Made anew, and no harm done to one that is there; in something else's place there can be none.
        Record::prepare().unwrap();
        one.write().unwrap();
        Record::prepare().unwrap();
        assert_eq!(Record::read(one.id).unwrap(), one);
        fs::remove_dir_all(STATE).unwrap();
        fs::write(STATE, "").unwrap();
        Record::prepare().unwrap_err();
        Record::ids().unwrap_err();
    });
}

#[test]
fn a_process_that_cannot_be_looked_at_is_neither_alive_nor_gone() {
    alone(|| {
        let me = record(1).keeper;
        assert!(me.is_alive() && !me.is_gone());
        let mut command = Command::new("prlimit");
        command.args(["--nofile=0:", "--pid", &me.pid.to_string()]);
        assert!(command.status().unwrap().success());
        assert!(!me.is_alive() && !me.is_gone());
    });
}

#[test]
fn logins_are_the_sessions_that_somebody_keeps_and_that_the_user_is_in() {
    alone(|| {
        assert_eq!(UserFolder::logins_of(1001).unwrap(), 0);
        for number in [1, 7, 8] {
            enter(&record(number));
        }
        enter(&dead(2));
        let (mut lingering, mut manager) = (record(3), record(4));
        lingering.state = State::Linger;
        manager.service = "systemd-user".into();
        enter(&lingering);
        enter(&manager);
        // Where /run was full its record still says that it is active.
        let mut over = record(10);
        over.leader = dead(10).keeper;
        enter(&over);
        assert_eq!(UserFolder::logins_of(1001).unwrap(), 3);
        // One that cannot be looked at may be on; one without a record is not.
        for number in [5, 6, 9] {
            enter(&record(number));
        }
        fs::write(Record::path(id(5)), "{").unwrap();
        for number in [6, 9] {
            fs::remove_file(Record::path(id(number))).unwrap();
        }
        let folder = lock(1001).unwrap();
        assert_eq!(folder.logins().unwrap(), 4);
        let mut sessions = folder.sessions().unwrap();
        sessions.sort();
        assert_eq!(sessions, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(id));
        let abandoned = sessions.into_iter().filter(|id| Record::is_abandoned(*id));
        assert_eq!(abandoned.collect::<Vec<_>>(), [2, 6, 9].map(id));
        drop(UserFolder::lock_everyone().unwrap());
        drop(lock(7).unwrap());
        assert_eq!(UserFolder::uids().unwrap(), [7, 1001]);
        assert_eq!(UserFolder::logins_of(7).unwrap(), 0);
        assert!(folder.add(id(5)).is_err(), "it is there");
        fs::write("/run/berth/users/8", "").unwrap();
        UserFolder::logins_of(8).unwrap_err();
    });
}

#[test]
fn a_users_folder_is_one_processs_at_a_time_and_goes_with_the_last_session() {
    alone(|| {
        enter(&record(1));
        enter(&record(2));
        let folder = lock(1001).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let another = || {
            let mut lock = Command::new("flock");
            let lock = lock.arg("--nonblock").arg(&path).arg("true");
            lock.status().unwrap().success()
        };
        assert!(!another());
        for berth in ["berth-1", "logins-1"] {
            File::create(path.join(berth)).unwrap();
        }
        folder.remove(id(1)).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        drop(folder);
        assert!(another());
        let folder = lock(1001).unwrap();
        for _ in 0..2 {
            folder.remove(id(2)).unwrap();
            folder.remove_if_empty().unwrap();
            assert!(!path.exists());
        }
        drop(folder);
        // Somebody has removed all: the next session makes it anew. Through a link in its place goes nothing.
        fs::remove_dir_all(STATE).unwrap();
        drop(lock(1001).unwrap());
        fs::remove_dir(&path).unwrap();
        fs::create_dir("/run/elsewhere").unwrap();
        std::os::unix::fs::symlink("/run/elsewhere", &path).unwrap();
        lock(1001).unwrap_err();
        // Nor for ever where the folders above cannot be made.
        fs::remove_dir_all("/run/berth/users").unwrap();
        std::os::unix::fs::symlink("/run/nowhere", "/run/berth/users").unwrap();
        lock(1001).unwrap_err();
    });
}

#[test]
fn what_cannot_be_removed_of_a_session_is_told() {
    alone(|| {
        let folder = lock(1001).unwrap();
        fs::create_dir(folder.path().join("1")).unwrap();
        folder.remove(id(1)).unwrap_err();
        fs::remove_dir_all(folder.path()).unwrap();
        folder.remove_if_empty().unwrap();
        fs::write(folder.path(), "").unwrap();
        folder.remove_if_empty().unwrap_err();
    });
}

#[test]
fn with_a_session_go_its_cgroups_its_tmp_and_its_record_and_nothing_of_another() {
    alone(|| {
        for number in [12, 13] {
            enter(&record(number));
            let tmp = make_private_tmp(id(number)).unwrap();
            fs::write(tmp.join("file"), "").unwrap();
            cgroup(&format!("berth/user-1001/sessions/{number}"));
            cgroup(&format!("berth/user-1001/rescue/{number}"));
        }
        let is_there = |number: u64| {
            let session = format!("/run/tree/berth/user-1001/sessions/{number}");
            let entry = format!("/run/berth/users/1001/{number}");
            let traces = [Record::path(id(number)), private_tmp(id(number))];
            let traces = traces.into_iter().chain([session.into(), entry.into()]);
            traces.map(|trace| trace.exists()).collect::<Vec<_>>()
        };
        sweep(Some(&tree()), 1001, id(12)).unwrap();
        assert_eq!(
            (is_there(12), is_there(13)),
            (vec![false; 4], vec![true; 4])
        );
        // Something that stays in its cgroup: so does what says that there was a session.
        let stays = cgroup("berth/user-1001/sessions/13/below");
        sweep(Some(&tree()), 1001, id(13)).unwrap_err();
        assert!(Record::path(id(13)).exists() && !private_tmp(id(13)).exists());
        fs::remove_dir(stays).unwrap();
        sweep(Some(&tree()), 1001, id(13)).unwrap();
        assert_eq!(is_there(13), [false; 4]);
        assert!(
            !Path::new("/run/tree/berth").exists() && !Path::new("/run/berth/users/1001").exists()
        );
        sweep(Some(&tree()), 1001, id(13)).unwrap();
    });
}

#[test]
fn nothing_of_a_users_goes_without_the_users_lock() {
    alone(|| {
        record(1).write().unwrap();
        let session = cgroup("berth/user-1001/sessions/1");
        std::os::unix::fs::symlink("/run/elsewhere", "/run/berth/users/1001").unwrap();
        sweep(Some(&tree()), 1001, id(1)).unwrap_err();
        assert!(
            session.exists(),
            "a login may be about to use what is above it"
        );
        assert!(
            Record::path(id(1)).exists(),
            "or nothing says that it is left"
        );
        fs::remove_file("/run/berth/users/1001").unwrap();
        sweep(Some(&tree()), 1001, id(1)).unwrap();
        assert!(!Path::new("/run/tree/berth").exists() && !Record::path(id(1)).exists());
    });
}

/// Has somebody take a user's lock who does not let it go.
fn hold_lock(of: u32, options: &[&str]) -> Child {
    let mut flock = Command::new("flock");
    flock.args(options).arg(format!("{STATE}/users/{of}"));
    flock.args(["sh", "-c", "echo held; exec sleep 60"]);
    let mut holder = flock.stdout(Stdio::piped()).spawn().unwrap();
    let told = holder.stdout.as_mut().unwrap();
    BufReader::new(told).read_line(&mut String::new()).unwrap();
    holder
}

#[test]
fn a_lock_that_somebody_does_not_let_go_is_not_waited_for_and_its_holder_is_named() {
    alone(|| {
        enter(&dead(1));
        let mut holder = hold_lock(1001, &["--no-fork"]);
        let told = sweep(Some(&tree()), 1001, id(1)).unwrap_err().to_string();
        let by = format!("/users/1001: process {} holds it", holder.id());
        assert!(told.contains(&by) && told.contains("kill -KILL"), "{told}");
        assert!(Record::path(id(1)).exists());
        holder.kill().unwrap();
        holder.wait().unwrap();
        // Who has it from somebody who has ended is not named.
        let mut locker = hold_lock(1001, &[]);
        locker.kill().unwrap();
        locker.wait().unwrap();
        let told = UserFolder::lock_until(1001, Instant::now()).unwrap_err();
        let told = told.to_string();
        assert!(told.contains("a process that /proc/locks"), "{told}");
        assert!(UserFolder::lock_until(1002, Instant::now()).is_ok());
    });
}

#[test]
fn who_has_lost_all_patience_elsewhere_waits_a_moment_for_each_lock_and_has_nobody_killed() {
    alone(|| {
        fs::create_dir_all(format!("{STATE}/users/1001")).unwrap();
        let mut holder = hold_lock(1001, &["--no-fork"]);
        let left = Cell::new(Duration::from_nanos(1));
        let begun = Instant::now();
        let told = UserFolder::lock_within(1001, &left).unwrap_err();
        // No load makes it less.
        assert!(begun.elapsed() >= Duration::from_millis(100));
        let told = told.to_string();
        assert!(told.contains(&format!("process {}", holder.id())), "{told}");
        assert!(!told.contains("kill"), "{told}");
        assert!(left.get().is_zero());
        // Whose patience has no end has it in the end.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(500));
                holder.kill().and_then(|()| holder.wait()).unwrap()
            });
            left.set(Duration::MAX);
            UserFolder::lock_within(1001, &left).unwrap();
        });
    });
}

#[test]
fn a_private_tmp_is_empty_and_no_users_to_reach_from_outside() {
    alone(|| {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // Twice of an earlier boot: an id begins anew at each.
        for _ in 0..3 {
            let tmp = make_private_tmp(id(1)).unwrap();
            assert_eq!((mode(Path::new(PRIVATE_TMP)), mode(&tmp)), (0o700, 0o700));
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
            fs::create_dir(tmp.join("of-before")).unwrap();
        }
        sweep(None, 1001, id(1)).unwrap();
        assert_eq!(fs::read_dir(PRIVATE_TMP).unwrap().count(), 0);
    });
}

#[test]
fn what_nobody_keeps_is_found_and_removed_and_the_living_are_left_alone() {
    alone(|| {
        enter(&record(1));
        make_private_tmp(id(1)).unwrap();
        enter(&dead(2));
        cgroup("berth/user-1001/sessions/2");
        enter(&record(3));
        fs::write(Record::path(id(3)), "{").unwrap(); // may be alive
        fs::write("/run/berth/sessions/.4", "{").unwrap();
        make_private_tmp(id(5)).unwrap();
        let folder = lock(1001).unwrap();
        folder.add(id(6)).unwrap();
        drop(folder);
        fs::rename(
            make_private_tmp(id(8)).unwrap(),
            private_tmp(id(8)).with_file_name("stale-8"),
        )
        .unwrap();
        let told = |left: &Leftover| (left.id, left.user.clone(), left.traces.len());
        let left = Leftover::find().unwrap();
        assert_eq!(
            left.iter().map(told).collect::<Vec<_>>(),
            [
                (id(2), Some("alice".into()), 2),
                (id(4), None, 1),
                (id(5), None, 1),
                (id(6), None, 1),
                (id(8), None, 1),
            ]
        );
        // Of what has no record nothing goes while there is a process of Berth's that nobody knows: it may keep that.
        fs::copy("/bin/sh", "/run/berth-helper").unwrap();
        let mut standby = Command::new("/run/berth-helper");
        standby.args(["-c", "sleep 60 & echo $!; wait"]);
        let mut standby = standby.stdout(Stdio::piped()).spawn().unwrap();
        let mut keeper = String::new();
        let told = standby.stdout.as_mut().unwrap();
        BufReader::new(told).read_line(&mut keeper).unwrap();
        let removed = Leftover::remove_all(&left, Some(&tree()));
        let removed: Vec<bool> = removed.iter().map(Result::is_ok).collect();
        // But what was put aside is nobody's.
        let go = |one: &Leftover| [id(2), id(8)].contains(&one.id);
        assert_eq!(removed, left.iter().map(go).collect::<Vec<_>>());
        // A keeper's parent is known.
        let mut kept = record(7);
        kept.keeper = Role::of(keeper.trim().parse().unwrap()).unwrap();
        kept.write().unwrap();
        // And of other names, and of other people's, there may be any.
        let mut roots = Command::new("sleep").arg("60").spawn().unwrap();
        let mut users = Command::new("setpriv");
        users.args(["--reuid=1001", "--clear-groups", "/run/berth-helper"]);
        let mut users = users.args(["-c", "sleep 60; true"]).spawn().unwrap();
        // A user can start a setuid program by a link of any name, too.
        fs::copy("/bin/sleep", "/run/setuid").unwrap();
        fs::set_permissions("/run/setuid", PermissionsExt::from_mode(0o4755)).unwrap();
        fs::create_dir("/run/users").unwrap();
        std::os::unix::fs::symlink("/run/setuid", "/run/users/berth-helper").unwrap();
        let start = || {
            let mut setuid = Command::new("setpriv");
            setuid.args(["--reuid=1001", "--clear-groups", "/run/users/berth-helper"]);
            let setuid = setuid.arg("60").spawn().unwrap();
            let comm = format!("/proc/{}/comm", setuid.id());
            while fs::read_to_string(&comm).unwrap() != "berth-helper\n" {
                std::thread::sleep(Duration::from_millis(1));
            }
            setuid
        };
        let (mut setuid, mut zombie) = (start(), start());
        // And never wait for it.
        zombie.kill().unwrap();
        let stat = || stat_of(zombie.id() as i32).unwrap().unwrap();
        while !stat().has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // One that began after the look is none.
        record(5).write().unwrap();
        for removed in Leftover::remove_all(&left, Some(&tree())) {
            removed.unwrap();
        }
        assert!(private_tmp(id(5)).exists() && private_tmp(id(1)).exists());
        assert!(!Path::new("/run/tree/berth/user-1001/sessions/2").exists());
        assert_eq!(Record::ids().unwrap(), [1, 3, 5, 7].map(id));
        assert_eq!(lock(1001).unwrap().sessions().unwrap().len(), 2);
        assert_eq!(Leftover::find().unwrap(), []);
        for process in [
            &mut standby,
            &mut roots,
            &mut users,
            &mut setuid,
            &mut zombie,
        ] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    });
}

#[test]
fn what_a_login_makes_while_leftovers_are_emptied_is_not_taken_for_one() {
    alone(|| {
        const FILES: usize = 20_000;
        let large = make_private_tmp(id(2)).unwrap();
        for file in 0..FILES {
            File::create(large.join(file.to_string())).unwrap();
        }
        let own = make_private_tmp(id(9)).unwrap();
        fs::write(own.join("of-before"), "").unwrap();
        // And one that was put aside at a boot before that.
        for aside in ["stale-9", "stale-stale-9"] {
            fs::create_dir(Path::new(PRIVATE_TMP).join(aside)).unwrap();
        }
        let left = Leftover::find().unwrap();
        let ids: Vec<SessionId> = left.iter().map(|one| one.id).collect();
        assert_eq!(ids, [2, 9].map(id));
        let login = std::thread::spawn(move || {
            loop {
                match fs::read_dir(&large).map(Iterator::count) {
                    Ok(files) if files < FILES => break,
                    Err(_) if !own.exists() => break,
                    _ => {}
                }
            }
            // Its record comes later.
            let own = make_private_tmp(id(9)).unwrap();
            fs::write(own.join("file"), "").unwrap();
            own
        });
        let removed = Leftover::remove_all(&left, Some(&tree()));
        let own = login.join().unwrap();
        assert!(own.join("file").exists() && removed.iter().all(Result::is_ok));
        assert_eq!(fs::read_dir(PRIVATE_TMP).unwrap().count(), 1);
    });
}

#[test]
fn a_record_that_cannot_be_read_or_written_anew_says_of_no_cgroup_that_it_is_the_sessions() {
    alone(|| {
        enter(&record(1));
        // As where there is no room: nothing can be written, and anything removed.
        fs::create_dir("/run/berth/sessions/.1").unwrap();
        Record::leave_cgroup_alone(id(1)).unwrap();
        let left = || Record::read(id(1)).map(|record| record.cgroup);
        assert!(left().is_err_and(|error| error.is_not_found()));
        fs::write(Record::path(id(1)), "{").unwrap();
        Record::leave_cgroup_alone(id(1)).unwrap();
        assert!(left().is_err_and(|error| error.is_not_found()));
    });
}

#[test]
fn a_session_without_a_cgroup_is_swept_where_all_cgroups_are_read_only() {
    alone(|| {
        fs::create_dir("/run/tree").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "ro", "none", "/run/tree"]);
        assert!(mount.status().unwrap().success());
        enter(&dead(1));
        sweep(Some(&tree()), 1001, id(1)).unwrap();
        assert!(!Record::path(id(1)).exists());
    });
}

#[test]
fn what_somebody_left_unfinished_who_was_killed_keeps_no_users_folder() {
    alone(|| {
        let tree = Tree::at("/run/tree".into(), Backend::Systemd);
        let folder = lock(1001).unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("before.new"), "[").unwrap();
        take_back(&tree, folder, 1001).unwrap();
        assert!(!path.exists());
    });
}

#[test]
fn caps_stay_on_what_outlives_its_users_last_login_until_it_ends() {
    alone(|| {
        let tree = Tree::at("/run/tree".into(), Backend::Systemd);
        let start_manager = || {
            let slice = cgroup("user.slice/user-1001.slice");
            fs::write(slice.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        };
        let take_back = || take_back(&tree, lock(1001).unwrap(), 1001).unwrap();
        let drop_in = Path::new(DROP_IN);
        let users = Path::new(STATE).join("users");
        for whose in ["1001", "everyone"] {
            let before_file = users.join(whose).join("before");
            fs::create_dir_all(users.join(whose)).unwrap();
            fs::write(&before_file, BEFORE).unwrap();
            fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
            fs::write(drop_in, "").unwrap();
            enter(&dead(1));
            start_manager();
            take_back();
            assert_eq!(who_goes_on().unwrap(), [0; 0], "{whose}: a session is on");
            // The last one ends, and the manager goes on.
            for _ in 0..2 {
                sweep(Some(&tree), 1001, id(1)).unwrap();
                assert!(before_file.exists() && drop_in.exists(), "{whose}");
                assert_eq!(who_goes_on().unwrap(), [1001], "{whose}");
            }
            // A login comes, and ends with the manager.
            enter(&dead(2));
            fs::remove_dir_all("/run/tree").unwrap();
            sweep(Some(&tree), 1001, id(2)).unwrap();
            assert_eq!(who_goes_on().unwrap(), [0; 0], "{whose}");
            assert!(
                !before_file.exists() && !users.join("1001").exists(),
                "{whose}"
            );
            assert_eq!(drop_in.exists(), whose == "everyone");
        }
        // Where there are no caps nobody has to come again.
        start_manager();
        take_back();
        assert!(!users.join("1001").exists());
    });
}

/// A login's roll-back tries once.
#[test]
fn caps_that_cannot_be_taken_back_with_the_last_session_are_by_who_asks_again() {
    alone(|| {
        let tree = Tree::at("/run/tree".into(), Backend::Systemd);
        enter(&dead(1));
        let folder = Path::new(STATE).join("users/1001");
        fs::write(folder.join("before"), BEFORE).unwrap();
        // Nothing that a file's removal removes.
        fs::create_dir_all(DROP_IN).unwrap();
        sweep(Some(&tree), 1001, id(1)).unwrap_err();
        assert_eq!(who_goes_on().unwrap(), [1001]);
        fs::remove_dir(DROP_IN).unwrap();
        take_back(&tree, lock(1001).unwrap(), 1001).unwrap();
        assert!(!folder.exists());
    });
}

#[test]
fn under_systemd_nothing_of_a_session_goes_while_it_cannot_be_seen_which_unit_it_is_in() {
    alone(|| {
        let tree = Tree::at("/run/tree".into(), Backend::Systemd);
        enter(&record(1));
        let tmp = make_private_tmp(id(1)).unwrap();
        // As where there is no descriptor: the record is there, and cannot be read.
        fs::remove_file(Record::path(id(1))).unwrap();
        std::os::unix::fs::symlink("1", Record::path(id(1))).unwrap();
        sweep(Some(&tree), 1001, id(1)).unwrap_err();
        let traces = [tmp, Path::new("/run/berth/users/1001/1").into()];
        assert!(traces.iter().all(|trace| trace.exists()));
        assert!(Record::path(id(1)).is_symlink());
        fs::remove_file(Record::path(id(1))).unwrap();
        sweep(Some(&tree), 1001, id(1)).unwrap();
        assert!(!traces.iter().any(|trace| trace.exists()));
    });
}

#[test]
fn what_there_is_no_time_to_remove_is_found_again_and_goes_in_the_end() {
    alone(|| {
        enter(&dead(1));
        let tmp = make_private_tmp(id(1)).unwrap();
        fs::create_dir_all(tmp.join("tmp/1/2")).unwrap();
        let group = cgroup("berth/user-1001/sessions/1");
        let populate = |populated| {
            let events = format!("populated {populated}\nfrozen 0\n");
            fs::write(group.join("cgroup.events"), events).unwrap();
        };
        // Who waits for a server that does not answer is not waited for either.
        populate(1);
        let now = Some(Instant::now());
        sweep_until(Some(&tree()), 1001, id(1), now).unwrap_err();
        populate(0);
        sweep_until(Some(&tree()), 1001, id(1), now).unwrap_err();
        assert!(tmp.join("tmp/1/2").exists() && Record::is_abandoned(id(1)));
        assert_eq!(lock(1001).unwrap().sessions().unwrap(), [id(1)]);
        sweep_until(
            None,
            1001,
            id(1),
            Some(Instant::now() + Duration::from_secs(600)),
        )
        .unwrap();
        assert!(!tmp.exists() && !Record::path(id(1)).exists());
    });
}

/// logind counts its sessions anew when it is started.
#[test]
fn a_unit_that_has_the_name_of_a_session_that_is_over_is_left_alone() {
    alone(|| {
        let tree = Tree::at("/run/tree".into(), Backend::Systemd);
        let scope = "user.slice/user-1001.slice/session-c1.scope";
        enter(&Record {
            cgroup: Some(scope.into()),
            ..record(1)
        });
        // What is in use there does not go.
        let tmp = make_private_tmp(id(1)).unwrap();
        let run = |command: &str| {
            let mut words = command.split(' ');
            let ran = Command::new(words.next().unwrap()).args(words).status();
            assert!(ran.unwrap().success(), "{command}");
        };
        run(&format!("mount -t tmpfs none {}", tmp.display()));
        sweep(Some(&tree), 1001, id(1)).unwrap_err();
        let later = cgroup(scope);
        fs::write(later.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        run(&format!("umount {}", tmp.display()));
        // Nobody is asked to kill it: there is no systemd here.
        sweep(Some(&tree), 1001, id(1)).unwrap();
        assert!(!Record::path(id(1)).exists());
    });
}

#[test]
fn users_can_read_their_records_whatever_the_umask_of_who_makes_the_folders() {
    alone(|| {
        fs::remove_dir_all(STATE).unwrap();
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        Record::prepare().unwrap();
        for folder in [STATE, RECORDS] {
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "{folder}");
        }
    });
}

/// Answers EIO to a system call of this test's.
fn fail_from_here_on(call: i64) {
    let step = |code, jf, k: i64| Instruction {
        code,
        jt: 0,
        jf,
        k: k as u32,
    };
    let filter = [
        step(0x20, 0, 0),
        step(0x15, 1, call),
        step(6, 0, 0x0005_0000 | nix::libc::EIO as i64),
        step(6, 0, 0x7fff_0000),
    ];
    install_filter(&filter).unwrap();
}

#[test]
fn of_a_folder_that_cannot_be_read_to_its_end_nobody_is_taken_for_gone() {
    alone(|| {
        enter(&record(1));
        let folder = lock(1001).unwrap();
        fail_from_here_on(nix::libc::SYS_getdents64);
        folder.sessions().unwrap_err();
        UserFolder::logins_of(1001).unwrap_err();
        UserFolder::uids().unwrap_err();
        Record::ids().unwrap_err();
        Leftover::find().unwrap_err();
        let under_systemd = Tree::at("/run/tree".into(), Backend::Systemd);
        take_back(&under_systemd, folder, 1001).unwrap_err();
        // A pool's users, of whom the cgroup may be.
        fs::create_dir_all("/run/tree/berth/pool-cs101/user-1001/sessions/1").unwrap();
        sweep(Some(&tree()), 1001, id(1)).unwrap_err();
        assert!(Record::path(id(1)).exists());
    });
}

#[test]
fn what_nobody_could_look_at_is_not_taken_for_gone() {
    alone(|| {
        enter(&record(1));
        fs::create_dir_all("/run/tree/berth/pool-cs101/user-1001/sessions/1").unwrap();
        fail_from_here_on(nix::libc::SYS_statx);
        tree().existing_user(1001).unwrap_err();
        sweep(Some(&tree()), 1001, id(1)).unwrap_err();
        assert!(fs::read(Record::path(id(1))).is_ok());
    });
}

#[test]
fn the_cgroup_of_a_process_is_seen_whatever_its_name_as_long_as_it_is_there() {
    alone(|| {
        let tree = Tree::find().unwrap();
        let name = format!("berth-test-{} (deleted)", std::process::id());
        let group = tree.root().child(&name);
        group.create().unwrap();
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = process.id() as i32;
        group.write("cgroup.procs", &pid.to_string()).unwrap();
        assert_eq!(tree.of_process(pid).unwrap(), Some(group.clone()));
        process.kill().unwrap();
        // A zombie stays where it was, when that is gone.
        while !group.remove().unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(tree.of_process(pid).unwrap(), None);
        process.wait().unwrap();
    });
}
