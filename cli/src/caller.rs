//! Who runs this.

use berth_config::{name_of, own_name};
use nix::unistd::{geteuid, getuid};

use crate::exit::Exit;

/// Who runs this, and not as sudo or $USER say.
pub fn user() -> (u32, String) {
    let uid = getuid().as_raw();
    let name = name_of(uid).or_else(own_name);
    (uid, name.unwrap_or_else(|| uid.to_string()))
}

/// Who runs this: who logged in, by the kernel's word (pam_loginuid(8)), or by sudo's.
pub fn doer() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|uid| uid.trim().parse().ok());
    let by_sudo = || std::env::var("SUDO_UID").ok()?.parse().ok();
    // The kernel has -1 for nobody.
    let uid = login.filter(|uid| *uid != u32::MAX).or_else(by_sudo);
    let uid = uid.unwrap_or_else(|| getuid().as_raw());
    name_of(uid).unwrap_or_else(|| uid.to_string())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Refuses whoever is not root. `may` is what only root may do: `end sessions`.
pub fn only_root(may: &str) -> Result<(), Exit> {
    if is_root() {
        return Ok(());
    }
    Err(Exit::Permission.because(format!("only root may {may}")))
}
