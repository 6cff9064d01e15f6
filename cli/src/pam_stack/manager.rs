//! The drop-in that has Berth start the users' service managers.
//!
//! It is there where PAM's service systemd-user has Berth's lines, and nowhere else: each without the other changes
//! nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use berth_session::remove_file;

use super::Change;
use crate::replace::replace;

/// Where it is.
pub const DROP_IN: &str = "/etc/systemd/system/user@.service.d/50-berth.conf";

/// Where packages and packaging/install put the program: one that is typed in a tree need not be root's alone, or stay.
pub const PROGRAM: &str = "/usr/bin/berth";

/// What the drop-in has systemd start.
pub fn start() -> String {
    format!("ExecStart=+{PROGRAM} user-manager %i\n")
}

fn text() -> String {
    format!(
        "# Put here by \"berth pam enable systemd-user\"; \"berth pam disable systemd-user\" takes it away.\n\
         [Service]\n\
         # As root: Berth opens the PAM session, in the place of systemd, and starts the manager as the user.\n\
         ExecStart=\n\
         {}\
         # The manager, which tells systemd of itself, is a child.\n\
         NotifyAccess=all\n",
        start()
    )
}

/// A stack without pam_systemd: since version 256 logind would take a test login for the user's manager itself.
pub fn without_logind(stack: &str) -> String {
    let lines = stack.split_inclusive('\n');
    lines
        .filter(|line| !line.contains("pam_systemd.so"))
        .collect()
}

/// Puts it there or takes it away, together with a change to the file of PAM's. Managers that run stay as they are.
pub fn with_drop_in(
    change: Change,
    change_file: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let (done, undo): (_, fn() -> io::Result<()>) = match change {
        Change::Enable => (put(), take),
        Change::Disable => (take(), put),
    };
    done.map_err(|error| format!("cannot change {DROP_IN}: {error}"))?;
    change_file().inspect_err(|_| {
        // What could not be done leaves no trace; if this fails too, it changes nothing by itself.
        let _ = undo();
    })?;
    let reload = Command::new("systemctl").arg("daemon-reload").status();
    if !reload.is_ok_and(|status| status.success()) {
        eprintln!("berth: systemd has not read {DROP_IN}: type systemctl daemon-reload");
    }
    Ok(())
}

fn put() -> io::Result<()> {
    let path = Path::new(DROP_IN);
    // Without it no user's manager would start.
    fs::metadata(PROGRAM).map_err(|error| {
        io::Error::other(format!("it starts {PROGRAM}: {error}: install Berth first"))
    })?;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    replace(path, text().as_bytes(), None)
}

fn take() -> io::Result<()> {
    remove_file(DROP_IN)?;
    // Where it is empty now.
    let _ = fs::remove_dir(Path::new(DROP_IN).parent().unwrap_or(Path::new(DROP_IN)));
    Ok(())
}
