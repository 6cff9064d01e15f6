//! Test logins through a stack that is not in force yet.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_config::Policy;
use berth_config::outcome::Outcome;
use berth_protocol::service::MANAGER;
use berth_session::{Record, Role};

use super::Services;
use crate::application::Application;
use crate::pam_stack::{Change, manager};
use crate::place::SILENT;
use crate::replace::Original;
use crate::{place, sys};
use berth_config::pam_files::Folders;

/// Where the copy of /etc/pam.d stands meanwhile. Only one change is made at a time.
const COPY: &str = "/run/berth-pam";

/// How long a test login may take: longer than pam_berth waits for anything, and pam_systemd for a systemd that is well.
const DEADLINE: Duration = Duration::from_secs(60);

/// How many users are tried, until one could log in before the change too.
const CANDIDATES: usize = 5;

/// A change of a service's file, before it is made.
pub struct Trial<'a> {
    pub folders: &'a Folders,
    pub service: &'a str,
    /// The file as it is now.
    pub before: &'a Original,
    /// What will be in it.
    pub after: &'a str,
}

/// Why a trial shows nothing good.
enum Why {
    /// With the change somebody does not get in, or still gets a berth.
    Fails(String),
    /// Nobody could be tested.
    Untested(String),
}

impl Trial<'_> {
    /// Logs root in, and who is named or some local user whom the policy covers. Prints what came of it.
    pub fn run(&self, change: Change, options: &Services, untested: bool) -> Result<(), String> {
        let service = self.service;
        match (self.logins(change, options.user.as_deref()), change) {
            (Ok(()), _) => Ok(()),
            (Err(Why::Fails(why)), _) => Err(why),
            (Err(Why::Untested(why)), Change::Enable) if !untested => {
                Err(format!("{why}; --untested puts the lines in all the same"))
            }
            // The way out has to be open all the same.
            (Err(Why::Untested(why)), _) => {
                println!("{service}: no user is tested: {why}");
                Ok(())
            }
        }
    }

    fn logins(&self, change: Change, user: Option<&str>) -> Result<(), Why> {
        let service = self.service;
        // A thread that waits for NSS holds a lock there, and the child that logs in would wait for that.
        if berth_config::is_silent() {
            return Err(Why::Untested(SILENT.into()));
        }
        match self.of(change, "root")? {
            Some(_) => println!("{service}: root logs in"),
            None => println!("{service}: root cannot log in here, before the change and after"),
        }
        let candidates = match user {
            Some(user) => vec![user.to_owned()],
            None => covered(service).map_err(Why::Untested)?,
        };
        for user in candidates.into_iter().take(CANDIDATES) {
            let Some(place) = self.of(change, &user)? else {
                continue;
            };
            match (place, change) {
                (Place::Berth, Change::Enable) => {
                    println!("{service}: {user} logs in, into a berth");
                }
                (Place::Berth, Change::Disable) => {
                    return Err(Why::Fails(format!("{user} would still get a berth")));
                }
                (Place::Outside, Change::Disable) => println!("{service}: {user} logs in"),
                (Place::Outside, Change::Enable) => {
                    println!("{service}: {user} logs in, WITHOUT a berth; `berth log` says why")
                }
            }
            return Ok(());
        }
        Err(Why::Untested(match user {
            Some(user) => format!("{user} cannot log in here, before the change and after"),
            None => {
                "no local user whom the policy covers can log in here: name one (--user)".into()
            }
        }))
    }

    /// How a user logs in after the change. What fails in the same way without it is no fault of it: of that is no answer.
    fn of(&self, change: Change, user: &str) -> Result<Option<Place>, Why> {
        let why = match self.log_in(self.after, user) {
            Err(Why::Fails(why)) => why,
            // One that hangs through the new stack alone is kept out by it. The way out does not wait to know.
            Err(Why::Untested(why)) if change == Change::Enable => why,
            other => return other.map(Some),
        };
        match self.log_in(&self.before.text, user) {
            Ok(_) => Err(Why::Fails(format!("{user} could not log in: {why}"))),
            Err(Why::Fails(_)) => Ok(None),
            Err(untested) => Err(untested),
        }
    }

    fn log_in(&self, text: &str, user: &str) -> Result<Place, Why> {
        let text = match self.service == MANAGER {
            true => &manager::without_logind(text),
            false => text,
        };
        let folder = Folder::new(self.folders, self.service, &self.before.bytes(text));
        let folder = folder.map_err(|error| {
            Why::Untested(format!("cannot copy /etc/pam.d for a test: {error}"))
        })?;
        folder.log_in(self.service, user)
    }
}

/// A login that went well.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In a berth.
    Berth,
    /// Outside.
    Outside,
}

/// A copy of PAM's folder, by links, in which one file is another. It is removed with this.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new(folders: &Folders, service: &str, text: &[u8]) -> io::Result<Folder> {
        let copy = Path::new(COPY);
        match fs::remove_dir_all(copy) {
            // Left by one that was killed.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        DirBuilder::new().mode(0o700).create(copy)?;
        let made = Folder(copy.into());
        fs::write(copy.join(service), text)?;
        for folder in folders.each().filter(|folder| folder.is_dir()) {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match symlink(entry.path(), copy.join(entry.file_name())) {
                    // The folder before wins.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => made?,
                }
            }
        }
        Ok(made)
    }

    /// Logs a user in and out again.
    fn log_in(&self, service: &str, user: &str) -> Result<Place, Why> {
        let said = sys::in_child(DEADLINE, || {
            let attempt = || {
                // Now: from within a berth it is not to be seen.
                let own = Role::of(std::process::id() as i32);
                let mut application = Application::start(service, user, Some(&self.0))?;
                let tty = if service == "sshd" { "ssh" } else { "" };
                application.comes_from(tty, "")?;
                application.open()?;
                // Of any session: pam_env may have it from the user's home.
                let named = application.variable(c"BERTH_SESSION");
                let record = named.and_then(|id| Record::read(id.parse().ok()?).ok());
                Ok(record.is_some_and(|record| Some(record.leader) == own))
            };
            match attempt() {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(refusal) => {
                    let refusal: crate::application::Refusal = refusal;
                    eprintln!("{refusal}");
                    2
                }
            }
        });
        match said {
            Ok((0, _)) => Ok(Place::Berth),
            Ok((1, _)) => Ok(Place::Outside),
            Ok((_, said)) => Err(Why::Fails(said.trim_end().replace('\n', "; "))),
            // The next one's would hang as well.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let seconds = DEADLINE.as_secs();
                Err(Why::Untested(format!(
                    "{user}'s login gave no answer within {seconds} s"
                )))
            }
            Err(error) => Err(Why::Fails(error.to_string())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("berth: cannot remove {COPY}: {error}");
        }
    }
}

/// The local users whom the policy covers, in the order of /etc/passwd.
fn covered(service: &str) -> Result<Vec<String>, String> {
    let policy = Policy::load_system();
    let policy = policy.map_err(|error| format!("the policy cannot be used: {error}"))?;
    let machine = place::machine();
    let machine = machine.map_err(|error| format!("this machine cannot be looked at: {error}"))?;
    let local = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let local: HashSet<&str> = local
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    let mut logins = place::accounts()?;
    logins.retain(|login| local.contains(&*login.user));
    logins.retain_mut(|login| {
        login.service = service.into();
        let decision = policy.decide(login, &machine);
        decision.is_ok_and(|decision| matches!(decision.outcome, Outcome::Berth(_)))
    });
    Ok(logins.into_iter().map(|login| login.user).collect())
}
