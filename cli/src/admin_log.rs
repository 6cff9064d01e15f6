//! What an admin does, in the log.

use berth_session::Line;

use crate::caller;
use crate::object::Object;

/// Writes a line: what was done, to whom, what else there is to say of it, and by whom.
pub fn log(word: &str, object: Option<&Object>, fields: &[(&str, String)]) {
    let line = Line::new(word);
    let line = match object {
        Some(Object::Session(id)) => line.field("session", id),
        Some(Object::User(name)) => line.field("user", name),
        Some(Object::Pool(name)) => line.field("pool", name),
        Some(Object::Profile(name)) => line.field("profile", name),
        None => line,
    };
    let line = fields
        .iter()
        .fold(line, |line, (key, value)| line.field(key, value));
    line.field("by", caller::doer()).info();
}
