//! Columns of text.

/// The lines of a table, its columns as wide as they need to be, those that hold numbers to the right.
pub fn lines(table: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = table.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match right.contains(&column) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let table = [["USER", "N", ""], ["zo\u{eb}", "12", "|"]]
            .map(|line| line.map(String::from).to_vec());
        assert_eq!(lines(&table, &[1]), ["USER   N", "zo\u{eb}   12  |"]);
    }
}
