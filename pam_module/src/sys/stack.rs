//! Memory for the two children that share the application's address space until exec.

use std::ptr::{self, NonNull};

use libc::c_void;
use nix::errno::Errno;

/// Far more than the children use; an unoptimised build included.
const SIZE: usize = 64 * 1024;

/// A whole page on every machine that there is.
const GUARD: usize = 64 * 1024;

/// One stack, with a guard below it: running over ends the child, not the application's memory.
#[derive(Debug)]
pub struct Stack(NonNull<c_void>);

impl Stack {
    pub fn new() -> Result<Stack, Errno> {
        // SAFETY: a new anonymous mapping, anywhere.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD + SIZE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Stack(NonNull::new(memory).ok_or(Errno::ENOMEM)?);
        // SAFETY: the part of our own mapping above the guard.
        let usable = unsafe { memory.byte_add(GUARD) };
        // SAFETY: our own mapping, which nobody uses yet.
        Errno::result(unsafe { libc::mprotect(usable, SIZE, libc::PROT_READ | libc::PROT_WRITE) })?;
        Ok(stack)
    }

    /// The end from which it grows downwards; aligned as every ABI asks.
    pub fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of our own mapping.
        unsafe { self.0.as_ptr().byte_add(GUARD + SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; no Stack is dropped before the children are known to be gone.
        let _ = unsafe { libc::munmap(self.0.as_ptr(), GUARD + SIZE) };
        // In an application with as many mappings as there may be it fails, since it may have to split one. Then the
        // stack stays: no login fails for that.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::changing::alone;

    /// How the kernel shows what may be done with the memory at an address.
    fn access(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let [from, to] = [from, to].map(|end| usize::from_str_radix(end, 16).unwrap());
            (from..to).contains(&address).then(|| rest[..4].into())
        })
    }

    #[test]
    fn below_a_stack_there_is_memory_that_nobody_can_use_and_all_of_it_goes_away() {
        alone(|| {
            let stack = Stack::new().unwrap();
            let top = stack.top() as usize;
            let (lowest, guard) = (top - 64 * 1024, top - 128 * 1024);
            for (address, expected) in [
                (top - 1, "rw-p"),
                (lowest, "rw-p"),
                (lowest - 1, "---p"),
                (guard, "---p"),
            ] {
                assert_eq!(access(address).as_deref(), Some(expected));
            }
            drop(stack);
            for address in [top - 1, lowest, guard] {
                assert_eq!(access(address), None);
            }
        });
    }
}
