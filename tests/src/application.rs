//! A PAM application as small as can be: it opens a session for a user, and closes it.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

const SUCCESS: c_int = 0;
const ESTABLISH_CRED: c_int = 2;
const CONVERSATION_ERROR: c_int = 19;

#[derive(Debug)]
#[repr(C)]
struct Conversation {
    talk: extern "C" fn(c_int, *const c_void, *mut c_void, *mut c_void) -> c_int,
    data: *mut c_void,
}

/// Nobody is there to answer.
extern "C" fn silence(_: c_int, _: *const c_void, _: *mut c_void, _: *mut c_void) -> c_int {
    CONVERSATION_ERROR
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_setcred(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_getenv(handle: *mut c_void, name: *const c_char) -> *const c_char;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
}

/// An open session. It is closed by [`Session::close`], or by the end of the process.
#[derive(Debug)]
pub struct Session {
    handle: *mut c_void,
    _conversation: Box<Conversation>,
    /// How long `pam_acct_mgmt` took.
    pub account: Duration,
    /// How long `pam_open_session` took.
    pub open: Duration,
}

impl Session {
    /// Opens a session, as a login program does after it has found the account to be valid.
    pub fn open(service: &str, user: &str) -> Result<Session, String> {
        Session::prepared(service, user, || ())
    }

    /// The same, with something done in between, when the modules are loaded.
    pub fn prepared(service: &str, user: &str, prepare: impl FnOnce()) -> Result<Session, String> {
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let (name, user) = (text(service)?, text(user)?);
        let conversation = Box::new(Conversation {
            talk: silence,
            data: null_mut(),
        });
        let mut handle = null_mut();
        // SAFETY: all pointers are valid; PAM copies the strings, the conversation outlives the handle.
        let code = unsafe {
            pam_start(
                name.as_ptr(),
                user.as_ptr(),
                &raw const *conversation,
                &raw mut handle,
            )
        };
        check(service, "pam_start", code)?;
        // Loads the modules, which is no phase's cost. What it answers does not matter.
        // SAFETY: the handle is PAM's own.
        unsafe { pam_setcred(handle, ESTABLISH_CRED) };
        let mut session = Session {
            handle,
            _conversation: conversation,
            account: Duration::ZERO,
            open: Duration::ZERO,
        };
        prepare();
        let start = Instant::now();
        // SAFETY: as above.
        let code = unsafe { pam_acct_mgmt(handle, 0) };
        session.account = start.elapsed();
        let (call, code) = match code {
            SUCCESS => {
                let start = Instant::now();
                // SAFETY: as above.
                let code = unsafe { pam_open_session(handle, 0) };
                session.open = start.elapsed();
                ("pam_open_session", code)
            }
            code => ("pam_acct_mgmt", code),
        };
        let opened = check(service, call, code);
        if opened.is_err() {
            // SAFETY: the handle is PAM's own, and not used again.
            unsafe { pam_end(handle, code) };
        }
        opened.map(|()| session)
    }

    /// Whether Berth's module says that it is one of its own.
    pub fn is_in_berth(&self) -> bool {
        // SAFETY: the handle is PAM's own; the name is a constant.
        let berth = unsafe { pam_getenv(self.handle, c"BERTH_SESSION".as_ptr()) };
        !berth.is_null()
    }

    /// Closes the session.
    pub fn close(self) {
        // What it answers shows in what becomes of the session.
        // SAFETY: the handle is PAM's own, and not used again.
        unsafe { pam_close_session(self.handle, 0) };
        // SAFETY: as above.
        unsafe { pam_end(self.handle, SUCCESS) };
    }
}

fn check(service: &str, call: &str, code: c_int) -> Result<(), String> {
    match code {
        SUCCESS => Ok(()),
        code => Err(format!("{call} for {service}: PAM error {code}")),
    }
}
