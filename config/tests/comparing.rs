//! What another policy would change for an account (`berth diff`, `berth reload`).

mod written;

use berth_config::{Comparison, Login, untried};
use written::{login, machine, policy};

/// The services by which a login differs.
fn differing(old: &str, new: &str, account: &Login) -> Vec<String> {
    let (old, new, machine) = (policy(old), policy(new), machine());
    let mut comparison = Comparison::new([&old, &new], &machine);
    let differing = comparison.of(account);
    differing.iter().map(|one| one.0.to_owned()).collect()
}

const POOLS: &str = "[pool.a]\nmemory_max = \"1G\"\n[pool.b]\nmemory_max = \"1G\"\n[profile.p]\n";

fn in_pool(pool: &str) -> String {
    format!("{POOLS}[[rule]]\nprofile = \"p\"\npool = \"{pool}\"\n")
}

#[test]
fn a_login_differs_by_what_it_comes_to_and_by_the_service_that_it_is() {
    let alice = login("alice", 1001, &[]);
    let none: [&str; 0] = [];
    let usual = ["cron", "login", "sshd", "su"];
    let deny = "[[rule]]\naction = \"deny\"\n";
    assert_eq!(differing(deny, deny, &alice), none);
    let named = format!("{deny}name = \"nobody\"\n");
    assert_eq!(differing(deny, &named, &alice), none, "called otherwise");
    assert_eq!(differing(deny, "", &alice), usual);
    let by_one = "[[rule]]\nservice = [\"vsftpd\", \"x*\"]\naction = \"deny\"\n";
    assert_eq!(differing("", by_one, &alice), ["vsftpd"]);
    assert_eq!(differing(by_one, "", &alice), ["vsftpd"]);
    let but = |services: &str| format!("{deny}except = {{ service = [{services}] }}\n");
    let (one, two) = (but("\"sshd\""), but("\"sshd\", \"vsftpd\""));
    assert_eq!(
        differing(&one, &two, &alice),
        ["vsftpd"],
        "by what is excepted"
    );
    let bobs = "[[rule]]\nuser = \"bob\"\naction = \"deny\"\n";
    assert_eq!(differing("", bobs, &alice), none);
    assert_eq!(differing("", bobs, &login("bob", 1002, &[])), usual);
}

#[test]
fn what_is_not_tried_is_said() {
    let told = |test: &str| untried(&[&policy(&format!("[[rule]]\n{test}\naction = \"deny\"\n"))]);
    for more in [
        "rhost = \"*\"",
        "service = [\"cron\", \"vs*\"]",
        "except = { service = \"x*\" }",
    ] {
        assert!(!told(more).is_empty(), "{more}");
    }
    for tried in [
        "service = \"vsftpd\"",
        "except = { service = \"vsftpd\" }",
        "group = \"a*\"",
    ] {
        assert_eq!(told(tried), "", "{tried}");
    }
}

#[test]
fn a_login_differs_by_caps_that_it_shares_with_others() {
    let alice = login("alice", 1001, &[]);
    let usual = ["cron", "login", "sshd", "su"];
    assert_eq!(differing(&in_pool("a"), &in_pool("b"), &alice), usual);
    let larger = in_pool("a").replace("1G", "2G");
    assert_eq!(differing(&in_pool("a"), &larger, &alice), usual);
    let all = |quota: u32| format!("[everyone]\ncpu_quota = \"{quota}%\"\n{}", in_pool("a"));
    assert_eq!(differing(&all(500), &all(600), &alice), usual);
}

#[test]
fn a_login_differs_by_what_its_user_is_watched_for_and_by_whether_it_is_joined() {
    let alice = login("alice", 1001, &[]);
    let watched = |steps: &str| {
        format!(
            "[penalty.hog]\ncpu_above = \"50%\"\nwindow = \"10min\"\nsteps = {steps}\nstep_time = \"1h\"\nforget = \"3h\"\n\
             [profile.p]\npenalty = \"hog\"\n[[rule]]\nprofile = \"p\"\n"
        )
    };
    let (half, less) = (watched("[\"50%\"]"), watched("[\"10%\"]"));
    assert_eq!(differing(&half, &half, &alice).len(), 0);
    assert_eq!(differing(&half, &less, &alice).len(), 4);
    let unwatched = half.replace("penalty = \"hog\"\n", "");
    assert_eq!(differing(&half, &unwatched, &alice).len(), 4);
    // A service that is not joined by default is joined where a rule names it, and not by a pattern.
    let by = |service: &str| {
        format!(
            "[profile.p]\nnamespaces.pid = true\n[[rule]]\nservice = [{service}]\nprofile = \"p\"\n"
        )
    };
    let named = by("\"sshd\", \"vsftpd\"");
    assert_eq!(
        differing(&named, &by("\"s*\", \"v*\""), &alice),
        ["su", "vsftpd"]
    );
}

#[test]
fn a_policy_that_cannot_be_carried_out_on_this_machine_differs_from_one_that_can() {
    let alice = login("alice", 1001, &[]);
    let on = |cpus: &str| {
        format!("[profile.p]\nuser = {{ allowed_cpus = \"{cpus}\" }}\n[[rule]]\nprofile = \"p\"\n")
    };
    assert_eq!(differing(&on("0"), &on("64"), &alice).len(), 4);
    assert_eq!(differing(&on("64"), &on("64"), &alice).len(), 0);
}
