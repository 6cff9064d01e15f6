//! The PAM services that are measured: one with Berth in its stack, and one without.

use std::os::unix::fs::DirBuilderExt;

use berth_tests::Session;
use nix::mount::MsFlags;

/// The service with Berth in its stack; one that Berth joins.
pub const WITH: &str = "login";
/// The same with Berth's session line alone, under the name of another service that Berth joins.
pub const SESSION_LINE: &str = "remote";
/// The same without Berth.
pub const WITHOUT: &str = "login-without";

/// The same with pam_namespace in Berth's place.
pub const PAM_NAMESPACE: &str = "login-namespace";

/// Opens a session, and makes sure that it is what is to be measured.
pub fn open(service: &str, user: &str) -> Result<Session, String> {
    let session = Session::open(service, user)?;
    if session.is_in_berth() != [WITHOUT, PAM_NAMESPACE].contains(&service) {
        Ok(session)
    } else {
        Err(format!(
            "{service}: in a berth where there should be none, or not in one"
        ))
    }
}

/// Writes the stacks to compare with: Berth's, less its account line, and less Berth.
pub fn install_services() {
    let with = std::fs::read_to_string(format!("/etc/pam.d/{WITH}")).expect("PAM stack");
    let install = |service: &str, left_out: fn(&str) -> bool| {
        let lines: Vec<&str> = with.lines().filter(|line| !left_out(line)).collect();
        std::fs::write(format!("/etc/pam.d/{service}"), lines.join("\n") + "\n")
            .expect("PAM stack");
    };
    install(SESSION_LINE, |line| {
        line.starts_with("account") && line.contains("pam_berth")
    });
    install(WITHOUT, |line| line.contains("pam_berth"));
    // A /tmp for each user, as pam_namespace makes one.
    let without = std::fs::read_to_string(format!("/etc/pam.d/{WITHOUT}")).expect("PAM stack");
    std::fs::write(
        format!("/etc/pam.d/{PAM_NAMESPACE}"),
        without + "session required pam_namespace.so\n",
    )
    .expect("PAM stack");
    std::fs::write(
        "/run/namespace.conf",
        "/tmp /run/tmp-inst/ user:create root\n",
    )
    .expect("pam_namespace's configuration");
    let mut folder = std::fs::DirBuilder::new();
    folder
        .mode(0o000)
        .create("/run/tmp-inst")
        .expect("a folder of root's");
    let (own, of_system) = ("/run/namespace.conf", "/etc/security/namespace.conf");
    let nothing: Option<&str> = None;
    nix::mount::mount(Some(own), of_system, nothing, MsFlags::MS_BIND, nothing)
        .expect("put pam_namespace's configuration in place");
}
