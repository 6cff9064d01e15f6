//! Processes of a test's machine, as the kernel shows them.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kernel::eventually;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub i32);

impl Process {
    /// The process that asks.
    pub fn own() -> Process {
        Process(nix::unistd::getpid().as_raw())
    }

    /// Every process of the machine.
    pub fn all() -> Vec<Process> {
        let entries = fs::read_dir("/proc").expect("read /proc");
        let numbers = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.parse().ok().map(Process)
        });
        numbers.collect()
    }

    /// The processes of this name.
    pub fn named(name: &str) -> Vec<Process> {
        let all = Process::all().into_iter();
        all.filter(|process| process.name() == name).collect()
    }

    /// Those of Berth's that look after sessions, each started by its standby.
    pub fn keepers() -> Vec<Process> {
        helpers().0
    }

    /// Those of Berth's that wait for a keeper to be killed.
    pub fn standbys() -> Vec<Process> {
        helpers().1
    }

    /// Kills keeper and standby of the one session at once, so that nobody is left to clean up.
    #[track_caller]
    pub fn kill_the_keepers() {
        let both = || Process::named("berth-helper");
        assert!(eventually(|| both().len() == 2), "{:?}", both());
        let both = both();
        both.iter().for_each(|one| one.signal(Signal::SIGSTOP));
        both.iter().for_each(|one| one.kill());
    }

    /// The processes whose command line contains a text.
    pub fn running(text: &str) -> Vec<Process> {
        let all = Process::all().into_iter();
        all.filter(|process| process.command_line().contains(text))
            .collect()
    }

    /// A file of the process under /proc, empty if it is gone.
    pub fn file(self, name: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{name}", self.0)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its name, at most 15 bytes.
    pub fn name(self) -> String {
        self.file("comm").trim_end().to_owned()
    }

    /// Its arguments, with spaces between them.
    pub fn command_line(self) -> String {
        self.file("cmdline")
            .replace('\0', " ")
            .trim_end()
            .to_owned()
    }

    /// A field of /proc/PID/status.
    pub fn status(self, field: &str) -> Option<String> {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|rest| rest.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    }

    /// Its parent.
    pub fn parent(self) -> Option<Process> {
        self.status("PPid")?.parse().ok().map(Process)
    }

    /// Its real UID.
    pub fn uid(self) -> Option<u32> {
        self.status("Uid")?.split_whitespace().next()?.parse().ok()
    }

    /// Whether it is dead and waits for its parent.
    pub fn is_zombie(self) -> bool {
        self.status("State")
            .is_some_and(|state| state.starts_with('Z'))
    }

    /// Its cgroup below the root of the v2 tree.
    pub fn cgroup(self) -> Option<String> {
        let all = self.file("cgroup");
        let line = all.lines().find_map(|line| line.strip_prefix("0::"));
        line.map(str::to_owned)
    }

    /// The namespace of this kind that it is in (`pid:[…]`).
    pub fn namespace(self, kind: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/ns/{kind}", self.0)).unwrap_or_default()
    }

    /// Everything that descends from it.
    pub fn descendants(self) -> Vec<Process> {
        let all = Process::all();
        let mut found = vec![self];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(all.iter().filter(|child| child.parent() == Some(parent)));
            next += 1;
        }
        found.split_off(1)
    }

    /// Sends it SIGKILL.
    pub fn kill(self) {
        // It may be gone already, which is what was wanted.
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }

    /// Sends it a signal.
    pub fn signal(self, signal: Signal) {
        kill(Pid::from_raw(self.0), signal).expect("signal");
    }

    /// Whether it exists, dead or alive.
    pub fn exists(self) -> bool {
        PathBuf::from(format!("/proc/{}", self.0)).exists()
    }
}

fn helpers() -> (Vec<Process>, Vec<Process>) {
    let is_helper = |one: Process| one.name() == "berth-helper";
    let all = Process::named("berth-helper").into_iter();
    all.partition(|one| one.parent().is_some_and(is_helper))
}

/// A program that runs beside the test, and ends with it.
#[derive(Debug)]
pub struct Background(pub Child);

impl Background {
    /// Starts a program that is talked with: its words have spaces between them, its input and output are pipes.
    pub fn talking(command: &str) -> Background {
        let mut words = command.split(' ');
        let started = Command::new(words.next().unwrap_or_default())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Background(started.expect("start a program"))
    }

    /// The next line that it prints.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let output = self.0.stdout.as_mut().expect("its output");
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            let mut polled = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut polled, 60_000_u16), Ok(1), "{line:?} and no more");
            // No byte is the end.
            match output.read(&mut byte).expect("read") {
                1 if byte != *b"\n" => line.extend(byte),
                _ => return String::from_utf8(line).expect("text"),
            }
        }
    }

    /// The program as a process.
    pub fn process(&self) -> Process {
        Process(i32::try_from(self.0.id()).expect("PID"))
    }

    /// Ends the program.
    pub fn end(mut self) {
        self.stop();
    }

    /// Waits for the program to end by itself.
    pub fn wait(mut self) -> crate::Output {
        let read = |from: Option<&mut dyn std::io::Read>| {
            let mut text = String::new();
            if let Some(from) = from {
                let _ = from.read_to_string(&mut text);
            }
            text
        };
        // Before it is waited for: who prints more than a pipe holds would not end.
        let stdout = read(self.0.stdout.as_mut().map(|out| out as _));
        let stderr = read(self.0.stderr.as_mut().map(|err| err as _));
        crate::Output {
            status: self.0.wait().expect("wait"),
            stdout,
            stderr,
        }
    }

    fn stop(&mut self) {
        // Both fail only where it has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}
