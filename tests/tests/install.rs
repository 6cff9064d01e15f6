//! `packaging/install`, into a folder.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_tests::Output;

/// A folder to install into, with a PAM of its own, and a "build" beside it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let place =
            std::env::temp_dir().join(format!("berth-install-{}-{name}", std::process::id()));
        for folder in ["built/release", "root/usr/lib64/security", "root/etc/pam.d"] {
            fs::create_dir_all(place.join(folder)).unwrap();
        }
        fs::write(place.join("root/usr/lib64/security/pam_permit.so"), "").unwrap();
        let place = Place(place);
        place.build("old");
        place.pam("session required pam_unix.so\n");
        place
    }

    /// "Builds" a version of every program.
    fn build(&self, version: &str) {
        for file in ["libpam_berth.so", "berth-helper", "berth"] {
            let path = self.0.join("built/release").join(file);
            // It can be run, as for the shells' completions.
            fs::write(&path, format!("#!/bin/echo {version}\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn pam(&self, text: &str) {
        fs::write(self.path("etc/pam.d/sshd"), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join("root").join(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&script("install"));
        command.arg("--destdir").arg(self.0.join("root"));
        command.args(arguments).output().unwrap().into()
    }

    /// A command that finds the build, and the programs of the place before those of the system.
    fn command(&self, program: &Path) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{}:{path}", self.0.join("bin").display()))
            .env("CARGO_TARGET_DIR", self.0.join("built"));
        command
    }

    /// Runs commands of the shell's where there is a file system of its own at /var/lib/berth/tmp.
    fn with_own_tmp(&self, commands: &str) -> Output {
        let tmp = self.path("var/lib/berth/tmp");
        fs::create_dir_all(&tmp).unwrap();
        let mut command = self.command(Path::new("unshare"));
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg(format!(
            "mount -t tmpfs none {0} && mkdir {0}/folder && {{ {commands}\n}}
             status=$?; ! [ -e {0}/folder ] || echo its folder is there; exit $status",
            tmp.display()
        ));
        command.output().unwrap().into()
    }

    /// Of which build the helper and the module are.
    fn versions(&self) -> [String; 2] {
        let files = [
            "usr/libexec/berth-helper",
            "usr/lib64/security/pam_berth.so",
        ];
        files.map(|file| {
            let text = fs::read_to_string(self.path(file)).unwrap();
            text.trim().replace("#!/bin/echo ", "")
        })
    }

    /// Every file, with its mode.
    fn files(&self) -> Vec<(String, u32)> {
        let root = self.0.join("root");
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path().strip_prefix(&root).unwrap().to_owned();
                    files.push((path.display().to_string(), metadata.mode() & 0o7777));
                }
            }
        }
        files.sort();
        files
    }
}

impl Place {
    /// A program that is found before the system's.
    fn program(&self, name: &str, text: &str) {
        let path = self.0.join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs commands as root of a copy of this system, of which nothing is kept, and which systemd seems to run.
    fn on_a_system(&self, commands: &str) -> Output {
        let inside = "set -e; rm -rf /run/berth; mkdir -p /run/systemd/system\n";
        let inside = format!("{inside}{commands}").replace('\'', "'\\''");
        let binds = [Path::new("/proc"), Path::new("/dev"), &self.0];
        let tree = berth_tests::tree();
        let binds = binds.into_iter().chain([&*tree]).map(|folder| {
            let folder = folder.display();
            format!("mkdir -p /mnt/root{folder} && mount --rbind {folder} /mnt/root{folder} && ")
        });
        let mut command = self.command(Path::new("unshare"));
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg(format!(
            "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/root &&
             mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root &&
             {}exec chroot /mnt/root sh -c '{inside}'",
            binds.collect::<String>()
        ));
        command.output().unwrap().into()
    }
}

/// A script of the packaging's.
fn script(name: &str) -> PathBuf {
    let packaging = berth_tests::tree().join("packaging");
    packaging.join(name).canonicalize().unwrap()
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a test's folder in /tmp
    }
}

#[test]
fn what_is_installed_is_removed_again_but_for_the_policy() {
    let place = Place::new("all");
    let before = place.files();
    let said = place.run(&[]).ok();
    assert!(said.contains("\n       berth pam enable sshd"), "{said}");
    let files = place.files();
    for file in [
        ("etc/berth/policy.toml", 0o644),
        ("usr/bin/berth", 0o755),
        ("usr/lib64/security/pam_berth.so", 0o644),
        ("usr/libexec/berth-helper", 0o755),
        ("usr/share/bash-completion/completions/berth", 0o644),
        ("usr/share/doc/berth/README.md", 0o644),
        ("usr/share/doc/berth/examples/lab.toml", 0o644),
        ("usr/share/doc/berth/policy.md", 0o644),
        ("usr/share/doc/berth/running.md", 0o644),
        ("usr/share/fish/vendor_completions.d/berth.fish", 0o644),
        ("usr/share/man/man1/berth.1.gz", 0o644),
        ("usr/share/man/man5/berth-policy.5.gz", 0o644),
        ("usr/share/man/man8/pam_berth.8.gz", 0o644),
        ("usr/share/zsh/vendor-completions/_berth", 0o644),
    ] {
        assert!(
            files.contains(&(file.0.into(), file.1)),
            "{file:?} in {files:?}"
        );
    }
    for (file, mode) in &files {
        assert_eq!(mode & 0o7022, 0, "{file}: {mode:o}");
        assert!(
            !file.ends_with("/testing.md"),
            "it is for who changes Berth"
        );
    }
    for folder in ["var/lib/berth", "etc/berth/policy.d"] {
        let folder = fs::metadata(place.path(folder)).unwrap();
        assert_eq!(folder.mode() & 0o7777, 0o755);
    }
    assert_eq!(
        fs::read_to_string(place.path("etc/pam.d/sshd")).unwrap(),
        "session required pam_unix.so\n"
    );

    fs::create_dir_all(place.path("run/berth/sessions")).unwrap();
    fs::write(place.path("run/berth-counters"), "").unwrap();
    place.run(&["--uninstall"]).ok();
    assert!(!place.path("run/berth").exists());
    let mut left = place.files();
    left.retain(|file| !before.contains(file));
    assert_eq!(left, [("etc/berth/policy.toml".to_owned(), 0o644)]);
    for folder in ["usr/bin", "usr/libexec", "usr/share", "var"] {
        assert!(!place.path(folder).exists(), "{folder}");
    }
    place.run(&["--uninstall"]).ok();
}

/// For quotas on what users have in their /tmp.
#[test]
fn a_file_system_at_the_private_tmp_stays_and_nothing_else() {
    let place = Place::new("mounted");
    place.run(&[]).ok();
    let root = place.0.join("root").display().to_string();
    let uninstall = format!(
        "{} --destdir {root} --uninstall",
        script("install").display()
    );
    let said = place.with_own_tmp(&uninstall);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let why = format!("cannot remove {root}/var/lib/berth");
    assert!(said.stderr.contains(&why), "{said:?}");
    for text in ["Kept: ", "its folder is there"] {
        assert!(said.stdout.contains(text), "{said:?}");
    }
    assert!(!place.path("usr/share").exists(), "{said:?}");

    let place = Place::new("purged");
    let root = place.0.join("root").display().to_string();
    let postrm = fs::read_to_string(script("debian/postrm")).unwrap();
    let mut purge = format!("set -- purge\n{postrm}");
    for folder in ["/var/", "/run/", "/etc/"] {
        purge = purge.replace(&format!(" {folder}"), &format!(" {root}{folder}"));
    }
    fs::create_dir_all(place.path("var/lib/berth/pam.d")).unwrap();
    fs::create_dir_all(place.path("etc/systemd/system/multi-user.target.wants")).unwrap();
    let enabled = place.path("etc/systemd/system/multi-user.target.wants/berth.service");
    fs::write(&enabled, "").unwrap();
    let said = place.with_own_tmp(&purge);
    assert!(said.success(), "{said:?}");
    assert!(
        said.stderr.contains("/var/lib/berth cannot be removed"),
        "{said:?}"
    );
    assert!(said.stdout.contains("its folder is there"), "{said:?}");
    assert!(!place.path("var/lib/berth/pam.d").exists() && !enabled.exists());
}

/// The timer starts its service each minute.
#[test]
fn systemd_is_told_of_units_that_were_installed_or_removed() {
    let place = Place::new("units");
    place.program("systemctl", "echo \"systemctl $*\"");
    let install = script("install").display().to_string();
    let said = place
        .on_a_system(&format!("{install}; {install} --uninstall"))
        .ok();
    let (installed, removed) = said.split_once("\nRemoved:").expect(&said);
    for said in [installed, removed] {
        assert!(said.contains("\nsystemctl daemon-reload"), "{said}");
    }
}

#[test]
fn what_a_package_has_installed_is_left_to_it() {
    for (name, program, text) in [
        ("deb", "dpkg-query", "echo 'ii '"),
        ("rpm", "rpm", "[ \"$*\" = '--query --quiet berth' ]"),
    ] {
        let place = Place::new(name);
        place.program(program, text);
        for action in ["", "--uninstall"] {
            let run = format!("{} {action}", script("install").display());
            let said = place.on_a_system(&run);
            assert_eq!(said.status.code(), Some(1), "{name} {action}: {said:?}");
            assert!(
                said.stderr.contains("a package has installed Berth"),
                "{name} {action}: {said:?}"
            );
        }
    }
}

/// As into a folder for a package: there is no service to look at, and each that is left out is a way round.
#[test]
fn where_no_service_is_known_the_usual_ones_are_named_and_none_is_left_out() {
    let place = Place::new("unknown");
    fs::remove_file(place.path("etc/pam.d/sshd")).unwrap();
    let said = place.run(&[]).ok();
    let line = "\n       berth pam enable sshd login su cron atd\n";
    assert!(said.contains(line), "{said}");
}

#[test]
fn lines_are_asked_for_where_they_are_needed_and_not_twice() {
    let place = Place::new("services");
    let pam = |service: &str, text| fs::write(place.path("etc/pam.d").join(service), text).unwrap();
    pam("su", "session required pam_unix.so\n");
    pam("su-l", "session\t\tinclude\t\tsu\n");
    let said = place.run(&[]).ok();
    let mut lines = said.lines().map(str::trim);
    let services = lines.find_map(|line| line.strip_prefix("berth pam enable "));
    assert_eq!(services, Some("sshd su"));
}

#[test]
fn a_module_in_use_is_replaced_and_not_written_over() {
    let place = Place::new("replace");
    place.run(&[]).ok();
    let module = place.path("usr/lib64/security/pam_berth.so");
    let mut loaded = fs::File::open(&module).unwrap();
    place.build("new and longer");
    place.run(&[]).ok();
    let text = fs::read_to_string(&module).unwrap();
    assert_eq!(text, "#!/bin/echo new and longer\n");
    assert_ne!(
        loaded.metadata().unwrap().ino(),
        fs::metadata(&module).unwrap().ino()
    );
    let mut text = String::new();
    loaded.read_to_string(&mut text).unwrap();
    assert_eq!(text, "#!/bin/echo old\n");
    let strays = place.files().into_iter().filter(|(file, _)| {
        let name = file.rsplit('/').next().unwrap_or_default();
        name.starts_with("pam_berth.so.") || file.contains("/bin/berth.")
    });
    assert_eq!(strays.count(), 0);
}

/// "Nothing is in force yet" would be wrong, and the two commands that count would be lost among the first steps.
#[test]
fn an_upgrade_says_only_how_to_load_the_policy_anew() {
    let place = Place::new("upgrade");
    for (loaded, new) in [(false, true), (true, false)] {
        if loaded {
            fs::write(place.path("var/lib/berth/policy.json"), "{}").unwrap();
        }
        let said = place.run(&[]).ok();
        assert_eq!(said.contains("Nothing is in force yet"), new, "{said}");
        let again = said.ends_with("\n       berth check && berth reload --if-unusable");
        assert_eq!(again, loaded, "{said}");
    }
}

#[test]
fn an_edited_policy_is_kept() {
    let place = Place::new("policy");
    fs::create_dir_all(place.path("etc/berth")).unwrap();
    let policy = place.path("etc/berth/policy.toml");
    fs::write(&policy, "mine").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
    place.run(&[]).ok();
    place.run(&["--uninstall"]).ok();
    assert_eq!(fs::read_to_string(&policy).unwrap(), "mine");
    assert_eq!(fs::metadata(&policy).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_cron_job_goes_unless_it_has_been_edited() {
    let place = Place::new("cron");
    let job = place.path("etc/cron.d/berth");
    for edited in [false, true] {
        place.run(&[]).ok();
        assert!(!job.exists(), "a package's scripts know where it belongs");
        fs::create_dir_all(job.parent().unwrap()).unwrap();
        let shipped = fs::read_to_string(place.path("usr/share/berth/cron")).unwrap();
        let text = if edited { "# mine\n" } else { &shipped };
        fs::write(&job, text).unwrap();
        place.run(&[]).ok();
        assert!(place.run(&["--uninstall"]).ok().contains("cron.d/berth"));
        assert_eq!(
            fs::read_to_string(&job).is_ok_and(|left| left == text),
            edited
        );
    }
}

/// A helper of the new version beside the old module would refuse logins.
#[test]
fn an_installation_that_fails_halfway_changes_nothing() {
    let place = Place::new("halfway");
    place.run(&[]).ok();
    let before = place.files();
    place.build("new");
    // Of the programs it is the last, so helper and module have been written; what cannot be read is as what does not fit.
    let last = place.0.join("built/release/berth");
    fs::remove_file(&last).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &last).unwrap();
    let failed = place.run(&[]);
    assert!(failed.stderr.contains("cannot write"), "{failed:?}");
    assert_eq!(place.files(), before);
    assert_eq!(place.versions(), ["old", "old"]);
}

#[test]
fn an_installation_that_is_ended_while_it_renames_goes_on_to_the_last() {
    for (name, program, text) in [
        ("ended", "mv", "kill -TERM $PPID; exec /bin/mv \"$@\""),
        ("unread", "stat", "kill -PIPE $$"),
    ] {
        let place = Place::new(name);
        place.run(&[]).ok();
        place.build("new");
        fs::create_dir(place.0.join("bin")).unwrap();
        let program = place.0.join("bin").join(program);
        fs::write(&program, format!("#!/bin/sh\n: >\"$0.ran\"\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        place.run(&[]);
        assert!(program.with_extension("ran").exists(), "{name}");
        assert_eq!(place.versions(), ["new", "new"], "{name}");
    }
}

#[test]
fn nothing_is_removed_while_pam_loads_the_module() {
    let place = Place::new("in-use");
    place.run(&[]).ok();
    let files = place.files();
    place.pam("session required pam_unix.so\nsession optional pam_berth.so close\n");
    let refused = place.run(&["--uninstall"]);
    assert!(!refused.success());
    assert!(refused.stderr.contains("etc/pam.d/sshd"), "{refused:?}");
    assert_eq!(place.files(), files);
    place.pam("# session required pam_berth.so\n");
    // A stack may include what stands in a folder there.
    fs::create_dir(place.path("etc/pam.d/site")).unwrap();
    let included = place.path("etc/pam.d/site/common");
    fs::write(&included, "session required pam_berth.so\n").unwrap();
    let refused = place.run(&["--uninstall"]);
    assert!(
        refused.stderr.contains("etc/pam.d/site/common"),
        "{refused:?}"
    );
    // What an editor or a killed `berth pam` leaves is nobody's stack.
    fs::rename(&included, place.path("etc/pam.d/site/.common.swp")).unwrap();
    place.run(&["--uninstall"]).ok();
    assert!(!place.path("usr/libexec/berth-helper").exists());
}

#[test]
fn without_a_build_nothing_is_installed() {
    let place = Place::new("no-build");
    fs::remove_file(place.0.join("built/release/berth")).unwrap();
    let before = place.files();
    let refused = place.run(&[]);
    assert!(!refused.success());
    assert!(refused.stderr.contains("cargo build"), "{refused:?}");
    assert_eq!(place.files(), before);
}

#[test]
fn what_is_started_by_its_path_is_installed_there() {
    let place = Place::new("helper");
    place.run(&[]).ok();
    for (file, name) in [
        ("protocol/src/lib.rs", "HELPER"),
        ("cli/src/pam_stack/manager.rs", "PROGRAM"),
    ] {
        let source = fs::read_to_string(berth_tests::tree().join(file)).unwrap();
        let (_, rest) = source.split_once(&format!("{name}: &str = \"/")).unwrap();
        let (program, _) = rest.split_once('"').unwrap();
        assert!(place.path(program).is_file(), "{program}");
    }
}

#[test]
fn the_module_is_not_put_among_those_for_32_bit_programs() {
    let place = Place::new("32-bit");
    let machine = nix::sys::utsname::uname().unwrap();
    let machine = machine.machine().to_string_lossy();
    for machine in ["aaa", &*machine] {
        let folder = place.path(&format!("usr/lib/{machine}-linux-gnu/security"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("pam_permit.so"), "").unwrap();
    }
    place.run(&[]).ok();
    let module = format!("usr/lib/{machine}-linux-gnu/security/pam_berth.so");
    assert!(place.path(&module).exists());
}

/// Of another folder PAM loads nothing by a name without a path: a `required` line would let nobody in.
#[test]
fn the_module_is_put_beside_pams_own_also_where_lib_is_no_link() {
    let place = Place::new("unmerged");
    fs::create_dir(place.path("lib64")).unwrap();
    fs::rename(
        place.path("usr/lib64/security"),
        place.path("lib64/security"),
    )
    .unwrap();
    place.run(&[]).ok();
    assert!(place.path("lib64/security/pam_berth.so").exists());
    // Where it is one, the package has it by the path that dpkg knows.
    let place = Place::new("merged");
    std::os::unix::fs::symlink("usr/lib64", place.path("lib64")).unwrap();
    place.run(&[]).ok();
    let files = place.files();
    let module = ("usr/lib64/security/pam_berth.so".to_owned(), 0o644);
    assert!(files.contains(&module), "{files:?}");
}

#[test]
fn what_the_documents_lead_to_is_installed_with_them() {
    let place = Place::new("links");
    place.run(&[]).ok();
    let folder = place.path("usr/share/doc/berth");
    let mut links = 0;
    for file in fs::read_dir(&folder).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(file.path()) else {
            continue; // The folder of examples.
        };
        let targets = text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains(':')) {
            assert!(folder.join(target).exists(), "{file:?}: {target}");
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
}
