//! `berth enter`: a root shell in a session's namespaces, to see what its user sees.
//!
//! Only the namespaces are entered, not the cgroup: a session that is at its caps, or frozen, can be looked into. What
//! runs in there is root's, and so is all that it is looked up in: a user can mount nothing in a berth's mount
//! namespace, so /bin and /usr are the host's, and nothing of the caller's environment comes along. But it is not the
//! only one in there, so it gets what a login gets against whoever it becomes: no_new_privs, a keyring of its own and the
//! system call filter.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;

use berth_protocol::{Instruction, install_filter, new_session_keyring};
use berth_session::filter::{self, Sockets, UserNamespaces};
use berth_session::{Record, SessionId, State};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Pid, Uid, User};

use crate::exit::{Exit, not_so};
use crate::object::Object;
use crate::sys::{self, Identity, Terminal};
use crate::{admin_log, caller, live, program};

/// Where programs are looked for: where only root can put them.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: that of CMD, or 128 and the signal that ended it; 1 there is no such session,
or it cannot be entered; 4 only root may do this.

CMD is run as it is, without a shell; without CMD it is root's shell. It is in the
namespaces of the session, and outside its cgroup: the session's caps do not count, and it
may be frozen. It ends with the session, if that has a PID namespace.")]
pub struct Arguments {
    /// The session
    #[arg(value_parser = session)]
    session: SessionId,
    /// A command, and its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

fn session(text: &str) -> Result<SessionId, &'static str> {
    let no_session = |_| "write its number, as in 12; `berth list` has it";
    text.parse().map_err(no_session)
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("enter sessions")?;
    sys::own_umask();
    let record = &live::one(arguments.session)?;
    // Before the join: root's account is the host's.
    let shell = shell();
    let failed = |why: String| not_so(format!("cannot enter session {}: {why}", record.id));
    let init = init(record).map_err(failed)?;
    // Inside, nobody can tell who this is.
    admin_log::log(
        "enter",
        Some(&Object::Session(record.id)),
        &[("user", record.user.clone())],
    );
    join(record, init).map_err(failed)?;

    let (name, words) = match arguments.command.split_first() {
        Some((name, words)) => (PathBuf::from(name), words),
        None => (shell.clone(), &[][..]),
    };
    let mut command = Command::new(&name);
    command
        .args(words)
        .env_clear()
        .envs(program::kept())
        .env("HOME", "/root")
        .env("SHELL", &shell)
        .env("USER", "root")
        .env("LOGNAME", "root")
        .env("PATH", PATH)
        .env("BERTH_SESSION", record.id.to_string());
    let terminal = Terminal::of(&arguments.command);
    program::run(command, Identity::root(), terminal).map(Exit::Of)
}

fn shell() -> PathBuf {
    let root = User::from_uid(Uid::from_raw(0)).ok().flatten();
    let shell = root.map(|root| root.shell);
    let shell = shell.filter(|shell| shell.is_absolute());
    shell.unwrap_or_else(|| "/bin/sh".into())
}

/// The init of the session's namespaces, if it has any.
fn init(record: &Record) -> Result<Option<OwnedFd>, String> {
    if record.state == State::Opening {
        return Err("it is still being opened".into());
    }
    let Some(init) = record.init else {
        return Ok(None);
    };
    let process = sys::pidfd_open(Pid::from_raw(init.pid)).ok();
    // The PID may be another's by now; the descriptor, once looked at, cannot.
    let process = process.filter(|_| init.is_alive());
    let gone = "the init of its namespaces has ended, and they with it";
    process.map(Some).ok_or_else(|| gone.into())
}

/// Puts this process, and whatever it starts, into the session's namespaces.
fn join(record: &Record, init: Option<OwnedFd>) -> Result<(), String> {
    match init {
        Some(init) => setns(init, namespaces(record))
            .map_err(|errno| format!("its namespaces cannot be joined: {errno}"))?,
        None => eprintln!(
            "berth: session {} has no namespaces of its own: this is the host",
            record.id
        ),
    }
    // UID 0 of a user namespace is the host's. Whoever this becomes in there (by su) must not become it by a setuid
    // program, nor read the keys of who typed this.
    nix::sys::prctl::set_no_new_privs()
        .and_then(|()| new_session_keyring())
        .and_then(|()| install_filter(&filter_of(record)))
        .map_err(|errno| format!("privileges cannot be given up: {errno}"))
}

/// What is refused in there: whoever this becomes could else type into root's terminal, and do what no login of the session's
/// could.
fn filter_of(record: &Record) -> Vec<Instruction> {
    // Its own limit refuses them, where the policy does.
    let user_namespaces = match record.namespaces.user {
        Some(_) => UserNamespaces::Allowed,
        None => UserNamespaces::Refused,
    };
    let sockets = match record.namespaces.net {
        Some(_) => Sockets::OfTheNetwork,
        None => Sockets::Any,
    };
    filter::build(user_namespaces, sockets)
}

fn namespaces(record: &Record) -> CloneFlags {
    let own = &record.namespaces;
    [
        (own.user, CloneFlags::CLONE_NEWUSER),
        (own.pid, CloneFlags::CLONE_NEWPID),
        (own.ipc, CloneFlags::CLONE_NEWIPC),
        (own.mount, CloneFlags::CLONE_NEWNS),
        (own.uts, CloneFlags::CLONE_NEWUTS),
        (own.net, CloneFlags::CLONE_NEWNET),
    ]
    .into_iter()
    .filter_map(|(inode, flag)| inode.map(|_| flag))
    .collect()
}
