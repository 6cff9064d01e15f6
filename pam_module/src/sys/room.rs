//! Room for the module's own work under whatever limits the application has. su runs under those of the user who
//! started it: a limit of five descriptors must not make the module fail, which `on_error = "allow"` would let
//! pass as a login without a berth.

use berth_protocol::Rlimit;

use super::join::{rlimit, set_rlimit};

/// The most that there can be (fs.nr_open), unless somebody has changed it: the application may have more descriptors
/// open than its limit allows, and then the first that is free lies far above.
const DESCRIPTORS: u64 = 1 << 20;

/// More than a call opens.
const FEW: u64 = 32;

/// While this lives, there are descriptors and memory to be had. Then the limits are as they were.
#[derive(Debug)]
pub struct Room(Vec<Rlimit>);

impl Room {
    /// Raises what limits the module's own work, as far as that is allowed.
    pub fn make() -> Room {
        let mut before = Vec::new();
        for (resource, most, more) in [
            (libc::RLIMIT_NOFILE, DESCRIPTORS, FEW),
            (libc::RLIMIT_AS, libc::RLIM_INFINITY, 0),
            (libc::RLIMIT_DATA, libc::RLIM_INFINITY, 0),
        ] {
            let name = String::new();
            let (soft, hard) = (0, 0);
            let Ok(old) = rlimit(&Rlimit {
                name,
                resource,
                soft,
                hard,
            }) else {
                continue; // cannot fail; without it, the limit is what it was
            };
            let more = old.soft.saturating_add(more);
            let soft = most.max(more);
            if soft == old.soft {
                continue;
            }
            // Above the hard limit needs a right that is missing in some containers.
            let hards = [soft.max(old.hard), more.max(old.hard), old.hard];
            let raised = hards.into_iter().any(|hard| {
                let soft = soft.min(hard);
                set_rlimit(&Rlimit {
                    soft,
                    hard,
                    ..old.clone()
                })
                .is_ok()
            });
            if raised {
                before.push(old);
            }
        }
        Room(before)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for old in &self.0 {
            let _ = set_rlimit(old); // lowering needs no right, so this cannot fail
        }
    }
}
