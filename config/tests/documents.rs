//! Every key that the code knows is in docs/policy.md, under its table.

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

#[test]
fn every_key_is_documented_under_its_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut missing = Vec::new();
    for (table, keys) in known_keys() {
        let heading = heading(table);
        let (_, section) = document
            .split_once(&format!("\n{heading}"))
            .unwrap_or_else(|| panic!("no heading {heading}"));
        let level = heading.split(' ').next().unwrap();
        let end = section
            .match_indices("\n#")
            .find(|(at, _)| section[*at + 1..].split(' ').next().unwrap().len() <= level.len())
            .map_or(section.len(), |(at, _)| at);
        let section = &section[..end];
        for key in keys {
            if !section.contains(&format!("`{key}`")) {
                missing.push(format!("{table}: {key}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}
