//! Limits and caps with which nobody can work.

use super::{site, warnings};

#[test]
fn limits_that_are_slips_of_units() {
    let told = |profile: &str, tests: &str| {
        let body = format!("[profile.a]\n{profile}\n[[rule]]\nprofile = \"a\"\n{tests}\n");
        warnings(&body, &site(&[]))
    };
    let kib =
        "hardly a program starts with so little; limits.conf(5) has KiB, and this is in bytes";
    let minutes = "then a shell is killed; limits.conf(5) has minutes, and this is in seconds";
    for (limit, warning) in [
        ("stack = 8192", format!("`stack` of 8192 bytes | {kib}")),
        ("stack = \"127K:8M\"", format!("`stack` of 130048 bytes | {kib}")),
        ("as = 4194304", format!("`as` of 4194304 bytes | {kib}")),
        ("data = \"15M\"", format!("`data` of 15728640 bytes | {kib}")),
        (
            "fsize = 1048576",
            "`fsize` of 1048576 bytes | a program that writes past it is killed; limits.conf(5) has KiB, and this is in bytes"
                .into(),
        ),
        (
            "rss = \"2G\"",
            "`rss` of 2147483648 bytes | Linux ignores it: use memory_max".into(),
        ),
        ("locks = 100", "`locks` of 100 locks | Linux ignores it".into()),
        ("cpu = 10", format!("`cpu` of 10 seconds | {minutes}")),
        (
            "nofile = \"1024:1048577\"",
            "this machine gives nobody so many files | fs.nr_open is 1048576: logins that get this fail".into(),
        ),
    ] {
        let limits = format!("rlimits = {{ {limit} }}");
        assert_eq!(told(&limits, ""), [format!("3:13 {warning}")], "{limit}");
    }
    for limit in [
        "stack = \"128K\"",
        "as = \"16M\"",
        "data = \"infinity\"",
        "cpu = \"1min\"",
        "core = 0",
        "fsize = \"10M\"",
        "rss = \"infinity\"",
        "nofile = 1048576",
    ] {
        let limits = format!("rlimits = {{ {limit} }}");
        assert_eq!(told(&limits, ""), [""; 0], "{limit}");
    }
    assert_eq!(told("rlimits.nofile = 1048577", "host = \"big*\""), [""; 0]);
}

#[test]
fn caps_under_which_all_stand_still() {
    let told = |caps: &str, body: &str| warnings(&body.replace("CAPS", caps), &site(&[]));
    let stalls = |high: &str, why: &str| {
        let caps = format!("memory_high = {high}\nmemory_max = \"8G\"\n");
        (caps, format!("memory_high of {why}"))
    };
    let slow = |rate: &str, bytes: u32| {
        let caps = format!("io_write_bandwidth_max = {{ \"/srv\" = {rate}, \"/\" = \"50M\" }}\n");
        let label = "a number alone is bytes: megabytes are written \"50M\"";
        (
            caps,
            format!("a bandwidth of {bytes} bytes a second | {label}"),
        )
    };
    for (caps, warning) in [
        stalls(
            "4",
            "4 holds no login | a number alone is bytes; did you mean \"4G\"?",
        ),
        stalls("\"15M\"", "15M holds no login | at least 16M"),
        slow("50", 50),
        slow("\"9K\"", 9000),
    ] {
        for body in [
            "[profile.a.user]\nCAPS[[rule]]\nprofile = \"a\"",
            "[profile.a.session]\nCAPS[[rule]]\nprofile = \"a\"\nservice = \"cron\"",
            "[everyone]\nCAPS",
            "[pool.p]\nCAPS[profile.a]\npool = \"p\"\n[[rule]]\nprofile = \"a\"",
        ] {
            assert_eq!(told(&caps, body), [format!("3:1 {warning}")], "{body}");
        }
    }
    for (caps, _) in [stalls("\"16M\"", ""), slow("\"10K\"", 0)] {
        assert_eq!(told(&caps, "[everyone]\nCAPS"), [""; 0]);
    }
}

#[test]
fn a_penalty_for_everybody() {
    let told = |above: &str| {
        let body = format!(
            "[penalty.hog]\n{above}\nwindow = \"10min\"\nsteps = [\"50%\"]\nstep_time = \"1h\"\nforget = \"3h\"\n\
             [profile.a]\npenalty = \"hog\"\n[[rule]]\nprofile = \"a\"\n"
        );
        warnings(&body, &site(&[]))
    };
    for (above, warning) in [
        (
            "memory_above = 8",
            "each login is above a memory_above of 8 | a number alone is bytes; did you mean \"8G\"?",
        ),
        (
            "memory_above = 0",
            "each login is above a memory_above of 0 | at least 16M",
        ),
        (
            "cpu_above = \"2.5%\"",
            "cpu_above is 2.5% of one CPU | did you mean \"250%\"?",
        ),
    ] {
        assert_eq!(told(above), [format!("3:1 {warning}")]);
    }
    for above in [
        "memory_above = \"16M\"",
        "memory_above = \"0.01%\"",
        "cpu_above = \"5%\"",
        "cpu_above = \"2% of machine\"",
    ] {
        assert_eq!(told(above), [""; 0], "{above}");
    }
}
