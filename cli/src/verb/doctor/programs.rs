//! The helper and the module: there, root's, with no privilege of their own; and whether they can be started and loaded.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use berth_config::Places;
use berth_protocol::{ANOTHER_VERSION, HELPER};

use super::finding::Finding;
use super::world::World;
use crate::{helper, sys};

/// Where distributions have PAM's modules: in a folder of this name in one of these, or in one below, by the machine's name.
const SECURITY: &str = "security";
const LIBRARIES: [&str; 4] = ["/usr/lib64", "/usr/lib", "/lib64", "/lib"];

/// What becomes of logins without the module.
const NO_MODULE: &str = "is refused, root's too";

pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    let helper = world.path(HELPER);
    let no_answer = helper::no_answer(&Places::under(&world.root).exempt);
    findings.extend(sound(&helper, no_answer));
    let module = module(world);
    match &module {
        Some(module) => findings.extend(sound(module, NO_MODULE)),
        None => findings.push(Finding::fail(
            "pam_berth.so is in none of PAM's folders",
            "install it again; a stack that names it lets nobody in",
        )),
    }
    if let (Some(module), []) = (&module, &*findings) {
        // Another version may not know how to be asked.
        let wrong = of_two_versions(&helper, module, no_answer);
        findings.extend(wrong.or_else(|| does_not_start(&helper, no_answer)));
        findings.extend(does_not_load(module));
    }
    if let (Some(module), []) = (module, &*findings) {
        let (helper, module) = (helper.display(), module.display());
        findings.push(Finding::ok(format!("{helper}, {module}")));
    }
    findings
}

fn module(world: &World) -> Option<PathBuf> {
    let machines = LIBRARIES.map(|folder| world.entries(folder).map(|entry| entry.path()));
    let folders = LIBRARIES.map(|folder| world.path(folder));
    let folders = folders.into_iter().chain(machines.into_iter().flatten());
    let mut folders = folders.map(|folder| folder.join(SECURITY));
    // PAM looks nowhere but beside its own. Where /lib is no link to /usr/lib, that is one of the two.
    folders.find_map(|folder| {
        let module = folder.join("pam_berth.so");
        (module.exists() && folder.join("pam_permit.so").exists()).then_some(module)
    })
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

/// Why the helper cannot be started: it lacks a library, or its file system forbids it, or it is another machine's. Logins
/// meet that before anything counts them.
fn does_not_start(helper: &Path, without: &str) -> Option<Finding> {
    let why = match helper::command(helper).arg("--version").output() {
        Ok(output) if output.status.success() => return None,
        Ok(output) => said(&output, "").unwrap_or_else(|| output.status.to_string()),
        Err(error) => error.to_string(),
    };
    let shown = helper.display();
    Some(Finding::fail(
        format!("{shown} cannot be started: {why}: every login {without}"),
        "install one that was built for this system, where programs may be run (no noexec)",
    ))
}

/// Why PAM cannot load the module. Another program loads it here: one that was cut off by a full disk ends who does
/// (SIGBUS).
fn does_not_load(module: &Path) -> Option<Finding> {
    let mut program = helper::command(Path::new("/bin/true"));
    // All that it needs at once, as PAM does (ld.so(8)).
    program.env("LD_PRELOAD", module).env("LD_BIND_NOW", "1");
    // It goes on without what it cannot load, and may name other libraries (/etc/ld.so.preload).
    let output = program.output().ok()?;
    let said = said(&output, &module.to_string_lossy());
    let failed = || (!output.status.success()).then(|| output.status.to_string());
    let why = said.or_else(failed)?;
    let shown = module.display();
    Some(Finding::fail(
        format!("{shown} cannot be loaded: {why}: every login {NO_MODULE}"),
        "install one that was built for this system; until then `berth pam disable`",
    ))
}

/// What the dynamic linker says of a file.
fn said(output: &Output, of: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains(of));
    line.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;
    use crate::own_folder::Folder;

    /// What is said of a machine with these for the module, there, and for its helper.
    fn told(place: &str, module: &str, helper: &str) -> Vec<(Level, String)> {
        let fake = Fake::new("", &[], &[("lib64/security/pam_permit.so", "")]);
        for (file, place) in [(module, place), (helper, HELPER)] {
            let path = fake.0.path(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(file, path).unwrap();
        }
        fake.told(check)
    }

    /// A library that can be loaded: that of this program.
    fn library() -> String {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut files = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5));
        files.find(|file| file.contains("libc.so")).unwrap().into()
    }

    #[test]
    fn the_module_is_looked_for_beside_pams_own_alone() {
        for (place, level) in [
            ("lib64/security/pam_berth.so", Level::Ok),
            ("usr/lib64/security/pam_berth.so", Level::Fail),
        ] {
            let told = told(place, &library(), "/bin/true");
            assert!(
                matches!(&*told, [(found, _)] if *found == level),
                "{told:?}"
            );
        }
    }

    /// As by an entry of /etc/ld.so.preload that is out of date.
    #[test]
    fn what_the_dynamic_linker_says_of_another_library_is_no_failure() {
        let folder = Folder::new();
        let text = "#!/bin/sh\necho 'ERROR: ld.so: object /lib/other.so cannot be preloaded: ignored.' >&2\n";
        let helper = folder.write("helper", text);
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let told = told(
            "lib64/security/pam_berth.so",
            &library(),
            helper.to_str().unwrap(),
        );
        assert!(matches!(&*told, [(Level::Ok, _)]), "{told:?}");
    }

    #[test]
    fn a_helper_that_cannot_be_started_and_a_module_that_cannot_be_loaded_are_failures() {
        let library = library();
        for (module, helper, why) in [
            (
                &*library,
                "/etc/passwd",
                "cannot be started: Permission denied",
            ),
            (&library, "/bin/false", "cannot be started: exit status: 1"),
            ("/etc/passwd", "/bin/true", "cannot be loaded: ERROR: ld.so"),
        ] {
            let told = told("lib64/security/pam_berth.so", module, helper);
            let right = matches!(&*told, [(Level::Fail, text)] if text.contains(why));
            assert!(right, "{told:?}");
        }
    }
}
