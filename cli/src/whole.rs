//! Text for programs. It may be kept in a file, so it is not cut without a word.

use std::io::{self, ErrorKind, Write};

use crate::exit::{Exit, not_so};

/// Prints it in one piece: standard output itself writes line by line, and an object of thousands of sessions has a
/// hundred thousand lines.
pub fn print(text: &str) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads it no more has had enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(not_so(format!("cannot print all of it: {error}")))
        }
        _ => Ok(()),
    }
}
