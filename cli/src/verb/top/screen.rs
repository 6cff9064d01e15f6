//! `top` on a terminal: draws, waits for keys and signals, and leaves the terminal as it was, however it ends.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::text::Text;

use super::errand::Errand;
use super::keys::{Act, Press};
use super::model::Model;
use super::page::{self, Paint};
use super::watch::Watch;
use crate::exit::{Exit, not_so};
use crate::{live, paint, sys};

/// Those that end it, and the one that stops it.
const SIGNALS: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGTSTP,
];

/// Shows the model until a key or a signal ends it.
pub fn run(model: &mut Model, watch: &mut Watch) -> Exit {
    let mut screen = match Screen::open() {
        Ok(screen) => screen,
        Err(error) => {
            return not_so(format!("cannot use this terminal: {error}"));
        }
    };
    let ended = screen.show(model, watch);
    drop(screen);
    match ended {
        Ok(End::Key) => Exit::Done,
        // As a shell tells of it.
        Ok(End::Signal(number)) => Exit::Of(number.saturating_add(128)),
        Err(Failure::Sessions(error)) => live::failed(error),
        Err(Failure::Terminal(error)) => not_so(format!("cannot use this terminal: {error}")),
    }
}

enum End {
    Key,
    Signal(u8),
}

enum Failure {
    Sessions(berth_session::Error),
    Terminal(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Terminal(error)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Terminal(errno.into())
    }
}

/// The terminal while it is `top`'s. What it was comes back with the end of this, and after a panic.
struct Screen {
    terminal: DefaultTerminal,
    signals: SignalFd,
    paint: Paint,
    errand: Option<Errand>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        // After a panic it is done, and a second time would put the cursor on what was said of it.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

impl Screen {
    fn open() -> io::Result<Screen> {
        let set: SigSet = SIGNALS.into_iter().collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Screen {
            signals: SignalFd::with_flags(&set, flags)?,
            paint: match paint::wanted() {
                true => Paint::Colours,
                false => Paint::Plain,
            },
            errand: None,
            terminal: ratatui::try_init()?,
        })
    }

    fn show(&mut self, model: &mut Model, watch: &mut Watch) -> Result<End, Failure> {
        let mut next = Instant::now();
        let mut looks = 0_u32;
        loop {
            let now = Instant::now();
            if now >= next {
                model.fit(page::room(self.terminal.size()?.height));
                let sample = watch.sample(model).map_err(Failure::Sessions)?;
                model.take(sample);
                looks = looks.saturating_add(1);
                let pause = match looks {
                    1 => model.delay.min(super::FIRST),
                    _ => model.delay,
                };
                // From now, not from when it was due: a machine that is slow is not asked twice as often.
                next = now + pause;
            }
            self.draw(model)?;
            self.wait(next)?;
            if let Some(answer) = self.answer()? {
                model.message = Some(answer);
                next = Instant::now();
            }
            match self.signals.read_signal()?.map(|one| one.ssi_signo) {
                Some(number) if number == Signal::SIGTSTP as u32 => {
                    self.stop()?;
                    next = Instant::now();
                }
                Some(number) => return Ok(End::Signal(number.try_into().unwrap_or(0))),
                None => {}
            }
            while event::poll(Duration::ZERO)? {
                match self.event(model)? {
                    Act::Draw => {}
                    Act::Read => (looks, next) = (0, Instant::now()),
                    Act::Run(arguments) => self.start(model, &arguments),
                    Act::Quit => return Ok(End::Key),
                }
            }
        }
    }

    /// Writes to the terminal what has changed.
    fn draw(&mut self, model: &mut Model) -> io::Result<()> {
        let paint = self.paint;
        self.terminal.draw(|frame| {
            let area = frame.area();
            model.fit(page::room(area.height));
            let lines = page::screen(model, (area.width, area.height), paint);
            frame.render_widget(Text::from(lines), area);
        })?;
        Ok(())
    }

    /// Waits for a key, a signal, the end of what runs, or the time of the next look.
    fn wait(&self, until: Instant) -> Result<(), Failure> {
        let stdin = io::stdin();
        let mut what = vec![
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(errand) = &self.errand {
            what.push(PollFd::new(errand.ended(), PollFlags::POLLIN));
        }
        let left = until.saturating_duration_since(Instant::now());
        // Not a moment too early, and then again.
        let left = left.saturating_add(Duration::from_millis(1));
        match poll(
            &mut what,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            // A resize comes this way.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let of_terminal = what.first().and_then(PollFd::revents);
        match of_terminal
            .is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
        {
            true => Err(Failure::Terminal(io::ErrorKind::UnexpectedEof.into())),
            false => Ok(()),
        }
    }

    fn event(&mut self, model: &mut Model) -> io::Result<Act> {
        Ok(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match control(key) {
                Some('c') => Act::Quit,
                Some('l') => {
                    self.terminal.clear()?;
                    Act::Draw
                }
                Some('z') => {
                    self.stop()?;
                    Act::Draw
                }
                Some(_) => Act::Draw,
                None => press(key.code).map_or(Act::Draw, |press| model.press(press)),
            },
            _ => Act::Draw,
        })
    }

    /// Gives the terminal back, stops, and takes it again.
    fn stop(&mut self) -> io::Result<()> {
        // What the restoring of all else leaves to the terminal's end.
        self.terminal.show_cursor()?;
        ratatui::restore();
        sys::stop_here()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()
    }

    fn start(&mut self, model: &mut Model, arguments: &[String]) {
        model.message = Some(match &self.errand {
            Some(_) => "one thing at a time: the last one is not done yet".into(),
            None => match Errand::start(arguments) {
                Ok(errand) => {
                    self.errand = Some(errand);
                    format!("berth {} …", arguments.join(" "))
                }
                Err(error) => format!("cannot run berth {}: {error}", arguments.join(" ")),
            },
        });
    }

    /// What was said by what has ended.
    fn answer(&mut self) -> io::Result<Option<String>> {
        let Some(errand) = &mut self.errand else {
            return Ok(None);
        };
        let answer = errand.answer()?;
        if answer.is_some() {
            self.errand = None;
        }
        Ok(answer)
    }
}

/// The letter that Ctrl is held with.
fn control(key: KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(letter) if key.modifiers.contains(KeyModifiers::CONTROL) => Some(letter),
        _ => None,
    }
}

fn press(code: KeyCode) -> Option<Press> {
    Some(match code {
        KeyCode::Char(letter) => Press::Letter(letter),
        KeyCode::Up => Press::Up,
        KeyCode::Down => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home => Press::Home,
        KeyCode::End => Press::End,
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        KeyCode::Backspace => Press::Backspace,
        _ => return None,
    })
}
