//! Tries every way out of a berth that is known, under each shipped policy: `tests/escape/run`.
//!
//! The program sets the stage, on a machine of its own, and is itself what is started in the berths there.

use berth_tests::escape::{suite, table, trying};
use berth_tests::{counted, escape};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["try", ..] => trying::each(&arguments[1..]),
        ["one", name] => trying::one(name),
        ["observe", path] => escape::observe(path),
        ["one-of-each"] if std::env::var_os("BERTH_SESSION").is_some() => {
            print!("{}", counted::one_of_each());
        }
        ["one-of-each"] => print!("{}", counted::one_of_each_outside()),
        ["--table"] => print!("{}", table::text()),
        [] => suite::run(suite::Mode::Berths),
        ["--short"] => suite::run(suite::Mode::OneOfEach),
        ["--without-protection"] => suite::run(suite::Mode::WithoutProtection),
        _ => {
            eprintln!("usage: berth-escape [--short | --without-protection | --table]");
            std::process::exit(2);
        }
    }
}
