//! What changes in a file, shown as diff(1) would.

/// How many lines around a change are shown.
const AROUND: usize = 2;

/// A line of either text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a>(char, &'a str);

/// The lines that go (`-`) and come (`+`), and some around them. Lines that stand in both are in the same order
/// in both.
pub fn shown(old: &str, new: &str) -> Vec<String> {
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
    let mut lines = Vec::new();
    let (mut old, mut new) = (old, new);
    loop {
        (old, new) = match (old, new) {
            ([], []) => return lines,
            ([first, old @ ..], [other, new @ ..]) if first == other => {
                lines.push(Line(' ', first));
                (old, new)
            }
            // Whichever side comes back to the other's line sooner.
            ([first, rest @ ..], _) => {
                match (find(new, first), find(old, new.first().unwrap_or(&""))) {
                    (Some(down), back) if back.is_none_or(|back| down <= back) => {
                        let (come, new) = new.split_at(down);
                        lines.extend(come.iter().map(|line| Line('+', line)));
                        (old, new)
                    }
                    _ => {
                        lines.push(Line('-', first));
                        (rest, new)
                    }
                }
            }
            ([], [other, new @ ..]) => {
                lines.push(Line('+', other));
                (old, new)
            }
        };
    }
}

fn find(lines: &[&str], line: &str) -> Option<usize> {
    lines.iter().position(|other| *other == line)
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
    }
}
