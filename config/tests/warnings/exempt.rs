//! Who is exempt, and who had better be.

use super::{site, warnings};
use crate::written::{Site, login};

#[test]
fn who_is_exempt_and_not_known() {
    let site = Site {
        users: vec!["backup"],
        ..site(&["ops"])
    };
    let body = "[exempt]\nusers = [\"backup\", \"bakcup\"]\ngroups = [\"sudo\", \"wheel\", \"ops\", \"pos\", \"sop\"]\n";
    assert_eq!(
        warnings(body, &site),
        [
            "3:1 user `bakcup` is not known here | nobody is exempt by it",
            "4:1 group `pos`, `sop` is not known here | nobody is exempt by it"
        ]
    );
}

#[test]
fn uids_in_the_place_of_the_system_accounts() {
    let told = |uids: &str| warnings(&format!("[exempt]\nuids = [{uids}]\n"), &site(&[]));
    let warning = "3:1 system accounts are not exempt | what is written replaces the default: \
                   add \"1-999\", \"61184-65519\", \"65534\"";
    for uids in ["\"20000-20010\"", "65534, \"1000-1005\""] {
        assert_eq!(told(uids), [warning], "{uids}");
    }
    for uids in ["\"1-499\", 20000", "\"1-\"", "2000, 33", ""] {
        assert_eq!(told(uids), [""; 0], "{uids}");
    }
}

#[test]
fn a_rule_for_none_but_exempt_accounts() {
    let told = |tests: &str| {
        let site = Site {
            users: vec!["backup", "alice"],
            ..site(&["students"])
        };
        let exempt = "[exempt]\nusers = [\"backup\", \"alice\"]\ngroups = [\"sudo\"]";
        let body = format!("{exempt}\n[[rule]]\n{tests}\naction = \"deny\"\n");
        warnings(&body, &site)
    };
    let warning = "5:1 this rule is never reached | all whom it is for are exempt";
    for tests in [
        "uid = \"500-999\"",
        "uid = [\"0-10\", 65534]",
        "user = [\"root\", \"backup\"]",
        "user = [\"backup\", \"alice\"]\nservice = \"cron\"",
    ] {
        assert_eq!(told(tests), [warning], "{tests}");
    }
    for group in ["group", "primary_group"] {
        assert!(told(&format!("{group} = \"sudo\"")).contains(&warning.into()));
    }
    for tests in [
        "uid = \"500-1000\"",
        "uid = [5, 1000]",
        "user = [\"backup\", \"bob\"]",
        "user = \"back*\"",
        "group = \"students\"",
    ] {
        assert_eq!(told(tests), [""; 0], "{tests}");
    }
}

#[test]
fn who_may_sudo_and_is_in_a_berth() {
    let site = Site {
        sudoers: vec![login("alice", 1001, &["alice", "sudo"])],
        ..Site::default()
    };
    let body = |exempt: &str, namespaces: &str| {
        format!(
            "[exempt]\n{exempt}\n[profile.a]\nnamespaces = {{ {namespaces} }}\n[[rule]]\nprofile = \"a\"\n"
        )
    };
    assert_eq!(
        warnings(&body("", "pid = true, mount = true"), &site),
        [
            "6:1 alice may use sudo, and is in a berth by this rule | sudo does not leave it | \
          list the account or its group in [exempt], or give a profile of caps alone"
        ]
    );
    assert_eq!(
        warnings(
            &body("groups = [\"sudo\"]", "pid = true, mount = true"),
            &site
        ),
        [""; 0]
    );
    assert_eq!(
        warnings(&body("", "mount = true, private_tmp = \"1G\""), &site).len(),
        1
    );
    assert_eq!(warnings(&body("", "pid = false"), &site), [""; 0]);
    // They are looked up by name, and have come by no terminal.
    let mut site = site;
    site.sudoers[0].tty.clear();
    let by_ssh =
        body("", "pid = true, mount = true").replace("[[rule]]", "[[rule]]\ntty = \"ssh\"");
    let told = warnings(&by_ssh, &site);
    assert!(told[0].starts_with("6:1 alice may use sudo"), "{told:?}");
}

#[test]
fn who_may_sudo_and_is_refused() {
    let site = Site {
        sudoers: vec![login("alice", 1001, &["alice", "sudo"])],
        ..Site::default()
    };
    let rule = "[[rule]]\nuser = \"alice\"\naction = \"deny\"\n";
    assert_eq!(
        warnings(rule, &site),
        [
            "2:1 alice may use sudo, and is refused by this rule | only [exempt] comes before this | \
          list the account or its group in [exempt]"
        ]
    );
    let no_match = "defaults.no_match = \"deny\"\n";
    let told = warnings(no_match, &site);
    assert!(
        told[0].starts_with("2:10 alice may use sudo, and is refused by `no_match`"),
        "{told:?}"
    );
    let exempt = format!("{no_match}exempt.groups = [\"sudo\"]\n");
    assert_eq!(warnings(&exempt, &site), [""; 0]);
}
