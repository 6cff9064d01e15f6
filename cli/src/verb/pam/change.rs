//! `berth pam enable` and `disable`: shown, asked, tested, and only then done.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use berth_config::pam_files::Folders;
use berth_config::{Places, Policy};
use berth_protocol::exempt::Exempt;
use berth_protocol::service::{JOINED, MANAGER, is_joined};

use super::Services;
use super::trial::Trial;
use crate::exit::{Exit, not_so};
use crate::helper::no_answer;
use crate::pam_stack::lines::{self, Cannot};
use crate::pam_stack::open::{Open, open};
use crate::pam_stack::wiring::{Wiring, never};
use crate::pam_stack::{Change, manager};
use crate::readable::harmless;
use crate::replace::Original;
use crate::verb::doctor;
use crate::{ask, caller, difference, lock};

/// Where the files from before a change are kept.
const KEPT: &str = "/var/lib/berth/pam.d";

/// Held while PAM's files are changed.
const LOCK: &str = "/run/berth-pam.lock";

/// One service's file, before and after.
struct Plan {
    service: String,
    original: Original,
    /// Where the changed one goes, if it is to take the place of a package's.
    place: Option<PathBuf>,
    new: String,
    /// It becomes what the package's is, and so goes.
    goes: bool,
}

pub fn run(change: Change, options: &Services, untested: bool) -> Result<Exit, Exit> {
    // Whom [exempt] lists the module knows from what `berth reload` has written, and until then it is root alone.
    let loaded = || Policy::load_system().is_ok_and(|policy| policy.loaded().is_some());
    if change == Change::Enable && !loaded() {
        return Err(not_so(
            "no policy is loaded, so nobody but root is let in whatever happens: berth reload",
        ));
    }
    // So that two changes do not mix.
    let _lock = lock::at_once(Path::new(LOCK))
        .map_err(not_so)?
        .ok_or_else(|| not_so("another `berth pam` is at work"))?;
    let folders = Folders::system();
    let (plans, mut failed) = plan_all(change, &folders, &options.services);
    if !plans.is_empty() {
        show_and_ask(change, &plans, options.yes)?;
    }
    let mut done = 0;
    for plan in &plans {
        match carry_out(change, &folders, plan, options, untested) {
            Ok(()) => done += 1,
            Err(why) => {
                eprintln!("berth: {}: {why}; nothing is changed there", plan.service);
                failed += 1;
            }
        }
    }
    if change == Change::Enable && done > 0 {
        let list = Places::system().exempt;
        println!("A login whose helper gives no answer {}.", no_answer(&list));
    }
    Ok(match (done, failed) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::NotSo,
        _ => Exit::Partly,
    })
}

/// What is to be done, and for how many services that is not known, which are told of.
fn plan_all(change: Change, folders: &Folders, services: &[String]) -> (Vec<Plan>, usize) {
    let mut plans: Vec<Plan> = Vec::new();
    let mut failed = 0;
    for service in services {
        if plans.iter().any(|plan| plan.service == *service) {
            continue;
        }
        let planned = match Wiring::of(folders, service) {
            Ok(Wiring::Absent) => Err("there is no such service in /etc/pam.d".into()),
            _ => plan(change, folders, service, services),
        };
        match planned {
            Ok(plan) => plans.extend(plan),
            Err(why) => {
                eprintln!("berth: {service}: {why}");
                failed += 1;
            }
        }
    }
    (plans, failed)
}

fn show_and_ask(change: Change, plans: &[Plan], yes: bool) -> Result<(), Exit> {
    for plan in plans {
        let path = format!("/etc/pam.d/{}", plan.service);
        difference::print(path, &plan.original.text, &plan.new);
    }
    if change == Change::Enable {
        print!("{}", doctor::confined());
        if let Some(admin) = not_exempt() {
            println!(
                "You logged in as {admin}, who is not exempt by this machine's own files (see berth explain {admin}): after this \
                 {admin} gets in only as the policy says, and sudo and su do not lead out of a berth. First list your account under \
                 [exempt], and type berth reload."
            );
        }
    }
    ask::confirm(yes, || match plans.len() {
        1 => "Test it, and change the file?".into(),
        many => format!("Test them, and change the {many} files?"),
    })
}

/// Who types this, if the list of the exempt that the module reads does not cover them.
fn not_exempt() -> Option<String> {
    let name = caller::doer();
    let covers = Exempt::load().is_ok_and(|list| list.covers(name.as_bytes()));
    (!covers).then(|| harmless(&name))
}

/// What is to be done for a service, if anything is.
fn plan(
    change: Change,
    folders: &Folders,
    service: &str,
    all: &[String],
) -> Result<Option<Plan>, String> {
    let (path, _) = folders.read(service).map_err(|error| error.to_string())?;
    let original = Original::read(&path).map_err(|error| error.to_string())?;
    let new = match change {
        Change::Enable => enabled(folders, service, &path, &original.text, all)?,
        Change::Disable => disabled(folders, service, &path, &original.text, all)?,
    };
    let Some(new) = new else {
        return Ok(None);
    };
    if service == MANAGER {
        println!("{service}: the drop-in {} with it", manager::DROP_IN);
    } else if change == Change::Enable && !is_joined(service.as_bytes()) {
        println!("{service}: gets caps alone, unless a rule of the policy names the service");
    }
    let of_package = folders.of_package(service).filter(|_| !path.is_symlink());
    Ok(Some(Plan {
        service: service.into(),
        original,
        place: folders
            .is_of_package(&path)
            .then(|| Path::new("/etc/pam.d").join(service)),
        goes: change == Change::Disable && of_package.as_ref() == Some(&new),
        new,
    }))
}

/// A service's file with Berth's lines, if it is to have them and has them not.
fn enabled(
    folders: &Folders,
    service: &str,
    path: &Path,
    text: &str,
    all: &[String],
) -> Result<Option<String>, String> {
    if let Some(why) = never(service) {
        return Err(why.into());
    }
    if let Some(other) = included(service, text) {
        let is_by_that = || matches!(Wiring::of(folders, service), Ok(Wiring::Through(_)));
        if !all.contains(&other) && !is_by_that() {
            return Err(format!(
                "it includes {other}, and is as that is: berth pam enable {other}"
            ));
        }
        println!("{service}: as {other}, which it includes");
        return Ok(None);
    }
    let new = lines::put(text).map_err(|cannot| told(cannot, path))?;
    if new == text {
        println!("{service}: is enabled already");
        return Ok(None);
    }
    // A trial cannot see it: it only asks whether those get in who should.
    match open(folders, service, text) {
        None => Ok(Some(new)),
        Some(Open { what, remedy }) => {
            Err(format!("{what}; in {}, {remedy} first", path.display()))
        }
    }
}

/// A service's file without them, if it has any.
fn disabled(
    folders: &Folders,
    service: &str,
    path: &Path,
    text: &str,
    all: &[String],
) -> Result<Option<String>, String> {
    let new = lines::taken(text).map_err(|cannot| told(cannot, path))?;
    let kinds = ["auth", "account", "password", "session"];
    let mut left = kinds
        .iter()
        .flat_map(|kind| folders.stack(service, &new, kind));
    // Those that are named too are disabled as well.
    if let Some(entry) = left.find(|entry| entry.is_berth() && !all.contains(&entry.file)) {
        let (file, place) = (&entry.file, entry.place());
        return Err(format!(
            "it includes {file}, which has pam_berth ({place}): berth pam disable {file}"
        ));
    }
    if new == text {
        println!("{service}: has no line of Berth's");
        return Ok(None);
    }
    Ok(Some(new))
}

fn told(cannot: Cannot, path: &Path) -> String {
    match cannot {
        Cannot::Named(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| format!("line {line}")).collect();
            format!(
                "{} of {} has pam_berth, but not as this command writes it: remove it by hand",
                lines.join(" and "),
                path.display()
            )
        }
        Cannot::Continued => format!(
            "the last line of {} ends in a backslash: end it first",
            path.display()
        ),
    }
}

/// The service that logs people in whose session this one's includes, as Debian's su-l includes su.
fn included(service: &str, text: &str) -> Option<String> {
    let entries = berth_config::pam_files::entries(service, text)
        .0
        .into_iter();
    let mut sessions = entries.filter(|entry| entry.kind == "session");
    sessions.find_map(|entry| {
        let other = entry.includes()?;
        JOINED.contains(&other).then(|| other.to_owned())
    })
}

/// Tests the new stack, and puts it in force.
fn carry_out(
    change: Change,
    folders: &Folders,
    plan: &Plan,
    options: &Services,
    untested: bool,
) -> Result<(), String> {
    let Plan {
        service,
        original,
        place,
        new,
        goes,
    } = plan;
    let trial = Trial {
        folders,
        service,
        before: original,
        after: new,
    };
    trial.run(change, options, untested)?;
    let state = match change {
        Change::Enable => {
            let kept = keep(service, original)
                .map_err(|error| format!("cannot keep a copy of the file: {error}"))?;
            format!("enabled; the file from before is {}", kept.display())
        }
        // The one that is kept has no line of Berth's, and who needs it may have no module any more.
        Change::Disable => "disabled".into(),
    };
    let replace = || {
        let replaced = match place {
            _ if *goes => original.remove(),
            Some(place) => original.put(place, new),
            None => original.replace(new),
        };
        replaced.map_err(|error| format!("cannot replace the file: {error}"))
    };
    match service == MANAGER {
        true => manager::with_drop_in(change, replace)?,
        false => replace()?,
    }
    println!("{service}: {state}");
    Ok(())
}

/// Keeps a copy of a service's file, without lines of Berth's that it has already; says where.
fn keep(service: &str, original: &Original) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755).create(KEPT)?;
    let kept = Path::new(KEPT).join(service);
    // Where lines can be put in there are no others of Berth's.
    let text = lines::taken(&original.text).map_err(|_| io::ErrorKind::InvalidInput)?;
    original.put(&kept, &text)?;
    Ok(kept)
}
