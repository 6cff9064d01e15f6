//! What becomes of a file: a line for each thing that happens to it.

/// A file's bytes after all of them. Numbers go round where the file ends, so that each does something.
///
/// `set AT BYTE`, `zero AT LENGTH`, `cut AT LENGTH`, `move FROM LENGTH TO`, `end AT`; `old AT LENGTH` is what another
/// file has there.
pub fn damaged(whole: &str, other: &str, script: &str) -> Vec<u8> {
    let (mut bytes, other) = (whole.as_bytes().to_vec(), other.as_bytes());
    for line in script.lines().take(8) {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let mut number = |end: usize| {
            let number: usize = words.next()?.parse().ok()?;
            number.checked_rem(end)
        };
        let length = bytes.len();
        let mut range = |length: usize| {
            let (at, count) = (number(length)?, number(length)?);
            Some(at..(at + count).min(length))
        };
        match verb {
            "set" => {
                if let (Some(at), Some(byte)) = (number(length), number(256)) {
                    bytes[at] = byte as u8;
                }
            }
            "zero" => range(length).into_iter().for_each(|at| bytes[at].fill(0)),
            "cut" => range(length)
                .into_iter()
                .for_each(|at| drop(bytes.drain(at))),
            "end" => number(length).into_iter().for_each(|at| bytes.truncate(at)),
            "old" => range(length.min(other.len()))
                .into_iter()
                .for_each(|at| bytes[at.clone()].copy_from_slice(&other[at])),
            "move" => {
                if let (Some(from), Some(to)) = (range(length), number(length)) {
                    let end = (from.start + (length - to)).min(from.end);
                    bytes.copy_within(from.start..end, to);
                }
            }
            _ => {}
        }
    }
    bytes
}
