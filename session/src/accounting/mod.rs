//! What ended sessions have used, a line for each.

mod entry;
mod ledger;

pub use entry::Entry;
pub use ledger::Ledger;
