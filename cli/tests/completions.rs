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

#[test]
fn bash_completes_verbs_and_options() {
    assert_eq!(completed("berth ex"), "explain");
    assert_eq!(completed("berth kill --si"), "--signal");
    let verbs = completed("berth pam ''");
    for verb in ["status", "enable", "disable"] {
        assert!(verbs.split(' ').any(|word| word == verb), "{verbs}");
    }
}
