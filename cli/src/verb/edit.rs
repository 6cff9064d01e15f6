//! `berth edit`: the policy in an editor, checked before it is anybody's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use berth_config::{Places, Policy, Trust, check_edited, is_drop_in};
use nix::fcntl::Flock;

use crate::exit::{Exit, not_so};
use crate::replace::Original;
use crate::{ask, caller, difference, lock, paint, place};

mod editor;
mod who;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 in force, or nothing was changed; 1 not saved, or not in force; 2 usage; 3 the
edited policy has an error, with --yes; 4 only root may do this.

The editor is $SUDO_EDITOR, $VISUAL, $EDITOR, `editor` or `vi`, and edits a copy. If the copy has
an error, you are asked whether to edit it again or leave all as it is. If not, you see what
changes, in the text and for whom, and are asked. Then the file is replaced in one step, and the
policy put in force as by `berth reload`.")]
pub struct Arguments {
    /// A drop-in, as in 20-cron.toml or /etc/berth/policy.d/20-cron.toml, which need not be there yet; by default,
    /// policy.toml
    file: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    root: place::Root,
}

const SAVE: &str = "Save it and put it in force: (y)es, (e)dit again, or e(x)it without saving?";

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("edit the policy")?;
    ask::possible(arguments.yes)?;
    let places = arguments.root.places();
    let path = named(arguments.file.as_deref(), &places)?;
    let failed = |error: io::Error| not_so(format!("cannot edit {}: {error}", path.display()));
    // Until the end, so that no other edit can come in between. The editor does not inherit it.
    let _lock = lock(&places).map_err(failed)?;
    let original = Original::read(&path).and_then(Original::of_utf8);
    let original = original.map_err(failed)?;
    let mut draft = Draft::write(&places, &path, &original.text).map_err(failed)?;
    loop {
        if let Err(error) = editor::run(&draft.path) {
            let exit = failed(error);
            // It may have crashed after hours.
            if fs::read(&draft.path).is_ok_and(|bytes| bytes != original.text.as_bytes()) {
                draft.keep();
            }
            return Err(exit);
        }
        let bytes = fs::read(&draft.path).map_err(failed)?;
        if bytes == original.text.as_bytes() {
            println!("{} is unchanged", path.display());
            return Ok(Exit::Done);
        }
        let edited = edited(bytes, &path, &places).inspect_err(|_| draft.keep())?;
        let answer = match &edited {
            None if arguments.yes => {
                draft.keep();
                return Err(left(&path, Exit::Policy));
            }
            None => ask::choose("(e)dit again, or e(x)it without saving?", &['e', 'x']),
            Some((text, policy)) => {
                difference::print(path.display(), &original.text, text);
                who::print(&places, policy);
                match arguments.yes {
                    true => Some('y'),
                    false => ask::choose(SAVE, &['y', 'e', 'x']),
                }
            }
        };
        match (answer, &edited) {
            (Some('y'), Some((text, policy))) => {
                if let Err(error) = original.replace(text) {
                    eprintln!("berth: {} is not saved: {error}", path.display());
                    draft.keep();
                    return Err(Exit::NotSo);
                }
                super::reload::put(policy, &places).inspect_err(|_| {
                    eprintln!("berth: {} is saved, and not in force", path.display());
                })?;
                println!("{} is saved, and in force", path.display());
                return Ok(Exit::Done);
            }
            (Some('e'), _) => {}
            _ => return Err(left(&path, Exit::NotSo)),
        }
    }
}

/// What was edited, and the policy that it makes, if it has no error. Prints what was found in it.
fn edited(bytes: Vec<u8>, path: &Path, places: &Places) -> Result<Option<(String, Policy)>, Exit> {
    let Ok(text) = String::from_utf8(bytes) else {
        println!("{}: error: it is not UTF-8", path.display());
        return Ok(None);
    };
    let site = place::this_machine();
    let checked = check_edited(places, Trust::Root, Some(&site), Some((path, &text)));
    let checked = checked.map_err(place::source_error)?;
    for diagnostic in &checked.diagnostics {
        println!("{}", paint::diagnostic(diagnostic, &std::io::stdout()));
    }
    if checked.policy.is_none() {
        println!("{}", super::check::summary(&checked));
    }
    Ok(checked.policy.map(|policy| (text, policy)))
}

fn left(path: &Path, exit: Exit) -> Exit {
    eprintln!("berth: {} is left as it was", path.display());
    exit
}

/// The policy's file that is named: policy.toml, or one of the folder of drop-ins.
fn named(file: Option<&Path>, places: &Places) -> Result<PathBuf, Exit> {
    let Some(file) = file else {
        return Ok(places.policy.clone());
    };
    let path = match file.components().count() {
        1 if file.is_relative() && places.policy.file_name() != file.file_name() => {
            places.drop_ins.join(file)
        }
        1 if file.is_relative() => places.policy.clone(),
        _ => file.into(),
    };
    let is_drop_in = path.parent() == Some(&places.drop_ins) && is_drop_in(&path);
    match path == places.policy || is_drop_in {
        true => Ok(path),
        false => {
            let (policy, drop_ins) = (places.policy.display(), places.drop_ins.display());
            Err(Exit::Usage.because(format!(
                "{} is not read: name {policy}, or {drop_ins}/NAME.toml",
                path.display()
            )))
        }
    }
}

/// Says that somebody else edits, rather than waiting for hours.
fn lock(places: &Places) -> io::Result<Flock<File>> {
    let path = places.state().join("edit.lock");
    let mut lock = lock::at_once(&path)?.ok_or_else(|| {
        let who = fs::read_to_string(&path).unwrap_or_default();
        let who = who.trim();
        io::Error::other(format!(
            "somebody else is editing the policy (berth edit, process {who})"
        ))
    })?;
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// How the names of folders with copies begin.
const COPY: &str = "edit-";

/// The copy that is edited, in a folder that only root can look into, as editors leave files beside it.
struct Draft {
    folder: PathBuf,
    path: PathBuf,
    keep: bool,
}

impl Draft {
    fn write(places: &Places, path: &Path, text: &str) -> io::Result<Draft> {
        let state = places.state();
        for left in fs::read_dir(state)?.flatten() {
            let is_folder = left.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && left.file_name().to_string_lossy().starts_with(COPY) {
                let left = left.path();
                eprintln!(
                    "berth: an edit that was not saved left its text in {}",
                    left.display()
                );
            }
        }
        let folder = nix::unistd::mkdtemp(&state.join(format!("{COPY}XXXXXX")))?;
        let draft = Draft {
            path: folder.join(path.file_name().unwrap_or_default()),
            folder,
            keep: false,
        };
        fs::write(&draft.path, text)?;
        Ok(draft)
    }

    /// It stays, and whoever wrote it is told where.
    fn keep(&mut self) {
        self.keep = true;
        eprintln!("berth: what you wrote is in {}", self.path.display());
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep {
            // What is left is in nobody's way.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
