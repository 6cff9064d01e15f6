//! Runs a test on a machine of its own: `login-machine PROGRAM... -- ARGUMENT...`.
//!
//! The programs are copied onto the machine; the first of them is run there with the arguments.

use std::ffi::OsString;
use std::path::PathBuf;

fn main() {
    let mut given = std::env::args_os().skip(1);
    let programs: Vec<PathBuf> = given
        .by_ref()
        .take_while(|argument| argument != "--")
        .map(PathBuf::from)
        .collect();
    let arguments: Vec<OsString> = given.collect();
    match berth_tests::namespaces::run(&programs, &arguments) {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("login-machine: {error}");
            std::process::exit(125);
        }
    }
}
