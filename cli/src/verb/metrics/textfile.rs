//! A file that node_exporter reads.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use berth_session::remove_file;

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
    // node_exporter reads what ends in .prom, so never this one.
    let mut new = name.to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let (new, path) = (folder.join(new), folder.join(name));
    let written = || {
        remove_file(&new)?; // left by a process of the same PID that was killed
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(0o644))?;
        fs::rename(&new, &path)
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&new); // the first error is the one to tell of
        said("write", &path, error)
    })
}
