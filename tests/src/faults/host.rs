//! The machine on which logins are made to fail: one of the tests' own, or one that systemd runs.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::booted::ssh;
use crate::namespaces::PROGRAMS;
use crate::{Booted, Machine, Output, Policy, Process, Snapshot, Stack, eventually};

/// What the faults need of a machine.
pub trait Host {
    /// The sshd that listens.
    fn server(&mut self) -> Process;
    /// `ssh` to it, with a command.
    fn ssh_command(&mut self, user: &str, command: &str) -> Command;
    /// `su USER -c COMMAND`.
    fn su(&self, user: &str, command: &str) -> Output;
    /// Puts a policy in place.
    fn policy(&self, policy: &Policy);
    /// Puts a PAM stack in place.
    fn stack(&self, stack: &Stack);
    /// Whether a policy may have this controller's caps.
    fn takes_caps_of(&self, controller: &str) -> bool;
    /// The user's cgroup.
    fn cgroup_of(&self, user: &str) -> PathBuf;
    /// The processes that run as this user.
    fn processes_of(&self, user: &str) -> Vec<Process>;
    /// Every line of the log so far.
    fn log_lines(&self) -> Vec<String>;
    /// Everything there is now.
    fn snapshot(&self) -> Snapshot;
    /// Everything there is when nobody is logged in any more.
    fn settled(&mut self) -> Snapshot;
    /// Does what a timer does each minute, where there is one.
    fn look(&self) {}
}

impl Host for Machine {
    fn server(&mut self) -> Process {
        self.sshd().process()
    }

    fn ssh_command(&mut self, user: &str, command: &str) -> Command {
        Machine::ssh_command(self, user, command)
    }

    fn su(&self, user: &str, command: &str) -> Output {
        Machine::su(self, user, command)
    }

    fn policy(&self, policy: &Policy) {
        Machine::policy(self, policy);
    }

    fn stack(&self, stack: &Stack) {
        Machine::stack(self, stack);
    }

    fn takes_caps_of(&self, controller: &str) -> bool {
        self.cgroups().offers(controller)
    }

    fn cgroup_of(&self, user: &str) -> PathBuf {
        self.cgroups().user(self.uid(user))
    }

    fn processes_of(&self, user: &str) -> Vec<Process> {
        Machine::processes_of(self, user)
    }

    fn log_lines(&self) -> Vec<String> {
        Machine::log_lines(self)
    }

    fn snapshot(&self) -> Snapshot {
        Machine::snapshot(self)
    }

    fn settled(&mut self) -> Snapshot {
        Machine::settled(self)
    }
}

/// A machine that systemd runs.
pub struct UnderSystemd {
    booted: Booted,
    logged: RefCell<Vec<String>>,
}

impl UnderSystemd {
    /// Makes it ready. Users linger, so that no login has to wait for the start of a service manager, and what Berth sets
    /// for their slices has to be taken back.
    pub fn prepare() -> UnderSystemd {
        let host = UnderSystemd {
            booted: Booted::here(),
            logged: RefCell::default(),
        };
        Booted::prepare();
        let copy = format!("mkdir {PROGRAMS} && cp /host/* {PROGRAMS}");
        host.booted.host(&copy).ok();
        // Its jobs are logins of root's, with a /run/user that is seen in the user's.
        host.booted.host("systemctl stop cron").ok();
        // Not while logind remembers those that the preparation has logged in: it would not start their managers.
        host.booted.settled();
        host.booted.host("loginctl enable-linger alice bob").ok();
        let manager = format!("/run/user/{}/systemd/private", host.booted.uid("alice"));
        assert!(eventually(|| Path::new(&manager).exists()), "no manager");
        host
    }
}

impl Host for UnderSystemd {
    fn server(&mut self) -> Process {
        let pid = self
            .booted
            .host("systemctl show --property MainPID --value ssh.service");
        Process(pid.ok().parse().expect("sshd's PID"))
    }

    fn ssh_command(&mut self, user: &str, command: &str) -> Command {
        ssh(user, command)
    }

    fn su(&self, user: &str, command: &str) -> Output {
        self.booted.host(&format!("su {user} -c '{command}'"))
    }

    fn policy(&self, policy: &Policy) {
        self.booted.policy(policy);
    }

    /// Behind pam_systemd; but for `su`, which logind is not to know of.
    fn stack(&self, stack: &Stack) {
        stack.install();
        let without = fs::read("/etc/pam.d/su").expect("su's stack");
        let behind = Stack {
            before: "session required pam_systemd.so".into(),
            ..stack.clone()
        };
        behind.install();
        fs::write("/etc/pam.d/su", without).expect("su's stack");
    }

    /// All: systemd is asked for them, whatever the kernel offers.
    fn takes_caps_of(&self, _: &str) -> bool {
        true
    }

    fn cgroup_of(&self, user: &str) -> PathBuf {
        self.booted.cgroups().slice(self.booted.uid(user))
    }

    fn processes_of(&self, user: &str) -> Vec<Process> {
        let all = Process::all().into_iter();
        all.filter(|one| one.uid() == Some(self.booted.uid(user)))
            .collect()
    }

    fn log_lines(&self) -> Vec<String> {
        let new = "journalctl --quiet --output=cat --cursor-file=/run/cursor SYSLOG_FACILITY=10 + SYSLOG_FACILITY=4";
        let said = self.booted.host(new).stdout;
        let mut all = self.logged.borrow_mut();
        all.extend(said.lines().map(str::to_owned));
        all.clone()
    }

    fn snapshot(&self) -> Snapshot {
        self.booted.snapshot()
    }

    fn settled(&mut self) -> Snapshot {
        let is_quiet =
            || self.booted.sessions().is_empty() && Process::named("berth-helper").is_empty();
        Snapshot::at_rest(|| self.snapshot(), is_quiet)
    }

    fn look(&self) {
        self.booted.look();
    }
}
