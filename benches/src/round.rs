//! How long a round of penalties takes (`berth apply --due`), where many are logged in whom one watches.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::command::{heading, timed};
use crate::sessions::berth;

const FOLDER: &str = "/run/bench";

/// As policies/hpc.toml has it.
const POLICY: &str = r#"version = 1

[penalty.hog]
cpu_above    = "200%"
memory_above = "15%"
window       = "10min"
except       = ["/usr/bin/rsync", "/usr/bin/ssh", "/usr/bin/make", "/usr/libexec/gcc/**", "/opt/intel/**"]
steps        = ["80%", "50%", "30%"]
step_time    = "30min"
forget       = "3h"

[profile.login]
penalty = "hog"
user    = { cpu_quota = "33% of machine" }

[[rule]]
profile = "login"
"#;

/// Measures, in a mount namespace of this process's own, with these users' sessions on: UIDs and ids.
pub fn measure(sessions: &[(u64, u64)]) {
    let root = Path::new(FOLDER).join("root");
    for folder in ["etc/berth", "var/lib/berth"] {
        fs::create_dir_all(root.join(folder)).expect("make a folder");
    }
    fs::write(root.join("etc/berth/policy.toml"), POLICY).expect("write the policy");
    let reload = Command::new(berth())
        .args(["reload", "--root"])
        .arg(&root)
        .output()
        .expect("run berth reload");
    assert!(reload.status.success(), "{reload:?}");
    let mut accounts = fs::read_to_string("/etc/passwd").expect("read the accounts");
    for (uid, id) in sessions {
        let folder = format!("/run/berth/users/{uid}");
        if !Path::new(&folder).exists() {
            fs::create_dir_all(&folder).expect("make a user's folder");
            accounts += &format!("user{uid}:x:{uid}:100::/:/bin/sh\n");
        }
        symlink("/nowhere", format!("{folder}/{id}")).expect("enter a session");
    }
    let own = |name: &str, text: &str, over: &str| {
        let path = Path::new(FOLDER).join(name);
        fs::write(&path, text).expect("write");
        bind(&path, over);
    };
    own("passwd", &accounts, "/etc/passwd");
    own(
        "nsswitch.conf",
        "passwd: files\ngroup: files\n",
        "/etc/nsswitch.conf",
    );
    bind(&root.join("var/lib"), "/var/lib");

    let round = || {
        let mut round = Command::new(berth());
        round.args(["apply", "--due"]);
        round
    };
    // The first only begins.
    assert!(round().status().expect("run berth apply").success());
    heading();
    timed("berth apply --due, a penalty", 0, round);
    let tracks = fs::read_to_string("/run/berth-penalties").expect("read what was noted");
    assert!(tracks.len() > sessions.len() * 10, "nobody was watched");
}

fn bind(path: &Path, over: &str) {
    let nothing: Option<&str> = None;
    mount(Some(path), over, nothing, MsFlags::MS_BIND, nothing).expect("mount");
}
