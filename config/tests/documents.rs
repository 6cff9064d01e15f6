//! Every key that the code knows is in docs/policy.md, under its table, and no other.

use std::path::Path;

use berth_config::known_keys;

/// The heading that a table is documented under.
fn heading(table: &str) -> String {
    match table {
        "top" => "## Top level".into(),
        "caps" => "## Caps".into(),
        "rule" | "expect" => format!("## `[[{table}]]`"),
        _ => match table.strip_prefix("profile.P.") {
            Some(part) => format!("### `{part}`"),
            None => format!("## `[{table}]`"),
        },
    }
}

/// What stands in docs/policy.md below a table's heading, with the parts of its own.
fn section(table: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let document = std::fs::read_to_string(path).unwrap();
    let heading = heading(table);
    let (_, section) = document
        .split_once(&format!("\n{heading}"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let level = heading.split(' ').next().unwrap();
    let end = section
        .match_indices("\n#")
        .find(|(at, _)| section[*at + 1..].split(' ').next().unwrap().len() <= level.len())
        .map_or(section.len(), |(at, _)| at);
    section[..end].into()
}

#[test]
fn every_key_is_documented_under_its_table() {
    let mut missing = Vec::new();
    for (table, keys) in known_keys() {
        let section = section(table);
        for key in keys {
            if !section.contains(&format!("`{key}`")) {
                missing.push(format!("{table}: {key}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn no_key_is_documented_that_there_is_not() {
    let mut unknown = Vec::new();
    let mut seen = 0;
    for (table, keys) in known_keys() {
        let section = section(table);
        let own = section.split("\n#").next().unwrap();
        let cells = own.lines().filter_map(|row| row.strip_prefix("| `"));
        for cell in cells.filter_map(|row| row.split(" |").next()) {
            for key in cell.split(',').map(|key| key.trim_matches([' ', '`'])) {
                seen += 1;
                if !keys.contains(&key) {
                    unknown.push(format!("{table}: {key}"));
                }
            }
        }
    }
    assert_eq!(unknown, [""; 0]);
    assert!(seen > 50, "{seen} keys found");
}
