//! What a shell completes, in a shell.

use std::process::Command;

/// The words that bash has for the last of these.
fn completed(words: &str) -> String {
    let berth = env!("CARGO_BIN_EXE_berth");
    let script = format!(
        "source <({berth} completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _berth berth \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).output();
    let output = output.expect("bash");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// None of these shells need be there to read what is theirs.
#[test]
fn every_shell_gets_a_script_in_its_language_that_knows_the_verbs() {
    for (shell, own) in [
        ("bash", "complete -F _berth"),
        ("zsh", "#compdef berth"),
        ("fish", "complete -c berth"),
        ("elvish", "set edit:completion:arg-completer[berth]"),
        (
            "powershell",
            "Register-ArgumentCompleter -Native -CommandName 'berth'",
        ),
    ] {
        let berth = env!("CARGO_BIN_EXE_berth");
        let output = Command::new(berth).args(["completions", shell]).output();
        let output = output.expect("berth");
        let script = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && script.contains(own),
            "{output:?}"
        );
        for verb in ["explain", "freeze", "completions"] {
            assert!(script.contains(verb), "{shell}: {script}");
        }
    }
}

#[test]
fn bash_completes_verbs_and_options() {
    assert_eq!(completed("berth ex"), "explain");
    assert_eq!(completed("berth kill --si"), "--signal");
    let verbs = completed("berth pam ''");
    for verb in ["status", "enable", "disable"] {
        assert!(verbs.split(' ').any(|word| word == verb), "{verbs}");
    }
}

#[test]
fn a_script_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut berth = Command::new(env!("CARGO_BIN_EXE_berth"));
    let output = berth.args(["completions", "bash"]).stdout(full).output();
    let output = output.expect("berth");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("cannot print all of it: "),
        "{output:?}"
    );
}
