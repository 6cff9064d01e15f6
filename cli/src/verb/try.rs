//! `berth try`: a login as the policy says, without touching PAM's files.
//!
//! It is a PAM application of its own, with a stack in which pam_berth stands alone: the real libpam,
//! module and helper do the rest. So what is tried is what a login gets.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_config::outcome::Outcome;
use berth_config::{Decision, Login, Policy, Trust, check_files};
use nix::unistd::{Gid, Uid, User};

use crate::application::Application;
use crate::exit::{Exit, not_so};
use crate::sys::{Identity, Terminal};
use crate::{caller, paint, place, program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: that of CMD, or 128 and the signal that ended it; 1 the login was refused;
3 the policy has an error; 4 only root may do this.

The real module and helper open a real session, which `berth list` shows. pam_berth is
the only PAM module that runs, and nobody is asked for a password. Without CMD the user's
login shell is run. The FILE of --policy must be root's.")]
pub struct Arguments {
    /// Whose login to try
    #[arg(long, value_name = "USER")]
    user: String,
    /// The PAM service
    #[arg(long, default_value = "sshd", value_parser = super::service)]
    service: String,
    /// The terminal; under sshd it is always "ssh"
    #[arg(long)]
    tty: Option<String>,
    /// Where the login comes from
    #[arg(long, default_value = "", hide_default_value = true)]
    rhost: String,
    /// A policy file instead of the policy in force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Another pam_berth.so
    #[arg(long, value_name = "FILE", default_value = "pam_berth.so")]
    module: PathBuf,
    /// Another berth-helper
    #[arg(long, value_name = "FILE")]
    helper: Option<PathBuf>,
    /// A command for the user's shell, and its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("log somebody in")?;
    crate::sys::own_umask();
    let policy = policy(arguments.policy.as_deref())?;
    let login = login(arguments)?;
    let machine = place::machine().map_err(not_so)?;
    let decision = policy.explain(&login, &machine).map_err(not_so)?.decision;
    eprintln!("berth: {}", told(&login, &decision));
    let account = User::from_name(&login.user).map_err(not_so)?;
    let account = account.ok_or_else(|| not_so("the account is gone"))?;

    let mut application = start(arguments, &login)?;
    let opened = application
        .comes_from(&login.tty, &login.rhost)
        .and_then(|()| application.open());
    opened.map_err(|refusal| match decision.outcome {
        Outcome::Deny { .. } => not_so("refused, as the policy says"),
        _ => not_so(format!(
            "the login was refused ({refusal}); `berth log` says why"
        )),
    })?;
    let session = application.variable(c"BERTH_SESSION");
    match (&session, &decision.outcome) {
        (Some(session), _) => eprintln!("berth: session {session}"),
        (None, Outcome::Exempt) => {}
        (None, _) => {
            eprintln!("berth: let in WITHOUT a berth (on_error = \"allow\"); `berth log` says why")
        }
    }
    let status = shell(&arguments.command, &login, account, session)?;
    drop(application);
    Ok(Exit::Of(status))
}

/// The policy that decides, once it is known to be sound; its findings are shown.
fn policy(file: Option<&Path>) -> Result<Policy, Exit> {
    let Some(file) = file else {
        return Policy::load_system().map_err(place::policy_error);
    };
    let place = place::this_machine();
    // Root's alone: the helper reads it, and believes nobody else either.
    let checked =
        check_files(&[file.to_owned()], Trust::Root, Some(&place)).map_err(place::source_error)?;
    for finding in &checked.diagnostics {
        eprintln!("{}", paint::diagnostic(finding, &std::io::stderr()));
    }
    checked.policy.ok_or(Exit::Policy)
}

fn login(arguments: &Arguments) -> Result<Login, Exit> {
    let mut login = Login::of(&arguments.user).map_err(not_so)?;
    login.set_service(&arguments.service);
    if let Some(tty) = &arguments.tty {
        login.tty.clone_from(tty);
    }
    login.rhost.clone_from(&arguments.rhost);
    Ok(login)
}

/// `alice, service sshd: profile student, rule cs101`
fn told(login: &Login, decision: &Decision) -> String {
    let outcome = match &decision.outcome {
        Outcome::Exempt => "exempt, no berth".to_owned(),
        Outcome::Deny { .. } => "denied".to_owned(),
        Outcome::Berth(berth) => format!("profile {}", berth.profile),
    };
    let rule = decision.rule.as_ref();
    let rule = rule.map_or(String::new(), |rule| format!(", rule {rule}"));
    format!("{}, service {}: {outcome}{rule}", login.user, login.service)
}

/// Begins the login, with a stack that is there for just this moment.
fn start(arguments: &Arguments, login: &Login) -> Result<Application, Exit> {
    let stack = stack(arguments)?;
    // In a directory where only root makes names; one that is there already is an error.
    let directory = PathBuf::from(format!("/run/berth-try-{}", std::process::id()));
    let application = write(&directory, &login.service, &stack)
        .map_err(|error| not_so(format!("cannot write {}: {error}", directory.display())))
        .and_then(|()| {
            Application::start(&login.service, &login.user, Some(&directory))
                .map_err(|refusal| not_so(format!("cannot start PAM: {refusal}")))
        });
    if let Err(error) = fs::remove_dir_all(&directory) {
        eprintln!("berth: cannot remove {}: {error}", directory.display());
    }
    application
}

fn write(directory: &Path, service: &str, stack: &str) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)?;
    // libpam wants it to be there, and reads no other phase than the two.
    let none = ["auth", "account", "password", "session"];
    let none = none.map(|phase| format!("{phase} required pam_deny.so\n"));
    fs::write(directory.join("other"), none.concat())?;
    fs::write(directory.join(service), stack)
}

fn stack(arguments: &Arguments) -> Result<String, Exit> {
    let mut line = arguments.module.display().to_string();
    for (name, path) in [("policy", &arguments.policy), ("helper", &arguments.helper)] {
        let Some(path) = path else { continue };
        let path = fs::canonicalize(path)
            .map_err(|error| not_so(format!("cannot find {}: {error}", path.display())))?;
        // Brackets hold an argument with blanks together (pam.conf(5)).
        let path = path.display().to_string().replace(']', "\\]");
        line += &format!(" [{name}={path}]");
    }
    if line.contains('\n') {
        return Err(not_so("no path in a PAM stack can have a line break"));
    }
    Ok(format!(
        "account required {line}\nsession required {line}\n"
    ))
}

/// Runs the user's shell, or a command by it, as the login would.
fn shell(
    words: &[String],
    login: &Login,
    account: User,
    session: Option<String>,
) -> Result<u8, Exit> {
    let shell = match account.shell.as_os_str().is_empty() {
        true => PathBuf::from("/bin/sh"),
        false => account.shell,
    };
    let name = shell.file_name().unwrap_or_default().to_string_lossy();
    let mut command = Command::new(&shell);
    match words {
        [] => command.arg0(format!("-{name}")),
        _ => command.arg("-c").arg(words.join(" ")),
    };
    command
        .env_clear()
        .envs(program::kept())
        .env("HOME", &account.dir)
        .env("SHELL", &shell)
        .env("USER", &login.user)
        .env("LOGNAME", &login.user)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    if let Some(session) = session {
        command.env("BERTH_SESSION", session);
    }
    let identity = Identity {
        uid: Uid::from_raw(login.uid),
        gid: Gid::from_raw(login.gid),
        groups: login
            .groups
            .iter()
            .map(|group| Gid::from_raw(group.gid))
            .collect(),
        home: account.dir,
    };
    program::run(command, identity, Terminal::of(words))
}
