//! Windows of time that hold always, or never.

use super::Checker;
use crate::facts::LocalTime;
use crate::setting::{set, value};
use crate::tables::TimeTable;
use crate::value::Window;

/// Where all of an exam's keys stand under another name, its rule would refuse everybody for good.
pub(super) fn always(checker: &mut Checker<'_>) {
    for (name, named) in &checker.contents.times {
        if named.table == TimeTable::default() {
            checker.error(
                named.at,
                format!("no key in [time.{name}]"),
                "it would always hold",
            );
        }
    }
}

/// Of an exam: whether it begins and ends on one day, and at no minute of it the window holds.
fn nothing_left_of_the_day(window: &Window, from: &LocalTime, until: &LocalTime) -> bool {
    let day = |time: &LocalTime| (time.year, time.month, time.day);
    let mut minutes = (0..24).flat_map(|hour| (0..60).map(move |minute| (hour, minute)));
    let holds = |(hour, minute)| {
        window.holds(&LocalTime {
            hour,
            minute,
            second: 0,
            ..*from
        })
    };
    day(from) == day(until) && !window.holds(from) && !minutes.any(holds)
}

/// Those that are over before they begin, or leave nothing of their day.
pub(super) fn never(checker: &mut Checker<'_>) {
    for named in checker.contents.times.values() {
        let (from, until) = (value(&named.table.from), set(&named.table.until));
        let Some((from, (setting, until))) = from.zip(until) else {
            continue;
        };
        let label = if until <= from {
            "`from` is not before it"
        } else if nothing_left_of_the_day(&named.table.window(), from, until) {
            "`days` or `hours` leave nothing of that day"
        } else {
            continue;
        };
        checker.warn(setting.at, "this can never match", label);
    }
}
