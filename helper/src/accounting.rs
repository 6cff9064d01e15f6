//! The accounting: a line in a file for each session, when it has ended.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::SystemTime;

use berth_config::outcome::Accounting;
use berth_config::{LocalTime, path_is_roots};
use berth_session::{Entry, Ledger, Record, Usage};

use crate::error::{Error, Result};

/// The end of a session.
pub struct End {
    /// How long it took, whatever was done to the machine's clock.
    pub seconds: u64,
    /// When it was.
    pub at: SystemTime,
}

/// Writes what a session has used, where the policy wants it.
pub fn write(accounting: &Accounting, record: &Record, end: &End, usage: &Usage) -> Result<()> {
    let Some(file) = &accounting.file else {
        return Ok(());
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    match DirBuilder::new().mode(0o750).create(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(crate::error::file("create", folder)(source));
        }
        _ => {}
    }
    // Where somebody else can write, the file could lead anywhere by the time that it is opened.
    path_is_roots(folder).map_err(|error| Error::policy(format!("no accounting: {error}")))?;
    let times = [record.opened_at(), end.at];
    let times = times.map(|time| LocalTime::rfc3339(time).unwrap_or_default());
    let ledger = Ledger {
        file: file.clone(),
        max_size: accounting.max_size,
        keep: accounting.keep,
    };
    Ok(ledger.append(&Entry::new(record, times, end.seconds, usage))?)
}
