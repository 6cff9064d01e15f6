//! Groups and services that this machine does not have.

use super::{site, warnings};
use crate::written::Site;

#[test]
fn a_group_that_is_not_known() {
    let body = "[[rule]]\ngroup = [\"staff\", \"stuff\", \"s*\"]\naction = \"deny\"\n";
    assert_eq!(
        warnings(body, &site(&["staff"])),
        ["3:1 group `stuff` is not known here | nobody is in it"]
    );
    // Other machines may have it.
    for machines in ["role = \"build\"", "host = \"b*\""] {
        let theirs = body.replace("[[rule]]", &format!("[[rule]]\n{machines}"));
        assert_eq!(warnings(&theirs, &site(&[])), [""; 0]);
    }
    // Each is asked for once: it may be a directory far away that answers.
    let site = site(&["staff"]);
    let but_staff = "except = { group = \"staff\" }\naction = \"exempt\"\n";
    let rules = format!("[[rule]]\nuser = \"a\"\n{but_staff}[[rule]]\nuser = \"b\"\n{but_staff}");
    assert_eq!(warnings(&rules, &site), [""; 0]);
    assert_eq!(site.asked.get(), 1);
}

#[test]
fn a_service_without_berth_in_its_stack() {
    let site = Site {
        without_berth: vec!["atd"],
        ..Site::default()
    };
    let body = "[[rule]]\nservice = [\"sshd\", \"atd\"]\naction = \"deny\"\n";
    assert_eq!(
        warnings(body, &site),
        ["3:1 service `atd` has no pam_berth in its PAM stack | its logins never reach this rule"]
    );
}

#[test]
fn a_service_that_asks_berth_only_whether_to_refuse() {
    let site = Site {
        refuse_only: vec!["dovecot"],
        ..Site::default()
    };
    let body = |outcome: &str| {
        format!(
            "[profile.p]\n[[rule]]\nservice = \"dovecot\"\n{outcome}\n[[rule]]\nprofile = \"p\"\n"
        )
    };
    for action in ["action = \"deny\"", "action = \"exempt\""] {
        assert_eq!(warnings(&body(action), &site), [""; 0]);
    }
    assert_eq!(
        warnings(&body("profile = \"p\""), &site),
        ["4:1 service `dovecot` has no session line of pam_berth | \
          its logins get no profile, and can only be refused"]
    );
}

#[test]
fn a_service_whose_name_is_nearly_that_of_one() {
    let told = |services: &str| {
        let body = format!("[[rule]]\nservice = {services}\naction = \"deny\"\n");
        warnings(&body, &Site::default())
    };
    assert_eq!(
        told("\"ssh\""),
        ["3:1 there is no PAM service `ssh` here | did you mean `sshd`?"]
    );
    // Other machines may have what this one has not.
    assert!(told("\"crond\"").len() == 1);
    assert!(told("[\"cron\", \"crond\"]").is_empty());
    assert!(told("[\"gdm\", \"ssh*\"]").is_empty());
}
