//! Starting a test again, on a machine of its own; and where the programs for it stand.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No test takes longer, unless it hangs.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Where the tests' own programs and the product's were built.
#[derive(Debug)]
pub struct Build {
    /// The tests' own programs.
    pub tools: PathBuf,
    /// The product's.
    pub product: PathBuf,
    /// The build's directory, for what is to be kept between runs.
    pub target: PathBuf,
}

/// The source tree.
pub fn tree() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a folder above").to_owned()
}

impl Build {
    /// Looks around from where this program stands.
    pub fn find() -> Build {
        let me = std::env::current_exe().expect("this program's path");
        let mut directories = me.ancestors().skip(1);
        let tools = directories
            .find(|directory| directory.join("login-machine").exists())
            .unwrap_or_else(|| panic!("no login-machine near {}", me.display()))
            .to_owned();
        let target = tools.parent().unwrap_or(&tools).to_owned();
        let product = product(&tools, &target);
        Build {
            tools,
            product,
            target,
        }
    }

    /// What a test's machine has, the program that runs on it first.
    pub fn programs(&self, main: &Path) -> Vec<PathBuf> {
        let mut programs = vec![main.to_owned(), self.tools.join("berth-probe")];
        let product = ["libpam_berth.so", "berth-helper", "berth"];
        programs.extend(product.map(|name| self.product.join(name)));
        // Which Debian's packages do not let be installed beside another.
        let foreign = self.target.join("foreign/vsftpd");
        programs.extend(Some(foreign).filter(|path| path.exists()));
        programs
    }
}

/// The product was built last in `BERTH_BIN_DIR`, or for release, or for debugging; or it stands beside
/// the tools, in a guest.
fn product(tools: &Path, target: &Path) -> PathBuf {
    if let Some(directory) = std::env::var_os("BERTH_BIN_DIR") {
        return directory.into();
    }
    let age = |directory: &PathBuf| {
        let helper = fs::metadata(directory.join("berth-helper"));
        helper.and_then(|file| file.modified()).ok()
    };
    let built = [
        tools.to_owned(),
        target.join("release"),
        target.join("debug"),
    ];
    let newest = built.into_iter().max_by_key(age);
    newest.unwrap_or_else(|| tools.to_owned())
}

/// Runs one test of this program on a machine of its own.
#[track_caller]
pub fn run_elsewhere(name: &str) {
    let me = std::env::current_exe().expect("this program's path");
    let build = Build::find();
    let mut machine = Command::new(build.tools.join("login-machine"));
    machine.args(build.programs(&me)).args([
        "--",
        "--exact",
        name,
        "--nocapture",
        "--include-ignored",
    ]);
    run_within(TEST_TIMEOUT, machine);
}

/// Runs a program that runs one test. Fails unless that test ran and passed, in time.
#[track_caller]
pub(crate) fn run_within(limit: Duration, mut program: Command) {
    let child = program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child
        .unwrap_or_else(|error| panic!("{}: {error}", program.get_program().to_string_lossy()));
    let collect = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.map(|mut from| from.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = collect(child.stdout.take().map(|out| Box::new(out) as _));
    let stderr = collect(child.stderr.take().map(|err| Box::new(err) as _));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = format!(
        "{}{}",
        stdout.join().expect("stdout"),
        stderr.join().expect("stderr")
    );
    let passed = status.is_some_and(|status| status.success());
    // A test that was not found is not a test that passed.
    let ran = said.contains("1 passed") || said.contains("case passed");
    assert!(passed && ran, "on its machine ({status:?}):\n{said}");
}
