//! A real sshd, and its real client.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::kernel::eventually;
use crate::{Background, Process};

const KEY: &str = "/root/key";
/// What the server accepts from everybody.
pub const KEYS: &str = "/etc/ssh/test_keys";
const HOST_KEY: &str = "/etc/ssh/test_host_key";
const CONFIG: &str = "/etc/ssh/test_sshd_config";

/// OpenSSH 9 agrees on keys in a way that no quantum computer breaks, which takes both sides a seventh of a second: half
/// of a login's CPU time, and more on an emulated machine. None of it is PAM's.
pub const CHEAP_KEYS: &str = "-oKexAlgorithms=ecdh-sha2-nistp256";

/// The user whose sftp is chrooted to /srv/NAME.
pub const CHROOTED: &str = "carol";

/// A server on the machine's own loopback.
#[derive(Debug)]
pub struct Sshd {
    server: Background,
}

impl Sshd {
    /// Starts the server and waits for it to listen.
    pub fn start() -> Sshd {
        make_key(HOST_KEY);
        let_in();
        fs::create_dir_all(format!("/srv/{CHROOTED}/files")).expect("chroot");
        fs::write(CONFIG, config()).expect("sshd_config");
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", CONFIG])
            .args(no_penalties())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd");
        let server = Background(server);
        let listens = || std::net::TcpStream::connect("127.0.0.1:22").is_ok();
        assert!(eventually(listens), "sshd does not listen");
        // The connection that asked has a process for a moment.
        let alone = || server.process().descendants().is_empty();
        assert!(eventually(alone), "sshd is busy");
        Sshd { server }
    }

    /// The listening server.
    pub fn process(&self) -> Process {
        self.server.process()
    }
}

fn make_key(path: &str) {
    if !Path::new(path).exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", path])
            .status();
        assert!(made.expect("ssh-keygen").success());
    }
}

/// Makes the key with which [`client`] logs in as anybody, where sshd looks for [`KEYS`].
pub fn let_in() {
    make_key(KEY);
    fs::copy(format!("{KEY}.pub"), KEYS).expect("keys");
}

fn config() -> String {
    format!(
        "Port 22\nListenAddress 127.0.0.1\nHostKey {HOST_KEY}\nUsePAM yes\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         AuthorizedKeysFile {KEYS}\nStrictModes no\nPermitRootLogin yes\n\
         X11Forwarding yes\nAcceptEnv LANG LC_*\nPrintMotd no\nPrintLastLog no\nUseDNS no\nMaxStartups 500\nLoginGraceTime 60\n\
         Subsystem sftp /usr/lib/openssh/sftp-server\n\
         Match User {CHROOTED}\n  ChrootDirectory /srv/%u\n  ForceCommand internal-sftp\n"
    )
}

/// OpenSSH from 9.8 on drops the connections of an address for a while when a login from there was refused.
fn no_penalties() -> &'static [&'static str] {
    const OPTION: &[&str] = &["-o", "PerSourcePenalties=no"];
    let known = Command::new("/usr/sbin/sshd")
        .args(["-t", "-f", CONFIG])
        .args(OPTION)
        .stderr(Stdio::null())
        .status();
    match known.expect("sshd").success() {
        true => OPTION,
        false => &[],
    }
}

/// `ssh` or `sftp`, with options that ask nobody anything.
pub fn client(program: &str) -> Command {
    let mut command = Command::new(program);
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        "ConnectTimeout=30",
    ] {
        command.args(["-o", option]);
    }
    command.args(["-F", "none", "-i", KEY, CHEAP_KEYS]);
    command
}
