//! What the keys of `top` do to what is shown.

use super::model::{Column, Model, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
}

/// What keys are for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// For the table.
    Table,
    /// For a text to look for.
    Find,
    /// For the answer whether this is to be ended.
    Kill(String),
}

/// What the caller has to do about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// No more than show the change.
    Draw,
    /// Read what the new view shows.
    Read,
    /// Run `berth` with these arguments.
    Run(Vec<String>),
    /// End.
    Quit,
}

impl Model {
    /// Does what a key says.
    pub fn press(&mut self, press: Press) -> Act {
        self.message = None;
        match std::mem::replace(&mut self.mode, Mode::Table) {
            Mode::Table => self.on_table(press),
            Mode::Find => self.on_find(press),
            Mode::Kill(object) => match press {
                Press::Letter('y' | 'Y') => {
                    Act::Run(["kill", "--yes", &object].map(String::from).into())
                }
                _ => {
                    self.message = Some("nothing is ended".into());
                    Act::Draw
                }
            },
        }
    }

    fn on_table(&mut self, press: Press) -> Act {
        let page = self.room.max(1);
        match press {
            Press::Letter('q' | 'Q') => return Act::Quit,
            Press::Letter('u') => return self.show(View::Users),
            Press::Letter('s') => return self.show(View::Sessions),
            Press::Letter('p') => return self.show(View::Pools),
            Press::Letter('f') => return self.steer("freeze"),
            Press::Letter('t') => return self.steer("thaw"),
            Press::Letter('k') => self.ask(),
            Press::Letter('<') => self.sort_by_next(Column::ALL.iter().rev()),
            Press::Letter('>') => self.sort_by_next(Column::ALL.iter()),
            Press::Letter('/') => {
                self.filter.clear();
                self.mode = Mode::Find;
                self.arrange();
            }
            // Back to where nothing is chosen or left out.
            Press::Escape => {
                self.filter.clear();
                self.chosen = None;
                self.first = 0;
                self.arrange();
            }
            Press::Down => self.choose(|place| place.saturating_add(1), 0),
            Press::Up => self.choose(|place| place.saturating_sub(1), 0),
            Press::PageDown => self.choose(|place| place.saturating_add(page), page),
            Press::PageUp => self.choose(|place| place.saturating_sub(page), 0),
            Press::Home => self.choose(|_| 0, 0),
            Press::End => self.choose(|_| usize::MAX, usize::MAX),
            Press::Letter(_) | Press::Enter | Press::Backspace => {}
        }
        Act::Draw
    }

    fn on_find(&mut self, press: Press) -> Act {
        self.mode = Mode::Find;
        match press {
            Press::Letter(letter) => self.filter.push(letter),
            Press::Backspace => drop(self.filter.pop()),
            Press::Escape => {
                self.filter.clear();
                self.mode = Mode::Table;
            }
            Press::Enter => self.mode = Mode::Table,
            _ => {}
        }
        self.first = 0;
        self.arrange();
        Act::Draw
    }

    fn show(&mut self, view: View) -> Act {
        if view == self.view {
            return Act::Draw;
        }
        self.turn_to(view);
        Act::Read
    }

    fn sort_by_next<'a>(&mut self, columns: impl Iterator<Item = &'a Column>) {
        let mut after = columns.skip_while(|column| **column != self.sort).skip(1);
        if let Some(next) = after.next() {
            self.sort = *next;
            self.arrange();
        }
    }

    /// Chooses another row; `first` if none is chosen yet.
    fn choose(&mut self, other: impl Fn(usize) -> usize, first: usize) {
        let last = self.rows().len().saturating_sub(1);
        let place = self.place().map_or(first, other).min(last);
        self.chosen = self.rows().get(place).map(|row| row.key.clone());
        self.scroll();
    }

    /// The object that is chosen, or says why there is none.
    fn object(&mut self) -> Option<String> {
        let (object, why) = match self.chosen_row() {
            None => (None, "choose a row first, by the arrow keys"),
            Some(row) => (row.object.clone(), "only root may do that"),
        };
        if object.is_none() {
            self.message = Some(why.into());
        }
        object
    }

    fn steer(&mut self, verb: &str) -> Act {
        self.object()
            .map_or(Act::Draw, |object| Act::Run(vec![verb.into(), object]))
    }

    fn ask(&mut self) {
        if let Some(object) = self.object() {
            self.mode = Mode::Kill(object);
        }
    }
}
