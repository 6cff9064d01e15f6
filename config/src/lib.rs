//! Berth's policy: read from TOML, checked, kept in force, and decided by.
//!
//! From the files to a decision: `source` opens them, `read` makes [`Policy`]'s contents of their
//! TOML with every error in them, `check` looks at the parts together, `unsupported` refuses what is
//! not done yet, `expect` runs the policy's own tests. [`Policy::decide`] then says what a login
//! gets, and [`Policy::explain`] why.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod accounts;
#[cfg(test)]
#[path = "../../tests/src/apart.rs"]
mod apart;
mod check;
mod checked;
mod compare;
mod contents;
mod decide;
mod diagnostic;
mod exceptions;
mod expect;
mod explain;
pub mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod in_force;
mod index;
mod keys;
mod layers;
mod loaded;
mod merge;
pub mod outcome;
#[cfg(test)]
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;
pub mod pam_files;
mod patience;
mod penalties;
mod pending;
mod places;
mod policy;
mod read;
mod setting;
mod source;
mod state;
mod survey;
mod sys;
mod tables;
mod trust;
mod unsupported;
pub mod value;

pub use accounts::{accounts, name_of, own_name};
pub use check::{PamStack, Site, ThisMachine};
pub use checked::{Checked, edited as check_edited, files as check_files, is_drop_in};
pub use compare::{Comparison, services, untried};
pub use decide::{DecideError, Decision};
pub use diagnostic::{Diagnostic, Place, Severity, counted};
pub use exceptions::{Exception, ExceptionFile, Exceptions, parse as parse_exception};
pub use explain::{Explanation, Shown, Tried, Verdict};
pub use facts::{Group, LocalTime, Login, LookupError, Machine, MachineError, disk_of, tty_name};
pub use in_force::InForce;
pub use keys::known_keys;
pub use layers::Layers;
pub use loaded::{InstallError, Loaded, install};
pub use patience::is_silent;
pub use penalties::{Look, Mean, Process, Standing, Standings, Track, Tracks};
pub use places::Places;
pub use policy::{Case, Exempt, Policy, PolicyError};
pub use source::{SourceError, Trust};
pub use state::StateError;
pub use survey::{Landing, Survey};
pub use trust::{file_is_roots, path_is_roots};
pub use unsupported::NOT_YET;
