//! `berth user-manager`: what user@.service runs in place of `systemd --user`.
//!
//! systemd itself opens that unit's PAM session, and then execs in place: its program would stay in the old PID
//! namespace. This is a PAM application that forks. It opens the same session through the same stack, in which
//! pam_berth joins the user's berth where the policy says `user_manager = "isolated"`, and starts the manager as a
//! child, there or where it would be without Berth. Then it is systemd's main process of the unit: signals are
//! passed on, and its end is the manager's.

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};

use berth_protocol::service::MANAGER;
use berth_session::{Group, Tree};
use nix::unistd::{Pid, Uid, User, getgroups, initgroups};

use crate::application::Application;
use crate::exit::{Exit, not_so};
use crate::sys::{self, Identity, Terminal};
use crate::{caller, program};

/// Where every distribution has it.
const PROGRAM: &str = "/usr/lib/systemd/systemd";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose
    #[arg(value_name = "UID")]
    uid: u32,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    if !caller::is_root() {
        return Err(
            Exit::Permission.because("only user@.service starts a user's service manager so")
        );
    }
    sys::own_umask();
    serve(arguments.uid).map_err(|why| {
        not_so(format!(
            "cannot run the service manager of user {}: {why}",
            arguments.uid
        ))
    })
}

fn serve(uid: u32) -> Result<Exit, String> {
    let account = User::from_uid(Uid::from_raw(uid)).map_err(|error| error.to_string())?;
    let account = account.ok_or("there is no such account")?;
    let name = std::ffi::CString::new(account.name.as_str()).map_err(|error| error.to_string())?;
    make_room(&account)?;
    // From here on one that comes is for the manager.
    sys::hold_signals_back().map_err(|error| format!("cannot hold signals back: {error}"))?;

    let refused = |refusal| {
        format!("PAM ({MANAGER}): {refusal}; the journal says why, and `berth log` if it was Berth")
    };
    initgroups(&name, account.gid).map_err(|error| format!("cannot set its groups: {error}"))?;
    let mut application = Application::start(MANAGER, &account.name, None).map_err(refused)?;
    application.establish_credentials().map_err(refused)?;
    application.open().map_err(refused)?;

    let mut command = Command::new(PROGRAM);
    // As systemd does it: what it says itself wins over what the modules say.
    let environment = std::env::vars_os();
    command.arg("--user").stdin(Stdio::null()).env_clear();
    command.envs(application.environment()).envs(environment);
    let groups = getgroups().map_err(|error| format!("cannot read its groups: {error}"))?;
    let identity = Identity {
        uid: account.uid,
        gid: account.gid,
        groups,
        home: account.dir,
    };
    sys::run_as(&mut command, identity, Terminal::Shared);
    let child = command
        .spawn()
        .map_err(|error| format!("cannot start {PROGRAM}: {error}"))?;
    let status = watch(child)?;
    drop(application);
    Ok(Exit::Of(status))
}

/// Passes every signal on to the manager, until it ends. Its exit status, as a shell has it.
fn watch(mut manager: Child) -> Result<u8, String> {
    let pid = Pid::from_raw(manager.id() as i32);
    loop {
        let signal = sys::next_signal();
        let signal = signal.map_err(|error| format!("cannot wait for signals: {error}"))?;
        if signal != libc::SIGCHLD {
            // It may have ended just now.
            let _ = sys::pass_on(signal, pid);
            continue;
        }
        match manager.try_wait() {
            Ok(Some(status)) => return Ok(program::code(status)),
            // Stopped or continued, or another child's, such as the helper's.
            Ok(None) => {}
            Err(error) => return Err(format!("cannot wait for it: {error}")),
        }
    }
}

/// Makes way in the cgroup of the unit, where systemd has put this process: the manager makes cgroups with
/// controllers below it, and the kernel has none of that beside processes. So it goes where the manager will be
/// too, and where systemd puts it itself since version 254 (DelegateSubgroup=). The unit is delegated to the user:
/// nothing here is systemd's.
fn make_room(account: &User) -> Result<(), String> {
    let told = |error: berth_session::Error| error.to_string();
    let tree = Tree::find().map_err(told)?;
    let this = std::process::id() as i32;
    let unit = format!("user@{}.service", account.uid);
    let here = tree.of_process(this).map_err(told)?;
    let Some(here) = here.filter(|group| group.name() == unit) else {
        return Ok(());
    };
    let own = here.child("init.scope");
    own.create().map_err(told)?;
    for file in [
        "",
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.subtree_control",
    ] {
        give(&own, file, account).map_err(|error| {
            format!("cannot give {}/{file} away: {error}", own.path().display())
        })?;
    }
    own.write("cgroup.procs", "0").map_err(told)
}

fn give(group: &Group, file: &str, account: &User) -> std::io::Result<()> {
    let path = group.path().join(file);
    // Only what is there: it depends on the kernel.
    match fs::exists(&path)? {
        true => chown(
            &path,
            Some(account.uid.as_raw()),
            Some(account.gid.as_raw()),
        ),
        false => Ok(()),
    }
}
