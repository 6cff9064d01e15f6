//! Descriptors that stay open between two calls of the application's.

use std::mem::ManuallyDrop;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;

/// Something with a descriptor, while the application goes about its own business.
///
/// That may close it, and have another under the same number: login(1) closes whatever is below its terminal in
/// the child that becomes the shell, and then lets go of libpam there. What is not ours any more is neither used
/// nor closed.
#[derive(Debug)]
pub struct Held<T: AsFd> {
    held: ManuallyDrop<T>,
    file: Option<(u64, u64)>,
}

impl<T: AsFd> Held<T> {
    pub fn new(it: T) -> Held<T> {
        Held {
            file: file(&it),
            held: ManuallyDrop::new(it),
        }
    }

    /// Gives it back, if the descriptor is still the same.
    pub fn get(mut self) -> Option<T> {
        let it = self.take();
        std::mem::forget(self);
        it
    }

    fn take(&mut self) -> Option<T> {
        let is_same = self.file.is_some() && file(&*self.held) == self.file;
        // SAFETY: not used again: `get` forgets this, and `drop` is the end.
        is_same.then(|| unsafe { ManuallyDrop::take(&mut self.held) })
    }
}

impl<T: AsFd> Drop for Held<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Which file it is: device and inode number.
fn file(it: &impl AsFd) -> Option<(u64, u64)> {
    let stat = fstat(it).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

    fn is_open(fd: i32) -> bool {
        // SAFETY: touches no memory.
        unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn what_is_still_open_is_given_back_or_closed() {
        let file = File::open("/dev/null").unwrap();
        let fd = file.as_raw_fd();
        let held = Held::new(OwnedFd::from(file));
        let back = held.get().unwrap();
        assert!(is_open(fd));
        drop(Held::new(back));
        assert!(!is_open(fd));
    }

    #[test]
    fn what_has_another_file_under_its_number_is_left_alone() {
        for given_back in [true, false] {
            let fd = File::open("/dev/null").unwrap().into_raw_fd();
            // SAFETY: nobody else has it.
            let held = Held::new(unsafe { OwnedFd::from_raw_fd(fd) });
            // Not by way of a gap, in which another test's file could come.
            let other = File::open("/dev/zero").unwrap();
            // SAFETY: touches no memory; what had the number is what `held` must find lost.
            assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), fd) }, fd);
            match given_back {
                true => assert!(held.get().is_none()),
                false => drop(held),
            }
            assert!(is_open(fd), "it was closed");
            // SAFETY: nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}
