//! Names and arguments that nobody honest has: newlines, escapes, 64 kB.

use std::process::Command;

use berth_tests::{Machine, Output};

/// Opens and closes a session as a PAM application of its own would, with items that it chooses.
fn pamtester(user: &str, items: &[&str]) -> Output {
    let mut command = Command::new("pamtester");
    for item in items {
        command.args(["-I", item]);
    }
    command.args(["login", user, "acct_mgmt", "open_session", "close_session"]);
    command.output().unwrap().into()
}

/// Whether a character can make a line look like another: controls, and what turns or hides text.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Every line of the log is one line, has no control characters, and is not long.
#[track_caller]
fn the_log_is_clean(machine: &Machine) {
    let mut lines = machine.log_lines();
    lines.retain(|line| line.contains("berth"));
    assert!(!lines.is_empty());
    for line in lines {
        let (_, text) = line.split_once('>').unwrap();
        let text = text.trim_end_matches(['\n', '\0']);
        assert!(!text.chars().any(deceives), "{text:?}");
        assert!(
            text.len() < 4200,
            "{} bytes: {:?}",
            text.len(),
            text.get(..200)
        );
        assert!(!text.contains("result=ok user=root"), "{text}");
    }
}

#[test]
fn user_names_that_are_none_are_refused() {
    Machine::run(|machine| {
        let long = "a".repeat(65_536);
        for name in [
            "mallory\nberth[1]: open session=1 user=root result=ok",
            "\u{1b}[2Jmallory",
            "../../etc",
            "a b\"c\\d",
            "alice\n",
            "%s%n%s",
            &long,
        ] {
            let output = pamtester(name, &[]);
            assert!(!output.success(), "{:?}", name.get(..40));
            assert!(output.status.code().is_some(), "crashed: {output:?}");
        }
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        the_log_is_clean(machine);
    });
}

#[test]
fn terminals_and_hosts_with_odd_names_do_no_harm() {
    Machine::run(|machine| {
        let before = machine.snapshot();
        let long = format!("rhost={}", "h".repeat(65_536));
        for (item, opens) in [
            (
                "rhost=evil\nberth[1]: open session=1 user=root result=ok",
                true,
            ),
            ("tty=\u{1b}]0;title\u{7}", true),
            ("ruser=a\"b\\c d=e", true),
            ("rhost=\u{202e}gnp.exe", true),
            (&long, false),
        ] {
            let output = pamtester("alice", &[item]);
            assert!(output.status.code().is_some(), "crashed: {output:?}");
            assert_eq!(output.success(), opens, "{:?}: {output:?}", item.get(..40));
        }
        the_log_is_clean(machine);
        machine.assert_nothing_left(&before);
    });
}

/// Debian 12's libpam takes no line of 1000 bytes; longer ones are for the module's own tests.
#[test]
fn arguments_that_are_none_are_named_in_the_log_and_root_gets_in() {
    Machine::run(|machine| {
        let (long, many) = ("x".repeat(900), "x ".repeat(60));
        for (argument, said) in [
            ("timeout=abc", "timeout=\"abc\" is no number of seconds"),
            ("no-such-argument", "unknown argument \"no-such-argument\""),
            (
                "on_error=perhaps",
                "on_error=\"perhaps\" is neither allow nor deny",
            ),
            (
                "helper=relative",
                "helper=\"relative\" is not an absolute path",
            ),
            // PAM takes a line that ends so on with the next, and what is in brackets as one argument.
            (
                "one\\\nberth[1]:\\\nopen",
                "unknown argument \"one\"; unknown argument \"berth[1]:\"",
            ),
            (
                "[a \"b\"\\c d=e]",
                "unknown argument \"a \\\"b\\\"\\\\c d=e\"",
            ),
            (
                "evil\u{1b}[2J\u{202e}",
                "unknown argument \"evil\\x1b[2J\\xe2\\x80\\xae\"",
            ),
            (&long, "unknown argument \"xxxxxxx"),
            // What comes of it is at the line's end, and still there.
            (&many, "unknown argument \"x\"; unknown argument \"x\""),
        ] {
            for answer in ["deny", "allow"] {
                machine.forget_log();
                machine.stack(&berth_tests::Stack {
                    arguments: format!("{argument} on_error={answer}"),
                    ..Default::default()
                });
                let su = machine.su("alice", "echo in");
                assert_eq!(su.success(), answer == "allow", "{argument}: {su:?}");
                assert_eq!(machine.su("root", "echo in").ok(), "in", "{argument}");
                let line = machine.logged(&format!("on_error = {answer}"));
                assert!(line.contains(said), "{argument}: {line}");
            }
        }
        the_log_is_clean(machine);
    });
}
