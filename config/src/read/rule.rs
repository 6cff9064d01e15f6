//! Rules and expectations: arrays of tables.

use super::{Node, Reader};
use crate::tables::{Expect, ExpectTable, Rule, RuleKeys, Tests};

/// Reads one `[[rule]]`.
pub(super) fn rule(node: &Node<'_>, reader: &mut Reader<'_>) -> Rule {
    let errors_before = reader.findings.len();
    let mut rule = Rule {
        at: reader.head(node),
        ..Rule::default()
    };
    let Some(keys) = reader.table(node, "a table") else {
        return rule;
    };
    for (key, node) in keys {
        if key.get_ref() == "except" {
            rule.except = Some(Tests::read(node, reader));
        } else if !rule.tests.read_key(key, node, reader) && !rule.keys.read_key(key, node, reader)
        {
            let known: Vec<&str> = RuleKeys::KEYS
                .iter()
                .chain(Tests::KEYS)
                .chain(&["except"])
                .copied()
                .collect();
            reader.unknown(key, &known);
        }
    }
    rule.broken = reader.findings.len() > errors_before;
    rule
}

/// Reads one `[[expect]]`.
pub(super) fn expect(node: &Node<'_>, reader: &mut Reader<'_>) -> Expect {
    let errors_before = reader.findings.len();
    let at = reader.head(node);
    let table = ExpectTable::read(node, reader);
    let broken = reader.findings.len() > errors_before;
    Expect { at, table, broken }
}
