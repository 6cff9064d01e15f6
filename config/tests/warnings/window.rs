//! Windows of time that never come.

use super::{site, warnings};

#[test]
fn a_window_that_is_over_before_it_begins() {
    let body = |until: &str| {
        let rule = "[[rule]]\ntime = \"exam\"\naction = \"deny\"\n";
        format!("[time.exam]\nfrom = 2026-12-14T08:45:00\nuntil = {until}\n{rule}")
    };
    for never in ["2026-12-14T08:45:00", "2025-12-14T12:15:00"] {
        assert_eq!(
            warnings(&body(never), &site(&[])),
            ["4:1 this can never match | `from` is not before it"]
        );
    }
    assert_eq!(warnings(&body("2026-12-14T08:46:00"), &site(&[])), [""; 0]);
}
