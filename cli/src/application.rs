//! A PAM application, as small as one can be: it opens a session through the real libpam, with a stack
//! of its own. libpam's functions are known to this file only.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, NulError, OsStr, OsString, c_char, c_int, c_void};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
const PAM_CONV_ERR: c_int = 19;
const PAM_ESTABLISH_CRED: c_int = 2;
const PAM_TTY: c_int = 3;
const PAM_RHOST: c_int = 4;
const PAM_ERROR_MSG: c_int = 3;
const PAM_TEXT_INFO: c_int = 4;

#[repr(C)]
struct Handle {
    _private: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

#[repr(C)]
struct Conversation {
    converse: extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    // Linux-PAM 1.4 and later: reads DIRECTORY/SERVICE instead of /etc/pam.d/SERVICE, if one is given.
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        directory: *const c_char,
        handle: *mut *mut Handle,
    ) -> c_int;
    fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_setcred(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_getenvlist(handle: *mut Handle) -> *mut *mut c_char;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_getenv(handle: *mut Handle, name: *const c_char) -> *const c_char;
    fn pam_strerror(handle: *mut Handle, code: c_int) -> *const c_char;
}

static CONVERSATION: Conversation = Conversation {
    converse,
    data: ptr::null_mut(),
};

// SAFETY: the pointer in it is null, and nobody writes to it.
unsafe impl Sync for Conversation {}

/// What libpam said no with.
#[derive(Debug)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<NulError> for Refusal {
    fn from(error: NulError) -> Refusal {
        Refusal(error.to_string())
    }
}

/// A conversation with libpam, from pam_start to pam_end.
#[derive(Debug)]
pub struct Application {
    handle: *mut Handle,
    open: bool,
}

impl Application {
    /// Begins a login of a user's through a service, whose stack stands in a directory; by default in PAM's own.
    /// The files are read now, and not needed any more afterwards.
    pub fn start(
        service: &str,
        user: &str,
        directory: Option<&Path>,
    ) -> Result<Application, Refusal> {
        let (service, user) = (CString::new(service)?, CString::new(user)?);
        let directory = directory.map(|path| CString::new(path.as_os_str().as_encoded_bytes()));
        let directory = directory.transpose()?;
        let mut handle = ptr::null_mut();
        // SAFETY: strings that end in NUL and outlive the call, or null, a static, and a local target.
        let code = unsafe {
            pam_start_confdir(
                service.as_ptr(),
                user.as_ptr(),
                &raw const CONVERSATION,
                directory.as_ref().map_or(ptr::null(), |path| path.as_ptr()),
                &raw mut handle,
            )
        };
        let application = Application {
            handle,
            open: false,
        };
        application.done(code).map(|()| application)
    }

    /// The terminal and the remote host; an empty one is not set.
    pub fn comes_from(&mut self, tty: &str, rhost: &str) -> Result<(), Refusal> {
        for (item, value) in [(PAM_TTY, tty), (PAM_RHOST, rhost)] {
            if value.is_empty() {
                continue;
            }
            let value = CString::new(value)?;
            // SAFETY: the handle is open; libpam copies the string.
            let code = unsafe { pam_set_item(self.handle, item, value.as_ptr().cast()) };
            self.done(code)?;
        }
        Ok(())
    }

    /// The account phase, and the session. In a berth that has namespaces this process is in them
    /// afterwards, and so is what it starts.
    pub fn open(&mut self) -> Result<(), Refusal> {
        // SAFETY: the handle is open.
        self.done(unsafe { pam_acct_mgmt(self.handle, 0) })?;
        // SAFETY: as above.
        self.done(unsafe { pam_open_session(self.handle, 0) })?;
        self.open = true;
        Ok(())
    }

    /// Has the modules set the user's credentials, to which pam_group adds groups.
    pub fn establish_credentials(&mut self) -> Result<(), Refusal> {
        // SAFETY: the handle is open.
        self.done(unsafe { pam_setcred(self.handle, PAM_ESTABLISH_CRED) })
    }

    /// The session's environment. What libpam hands over for it is not freed: this is asked once, by a process
    /// that then only waits.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        // SAFETY: the handle is open.
        let mut entry = unsafe { pam_getenvlist(self.handle) };
        let mut variables = Vec::new();
        // SAFETY: null, or in an array of strings that ends in a null pointer (pam_getenvlist(3)).
        while let Some(text) = unsafe { entry.as_ref() }.filter(|text| !text.is_null()) {
            // SAFETY: one of these strings.
            let text = unsafe { CStr::from_ptr(*text) }.to_bytes();
            let mut parts = text.splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                variables.push((name.to_owned(), value.to_owned()));
            }
            // SAFETY: the array goes on behind an entry that is not null.
            entry = unsafe { entry.add(1) };
        }
        variables
    }

    /// A variable of the session's environment.
    pub fn variable(&self, name: &CStr) -> Option<String> {
        // SAFETY: the handle is open.
        let value = unsafe { pam_getenv(self.handle, name.as_ptr()) };
        // SAFETY: null, or a string that libpam keeps until its next call.
        (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_string_lossy().into())
    }

    fn done(&self, code: c_int) -> Result<(), Refusal> {
        if code == PAM_SUCCESS {
            return Ok(());
        }
        // SAFETY: it looks at the code alone; the handle may be null.
        let text = unsafe { pam_strerror(self.handle, code) };
        if text.is_null() {
            return Err(Refusal(format!("PAM error {code}")));
        }
        // SAFETY: a static string of libpam's.
        let text = unsafe { CStr::from_ptr(text) };
        Err(Refusal(text.to_string_lossy().into()))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        let mut status = PAM_SUCCESS;
        if self.open {
            // SAFETY: the handle is open.
            status = unsafe { pam_close_session(self.handle, 0) };
        }
        // SAFETY: the handle is open, and not used again. Nobody is left to be told of an error.
        unsafe { pam_end(self.handle, status) };
    }
}

/// Shows what modules say. Nobody is asked anything: no module of the stack has a question.
extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    _data: *mut c_void,
) -> c_int {
    let Ok(length) = usize::try_from(count) else {
        return PAM_CONV_ERR;
    };
    if messages.is_null() || responses.is_null() {
        return PAM_CONV_ERR;
    }
    // SAFETY: an array of `count` pointers (pam_conv(3)), there until we return.
    let messages = unsafe { std::slice::from_raw_parts(messages, length) };
    for message in messages {
        // SAFETY: each of them to a message that is there until we return.
        let Some(message) = (unsafe { message.as_ref() }) else {
            return PAM_CONV_ERR;
        };
        if !matches!(message.style, PAM_ERROR_MSG | PAM_TEXT_INFO) || message.text.is_null() {
            return PAM_CONV_ERR;
        }
        // SAFETY: a string that is there until we return.
        let text = unsafe { CStr::from_ptr(message.text) };
        eprintln!("{}", text.to_string_lossy());
    }
    // SAFETY: no pointers. Zeroes are empty answers; libpam frees them.
    let answers = unsafe { libc::calloc(length.max(1), size_of::<Response>()) };
    if answers.is_null() {
        return PAM_BUF_ERR;
    }
    // SAFETY: checked above, and ours to set.
    unsafe { responses.write(answers.cast()) };
    PAM_SUCCESS
}
