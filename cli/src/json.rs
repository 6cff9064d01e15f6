//! `--json`: one object on standard output.

use serde_json::Value;

use crate::exit::Exit;
use crate::stored;

/// The version of what is printed. Keys may be added under the same number.
pub const VERSION: u32 = 1;

/// Prints an object, all of it or with an error.
pub fn print(object: &Value) -> Result<(), Exit> {
    stored::print(&format!("{object:#}\n"))
}
