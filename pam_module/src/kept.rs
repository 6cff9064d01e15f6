//! What stays in libpam between the calls of one login.

use std::os::fd::OwnedFd;

use berth_protocol::Phase;

use crate::code::Verdict;
use crate::exchange::Helper;
use crate::sys::held::Held;

/// One call's result. libpam drops it at `pam_end` at the latest; dropping it closes descriptors and does
/// nothing else, so that it is harmless in a child that the application forked.
#[derive(Debug)]
pub struct Kept {
    /// Whom it is about: an application may go on to another user with the same handle.
    pub user: Vec<u8>,
    pub verdict: Verdict,
    /// By which file, where the line names one.
    pub policy: Option<Vec<u8>>,
    /// The helper. After the account phase it waits for the session's request; from then on it is only
    /// held, since the end of its socket is the session's end.
    pub helper: Option<Held<Helper>>,
    /// The way back.
    pub home: Home,
}

/// The namespaces that the application came from, where it can go back to them: flag and descriptor.
#[derive(Debug, Default)]
pub struct Home(pub Vec<(i32, Held<OwnedFd>)>);

/// The name under which libpam keeps the result of a call.
pub fn slot(phase: Phase) -> &'static std::ffi::CStr {
    match phase {
        Phase::Account => c"berth_account",
        Phase::Session => c"berth_session",
    }
}
