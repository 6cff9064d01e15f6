//! What the accounting file says of one session.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Record, SessionId, Usage};

/// The most bytes of one text: what users choose must not fill the disk.
const MAX_TEXT: usize = 256;

/// A session that has ended: one line of the accounting file. A figure that the kernel did not give is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The session. Ids begin again at 1 with each boot.
    pub session: SessionId,
    /// The user's name.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// The user's UID.
    pub uid: u32,
    /// The PAM service.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// The terminal, as PAM knows it.
    #[serde(borrow)]
    pub tty: Cow<'a, str>,
    /// The remote host, as PAM knows it.
    #[serde(borrow)]
    pub rhost: Cow<'a, str>,
    /// The profiles, joined by `+`.
    #[serde(borrow)]
    pub profile: Cow<'a, str>,
    /// The user's pool.
    #[serde(borrow)]
    pub pool: Option<Cow<'a, str>>,
    /// When it was opened: RFC 3339, with the machine's offset.
    #[serde(borrow)]
    pub start: Cow<'a, str>,
    /// When the last of it had ended.
    #[serde(borrow)]
    pub end: Cow<'a, str>,
    /// How long it took, by a clock that nobody sets.
    pub seconds: u64,
    /// CPU time in programs, in microseconds.
    pub cpu_user_us: Option<u64>,
    /// CPU time in the kernel, in microseconds.
    pub cpu_system_us: Option<u64>,
    /// Time during which the CPU quota held it back, in microseconds.
    pub throttled_us: Option<u64>,
    /// The most memory at any moment, in bytes.
    pub memory_peak: Option<u64>,
    /// Processes that the OOM killer ended.
    pub oom_kills: Option<u64>,
    /// The most processes and threads at any moment.
    pub tasks_peak: Option<u64>,
    /// How often a fork was refused.
    pub tasks_refused: Option<u64>,
    /// Bytes read from disks.
    pub io_read: Option<u64>,
    /// Bytes written to disks.
    pub io_write: Option<u64>,
}

impl<'a> Entry<'a> {
    /// A session that has ended, with what its cgroup used.
    pub fn new(
        record: &'a Record,
        [start, end]: [String; 2],
        seconds: u64,
        usage: &Usage,
    ) -> Entry<'a> {
        Entry {
            session: record.id,
            user: bounded(&record.user),
            uid: record.uid,
            service: bounded(&record.service),
            tty: bounded(&record.tty),
            rhost: bounded(&record.rhost),
            profile: bounded(&record.profile),
            pool: record.pool.as_deref().map(bounded),
            start: start.into(),
            end: end.into(),
            seconds,
            cpu_user_us: usage.cpu_user_us,
            cpu_system_us: usage.cpu_system_us,
            throttled_us: usage.throttled_us,
            memory_peak: usage.memory_peak,
            oom_kills: usage.oom_kills,
            tasks_peak: usage.tasks_peak,
            tasks_refused: usage.tasks_refused,
            io_read: usage.io_read,
            io_write: usage.io_write,
        }
    }
}

fn bounded(text: &str) -> Cow<'_, str> {
    let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end));
    match text.get(..end.unwrap_or(0)) {
        Some(cut) if text.len() > MAX_TEXT => format!("{cut}…").into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_long_and_none_is_cut_within_a_character() {
        assert_eq!(bounded("alice"), "alice");
        assert_eq!(bounded(&"a".repeat(256)), "a".repeat(256));
        assert_eq!(bounded(&"a".repeat(257)), format!("{}…", "a".repeat(256)));
        let odd = format!("a{}", "é".repeat(10_000));
        assert_eq!(bounded(&odd), format!("a{}…", "é".repeat(127)));
    }
}
