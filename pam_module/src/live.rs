//! The real world, for the trait in `host`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use berth_protocol::exempt::{EXEMPT_FILE, Exempt, ExemptError, List, unanswered};
use berth_protocol::{
    ChannelError, Instruction, OnError, Phase, Reply, Request, Rlimit, install_filter,
    new_session_keyring,
};
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;

use crate::code::Verdict;
use crate::error::Error;
use crate::exchange::{Answered, Helper, ask};
use crate::host::{ExemptList, Host, Item, Level, Privilege};
use crate::kept::{Home, Kept, slot};
use crate::nested::{Nested, nested};
use crate::pam::{Application, Style};
use crate::service::{Program, Threads};
use crate::sys::held::Held;
use crate::sys::join;
use crate::sys::room::Room;
use crate::text::{LONGEST_LINE, LONGEST_MESSAGE, Lines, escaped};

/// No call writes more lines than this: a user who makes calls must not fill the log.
const MOST_LINES: u32 = 8;

/// A PAM application, and what is open during one call.
#[derive(Debug)]
pub struct Live<'a> {
    application: &'a Application,
    lines: u32,
    /// What the list of the exempt, once read, says of a helper that gives no answer.
    unanswered: Option<OnError>,
    /// The `policy=` of what was asked.
    policy: Option<Vec<u8>>,
    helper: Option<Helper>,
    init: Option<OwnedFd>,
    /// When the call should end.
    deadline: Instant,
    home: Home,
}

impl<'a> Live<'a> {
    pub fn new(application: &'a Application) -> Live<'a> {
        Live {
            application,
            lines: 0,
            unanswered: None,
            policy: None,
            helper: None,
            init: None,
            deadline: Instant::now(),
            home: Home::default(),
        }
    }
}

impl Host for Live<'_> {
    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn item(&mut self, item: Item) -> Result<Vec<u8>, Error> {
        self.application
            .item(item)
            .map_err(|code| Error::Item(item, code.0))
    }

    fn log(&mut self, level: Level, line: &str) {
        if self.lines < MOST_LINES {
            self.lines = self.lines.saturating_add(1);
            self.application
                .log(level, &escaped(line, Lines::One, LONGEST_LINE));
        }
    }

    fn tell(&mut self, message: &str) {
        let message = escaped(message, Lines::Many, LONGEST_MESSAGE);
        self.application.tell(Style::Error, &message);
    }

    fn greet(&mut self, line: &str) {
        // sshd collects what it is told, and shows it before the first prompt. Others (su) print it where the
        // program that they start prints.
        let service = self.application.item(Item::Service);
        if service.is_ok_and(|service| service == b"sshd") || join::prints_on_a_terminal() {
            let line = escaped(line, Lines::One, LONGEST_MESSAGE);
            self.application.tell(Style::Info, &line);
        }
    }

    fn set_environment(&mut self, variable: &str) -> Result<(), Error> {
        self.application
            .set_environment(variable)
            .map_err(|code| Error::Environment(variable.into(), code.0))
    }

    fn exempt(&mut self, list: ExemptList, user: &[u8]) -> Result<bool, ExemptError> {
        let _room = Room::make();
        let list = match list {
            ExemptList::Installed => {
                let list = List::load(Path::new(EXEMPT_FILE))?;
                self.unanswered = Some(list.unanswered);
                list.exempt
            }
            ExemptList::RootOnly => Exempt::default(),
        };
        Ok(list.covers(user))
    }

    fn unanswered(&mut self) -> OnError {
        self.unanswered.unwrap_or_else(|| {
            let _room = Room::make();
            unanswered(Path::new(EXEMPT_FILE))
        })
    }

    fn privilege(&mut self) -> Privilege {
        join::privilege()
    }

    fn nested(&mut self, user: &[u8]) -> Nested {
        let _room = Room::make();
        nested(user)
    }

    fn threads(&mut self) -> Threads {
        let _room = Room::make();
        // Not by counting /proc/self/task: std panics where that cannot be closed.
        // The program has the name by which somebody called it, which need not be text.
        let status = std::fs::read("/proc/self/status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"));
        match count.map(str::trim) {
            Some("1") => Threads::One,
            _ => Threads::MoreOrUnknown,
        }
    }

    fn program(&mut self) -> Program {
        let _room = Room::make();
        let path = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        program_at(&path)
    }

    fn kept(&mut self, phase: Phase, user: &[u8]) -> Option<(Verdict, Option<Vec<u8>>)> {
        self.application
            .with_kept(slot(phase), |kept| {
                (kept.user == user).then(|| (kept.verdict, kept.policy.clone()))
            })
            .flatten()
    }

    fn keep(&mut self, phase: Phase, user: &[u8], verdict: Verdict) -> Result<(), Error> {
        let kept = Kept {
            user: user.to_vec(),
            verdict,
            policy: self.policy.clone(),
            helper: self.helper.take().map(Helper::kept).map(Held::new),
            home: std::mem::take(&mut self.home),
        };
        self.application
            .keep(slot(phase), kept)
            .map_err(|(code, kept)| {
                // The login is denied, and goes back by it.
                self.home = kept.home;
                Error::Keep(code.0)
            })
    }

    fn release(&mut self) {
        let slot = slot(Phase::Session);
        let helper = self.application.with_kept(slot, |kept| kept.helper.take());
        if let Some(helper) = helper.flatten().and_then(Held::get) {
            helper.end_session();
        }
        self.application.release(slot);
    }

    fn ask(&mut self, helper: &Path, request: &Request, deadline: Instant) -> Result<Reply, Error> {
        self.deadline = deadline;
        self.policy.clone_from(&request.policy);
        // For the init's descriptor, too, which comes with the reply.
        let _room = Room::make();
        let waiting = self.application.with_kept(slot(Phase::Account), |kept| {
            let helper = kept.helper.take().and_then(Held::get);
            helper.filter(|_| kept.user == request.user)
        });
        let Answered {
            reply,
            helper,
            init,
        } = ask(waiting.flatten(), helper, request, deadline)?;
        self.helper = Some(helper);
        self.init = init;
        Ok(reply)
    }

    fn joined(&mut self) -> Result<(), Error> {
        match &mut self.helper {
            Some(helper) => helper.joined(self.deadline),
            None => Err(Error::Acknowledge(ChannelError::Closed)),
        }
    }

    fn not_joined(&mut self, message: String) {
        if let Some(helper) = &self.helper {
            helper.not_joined(message);
        }
    }

    fn hang_up(&mut self) {
        self.helper = None;
        self.init = None;
        self.home = Home::default();
    }

    fn working_directory(&mut self) -> Option<PathBuf> {
        std::env::current_dir().ok()
    }

    fn remember_home(&mut self, namespaces: i32) -> Result<(), Errno> {
        let _room = Room::make();
        self.home = join::home(namespaces)?;
        Ok(())
    }

    fn setns(&mut self, namespaces: i32) -> Option<Result<(), Errno>> {
        let init = self.init.as_ref()?;
        Some(join::setns(init, namespaces))
    }

    fn no_new_privs(&mut self) -> Result<(), Errno> {
        set_no_new_privs()
    }

    fn empty_bounding_set(&mut self) -> Result<(), Errno> {
        join::empty_bounding_set()
    }

    fn filter(&mut self, filter: &[Instruction]) -> Result<(), Errno> {
        install_filter(filter)
    }

    fn new_keyring(&mut self) -> Result<(), Errno> {
        new_session_keyring()
    }

    fn rlimit(&mut self, of: &Rlimit) -> Result<Rlimit, Error> {
        let (soft, hard) = join::rlimit(of.resource).map_err(|errno| rlimit_error(of, errno))?;
        Ok(Rlimit {
            soft,
            hard,
            ..of.clone()
        })
    }

    fn set_rlimit(&mut self, to: &Rlimit) -> Result<(), Error> {
        join::set_rlimit(to.resource, to.soft, to.hard).map_err(|errno| rlimit_error(to, errno))
    }

    fn change_directory(&mut self, path: &Path) -> Result<(), Errno> {
        let _room = Room::make();
        join::change_directory(path)
    }

    fn return_home(&mut self) -> Result<(), Errno> {
        let kept = self
            .application
            .with_kept(slot(Phase::Session), |kept| std::mem::take(&mut kept.home));
        // All of them, even when one fails: the more of the way back the better.
        let mut result = Ok(());
        for home in [std::mem::take(&mut self.home), kept.unwrap_or_default()] {
            for (namespace, fd) in home.0 {
                let back = fd.get().ok_or(Errno::EBADF);
                result = result.and(back.and_then(|fd| join::setns(&fd, namespace)));
            }
        }
        result
    }
}

/// Which program this is. systemd by its folder: a user may be able to give a setuid program a second name, a hard
/// link, by which it would not be joined. Berth's by its name, which counts for nothing but the service manager. After an
/// upgrade there is more behind the name, until systemd has executed itself anew.
fn program_at(path: &Path) -> Program {
    let folder = path.parent().and_then(Path::to_str);
    let is_systemds = matches!(folder, Some("/usr/lib/systemd" | "/lib/systemd"));
    let name = path.file_name().and_then(OsStr::to_str);
    match name.map(|name| name.strip_suffix(" (deleted)").unwrap_or(name)) {
        Some("berth") => Program::Berth,
        Some("systemd" | "systemd-executor") if is_systemds => Program::Systemd,
        _ => Program::Other,
    }
}

fn rlimit_error(rlimit: &Rlimit, errno: Errno) -> Error {
    Error::Rlimit {
        rlimit: rlimit.clone(),
        errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn what_libpam_does_not_keep_leaves_the_way_back() {
        // SAFETY: libpam's functions refuse a handle that is none.
        let application = unsafe { Application::new(std::ptr::null_mut()) };
        let mut live = Live::new(&application);
        live.remember_home(libc::CLONE_NEWUTS).unwrap();
        live.keep(Phase::Session, b"alice", Verdict::Pass)
            .unwrap_err();
        assert_eq!(live.home.0.len(), 1);
    }

    #[test]
    fn a_program_that_is_called_like_systemd_is_another() {
        for (path, program) in [
            ("/usr/lib/systemd/systemd", Program::Systemd),
            ("/lib/systemd/systemd-executor", Program::Systemd),
            (
                "/usr/lib/systemd/systemd-executor (deleted)",
                Program::Systemd,
            ),
            ("/usr/bin/berth (deleted)", Program::Berth),
            ("/home/alice/systemd", Program::Other),
            ("/usr/lib/systemd/systemd-logind", Program::Other),
            ("/usr/bin/berth", Program::Berth),
            ("/usr/sbin/sshd", Program::Other),
            ("", Program::Other),
        ] {
            assert_eq!(program_at(Path::new(path)), program, "{path}");
        }
    }
}
