//! Berth where an admin has it, with Debian's own PAM stacks.

use std::fs;

use crate::Machine;

/// Debian 12's, with their comments cut.
const DEBIAN: [(&str, &str); 11] = [
    (
        "sshd",
        include_str!("../../cli/src/verb/pam/debian/12/sshd"),
    ),
    (
        "login",
        include_str!("../../cli/src/verb/pam/debian/12/login"),
    ),
    ("su", include_str!("../../cli/src/verb/pam/debian/12/su")),
    (
        "su-l",
        include_str!("../../cli/src/verb/pam/debian/12/su-l"),
    ),
    (
        "cron",
        include_str!("../../cli/src/verb/pam/debian/12/cron"),
    ),
    ("atd", include_str!("../../cli/src/verb/pam/debian/12/atd")),
    (
        "common-account",
        include_str!("../../cli/src/verb/pam/debian/12/common-account"),
    ),
    (
        "common-auth",
        include_str!("../../cli/src/verb/pam/debian/12/common-auth"),
    ),
    (
        "common-password",
        include_str!("../../cli/src/verb/pam/debian/12/common-password"),
    ),
    (
        "common-session",
        include_str!("../../cli/src/verb/pam/debian/12/common-session"),
    ),
    (
        "common-session-noninteractive",
        include_str!("../../cli/src/verb/pam/debian/12/common-session-noninteractive"),
    ),
];

impl Machine {
    /// Puts module and helper where they are installed, and the stacks that Debian comes with, without Berth.
    pub fn install(&self) {
        let folders = "set -e
            modules=$(dirname $(ls /usr/lib/*/security/pam_permit.so | head -n 1))
            for folder in $modules /usr/libexec; do
                mkdir -p /mnt$folder; mount -t tmpfs berth /mnt$folder
                cp -a $folder/. /mnt$folder; mount --bind /mnt$folder $folder
            done
            cp /berth/libpam_berth.so $modules/pam_berth.so
            cp /berth/berth-helper /usr/libexec/";
        self.host(folders).ok();
        for (service, text) in DEBIAN {
            fs::write(format!("/etc/pam.d/{service}"), text).expect("write a PAM stack");
        }
    }
}
