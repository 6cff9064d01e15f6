//! Makes each system call of a login fail in turn: `tests/faults/run`.
//!
//! The program starts the machines, runs on them, and is what is run in the logins there.

use berth_tests::faults::suite::{self, Site, Wanted};
use berth_tests::faults::traits;

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
        ["boot", site, ..] => {
            suite::boot(Site::of(site).expect("a site"), &arguments[2..]);
            true
        }
        ["booted", ..] => {
            suite::booted(&arguments[1..]);
            true
        }
        [site, ..] => match Site::of(site) {
            Some(site) => on(site, &arguments[1..]),
            None => on(Site::Here, &arguments),
        },
        [] => on(Site::Here, &[]),
    };
    std::process::exit(i32::from(!is_good));
}

/// Does what is asked for there.
fn on(site: Site, arguments: &[String]) -> bool {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wanted = match words[..] {
        ["--list"] => {
            for (point, shown) in suite::list(site) {
                println!("{point:44} {shown}");
            }
            return true;
        }
        [] => Wanted::All,
        ["--short"] => Wanted::Short,
        ["--twice", number] if number.parse::<usize>().is_ok() => {
            Wanted::Twice(number.parse().unwrap_or_default())
        }
        ["--point", _, ..] => Wanted::These(arguments[1..].to_vec()),
        ["--about", _, ..] => Wanted::About(arguments[1..].to_vec()),
        ["--left-out", _, ..] => Wanted::LeftOut(arguments[1..].to_vec()),
        _ => {
            eprintln!(
                "usage: berth-faults [--with-controllers | --under-systemd] [--list | --short | --twice NUMBER | --point NAME... | --about WORDS... | --left-out WORDS...]"
            );
            std::process::exit(2);
        }
    };
    suite::run(site, wanted)
}
