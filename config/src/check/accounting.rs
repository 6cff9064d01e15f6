//! The accounting file: its place, its size, and whether the folder is root's.

use std::path::Path;

use super::{Checker, Site};
use crate::diagnostic::Finding;
use crate::setting::set;

/// A file of less would be set aside with almost every session.
const LEAST: u64 = 4096;

pub(super) fn check(checker: &mut Checker<'_>) {
    let table = &checker.contents.accounting;
    if let Some((setting, file)) = set(&table.file) {
        if file.as_str().ends_with('/') {
            checker.error(
                setting.at,
                format!("`{file}` is a folder"),
                "write the file's name too, as in \"/var/log/berth/sessions.jsonl\"",
            );
        }
    }
    if let Some((setting, size)) = set(&table.max_size) {
        if size.0 < LEAST {
            checker.error(setting.at, "a max_size below 4K", "at least \"4K\"");
        }
    }
}

pub(super) fn check_site(checker: &mut Checker<'_>, site: &dyn Site) {
    let table = &checker.contents.accounting;
    let Some((setting, file)) = set(&table.file) else {
        for at in [
            table.max_size.as_ref().map(|setting| setting.at),
            table.keep.as_ref().map(|setting| setting.at),
        ]
        .into_iter()
        .flatten()
        {
            checker.warn(at, "there is no `file` that this could be about", "");
        }
        return;
    };
    if let Some(problem) = site.accounting_problem(Path::new(file.as_str())) {
        checker.findings.push(
            Finding::warning(setting.at, "nothing can be written here", problem)
                .note("the folder must be there but for its last part, and nobody but root may write to it"),
        );
    }
}
