//! Windows of time that hold always, or never.

use super::Checker;
use crate::diagnostic::Finding;
use crate::setting::value;
use crate::tables::TimeTable;

/// Where all of an exam's keys stand under another name, its rule would refuse everybody for good.
pub(super) fn always(checker: &mut Checker<'_>) {
    for (name, named) in &checker.contents.times {
        if named.table == TimeTable::default() {
            let finding = Finding::error(
                named.at,
                format!("no key in [time.{name}]"),
                "it would always hold",
            );
            checker.findings.push(finding);
        }
    }
}

/// Those that are over before they begin.
pub(super) fn never(checker: &mut Checker<'_>) {
    for named in checker.contents.times.values() {
        let Some(setting) = &named.table.until else {
            continue;
        };
        let (from, until) = (value(&named.table.from), setting.value.as_ref());
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            let label = "`from` is not before it";
            let finding = Finding::warning(setting.at, "this can never match", label);
            checker.findings.push(finding);
        }
    }
}
