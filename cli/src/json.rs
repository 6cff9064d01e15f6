//! `--json`: one object on standard output.

use serde_json::Value;

/// The version of what is printed. Keys may be added under the same number.
pub const VERSION: u32 = 1;

/// Prints an object.
pub fn print(object: &Value) {
    println!("{object:#}");
}
