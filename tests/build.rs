//! Tells the tests what they are built on: programs that are built on a newer system do not run on an older one. And
//! which of the programs are there that a machine may lack.

use std::path::{Path, PathBuf};

/// What is there only if all of its files are: `no_NAME` says that it is not.
const PROGRAMS: [(&str, &[&str]); 8] = [
    ("prometheus", &["/usr/bin/prometheus", "/usr/bin/promtool"]),
    ("vsftpd", &["foreign/vsftpd"]),
    ("proftpd", &["/usr/sbin/proftpd"]),
    ("dovecot", &["/usr/sbin/dovecot", "/usr/lib/dovecot/imap"]),
    ("xvfb", &["/usr/bin/Xvfb"]),
    ("xrdp", &["/usr/sbin/xrdp-sesman"]),
    (
        "cockpit",
        &["/usr/lib/cockpit/cockpit-ws", "/usr/bin/cockpit-bridge"],
    ),
    ("lightdm", &["/usr/sbin/lightdm", "/usr/bin/dbus-daemon"]),
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(built_past_debian_12)");
    println!("cargo::rerun-if-changed=/etc/os-release");
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !system.contains("VERSION_ID=\"12\"") {
        println!("cargo::rustc-cfg=built_past_debian_12");
    }
    // target/PROFILE/build/PACKAGE/out
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let target = out.ancestors().nth(4).unwrap_or(Path::new("target"));
    for (name, files) in PROGRAMS {
        println!("cargo::rustc-check-cfg=cfg(no_{name})");
        let files = files.iter().map(|file| target.join(file));
        for file in files.clone() {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        if !files.into_iter().all(|file| file.exists()) {
            println!("cargo::rustc-cfg=no_{name}");
        }
    }
}
