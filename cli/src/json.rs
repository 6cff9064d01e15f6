//! `--json`: one object on standard output.

use std::time::SystemTime;

use berth_config::LocalTime;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::whole;

/// The version of what is printed. Keys may be added under the same number.
const VERSION: u32 = 1;

/// Prints an object with its version and this moment, all of it or with an error.
pub fn print(object: Value) -> Result<(), Exit> {
    let now = LocalTime::rfc3339(SystemTime::now());
    let object = merged(object, json!({ "version": VERSION, "now": now }));
    whole::print(format!("{object:#}\n"))
}

/// An object with the keys of another, too.
pub fn merged(mut object: Value, more: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut object, more) {
        all.extend(more);
    }
    object
}
