//! Booted machines, which have the controllers that the host may lack: user-mode Linux with systemd and
//! without, and QEMU for what that has not (cpuset, a second CPU).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::booted::{AGAIN, FIRST_UID, PACKAGE};
use crate::elsewhere::{Build, tree};
use crate::slot::Slot;

/// All cases together take no longer, unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, and why.
    Failed(String),
}

/// What kind of machine is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// A Linux kernel that is an ordinary process, without systemd; boots in two seconds.
    UserModeLinux,
    /// The same with a whole Debian that systemd runs.
    Systemd(Suite),
    /// The same Debian as a container on the host's kernel: quick, and without controllers.
    Container(Suite),
    /// The same with a directory of users: slapd, and SSSD for it.
    Directory(Suite),
    /// Debian 12 on user-mode Linux under a security module that confines programs.
    Confined(Security),
    /// A whole PC with two CPUs, emulated.
    Qemu,
    /// The same with a whole Debian that systemd runs, the host's release.
    SystemdOnQemu,
}

/// A security module of the kernel's. For each there is a list of packages: tests/system/packages-NAME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// With the profiles that Debian's packages bring.
    AppArmor,
    /// Permissive at boot.
    SeLinux,
}

impl Security {
    /// As the kernel calls it.
    fn name(self) -> &'static str {
        match self {
            Security::AppArmor => "apparmor",
            Security::SeLinux => "selinux",
        }
    }
}

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: systemd 252, OpenSSH 9.2.
    Bookworm,
    /// Debian 13: systemd 257, OpenSSH 10.
    Trixie,
}

impl Guest {
    /// What its cases are named after.
    fn name(self) -> &'static str {
        match self {
            Guest::UserModeLinux => "uml",
            Guest::Systemd(_) => "systemd",
            Guest::Container(_) => "systemd-native",
            Guest::Directory(_) => "systemd-directory",
            Guest::Confined(Security::AppArmor) => "systemd-apparmor",
            Guest::Confined(Security::SeLinux) => "systemd-selinux",
            Guest::Qemu => "qemu",
            Guest::SystemdOnQemu => "systemd-qemu",
        }
    }

    /// The CPU that it is kept on: one for each machine that runs beside others, while there are enough.
    fn cpu(self) -> usize {
        let place = match self {
            Guest::Systemd(Suite::Bookworm) => 0,
            Guest::Systemd(Suite::Trixie) => 1,
            _ => 2,
        };
        let own = sched_getaffinity(Pid::from_raw(0)).expect("this process's CPUs");
        let usable: Vec<usize> = (0..CpuSet::count())
            .filter(|cpu| own.is_set(*cpu) == Ok(true))
            .collect();
        usable[place % usable.len()]
    }

    /// The security module that it runs under.
    fn security(self) -> Option<&'static str> {
        match self {
            Guest::Confined(security) => Some(security.name()),
            _ => None,
        }
    }

    /// The release of Debian that it runs, where that is not the host's own.
    fn suite(self) -> Option<&'static str> {
        match self {
            Guest::Systemd(suite) | Guest::Container(suite) | Guest::Directory(suite) => {
                Some(match suite {
                    Suite::Bookworm => "bookworm",
                    Suite::Trixie => "trixie",
                })
            }
            Guest::Confined(_) => Some("bookworm"),
            Guest::UserModeLinux | Guest::Qemu | Guest::SystemdOnQemu => None,
        }
    }
}

/// Makes a test of each case of one kind of guest; one boot runs them all.
#[macro_export]
macro_rules! cases {
    ($guest:ident: $($case:ident)*) => {
        static BOOT: std::sync::LazyLock<$crate::guest::Boot> =
            std::sync::LazyLock::new(|| $crate::guest::Boot::run($crate::guest::Guest::$guest));

        $(
            #[test]
            fn $case() {
                BOOT.assert_passed(stringify!($case));
            }
        )*

        #[test]
        fn every_case_is_listed_here() {
            BOOT.assert_cases(&[$(stringify!($case)),*]);
        }
    };
}

/// Makes a test of each case of both Debians' machines, whose boots are `BOOTS` where this stands.
#[macro_export]
macro_rules! cases_of_debians {
    ($suite:ident $boot:literal unless $cannot:meta: $($case:ident)*) => {
        mod $suite {
            $(
                #[test]
                #[cfg_attr($cannot, ignore = "what is built here needs a newer C library than it has")]
                fn $case() {
                    super::BOOTS[$boot].assert_passed(stringify!($case));
                }
            )*

            #[test]
            #[cfg_attr($cannot, ignore = "what is built here needs a newer C library than it has")]
            fn every_case_is_listed_here() {
                super::BOOTS[$boot].assert_cases(&[$(stringify!($case)),*]);
            }
        }
    };
    ($($case:ident)*) => {
        $crate::cases_of_debians! { debian_12 0 unless built_past_debian_12: $($case)* }
        $crate::cases_of_debians! { debian_13 1 unless any(): $($case)* }
    };
}

/// What one boot said.
#[derive(Debug)]
pub struct Boot {
    verdicts: BTreeMap<String, Verdict>,
    console: String,
}

impl Boot {
    /// Boots a machine, runs its cases on it, and switches it off. They are those that this test program was
    /// asked for on its command line, or all.
    pub fn run(guest: Guest) -> Boot {
        let cases = Build::find().tools.join("berth-cases");
        let mut arguments = vec!["--all".to_owned(), guest.name().to_owned()];
        arguments.extend(asked_for(std::env::args().skip(1)));
        with_machine(guest, &cases, &arguments, |console, shared| Boot {
            verdicts: read_verdicts(&console, shared),
            console,
        })
    }

    /// Fails unless this case ran and passed.
    #[track_caller]
    pub fn assert_passed(&self, case: &str) {
        match self.verdicts.get(case) {
            Some(Verdict::Passed) => {}
            Some(Verdict::Failed(why)) => {
                panic!("in the guest:\n{why}\nits console:\n{}", self.console)
            }
            None => panic!("the guest never ran it; its console:\n{}", self.console),
        }
    }

    /// Fails unless these are all cases; of those that this test program was asked for, if it was.
    #[track_caller]
    pub fn assert_cases(&self, listed: &[&str]) {
        let parts = asked_for(std::env::args().skip(1));
        let is_asked_for = |case: &&str| parts.iter().any(|part| case.contains(part));
        let mut expected: Vec<_> = listed.iter().copied().filter(is_asked_for).collect();
        if expected.is_empty() {
            expected = listed.to_vec();
        }
        expected.sort_unstable();
        let ran: Vec<_> = self.verdicts.keys().collect();
        assert_eq!(ran, expected, "its console:\n{}", self.console);
    }
}

/// Boots a machine, runs a program on it as root, and switches it off. Returns what its console showed.
pub fn run(guest: Guest, program: &Path, arguments: &[String]) -> String {
    with_machine(guest, program, arguments, |console, _| console)
}

/// The same, for whoever looks at what the machine left in the folder that it shares with the host.
fn with_machine<T>(
    guest: Guest,
    program: &Path,
    arguments: &[String],
    look: impl FnOnce(String, &Path) -> T,
) -> T {
    let build = Build::find();
    let image = image(&build, guest);
    let work = work(&build, guest);
    let shared = work.join("host");
    fs::create_dir_all(&shared).expect("shared directory");
    let programs = build.programs(program);
    for program in programs.iter().chain([&build.tools.join("login-machine")]) {
        let name = program.file_name().expect("name");
        fs::copy(program, shared.join(name))
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    }
    if let Guest::Systemd(_)
    | Guest::Container(_)
    | Guest::Directory(_)
    | Guest::Confined(_)
    | Guest::SystemdOnQemu = guest
    {
        let package = package(&build, &work);
        fs::copy(package, shared.join(PACKAGE)).expect("the package");
    }
    if guest == Guest::Confined(Security::SeLinux) {
        let built = Command::new(tree().join("packaging/selinux/build"))
            .arg(&shared)
            .status();
        assert!(built.expect("packaging/selinux/build").success());
    }
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let slot = matches!(guest, Guest::Container(_) | Guest::Directory(_))
        .then(|| Slot::take().expect("UIDs"));
    let uids = slot.as_ref().map(Slot::first_uid);
    let uids = uids.map_or_else(String::new, |uid| format!("export {FIRST_UID}={uid}\n"));
    let command = format!("{uids}exec /host/{program} {}\n", arguments.join(" "));
    fs::write(shared.join("run"), command).expect("what is to be run");
    let machine = match guest {
        Guest::UserModeLinux | Guest::Systemd(_) | Guest::Confined(_) => {
            user_mode_linux(guest, &image, &work, &shared)
        }
        Guest::Container(_) | Guest::Directory(_) => container(&image, &work, &shared),
        Guest::Qemu | Guest::SystemdOnQemu => qemu(guest, &image, &work, &shared),
    };
    let seen = look(boot(machine, &work), &shared);
    // What a failed removal costs is disk space.
    let _ = fs::remove_dir_all(&work);
    seen
}

/// The parts of names that a test program was given, as it understands its arguments. With `--exact` the name
/// has its module before it, which a guest's case has not.
fn asked_for(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let parts = arguments.filter(|argument| !argument.starts_with('-'));
    let last = |part: String| part.rsplit("::").next().unwrap_or_default().to_owned();
    parts.map(last).filter(|part| !part.is_empty()).collect()
}

/// A directory for one boot. What killed tests left goes first: a guest's disk can be large.
fn work(build: &Build, guest: Guest) -> PathBuf {
    let guests = build.target.join("guests");
    for old in fs::read_dir(&guests).into_iter().flatten().flatten() {
        let name = old.file_name();
        let pid = name.to_str().and_then(|name| name.rsplit('-').next());
        let lives = pid.is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if !lives {
            // Another test may be at it, too.
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let suite = guest.suite().unwrap_or("host");
    guests.join(format!("{}-{suite}-{}", guest.name(), std::process::id()))
}

/// Makes the Debian package of the product that is tested, wherever that was built.
fn package(build: &Build, work: &Path) -> PathBuf {
    let built = work.join("built");
    fs::create_dir(&built).expect("a folder for the package");
    symlink(&build.product, built.join("release")).expect("a link to the product");
    let script = tree().join("packaging/build-deb");
    let made = Command::new(script)
        .env("CARGO_TARGET_DIR", built)
        // What is installed once, and has debugging symbols, would take a minute to compress.
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
        .stderr(Stdio::inherit())
        .output();
    let made = made.expect("packaging/build-deb");
    assert!(made.status.success(), "no package: {made:?}");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    PathBuf::from(said.lines().last().expect("the package's path"))
}

fn image(build: &Build, guest: Guest) -> PathBuf {
    let script = match guest {
        Guest::Directory(_) => "build-directory-image",
        _ => "build-image",
    };
    let script = tree().join("tests/system").join(script);
    let built = Command::new(&script)
        .arg(build.target.join("system"))
        .args(guest.suite())
        .args(guest.security())
        .stderr(Stdio::inherit())
        .output();
    let built = built.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(built.status.success(), "the guest's image was not built");
    PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
}

/// Compiles what lets user-mode Linux run on this CPU (see the file).
fn preloaded(work: &Path) -> PathBuf {
    let source = tree().join("tests/system/xstate.c");
    let library = work.join("xstate.so");
    let compiled = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(compiled.expect("cc").success(), "xstate.c does not compile");
    library
}

/// A program that ends with all its processes when the test is killed. Some of user-mode Linux's would go on.
fn contained(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", program]);
    command
}

fn user_mode_linux(guest: Guest, image: &Path, work: &Path, shared: &Path) -> Command {
    // Each system call in there goes to and fro between two threads, which take turns. On two CPUs each turn wakes an idle
    // one, which in a virtual machine takes three times as long as all the rest.
    // As the first of its PID namespace it could not abort itself after a panic, and would try so for ever.
    let mut machine = contained("sh");
    machine.args(["-c", "\"$@\"; exit $?", "sh", "taskset"]);
    machine.args(["--cpu-list", &guest.cpu().to_string(), "linux.uml"]);
    if guest == Guest::UserModeLinux {
        machine.args(["init=/sbin/berth-init-cases", "audit=1"]);
    }
    machine.args(guest.security().map(|name| format!("security={name}")));
    machine
        .arg(format!(
            "ubd0={},{}",
            work.join("disk").display(),
            image.display()
        ))
        .args([
            "root=/dev/ubda",
            "rw",
            "mem=1G",
            "quiet",
            "con=null",
            "con0=null,fd:1",
        ])
        .arg(format!("BERTH_HOST={}", shared.display()))
        .env("LD_PRELOAD", preloaded(work));
    machine
}

fn container(image: &Path, work: &Path, shared: &Path) -> Command {
    let script = tree().join("tests/system/container");
    let mut machine = contained(&script.to_string_lossy());
    machine.args([image, work, shared]);
    machine
}

fn qemu(guest: Guest, image: &Path, work: &Path, shared: &Path) -> Command {
    let init = match guest {
        Guest::SystemdOnQemu => "",
        _ => " init=/sbin/berth-init-cases",
    };
    let disk = |name: &str, size: &str, content: Option<&Path>| {
        let image = work.join(name);
        let mut make = Command::new("/sbin/mke2fs");
        make.args(["-q", "-t", "ext4"]);
        if let Some(content) = content {
            make.arg("-d").arg(content);
        }
        let made = make.arg(&image).arg(size).status();
        assert!(made.expect("mke2fs").success(), "no disk for {name}");
        image
    };
    let programs = disk("programs", "256M", Some(shared));
    let slow = disk("slow", "64M", None);
    let beside = |end: &str| format!("{}.{end}", image.display());
    let mut guest = contained("qemu-system-x86_64");
    guest
        .args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
        ])
        .args(["-m", "1G", "-nographic", "-no-reboot", "-nic", "none"])
        .args(["-kernel", &beside("vmlinuz"), "-initrd", &beside("initrd")])
        .args([
            "-append",
            &format!("root=/dev/vda rw console=ttyS0 quiet{init}"),
        ])
        .arg("-drive")
        .arg(format!(
            // Nobody writes to it; but user-mode Linux, which runs from the same one, locks it.
            "file={},if=virtio,format=raw,snapshot=on,file.locking=off",
            image.display()
        ))
        .arg("-drive")
        .arg(format!("file={},if=virtio,format=raw", programs.display()))
        // A disk that is full when two write.
        .arg("-drive")
        .arg(format!(
            "file={},if=virtio,format=raw,throttling.iops-total=25",
            slow.display()
        ));
    guest
}

fn boot(mut guest: Command, work: &Path) -> String {
    let console = work.join("console");
    let output = fs::File::create(&console).expect("console");
    guest
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("console"))
        .stderr(output);
    let deadline = Instant::now() + TIMEOUT;
    let again = work.join("host").join(AGAIN);
    loop {
        let _ = fs::remove_file(&again); // most machines are switched on once
        let mut on = guest
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", guest.get_program().to_string_lossy()));
        while on.try_wait().expect("wait").is_none() {
            if Instant::now() > deadline {
                let _ = on.kill();
                let _ = on.wait();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if !again.exists() {
            break;
        }
    }
    let bytes = fs::read(&console).expect("console");
    String::from_utf8_lossy(&bytes).replace('\r', "")
}

fn read_verdicts(console: &str, shared: &Path) -> BTreeMap<String, Verdict> {
    let verdicts = console.lines().filter_map(|line| {
        if let Some(case) = line.strip_prefix("ok ") {
            return Some((case.to_owned(), Verdict::Passed));
        }
        let (case, why) = line.strip_prefix("not ok ")?.split_once(": ")?;
        let said = fs::read_to_string(shared.join(format!("{case}.said")));
        Some((
            case.to_owned(),
            Verdict::Failed(said.unwrap_or_else(|_| why.to_owned())),
        ))
    });
    verdicts.collect()
}
