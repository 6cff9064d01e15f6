//! Whose files are believed, and what is in force. Needs root, whom the files must belong to.

mod written;

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use berth_config::{
    InForce, Places, Policy, PolicyError, SourceError, Trust, check_edited, install,
};
use written::Written;

/// A policy of root's.
fn written(text: &str) -> Written {
    let written = Written::new(text);
    let owner = std::fs::metadata(&written.folder).unwrap().uid();
    assert_eq!(owner, 0, "this test must be run by root");
    written
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refusal(path: &Path) -> String {
    match Policy::load_file(path).unwrap_err() {
        PolicyError::Source(error) => error.to_string(),
        PolicyError::Invalid(diagnostics) => panic!("{diagnostics:?}"),
    }
}

#[test]
fn a_file_that_others_could_have_written_is_refused() {
    let written = written("version = 1\n");
    let path = written.path();
    chmod(&written.folder, 0o755);
    chmod(&path, 0o644);
    assert!(Policy::load_file(&path).is_ok());
    for mode in [0o664, 0o646, 0o666] {
        chmod(&path, mode);
        let why = "is not used: its group or others can write to it";
        assert_eq!(refusal(&path), format!("{} {why}", path.display()));
    }
    chmod(&path, 0o644);
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    assert!(refusal(&path).ends_with("is not used: its owner is not root"));
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    chmod(&written.folder, 0o777);
    assert!(refusal(&path).ends_with("is not used: others can write to the directory"));
    chmod(&written.folder, 0o1777);
    assert!(Policy::load_file(&path).is_ok(), "sticky, as /tmp is");
    std::os::unix::fs::chown(&written.folder, Some(65534), None).unwrap();
    assert!(refusal(&path).ends_with("is not used: the directory's owner is not root"));
    // Nor by a link: there it can be exchanged for another file of root's.
    let link = Written::new("");
    std::fs::remove_file(link.path()).unwrap();
    std::os::unix::fs::symlink(&path, link.path()).unwrap();
    assert!(refusal(&link.path()).ends_with("is not used: the directory's owner is not root"));
    std::os::unix::fs::chown(&written.folder, Some(0), None).unwrap();
    assert!(Policy::load_file(&link.path()).is_ok());
}

#[test]
fn what_is_no_file_is_refused_and_holds_nobody_up() {
    let written = written("");
    std::fs::remove_file(written.path()).unwrap();
    let status = std::process::Command::new("mkfifo")
        .arg(written.path())
        .status();
    assert!(status.unwrap().success());
    chmod(&written.path(), 0o644);
    assert!(refusal(&written.path()).ends_with("is not used: not a regular file"));
    std::fs::remove_file(written.path()).unwrap();
    assert!(refusal(&written.path()).contains("No such file"));
    std::fs::write(written.path(), b"version = 1\n\n# \xff\n").unwrap();
    assert!(refusal(&written.path()).ends_with("line 3 is not UTF-8"));
    // Not read as far as that, or the rules behind would be gone.
    let long = |length: usize| "version = 1\n#".to_owned() + &"x".repeat(length - 13);
    std::fs::write(written.path(), long(4 << 20)).unwrap();
    Policy::load_file(&written.path()).unwrap();
    std::fs::write(written.path(), long((4 << 20) + 1)).unwrap();
    assert!(refusal(&written.path()).ends_with("longer than 4 MiB"));
    let latin = written.folder.join(OsStr::from_bytes(b"caf\xe9.toml"));
    std::fs::write(&latin, "version = 1\n").unwrap();
    assert!(refusal(&latin).ends_with("caf\u{fffd}.toml is not used: its name is not UTF-8"));
}

#[test]
fn a_file_that_is_being_edited_is_checked_as_if_it_were_saved() {
    let written = written("");
    let places = Places::under(&written.folder);
    std::fs::create_dir_all(&places.drop_ins).unwrap();
    let [one, three] = ["10-one.toml", "30-three.toml"].map(|name| places.drop_ins.join(name));
    let exempt = |key: &str, name: &str| format!("[exempt]\n{key} = [\"{name}\"]\n");
    std::fs::write(&places.policy, "version = 1\n").unwrap();
    std::fs::write(&one, exempt("users", "one")).unwrap();
    std::fs::write(&three, exempt("groups", "three")).unwrap();
    let exempted = |path: &Path, text: &str| {
        let checked = check_edited(&places, Trust::Root, None, Some((path, text))).unwrap();
        assert_eq!(checked.errors() + checked.warnings(), 0);
        let policy = checked.policy.unwrap();
        let exempt = policy.exempt();
        format!("{:?} {:?}", exempt.users, exempt.groups)
    };
    let x = exempt("users", "x");
    assert_eq!(exempted(&one, &x), r#"["x"] ["three"]"#);
    let policy = format!("version = 1\n{x}");
    assert_eq!(exempted(&places.policy, &policy), r#"["one"] ["three"]"#);
    // A folder of drop-ins that is not there is an empty one, and one that is none is an error.
    let moved = written.folder.join("moved");
    std::fs::rename(&places.drop_ins, &moved).unwrap();
    assert_eq!(exempted(&places.policy, &policy), r#"["x"] []"#);
    std::fs::write(&places.drop_ins, "").unwrap();
    check_edited(&places, Trust::Root, None, Some((&places.policy, &policy))).unwrap_err();
    std::fs::remove_file(&places.drop_ins).unwrap();
    // Nor one that others can take files out of, whatever is in it.
    std::fs::create_dir(&places.drop_ins).unwrap();
    chmod(&places.drop_ins, 0o777);
    check_edited(&places, Trust::Root, None, Some((&places.policy, &policy))).unwrap_err();
    std::fs::remove_dir(&places.drop_ins).unwrap();
    std::fs::rename(&moved, &places.drop_ins).unwrap();
    // A new one has its place by its name.
    let new = places.drop_ins.join("20-new.toml");
    let both = format!("{x}groups = [\"x\"]\n");
    assert_eq!(exempted(&new, &both), r#"["x"] ["three"]"#);
}

#[test]
fn an_edit_counts_from_the_next_reload_on() {
    let written = written("");
    let places = Places::under(&written.folder);
    std::fs::create_dir_all(&places.drop_ins).unwrap();
    let edit = |text: &str| std::fs::write(&places.policy, text).unwrap();
    edit("version = 1\n[exempt]\nusers = [\"one\"]\n");
    let users = || {
        let users = Policy::load_in(&places).unwrap().exempt().users.clone();
        // What a login reads of it says the same.
        let read = InForce::open_in(&places).unwrap();
        assert_eq!(read.exempt().users, users);
        users
    };
    assert_eq!(users(), ["one"], "none is loaded: the files");
    // Of an older policy that had penalties.
    std::fs::create_dir_all(places.due.parent().unwrap()).unwrap();
    std::fs::write(&places.due, "").unwrap();
    let read = Policy::load_in(&places).unwrap();
    // Also one that comes before what was read is in force: reload may have thousands of accounts to compare.
    edit("version = 1\n[exempt]\nusers = [\"two\"]\n");
    install(&read, &places).unwrap();
    assert_eq!(users(), ["one"], "the loaded copy");
    let policy = Policy::load_in(&places).unwrap();
    assert_eq!(policy.changed().unwrap(), [places.policy.as_path()]);
    let new = places.drop_ins.join("20-new.toml");
    std::fs::write(&new, "").unwrap();
    let changed = policy.changed().unwrap();
    assert_eq!(changed, [places.policy.clone(), new.clone()]);
    std::fs::remove_file(new).unwrap();

    let list = std::fs::read_to_string(&places.exempt).unwrap();
    assert_eq!(list, policy.exempt().render(policy.unanswered()));
    assert!(list.contains("user one\n") && list.contains("uid 1-999\n"));
    for path in [&places.loaded, &places.exempt] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{}", path.display());
    }
    let beside = std::fs::read_dir(places.loaded.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 2, "nothing else is left there");

    // A damaged copy is none; one that others can write is an error.
    let text = std::fs::read_to_string(&places.loaded).unwrap();
    std::fs::write(&places.loaded, text.replace("one", "eve")).unwrap();
    assert_eq!(users(), ["two"], "the files");
    std::fs::write(&places.loaded, text).unwrap();
    chmod(&places.loaded, 0o666);
    let error = Policy::load_in(&places).unwrap_err();
    assert!(matches!(
        error,
        PolicyError::Source(SourceError::Untrusted { .. })
    ));
}

#[test]
fn a_policy_that_cannot_be_put_in_force_leaves_both_files_of_the_one_before() {
    let written = written("");
    let places = Places::under(&written.folder);
    let policy = |text: &str| written::policy(&format!("[exempt]\nusers = {text}\n"));
    install(&policy("[\"one\"]"), &places).unwrap();
    std::fs::create_dir_all(&places.due).unwrap();
    let watched = "[\"two\"]\n[time.t]\ndays = \"mon\"\n[[rule]]\ntime = \"t\"\naction = \"deny\"";
    install(&policy(watched), &places).unwrap_err();
    let list = std::fs::read_to_string(&places.exempt).unwrap();
    let loaded = Policy::load_in(&places).unwrap();
    assert_eq!(loaded.exempt().users, ["one"]);
    assert_eq!(list, loaded.exempt().render(loaded.unanswered()));
}

#[test]
fn a_loaded_copy_that_cannot_be_read_is_no_missing_one() {
    let written = written("");
    let places = Places::under(&written.folder);
    std::fs::create_dir_all(places.policy.parent().unwrap()).unwrap();
    std::fs::create_dir_all(places.loaded.parent().unwrap()).unwrap();
    std::fs::write(&places.policy, "version = 1\n").unwrap();
    let load = || {
        (
            Policy::load_in(&places).is_ok(),
            InForce::open_in(&places).is_ok(),
        )
    };
    assert_eq!(load(), (true, true));
    std::os::unix::fs::symlink(&places.loaded, &places.loaded).unwrap();
    // Or what is being edited would be in force.
    assert_eq!(load(), (false, false));
}

#[test]
fn a_policy_with_errors_is_told_in_one_line() {
    let written = written("version = 1\nx = 1\ny = 2\n");
    let error = Policy::load_file(&written.path()).unwrap_err();
    let expected = format!(
        "{}:2:1: unknown key `x` (and 1 more)",
        written.path().display()
    );
    assert_eq!(error.to_string(), expected);
}
