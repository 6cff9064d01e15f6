//! For the fuzz targets (`fuzz/`): the client over any stream, and what it reads. Nothing else is built with it.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Bus;
use super::wire::Writer;
use crate::Result;

pub use super::wire::{Incoming, Value, answer, take, variant as value};

/// The client on a stream that does not block.
pub fn bus(stream: UnixStream) -> Result<Bus> {
    let deadline = Instant::now() + Duration::from_secs(5);
    Bus::over(stream, "a peer", None, deadline)
}

/// A body with a value in it.
pub fn body(value: &Value) -> Vec<u8> {
    let mut body = Writer::default();
    body.variant(value);
    body.bytes().to_vec()
}
