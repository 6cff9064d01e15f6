//! `pam_sm_close_session`: the way back where there is one, and letting the session go.

use crate::arguments::{Arguments, Line};
use crate::host::{Host, Level};

/// One call. Never fails a logout: there is nothing that an application could do about it, and the helper
/// ends the session in any case, at the latest with the login's process.
pub fn close<H: Host>(host: &mut H, arguments: &Arguments) {
    if matches!(arguments.line, Line::Close | Line::Whole) {
        // Only for sessions without a user namespace; out of one there is no way back.
        if let Err(errno) = host.return_home() {
            host.log(
                Level::Warning,
                &format!(
                    "cannot go back to the host's namespaces, so other modules' clean-up may fail: {}",
                    errno.desc()
                ),
            );
        }
    }
    if matches!(arguments.line, Line::Open | Line::Whole) {
        host.release();
    }
}
