//! The packages, against each other and against what they are to hold.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A build's folder with programs that say who they are, and the packages that are made of them.
struct Built(PathBuf);

impl Built {
    fn new(name: &str) -> Built {
        let folder =
            std::env::temp_dir().join(format!("berth-packages-{}-{name}", std::process::id()));
        let release = folder.join("release");
        fs::create_dir_all(&release).unwrap();
        for file in ["berth", "berth-helper", "libpam_berth.so"] {
            let path = release.join(file);
            fs::write(&path, format!("#!/bin/echo {file}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Built(folder)
    }

    /// Runs a script of the tree's, and gives back the last line that it prints.
    #[track_caller]
    fn run(&self, script: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(berth_tests::tree().join(script));
        command.args(arguments).env("CARGO_TARGET_DIR", &self.0);
        last_line(command)
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[track_caller]
fn stdout(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn last_line(command: Command) -> String {
    stdout(command)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

/// Paths and modes, of files and not of folders.
type Files = BTreeMap<String, String>;

fn of_deb(path: &str) -> Files {
    let mut list = Command::new("dpkg-deb");
    list.args(["--contents", path]);
    let list = stdout(list);
    let files = list.lines().filter(|line| line.starts_with('-'));
    files
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[1], "root/root", "{line}");
            (
                words[5].trim_start_matches('.').to_owned(),
                words[0].to_owned(),
            )
        })
        .collect()
}

fn of_rpm(path: &str) -> Files {
    let mut list = Command::new("rpm");
    let format = r"[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]";
    list.args(["--query", "--package", "--queryformat", format, path]);
    let list = stdout(list);
    let files = list.lines().filter(|line| line.starts_with('-'));
    files
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[1..3], ["root", "root"], "{line}");
            (words[3].to_owned(), words[0].to_owned())
        })
        .collect()
}

/// Files that only one of them has: what Debian's policy asks for, and what dpkg does not count.
const OF_DEBIAN: [&str; 4] = [
    "changelog.gz",
    "copyright",
    "NEWS.md",
    "lintian/overrides/berth",
];
const OF_RPM: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"];

#[test]
fn the_rpm_has_the_files_and_modes_of_the_debian_package() {
    let built = Built::new("both");
    let deb = built.run("packaging/build-deb", &[]);
    let rpm = built.run("packaging/build-rpm", &["--nodeps"]);
    let without = |mut files: Files, own: &[&str]| {
        for name in own {
            let before = files.len();
            files.retain(|path, _| !path.ends_with(name));
            assert_eq!(files.len(), before - 1, "{name}: {files:#?}");
        }
        files
    };
    let mut debs = without(of_deb(&deb), &OF_DEBIAN);
    // zsh looks elsewhere there.
    let zsh = |folder| format!("/usr/share/zsh/{folder}/_berth");
    let of_zsh = debs.remove(&zsh("vendor-completions")).unwrap();
    debs.insert(zsh("site-functions"), of_zsh);
    assert_eq!(without(of_rpm(&rpm), &OF_RPM), debs);
    for file in [
        "/usr/libexec/berth-helper",
        "/usr/bin/berth",
        "/etc/berth/policy.toml",
        "/usr/share/berth/cron",
        "/usr/lib/tmpfiles.d/berth.conf",
        "/usr/lib/systemd/system/berth-metrics.socket",
        "/usr/lib/systemd/system/berth-metrics@.service",
        "/usr/lib/systemd/system/berth-textfile.service",
        "/usr/lib/systemd/system/berth-textfile.timer",
        "/usr/share/doc/berth/examples/berth-alerts.yml",
        "/usr/share/doc/berth/examples/berth.json",
    ] {
        assert!(debs.contains_key(file), "{file}: {debs:#?}");
    }
    let mut readme = Command::new("sh");
    let read = "dpkg-deb --fsys-tarfile \"$0\" | tar -xO ./usr/share/doc/berth/README.md";
    readme.args(["-c", read, &deb]);
    assert!(stdout(readme).contains("(NEWS.md)"));
    // What the admin has edited is kept by both.
    let mut conffiles = Command::new("dpkg-deb");
    conffiles.args(["--info", &deb, "conffiles"]);
    let conffiles = stdout(conffiles);
    let mut conffiles: Vec<_> = conffiles.split_whitespace().collect();
    conffiles.sort_unstable();
    assert_eq!(conffiles, ["/etc/berth/policy.toml"]);
    let mut config = Command::new("rpm");
    config.args(["--query", "--package", "--configfiles", &rpm]);
    let config = stdout(config);
    let mut config: Vec<_> = config.split_whitespace().collect();
    config.sort_unstable();
    assert_eq!(config, ["/etc/berth/policy.toml"]);
}

/// A copy of the sources, as somebody with this umask has it, and of what was built; a script in there.
fn copied(built: &Built, folder: &Path, umask: &str, script: &str) -> Command {
    let copy = "umask \"$2\" && mkdir -p \"$0/target\" && cp -r \"$1\" \"$0/target\" &&
        cp -r packaging docs Cargo.toml ./*.md LICENSE-* \"$0\"";
    let mut sh = Command::new("sh");
    sh.args(["-c", copy]).arg(folder);
    sh.arg(built.0.join("release")).arg(umask);
    sh.current_dir(berth_tests::tree());
    stdout(sh);
    let mut command = Command::new(folder.join("packaging").join(script));
    command.env_remove("CARGO_TARGET_DIR");
    command
}

/// The step after cargo's of what `packaging/reproduce` compares as a whole.
#[test]
fn the_debian_package_has_the_same_bytes_wherever_it_is_made() {
    let built = Built::new("same");
    // The stand-in would print its own place as the shell's completions.
    fs::write(built.0.join("release/berth"), "#!/bin/true\n").unwrap();
    let made = |place: &str, umask, zone, language| {
        let mut build = copied(&built, &built.0.join(place), umask, "build-deb");
        build.envs([("TZ", zone), ("LC_ALL", language)]);
        build.env("SOURCE_DATE_EPOCH", "1700000000");
        fs::read(last_line(build)).unwrap()
    };
    let first = made("a", "022", "UTC", "C");
    // By the clock in whole seconds, the second is made at another time.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = made("b/deeper", "077", "Asia/Kathmandu", "C.UTF-8");
    assert!(
        first == second,
        "see packaging/reproduce, which says what differs"
    );
}

#[test]
fn a_package_is_made_below_a_folder_with_a_blank_in_its_name() {
    let built = Built::new("blank");
    let folder = built.0.join("my src");
    let script = |name: &str| copied(&built, &folder, "022", name);
    let deb = last_line(script("build-deb"));
    assert!(of_deb(&deb).contains_key("/usr/bin/berth"), "{deb}");
    let refused = script("build-rpm").arg("--nodeps").output().unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("no blank in a path"), "{why}");
}

#[test]
fn a_removed_rpm_leaves_no_folder_of_its_own() {
    let built = Built::new("removed");
    let rpm = built.run("packaging/build-rpm", &["--nodeps", "--without", "selinux"]);
    let root = built.0.join("root");
    fs::create_dir(&root).unwrap();
    for step in [
        &["--initdb"][..],
        &["--install", "--nodeps", "--noscripts", &rpm],
        &["--erase", "--noscripts", "berth"],
    ] {
        let mut step_of_rpm = Command::new("rpm");
        step_of_rpm.arg("--root").arg(&root).args(step);
        stdout(step_of_rpm);
    }
    let mut left = Command::new("find");
    left.arg(&root);
    left.args(["-name", "*berth*", "-o", "-name", "timers.target.d"]);
    assert_eq!(stdout(left), "");
}

/// dpkg unpacks what only depends on a library before that is there, and PAM would have a module that it cannot load: in an
/// upgrade to another release nobody could log in, root included.
#[test]
fn the_module_is_not_unpacked_before_the_libraries_that_it_needs() {
    let built = Built::new("libraries");
    fs::copy("/bin/true", built.0.join("release/berth-helper")).unwrap();
    let mut needs = Command::new("dpkg-deb");
    needs.args([
        "--field",
        &built.run("packaging/build-deb", &[]),
        "Pre-Depends",
    ]);
    let needs = stdout(needs);
    assert!(needs.starts_with("libc6 "), "{needs}");
}

#[test]
fn the_selinux_module_compiles() {
    let built = Built::new("selinux");
    let folder = built.0.join("selinux");
    built.run("packaging/selinux/build", &[folder.to_str().unwrap()]);
    let module = fs::read(folder.join("berth.pp")).unwrap();
    for name in ["berth_helper_exec_t", "sshd_session_t"] {
        let has = module
            .windows(name.len())
            .any(|window| window == name.as_bytes());
        assert!(has, "{name}");
    }
}

#[test]
fn all_that_berth_keeps_in_run_has_its_selinux_type() {
    let read =
        |file: &str| fs::read_to_string(berth_tests::tree().join("packaging").join(file)).unwrap();
    let contexts = read("selinux/berth.fc");
    let postrm = read("debian/postrm").replace(';', " ");
    let mut paths: Vec<&str> = postrm.split_whitespace().collect();
    paths.retain(|path| path.starts_with("/run/berth"));
    assert!(paths.contains(&"/run/berth-counters"), "{paths:?}");
    for path in paths.into_iter().chain(["/run/berth/sessions/1"]) {
        let has_type = contexts.lines().any(|line| {
            let pattern = line.split_whitespace().next().unwrap();
            let mut grep = Command::new("sh");
            grep.args(["-c", "echo \"$0\" | grep -Exq \"$1\"", path, pattern]);
            grep.status().unwrap().success()
        });
        assert!(has_type, "{path}");
    }
}

#[test]
fn the_selinux_package_can_be_installed_where_selinux_is_off() {
    let spec = fs::read_to_string(berth_tests::tree().join("packaging/berth.spec")).unwrap();
    let (_, script) = spec.split_once("%post selinux\n").unwrap();
    let (script, _) = script.split_once("\n%").unwrap();
    let installed = |is_on: bool, semodule: bool| {
        let mut sh = Command::new("sh");
        let here = format!(
            "selinuxenabled() {{ {is_on}; }}; semodule() {{ {semodule}; }}; restorecon() {{ :; }}\n{script}"
        );
        sh.args(["-c", &here]);
        sh.status().unwrap().success()
    };
    assert!(installed(false, false) && installed(false, true));
    assert!(installed(true, true) && !installed(true, false));
}

/// What each package runs once it is installed, with the arguments of the first time.
fn installed() -> [(&'static str, String, [&'static str; 2]); 2] {
    let packaging = berth_tests::tree().join("packaging");
    let spec = fs::read_to_string(packaging.join("berth.spec")).unwrap();
    let (_, of_rpm) = spec.split_once("%post\n").unwrap();
    let (of_rpm, _) = of_rpm.split_once("\n%").unwrap();
    let of_deb = fs::read_to_string(packaging.join("debian/postinst")).unwrap();
    [
        ("rpm", of_rpm.to_owned(), ["1", ""]),
        ("deb", of_deb, ["configure", ""]),
    ]
}

/// A system on which a package's script runs.
struct Script {
    place: Built,
    text: String,
    arguments: [&'static str; 2],
}

impl Script {
    fn new(name: &str, (package, script, arguments): (&str, String, [&'static str; 2])) -> Script {
        let place = Built::new(&format!("{package}-{name}"));
        let root = place.0.display();
        let mut text = script;
        for path in [
            "/usr/share/berth/",
            "/etc/cron.d/",
            "/run/systemd/",
            "/var/lib/berth/",
            "/proc/1/",
            "/sbin/init",
        ] {
            text = text.replace(&format!(" {path}"), &format!(" {root}{path}"));
        }
        let script = Script {
            place,
            text,
            arguments,
        };
        script.file("usr/share/berth/cron", "job\n");
        script.program("systemctl", "");
        script.program("berth", "");
        script
    }

    fn path(&self, path: &str) -> PathBuf {
        self.place.0.join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program that is found before the system's. Its folder is "$here".
    fn program(&self, name: &str, text: &str) {
        let path = format!("bin/{name}");
        self.file(&path, &format!("#!/bin/sh\nhere=${{0%/*}}\n{text}\n"));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(&path), executable).unwrap();
    }

    /// Runs it; what it says of errors.
    #[track_caller]
    fn run(&self) -> String {
        let path = std::env::var("PATH").unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", &self.text, "sh"]).args(self.arguments);
        sh.env("PATH", format!("{}:{path}", self.path("bin").display()));
        let output = sh.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// It is Berth that knows whether a copy can be used, and an edit never counts by an upgrade alone.
#[test]
fn a_loaded_policy_is_loaded_anew_only_where_it_cannot_be_used_and_what_comes_of_it_is_told() {
    for installed in installed() {
        for (loaded, fails) in [(false, false), (true, false), (true, true)] {
            let script = Script::new(&format!("loaded-{loaded}-{fails}"), installed.clone());
            if loaded {
                script.file("var/lib/berth/policy.json", "{}\n");
            }
            let berth = format!(
                "[ $1 = check ] || {{ echo \"$*\" >>\"$here/asked\"; {}; }}",
                !fails
            );
            script.program("berth", &berth);
            let said = script.run();
            let asked = fs::read_to_string(script.path("bin/asked")).unwrap_or_default();
            let expected = if loaded { "reload --if-unusable\n" } else { "" };
            assert_eq!(asked, expected);
            assert_eq!(said.contains("may not be loaded"), fails, "{said}");
        }
    }
}

/// As over what packaging/install has put there.
#[test]
fn a_first_package_does_not_say_that_nothing_is_in_force_where_a_policy_is() {
    let [_, deb] = installed();
    for (loaded, told) in [(false, true), (true, false)] {
        let script = Script::new(&format!("first-{loaded}"), deb.clone());
        if loaded {
            script.file("var/lib/berth/policy.json", "{}\n");
        }
        script.program("cat", ": >\"$here/told\"");
        script.run();
        assert_eq!(script.path("bin/told").exists(), told, "{loaded}");
    }
}

/// Each asks for users and groups, and dpkg or rpm would wait, with its lock, for a directory that does not answer.
#[test]
fn a_package_waits_for_no_directory_of_users_without_end() {
    for installed in installed() {
        let script = Script::new("bound", installed);
        script.file("var/lib/berth/policy.json", "{}\n");
        // As if the time were over for what is asked for.
        script.program(
            "timeout",
            "[ ! -e \"$here/$3\" ] || exit 124\nshift\nBOUND=yes exec \"$@\"",
        );
        script.program("berth", "echo \"$1 $BOUND\" >>\"$here/asked\"");
        assert_eq!(script.run(), "");
        let asked = fs::read_to_string(script.path("bin/asked")).unwrap();
        assert_eq!(asked, "check yes\nreload yes\n");
        for (slow, says) in [("reload", "may not be loaded"), ("check", "not checked")] {
            script.file(&format!("bin/{slow}"), "");
            let said = script.run();
            assert!(said.contains(says) && !said.contains("errors"), "{said}");
        }
    }
}

/// Beside the timer it would only fill the log.
#[test]
fn the_job_of_cron_is_put_in_place_where_systemd_does_not_run_the_machine() {
    for installed in installed() {
        for (name, runs, is_chroot, init, expected) in [
            ("systemd", true, false, "systemd", false),
            ("container", false, false, "systemd", true),
            ("image", false, true, "systemd", false),
            ("image-of-another", false, true, "busybox", true),
            ("sysvinit", false, false, "init", true),
        ] {
            let package = installed.0;
            let script = Script::new(name, installed.clone());
            script.file("usr/lib/init/systemd", "");
            script.file("sbin/x", "");
            script.file("proc/1/x", "");
            if runs {
                script.file("run/systemd/system/x", "");
            }
            let link = |to: &str, at: &str| symlink(to, script.path(at)).unwrap();
            link(if is_chroot { "/proc" } else { "/" }, "proc/1/root");
            link(&format!("../usr/lib/init/{init}"), "sbin/init");
            script.run();
            let job = script.path("etc/cron.d/berth");
            assert_eq!(job.exists(), expected, "{package}: {name}");
        }
    }
}
