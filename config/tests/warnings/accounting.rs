//! The accounting file.

use super::{site, warnings};
use crate::written::{Site, Written};

#[test]
fn an_accounting_file_that_cannot_be_written_and_what_is_about_none() {
    let good = "[accounting]\nfile = \"/var/log/berth/sessions.jsonl\"\nkeep = \"90d\"\n";
    assert_eq!(warnings(good, &site(&[])), [""; 0]);
    let closed = Site {
        accounting_problem: Some("the directory's owner is not root"),
        ..Site::default()
    };
    assert_eq!(
        warnings(good, &closed),
        [
            "3:1 nothing can be written here | the directory's owner is not root | \
          the folder must be there but for its last part, and nobody but root may write to it"
        ]
    );
    assert_eq!(
        warnings("[accounting]\njournal = false\n", &closed),
        [""; 0]
    );
    assert_eq!(
        warnings("[accounting]\nkeep = \"90d\"\n", &site(&[])),
        ["3:1 there is no `file` that this could be about | "]
    );
}

#[test]
fn an_accounting_file_is_roots_from_the_root_on() {
    use berth_config::{Site as _, ThisMachine};
    let me = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me));
    assert_eq!(me.unwrap(), 0, "this test must be run by root");
    let written = Written::new("");
    let folder = &written.folder;
    let machine = ThisMachine { cgroup_root: None };
    let problem = |path: &str| machine.accounting_problem(&folder.join(path));
    assert_eq!(problem("sessions"), None);
    assert_eq!(
        problem("berth/sessions"),
        None,
        "made with the first session"
    );
    assert!(problem("a/b/sessions").unwrap().starts_with("cannot read "));
    assert_eq!(problem("").unwrap(), "it is a folder");
    std::fs::create_dir(folder.join("berth")).unwrap();
    let _ = std::os::unix::fs::chown(folder, Some(1001), None);
    for path in ["sessions", "berth/sessions"] {
        let told = problem(path).unwrap();
        assert!(
            told.ends_with("the directory's owner is not root"),
            "{told}"
        );
    }
}
