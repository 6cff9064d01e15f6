//! A /tmp or /dev/shm of the berth's own.

use serde::{Deserialize, Serialize};

use super::Wrong;
use super::amount::{Size, bytes_text};
use crate::outcome::PrivateTmp;

/// Less is no use as a file system.
const FLOOR: u64 = 64 << 10;

/// `private_tmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateTmpRoom(pub PrivateTmp);

impl PrivateTmpRoom {
    /// Reads `128M` or `disk`.
    pub fn parse(text: &str) -> Result<PrivateTmpRoom, Wrong> {
        if text == "disk" {
            return Ok(PrivateTmpRoom(PrivateTmp::Disk));
        }
        sized(text, "a size such as \"128M\", \"disk\", or false")
            .map(|size| PrivateTmpRoom(PrivateTmp::Tmpfs(size)))
    }

    /// `false`; `true` does not say how much.
    pub fn of(on: bool) -> Result<PrivateTmpRoom, Wrong> {
        off(on, "write a size such as \"128M\", or \"disk\"")?;
        Ok(PrivateTmpRoom(PrivateTmp::Off))
    }
}

/// `private_shm`: its bytes, or `None` for the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateShm(pub Option<u64>);

impl PrivateShm {
    /// Reads `256M`.
    pub fn parse(text: &str) -> Result<PrivateShm, Wrong> {
        sized(text, "a size such as \"256M\", or false").map(|size| PrivateShm(Some(size)))
    }

    /// `false`; `true` does not say how much.
    pub fn of(on: bool) -> Result<PrivateShm, Wrong> {
        off(on, "write a size such as \"256M\"")?;
        Ok(PrivateShm(None))
    }
}

fn sized(text: &str, right: &str) -> Result<u64, Wrong> {
    if text == "infinity" {
        return Err(Wrong::new(
            "memory is never without an end",
            format!("write {right}"),
        ));
    }
    let size = Size::parse(text)
        .map_err(|wrong| wrong.note(format!("this is {right}")))?
        .0;
    if size < FLOOR {
        return Err(Wrong::new(
            format!("{} is too small", bytes_text(size)),
            "at least 64K",
        ));
    }
    Ok(size)
}

fn off(on: bool, right: &str) -> Result<(), Wrong> {
    if on {
        return Err(Wrong::new("`true` does not say how large", right));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_at_least_64k() {
        assert_eq!(PrivateShm::parse("64K"), Ok(PrivateShm(Some(64 << 10))));
        assert!(PrivateShm::parse("65535").is_err());
        assert!(PrivateShm::parse("infinity").is_err());
    }
}
