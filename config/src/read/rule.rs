//! Rules and expectations: arrays of tables.

use super::{Node, Reader};
use crate::tables::{Expect, ExpectTable, Rule, Tests};

/// Reads one `[[rule]]`.
pub(super) fn rule(node: &Node<'_>, reader: &mut Reader<'_>) -> Rule {
    let errors_before = reader.findings.len();
    let mut rule = Rule {
        at: reader.at(node.span()),
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
            reader.unknown(key, &Rule::all_keys());
        }
    }
    rule.broken = reader.findings.len() > errors_before;
    rule
}

/// Reads one `[[expect]]`.
pub(super) fn expect(node: &Node<'_>, reader: &mut Reader<'_>) -> Expect {
    let errors_before = reader.findings.len();
    let at = reader.at(node.span());
    let table = ExpectTable::read(node, reader);
    let broken = reader.findings.len() > errors_before;
    Expect { at, table, broken }
}
