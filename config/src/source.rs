//! A policy's files: opened once, believed only if root alone can have written them.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use berth_protocol::is_invisible;

use crate::diagnostic::{At, Diagnostic, Finding, Place, Severity};
use crate::sys;
use crate::trust::directory;

/// No policy is longer. Read at each login where no copy is loaded, so there is an end to it.
const LARGEST: u64 = 4 << 20;

/// Whether a file's owner matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It must be root's and nobody else may write to it: it decides logins.
    Root,
    /// Anybody's: it is only looked at (`berth check FILE`).
    Anybody,
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It could not be opened or read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is there, but somebody other than root could have written it, or it is no plain file, or has an odd name.
    #[error("{path} is not used: {why}", path = .path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Opens a file and checks it on the open descriptor, so that it cannot be exchanged in between.
pub(crate) fn open(path: &Path, trust: Trust) -> Result<File, SourceError> {
    let read_error = |source| SourceError::Read {
        path: path.into(),
        source,
    };
    let untrusted = |why| SourceError::Untrusted {
        path: path.into(),
        why,
    };
    // Not blocking: a FIFO in a file's place must not hold up a login.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    if !metadata.is_file() && (trust == Trust::Root || metadata.is_dir()) {
        return Err(untrusted("not a regular file"));
    }
    if trust == Trust::Root {
        if metadata.uid() != 0 {
            return Err(untrusted("its owner is not root"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(untrusted("its group or others can write to it"));
        }
        if let Some(parent) = path.parent() {
            directory(parent)?;
        }
    } else {
        // What a program still writes is waited for: `berth check <(...)`.
        sys::wait_for_the_end(&file).map_err(read_error)?;
    }
    Ok(file)
}

/// A file's text, and where its lines begin.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn open(path: &Path, trust: Trust) -> Result<Source, SourceError> {
        // The copy of a policy names its files, and is JSON.
        if path.to_str().is_none() {
            return Err(SourceError::Untrusted {
                path: path.into(),
                why: "its name is not UTF-8",
            });
        }
        let file = open(path, trust)?;
        let read_error = |source| SourceError::Read {
            path: path.into(),
            source,
        };
        if trust == Trust::Root {
            // A link may lead into a folder where others can exchange what it leads to.
            let path = path.canonicalize().map_err(read_error)?;
            path.parent().map_or(Ok(()), directory)?;
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        if bytes.len() as u64 > LARGEST {
            return Err(read_error(std::io::Error::other("longer than 4 MiB")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to())
                .filter(|byte| **byte == b'\n')
                .count();
            read_error(std::io::Error::other(format!("line {line} is not UTF-8")))
        })?;
        Ok(Source::new(path.into(), text))
    }

    pub(crate) fn new(path: PathBuf, text: String) -> Source {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Source { path, text, lines }
    }

    /// The line, from 1, that a byte is on.
    pub(crate) fn line_of(&self, offset: usize) -> u32 {
        let line = self.lines.partition_point(|start| *start <= offset);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    pub(crate) fn at(&self, file: u16, span: std::ops::Range<usize>) -> At {
        At {
            file,
            line: self.line_of(span.start),
            from: u32::try_from(span.start).unwrap_or(u32::MAX),
            to: u32::try_from(span.end).unwrap_or(u32::MAX),
        }
    }

    fn place(&self, at: At) -> Place {
        let start = (at.line as usize)
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .copied()
            .unwrap_or(0);
        let line = self.text.get(start..).unwrap_or("");
        let line = line.lines().next().unwrap_or("");
        let characters = |from: usize, to: usize| {
            let part = self.text.get(from..to.max(from)).unwrap_or("");
            u32::try_from(part.chars().count()).unwrap_or(u32::MAX)
        };
        let (from, to) = (at.from as usize, at.to as usize);
        // A value of several lines is marked to the end of its first.
        let end = start + line.len();
        Place {
            line: at.line,
            column: characters(start, from).saturating_add(1),
            width: characters(from, to.min(end)).max(1),
            // One character each, so that the caret stands under what it means.
            text: printable(line),
        }
    }
}

/// A text of which no escape sequence reaches the terminal, and nothing that changes how the rest shows; as long as it was.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if is_invisible(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Gives findings their text, in the order of the files.
pub(crate) fn diagnostics(mut findings: Vec<Finding>, sources: &[Source]) -> Vec<Diagnostic> {
    findings.sort_by_key(|finding| (finding.at.file, finding.at.line, finding.at.from));
    // Two that a loop over rules finds at one place come again for each rule, in turn.
    let mut told = HashSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    findings
        .into_iter()
        .filter_map(|finding| {
            let source = sources.get(usize::from(finding.at.file))?;
            Some(Diagnostic {
                severity: finding.severity,
                path: source.path.clone(),
                place: Some(source.place(finding.at)),
                // They quote the file.
                message: printable(&finding.message),
                label: printable(&finding.label),
                notes: finding.notes.iter().map(|note| printable(note)).collect(),
            })
        })
        .collect()
}

/// A warning about a whole file.
pub(crate) fn ignored(path: PathBuf) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        path,
        place: None,
        message: "this file is not read: its name begins with a dot, or does not end in `.toml`"
            .into(),
        label: String::new(),
        notes: Vec::new(),
    }
}
