//! What a check asks this machine.

use std::path::{Path, PathBuf};

use crate::facts::{Login, Machine, disk_of, led_by_others};
use crate::pam_files::{Entry, Folders};
use crate::patience::{Progress, asked};
use crate::trust::{file_is_roots, path_is_roots};
use crate::value::PathGlob;

/// How a PAM service stands to Berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PamStack {
    /// There is no such service here.
    Absent,
    /// Its stack has pam_berth for sessions.
    WithBerth,
    /// It has it for accounts alone: a login can be refused, and gets nothing.
    RefusesOnly,
    /// Its stack has none.
    WithoutBerth,
}

/// The machine that a policy is checked on.
pub trait Site {
    /// Whether systemd runs it.
    fn systemd(&self) -> bool;
    /// Whether NSS knows an account, as far as it answers.
    fn has_user(&self, name: &str) -> bool;
    /// Whether NSS knows a group, as far as it answers.
    fn has_group(&self, name: &str) -> bool;
    /// How a PAM service is set up.
    fn pam_stack(&self, service: &str) -> PamStack;
    /// The PAM services that there are.
    fn pam_services(&self) -> Vec<String>;
    /// The accounts that may use sudo, as far as membership in its usual groups says so.
    fn sudoers(&self) -> Vec<Login>;
    /// How big it is, if that can be told.
    fn machine(&self) -> Option<Machine>;
    /// The largest limit of open files that the kernel gives (fs.nr_open), if that can be told.
    fn files_max(&self) -> Option<u64>;
    /// What keeps an accounting file from being written.
    fn accounting_problem(&self, file: &Path) -> Option<String>;
    /// Why a program, or those of a pattern, cannot be excepted from a penalty. Nothing is wrong with one that may be on
    /// other machines.
    fn program_problem(&self, program: &PathGlob) -> Option<String>;
    /// Why others than root decide which disk a path means.
    fn path_problem(&self, path: &Path) -> Option<String>;
    /// Why a path means no disk.
    fn disk_problem(&self, path: &Path) -> Option<String>;
}

/// The running machine.
#[derive(Debug, Clone)]
pub struct ThisMachine {
    /// Where the cgroup v2 tree is mounted, if it is.
    pub cgroup_root: Option<PathBuf>,
}

/// Groups that distributions give sudo to.
pub(super) const SUDO_GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];

impl Site for ThisMachine {
    fn systemd(&self) -> bool {
        booted_with_systemd()
    }

    fn has_user(&self, name: &str) -> bool {
        is_known(name, |name| users::get_user_by_name(name).is_some())
    }

    fn has_group(&self, name: &str) -> bool {
        is_known(name, |name| users::get_group_by_name(name).is_some())
    }

    fn pam_stack(&self, service: &str) -> PamStack {
        match service.contains('/') {
            true => PamStack::Absent,
            false => pam_stack(&Folders::system(), service),
        }
    }

    fn pam_services(&self) -> Vec<String> {
        Folders::system().names().into_iter().collect()
    }

    fn sudoers(&self) -> Vec<Login> {
        asked(sudoers, |_, _| {}).unwrap_or_default()
    }

    fn machine(&self) -> Option<Machine> {
        Machine::read(self.cgroup_root.as_deref()).ok()
    }

    fn files_max(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?;
        text.trim().parse().ok()
    }

    fn accounting_problem(&self, file: &Path) -> Option<String> {
        let folder = file.parent()?;
        // The first session makes the last part of it.
        let there = match folder.exists() {
            true => folder,
            false => folder.parent()?,
        };
        let problem = path_is_roots(there).err().map(|error| error.to_string());
        problem.or_else(|| file.is_dir().then(|| "it is a folder".into()))
    }

    fn program_problem(&self, program: &PathGlob) -> Option<String> {
        let (path, pattern) = program.split();
        // A file that is not in a folder that is here may be a slip.
        let folder = path.parent().filter(|_| pattern.is_empty());
        if !path.exists() && !folder.is_some_and(Path::exists) {
            return None;
        }
        file_is_roots(&path).err().map(|error| error.to_string())
    }

    fn path_problem(&self, path: &Path) -> Option<String> {
        led_by_others(path)
    }

    fn disk_problem(&self, path: &Path) -> Option<String> {
        disk_of(path).err()
    }
}

/// Whether NSS knows a name. Where it does not say, the name is not the one to complain of.
fn is_known(name: &str, knows: fn(&str) -> bool) -> bool {
    let name = name.to_owned();
    asked(move |_| knows(&name), |_, _| {}).unwrap_or(true)
}

fn sudoers(mut progress: Progress) -> Vec<Login> {
    use users::os::unix::GroupExt;
    let mut names: Vec<String> = SUDO_GROUPS
        .iter()
        .filter_map(users::get_group_by_name)
        .flat_map(|group| group.members().to_vec())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for (done, name) in names.iter().enumerate() {
        progress(done, names.len());
        found.extend(Login::of(name));
    }
    found
}

/// Whether PID 1 is systemd (as sd_booted(3) tells it).
pub(crate) fn booted_with_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn pam_stack(folders: &Folders, service: &str) -> PamStack {
    let Ok((_, text)) = folders.read(service) else {
        return PamStack::Absent;
    };
    let some = |kind, is: fn(&Entry) -> bool| folders.stack(service, &text, kind).iter().any(is);
    if some("session", Entry::opens) {
        PamStack::WithBerth
    } else if some("account", Entry::is_berth) {
        PamStack::RefusesOnly
    } else {
        PamStack::WithoutBerth
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_stack_has_berth_if_what_it_includes_has() {
        let folder = Folder::new();
        for (name, text) in [
            ("sshd", "@include common-session\n"),
            (
                "common-session",
                "session required pam_unix.so\nsession required pam_berth.so\n",
            ),
            (
                "cron",
                "session required pam_unix.so\n# session required pam_berth.so\n",
            ),
            ("loop", "session include loop\n"),
            ("stray", "auth required pam_berth.so\n"),
            ("half", "session optional pam_berth.so close\n"),
            (
                "mail",
                "account required pam_berth.so\nsession optional pam_berth.so close\n",
            ),
            ("crond", "session  substack  common-session\n"),
            ("su", &format!("@include {}/sshd\n", folder.display())),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let stack = |service: &str| pam_stack(&Folders::from(&*folder), service);
        assert_eq!(stack("sshd"), PamStack::WithBerth);
        assert_eq!(stack("crond"), PamStack::WithBerth);
        assert_eq!(stack("su"), PamStack::WithBerth);
        assert_eq!(stack("cron"), PamStack::WithoutBerth);
        assert_eq!(stack("loop"), PamStack::WithoutBerth);
        assert_eq!(stack("stray"), PamStack::WithoutBerth);
        assert_eq!(stack("half"), PamStack::WithoutBerth);
        assert_eq!(stack("mail"), PamStack::RefusesOnly);
        assert_eq!(stack("atd"), PamStack::Absent);
        let machine = ThisMachine { cgroup_root: None };
        assert_eq!(machine.pam_stack("../passwd"), PamStack::Absent);
    }
}
