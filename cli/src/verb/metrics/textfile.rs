//! A file that node_exporter reads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process;

use crate::replace;

/// Writes a file whole or not at all, readable for all. Refused where others than a folder's owner could put a file of
/// theirs in its place.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let name = path
        .file_name()
        .ok_or_else(|| format!("{} is no file", path.display()))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let said = |what: &str, of: &Path, error: std::io::Error| {
        format!("cannot {what} {}: {error}", of.display())
    };
    let folder =
        fs::canonicalize(folder).map_err(|error| said("open the folder", folder, error))?;
    for above in folder.ancestors() {
        let found = fs::metadata(above).map_err(|error| said("inspect", above, error))?;
        // In a folder above, the sticky bit keeps what is there where it is.
        let sticky = above != folder && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !sticky {
            let (path, above) = (path.display(), above.display());
            return Err(format!(
                "refusing to write {path}: others can write to {above}; chmod go-w {above}, or take another folder"
            ));
        }
    }
    let name = name.to_string_lossy();
    // Two may write it at once. The other names do not end in .prom, so node_exporter does not read what is there.
    let new = |pid: &str| format!(".{name}.{pid}.berth-new");
    forget_the_killed(&folder, &new("*"));
    let (path, new) = (
        folder.join(&*name),
        folder.join(new(&process::id().to_string())),
    );
    replace::by_way_of(&new, &path, text.as_bytes(), None)
        .map_err(|error| said("write", &path, error))
}

/// Removes what those have left that were killed while they wrote a file of such a name, with a PID for the `*`.
fn forget_the_killed(folder: &Path, name: &str) {
    let Some((before, after)) = name.split_once('*') else {
        return;
    };
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = file.file_name();
        let pid = found.to_str().and_then(|name| name.strip_prefix(before));
        let pid = pid.and_then(|name| name.strip_suffix(after)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // What stays is in nobody's way.
            let _ = fs::remove_file(file.path());
        }
    }
}
