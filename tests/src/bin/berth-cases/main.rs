//! The cases that need a machine with controllers or with systemd, run inside it.
//!
//! `--list GUEST` names those of one kind of guest (`uml`, `qemu`, `systemd`, `systemd-qemu`, `systemd-apparmor`,
//! `systemd-selinux`, and the containers `systemd-native` and `systemd-directory`). `--all GUEST [PART OF A NAME…]` runs
//! each on a login machine of its own, or where systemd runs the guest on the guest itself, and prints a line for each:
//! `ok NAME` or `not ok NAME: why`; `--exact NAME` is how a case is started there.

/// Cases by the names of their functions.
macro_rules! cases {
    ($($case:ident)*) => { &[$((stringify!($case), $case)),*] };
}

mod accounting;
mod apparmor;
mod apply;
mod audit;
mod automount;
mod bad_days;
mod beside_systemd;
mod cpus;
mod directory;
mod drop_ins;
mod every_cap;
mod exceptions;
mod in_place;
mod isolated_manager;
mod kerberos;
mod leftovers;
mod mail;
mod memory;
mod metrics;
mod notices;
mod package;
mod penalties;
mod pools;
mod pressure;
mod processes;
mod rlimits;
mod selinux;
mod service_manager;
mod shares;
mod small_stack;
mod stacks;
mod systemd_apply;
mod systemd_bad_days;
mod systemd_caps;
mod systemd_freeze;
mod systemd_penalties;
mod systemd_pools;
mod systemd_units;
mod time_and_disk;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use berth_tests::{Booted, Machine};

/// The guests that systemd runs.
const BOOTED: [&str; 6] = [
    "systemd",
    "systemd-qemu",
    "systemd-native",
    "systemd-directory",
    "systemd-apparmor",
    "systemd-selinux",
];

type Case = (&'static str, fn(&mut Machine));

type BootedCase = (&'static str, fn(&Booted));

/// The cases of one kind of guest that systemd runs.
fn booted_cases(guest: &str) -> Vec<BootedCase> {
    match guest {
        "systemd" => [
            beside_systemd::CASES,
            systemd_caps::CASES,
            every_cap::CASES_UNDER_SYSTEMD,
            systemd_freeze::CASES,
            systemd_units::CASES,
            isolated_manager::CASES,
            drop_ins::CASES,
            systemd_bad_days::CASES,
            automount::CASES,
            stacks::CASES,
            systemd_pools::CASES,
            package::CASES,
            accounting::CASES_UNDER_SYSTEMD,
            metrics::CASES_UNDER_SYSTEMD,
            systemd_apply::CASES,
            systemd_penalties::CASES,
        ]
        .concat(),
        "systemd-native" => [
            beside_systemd::CASES_WITHOUT_CONTROLLERS,
            systemd_units::CASES_WITHOUT_CONTROLLERS,
            service_manager::CASES,
            isolated_manager::CASES_WITHOUT_CONTROLLERS,
            systemd_bad_days::CASES_WITHOUT_CONTROLLERS,
            kerberos::CASES,
            mail::CASES,
            stacks::CASES_WITHOUT_CONTROLLERS,
            systemd_pools::CASES_WITHOUT_CONTROLLERS,
            package::CASES_WITHOUT_CONTROLLERS,
            metrics::CASES_WITHOUT_CONTROLLERS,
        ]
        .concat(),
        "systemd-directory" => directory::CASES.to_vec(),
        "systemd-apparmor" => apparmor::CASES.to_vec(),
        "systemd-selinux" => selinux::CASES.to_vec(),
        "systemd-qemu" => [cpus::CASES_UNDER_SYSTEMD, every_cap::CASES_UNDER_SYSTEMD].concat(),
        _ => Vec::new(),
    }
}

/// The cases of one kind of guest.
fn cases(guest: &str) -> Vec<Case> {
    match guest {
        "uml" => [
            memory::CASES,
            notices::CASES,
            pressure::CASES,
            shares::CASES,
            processes::CASES,
            time_and_disk::CASES,
            every_cap::CASES,
            leftovers::CASES,
            audit::CASES,
            in_place::CASES,
            small_stack::CASES,
            rlimits::CASES,
            pools::CASES,
            bad_days::CASES,
            accounting::CASES,
            apply::CASES,
            exceptions::CASES,
            penalties::CASES,
            trial::CASES,
        ]
        .concat(),
        "qemu" => [
            cpus::CASES,
            every_cap::CASES,
            shares::CASES_OF_DISKS,
            pressure::CASES_OF_RECLAIM,
        ]
        .concat(),
        _ => Vec::new(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list", guest] if guest.starts_with("systemd") => booted_cases(guest)
            .iter()
            .for_each(|(name, _)| println!("{name}")),
        ["--list", guest] => cases(guest).iter().for_each(|(name, _)| println!("{name}")),
        ["--all", guest, ref parts @ ..] => {
            // What failed goes to the host as a file; the console has one line for each case.
            std::panic::set_hook(Box::new(|_| ()));
            if guest.starts_with("systemd") {
                Booted::prepare();
                for (name, _) in asked_for(&booted_cases(guest), parts) {
                    run(name, || Booted::run_named(name, |_| elsewhere()));
                }
            }
            for (name, _) in asked_for(&cases(guest), parts) {
                run(name, || Machine::run_named(name, |_| elsewhere()));
            }
        }
        ["--exact", name, ..] => {
            let is_it = |known: &str| known == name;
            let all = [cases("uml"), cases("qemu")].concat();
            let of_login_machine = all.iter().find(|(known, _)| is_it(known));
            let booted = BOOTED.map(booted_cases).concat();
            let of_booted = booted.iter().find(|(known, _)| is_it(known));
            match (of_login_machine, of_booted) {
                (Some((_, case)), _) => Machine::run_named(name, case),
                (None, Some((_, case))) => Booted::run_named(name, case),
                (None, None) => panic!("no such case"),
            }
            println!("case passed");
        }
        _ => {
            eprintln!(
                "usage: berth-cases --list GUEST | --all GUEST [PART OF A NAME…] | --exact NAME"
            );
            std::process::exit(2);
        }
    }
}

/// The cases with one of these parts in their names; all, where there is none, as when it is the name of a
/// module of the host's.
fn asked_for<T: Copy>(cases: &[(&'static str, T)], parts: &[&str]) -> Vec<(&'static str, T)> {
    let is_asked_for = |(name, _): &&(&str, T)| parts.iter().any(|part| name.contains(part));
    let some: Vec<_> = cases.iter().filter(is_asked_for).copied().collect();
    if some.is_empty() {
        cases.to_vec()
    } else {
        some
    }
}

fn elsewhere() {
    unreachable!("the case runs in a process of its own")
}

/// Runs a case, and reports it.
fn run(name: &str, case: impl FnOnce()) {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(case));
    let took = start.elapsed().as_secs_f32();
    match result {
        Ok(()) => println!("ok {name}"),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let me = std::env::current_exe().expect("path");
            let said = me
                .parent()
                .unwrap_or(Path::new("/"))
                .join(format!("{name}.said"));
            // A disk is not seen by the host until the machine is off; so the console has it too.
            println!("# {}", why.replace('\n', "\n# "));
            let mut lines = why.lines().skip_while(|line| !line.contains("panicked at"));
            let line = lines.nth(1).unwrap_or("see its .said file");
            // The line on the console is what counts.
            let _ = std::fs::write(said, &why);
            println!("not ok {name}: {line}");
        }
    }
    println!("# {took:.1} s");
}
