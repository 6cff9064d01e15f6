//! Text for the log and for the user: escaped, so that nobody forges a line, and bounded.

use berth_protocol::is_invisible;

/// The longest line that goes to the log.
pub const LONGEST_LINE: usize = 1000;

/// The longest message for the user (libpam's own PAM_MAX_MSG_SIZE is 512, with the NUL).
pub const LONGEST_MESSAGE: usize = 511;

/// Whether newlines survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// One line: a newline is escaped like any control character.
    One,
    /// Newlines and tabs stay, and marks on the character before them, as in an admin's message to a user.
    Many,
}

/// Control characters, and characters that change how others are shown, as `\xNN`; at most `longest` bytes.
pub fn escaped(text: &str, lines: Lines, longest: usize) -> String {
    let mut out = String::new();
    for char in text.chars() {
        let before = out.len();
        match char {
            '\n' | '\t' if lines == Lines::Many => out.push(char),
            char if lines == Lines::Many && is_shown_behind_another(char) => out.push(char),
            char => push_shown(&mut out, char),
        }
        if out.len() > longest.saturating_sub(3) {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

/// What an untrusted party wrote, in quotes, with nothing in it that could be taken for what is around it.
pub fn quoted(bytes: &[u8]) -> String {
    /// Enough to recognise anything by.
    const LONGEST: usize = 100;
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                char => push_shown(&mut out, char),
            }
            if out.len() > LONGEST {
                break;
            }
        }
        // A part of a character at most.
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
        if out.len() > LONGEST {
            out.push_str("...");
            break;
        }
    }
    out.push('"');
    out
}

/// Whether a character shows where it is not the first: an accent, a vowel of Thai, what makes ⚠ an emoji.
fn is_shown_behind_another(char: char) -> bool {
    let both = ['a', char];
    String::from_iter(both).escape_debug().eq(both)
}

fn push_shown(out: &mut String, char: char) {
    if !is_invisible(char) {
        return out.push(char);
    }
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        push_byte(out, byte);
    }
}

fn push_byte(out: &mut String, byte: u8) {
    out.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_can_forge_a_log_line() {
        assert_eq!(
            quoted(b"m\nallory\"\\\x1b[2J\xff"),
            r#""m\x0aallory\"\\\x1b[2J\xff""#
        );
        assert_eq!(quoted("jörg\u{202e}".as_bytes()), r#""jörg\xe2\x80\xae""#);
        assert_eq!(escaped("a\nb\u{9b}", Lines::One, 100), r"a\x0ab\xc2\x9b");
        assert_eq!(quoted("a\u{61c}".as_bytes()), r#""a\xd8\x9c""#);
        assert_eq!(escaped("a\nb\r", Lines::Many, 100), "a\nb\\x0d");
    }

    #[test]
    fn what_an_admin_writes_is_shown_in_every_script() {
        let message = "⚠\u{fe0f} \"e\u{301}\" \u{e01}\u{e31} \u{915}\u{93f}\u{94d}";
        assert_eq!(escaped(message, Lines::Many, LONGEST_MESSAGE), message);
        for hidden in [
            "\u{61c}",
            "\u{202e}",
            "\u{ad}",
            "\u{200c}",
            "\u{e0041}",
            "\x1b",
        ] {
            let shown = escaped(&format!("a{hidden}"), Lines::Many, LONGEST_MESSAGE);
            assert!(shown.starts_with("a\\x"), "{shown:?}");
        }
        assert_eq!(quoted("e\u{301}".as_bytes()), r#""e\xcc\x81""#);
    }

    #[test]
    fn text_is_bounded_at_a_character() {
        assert!(quoted(&[b'a'; 5000]).len() < 120);
        assert!(quoted("é\n".repeat(5000).as_bytes()).len() < 120);
        assert!(quoted(&[0xff; 5000]).len() < 120, "what is no character");
        for length in 1..40 {
            let cut = escaped(&"é\n".repeat(50), Lines::One, length);
            assert!(cut.len() <= length.max(3), "{length}: {cut}");
        }
        assert_eq!(escaped("short", Lines::One, 100), "short");
    }
}
