//! The client against a peer that plays a script, and the wire format against bytes as they are on the wire.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::bus::Bus;
use super::wire::{self, Incoming, Property, Value, Writer, answer};
use super::{pool_of, pool_slice, slice};
use crate::own_folder::Folder;

/// SetUnitProperties("a.slice", true, [("TasksMax", 50)]), as a little-endian machine sends it.
#[cfg(target_endian = "little")]
const CALL: &[u8] = b"l\x01\x00\x01\x30\0\0\0\x07\0\0\0\x85\0\0\0\
    \x01\x01o\0\x19\0\0\0/org/freedesktop/systemd1\0\0\0\0\0\0\0\
    \x02\x01s\0\x20\0\0\0org.freedesktop.systemd1.Manager\0\0\0\0\0\0\0\0\
    \x03\x01s\0\x11\0\0\0SetUnitProperties\0\0\0\0\0\0\0\
    \x08\x01g\0\x07sba(sv)\0\0\0\0\
    \x07\0\0\0a.slice\0\x01\0\0\0\x18\0\0\0\0\0\0\0\
    \x08\0\0\0TasksMax\0\x01t\0\x32\0\0\0\0\0\0\0";

/// What PID 1 answers to call 7 when all went well.
const RETURN: &[u8] = b"l\x02\x01\x01\0\0\0\0\x01\0\0\0\x08\0\0\0\x05\x01u\0\x07\0\0\0";

/// Plays a peer: whatever comes in, these are the answers, each after something was read.
fn peer(answers: Vec<Vec<u8>>) -> (PathBuf, JoinHandle<Vec<u8>>) {
    let folder = Folder::new();
    let path = folder.join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let script = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(folder);
        let mut heard = Vec::new();
        for answer in answers {
            heard.extend(read_some(&mut stream));
            // In two pieces, as a stream may bring it.
            let (begin, rest) = answer.split_at(answer.len() / 2);
            stream.write_all(begin).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            stream.write_all(rest).unwrap();
        }
        heard.extend(read_some(&mut stream));
        heard
    });
    (path, script)
}

fn read_some(stream: &mut UnixStream) -> Vec<u8> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).unwrap_or(0);
    chunk[..count].to_vec()
}

/// To one who answers, as long as that takes on a machine that has much to do.
fn connect(path: &std::path::Path) -> crate::Result<Bus> {
    Bus::connect_to(path.to_str().unwrap(), None, within(30_000))
}

fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

fn connect_to_mute(path: &std::path::Path) -> crate::Result<Bus> {
    Bus::connect_to(path.to_str().unwrap(), None, within(300))
}

const OK: &[u8] = b"OK 0123456789abcdef0123456789abcdef\r\n";

#[cfg(target_endian = "little")]
#[test]
fn a_call_is_as_the_specification_says() {
    let mut arguments = Writer::default();
    arguments.text("a.slice").flag(true);
    arguments.properties(&[Property::new("TasksMax", Value::Number(50))]);
    let call = wire::Call {
        destination: None,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "SetUnitProperties",
        signature: "sba(sv)",
        arguments,
    };
    assert_eq!(
        call.message(7).escape_ascii().to_string(),
        CALL.escape_ascii().to_string()
    );
    let mut answer = RETURN.to_vec();
    assert_eq!(
        wire::take(&mut answer),
        Ok(Some(Incoming::Returned(7, Vec::new())))
    );
    assert!(answer.is_empty());
}

#[test]
fn every_value_is_read_as_it_was_written() {
    for (value, kind) in [
        (Value::Number(u64::MAX), "t"),
        (Value::Flag(true), "b"),
        (Value::Text("x".into()), "s"),
        (Value::Bytes(vec![1, 0, 7]), "ay"),
        (
            Value::Rates(vec![("/dev/a".into(), 5), ("/b".into(), u64::MAX)]),
            "a(st)",
        ),
        (Value::Rates(Vec::new()), "a(st)"),
    ] {
        let mut written = Writer::default();
        written.properties(&[Property::new("1234567", value.clone())]);
        let bytes = written.bytes();
        let at = bytes
            .windows(kind.len() + 1)
            .position(|some| some[0] as usize == kind.len() && &some[1..] == kind.as_bytes());
        assert_eq!(wire::variant_at(bytes, at.unwrap()), Some(value), "{kind}");
    }
    assert_eq!(wire::variant(b"\x01x\0"), None);
    assert_eq!(wire::variant(b"\x01t\0\0\0\0\0\0\x01"), None);
}

#[test]
fn no_input_makes_it_panic_and_none_is_believed_too_soon() {
    let whole = answer(2, 1, b"12345678");
    for end in 0..whole.len() {
        assert_eq!(wire::take(&mut whole[..end].to_vec()), Ok(None), "{end}");
    }
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] = byte;
            let _ = wire::take(&mut broken); // whatever it says, it says it
        }
    }
    assert!(wire::take(&mut b"HTTP/1.1 400 Bad Request\r\n".to_vec()).is_err());
}

#[test]
fn an_answer_is_found_among_others_and_half_of_one_is_none() {
    let mut stream = answer(2, 77, b"");
    stream.extend(answer(4, 1, b""));
    let right = answer(2, 1, b"");
    stream.extend(&right[..10]);
    let (path, script) = peer(vec![OK.to_vec(), stream]);
    let mut bus = Bus::connect_to(path.to_str().unwrap(), None, within(2_000)).unwrap();
    let late = std::thread::spawn(move || script.join());
    // The peer has no more to say: what is missing of the answer never comes.
    let error = bus.start("x.service").unwrap_err().to_string();
    assert!(
        error.contains("does not answer") || error.contains("hung up"),
        "{error}"
    );
    drop(bus);
    late.join().unwrap().unwrap();

    let mut stream = answer(4, 1, b"");
    stream.extend(right);
    let (path, script) = peer(vec![OK.to_vec(), stream]);
    let mut bus = connect(&path).unwrap();
    bus.start("x.service").unwrap();
    drop(bus);
    let heard = script.join().unwrap();
    // A call in the authentication's own write would not be looked at.
    assert!(heard.starts_with(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\nl\x01"));
}

#[test]
fn units_are_frozen_at_once_in_whichever_order_that_is_done() {
    let answers =
        |order: [(u8, u32); 3]| order.map(|(kind, call)| answer(kind, call, b"")).concat();
    for answers in [
        answers([(2, 3), (3, 2), (2, 1)]),
        answers([(2, 1), (3, 2), (2, 3)]),
    ] {
        // It goes on to listen: the calls may come one by one.
        let (path, script) = peer(vec![OK.to_vec(), answers, vec![], vec![]]);
        let mut bus = connect(&path).unwrap();
        let units = ["a.scope", "refused.scope", "b.scope"];
        let done = bus.freeze(units.into_iter());
        let done: Vec<bool> = done.iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, false, true]);
        drop(bus);
        script.join().unwrap();
    }
}

#[test]
fn what_systemd_says_is_told() {
    let mut says = 17_u32.to_ne_bytes().to_vec();
    says.extend(b"No such property.\0");
    let (path, script) = peer(vec![OK.to_vec(), answer(3, 1, &says)]);
    let mut bus = connect(&path).unwrap();
    let error = bus.set("a.slice", &[]).unwrap_err().to_string();
    assert!(error.contains("No such property."), "{error}");
    drop(bus);
    script.join().unwrap();
}

#[test]
fn whoever_does_not_answer_costs_the_deadline_and_no_more() {
    for (name, answers) in [
        ("mute", vec![]),
        ("half", vec![b"OK 0123".to_vec()]),
        ("rejects", vec![b"REJECTED EXTERNAL\r\n".to_vec()]),
        ("ends", vec![OK.to_vec(), Vec::new()]),
    ] {
        let (path, _script) = peer(answers);
        let begun = Instant::now();
        let failed = connect_to_mute(&path).and_then(|mut bus| bus.start("x.service"));
        assert!(failed.is_err(), "{name}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}");
    }
    let begun = Instant::now();
    let folder = Folder::new();
    let path = folder.join("bus");
    let _listener = UnixListener::bind(&path).unwrap();
    let held: Vec<_> = (0..2000).map_while(|_| connect_now(&path)).collect();
    assert!(connect_to_mute(&path).is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "with {} callers",
        held.len()
    );
}

#[test]
fn systemd_is_waited_for_while_it_executes_itself_anew() {
    let folder = Folder::new();
    let path = folder.join("bus");
    drop(UnixListener::bind(&path).unwrap());
    assert!(connect_now(&path).is_none());
    let again = path.clone();
    let script = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        std::fs::remove_file(&again).unwrap();
        let (mut stream, _) = UnixListener::bind(&again).unwrap().accept().unwrap();
        read_some(&mut stream);
        stream.write_all(OK).unwrap();
    });
    let connected = Bus::connect_to(path.to_str().unwrap(), None, within(30_000));
    // Or nobody would come to who waits for it.
    while !script.is_finished() && connect_now(&path).is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    script.join().unwrap();
    connected.unwrap();
}

/// Connects without waiting, as long as the listener has room.
fn connect_now(path: &std::path::Path) -> Option<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let kind = (AddressFamily::Unix, SockType::Stream);
    let socket = socket(kind.0, kind.1, SockFlag::SOCK_NONBLOCK, None).ok()?;
    let address = UnixAddr::new(path).ok()?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).ok()?;
    Some(socket)
}

#[test]
fn the_longest_name_of_a_pool_makes_names_that_systemd_takes() {
    // config refuses longer ones.
    let pool = format!("a{}", "-".repeat(55));
    assert!(slice(Some(&pool), u32::MAX).len() <= 255);
    assert_eq!(pool_of(&pool_slice(&pool)), Some(pool));
}
