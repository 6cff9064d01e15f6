//! Test logins through a stack that is not in force yet.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_config::outcome::Outcome;
use berth_config::{Places, Policy};
use berth_protocol::service::MANAGER;

use super::change::Change;
use super::manager;
use crate::application::Application;
use crate::place::SILENT;
use crate::{place, sys};
use berth_config::pam_files::Folders;

/// Where the copy of /etc/pam.d stands meanwhile. Only one change is made at a time.
const COPY: &str = "/run/berth-pam";

/// How long a test login may take: longer than pam_berth and pam_systemd wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// How many users are tried, until one could log in before the change too.
const CANDIDATES: usize = 5;

/// A change of a service's file, before it is made.
pub struct Trial<'a> {
    pub folders: &'a Folders,
    pub service: &'a str,
    /// What is in the file now.
    pub before: &'a str,
    /// What will be.
    pub after: &'a str,
}

impl Trial<'_> {
    /// Logs root in, and who is named or some local user whom the policy covers. Prints what came of it.
    pub fn run(&self, change: Change, user: Option<&str>) -> Result<(), String> {
        let service = self.service;
        // A thread that waits for NSS holds a lock there, and the child that logs in would wait for that. The way out has to
        // be open all the same.
        let untried = |why: &str| match change {
            Change::Enable => Err(why.to_owned()),
            Change::Disable => {
                println!("{service}: no user is tried: {why}");
                Ok(())
            }
        };
        if berth_config::is_silent() {
            return untried(SILENT);
        }
        match self.of("root")? {
            Some(_) => println!("{service}: root logs in"),
            None => println!("{service}: root cannot log in here, before the change and after"),
        }
        let candidates = match user {
            Some(user) => vec![user.to_owned()],
            None => match covered(service) {
                Ok(users) => users,
                Err(why) => return untried(why),
            },
        };
        for user in candidates.into_iter().take(CANDIDATES) {
            let Some(place) = self.of(&user)? else {
                continue;
            };
            match (place, change) {
                (Place::Berth, _) => println!("{service}: {user} logs in, into a berth"),
                (Place::Outside, Change::Disable) => println!("{service}: {user} logs in"),
                (Place::Outside, Change::Enable) => {
                    println!("{service}: {user} logs in, WITHOUT a berth; `berth log` says why")
                }
            }
            return Ok(());
        }
        match user {
            Some(user) => {
                println!("{service}: {user} cannot log in here, before the change and after");
            }
            None => println!("{service}: no local user whom the policy covers could be tested"),
        }
        Ok(())
    }

    /// How a user logs in after the change. What fails in the same way without it is no fault of it: of that is no answer.
    fn of(&self, user: &str) -> Result<Option<Place>, String> {
        let why = match self.log_in(self.after, user)? {
            Ok(place) => return Ok(Some(place)),
            Err(why) => why,
        };
        match self.log_in(self.before, user)? {
            Ok(_) => Err(format!("{user} could not log in: {why}")),
            Err(_) => Ok(None),
        }
    }

    fn log_in(&self, text: &str, user: &str) -> Result<Result<Place, String>, String> {
        let text = match self.service == MANAGER {
            true => &manager::without_logind(text),
            false => text,
        };
        let folder = Folder::new(self.folders, self.service, text)
            .map_err(|error| format!("cannot copy /etc/pam.d for a test: {error}"))?;
        Ok(folder.log_in(self.service, user))
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
    fn new(folders: &Folders, service: &str, text: &str) -> io::Result<Folder> {
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
    fn log_in(&self, service: &str, user: &str) -> Result<Place, String> {
        let said = sys::in_child(DEADLINE, || {
            let attempt = || {
                let mut application = Application::start(service, user, Some(&self.0))?;
                let tty = if service == "sshd" { "ssh" } else { "" };
                application.comes_from(tty, "")?;
                application.open()?;
                Ok(application.variable(c"BERTH_SESSION").is_some())
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
            Ok((_, said)) => Err(said.trim_end().replace('\n', "; ")),
            Err(error) => Err(error.to_string()),
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

/// The local users whom the policy covers, in the order of /etc/passwd. There are none without a policy.
fn covered(service: &str) -> Result<Vec<String>, &'static str> {
    let policy = Policy::load_in(&Places::under(Path::new("/")));
    let machine = place::machine();
    let (Ok(policy), Ok(machine)) = (policy, machine) else {
        return Ok(Vec::new());
    };
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
