//! What a test does inside a session that no ordinary program does.
fn main() {}
