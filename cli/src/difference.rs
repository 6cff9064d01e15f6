//! What changes in a file, shown as diff(1) would.

use std::collections::HashMap;
use std::fmt::Display;

/// How many lines around a change are shown.
const AROUND: usize = 2;

/// A line of either text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a>(char, &'a str);

/// Prints it below the file's path.
pub fn print(path: impl Display, old: &str, new: &str) {
    println!("{path}");
    for line in shown(old, new) {
        println!("  {line}");
    }
}

/// The lines that go (`-`) and come (`+`), and some around them. Lines that stand in both are in the same order
/// in both.
fn shown(old: &str, new: &str) -> Vec<String> {
    let lines = merged(
        &old.lines().collect::<Vec<_>>(),
        &new.lines().collect::<Vec<_>>(),
    );
    let changed = |at: usize| {
        let near = at.saturating_sub(AROUND)..lines.len().min(at + AROUND + 1);
        lines
            .get(near)
            .is_some_and(|near| near.iter().any(|line| line.0 != ' '))
    };
    let mut shown = Vec::new();
    let mut gap = false;
    for (at, Line(sign, text)) in lines.iter().enumerate() {
        if changed(at) {
            if gap && !shown.is_empty() {
                shown.push("  ...".to_owned());
            }
            gap = false;
            shown.push(format!("{sign} {text}").trim_end().to_owned());
        } else {
            gap = true;
        }
    }
    shown
}

fn merged<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let (in_old, in_new) = (Places::of(old), Places::of(new));
    let mut lines = Vec::new();
    let (mut left, mut right) = (0, 0);
    loop {
        match (old.get(left), new.get(right)) {
            (None, None) => return lines,
            (Some(first), Some(other)) if first == other => {
                lines.push(Line(' ', first));
                (left, right) = (left + 1, right + 1);
            }
            // Whichever side comes back to the other's line sooner.
            (Some(first), other) => {
                let down = in_new.after(right, first);
                let back = other.and_then(|other| in_old.after(left, other));
                match down.filter(|down| back.is_none_or(|back| *down <= back)) {
                    Some(down) => {
                        let come = new.iter().skip(right).take(down);
                        lines.extend(come.map(|line| Line('+', line)));
                        right += down;
                    }
                    None => {
                        lines.push(Line('-', first));
                        left += 1;
                    }
                }
            }
            (None, Some(other)) => {
                lines.push(Line('+', other));
                right += 1;
            }
        }
    }
}

/// Where each line of a text stands: to look for them one after another took minutes where all of many have changed.
struct Places<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Places<'a> {
    fn of(lines: &[&'a str]) -> Places<'a> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            places.entry(line).or_default().push(at);
        }
        Places(places)
    }

    /// How far behind a place a line stands next.
    fn after(&self, place: usize, line: &str) -> Option<usize> {
        let places = self.0.get(line)?;
        let next = places.get(places.partition_point(|at| *at < place))?;
        Some(next - place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown_and_a_little_around_it() {
        assert_eq!(
            shown("a\nb\nc\nd\ne\nf\n", "x\na\nb\nc\nd\ne\nf\ny\n"),
            ["+ x", "  a", "  b", "  ...", "  e", "  f", "+ y"]
        );
        assert_eq!(
            shown("x\na\nb\n", "a\nb\nx\n"),
            ["- x", "  a", "  b", "+ x"]
        );
        assert_eq!(shown("a\n", "a\n"), Vec::<String>::new());
        // Lines that stand more than once.
        assert_eq!(
            shown("a\n\nb\n", "\nb\n\nc\n"),
            ["- a", "", "  b", "+", "+ c"]
        );
    }

    #[test]
    fn all_of_many_lines_may_change() {
        let text = |indent: &str| {
            (0..50_000)
                .map(|line| format!("{indent}{line}\n"))
                .collect::<String>()
        };
        assert_eq!(shown(&text(""), &text(" ")).len(), 100_000);
    }
}
