//! The PAM services that are measured: one with Berth in its stack, and one without.

use berth_tests::Session;

/// The service with Berth in its stack; one that Berth joins.
pub const WITH: &str = "login";
/// The same without Berth.
pub const WITHOUT: &str = "login-without";

/// Opens a session, and makes sure that it is what is to be measured.
pub fn open(service: &str, user: &str) -> Result<Session, String> {
    let session = Session::open(service, user)?;
    if session.is_in_berth() == (service == WITH) {
        Ok(session)
    } else {
        Err(format!(
            "{service}: in a berth where there should be none, or not in one"
        ))
    }
}

/// Writes the stack to compare with: Berth's, less Berth.
pub fn install_service_without_berth() {
    let with = std::fs::read_to_string(format!("/etc/pam.d/{WITH}")).expect("PAM stack");
    let lines = with.lines().filter(|line| !line.contains("pam_berth"));
    let without: Vec<&str> = lines.collect();
    std::fs::write(format!("/etc/pam.d/{WITHOUT}"), without.join("\n") + "\n").expect("PAM stack");
}
