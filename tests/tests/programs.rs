//! The table of what works in the berths of the example policies, made by running it.

use berth_tests::{Machine, Policy};

const PAGE: &str = include_str!("../../docs/inside.md");

/// The profiles of the example policies that differ in their namespaces and privileges.
const PROFILES: [(&str, &str, &str); 4] = [
    (
        "hpc",
        include_str!("../../packaging/examples/hpc.toml"),
        "login",
    ),
    (
        "tilde, paid",
        include_str!("../../packaging/examples/tilde.toml"),
        "paid",
    ),
    (
        "tilde, free",
        include_str!("../../packaging/examples/tilde.toml"),
        "free",
    ),
    (
        "lab",
        include_str!("../../packaging/examples/lab.toml"),
        "base",
    ),
];

/// What alice types, and what root sees of it afterwards on the host, if that tells more than its exit status.
struct Program {
    name: &'static str,
    typed: &'static str,
    seen: &'static str,
}

const fn program(name: &'static str, typed: &'static str, seen: &'static str) -> Program {
    Program { name, typed, seen }
}

/// The accounts before anybody has changed them.
const ACCOUNTS: &str = "printf 'alice:Old-secret-1\nbob:Old-secret-1\n' | chpasswd
    usermod -s /bin/sh alice
    grep ^alice: /etc/shadow | cut -d: -f2 >/root/hash";

const PROGRAMS: &[Program] = &[
    program(
        "chsh",
        "echo Old-secret-1 | chsh -s /bin/bash",
        "grep -q '^alice:.*:/bin/bash$' /etc/passwd",
    ),
    program(
        "newgrp, sg",
        "echo 'touch by-newgrp' | newgrp locked && sg locked 'touch by-sg'",
        "test $(stat -c %G /home/alice/by-newgrp) = locked",
    ),
    program(
        "su to oneself",
        "echo Old-secret-1 | su alice -c 'touch by-su'",
        "test -e /home/alice/by-su",
    ),
    program(
        "su to another user",
        "echo Old-secret-1 | su bob -c true",
        "",
    ),
    program(
        "passwd",
        "printf 'Old-secret-1\\nNew-secret-2\\nNew-secret-2\\n' | passwd",
        "! grep -qF \"$(cat /root/hash)\" /etc/shadow",
    ),
    program(
        "sudo",
        "sudo -n touch /root/by-sudo",
        "test -e /root/by-sudo",
    ),
    program(
        "crontab",
        "echo '0 0 1 1 * true' | crontab - && crontab -l",
        "test -e /var/spool/cron/crontabs/alice",
    ),
    program(
        "at",
        "echo true | at now + 1 day && atq | grep -q .",
        "ls /var/spool/cron/atjobs/a*",
    ),
    program("ping", "ping -c 1 127.0.0.1", ""),
    program(
        "a ping without its file capability, where `net.ipv4.ping_group_range` has everybody",
        "cp $(command -v ping) own && ./own -c 1 127.0.0.1",
        "",
    ),
    program(
        "setfacl; cp -p of such a file",
        "touch own && setfacl -m u:bob:rw own && cp -p own copy",
        "getfacl /home/alice/copy | grep user:bob:rw",
    ),
    program(
        "chgrp to one of one's groups",
        "touch mine && chgrp staff mine",
        "test $(stat -c %G /home/alice/mine) = staff",
    ),
    program("unshare -Ur", "unshare -Ur true", ""),
    program(
        "bwrap",
        "bwrap --ro-bind / / --unshare-pid --proc /proc --dev /dev true",
        "",
    ),
    program(
        "screen",
        "screen -d -m -S s touch by-screen; i=0; until test -e by-screen; do sleep 0.1; i=$((i+1)); test $i -lt 50 || exit 1; done",
        "test -e /home/alice/by-screen",
    ),
    program(
        "tmux",
        "tmux new-session -d 'touch by-tmux; sleep 9' && tmux kill-server",
        "",
    ),
    program(
        "gdb, strace",
        "strace -o trace true && gdb -batch -ex run /bin/true",
        "grep -q execve /home/alice/trace",
    ),
];

/// As the packages of these programs leave it, but for the two seconds that a wrong password costs.
const SET_UP: &str = "
    usermod -a -G staff alice
    echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers
    chmod 440 /etc/sudoers
    touch /etc/at.deny
    sed -i 's/pam_unix.so/pam_unix.so nodelay/' /etc/pam.d/*
    mkdir -p /var/spool/cron/crontabs /var/spool/cron/atjobs /var/spool/cron/atspool /run/screen
    cd /var/spool/cron
    chgrp crontab crontabs && chmod 1730 crontabs
    chown daemon:daemon atjobs atspool && chmod 1770 atjobs atspool
    install -o daemon -g daemon -m 600 /dev/null atjobs/.SEQ
    chmod 1777 /run/screen
";

/// What comes of one program: nothing if it works, and else its first words of complaint.
fn outcome(machine: &mut Machine, program: &Program) -> Option<String> {
    let fresh =
        "rm -rf /home/alice/* /root/by-sudo /var/spool/cron/*tabs/* /var/spool/cron/atjobs/a*";
    machine.host(fresh).ok();
    let everybody = program.name.contains("ping_group_range");
    let range = if everybody { "0 2147483647" } else { "1 0" };
    machine
        .host(&format!(
            "echo {range} >/proc/sys/net/ipv4/ping_group_range"
        ))
        .ok();
    let said = machine.ssh("alice", program.typed);
    let works = said.success() && (program.seen.is_empty() || machine.host(program.seen).success());
    (!works).then(|| {
        let mut lines = said.stderr.lines();
        let first = lines.find(|line| !line.trim().is_empty() && !line.starts_with("warning"));
        let words = first.unwrap_or("nothing").rsplit("assword: ").next();
        words.unwrap_or_default().trim().to_owned()
    })
}

/// A row of the table.
struct Row {
    /// The first columns, as they are written.
    marks: String,
    words: Vec<String>,
}

impl Row {
    fn of(program: &Program) -> Row {
        Row {
            marks: format!("| {} |", program.name),
            words: Vec::new(),
        }
    }

    fn add(&mut self, outcome: Option<String>) {
        self.marks += match outcome {
            None => " works |",
            Some(_) => " **no** |",
        };
        self.words
            .extend(outcome.filter(|words| !self.words.contains(words)));
    }
}

#[test]
fn the_documents_table_is_what_programs_do_in_the_examples_berths() {
    Machine::run(|machine| {
        machine.add_group("locked", 777, &["alice"]);
        machine.host(SET_UP).ok();
        let mut rows: Vec<Row> = PROGRAMS.iter().map(Row::of).collect();
        for (_, example, profile) in PROFILES {
            machine.policy(&Policy::of_example(example, profile));
            machine.host(ACCOUNTS).ok();
            for (program, row) in PROGRAMS.iter().zip(&mut rows) {
                row.add(outcome(machine, program));
            }
        }
        let names = PROFILES.map(|(name, _, _)| format!(" {name} |")).concat();
        let rule = "---|".repeat(PROFILES.len() + 2);
        let mut table = format!("| |{names} what it says where it does not |\n|{rule}\n");
        for Row { marks, words } in &rows {
            table += &format!("{marks} {} |\n", words.join("<br>"));
        }
        let same = match cfg!(built_past_debian_12) {
            false => PAGE.contains(&table),
            // Later versions have other words for the same.
            true => rows.iter().all(|row| PAGE.contains(&row.marks)),
        };
        assert!(same, "docs/inside.md should have:\n{table}");
    });
}
