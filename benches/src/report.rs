//! How long `berth report` takes to sum an accounting file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Command;

use berth_session::Entry;

use crate::command::{heading, timed};

/// Writes a file of so many records as keepers write them, and sums it.
pub fn measure(records: u64) {
    let path = std::env::temp_dir().join(format!("berth-bench-{}", std::process::id()));
    let mut file = BufWriter::new(File::create(&path).expect("make the file"));
    for nth in 0..records {
        serde_json::to_writer(&mut file, &entry(nth)).expect("write");
        file.write_all(b"\n").expect("write");
    }
    drop(file);
    let size = path.metadata().expect("size").len();
    println!(
        "berth report of {records} records, {} MB\n",
        size / 1_000_000
    );
    heading();
    let program = std::env::current_exe()
        .expect("this program's path")
        .with_file_name("berth");
    for arguments in ["--by user", "--by day", "--by service --since 2026-06-01"] {
        timed(arguments, 0, || {
            let mut report = Command::new(&program);
            report.args(["report", "--file"]).arg(&path);
            report.args(arguments.split(' '));
            report
        });
    }
    std::fs::remove_file(&path).expect("remove the file");
}

/// One of a year's sessions of 300 users.
fn entry(nth: u64) -> Entry<'static> {
    let user = nth * 7919 % 300;
    let minute = nth % (12 * 28 * 24 * 60);
    let (day, hour) = (minute / 1440, minute / 60 % 24);
    let time = |second: u64| {
        let (month, day) = (1 + day / 28, 1 + day % 28);
        format!(
            "2026-{month:02}-{day:02}T{hour:02}:{:02}:{second:02}+01:00",
            minute % 60
        )
    };
    Entry {
        session: nth.to_string().parse().expect("an id"),
        user: format!("user{user:03}").into(),
        uid: u32::try_from(1000 + user).expect("a small number"),
        service: ["sshd", "cron", "su", "login"][nth as usize % 4].into(),
        tty: "ssh".into(),
        rhost: format!("10.1.{}.{}", user % 7, nth % 250).into(),
        profile: ["student", "staff", "student+batch"][nth as usize % 3].into(),
        pool: (user % 2 == 0).then_some("cs101".into()),
        start: time(3).into(),
        end: time(7).into(),
        seconds: nth % 40_000,
        cpu_user_us: Some(nth * 7919 % 20_000_000_000),
        cpu_system_us: Some(nth * 104_729 % 400_000_000),
        throttled_us: Some(nth % 1000 * 1000),
        memory_peak: Some(nth * 4096 % (4 << 30)),
        oom_kills: Some(u64::from(nth % 1000 == 0)),
        tasks_peak: Some(nth % 200),
        tasks_refused: Some(0),
        io_read: Some(nth * 12_991 % (1 << 34)),
        io_write: Some(nth * 922_746 % (1 << 32)),
    }
}
