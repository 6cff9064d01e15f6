//! The mount table, in which users name mount points (fusermount, automounted folders).

use std::os::unix::ffi::OsStrExt;

use berth_session::mounts_of;

use crate::input;

/// A mountinfo table.
pub fn run(input: &[u8]) {
    let table = input::text(input);
    for kind in ["proc", "cgroup2"] {
        let found: Vec<_> = mounts_of(&table, kind).collect();
        assert_eq!(found, obvious(&table, kind));
        assert!(found.len() <= table.lines().count());
        for (_, point) in &found {
            // As the kernel writes it, it is found again.
            let written = escaped(point.as_os_str().as_bytes());
            let line = format!("1 2 0:3 / {written} rw - {kind} none rw");
            assert!(mounts_of(&line, kind).eq([("1".into(), point.clone())]));
        }
    }
}

/// A table read field by field.
fn obvious(table: &str, kind: &str) -> Vec<(String, std::path::PathBuf)> {
    let mut found = Vec::new();
    for line in table.lines() {
        let Some(middle) = line.find(" - ") else {
            continue;
        };
        let (before, after) = (&line[..middle], &line[middle + 3..]);
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        if before.len() < 5 || before[3] != "/" || after[0] != kind {
            continue;
        }
        found.push((before[0].into(), unescaped(before[4].as_bytes())));
    }
    found
}

/// `\` and three octal digits are a byte.
fn unescaped(text: &[u8]) -> std::path::PathBuf {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 4).unwrap_or_default();
        let octal = digits.len() == 3 && digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
        if text[at] == b'\\' && octal && digits[0] <= b'3' {
            let value = |nth: usize| digits[nth] - b'0';
            bytes.push(value(0) * 64 + value(1) * 8 + value(2));
            at += 4;
        } else {
            bytes.push(text[at]);
            at += 1;
        }
    }
    std::ffi::OsStr::from_bytes(&bytes).into()
}

/// The kernel escapes space, tab, newline and backslash (seq_path); here all that is no letter.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte.is_ascii_alphanumeric() {
            true => text.push(char::from(*byte)),
            false => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text
}
