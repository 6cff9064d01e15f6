//! A file that node_exporter reads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
    // Its other name does not end in .prom, so node_exporter does not read that.
    let path = folder.join(name);
    replace::replace(&path, text.as_bytes(), None).map_err(|error| said("write", &path, error))
}
