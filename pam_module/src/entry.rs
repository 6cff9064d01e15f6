//! What libpam calls. Nothing but the border: arguments in, a code out, no panic across.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use berth_protocol::{OnError, Phase};
use pam_sys::types::PamHandle;

use crate::arguments::Arguments;
use crate::close::close;
use crate::code::{Code, Verdict};
use crate::host::{ExemptList, Host, Item, Level};
use crate::live::Live;
use crate::login::{decide, on_error};
use crate::pam::{Application, PAM_SILENT};

/// More arguments than anybody writes.
const MOST_ARGUMENTS: c_int = 64;

/// What libpam passes to each function.
struct Call {
    handle: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
}

macro_rules! entry_points {
    ($($name:ident: $answer:expr;)*) => {$(
        /// # Safety
        /// Called by libpam alone, as security/pam_modules.h says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            handle: *mut PamHandle,
            flags: c_int,
            argc: c_int,
            argv: *const *const c_char,
        ) -> c_int {
            let answer: fn(Call) -> c_int = $answer;
            answer(Call { handle, flags, argc, argv })
        }
    )*};
}

entry_points! {
    pam_sm_authenticate: |_| Code::IGNORE.0;
    pam_sm_setcred: |_| Code::IGNORE.0;
    pam_sm_chauthtok: |_| Code::IGNORE.0;
    pam_sm_acct_mgmt: |call| call.run(|host, arguments| login(host, arguments, Phase::Account));
    pam_sm_open_session: |call| call.run(|host, arguments| login(host, arguments, Phase::Session));
    pam_sm_close_session: |call| call.run(|host, arguments| {
        // After a panic the helper still ends the session when the login's process ends.
        let _ = caught(host, |host| close(host, arguments));
        Code::SUCCESS.0
    });
}

impl Call {
    fn run(self, answer: impl FnOnce(&mut Live<'_>, &Arguments) -> c_int) -> c_int {
        // SAFETY: libpam's own handle, used in this call only.
        let application = unsafe { Application::new(self.handle) };
        // SAFETY: libpam's own arguments.
        let arguments = unsafe { arguments(self.flags, self.argc, self.argv) };
        answer(&mut Live::new(&application), &arguments)
    }
}

/// The line's arguments.
///
/// # Safety
/// `argv` points to `argc` NUL-terminated strings, or is null.
unsafe fn arguments(flags: c_int, argc: c_int, argv: *const *const c_char) -> Arguments {
    silence_panics();
    let mut texts = Vec::new();
    for index in 0..argc.min(MOST_ARGUMENTS) {
        if argv.is_null() {
            break;
        }
        // SAFETY: `index` is below `argc`.
        let place = unsafe { argv.offset(index as isize) };
        // SAFETY: as before: this place in the array is filled.
        let text = unsafe { *place };
        if !text.is_null() {
            // SAFETY: libpam's strings end in a NUL and outlive the call.
            texts.push(unsafe { CStr::from_ptr(text) }.to_bytes());
        }
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| Arguments::parse(texts)));
    let mut arguments = parsed.unwrap_or_else(|_| Arguments {
        problems: vec!["panic while reading them".into()],
        ..Arguments::default()
    });
    if argc > MOST_ARGUMENTS {
        arguments.problems.push("too many arguments".into());
    }
    arguments.quiet |= flags & PAM_SILENT != 0;
    arguments
}

/// One call that decides about a login.
pub fn login<H: Host>(host: &mut H, arguments: &Arguments, phase: Phase) -> c_int {
    let verdict = caught(host, |host| decide(host, arguments, phase)).unwrap_or_else(|| {
        // Where a session was to be opened it is not known how far that had come, so this is not `on_error` of an untouched
        // application, unless the line itself says that errors of ours lock out nobody. Root gets in whatever is broken.
        let is_allowed = match phase {
            Phase::Account => caught(host, |host| on_error(host, arguments)),
            Phase::Session => arguments.on_error,
        } == Some(OnError::Allow);
        let mut root = || {
            caught(host, |host| {
                let user = host.item(Item::User).unwrap_or_default();
                user == b"root" || host.exempt(ExemptList::RootOnly, &user).unwrap_or(false)
            })
        };
        if is_allowed || root() == Some(true) {
            Verdict::Pass
        } else {
            Verdict::Failed
        }
    });
    verdict.code(phase).0
}

/// Runs this; a panic is logged, and `None`.
fn caught<H: Host, T>(host: &mut H, run: impl FnOnce(&mut H) -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(|| run(host))) {
        Ok(result) => Some(result),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            let line = format!("panic, which is a bug in Berth: {message}");
            // Logging is all that is left, and if that panics too there is nothing.
            let _ = catch_unwind(AssertUnwindSafe(|| host.log(Level::Error, &line)));
            // What cannot be dropped without another panic is leaked.
            std::mem::forget(panic);
            None
        }
    }
}

/// Rust's own hook would write to the application's standard error, and look into its environment. This
/// replaces it for this library alone, which has a standard library of its own.
fn silence_panics() {
    static ONCE: Once = Once::new();
    if cfg!(not(test)) {
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
}
