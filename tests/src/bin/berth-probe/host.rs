//! A PAM application of any kind there is: switches say what it is like while it opens a session.

use std::fs;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use berth_tests::{Process, Session, eventually};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::Uid;

use crate::{number, say};

/// Out of the way of whatever the switches open and close.
const ASIDE: i32 = 2000;

static SIGNALS: AtomicU32 = AtomicU32::new(0);
static REAPED: AtomicU32 = AtomicU32::new(0);

/// As some daemons do: whatever child there is, it is taken here, also of the kinds that only `__WALL` shows.
extern "C" fn reap_all(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    let errno = Errno::last_raw();
    // SAFETY: no status is wanted.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } > 0 {
        REAPED.fetch_add(1, Ordering::Relaxed);
    }
    Errno::set_raw(errno);
}

/// What is done at which moment.
#[derive(Default)]
struct Host<'a> {
    service: &'a str,
    user: &'a str,
    threads: u64,
    rounds: u64,
    /// Once libpam has loaded the modules, for which it needs descriptors itself.
    nofile: Option<u64>,
    /// Lives on with the session open, until a line comes.
    stays: bool,
    own_child: bool,
    /// Where it is before all else.
    cgroup: Option<String>,
}

/// `berth-probe host [SWITCH]... SERVICE USER`.
pub fn host(words: &[&str]) {
    let mut host = Host {
        threads: 1,
        rounds: 1,
        cgroup: Process::own().cgroup(),
        ..Host::default()
    };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("a value");
        match word {
            "--threads" => host.threads = number(next()),
            "--rounds" => host.rounds = number(next()),
            "--stay" => host.stays = true,
            "--nofile" => host.nofile = Some(number(next())),
            "--reaps-all" => {
                on_child(SigHandler::Handler(reap_all));
                host.own_child = true;
            }
            "--ignores-children" => on_child(SigHandler::SigIgn),
            "--nproc" => {
                let most = number(next());
                setrlimit(Resource::RLIMIT_NPROC, most, most).expect("nproc");
            }
            "--descriptors" => {
                for _ in 0..number(next()) {
                    let _ = fs::File::open("/dev/null").expect("open").into_raw_fd(); // never closed
                }
            }
            "--free" => {
                for fd in 3..3 + number(next()) {
                    let fd = i32::try_from(fd).expect("a descriptor");
                    // SAFETY: what `--descriptors` has opened, and nobody uses.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
            "--closed" => close_standard(),
            "--refuses" => refuse(next()),
            "--chroot" => {
                nix::unistd::chroot(next()).expect("chroot");
                std::env::set_current_dir("/").expect("/");
            }
            "--uid" => {
                let uid = Uid::from_raw(u32::try_from(number(next())).expect("a UID"));
                nix::unistd::setresuid(uid, uid, uid).expect("setresuid");
            }
            service => (host.service, host.user) = (service, next()),
        }
    }
    host.run();
}

impl Host<'_> {
    fn run(&self) {
        for _ in 1..self.threads {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(1000)));
        }
        // Opened by the first line that is logged, and kept.
        // SAFETY: no name of its own.
        unsafe { libc::openlog(std::ptr::null(), libc::LOG_NDELAY, libc::LOG_AUTHPRIV) };
        let before = Figures::now();
        let mut warm = None;
        for round in 1..=self.rounds {
            self.round(round == 1);
            if round == 10 {
                warm = Some(Figures::now());
            }
        }
        let after = Figures::now();
        say(&format!(
            "descriptors {} {}",
            before.descriptors, after.descriptors
        ));
        say(&format!("threads {} {}", before.threads, after.threads));
        if let Some(warm) = warm {
            say(&format!("mappings {} {}", warm.mappings, after.mappings));
            say(&format!("heap {} {}", warm.heap, after.heap));
        }
        let is_loaded = maps().contains("pam_berth");
        say(&format!("loaded {is_loaded}"));
        if self.own_child {
            Command::new("true").spawn().map(drop).expect("a child"); // the handler waits for it
            assert!(eventually(|| REAPED.load(Ordering::Relaxed) > 0));
        }
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        say(&format!("children {} {}", count(&SIGNALS), count(&REAPED)));
    }

    fn round(&self, says: bool) {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("nofile");
        let session = Session::prepared(self.service, self.user, || {
            // Only the soft limit: a virtual machine's root may lack the right to raise the hard one.
            if let Some(most) = self.nofile {
                setrlimit(Resource::RLIMIT_NOFILE, most, hard).expect("nofile");
            }
        });
        match (&session, says) {
            (Ok(session), true) if session.is_in_berth() => say("open berth"),
            (Ok(_), true) => say("open none"),
            (Err(error), true) => say(error),
            (Ok(_), false) => {}
            (Err(error), false) => panic!("in a later round: {error}"),
        }
        if self.stays {
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        if let Ok(session) = session {
            session.close();
            // Until the keeper has put this back to where it was, what is started here ends with the session.
            if self.rounds > 1 {
                let is_back = eventually(|| Process::own().cgroup() == self.cgroup);
                assert!(is_back, "it is in {:?}", Process::own().cgroup());
            }
        }
        // For what this itself opens now.
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("nofile");
    }
}

/// What must not grow.
struct Figures {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    /// Bytes that are allocated.
    heap: usize,
}

impl Figures {
    fn now() -> Figures {
        let count = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
        Figures {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            mappings: maps().lines().count(),
            // SAFETY: reads what the allocator knows of itself.
            heap: unsafe { libc::mallinfo2() }.uordblks,
        }
    }
}

fn maps() -> String {
    fs::read_to_string("/proc/self/maps").unwrap_or_default()
}

fn on_child(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler calls nothing but waitpid.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.expect("sigaction");
}

/// Closes 0, 1 and 2. What is said goes out by another number.
fn close_standard() {
    let aside = fcntl(std::io::stdout(), FcntlArg::F_DUPFD_CLOEXEC(ASIDE)).expect("dup");
    crate::SAY_TO.store(aside, Ordering::Relaxed);
    for fd in 0..3 {
        // SAFETY: nothing of this program's uses it from here on.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// A filter of the application's own: the kernel refuses it one call, by number, with EPERM; none for 0xffff.
fn refuse(call: &str) {
    let refused = match call {
        "nothing" => 0xffff,
        "setns" => libc::SYS_setns,
        "clone" => libc::SYS_clone,
        "seccomp" => libc::SYS_seccomp,
        _ => panic!("--refuses {call}"),
    };
    let refused = u32::try_from(refused).expect("a number");
    let instruction = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("an instruction"),
        jt,
        jf,
        k,
    };
    let filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, refused),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    let (mode, none) = (libc::SECCOMP_MODE_FILTER, 0);
    // SAFETY: the program outlives the call, which copies it.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, none, none) };
    Errno::result(set).expect("seccomp");
}
