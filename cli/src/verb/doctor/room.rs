//! Whether users can fill the file system of /run/berth: without room for its record nobody's session can begin.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::Finding;
use super::world::World;

pub fn check(world: &World) -> Vec<Finding> {
    let device = |path: &str| fs::metadata(world.path(path)).map(|folder| folder.dev());
    let Ok(records) = device("/run/berth").or_else(|_| device("/run")) else {
        return Vec::new();
    };
    let of_run = world.entries("/run").map(|entry| entry.path());
    let of_all = ["/tmp", "/var/tmp"].map(|path| world.path(path));
    let all = of_all.into_iter().chain(of_run);
    let mut fillable: Vec<String> = all
        .filter(|path| is_everybodys(path, records))
        .map(|path| path.display().to_string())
        .collect();
    fillable.sort();
    if fillable.is_empty() {
        return Vec::new();
    }
    let what = fillable.join(", ");
    vec![Finding::warn(
        format!(
            "users can fill the file system of /run/berth, in {what}: nobody's login gets a berth then"
        ),
        "mount a tmpfs with a size at each, or at /run where that has none (docker run --tmpfs /run)",
    )]
}

/// Whether it is a folder on this device in which everybody may write.
fn is_everybodys(path: &Path, device: u64) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|it| it.is_dir() && it.dev() == device && it.mode() & 0o002 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn folders_beside_the_records_in_which_everybody_may_write_are_named() {
        let files = [("run/berth/x", ""), ("run/screen/x", ""), ("tmp/x", "")];
        let fake = Fake::new("", &[], &files);
        assert_eq!(fake.told(check), []);
        let screen = fake.0.path("/run/screen");
        fs::set_permissions(&screen, fs::Permissions::from_mode(0o1777)).unwrap();
        let told = fake.told(check);
        assert!(
            told[0].1.contains(&format!("in {}:", screen.display())),
            "{told:?}"
        );
    }
}
