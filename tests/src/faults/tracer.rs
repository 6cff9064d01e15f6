//! Following each login of a server's into module, helper, keeper and init, to see each of their system calls, and to
//! make one of them fail.
//!
//! ptrace(2) serves one thread, so there is one that does nothing else.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{self, Call};
use super::module::Module;
use super::point::{Fault, Place, Point, Step, Way};
use super::tracee::{self, Breakpoint, Stop};
use crate::Process;

/// Whoever sleeps this long, in seconds, waits for another try: a minute, which is not waited for here.
const LONG: u64 = 30;

/// A step that was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which.
    pub step: Step,
    /// With what.
    pub shown: String,
}

/// A call that has failed, or a process that was killed before it.
#[derive(Debug, Clone)]
pub struct Fired {
    /// Which.
    pub step: Step,
    /// How.
    pub fault: Fault,
}

/// What happened to the login that is followed.
#[derive(Debug, Default)]
struct State {
    armed: Option<Point>,
    /// What has failed.
    fired: Vec<Fired>,
    /// How many calls were made after the first of these.
    calls: u32,
    /// Every step, where that is wanted.
    seen: Option<Vec<Seen>>,
    /// How many minutes were not waited for.
    minutes: u32,
    /// A call of Berth's that the kernel does not know, or that a process of Berth's has given up and makes all the same.
    unknown: Option<u64>,
    /// How many processes are followed.
    followed: usize,
}

impl State {
    /// How the call is to fail that is made now.
    fn fault_of(&mut self, step: &Step, call: &Call) -> Option<Fault> {
        let point = self.armed.as_ref()?;
        let fault = match self.fired.len() {
            0 if point.step == *step => point.fault,
            1 => {
                let second = point.second?;
                self.calls += 1;
                match second.way {
                    _ if self.calls < second.after => return None,
                    Way::Kill => Fault::Kill,
                    Way::Error => Fault::Error(*call.errnos.first()?),
                }
            }
            _ => return None,
        };
        self.fired.push(Fired {
            step: step.clone(),
            fault,
        });
        Some(fault)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the tracer's state")
    }
}

/// The thread, seen from outside.
#[derive(Debug)]
pub struct Tracer(Arc<Shared>);

impl Tracer {
    /// Follows every login at a server from now on.
    pub fn follow(server: Process) -> Tracer {
        let shared = Arc::<Shared>::default();
        let (begun, has_begun) = mpsc::channel();
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            let server = Pid::from_raw(server.0);
            ptrace::seize(server, options()).expect("follow sshd");
            begun.send(()).expect("say so");
            let run = || Followed::new(&of_thread, server).run();
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                // Without it whatever it follows stands still, and is waited for.
                std::process::exit(101);
            }
        });
        has_begun.recv().expect("the tracer begins");
        Tracer(shared)
    }

    /// Makes the next login fail at a point.
    pub fn arm(&self, point: Point) {
        self.begin(State {
            armed: Some(point),
            ..State::default()
        });
    }

    /// Writes down all steps of the next login.
    pub fn record(&self) {
        let seen = Some(Vec::new());
        self.begin(State {
            seen,
            ..State::default()
        });
    }

    fn begin(&self, with: State) {
        let mut state = self.0.state();
        let followed = state.followed;
        *state = State { followed, ..with };
    }

    /// The steps that were written down.
    pub fn recorded(&self) -> Vec<Seen> {
        self.0.state().seen.take().unwrap_or_default()
    }

    /// Lets logins be. Says what has failed, and how many minutes went by.
    pub fn disarm(&self) -> (Vec<Fired>, u32) {
        let mut state = self.0.state();
        state.armed = None;
        (std::mem::take(&mut state.fired), state.minutes)
    }

    /// The number of a call of Berth's in the last login for which there is none (ENOSYS), if any was made.
    pub fn unknown(&self) -> Option<u64> {
        self.0.state().unknown
    }

    /// Waits until nothing of a login runs any more, and says whether it came to that.
    pub fn is_quiet_within(&self, patience: Duration) -> bool {
        let state = self.0.state();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, patience, |state| state.followed > 0);
        !waited.expect("the tracer's state").1.timed_out()
    }
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
}

/// What a followed process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The server that listens.
    Server,
    /// sshd for one connection: until it has loaded the module each of its calls is looked at, then those of the module.
    Connection,
    /// Berth's own.
    Own(Place),
    /// Anything else that sshd starts.
    Other,
}

#[derive(Debug)]
struct Tracee {
    role: Role,
    /// In which of the module's functions it is.
    inside: Option<Place>,
    /// Where those begin.
    functions: Option<[(u64, Place); 3]>,
    /// What is set in its memory.
    breakpoints: Vec<Breakpoint>,
    /// How often it has made each call in each place.
    counts: HashMap<(Place, &'static str), u32>,
    /// The call that it is in.
    number: u64,
    /// What that is to have for a result.
    result: Option<i64>,
}

impl Tracee {
    fn new(role: Role) -> Tracee {
        Tracee {
            role,
            inside: None,
            functions: None,
            breakpoints: Vec::new(),
            counts: HashMap::new(),
            number: 0,
            result: None,
        }
    }

    /// Whose calls these are.
    fn place(&self) -> Option<Place> {
        match self.role {
            Role::Own(place) => Some(place),
            _ => self.inside,
        }
    }

    /// What its child is.
    fn child(&self) -> Role {
        match (self.role, self.inside) {
            (Role::Server, _) => Role::Connection,
            (Role::Connection, Some(_)) => Role::Own(Place::Starter),
            (Role::Own(Place::Starter), _) => Role::Own(Place::Helper),
            (Role::Own(Place::Helper), _) => Role::Own(Place::Keeper),
            (Role::Own(Place::Keeper), _) => Role::Own(Place::Init),
            _ => Role::Other,
        }
    }
}

struct Followed<'s> {
    shared: &'s Shared,
    module: Module,
    tracees: HashMap<Pid, Tracee>,
    /// Those that have stopped before it was known whose children they are.
    unknown: HashSet<Pid>,
    /// Those that were killed before it was known.
    gone: HashSet<Pid>,
}

impl Followed<'_> {
    fn new(shared: &Shared, server: Pid) -> Followed<'_> {
        Followed {
            shared,
            module: Module::read(),
            tracees: HashMap::from([(server, Tracee::new(Role::Server))]),
            unknown: HashSet::new(),
            gone: HashSet::new(),
        }
    }

    fn run(mut self) {
        let all = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(all)) {
                Ok(status) => {
                    let Some(pid) = status.pid() else { continue };
                    // Whoever is killed meanwhile is seen to end.
                    let _ = self.event(pid, status);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return, // The server has ended.
                Err(errno) => panic!("wait for those that are followed: {errno}"),
            }
            let followed = self.tracees.len().saturating_sub(1) + self.unknown.len();
            self.shared.state().followed = followed;
            self.shared.changed.notify_all();
        }
    }

    fn event(&mut self, pid: Pid, status: WaitStatus) -> std::io::Result<()> {
        match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                match self.tracees.remove(&pid) {
                    None => {
                        self.unknown.remove(&pid);
                        self.gone.insert(pid);
                    }
                    // The init's filter ends who makes a call that it has given up.
                    Some(Tracee {
                        role: Role::Own(_),
                        number,
                        ..
                    }) if matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)) => {
                        self.shared.state().unknown = Some(number);
                    }
                    Some(_) => {}
                }
                Ok(())
            }
            _ if !self.tracees.contains_key(&pid) => {
                self.unknown.insert(pid);
                Ok(())
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) => self.begin(pid),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                if let Some(tracee) = self.tracees.get_mut(&pid) {
                    // Another program, and with it another memory.
                    tracee.functions = None;
                    tracee.breakpoints.clear();
                }
                self.go_on(pid, None)
            }
            WaitStatus::PtraceEvent(..) => {
                let child = ptrace::getevent(pid)?;
                let child = Pid::from_raw(i32::try_from(child).map_err(std::io::Error::other)?);
                let parent = &self.tracees[&pid];
                if self.gone.remove(&child) {
                    return self.go_on(pid, None);
                }
                let mut tracee = Tracee::new(parent.child());
                tracee.breakpoints.clone_from(&parent.breakpoints);
                self.tracees.insert(child, tracee);
                if self.unknown.remove(&child) {
                    let _ = self.begin(child); // killed, or it goes on
                }
                self.go_on(pid, None)
            }
            WaitStatus::PtraceSyscall(_) => {
                match tracee::stop(pid) {
                    Stop::Entry { number, arguments } => self.entry(pid, number, &arguments)?,
                    Stop::Exit => self.exit(pid)?,
                    Stop::None => {}
                }
                self.go_on(pid, None)
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let was_ours = self.trap(pid)?;
                self.go_on(pid, (!was_ours).then_some(Signal::SIGTRAP))
            }
            WaitStatus::Stopped(_, signal) => self.go_on(pid, Some(signal)),
            _ => self.go_on(pid, None),
        }
    }

    /// The first stop of a process.
    fn begin(&mut self, pid: Pid) -> std::io::Result<()> {
        if self.tracees[&pid].role == Role::Other {
            let tracee = self.tracees.remove(&pid);
            for breakpoint in tracee.into_iter().flat_map(|tracee| tracee.breakpoints) {
                breakpoint.clear(pid)?;
            }
            return Ok(ptrace::detach(pid, None)?);
        }
        self.go_on(pid, None)
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) -> std::io::Result<()> {
        let tracee = &self.tracees[&pid];
        let is_watched = match tracee.role {
            Role::Server | Role::Other => false,
            Role::Connection => tracee.functions.is_none() || tracee.inside.is_some(),
            Role::Own(_) => true,
        };
        match is_watched {
            true => ptrace::syscall(pid, signal)?,
            false => ptrace::cont(pid, signal)?,
        }
        Ok(())
    }

    fn entry(&mut self, pid: Pid, number: u64, arguments: &[u64; 6]) -> std::io::Result<()> {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return Ok(());
        };
        (tracee.number, tracee.result) = (number, None);
        let Some(place) = tracee.place() else {
            return Ok(());
        };
        let mut state = self.shared.state();
        let Some(call) = calls::call(number) else {
            // What a login makes that has failed already is no point of its own.
            assert!(
                state.seen.is_none(),
                "calls.rs lacks the system call {number}"
            );
            return Ok(());
        };
        let count = tracee.counts.entry((place, call.name())).or_default();
        *count += 1;
        let step = Step {
            place,
            call: call.name(),
            nth: *count,
        };
        if let Some(seen) = &mut state.seen {
            seen.push(Seen {
                step: step.clone(),
                shown: tracee::shown(pid, call, arguments),
            });
        }
        let Some(fault) = state.fault_of(&step, call) else {
            let sleeps =
                matches!(place, Place::Keeper | Place::Helper) && call.name() == "clock_nanosleep";
            if sleeps && !state.fired.is_empty() && tracee::word(pid, arguments[2])? >= LONG {
                state.minutes += 1;
                tracee::skip(pid)?;
                tracee.result = Some(0);
            }
            return Ok(());
        };
        match fault {
            Fault::Kill => kill(pid, Signal::SIGKILL)?,
            Fault::Error(errno) => tracee.result = tracee::fail(pid, call, errno)?,
            Fault::Ignored => {
                tracee::skip(pid)?;
                let written = call.name() == "write"; // all of it
                tracee.result = Some(if written { arguments[2] as i64 } else { 0 });
            }
        }
        Ok(())
    }

    fn exit(&mut self, pid: Pid) -> std::io::Result<()> {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return Ok(());
        };
        if let Some(result) = tracee.result.take() {
            tracee::give(pid, result)?;
        } else if tracee.place().is_some() && tracee::result(pid)? == -i64::from(libc::ENOSYS) {
            self.shared.state().unknown = Some(tracee.number);
        }
        let has_mapped = Ok(tracee.number) == u64::try_from(libc::SYS_mmap);
        if tracee.role == Role::Connection && tracee.functions.is_none() && has_mapped {
            tracee.functions = self.module.functions_in(pid);
            for (at, _) in tracee.functions.iter().flatten() {
                tracee.breakpoints.push(Breakpoint::set(pid, *at)?);
            }
        }
        Ok(())
    }

    /// Whether it is one of the breakpoints here that stopped the process.
    fn trap(&mut self, pid: Pid) -> std::io::Result<bool> {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return Ok(false);
        };
        let mut hit = None;
        for breakpoint in &tracee.breakpoints {
            if breakpoint.is_hit(pid)? {
                hit = Some(*breakpoint);
            }
        }
        let Some(hit) = hit else { return Ok(false) };
        for breakpoint in tracee.breakpoints.drain(..) {
            breakpoint.clear(pid)?;
        }
        let functions = tracee.functions.into_iter().flatten();
        let mut begun = functions.clone().filter(|(at, _)| hit.is_at(*at));
        if let Some((_, place)) = begun.next() {
            tracee.inside = Some(place);
            let end = tracee::returns_to(pid)?;
            tracee.breakpoints.push(Breakpoint::set(pid, end)?);
        } else {
            tracee.inside = None;
            for (at, _) in functions {
                tracee.breakpoints.push(Breakpoint::set(pid, at)?);
            }
        }
        Ok(true)
    }
}
