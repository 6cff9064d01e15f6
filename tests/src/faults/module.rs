//! Where the module is in the memory of the program that has loaded it.

use std::ffi::CStr;
use std::fs;

use nix::unistd::Pid;

use super::point::Place;

/// The module's file.
pub const FILE: &CStr = c"/berth/libpam_berth.so";

/// The functions that make system calls.
const FUNCTIONS: [(&CStr, Place); 3] = [
    (c"pam_sm_acct_mgmt", Place::Account),
    (c"pam_sm_open_session", Place::Open),
    (c"pam_sm_close_session", Place::Close),
];

/// Where the module's functions begin in its file.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    functions: [(u64, Place); 3],
}

impl Module {
    /// Asks the loader.
    pub fn read() -> Module {
        // SAFETY: the module has no code that runs when it is loaded, and stays.
        let library = unsafe { libc::dlopen(FILE.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "the module cannot be loaded");
        let offset = |name: &CStr| {
            // SAFETY: an open library, and a name that ends in a zero.
            let function = unsafe { libc::dlsym(library, name.as_ptr()) };
            // SAFETY: all zeroes are a valid value of a structure of pointers.
            let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
            // SAFETY: dladdr(3) takes any address, and writes to the structure alone.
            let found = unsafe { libc::dladdr(function, &raw mut info) };
            assert!(found != 0, "the module has no {name:?}");
            (function as usize - info.dli_fbase as usize) as u64
        };
        Module {
            functions: FUNCTIONS.map(|(name, place)| (offset(name), place)),
        }
    }

    /// Where they begin in a program, if the module's text is mapped by now.
    pub fn functions_in(&self, pid: Pid) -> Option<[(u64, Place); 3]> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let mut own = maps
            .lines()
            .filter(|line| line.as_bytes().ends_with(FILE.to_bytes()));
        // The first page of the file is where the others are counted from; the text comes after it.
        let base = own.next()?.split('-').next()?;
        let base = u64::from_str_radix(base, 16).ok()?;
        own.find(|line| line.contains(" r-xp "))?;
        Some(self.functions.map(|(offset, place)| (base + offset, place)))
    }
}
