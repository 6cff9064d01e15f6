//! Keys of before, and of the user's outside.

use std::ffi::CStr;

use nix::errno::Errno;

use super::Promise::{Nothing, UserNamespace};
use super::Without::NoBerth;
use super::{Attempt, Verdict, call, pointer, system_call};

// From linux/keyctl.h.
const GET_KEYRING_ID: u64 = 0;
const JOIN_SESSION: u64 = 1;
const LINK: u64 = 8;
const SEARCH: u64 = 10;
const READ: u64 = 11;
const GET_PERSISTENT: u64 = 22;
const SESSION: u64 = -3_i64 as u64;
const USER: u64 = -4_i64 as u64;
const USER_SESSION: u64 = -5_i64 as u64;
const PROCESS: u64 = -2_i64 as u64;

/// What the stage calls its key in the session keyring of before, in the user's, and in the persistent one.
const OF_BEFORE: &CStr = c"of-before";
const OF_THE_USER: &CStr = c"of-the-user";
/// A keyring of a process of the user's outside, and the key in it.
const NAMED: &CStr = c"ring-of-the-user";
const IN_NAMED: &CStr = c"in-the-ring";

/// A key's owner is a UID of the host's, also for who is in a user namespace. Only names are looked up by namespace.
const BY_NUMBER: super::Promise =
    Nothing("the kernel finds a key by its number for all who have its owner's UID");

pub const ATTEMPTS: &[Attempt] = &[
    call("session", "a key in the session keyring of before", |_| {
        search(SESSION, OF_BEFORE)
    })
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call("requested", "the same by request_key", |_| {
        let arguments = [pointer(c"user"), pointer(OF_BEFORE), 0, 0];
        Verdict::of(system_call(libc::SYS_request_key, &arguments))
    })
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call("user", "a key in the user's keyring outside", |_| {
        search(USER, OF_THE_USER)
    })
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call(
        "user-session",
        "a key in the user's session keyring outside",
        |_| search(USER_SESSION, OF_THE_USER),
    )
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call(
        "persistent",
        "a key in the user's persistent keyring outside",
        |_| {
            let got = system_call(libc::SYS_keyctl, &[GET_PERSISTENT, u64::MAX, PROCESS]);
            match got {
                Ok(ring) => search(ring as u64, OF_THE_USER),
                Err(errno) => Verdict::of::<()>(Err(errno)),
            }
        },
    )
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call(
        "named",
        "a session keyring of the user's outside that has a name",
        |_| {
            // One of this name is made where there is none.
            let joined = system_call(libc::SYS_keyctl, &[JOIN_SESSION, pointer(NAMED)]);
            joined.expect("a session keyring");
            search(SESSION, IN_NAMED)
        },
    )
    .stopped_by(&["ENOKEY"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call(
        "serial",
        "reading a key of the user's outside by its number",
        |to| read(to.number("SERIAL").into()),
    )
    .promised_by(BY_NUMBER)
    .without(NoBerth),
    call(
        "ring-by-serial",
        "the user's keyring outside by its number",
        |to| {
            let ring = to.number("RING").into();
            let linked = system_call(libc::SYS_keyctl, &[LINK, ring, own_ring()]);
            match linked {
                Ok(_) => search(PROCESS, OF_THE_USER),
                Err(errno) => Verdict::of::<()>(Err(errno)),
            }
        },
    )
    .promised_by(BY_NUMBER)
    .without(NoBerth),
    call("listed", "keys of the user's outside in /proc/keys", |_| {
        let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        Verdict::found(
            keys.lines()
                .find(|line| line.contains("of-the-user"))
                .map(str::to_owned),
        )
    })
    .promised_by(BY_NUMBER)
    .without(NoBerth),
];

/// The process's keyring, which is made where there is none.
fn own_ring() -> u64 {
    let _ = system_call(libc::SYS_keyctl, &[GET_KEYRING_ID, PROCESS, 1]);
    PROCESS
}

fn search(ring: u64, name: &CStr) -> Verdict {
    let arguments = [SEARCH, ring, pointer(c"user"), pointer(name), 0];
    match system_call(libc::SYS_keyctl, &arguments) {
        Ok(key) => read(key as u64),
        Err(errno) => Verdict::of::<()>(Err(errno)),
    }
}

fn read(key: u64) -> Verdict {
    let mut bytes = [0_u8; 32];
    let arguments = [READ, key, bytes.as_mut_ptr() as u64, bytes.len() as u64];
    let got: Result<i64, Errno> = system_call(libc::SYS_keyctl, &arguments);
    Verdict::of(got)
}
