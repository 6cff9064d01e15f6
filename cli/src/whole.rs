//! Text for programs. It may be kept in a file, so it is not cut without a word.

use std::io::{self, ErrorKind, Write};

use crate::exit::{Exit, not_so};

/// Prints it in one piece: standard output itself writes line by line, and an object of thousands of sessions has a
/// hundred thousand lines.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Exit> {
    match print_on(text) {
        Err(Exit::Done) => Ok(()),
        printed => printed,
    }
}

/// The same of a part of it. Who reads it no more has had enough, and it ends.
pub fn print_on(text: impl AsRef<[u8]>) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_ref()).and_then(|()| out.flush());
    printed.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Exit::Done,
        _ => not_so(format!("cannot print all of it: {error}")),
    })
}
