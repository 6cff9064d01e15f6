//! A TIME, as an option has it: a moment, or how long.

use std::time::{Duration, SystemTime};

use berth_config::LocalTime;
use berth_config::value::Span;

/// Reads a length of time.
pub fn span(text: &str) -> Result<Duration, String> {
    let span = Span::parse(text).map_err(|wrong| wrong.label)?;
    Ok(span.duration())
}

/// Reads a moment: a date, a date and time, RFC 3339, or a length of time before now.
pub fn moment(text: &str) -> Result<SystemTime, String> {
    let ago = |span| SystemTime::now().checked_sub(span);
    let local = || LocalTime::parse(text)?.moment();
    LocalTime::from_rfc3339(text)
        .or_else(local)
        .or_else(|| ago(span(text).ok()?))
        .ok_or_else(|| {
            "write a date, as in 2026-11-24, a date and time, or a length of time, as in 7d".into()
        })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_time_is_a_date_a_moment_or_a_while_ago() {
        let noon = LocalTime::parse("2026-11-24T12:00").unwrap().moment();
        assert_eq!(moment("2026-11-24 12:00").ok(), noon);
        let day = moment("2026-11-24").unwrap();
        assert_eq!(noon.unwrap().duration_since(day).unwrap().as_secs(), 43_200);
        let utc = UNIX_EPOCH + Duration::from_secs(1_795_511_527);
        assert_eq!(moment("2026-11-24T10:12:07+01:00"), Ok(utc));
        let then = moment("7d").unwrap();
        let ago = SystemTime::now().duration_since(then);
        assert!((604_800..604_900).contains(&ago.unwrap().as_secs()));
        for text in ["", "7", "yesterday", "2026-13-01", "-7d"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
