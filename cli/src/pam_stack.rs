//! Berth's lines in PAM's stacks: where they belong, how a service stands to them, and what goes along with them.

pub mod lines;
pub mod manager;
pub mod open;
pub mod order;
pub mod wiring;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Berth's lines are put in.
    Enable,
    /// They are taken out.
    Disable,
}
