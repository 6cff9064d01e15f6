//! systemd, where it runs the machine: every cgroup there is its own to change, and Berth asks it.

mod bus;
mod caps;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod held;
#[cfg(test)]
mod tests;
mod units;
mod wire;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Group, Result};

pub use bus::Bus;
pub use caps::{
    DROP_INS, TRANSIENT, before_login, forget, forget_unit, goes_on, is_set, mark_as_going_on,
    put_back, set_caps, set_while_it_runs, take_back, take_back_everyones, who_goes_on,
};
pub use held::{Held, give_back, hold};
pub use wire::{Property, Value};

/// The service that Berth's own processes live in.
pub const SERVICE: &str = "berth.service";

/// What starts `berth apply --due` each minute.
pub const TIMER: &str = "berth-due.timer";

/// Whether it runs this machine (sd_booted(3)). Where that cannot be seen it is an error: who took it for a no would write in
/// systemd's tree.
pub fn is_booted() -> Result<bool> {
    let path = Path::new("/run/systemd/system");
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("look at", path, error)),
    }
}

/// The slice of all users.
pub const USERS: &str = "user.slice";

/// What the name of a pool's slice begins with: below the slice of all users, and no user's.
const POOL: &str = "user-pool_";

/// A pool's slice. A dash in the name of a slice stands for a level, so the pool's are escaped (systemd.unit(5)).
pub fn pool_slice(pool: &str) -> String {
    format!("{POOL}{}.slice", pool.replace('-', "\\x2d"))
}

/// The slice of a user, who may be in a pool.
pub fn slice(pool: Option<&str>, uid: u32) -> String {
    let pool = pool.map_or_else(|| USERS.into(), pool_slice);
    // logind's of a user is `user-UID.slice`, below that of all users.
    format!("{}-{uid}.slice", pool.trim_end_matches(".slice"))
}

/// The pool whose slice this is.
pub fn pool_of(slice: &str) -> Option<String> {
    let name = slice.strip_prefix(POOL)?.strip_suffix(".slice")?;
    Some(name.replace("\\x2d", "-"))
}

/// How long Berth's service may take to start.
const STARTING: Duration = Duration::from_secs(3);

/// Starts Berth's service and makes the keepers' cgroup in it: the service's are delegated to Berth.
pub(crate) fn start_service(keepers: &Group) -> Result<()> {
    Bus::connect()?.start(SERVICE)?;
    let deadline = Instant::now() + STARTING;
    loop {
        match keepers.create() {
            Err(error) if error.is_not_found() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.is_not_found() => {
                return Err(Error::Systemd {
                    what: format!("start {SERVICE}"),
                    reason: format!(
                        "it has no cgroup after {} s: see systemctl status {SERVICE}",
                        STARTING.as_secs()
                    ),
                });
            }
            created => return created,
        }
    }
}
