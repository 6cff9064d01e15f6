//! The programs are built such that an error in them is hard to make use of.

use std::process::Command;

use berth_tests::Build;

#[test]
fn nothing_in_the_programs_is_at_a_known_place_or_both_written_and_run() {
    let main = std::env::current_exe().unwrap();
    let programs = Build::find().programs(&main);
    let mut looked_at = 0;
    for program in programs {
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        if !["berth", "berth-helper", "libpam_berth.so"].contains(&&*name) {
            continue;
        }
        let output = Command::new("readelf")
            .args(["--wide", "--file-header", "--segments", "--dynamic"])
            .arg(&program)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let line = |beginning: &str| {
            let mut lines = shown.lines().map(str::trim_start);
            lines
                .find(|line| line.starts_with(beginning))
                .unwrap_or_else(|| panic!("{name}: no {beginning}:\n{shown}"))
        };
        // At a place that the kernel chooses (PIE), as a library is anyway.
        assert!(line("Type:").contains("DYN"), "{name}: {shown}");
        if name != "libpam_berth.so" {
            assert!(
                line("0x000000006ffffffb (FLAGS_1)").contains("PIE"),
                "{name}: {shown}"
            );
        }
        // Full RELRO: all addresses of others' functions are found at the start, and then read-only.
        line("GNU_RELRO");
        assert!(
            line("0x000000006ffffffb (FLAGS_1)").contains("NOW"),
            "{name}: {shown}"
        );
        let segments = shown.lines().map(str::trim_start);
        let segments: Vec<_> = segments
            .filter(|line| line.starts_with("LOAD ") || line.starts_with("GNU_STACK "))
            .collect();
        assert!(
            segments.iter().any(|line| line.starts_with("GNU_STACK")),
            "{name}: {shown}"
        );
        for segment in segments {
            assert!(!segment.contains(" RWE "), "{name}: {segment}");
            let is_stack = segment.starts_with("GNU_STACK");
            assert!(!is_stack || segment.contains(" RW "), "{name}: {segment}");
        }
        // No code is written to at the start, and no library looked for in a folder that was named when it was built.
        for bad in ["(TEXTREL)", "(RPATH)", "(RUNPATH)"] {
            assert!(!shown.contains(bad), "{name}: {bad}");
        }
        looked_at += 1;
    }
    assert_eq!(looked_at, 3);
}
