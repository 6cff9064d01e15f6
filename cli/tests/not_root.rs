//! What somebody who is not root may see and do: of their own what the kernel tells everybody, and nothing of others'.

mod pretend;

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use pretend::ran::somebody;
use pretend::{Run, record, three, with_figures};

#[test]
fn who_is_not_root_sees_and_does_nothing_of_others() {
    let run = with_figures();
    // Of a policy in force, and of what was accounted, others are told nothing either.
    let file = run.cgroups.with_extension("ledger");
    std::fs::write(&file, "{}\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let report = format!("report --file {}", file.display());
    let log = format!("log --file {}", file.display());
    for arguments in [
        "list --pools",
        "list --stale",
        "show bob",
        "show user:root",
        "show 9",
        "show pool:cs101",
        "show profile:student",
        "explain root",
        "explain 9",
        "check --users",
        "diff",
        "diff --json",
        "diff --user root",
        "diff --user 4000001 --user root",
        "diff /nowhere",
        &report,
        &log,
        "log",
        "log bob",
        "metrics",
        "metrics --format prometheus",
        "doctor",
        "apply --dry-run",
        "apply",
        "set bob memory_max=1G --for 1h",
        "unset bob",
        "kill 9 --yes",
        "kill 12 --yes",
        "kill --stale --yes",
        "freeze bob",
        "thaw 12",
        "enter 9 true",
        "enter 12 true",
        "try --user root true",
        "edit",
        "pam enable su --yes",
        "pam disable su --yes",
    ] {
        let ran = run.berth(&somebody(4_000_001), arguments);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(4), ""),
            "{arguments}: {ran:?}"
        );
        assert!(ran.err.starts_with("berth: "), "{arguments}: {ran:?}");
        for secret in ["bob", "cs101", "4000002"] {
            let said = ran.err.replace(arguments, "");
            assert!(!said.contains(secret), "{arguments}: {ran:?}");
        }
    }
    for arguments in [
        "",
        "list",
        "list --json",
        "list --users",
        "list --users --json",
        "show",
        "show --json",
        "show 12",
        "top -b -d 0.1",
        "top -b -d 0.1 --sessions",
        "top -b -d 0.1 --pools",
    ] {
        let ran = run.berth(&somebody(4_000_001), arguments);
        assert_eq!(ran.code, Some(0), "{arguments}: {ran:?}");
        for secret in ["bob", "cs101", "4000002", "7.0G", "7516192768"] {
            assert!(
                !ran.out.contains(secret),
                "{arguments} tells {secret}: {}",
                ran.out
            );
        }
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn who_is_not_root_may_compare_files_and_what_they_get_themselves() {
    let run = Run::new();
    let file = run.cgroups.with_extension("toml");
    std::fs::write(&file, "version = 1\n[defaults]\nno_match = \"exempt\"\n").unwrap();
    let file = file.display();
    let ran = run.berth(&somebody(65_534), &format!("diff {file} {file}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run.berth(&somebody(65_534), "diff --root /nowhere --user nobody");
    assert!(
        ran.err.contains("/nowhere/etc/berth/policy.toml"),
        "{ran:?}"
    );
}

#[test]
fn who_is_not_root_is_listed_what_is_their_own() {
    let run = with_figures();
    assert_eq!(
        run.berth(&somebody(4_000_001), "list").out,
        "\
SESSION  USER     TASKS  CPU  MEMORY  STATE
     12  4000001     34   0%    1.0G  active
     14  4000001      3   0%      1M  active
"
    );
    assert_eq!(
        run.berth(&somebody(4_000_002), "list --users").out,
        "\
USER         UID  SESSIONS  TASKS  CPU  MEMORY
4000002  4000002         1     61   0%    7.0G
"
    );
    let json = run.berth(&somebody(4_000_002), "list --json").out;
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(object["sessions"][0]["session"], 9);
    assert!(!json.contains("alice") && !json.contains("4000001"));
}

#[test]
fn who_has_no_session_of_their_own_is_told_so() {
    let run = three();
    let nobody = &somebody(4_000_001);
    assert_eq!(run.berth(nobody, "--version").code, Some(0));
    for arguments in ["list", "top -b", "show", ""] {
        let ran = run.berth(nobody, arguments);
        assert_eq!(ran.code, Some(4), "{arguments}: {ran:?}");
        assert!(
            ran.out.is_empty() && ran.err.starts_with("berth: "),
            "{ran:?}"
        );
    }
}

#[test]
fn who_is_not_root_is_explained_only_what_they_get_themselves() {
    let run = Run::new();
    run.write(12, &record(12, "root", 0, 1));
    let nobody = "env SUDO_USER=root setpriv --reuid=65534 --regid=65534 --clear-groups";
    for about in ["root", "12"] {
        let ran = run.berth(nobody, &format!("explain {about}"));
        assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""), "{ran:?}");
    }
    for own in ["", "nobody"] {
        let ran = run.berth(nobody, &format!("explain --root /nowhere {own}"));
        assert!(
            ran.err.contains("/nowhere/etc/berth/policy.toml"),
            "{ran:?}"
        );
    }
}
