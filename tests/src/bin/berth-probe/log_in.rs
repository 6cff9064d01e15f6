//! Being a PAM application, of the kinds that no ordinary program is.

use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use berth_tests::Session;
use nix::unistd::{User, initgroups, setgid, setuid};

use crate::{hold_on, say};

fn open(service: &str, user: &str) -> Session {
    match Session::open(service, user) {
        Ok(session) => session,
        Err(error) => {
            say(&error);
            std::process::exit(1);
        }
    }
}

/// Becomes the user and their program without a fork, as systemd does for a unit with `PAMName=`.
pub fn exec_in_place(service: &str, name: &str, program: &[&str]) {
    let _session = open(service, name);
    let user = User::from_name(name).expect("NSS").expect("a user");
    let c_name = CString::new(name).expect("a name");
    initgroups(&c_name, user.gid).expect("initgroups");
    setgid(user.gid).expect("setgid");
    setuid(user.uid).expect("setuid");
    let (program, arguments) = program.split_first().expect("a program");
    let error = Command::new(program).args(arguments).exec();
    say(&format!("{program}: {error}"));
    std::process::exit(1);
}

/// Opens a session, closes it at the end of a line of standard input, and lives on.
pub fn open_close_stay(service: &str, name: &str) {
    let session = open(service, name);
    say("open");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    session.close();
    say("closed");
    hold_on();
}

/// Opens two sessions of its own, and says what came of the second.
pub fn open_twice(service: &str, name: &str) {
    let _first = open(service, name);
    match Session::open(service, name) {
        Ok(_) => say("open"),
        Err(error) => say(&error),
    }
}

/// Opens a session while it has so many threads, says what came of it, and lives on as it is then.
pub fn open_among_threads(count: u64, service: &str, name: &str) {
    for _ in 1..count {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(1000)));
    }
    let session = Session::open(service, name);
    match &session {
        Ok(_) => say("open"),
        Err(error) => say(error),
    }
    let _ = std::io::stdin().read_line(&mut String::new());
    if let Ok(session) = session {
        session.close();
    }
}
