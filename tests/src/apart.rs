//! Running a test in a process of its own: what it changes is the whole process's.
//!
//! Crates that cannot have the tests of logins as a dependency include this file as a module.

use std::any::type_name;
use std::process::Command;

/// Whether this is such a process.
pub fn is_apart() -> bool {
    std::env::var_os("BERTH_TEST_APART").is_some()
}

/// The name of the test that a closure stands in, as libtest knows it.
///
/// A thread's name is no way to it: with one thread that is "main".
pub fn test_of<T>() -> &'static str {
    // "crate::module::test::{{closure}}", of which libtest knows "module::test".
    let name = type_name::<T>().trim_end_matches("::{{closure}}");
    name.split_once("::").map_or(name, |(_, name)| name)
}

/// Runs a test in a process of its own, with one thread, that these words of a command line start.
///
/// The test program starts itself again, to run just this test there.
#[track_caller]
pub fn apart<T: FnOnce()>(through: &[&str], test: T) {
    if is_apart() {
        return test();
    }
    let name = test_of::<T>();
    let ran = Command::new("env")
        .arg("BERTH_TEST_APART=")
        .args(through)
        .arg(std::env::current_exe().expect("this program's path"))
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .output()
        .expect("start this program again");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&ran.stdout) + &text(&ran.stderr);
    // A test that was not found is not a test that passed.
    let passed = ran.status.success() && said.contains("1 passed");
    assert!(passed, "{name} {through:?}: {}\n{said}", ran.status);
}
