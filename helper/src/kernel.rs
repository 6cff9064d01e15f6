//! Whether this kernel has what Berth is built on.

use berth_session::kernel::is_too_old;
use nix::sys::utsname::uname;

use crate::error::{Error, Result, system};

/// Refuses an older kernel by name, instead of failing halfway through with ENOENT.
pub fn is_new_enough() -> Result<()> {
    let name = uname().map_err(system("ask for the kernel's version"))?;
    let release = name.release().to_string_lossy();
    if is_too_old(&release) {
        return Err(Error::Kernel {
            release: release.into_owned(),
        });
    }
    Ok(())
}
