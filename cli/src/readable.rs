//! Figures as people read them: sizes, lengths of time, shares of a cap.

use berth_protocol::is_invisible;

/// How wide a bar is.
const BAR: usize = 16;

/// A dash for what is not known, or for none.
pub fn or_dash(known: Option<impl ToString>) -> String {
    known.map_or_else(|| "-".into(), |known| known.to_string())
}

/// A number of bytes in four or five places: `80M`, `1.2G`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(char, u32, usize); 4] = [('T', 40, 1), ('G', 30, 1), ('M', 20, 0), ('K', 10, 0)];
    for (unit, shift, places) in UNITS {
        if bytes >> shift > 0 {
            let value = bytes as f64 / (1_u64 << shift) as f64;
            return format!("{value:.places$}{unit}");
        }
    }
    format!("{bytes}B")
}

/// How long ago, in a column: `12s`, `4m`, `2h14m`, `3d`.
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d"),
    }
}

/// A length of time in a sentence: `12s`, `4min`, `2h 14min`, `3d 4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}min"),
        (0, _, _) => format!("{hours}h {}min", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A length of CPU time: as [`span`], and short ones in tenths.
pub fn cpu_time(microseconds: u64) -> String {
    match microseconds / 1_000_000 {
        0..10 => format!("{:.1}s", microseconds as f64 / 1e6),
        seconds => span(seconds),
    }
}

/// A percentage without decimals.
pub fn percent(value: f64) -> String {
    format!("{value:.0}%")
}

/// How much of a whole is used. What is used at all shows, and only what is used up is full.
pub fn bar(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole } else { 1.0 };
    let full = (share.clamp(0.0, 1.0) * BAR as f64) as usize;
    let full = if part > 0.0 { full.max(1) } else { full };
    format!("{:.<BAR$}", "|".repeat(full.min(BAR)))
}

/// How much of a whole is used, to the nearest of so many places.
pub fn gauge(part: f64, whole: f64, width: usize) -> String {
    let share = if whole > 0.0 { part / whole } else { 1.0 };
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{:.<width$}", "|".repeat(full.min(width)))
}

/// Names, a few of them in full.
pub fn named(names: &[&str]) -> String {
    match names {
        [a, b, c, _, rest @ ..] if !rest.is_empty() => {
            format!("{a}, {b}, {c} and {} more", names.len() - 3)
        }
        names => names.join(", "),
    }
}

/// What a user can choose (a terminal's name, a remote host), without control characters that would
/// act on the terminal of who reads it, and without those that change how others show (a bidirectional override).
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_invisible(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_in_a_table() {
        let sizes = [
            (0, "0B"),
            (80 << 20, "80M"),
            (1_288_490_188, "1.2G"),
            (3 << 30, "3.0G"),
            (5000, "5K"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        let times = [
            (12, "12s", "12s"),
            (245, "4m", "4min"),
            (8045, "2h14m", "2h 14min"),
            (270_000, "3d", "3d 3h"),
        ];
        for (seconds, short, long) in times {
            assert_eq!(
                (age(seconds).as_str(), span(seconds).as_str()),
                (short, long)
            );
        }
        assert_eq!(cpu_time(412_000), "0.4s");
        assert_eq!(cpu_time(38_000_000), "38s");
    }

    #[test]
    fn a_bar_shows_the_share() {
        assert_eq!(bar(181.0, 800.0), "|||.............");
        assert_eq!(bar(0.0, 800.0), "................");
        assert_eq!(bar(0.1, 800.0), "|...............");
        assert_eq!(bar(900.0, 800.0), "||||||||||||||||");
    }

    #[test]
    fn a_gauge_is_as_near_as_it_can_be() {
        assert_eq!(gauge(399.0, 400.0, 8), "||||||||");
        assert_eq!(gauge(181.0, 800.0, 8), "||......");
        assert_eq!(gauge(1.0, 400.0, 8), "........");
        assert_eq!(gauge(1.0, 0.0, 8), "||||||||");
    }

    #[test]
    fn no_escape_sequence_comes_through() {
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(harmless("\u{202e}gnp.exe"), "\u{fffd}gnp.exe");
        assert_eq!(harmless("zoë"), "zoë");
    }

    #[test]
    fn many_names_are_a_few_and_a_number() {
        assert_eq!(named(&["a", "b", "c", "d"]), "a, b, c, d");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
