//! The helper and the module: there, root's, and with no privilege of their own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth_config::Places;
use berth_protocol::ANOTHER_VERSION;

use super::finding::Finding;
use super::world::World;
use crate::{helper, sys};

/// Where distributions have PAM's modules; `*` is the machine's name.
const FOLDERS: [&str; 3] = ["/usr/lib64/security", "/usr/lib/security", "/lib/security"];

pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    let helper = world.path(helper::HELPER);
    let no_answer = helper::no_answer(&Places::under(&world.root).exempt);
    findings.extend(sound(&helper, no_answer));
    let module = module(world);
    match &module {
        Some(module) => findings.extend(sound(module, "is refused, root's too")),
        None => findings.push(Finding::fail(
            "pam_berth.so is in none of PAM's folders",
            "install it again; a stack that names it lets nobody in",
        )),
    }
    if let (Some(module), []) = (&module, &*findings) {
        findings.extend(of_two_versions(&helper, module, no_answer));
    }
    if let (Some(module), []) = (module, &*findings) {
        let (helper, module) = (helper.display(), module.display());
        findings.push(Finding::ok(format!("{helper}, {module}")));
    }
    findings
}

fn module(world: &World) -> Option<PathBuf> {
    let machines = world.entries("/usr/lib");
    let machines = machines.map(|entry| entry.path().join("security"));
    let mut folders = machines.chain(FOLDERS.map(|folder| world.path(folder)));
    folders.find_map(|folder| Some(folder.join("pam_berth.so")).filter(|path| path.exists()))
}

/// Whether helper and module understand each other.
fn of_two_versions(helper: &Path, module: &Path, no_answer: &str) -> Option<Finding> {
    let unknown = || "an unknown version".to_owned();
    let [helper, module] = [helper, module].map(|path| version(path).unwrap_or_else(unknown));
    (helper != module).then(|| {
        Finding::fail(
            format!(
                "the helper is of Berth {helper}, and the module of {module}: every login {no_answer}"
            ),
            "install both from one package",
        )
    })
}

/// The version that a program says it is of, where it speaks of messages of other versions.
fn version(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let (before, after) = ANOTHER_VERSION.split_once(env!("CARGO_PKG_VERSION"))?;
    let start = find(&bytes, before.as_bytes())? + before.len();
    let rest = bytes.get(start..)?;
    let length = find(rest, after.as_bytes())?;
    Some(String::from_utf8_lossy(rest.get(..length)?).into())
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// What is wrong with a file that root runs, and what becomes of every login where it is not there.
fn sound(path: &Path, without: &str) -> Option<Finding> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let why = format!("{shown}: {error}: every login {without}");
            return Some(Finding::fail(why, "install it again"));
        }
    };
    let mode = metadata.mode() & 0o7777;
    let wrong = if metadata.uid() != 0 {
        format!("{shown} is not root's, and root runs it")
    } else if mode & 0o022 != 0 {
        format!("{shown} can be written by others than root (mode {mode:o})")
    } else if mode & 0o6000 != 0 {
        format!("{shown} is setuid or setgid, and refuses to run (mode {mode:o})")
    } else if sys::has_file_capabilities(path) {
        format!("{shown} has file capabilities, and anybody may run it")
    } else {
        return None;
    };
    let remedy = format!("chown root:root {shown}; chmod 755 {shown}; setcap -r {shown}");
    Some(Finding::fail(wrong, remedy))
}
