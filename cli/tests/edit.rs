//! `berth edit`, with editors that are scripts, and at a terminal.

mod system;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use system::{Ran, needs_root};

const POLICY: &str = "version = 1\n[exempt]\nuids = [1]\n[profile.p]\nuser = { tasks_max = 64 }\n\
                      [[rule]]\nuser = \"nobody\"\nprofile = \"p\"\n";

/// A system of its own, with a policy in force.
struct System(system::System);

impl Deref for System {
    type Target = system::System;

    fn deref(&self) -> &system::System {
        &self.0
    }
}

impl System {
    #[track_caller]
    fn new() -> System {
        needs_root();
        let system = System(system::System::new(POLICY));
        fs::create_dir(system.root.join("etc/berth/policy.d")).unwrap();
        let reloaded = system.berth("reload", &[]);
        assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
        system
    }

    fn text(&self) -> String {
        fs::read_to_string(self.policy()).unwrap()
    }

    fn in_force(&self) -> String {
        fs::read_to_string(self.root.join("var/lib/berth/policy.json")).unwrap()
    }

    /// An editor that is a script: `$1` is the file, `$0` a file that it may keep things in.
    fn editor(&self, script: &str) -> String {
        let path = self.root.join("editor");
        fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn command(&self, verb: &str, script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.arg(verb).arg("--root").arg(&self.root);
        for other in ["SUDO_EDITOR", "VISUAL"] {
            command.env_remove(other);
        }
        if !script.is_empty() {
            command.env("EDITOR", self.editor(script));
        }
        command
    }

    /// Edits without a terminal.
    fn edit(&self, script: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command("edit", script);
        command.arg("--yes").args(arguments).stdin(Stdio::null());
        Ran::of(&mut command)
    }

    /// What is in the folder of the policy in force, besides the policy.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("var/lib/berth")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                !["policy.json", "exempt", "edit.lock", "reload.lock"].contains(&name.as_str())
            })
            .collect();
        names.sort();
        names
    }
}

/// A program on a terminal, as its controlling one.
struct Terminal {
    program: Child,
    master: File,
    shown: String,
}

impl Terminal {
    fn start(command: &Command) -> Terminal {
        let pair = nix::pty::openpty(None, None).unwrap();
        let slave = File::from(pair.slave);
        let stream = || Stdio::from(slave.try_clone().unwrap());
        // Whoever runs the tests in the background has the keyboard's signals ignored.
        let mut on_it = Command::new("env");
        on_it.args(["--default-signal=INT,QUIT", "setsid", "--ctty", "--wait"]);
        on_it.arg(command.get_program());
        on_it.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_it.env(name, value),
                None => on_it.env_remove(name),
            };
        }
        on_it.stdin(stream()).stdout(stream()).stderr(stream());
        let program = on_it.spawn().unwrap();
        let master = File::from(pair.master);
        Terminal {
            program,
            master,
            shown: String::new(),
        }
    }

    /// Reads until a text is shown, and types an answer.
    #[track_caller]
    fn answer(&mut self, question: &str, answer: &str) {
        let from = self.shown.len();
        let mut bytes = [0; 4096];
        while !self.shown[from..].contains(question) {
            let mut polled = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let there = poll(&mut polled, 60_000_u16);
            assert_eq!(there, Ok(1), "no {question:?} in {}", self.shown);
            match self.master.read(&mut bytes) {
                Ok(count) if count > 0 => {
                    let text = String::from_utf8_lossy(&bytes[..count]).replace('\r', "");
                    self.shown.push_str(&text);
                }
                end => panic!("{end:?}, no {question:?} in {}", self.shown),
            }
        }
        self.master.write_all(answer.as_bytes()).unwrap();
    }

    /// Reads the rest; the exit status.
    fn end(mut self) -> (Option<i32>, String) {
        let mut bytes = [0; 4096];
        // Nobody has the other end any more: EIO.
        while let Ok(count) = self.master.read(&mut bytes) {
            if count == 0 {
                break;
            }
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..count]).replace('\r', ""));
        }
        (self.program.wait().unwrap().code(), self.shown)
    }
}

const TO_128: &str = "sed -i s/64/128/ \"$1\"";

#[test]
fn what_is_edited_is_shown_saved_with_owner_and_mode_and_in_force() {
    let system = System::new();
    let real = system.root.join("etc/berth/real.toml");
    fs::rename(system.policy(), &real).unwrap();
    symlink("real.toml", system.policy()).unwrap();
    chown(&real, Some(0), Some(1)).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = system.edit(TO_128, &[]);
    let path = system.policy().display().to_string();
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    for shown in [
        format!(
            "{path}\n    uids = [1]\n    [profile.p]\n  - user = {{ tasks_max = 64 }}\n  + user = {{ tasks_max = 128 }}\n"
        ),
        "\nnobody\n  cron, login, sshd, su\n    user.tasks_max: 64 -> 128\n1 of ".into(),
        format!(" users get something else\n{path} is saved, and in force\n"),
    ] {
        assert!(ran.out.contains(&shown), "{shown:?} in {}", ran.out);
    }
    assert_eq!(system.text(), POLICY.replace("64", "128"));
    assert!(fs::symlink_metadata(system.policy()).unwrap().is_symlink());
    let metadata = fs::metadata(&real).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.gid()), (0o640, 1));
    assert!(system.in_force().contains("128"), "{}", system.in_force());
    assert_eq!(system.left(), [""; 0]);
    let explained = system
        .command("explain", "")
        .arg("nobody")
        .output()
        .unwrap();
    let explained = Ran::from(explained).out;
    assert!(explained.contains("files unchanged since"), "{explained}");
}

#[test]
fn an_error_is_shown_and_nothing_is_saved() {
    let system = System::new();
    let before = system.in_force();
    let ran = system.edit("sed -i s/tasks_max/task_max/ \"$1\"", &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let path = system.policy().display().to_string();
    let found = format!("{path}:5:10: error: unknown key `task_max`");
    assert!(ran.out.starts_with(&found), "{ran:?}");
    let (kept, left) = ran.err.split_once('\n').unwrap();
    assert_eq!(left, format!("berth: {path} is left as it was\n"));
    // Nobody was asked whether to edit it again.
    let kept = Path::new(kept.strip_prefix("berth: what you wrote is in ").unwrap());
    let written = POLICY.replace("tasks_max", "task_max");
    assert_eq!(fs::read_to_string(kept).unwrap(), written);
    let bytes = system.edit("printf '# \\377\\n' >> \"$1\"", &[]);
    assert!(bytes.out.contains("error: it is not UTF-8"), "{bytes:?}");
    assert_eq!(
        (system.text().as_str(), system.in_force()),
        (POLICY, before)
    );
    assert_eq!(system.left().len(), 2, "{:?}", system.left());
}

#[test]
fn a_failed_editor_and_an_unchanged_file_change_nothing() {
    let system = System::new();
    let inode = || fs::metadata(system.policy()).unwrap().ino();
    let before = (inode(), system.in_force());
    let ran = system.edit(&format!("{TO_128}; exit 3"), &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err
            .contains("failed (exit status: 3), so nothing is saved"),
        "{ran:?}"
    );
    // What was written before that is not lost; and where nothing was, nothing is left.
    let kept = ran.err.trim().rsplit(' ').next().unwrap();
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        POLICY.replace("64", "128")
    );
    fs::remove_dir_all(system.root.join("var/lib/berth").join(&system.left()[0])).unwrap();
    let ran = system.edit("exit 3", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!ran.err.contains("what you wrote"), "{ran:?}");
    let ran = system.edit("true", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.ends_with("policy.toml is unchanged\n"), "{ran:?}");
    let mut command = system.command("edit", "");
    command
        .env("EDITOR", "/no/editor; true")
        .arg("--yes")
        .stdin(Stdio::null());
    let ran = Ran::of(&mut command);
    assert!(
        ran.err
            .contains("there is no editor /no/editor;: set EDITOR"),
        "{ran:?}"
    );
    assert_eq!((inode(), system.in_force()), before);
}

#[test]
fn sudo_editor_comes_before_visual_and_visual_before_editor() {
    let system = System::new();
    let told = system.root.join("told");
    let script = format!("echo \"$1\" > {}", told.display());
    let editor = system.editor(&script);
    let run = |names: &[&str]| {
        let mut command = system.command("edit", "");
        command
            .arg("--yes")
            .stdin(Stdio::null())
            .env_remove("EDITOR");
        for name in names {
            command.env(name, format!("{editor} {name}"));
        }
        assert!(command.status().unwrap().success());
        fs::read_to_string(&told).unwrap().trim().to_owned()
    };
    assert_eq!(run(&["EDITOR"]), "EDITOR");
    assert_eq!(run(&["EDITOR", "VISUAL"]), "VISUAL");
    assert_eq!(run(&["EDITOR", "VISUAL", "SUDO_EDITOR"]), "SUDO_EDITOR");
}

#[test]
fn a_drop_in_may_be_new_and_no_other_file_is_edited() {
    let system = System::new();
    let script = "printf '[[rule]]\\nuser = \"nobody\"\\naction = \"deny\"\\n' > \"$1\"";
    let ran = system.edit(script, &["20-new.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("outcome: profile p -> deny"), "{ran:?}");
    let path = system.root.join("etc/berth/policy.d/20-new.toml");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    let ran = system.edit("sed -i s/nobody/root/ \"$1\"", &[path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(fs::read_to_string(&path).unwrap().contains("root"));
    for other in ["/etc/passwd", "20-new.conf", "../x.toml", ".20-new.toml"] {
        let ran = system.edit(TO_128, &[other]);
        assert_eq!(ran.code, Some(2), "{other}: {ran:?}");
    }
}

#[test]
fn two_do_not_edit_at_the_same_time_and_what_others_save_meanwhile_is_kept() {
    let system = System::new();
    let ready = system.root.join("ready");
    let script = format!(
        "touch {0}; while test -e {0}; do sleep 0.02; done; {TO_128}",
        ready.display()
    );
    let mut first = system.command("edit", &script);
    first
        .arg("--yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let first = first.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !ready.exists() {
        assert!(Instant::now() < until, "the editor does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["edit", "--yes", "--root"])
        .arg(&system.root)
        .env("EDITOR", "true")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let second = Ran::from(second);
    let who = format!(
        "somebody else is editing the policy (berth edit, process {})",
        first.id()
    );
    assert!(second.err.contains(&who), "{second:?}");
    assert_eq!(second.code, Some(1));
    let others = POLICY.replace("64", "99");
    fs::write(system.policy(), &others).unwrap();
    fs::remove_file(&ready).unwrap();
    let first = Ran::from(first.wait_with_output().unwrap());
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(
        first.err.contains("somebody else has changed it meanwhile"),
        "{first:?}"
    );
    assert_eq!(system.text(), others);
    let kept = first.err.trim().rsplit(' ').next().unwrap();
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        POLICY.replace("64", "128")
    );
    let folder = std::path::Path::new(kept).parent().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().mode() & 0o7777, 0o700);
    let told = system.edit("true", &[]).err;
    assert!(
        told.contains(&format!("left its text in {}", folder.display())),
        "{told}"
    );
}

#[test]
fn what_others_save_in_another_file_meanwhile_is_not_put_out_of_force() {
    let system = System::new();
    let other = system.root.join("etc/berth/policy.d/20-other.toml");
    let mut terminal = Terminal::start(&system.command("edit", TO_128));
    terminal.answer("(y)es, (e)dit again, or e(x)it without saving?", "");
    fs::write(other, "[profile.p]\nuser = { tasks_max = 32 }\n").unwrap();
    let reloaded = system.command("reload", "").output().unwrap();
    assert!(reloaded.status.success(), "{reloaded:?}");
    let in_force = system.in_force();
    terminal.answer("", "y\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("policy.toml is saved, and not in force\n")
            && shown.contains("20-other.toml meanwhile"),
        "{shown}"
    );
    assert_eq!(system.in_force(), in_force);
    assert_eq!(system.text(), POLICY.replace("64", "128"));
}

#[test]
fn what_others_put_in_force_while_a_reload_checks_stays() {
    let system = System::new();
    // More warnings than a pipe takes, so that it waits between reading and putting.
    let unused = (0..2000).map(|number| format!("[profile.unused{number}]\n"));
    fs::write(
        system.policy(),
        POLICY.to_owned() + &unused.collect::<String>(),
    )
    .unwrap();
    let mut slow = system.command("reload", "");
    let mut slow = slow
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    slow.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    fs::write(system.policy(), POLICY.replace("64", "99")).unwrap();
    let reloaded = system.command("reload", "").output().unwrap();
    assert!(reloaded.status.success(), "{reloaded:?}");
    let in_force = system.in_force();
    let slow = Ran::from(slow.wait_with_output().unwrap());
    assert_eq!(slow.code, Some(1), "{}", slow.err);
    assert!(
        slow.err.contains("policy.toml meanwhile: see `berth diff`"),
        "{}",
        slow.err
    );
    assert_eq!(system.in_force(), in_force);
}

#[test]
fn reloads_at_the_same_time_do_not_get_into_each_others_way() {
    let system = System::new();
    let mut reload = system.command("reload", "");
    reload.stdout(Stdio::piped()).stderr(Stdio::piped());
    let all: Vec<Child> = (0..40).map(|_| reload.spawn().unwrap()).collect();
    for one in all {
        let ran = Ran::from(one.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    }
    assert_eq!(system.left(), [""; 0]);
}

#[test]
fn what_was_written_is_kept_where_another_file_keeps_it_from_being_checked() {
    let system = System::new();
    let script = format!(
        "{TO_128}; touch {0}; chmod 666 {0}",
        system
            .root
            .join("etc/berth/policy.d/20-other.toml")
            .display()
    );
    let ran = system.edit(&script, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("others can write to it"), "{ran:?}");
    let kept = ran.err.trim().rsplit(' ').next().unwrap();
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        POLICY.replace("64", "128")
    );
    assert_eq!(system.text(), POLICY);
}

#[test]
fn at_a_terminal_it_asks_and_edits_again() {
    let system = System::new();
    // First an error, then none, then another number.
    let script = "grep -q 128 \"$1\" && sed -i s/128/256/ \"$1\" || { grep -q task_max \"$1\" && \
                  sed -i 's/task_max = 64/tasks_max = 128/' \"$1\" || sed -i s/tasks_max/task_max/ \"$1\"; }";
    let mut terminal = Terminal::start(&system.command("edit", script));
    terminal.answer("(e)dit again, or e(x)it without saving?", "what\n");
    terminal.answer("(e)dit again, or e(x)it without saving?", "e\n");
    terminal.answer("(y)es, (e)dit again, or e(x)it without saving?", "e\n");
    assert_eq!(system.text(), POLICY, "nothing is saved before yes");
    terminal.answer("(y)es, (e)dit again, or e(x)it without saving?", "y\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(system.text(), POLICY.replace("64", "256"));

    for (keys, code) in [("x\n", Some(1)), ("\x04", Some(1)), ("\x03", None)] {
        let mut terminal = Terminal::start(&system.command("edit", "sed -i s/256/512/ \"$1\""));
        terminal.answer("(y)es, (e)dit again, or e(x)it without saving?", keys);
        let ended = terminal.end();
        assert_eq!(ended.0, code, "{keys:?}: {}", ended.1);
        assert_eq!(system.text(), POLICY.replace("64", "256"));
    }
    let mut unasked = system.command("edit", TO_128);
    let ran = Ran::of(unasked.stdin(Stdio::null()));
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn the_keyboards_interrupt_is_the_editors() {
    let system = System::new();
    let script = format!(
        "trap 'felt=yes; echo felt' INT; echo editing; until [ \"$felt\" ]; do sleep 0.1 || :; done; {TO_128}"
    );
    let mut terminal = Terminal::start(&system.command("edit", &script));
    terminal.answer("editing", "\x03");
    terminal.answer("felt", "");
    terminal.answer("(y)es, (e)dit again, or e(x)it without saving?", "y\n");
    assert_eq!(terminal.end().0, Some(0));
    assert_eq!(system.text(), POLICY.replace("64", "128"));

    // A shell lets through what was held back when it began, and other programs do not.
    let mut command = system.command("edit", "");
    command.env("EDITOR", "grep -h SigBlk /proc/self/status");
    let ran = Ran::of(command.arg("--yes"));
    assert!(ran.out.contains("SigBlk:\t0000000000000000\n"), "{ran:?}");
}

#[test]
fn killed_at_any_moment_there_is_the_old_policy_or_the_new() {
    let system = System::new();
    let new = POLICY.replace("64", "128");
    let (mut old_ones, mut new_ones) = (0, 0);
    let begun = Instant::now();
    assert_eq!(system.edit(TO_128, &[]).code, Some(0));
    let whole = begun.elapsed();
    const ROUNDS: u32 = 60;
    for round in 0..ROUNDS {
        fs::write(system.policy(), POLICY).unwrap();
        let mut edit = system.command("edit", TO_128);
        edit.arg("--yes")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut edit = edit.spawn().unwrap();
        std::thread::sleep(whole * round * 3 / 2 / ROUNDS);
        // The last one is through, however slow the machine is.
        if round + 1 < ROUNDS {
            edit.kill().unwrap();
        }
        edit.wait().unwrap();
        match system.text() {
            text if text == POLICY => old_ones += 1,
            text if text == new => new_ones += 1,
            text => panic!("{text:?}"),
        }
        let checked = system.command("check", "").output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
    assert!(
        old_ones > 0 && new_ones > 0,
        "{old_ones} old, {new_ones} new"
    );
}
