//! From files to a policy, or to all that is wrong with them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::check::{self, Site};
use crate::contents::Contents;
use crate::diagnostic::{Diagnostic, Severity};
use crate::expect;
use crate::loaded::Stamp;
use crate::places::Places;
use crate::policy::Policy;
use crate::read::{self, Part};
use crate::source::{self, Source, SourceError, Trust};
use crate::trust::directory;
use crate::unsupported;

/// What came of checking a policy.
#[derive(Debug)]
pub struct Checked {
    /// The policy, if it has no error.
    pub policy: Option<Policy>,
    /// Errors and warnings, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Checked {
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }
}

/// Checks the edited policy: policy.toml and its drop-ins. With a site, there are warnings too. `with` is a file and a
/// text: what the file would have instead of its own, or be there with.
pub fn edited(
    places: &Places,
    trust: Trust,
    site: Option<&dyn Site>,
    with: Option<(&Path, &str)>,
) -> Result<Checked, SourceError> {
    let (mut drop_ins, ignored) = drop_ins(&places.drop_ins, trust)?;
    if let Some((path, _)) = with {
        if path != places.policy && !drop_ins.iter().any(|known| known == path) {
            drop_ins.push(path.into());
            drop_ins.sort();
        }
    }
    let sources = std::iter::once(&places.policy).chain(&drop_ins);
    let sources = sources.map(|path| match with {
        Some((other, text)) if other == path => Ok(Source::new(path.clone(), text.into())),
        _ => Source::open(path, trust),
    });
    let mut checked = sources_checked(sources.collect::<Result<_, _>>()?, site);
    if site.is_some() {
        checked
            .diagnostics
            .extend(ignored.into_iter().map(source::ignored));
    }
    Ok(checked)
}

/// Checks files as one policy, of which the last wins. With a site, there are warnings too.
pub fn files(
    paths: &[PathBuf],
    trust: Trust,
    site: Option<&dyn Site>,
) -> Result<Checked, SourceError> {
    let sources: Vec<Source> = paths
        .iter()
        .map(|path| Source::open(path, trust))
        .collect::<Result<_, _>>()?;
    Ok(sources_checked(sources, site))
}

/// The drop-ins in byte order of their names, and what is beside them and not read.
pub(crate) fn drop_ins(
    folder: &Path,
    trust: Trust,
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), SourceError> {
    let error = |source| SourceError::Read {
        path: folder.into(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        Err(source) => return Err(error(source)),
    };
    if trust == Trust::Root {
        directory(folder)?;
    }
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(error)?;
    // PathBuf's own order is by components; within one folder that is the bytes of the names.
    paths.sort();
    Ok(paths.into_iter().partition(|path| is_drop_in(path)))
}

/// Whether a file of the folder of drop-ins is one, by its name: `*.toml` as a shell means it. An editor's lock on one
/// (Emacs's `.#20-cron.toml`, which leads nowhere) is none.
pub fn is_drop_in(path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

pub(crate) fn sources_checked(sources: Vec<Source>, site: Option<&dyn Site>) -> Checked {
    let mut contents = Contents::default();
    let mut names = read::Names::new();
    let mut findings = Vec::new();
    let mut broken = false;
    for (index, source) in sources.iter().enumerate() {
        let part = match index {
            0 => Part::Main,
            _ => Part::DropIn,
        };
        let file = u16::try_from(index).unwrap_or(u16::MAX);
        let read = read::read(source, file, part, &mut names);
        contents.overlay(read.contents);
        broken |= read.broken;
        findings.extend(read.findings);
    }
    let files: Vec<PathBuf> = sources.iter().map(|source| source.path.clone()).collect();
    // Where a file does not parse, whole tables may be missing: what refers to them is not wrong.
    if !broken {
        let systemd = site.map_or_else(check::booted_with_systemd, |site| site.systemd());
        let whole = findings.is_empty();
        findings.extend(check::errors(&contents, &files, systemd, whole));
    }
    findings.extend(unsupported::check(&contents));
    let policy = findings.is_empty().then(|| {
        // As they were read, and not as they are when the policy is put in force: that may be minutes later.
        Policy::new(
            contents,
            read::listed(names),
            sources.iter().map(Stamp::of).collect(),
        )
    });
    let missed = policy.as_ref().map(expect::check).unwrap_or_default();
    let policy = policy.filter(|_| missed.is_empty());
    findings.extend(missed);
    if let (Some(policy), Some(site)) = (&policy, site) {
        findings.extend(check::warnings(policy, site));
    }
    Checked {
        policy,
        diagnostics: source::diagnostics(findings, &sources),
        files,
    }
}
