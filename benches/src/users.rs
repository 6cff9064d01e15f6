//! How long the verbs take that look at every account, where there are 100,000, in 5,000 groups.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::command::{heading, timed};

const USERS: u32 = 100_000;
const GROUPS: u32 = 5_000;
/// How many users each group lists.
const MEMBERS: u32 = 60;

const POLICY: &str = r#"
version = 1

[pool.cs]
memory_max = "50%"

[profile.student.user]
memory_max = "3G"

[profile.staff.user]
memory_max = "8G"

[[rule]]
group  = "course0003"
action = "deny"

[[rule]]
service = "cron"
profile = "student"

[[rule]]
group   = "course1*"
profile = "student"
pool    = "cs"

[[rule]]
primary_group = "class0?"
profile       = "staff"

[[rule]]
group   = "nosuch"
profile = "staff"
"#;

/// Measures them with lists of accounts that only they see: mounted in a namespace of their own.
pub fn measure() {
    let folder = std::env::temp_dir().join(format!("berth-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("make the folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("write a list of accounts");
    };
    write("passwd", &(read("/etc/passwd") + &users()));
    write("group", &(read("/etc/group") + &groups()));
    write("nsswitch.conf", "passwd: files\ngroup: files\n");
    write("old.toml", POLICY);
    write("new.toml", &POLICY.replace("3G", "4G"));
    let program = std::env::current_exe()
        .expect("this program's path")
        .with_file_name("berth");
    println!("{USERS} users in {GROUPS} groups of {MEMBERS}, in files\n");
    heading();
    for (arguments, status) in [
        ("check --users old.toml", 0),
        ("diff old.toml new.toml", 1),
        ("diff old.toml old.toml", 0),
    ] {
        timed(arguments, status, || there(&folder, &program, arguments));
    }
    std::fs::remove_dir_all(&folder).expect("remove the folder");
}

/// A command that sees these lists of users and groups.
fn there(folder: &Path, program: &Path, arguments: &str) -> Command {
    let mounts = ["passwd", "group", "nsswitch.conf"]
        .map(|name| format!("mount --bind {name} /etc/{name}"))
        .join(" && ");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(format!(
            "{mounts} && exec {} {arguments}",
            program.display()
        ))
        .current_dir(folder);
    command
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("read the machine's list")
}

fn users() -> String {
    let mut text = String::new();
    for nth in 0..USERS {
        let (uid, gid) = (100_000 + nth, 300_000 + nth % 50);
        let _ = writeln!(text, "u{nth:06}:x:{uid}:{gid}::/home/u{nth:06}:/bin/sh");
    }
    text
}

fn groups() -> String {
    let mut text = String::new();
    for nth in 0..GROUPS {
        let members =
            (0..MEMBERS).map(|member| format!("u{:06}", (nth * MEMBERS + member) % USERS));
        let members = members.collect::<Vec<_>>().join(",");
        let _ = writeln!(text, "course{nth:04}:x:{}:{members}", 310_000 + nth);
    }
    for nth in 0..50 {
        let _ = writeln!(text, "class{nth:02}:x:{}:", 300_000 + nth);
    }
    text
}
