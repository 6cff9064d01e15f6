//! berth-helper: sets up and keeps one login. Started by the PAM module, as root, never setuid.
//!
//! Start with [`login::serve`]: it is the whole story, in order.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod accounting;
mod apply;
mod audit;
mod basis;
mod caps;
mod cgroupfs;
mod chroot;
mod decide;
mod error;
mod frozen;
mod idmap;
mod init;
mod keeper;
mod kernel;
mod kernel_log;
mod label;
mod leader;
mod login;
mod motd;
mod mounts;
mod notice;
mod opening;
#[cfg(test)]
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;
mod pam_group;
mod prepared;
mod privilege;
mod rlimits;
mod settings;
mod shared;
mod standby;
mod strangers;
mod sys;
mod systemd;
mod terminals;

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use berth_protocol::Channel;
use berth_session::Line;
use nix::sys::prctl;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

/// Where the module leaves its end of the conversation.
const SOCKET: i32 = 3;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // To a person who has typed it; the module gives it /dev/null.
            eprintln!("berth-helper: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    // In the log, too, where the module has said that the reason stands.
    privilege::refuse_unless_root()
        .inspect_err(|error| Line::new("helper").field("error", error).error())?;
    let mut words = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let socket = match words.next().as_deref() {
        Some("apply") => return apply::run(words),
        Some("--session") => sys::inherited(SOCKET),
        Some("--version") => {
            let version = concat!("berth-helper ", env!("CARGO_PKG_VERSION"));
            return writeln!(std::io::stdout(), "{version}").map_err(|error| error.to_string());
        }
        _ => None,
    };
    let Some(socket) = socket else {
        return Err("the PAM module pam_berth.so starts it; there is nothing to do by hand".into());
    };
    // The kernel's word on who made the socket: no message can claim to be another process.
    let peer = getsockopt(&socket, sockopt::PeerCredentials)
        .map_err(|errno| format!("descriptor {SOCKET} is not the module's socket: {errno}"))?;
    if peer.uid() != 0 {
        return Err(format!("refusing a request of UID {}", peer.uid()));
    }
    sys::reset_limits();
    sys::reset_personality();
    sys::reset_scheduling();
    // How late the kernel may wake this process, which comes from the application too: who runs su could have what they leave
    // running ended a day after the time. It is the kernel's own value, and cannot be refused.
    let _ = prctl::set_timerslack(50_000);
    // Inherited by the keeper and the init: a user's OOM must not take them. Refused in a container
    // without the right; then they are as killable as their parent.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    privilege::for_setup().map_err(|error| error.to_string())?;
    login::serve(Channel::from_fd(socket), Pid::from_raw(peer.pid()))
        .inspect_err(|error| Line::new("helper").field("error", error).error())
        .map_err(|error| error.to_string())
}
