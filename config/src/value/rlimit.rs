//! Limits of setrlimit(2), by the names of limits.conf(5) and in units of their own: bytes, seconds, or larger ones.

use serde::{Deserialize, Serialize};

use super::amount::{Size, not_negative};
use super::wrong::or_infinity;
use super::{Span, Wrong};
use crate::outcome::{Limit, Resource};

/// A soft and a hard limit, in setrlimit's own units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RlimitValue {
    /// What the process starts with.
    pub soft: Limit,
    /// What it may raise it to.
    pub hard: Limit,
}

enum Unit {
    Bytes,
    Seconds,
    Number,
    /// -20 to 19, which setrlimit counts as 40 to 1.
    Niceness,
}

impl Resource {
    /// All resources and their names.
    pub const ALL: [(&'static str, Resource); 15] = [
        ("as", Resource::As),
        ("core", Resource::Core),
        ("cpu", Resource::Cpu),
        ("data", Resource::Data),
        ("fsize", Resource::Fsize),
        ("locks", Resource::Locks),
        ("memlock", Resource::Memlock),
        ("msgqueue", Resource::Msgqueue),
        ("nice", Resource::Nice),
        ("nofile", Resource::Nofile),
        ("nproc", Resource::Nproc),
        ("rss", Resource::Rss),
        ("rtprio", Resource::Rtprio),
        ("sigpending", Resource::Sigpending),
        ("stack", Resource::Stack),
    ];

    /// Its name in limits.conf(5).
    pub fn name(self) -> &'static str {
        Resource::ALL
            .iter()
            .find(|(_, resource)| *resource == self)
            .map_or("", |(name, _)| name)
    }

    fn unit(self) -> Unit {
        match self {
            Resource::As
            | Resource::Core
            | Resource::Data
            | Resource::Fsize
            | Resource::Memlock
            | Resource::Msgqueue
            | Resource::Rss
            | Resource::Stack => Unit::Bytes,
            Resource::Cpu => Unit::Seconds,
            Resource::Nice => Unit::Niceness,
            Resource::Locks
            | Resource::Nofile
            | Resource::Nproc
            | Resource::Rtprio
            | Resource::Sigpending => Unit::Number,
        }
    }
}

impl RlimitValue {
    /// Reads `64M`, `1024:65536` or `infinity`.
    pub fn parse(resource: Resource, text: &str) -> Result<RlimitValue, Wrong> {
        let value = match text.split_once(':') {
            None => {
                let limit = one(resource, text)?;
                RlimitValue {
                    soft: limit,
                    hard: limit,
                }
            }
            Some((soft, hard)) => RlimitValue {
                soft: one(resource, soft)?,
                hard: one(resource, hard)?,
            },
        };
        if value.soft > value.hard {
            return Err(Wrong::new(
                format!("`{text}`: the soft limit is above the hard one"),
                "write \"soft:hard\"",
            ));
        }
        // setrlimit(2) refuses it whoever asks, and so would every login be.
        if resource == Resource::Nofile && value.hard == Limit::Infinity {
            return Err(Wrong::new(
                format!("`{text}`: the kernel gives nobody files without end"),
                "write a number; the most is in fs.nr_open",
            ));
        }
        Ok(value)
    }

    /// Both limits from one number.
    pub fn of(resource: Resource, number: i64) -> Result<RlimitValue, Wrong> {
        RlimitValue::parse(resource, &number.to_string())
    }
}

fn one(resource: Resource, text: &str) -> Result<Limit, Wrong> {
    let number = text.parse::<i64>().ok();
    match (resource.unit(), number) {
        (Unit::Niceness, Some(nice @ -20..=19)) => {
            Ok(Limit::Finite(u64::try_from(20 - nice).unwrap_or_default()))
        }
        (Unit::Niceness, Some(_)) => Err(Wrong::new(
            format!("`{text}` is no niceness"),
            "write -20 to 19",
        )),
        (_, Some(number)) => not_negative(number).map(Limit::Finite),
        (unit, None) => or_infinity(text, Limit::Infinity, |text| match unit {
            Unit::Bytes => Size::parse(text).map(|size| Limit::Finite(size.0)),
            Unit::Seconds => Span::parse(text).map(|span| Limit::Finite(span.0)),
            Unit::Number | Unit::Niceness => Err(Wrong::new(
                format!("`{text}` is no number"),
                "write a number",
            )),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_setrlimits_units() {
        let read = |resource, text| RlimitValue::parse(resource, text).map(|v| (v.soft, v.hard));
        let finite = Limit::Finite;
        assert_eq!(
            read(Resource::Nofile, "1024:65536"),
            Ok((finite(1024), finite(65536)))
        );
        assert_eq!(
            read(Resource::Core, "0:infinity"),
            Ok((finite(0), Limit::Infinity))
        );
        assert_eq!(
            read(Resource::Memlock, "64M"),
            Ok((finite(64 << 20), finite(64 << 20)))
        );
        assert_eq!(read(Resource::Cpu, "1h"), Ok((finite(3600), finite(3600))));
        assert_eq!(read(Resource::Nice, "-5"), Ok((finite(25), finite(25))));
    }

    #[test]
    fn each_limit_prints_the_name_that_it_is_written_with() {
        for (name, resource) in Resource::ALL {
            assert_eq!(resource.name(), name);
        }
        assert_eq!(Resource::Nofile.name(), "nofile");
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (resource, text) in [
            (Resource::Nofile, "unlimited"),
            (Resource::Nofile, "-1"),
            (Resource::Nofile, "64K"),
            (Resource::Nofile, "infinity:1"),
            (Resource::Nofile, "infinity"),
            (Resource::Nofile, "1024:infinity"),
            (Resource::Nofile, "2:1"),
            (Resource::Nofile, "1:2:3"),
            (Resource::Nice, "20"),
            (Resource::Cpu, "64M"),
            (Resource::Stack, ""),
        ] {
            assert!(
                RlimitValue::parse(resource, text).is_err(),
                "{resource:?} {text}"
            );
        }
    }
}
