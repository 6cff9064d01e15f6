//! A terminal with a program on it, as a person at a console has.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{SigHandler, Signal};

use crate::kernel::eventually;
use crate::{Background, Process};

/// A program whose standard streams and controlling terminal are a pseudo terminal of the test's.
#[derive(Debug)]
pub struct Terminal {
    program: Background,
    master: File,
    shown: Arc<Mutex<String>>,
    answers: bool,
}

impl Terminal {
    /// Starts a program on a new terminal.
    pub fn start(mut command: Command) -> Terminal {
        let pair = openpty(None, None).expect("openpty");
        let slave = File::from(pair.slave);
        let stream = || Stdio::from(slave.try_clone().expect("dup"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // What a shell prints is then what it is told to, and the same everywhere.
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "dumb");
        }
        // SAFETY: the function makes two system calls and touches no memory of the parent's.
        unsafe { command.pre_exec(lead_session) };
        let program = Background(command.spawn().expect("start a program on a terminal"));
        drop(slave);
        drop(command);
        let master = File::from(pair.master);
        let _ = nix::fcntl::fcntl(
            &master,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
        );
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut from, into) = (master.try_clone().expect("dup"), shown.clone());
        let process = program.process();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match from.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) => {
                        let text = String::from_utf8_lossy(&bytes[..count]).replace('\r', "");
                        into.lock().expect("terminal").push_str(&text);
                    }
                    // login(1) hangs the terminal up and opens it again.
                    Err(_) if process.exists() && !process.is_zombie() => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err(_) => break,
                }
            }
        });
        Terminal {
            program,
            master,
            shown,
            answers: false,
        }
    }

    /// The program on the terminal.
    pub fn process(&self) -> Process {
        self.program.process()
    }

    /// The terminal's descriptor, for ioctls.
    pub fn fd(&self) -> i32 {
        self.master.as_raw_fd()
    }

    /// Types a line.
    pub fn send(&mut self, line: &str) {
        self.keys(&format!("{line}\n"));
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("type");
    }

    /// Makes the window as large as this.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = nix::pty::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the pointer is to a live winsize, which is only read.
        let set = unsafe { libc::ioctl(self.fd(), libc::TIOCSWINSZ, &raw const size) };
        nix::errno::Errno::result(set).expect("resize");
    }

    /// All that the terminal has shown.
    pub fn shown(&self) -> String {
        self.shown.lock().expect("terminal").clone()
    }

    /// Waits until the terminal shows a text.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        let seen = eventually(|| self.shown().contains(text));
        assert!(seen, "no {text:?} on the terminal, but: {}", self.shown());
    }

    /// Waits for a shell. What is typed before it reads may be lost: login(1) throws it away.
    fn shell(&mut self) {
        let mut tries = 0;
        self.answers = self.answers
            || eventually(|| {
                if tries % 20 == 0 {
                    self.send("printf '\\n<%s>\\n' ready");
                }
                tries += 1;
                self.shown().contains("\n<ready>\n")
            });
    }

    /// Types a command into the shell on the terminal, and gives back what it prints.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> String {
        self.shell();
        let from = self.shown().len();
        self.send(&format!(
            "stty -echo; printf '\\n<%s>\\n' begin; {command}\nprintf '\\n<%s>\\n' end"
        ));
        let shown = || self.shown().get(from..).unwrap_or_default().to_owned();
        let ended = eventually(|| shown().contains("\n<end>\n"));
        assert!(
            ended,
            "no end of {command:?} on the terminal, but: {}",
            shown()
        );
        let shown = shown();
        let (_, rest) = shown.split_once("<begin>\n").unwrap_or_default();
        let (said, _) = rest.split_once("\n<end>").unwrap_or_default();
        without_prompt(said)
    }

    /// Asserts that a shell's job ends by ^C, and the shell by `exit`, with the status that it is given.
    #[track_caller]
    pub fn assert_interrupts_and_exits(mut self) {
        self.send("sleep 777; echo woken $?");
        assert!(eventually(|| !Process::running("sleep 777").is_empty()));
        let begun = Instant::now();
        self.send("\x03");
        self.send("exit 3");
        assert_eq!(self.wait().status.code(), Some(3));
        assert!(begun.elapsed() < Duration::from_secs(30), "it slept on");
    }

    /// Waits for the program to end.
    pub fn wait(self) -> crate::Output {
        let Terminal { program, .. } = self;
        program.wait()
    }
}

/// Makes the calling process the leader of a session on the terminal that is its standard input.
fn lead_session() -> std::io::Result<()> {
    nix::unistd::setsid()?;
    // Where the tests run in the background, a shell had it ignored; what is typed here must be felt.
    // SAFETY: the default action is no function of this program's.
    unsafe { nix::sys::signal::signal(Signal::SIGINT, SigHandler::SigDfl) }?;
    // SAFETY: no pointers.
    nix::errno::Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
    Ok(())
}

/// The shell's prompt stands before the end mark, where it has one.
fn without_prompt(said: &str) -> String {
    let lines = said
        .lines()
        .filter(|line| !line.ends_with("$ ") && !line.ends_with("# "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
