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

#[test]
fn an_exam_on_another_day_of_the_week_or_at_another_hour() {
    let told = |rest: &str| {
        let exam = "[time.exam]\nfrom = 2026-12-14T08:45:30\nuntil = 2026-12-14T12:15:00";
        let rule = "[[rule]]\ntime = \"exam\"\naction = \"deny\"\n";
        warnings(&format!("{exam}\n{rest}\n{rule}"), &site(&[]))
    };
    // It is a Monday.
    for never in [
        "days = \"tue\"",
        "hours = \"18:00-20:00\"",
        "days = \"mon\"\nhours = \"22:00-07:00\"",
        "hours = \"08:00-08:45\"",
    ] {
        assert_eq!(
            told(never),
            ["4:1 this can never match | `days` or `hours` leave nothing of that day"],
            "{never}"
        );
    }
    for sometimes in [
        "",
        "days = [\"mon\", \"tue\"]",
        "hours = \"12:14-20:00\"",
        "hours = \"08:00-08:46\"",
        "days = \"sun\"\nhours = \"22:00-09:00\"",
    ] {
        assert_eq!(told(sometimes), [""; 0], "{sometimes}");
    }
}
