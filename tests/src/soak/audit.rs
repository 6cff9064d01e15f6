//! That no process of a capped user is ever outside the user's cap, from the first instruction after exec.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};

use super::{BEGUN, LOOKS, Soak};
use crate::Process;

impl Soak<'_> {
    /// Whose process it is.
    fn user_of(&self, process: Process) -> Option<&(String, u32)> {
        let uid = process.uid()?;
        self.users.iter().find(|(_, one)| *one == uid)
    }

    /// Looks again and again whether any process of a user's is not where the user's caps are, from its first program on: an
    /// sshd that was refused a session has a process that is the user by then, and runs nothing.
    pub(super) fn audit(&self) {
        let login_programs = [
            "/usr/sbin/sshd",
            "/usr/lib/openssh/sshd-session",
            "/usr/bin/su",
        ];
        let runs_a_program = |process: Process| {
            // One that is about to end has none any more.
            let program = std::fs::read_link(format!("/proc/{}/exe", process.0));
            program.is_ok_and(|path| login_programs.iter().all(|one| path != Path::new(one)))
        };
        while self.goes_on() {
            for process in Process::all() {
                let Some((user, uid)) = self.user_of(process) else {
                    continue;
                };
                if let Some(place) = outside(process, *uid).filter(|_| runs_a_program(process)) {
                    let what = process.command_line();
                    self.is_wrong(format!("a process of {user} is in `{place}`: {what}"));
                }
                self.count(LOOKS);
            }
        }
    }

    /// Looks at each program of a user's before its first instruction, also where it ends before [`audit`](Self::audit)
    /// comes round: the kernel holds each exec until this has answered (fanotify(7)).
    pub(super) fn audit_programs(&self) {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let programs = Fanotify::init(flags, EventFFlags::O_CLOEXEC).expect("fanotify");
        let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        programs
            .mark(
                mark,
                MaskFlags::FAN_OPEN_EXEC_PERM,
                AT_FDCWD,
                Some("/usr/bin"),
            )
            .expect("a mark on the programs' file system");
        while self.goes_on() {
            let mut polled = [PollFd::new(programs.as_fd(), PollFlags::POLLIN)];
            if poll(&mut polled, 100_u16) == Ok(0) {
                continue;
            }
            for event in programs.read_events().unwrap_or_default() {
                let Some(program) = event.fd() else { continue };
                let process = Process(event.pid());
                if let Some((user, uid)) = self.user_of(process) {
                    if let Some(place) = outside(process, *uid) {
                        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
                        let path = std::fs::read_link(path).unwrap_or_default();
                        self.is_wrong(format!("{user} begins {} in `{place}`", path.display()));
                    }
                    self.count(BEGUN);
                }
                let answer = FanotifyResponse::new(program, Response::FAN_ALLOW);
                programs.write_response(answer).expect("an answer");
            }
        }
    }
}

/// The cgroup of a user's process that is not where the user's caps are.
fn outside(process: Process, uid: u32) -> Option<String> {
    let place = process.cgroup().unwrap_or_default();
    let is_in = place.starts_with("/berth/") && place.contains(&format!("/user-{uid}/"));
    // One that has ended meanwhile was not asked in time.
    (!is_in && process.uid() == Some(uid)).then_some(place)
}
