//! The dashboard, as far as it can be tried without Grafana: the JSON model that its documentation describes, and each
//! question by promtool. (Which metrics there are is in tests/metrics.rs.)

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use berth_tests::Folder;
use serde_json::Value;

/// Columns of a dashboard (Grafana's "JSON model": gridPos).
const COLUMNS: u64 = 24;

fn dashboard() -> Value {
    let path = berth_tests::tree().join("packaging/grafana/berth.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'v>(of: &'v Value, key: &str) -> &'v [Value] {
    of[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key} of {of}"))
}

#[track_caller]
fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    let text = of[key].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{key} of {of}");
    text
}

/// The names after `$` in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let after = text.split('$').skip(1);
    let names = after.map(|rest| {
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    names.collect()
}

#[test]
fn the_dashboard_is_one_by_grafanas_model() {
    let board = dashboard();
    for key in ["title", "uid", "refresh"] {
        text(&board, key);
    }
    // What Grafana 10 writes; later ones bring it up to date themselves.
    assert_eq!(board["schemaVersion"], 38);
    // It gets its number where it is imported.
    assert!(board["id"].is_null());
    text(&board["time"], "from");
    text(&board["time"], "to");

    let mut known = BTreeSet::from(["__rate_interval", "__all"]);
    for variable in list(&board["templating"], "list") {
        assert!(["datasource", "query"].contains(&text(variable, "type")));
        known.insert(text(variable, "name"));
    }
    let used = board.to_string();
    for variable in variables(&used) {
        assert!(known.contains(variable), "${variable} is not defined");
    }

    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in list(&board, "panels") {
        let title = text(panel, "title");
        assert!(
            ["stat", "timeseries"].contains(&text(panel, "type")),
            "{title}"
        );
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        let [x, y, w, h] = place;
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title}: {place:?}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies over another panel");
        }
        text(&panel["fieldConfig"]["defaults"], "unit");
        let mut letters = BTreeSet::new();
        for target in list(panel, "targets") {
            assert!(letters.insert(text(target, "refId")), "{title}");
            for of in [panel, target] {
                assert_eq!(text(&of["datasource"], "type"), "prometheus", "{title}");
                assert_eq!(text(&of["datasource"], "uid"), "${datasource}", "{title}");
            }
            // One machine or several, as is chosen above.
            assert!(
                text(target, "expr").contains("{instance=~\"$instance\"}"),
                "{title}"
            );
        }
        assert!(!letters.is_empty(), "{title} asks for nothing");
    }
    assert!(ids.len() > 9);
}

#[test]
#[cfg_attr(
    no_prometheus,
    ignore = "no prometheus on this machine (apt-get install prometheus)"
)]
fn promtool_finds_no_fault_with_what_the_dashboard_asks() {
    let board = dashboard();
    let targets = list(&board, "panels")
        .iter()
        .flat_map(|panel| list(panel, "targets"));
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, target) in targets.enumerate() {
        let asked = text(target, "expr")
            .replace("$__rate_interval", "5m")
            .replace("$instance", ".*");
        // A string of JSON is one of YAML.
        let asked = Value::from(asked);
        rules += &format!("  - record: panel:{number}\n    expr: {asked}\n");
    }
    let folder = Folder::new();
    let path = folder.write("rules.yml", &rules);
    let output = Command::new("promtool")
        .args(["check", "rules"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}\n{rules}");
}
