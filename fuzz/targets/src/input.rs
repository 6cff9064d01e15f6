//! Bytes taken apart.

use std::borrow::Cow;
use std::path::PathBuf;

/// What parts of an input are separated by: a line of its own.
const BETWEEN: &str = "\n%%\n";

/// This byte, which is in no UTF-8, a count and a byte stand for that byte a thousand times the count.
const MANY: u8 = 0xf5;

/// The most bytes of an input that was grown.
const LARGEST: usize = 1 << 20;

/// The input as text. What is no UTF-8 is replaced.
pub fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// The parts of an input.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(BETWEEN)
}

/// The input with its long stretches written out, since a fuzzer does not get far with long inputs.
pub fn grown(input: &[u8]) -> Vec<u8> {
    let mut grown = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, after) {
            (&MANY, [count, what, after @ ..]) if grown.len() < LARGEST => {
                grown.extend(std::iter::repeat_n(*what, usize::from(*count) * 1000));
                rest = after;
            }
            _ => {
                grown.push(*byte);
                rest = after;
            }
        }
    }
    grown
}

/// A frame of module or helper. A `v` at its beginning stands for the version that they have now, or the inputs of the
/// corpus would be refused at once after the next change of it.
pub fn frame(input: &[u8]) -> Vec<u8> {
    let mut frame = input.to_vec();
    if let Some(first @ b'v') = frame.first_mut() {
        *first = berth_protocol::VERSION;
    }
    frame
}

/// A folder in memory for one input's files, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// One of its own for each thread.
    pub fn new(name: &str) -> Folder {
        let thread = std::thread::current();
        let name = format!("berth-fuzz-{name}-{}-{:?}", std::process::id(), thread.id());
        let memory = PathBuf::from("/dev/shm");
        let beside = match memory.is_dir() {
            true => memory,
            false => std::env::temp_dir(),
        };
        let path = beside.join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder in /dev/shm");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
