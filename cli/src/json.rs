//! `--json`: one object on standard output.

use std::io::Write;

use serde_json::Value;

/// The version of what is printed. Keys may be added under the same number.
pub const VERSION: u32 = 1;

/// Prints an object, in one piece: standard output itself writes line by line, and an object of thousands of sessions
/// has a hundred thousand lines.
pub fn print(object: &Value) {
    let text = format!("{object:#}\n");
    let mut out = std::io::stdout().lock();
    // Who reads it no more has had enough; what println does then is panic.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
