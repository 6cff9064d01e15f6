//! libpam, fenced in: the only file that knows its functions.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pam_sys::raw;
use pam_sys::types::{PamConversation, PamHandle, PamMessage, PamResponse};

use crate::code::Code;
use crate::host::{Item, Level};
use crate::kept::Kept;

const PAM_SERVICE: c_int = 1;
const PAM_USER: c_int = 2;
const PAM_TTY: c_int = 3;
const PAM_RHOST: c_int = 4;
const PAM_CONV: c_int = 5;
const PAM_RUSER: c_int = 8;
const PAM_BUF_ERR: Code = Code(5);

/// The flag by which an application asks for no messages to the user.
pub const PAM_SILENT: c_int = 0x8000;

unsafe extern "C" {
    /// Not among pam-sys's declarations (security/pam_ext.h).
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

/// What kind of message a user is shown: PAM_ERROR_MSG, which goes to standard error where the application prints it,
/// or PAM_TEXT_INFO.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Style {
    Error = 3,
    Info = 4,
}

/// The application that called us, for as long as the call lasts.
#[derive(Debug)]
pub struct Application(*mut PamHandle);

impl Application {
    /// # Safety
    /// `handle` is what libpam passed to the `pam_sm_*` function that is running, and the value is not used
    /// after that function has returned, nor by another thread.
    pub unsafe fn new(handle: *mut PamHandle) -> Application {
        Application(handle)
    }

    /// A text item; one that is not set is empty.
    pub fn item(&self, item: Item) -> Result<Vec<u8>, Code> {
        let text = self.raw_item(match item {
            Item::Service => PAM_SERVICE,
            Item::User => PAM_USER,
            Item::Tty => PAM_TTY,
            Item::Rhost => PAM_RHOST,
            Item::Ruser => PAM_RUSER,
        })?;
        if text.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: these five items are NUL-terminated strings that libpam owns; nothing sets them before
        // the copy is made.
        let text = unsafe { CStr::from_ptr(text.cast()) };
        Ok(text.to_bytes().to_vec())
    }

    fn raw_item(&self, item: c_int) -> Result<*const c_void, Code> {
        let mut value: *const c_void = ptr::null();
        // SAFETY: the handle is valid (see `new`), the target is a local.
        let code = unsafe { raw::pam_get_item(self.0, item, &mut value) };
        done(code).map(|()| value)
    }

    /// One line to syslog, AUTHPRIV.
    pub fn log(&self, level: Level, line: &str) {
        let priority = match level {
            Level::Error => libc::LOG_ERR,
            Level::Warning => libc::LOG_WARNING,
            Level::Notice => libc::LOG_NOTICE,
            Level::Debug => libc::LOG_DEBUG,
        };
        let Ok(line) = CString::new(line) else {
            return; // no line of ours has a NUL: control characters are escaped
        };
        // SAFETY: the handle is valid, and the one string belongs to the one `%s`.
        unsafe {
            pam_syslog(
                self.0,
                libc::LOG_AUTHPRIV | priority,
                c"%s".as_ptr(),
                line.as_ptr(),
            );
        }
    }

    /// Shows the user a message, where the application has a way to.
    pub fn tell(&self, style: Style, message: &str) {
        let Ok(message) = CString::new(message) else {
            return; // as above
        };
        let Ok(conversation) = self.raw_item(PAM_CONV) else {
            return; // an application without one cannot be told anything
        };
        // SAFETY: PAM_CONV is a pointer to this struct, which libpam owns and nobody changes meanwhile.
        let conversation = unsafe { conversation.cast::<PamConversation>().as_ref() };
        let Some((function, data)) = conversation.and_then(|c| Some((c.conv?, c.data_ptr))) else {
            return;
        };
        let mut message = PamMessage {
            msg_style: style as c_int,
            msg: message.as_ptr(),
        };
        let mut messages: [*mut PamMessage; 1] = [&mut message];
        let mut responses: *mut PamResponse = ptr::null_mut();
        // What it returns is of no interest: nothing was asked.
        let _ = function(1, messages.as_mut_ptr(), &mut responses, data);
        // SAFETY: null, or one response that the application has allocated for us.
        if let Some(response) = unsafe { responses.as_ref() } {
            // SAFETY: null, or a string from malloc that is ours to free.
            unsafe { libc::free(response.resp.cast()) };
            // SAFETY: from malloc, ours to free, and not used again.
            unsafe { libc::free(responses.cast()) };
        }
    }

    /// `NAME=value` into the session's environment.
    pub fn set_environment(&self, variable: &str) -> Result<(), Code> {
        let variable = CString::new(variable).map_err(|_| PAM_BUF_ERR)?;
        // SAFETY: the handle is valid; libpam copies the string.
        done(unsafe { raw::pam_putenv(self.0, variable.as_ptr()) })
    }

    /// Gives libpam something to keep under this name, in place of what was there; or gets it back.
    pub fn keep(&self, name: &CStr, kept: Kept) -> Result<(), (Code, Box<Kept>)> {
        let kept = Box::into_raw(Box::new(kept));
        // SAFETY: the handle and the name are valid; the pointer is a box's, as `forget` needs it.
        let code = unsafe { raw::pam_set_data(self.0, name.as_ptr(), kept.cast(), Some(forget)) };
        done(code).map_err(|code| {
            // SAFETY: libpam did not take it, so the box is still ours alone.
            (code, unsafe { Box::from_raw(kept) })
        })
    }

    /// Lends out what is kept under this name.
    pub fn with_kept<T>(&self, name: &CStr, use_it: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut data: *const c_void = ptr::null();
        // SAFETY: the handle and the name are valid, the target is a local.
        done(unsafe { raw::pam_get_data(self.0, name.as_ptr(), &mut data) }).ok()?;
        // SAFETY: null, or what `keep` stored under this name; nobody else has a reference, since this
        // one does not leave the closure, and no closure comes back here.
        let kept = unsafe { data.cast_mut().cast::<Kept>().as_mut() }?;
        Some(use_it(kept))
    }

    /// Drops what is kept under this name.
    pub fn release(&self, name: &CStr) {
        if self.with_kept(name, |_| ()).is_some() {
            // SAFETY: the handle and the name are valid. libpam calls `forget` on the old value; null with
            // no cleanup is what `with_kept` takes for nothing. If it fails, pam_end does the same later.
            let _ = unsafe { raw::pam_set_data(self.0, name.as_ptr(), ptr::null_mut(), None) };
        }
    }
}

fn done(code: c_int) -> Result<(), Code> {
    match Code(code) {
        Code::SUCCESS => Ok(()),
        code => Err(code),
    }
}

/// libpam's call when it drops what `keep` gave it.
extern "C" fn forget(_handle: *mut PamHandle, data: *mut c_void, _status: c_int) {
    // Closes descriptors; a panic must not cross into libpam all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `keep` made this pointer from a box, and libpam calls this once for each value.
        drop(unsafe { Box::from_raw(data.cast::<Kept>()) });
    }));
}
