//! The loaded copy of a policy, damaged on the disk: it is as good as none, or a login does not see the damage.

use std::fs::File;
use std::io::Write;

use berth_config::{Login, Policy, fuzzing};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::damage::damaged;
use crate::{decide, input, policy};

/// A login's facts; a policy; what happens to its copy; an older policy, parts of whose copy may be left.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let mut parts = input::parts(&text).chain(std::iter::repeat(""));
    let mut next = || parts.next().unwrap_or_default();
    let (facts, new, script, old) = (next(), next(), next(), next());
    let Some(new) = policy::read(&[("policy.toml", new)]) else {
        return;
    };
    let old = policy::read(&[("policy.toml", old)]).unwrap_or_else(|| new.clone());
    let (login, machine) = (decide::login(facts), decide::machine(facts));
    let copies = [&new, &old].map(|policy| fuzzing::copy(policy).expect("a copy"));
    let ones = copies
        .clone()
        .map(|copy| fuzzing::read(copy).expect("a policy"));
    let damaged = damaged(&copies[0], &copies[1], script);

    // Whatever is believed of it is one of the two, whole: of the older one, if that is all that is left.
    let is_one = |read: &Policy| {
        let sha256 = |policy: &Policy| policy.loaded().map(|loaded| loaded.sha256.clone());
        let one = ones.iter().find(|one| sha256(one) == sha256(read));
        let one = one.expect("one of the two");
        assert_eq!(read.loaded(), one.loaded());
        assert_eq!(read.files(), one.files());
        assert_eq!(read.exempt(), one.exempt());
        assert_eq!(read.default_on_error(), one.default_on_error());
        let decided = |policy: &Policy| policy.decide(&login, &machine);
        assert_eq!(decided(read), decided(one));
        one
    };
    // By offset, as a login does, with little of the file read at once; and all at once.
    for start in [1 << 16, 700, damaged.len() / 2] {
        if let Some(read) = fuzzing::narrowed_in(file(&damaged), start, &login) {
            is_one(&read);
        }
    }
    if let Some(read) = String::from_utf8(damaged).ok().and_then(fuzzing::read) {
        let one = is_one(&read);
        assert_eq!(fuzzing::contents(&read), fuzzing::contents(one));
    }
    undamaged(&copies[0], &new, &login);
}

/// A copy that nothing happened to is read, however little of it at once.
fn undamaged(copy: &str, policy: &Policy, login: &Login) {
    let machine = policy::machine();
    let read = fuzzing::narrowed_in(file(copy.as_bytes()), 100, login).expect("a policy");
    assert_eq!(read.decide(login, &machine), policy.decide(login, &machine));
}

/// A file in memory.
fn file(bytes: &[u8]) -> File {
    let new = memfd_create(c"berth-fuzz", MFdFlags::MFD_CLOEXEC).expect("a file");
    let mut file = File::from(new);
    file.write_all(bytes).expect("written");
    file
}
