//! Trying what a session must not be able to do.

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mqueue::{MQ_OFlag, mq_open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid, getuid};

use crate::say;

fn outcome(result: Result<impl Sized, Errno>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// Types a text into the terminal on standard input, as if the user had.
pub fn type_into_terminal(text: &str) {
    let mut result = Ok(0);
    for byte in text.bytes().chain([b'\n']) {
        // SAFETY: the kernel reads one byte, which lives through the call.
        result = Errno::result(unsafe { libc::ioctl(0, libc::TIOCSTI, &raw const byte) });
    }
    say(&outcome(result));
}

/// Makes a user namespace, by one of the calls that can.
pub fn user_namespace(call: &str) {
    let result = match call {
        "unshare" => unshare(CloneFlags::CLONE_NEWUSER).map(|()| 0),
        "clone" => spawn(
            libc::SYS_clone,
            &[libc::CLONE_NEWUSER as u64 | 17, 0, 0, 0, 0],
        ),
        "clone3" => {
            let mut arguments = [0_u64; 8];
            arguments[0] = libc::CLONE_NEWUSER as u64;
            arguments[4] = 17;
            let pointer = arguments.as_ptr() as u64;
            spawn(libc::SYS_clone3, &[pointer, 64, 0, 0, 0])
        }
        _ => Err(Errno::EINVAL),
    };
    say(&outcome(result));
}

fn spawn(number: libc::c_long, arguments: &[u64; 5]) -> Result<i64, Errno> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: without CLONE_VM this is fork: the child has a copy of everything.
    let child = Errno::result(unsafe { libc::syscall(number, *a, *b, *c, *d, *e) })?;
    if child == 0 {
        std::process::exit(0);
    }
    Ok(child)
}

/// Makes each of two paths the other, again and again.
pub fn swap(one: &str, other: &str) {
    say("swapping");
    loop {
        let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
        // One that is refused is tried again.
        let _ = nix::fcntl::renameat2(AT_FDCWD, one, AT_FDCWD, other, flags);
    }
}

/// Says whether a POSIX message queue of this name can be seen.
pub fn queue_exists(name: &str) {
    let result = mq_open(name, MQ_OFlag::O_RDONLY, Mode::empty(), None);
    say(&outcome(result));
}

/// Says as whom this runs. A setuid program's effective user is its owner.
pub fn who() {
    say(&format!(
        "uid {} euid {} egid {}",
        getuid(),
        geteuid(),
        getegid()
    ));
}
