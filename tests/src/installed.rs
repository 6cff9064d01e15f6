//! Berth where an admin has it, with Debian's own PAM stacks.

use std::fs;

use crate::Machine;

/// Files of Debian 12's, each with its name, and their comments cut.
macro_rules! debian {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../cli/tests/debian/12/", $name)))),*]
    };
}

const DEBIAN: [(&str, &str); 11] = debian! {
    "sshd" "login" "su" "su-l" "cron" "atd"
    "common-account" "common-auth" "common-password" "common-session" "common-session-noninteractive"
};

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
