//! What an admin does, in the log.

use berth_session::Line;
use nix::unistd::{Uid, User};

use crate::live::Object;

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
    line.field("by", doer()).info();
}

/// Who runs this: who logged in, by the kernel's word (pam_loginuid(8)), or by sudo's.
pub fn doer() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|uid| uid.trim().parse().ok());
    let by_sudo = || std::env::var("SUDO_UID").ok()?.parse().ok();
    // The kernel has -1 for nobody.
    let uid = login.filter(|uid| *uid != u32::MAX).or_else(by_sudo);
    let uid = uid.map_or_else(nix::unistd::getuid, Uid::from_raw);
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
