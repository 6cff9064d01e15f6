//! What a decision is made on: the login, the machine, the time.

mod clock;
mod disk;
mod login;
mod machine;

pub use clock::{LocalTime, Weekday};
pub use disk::disk_of;
pub(crate) use disk::led_by_others;
pub use login::{Group, Login, LookupError, tty_name};
pub use machine::{Machine, MachineError};
