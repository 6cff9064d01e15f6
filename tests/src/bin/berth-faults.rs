//! Makes each system call of a login fail in turn: `tests/faults/run`.
//!
//! The program starts the machines, runs on them, and is what is run in the logins there.

use berth_tests::faults::suite::{self, Wanted};
use berth_tests::faults::traits;
use berth_tests::guest::{self, Guest, Suite};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_good = match words[..] {
        ["account"] => {
            traits::account();
            true
        }
        ["points"] => {
            suite::print_points();
            true
        }
        ["try", ..] => {
            suite::try_these(&arguments[1..]);
            true
        }
        ["--list"] => {
            for (point, shown) in suite::list() {
                println!("{point:44} {shown}");
            }
            true
        }
        ["--with-controllers", ..] => on_guest(Guest::Qemu, &arguments[1..]),
        ["--under-systemd", ..] => on_guest(Guest::Container(Suite::Bookworm), &arguments[1..]),
        [] => suite::run(Wanted::All),
        ["--short"] => suite::run(Wanted::Short),
        ["--twice", number] if number.parse::<usize>().is_ok() => {
            suite::run(Wanted::Twice(number.parse().unwrap_or_default()))
        }
        ["--point", ..] if words.len() > 1 => suite::run(Wanted::These(arguments[1..].to_vec())),
        ["--about", ..] if words.len() > 1 => suite::run(Wanted::About(arguments[1..].to_vec())),
        ["--left-out", ..] if words.len() > 1 => {
            suite::run(Wanted::LeftOut(arguments[1..].to_vec()))
        }
        _ => {
            eprintln!(
                "usage: berth-faults [--with-controllers | --under-systemd] [--list | --short | --twice NUMBER | --point NAME... | --about WORDS... | --left-out WORDS...]"
            );
            std::process::exit(2);
        }
    };
    std::process::exit(i32::from(!is_good));
}

/// Does the same on another machine, and prints what its console showed.
fn on_guest(guest: Guest, arguments: &[String]) -> bool {
    let quoted = arguments.iter().map(|argument| format!("'{argument}'"));
    let me = std::env::current_exe().expect("this program's path");
    let console = guest::run(guest, &me, &quoted.collect::<Vec<_>>());
    println!("{console}");
    // The last thing that it says; a machine that was killed has not.
    arguments == ["--list"] || console.contains(", 0 wrong\n")
}
