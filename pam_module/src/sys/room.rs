//! Room for the module's own work under whatever limits the application has. su runs under those of the user who
//! started it: a limit of five descriptors must not make the module fail, which `on_error = "allow"` would let
//! pass as a login without a berth.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt;

use super::join::{rlimit, set_rlimit};

/// The most that there can be (fs.nr_open), unless somebody has changed it: the application may have more descriptors
/// open than its limit allows, and then the first that is free lies far above.
const DESCRIPTORS: u64 = 1 << 20;

/// More than a call opens.
const FEW: u64 = 32;

/// While this lives, there are descriptors and memory to be had. Then the limits are as they were.
#[derive(Debug)]
pub struct Room(Vec<(u32, u64, u64)>);

impl Room {
    /// Raises what limits the module's own work, as far as that is allowed. Not where there are other threads: the limits
    /// are theirs, too, what they start would inherit them, and of two calls at once one would keep what the other has
    /// raised. Where they cannot be counted the application has joined, so that there are none.
    pub fn make() -> Room {
        let mut before = Vec::new();
        let has_others = |tasks: Metadata| tasks.nlink() > 3; // two, and one for each thread: no descriptor is needed
        if metadata("/proc/self/task").is_ok_and(has_others) {
            return Room(before);
        }
        for (resource, most, more) in [
            (libc::RLIMIT_NOFILE, DESCRIPTORS, FEW),
            (libc::RLIMIT_AS, libc::RLIM_INFINITY, 0),
            (libc::RLIMIT_DATA, libc::RLIM_INFINITY, 0),
        ] {
            let Ok((soft, hard)) = rlimit(resource) else {
                continue; // cannot fail; without it, the limit is what it was
            };
            let more = soft.saturating_add(more);
            let wanted = most.max(more);
            if wanted == soft {
                continue;
            }
            // Above the hard limit needs a right that is missing in some containers.
            let hards = [wanted.max(hard), more.max(hard), hard];
            let raised = |hard| set_rlimit(resource, wanted.min(hard), hard).is_ok();
            if hards.into_iter().any(raised) {
                before.push((resource, soft, hard));
            }
        }
        Room(before)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (resource, soft, hard) in &self.0 {
            let _ = set_rlimit(*resource, *soft, *hard); // lowering needs no right, so this cannot fail
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::changing::alone;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use std::fs::File;

    const OF: [Resource; 3] = [
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_AS,
        Resource::RLIMIT_DATA,
    ];

    fn limits() -> [(u64, u64); 3] {
        OF.map(|resource| getrlimit(resource).unwrap())
    }

    /// Tight ones from here on.
    fn tightened() -> [(u64, u64); 3] {
        let tight = [(5, 300), (1 << 40, 1 << 41), (1 << 40, 1 << 41)];
        for (resource, (soft, hard)) in OF.into_iter().zip(tight) {
            setrlimit(resource, soft, hard).unwrap();
        }
        tight
    }

    /// How many more can be opened, of a few.
    fn descriptors() -> usize {
        let open = std::iter::repeat_with(|| File::open("/dev/null"));
        let open: Vec<_> = open.take(200).map_while(Result::ok).collect();
        open.len()
    }

    #[test]
    fn where_there_are_other_threads_no_limit_is_touched() {
        alone(|| {
            let before = tightened();
            let _other = std::thread::spawn(std::thread::park);
            let _room = Room::make();
            assert_eq!(limits(), before);
        });
    }

    #[test]
    fn under_tight_limits_there_is_room_for_a_while() {
        alone(|| {
            let before = tightened();
            assert!(descriptors() < 5);
            let room = Room::make();
            assert_eq!(descriptors(), 200);
            drop(room);
            assert_eq!(limits(), before);
            // Without the right to more than the hard limit, that is what there is.
            nix::unistd::setuid(1000.into()).unwrap();
            let room = Room::make();
            assert_eq!(limits(), before.map(|(_, hard)| (hard, hard)));
            drop(room);
            assert_eq!(limits(), before);
        });
    }
}
