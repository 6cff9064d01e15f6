//! The verbs, one file each: its arguments, and `run`.

mod apply;
mod check;
mod completions;
mod diff;
mod doctor;
mod edit;
mod enter;
mod explain;
mod freeze;
mod kill;
mod list;
mod log;
mod metrics;
mod pam;
mod reload;
mod report;
mod set;
mod show;
mod top;
mod r#try;
mod unset;
mod user_manager;

use clap::Subcommand;

use crate::caller;
use crate::exit::Exit;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check the policy, or the files named
    Check(check::Arguments),
    /// Edit the policy, check it, and put it in force
    Edit(edit::Arguments),
    /// Check the edited policy and put it in force
    Reload(reload::Arguments),
    /// Show what differs between two policies (by default: the one in force and the edited one)
    Diff(diff::Arguments),
    /// Show what a user gets, and why
    Explain(explain::Arguments),
    /// List sessions, users or pools, and what they use
    List(list::Arguments),
    /// Show a session, a user, a pool or a profile in full
    #[command(visible_alias = "status")]
    Show(show::Arguments),
    /// Watch who uses the machine, and freeze, thaw or end them by a key
    Top(top::Arguments),
    /// Show what happened: logins, ends, what caps did, what admins did
    Log(log::Arguments),
    /// Sum up what sessions that have ended used
    Report(report::Arguments),
    /// Print figures of users, pools and logins for Prometheus
    Metrics(metrics::Arguments),
    /// Bring the caps of who is logged in to what the policy says now
    Apply(apply::Arguments),
    /// Give a user other caps for a while
    Set(set::Arguments),
    /// End a user's exceptions, or forgive a penalty
    Unset(unset::Arguments),
    /// End sessions, or signal what runs in them
    Kill(kill::Arguments),
    /// Stop all that a session, a user or a pool runs, until it is thawed
    Freeze(freeze::Arguments),
    /// Let what is frozen go on
    Thaw(freeze::Arguments),
    /// Get a root shell, or run a command, in a session's namespaces
    Enter(enter::Arguments),
    /// Run a command as a login of a user's would, without touching PAM's files
    Try(r#try::Arguments),
    /// Put Berth's lines into PAM's files, take them out, or tell where they are
    Pam(pam::Arguments),
    /// Print what a shell completes `berth` with
    Completions(completions::Arguments),
    /// Run a user's service manager; what user@.service does instead of it (berth pam enable systemd-user)
    #[command(hide = true)]
    UserManager(user_manager::Arguments),
    /// Look for what keeps Berth from doing what the policy says
    Doctor(doctor::Arguments),
}

impl Verb {
    /// What `berth` alone does.
    pub fn bare() -> Verb {
        match caller::is_root() {
            true => Verb::List(list::Arguments::default()),
            false => Verb::Show(show::Arguments::default()),
        }
    }

    pub fn run(self) -> Exit {
        let ended = match self {
            Verb::Check(arguments) => check::run(&arguments),
            Verb::Edit(arguments) => edit::run(&arguments),
            Verb::Reload(arguments) => reload::run(&arguments),
            Verb::Diff(arguments) => diff::run(&arguments),
            Verb::Explain(arguments) => explain::run(&arguments),
            Verb::List(arguments) => list::run(&arguments),
            Verb::Show(arguments) => show::run(&arguments),
            Verb::Top(arguments) => top::run(&arguments),
            Verb::Log(arguments) => log::run(&arguments),
            Verb::Report(arguments) => report::run(&arguments),
            Verb::Metrics(arguments) => metrics::run(&arguments),
            Verb::Apply(arguments) => apply::run(&arguments),
            Verb::Set(arguments) => set::run(&arguments),
            Verb::Unset(arguments) => unset::run(&arguments),
            Verb::Kill(arguments) => kill::run(&arguments),
            Verb::Freeze(arguments) => freeze::run(freeze::Change::Freeze, &arguments),
            Verb::Thaw(arguments) => freeze::run(freeze::Change::Thaw, &arguments),
            Verb::Enter(arguments) => enter::run(&arguments),
            Verb::Try(arguments) => r#try::run(&arguments),
            Verb::Completions(arguments) => completions::run(&arguments),
            Verb::Pam(arguments) => pam::run(&arguments),
            Verb::UserManager(arguments) => user_manager::run(&arguments),
            Verb::Doctor(arguments) => doctor::run(&arguments),
        };
        let (Ok(exit) | Err(exit)) = ended;
        exit
    }
}

/// A service is the name of a file, which libpam takes in small letters.
fn service(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match text.bytes().all(good) && !text.is_empty() && !text.starts_with('.') {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a service is a name of letters, digits, - and _".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_no_path() {
        assert_eq!(service("su-l"), Ok("su-l".into()));
        assert_eq!(service("SSHD"), Ok("sshd".into()));
        for text in ["", "..", ".x", "a/b", "a b", "a\n"] {
            assert!(service(text).is_err(), "{text:?}");
        }
    }
}
