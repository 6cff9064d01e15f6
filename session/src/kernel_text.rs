//! What the kernel tells, with names in it that users choose: of mount points, of programs.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads it whatever is in it. Bytes that are no text stand there as the kernel writes a space in a mount point, `\040`:
/// nobody whose name is none may keep anybody from being logged in.
pub fn kernel_text(path: impl AsRef<Path>) -> io::Result<String> {
    kernel_bytes(path).map(|bytes| escaped(&bytes))
}

/// Reads it. Such a file says that it has no length, and so would be read in five pieces: a login reads many.
pub fn kernel_bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_escaped_and_the_rest_is_as_it_was() {
        assert_eq!(escaped(b"1 (\xff\xc3) S\n"), "1 (\\377\\303) S\n");
        assert_eq!(escaped("ein Ü\n".as_bytes()), "ein Ü\n");
    }
}
