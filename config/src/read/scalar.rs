//! How each type of value is written in TOML.

use toml::value::Datetime;

use super::{Scalar, nearest};
use crate::facts::{LocalTime, Weekday};
use crate::outcome::{
    CgroupPlace, CpuWeight, FrozenLogin, Limit, MissingController, OnError, Propagation, Scope,
    UserManager, UserNamespace,
};
use crate::tables::{Action, UidBase};
use crate::value::*;

/// Types that are written as a string only.
macro_rules! texts {
    ($($type:ty: $expected:literal,)*) => {
        $(
            impl Scalar for $type {
                const EXPECTED: &'static str = $expected;
                fn text(text: &str) -> Option<Result<Self, Wrong>> {
                    Some(<$type>::parse(text))
                }
            }
        )*
    };
}

texts! {
    Name: "a name",
    RuleName: "a name",
    AccountName: "the name of an account or a group",
    Line: "a line of text",
    Text: "a text",
    TmpName: "a name in /tmp",
    Path: "a path",
    PathGlob: "a path or a pattern of paths",
    Glob: "a name or a pattern",
    Remote: "an address, a network or a pattern of names",
    Hours: "hours such as \"22:00-07:00\"",
    Percent: "a percentage such as \"25%\"",
}

/// Types that are written as a string or as an integer.
macro_rules! texts_and_numbers {
    ($($type:ty: $expected:literal, $number:expr;)*) => {
        $(
            impl Scalar for $type {
                const EXPECTED: &'static str = $expected;
                fn text(text: &str) -> Option<Result<Self, Wrong>> {
                    Some(<$type>::parse(text))
                }
                fn number(number: i64) -> Option<Result<Self, Wrong>> {
                    let of: fn(i64) -> Result<Self, Wrong> = $number;
                    Some(of(number))
                }
            }
        )*
    };
}

texts_and_numbers! {
    Size: "bytes such as \"256M\"", |n| Size::parse(&n.to_string());
    ByteLimit: "bytes such as \"2G\", or \"infinity\"", |n| not_negative(n).map(|bytes| ByteLimit(Limit::Finite(bytes)));
    Rate: "a rate such as \"50M\", or \"infinity\"", |n| not_negative(n).and_then(Rate::of);
    Count: "a number or \"infinity\"", Count::of;
    CpuWeight: "1 to 10000 or \"idle\"", CpuWeight::of;
    IdList: "a list such as \"0-3,8\"", |n| IdList::parse(&n.to_string());
    UidRange: "a UID or a range such as \"1000-1999\"", UidRange::of;
    Span: "a length of time such as \"30min\"", seconds;
    Linger: "a length of time such as \"12h\", or \"infinity\"", |n| seconds(n).map(|span| Linger(Some(span)));
}

/// Types that may be a percentage of something.
macro_rules! shares {
    ($($type:ty: $expected:literal, $text:expr, $number:expr;)*) => {
        $(
            impl Scalar for $type {
                const EXPECTED: &'static str = $expected;
                fn text(text: &str) -> Option<Result<Self, Wrong>> {
                    let parse: fn(&str) -> Result<Self, Wrong> = $text;
                    Some(parse(text))
                }
                fn number(number: i64) -> Option<Result<Self, Wrong>> {
                    let of: fn(i64) -> Result<Self, Wrong> = $number;
                    Some(of(number))
                }
                fn base(&self) -> Option<Base> {
                    self.0.base()
                }
            }
        )*
    };
}

shares! {
    Memory: "bytes such as \"4G\", a percentage, or \"infinity\"", Memory::parse, Memory::of;
    MemoryMax: "bytes such as \"4G\", a percentage, or \"infinity\"",
        |text| Memory::parse(text).and_then(MemoryMax::of),
        |n| Memory::of(n).and_then(MemoryMax::of);
    Tasks: "a number, a percentage, or \"infinity\"", Tasks::parse, Tasks::of;
}

impl Scalar for CpuQuota {
    const EXPECTED: &'static str = "a percentage such as \"400%\" (of one CPU), or \"infinity\"";
    fn text(text: &str) -> Option<Result<Self, Wrong>> {
        Some(CpuQuota::parse(text))
    }
    fn base(&self) -> Option<Base> {
        match self {
            CpuQuota::Part(part) => Some(part.of),
            CpuQuota::Infinity => None,
        }
    }
}

impl Scalar for Weight {
    const EXPECTED: &'static str = "1 to 10000";
    fn number(number: i64) -> Option<Result<Self, Wrong>> {
        Some(Weight::of(number))
    }
}

impl Scalar for UidBase {
    const EXPECTED: &'static str = "a UID";
    fn number(number: i64) -> Option<Result<Self, Wrong>> {
        Some(UidBase::of(number))
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";
    fn truth(truth: bool) -> Option<Result<Self, Wrong>> {
        Some(Ok(truth))
    }
}

impl Scalar for i64 {
    const EXPECTED: &'static str = "a number";
    fn number(number: i64) -> Option<Result<Self, Wrong>> {
        Some(Ok(number))
    }
}

impl Scalar for u32 {
    const EXPECTED: &'static str = "a number";
    fn number(number: i64) -> Option<Result<Self, Wrong>> {
        Some(
            u32::try_from(number)
                .map_err(|_| Wrong::new(format!("`{number}` is out of range"), "0 to 4294967295")),
        )
    }
}

impl Scalar for PrivateTmpRoom {
    const EXPECTED: &'static str = "false, a size such as \"128M\", or \"disk\"";
    fn text(text: &str) -> Option<Result<Self, Wrong>> {
        Some(PrivateTmpRoom::parse(text))
    }
    fn truth(truth: bool) -> Option<Result<Self, Wrong>> {
        Some(PrivateTmpRoom::of(truth))
    }
}

impl Scalar for PrivateShm {
    const EXPECTED: &'static str = "false, or a size such as \"256M\"";
    fn text(text: &str) -> Option<Result<Self, Wrong>> {
        Some(PrivateShm::parse(text))
    }
    fn truth(truth: bool) -> Option<Result<Self, Wrong>> {
        Some(PrivateShm::of(truth))
    }
}

impl Scalar for LocalTime {
    const EXPECTED: &'static str = "a local date and time such as 2026-12-14T08:45:00";
    fn moment(moment: &Datetime) -> Option<Result<Self, Wrong>> {
        if moment.offset.is_some() {
            return Some(Err(Wrong::new(
                "a time with an offset: windows are in the machine's local time",
                "leave the offset out",
            )));
        }
        let (Some(date), Some(time)) = (&moment.date, &moment.time) else {
            return Some(Err(Wrong::new(
                "a date without a time, or a time without a date",
                format!("expected {}", Self::EXPECTED),
            )));
        };
        Some(Ok(LocalTime {
            year: date.year,
            month: date.month,
            day: date.day,
            hour: time.hour,
            minute: time.minute,
            second: time.second.unwrap_or(0),
        }))
    }
    fn text(_: &str) -> Option<Result<Self, Wrong>> {
        Some(Err(Wrong::new(
            "a time in quotes",
            "write it without quotes",
        )))
    }
}

/// Types that are one of a few words: to read them.
macro_rules! scalars {
    ($($type:ident: $($word:literal => $variant:ident),+;)*) => {
        $(
            impl Scalar for $type {
                const EXPECTED: &'static str = concat!("one of" $(, " ", $word)+);
                fn text(text: &str) -> Option<Result<Self, Wrong>> {
                    Some(match text {
                        $($word => Ok($type::$variant),)+
                        _ => Err(no_such_word(text, &[$($word),+])),
                    })
                }
            }
        )*
    };
}

/// The same, and to tell them.
macro_rules! words {
    ($($type:ident: $($word:literal => $variant:ident),+;)*) => {
        scalars! { $($type: $($word => $variant),+;)* }
        $(
            impl $type {
                /// As a policy writes it.
                pub fn word(self) -> &'static str {
                    match self {
                        $($type::$variant => $word,)+
                    }
                }
            }
        )*
    };
}

scalars! {
    OnError: "allow" => Allow, "deny" => Deny;
}

words! {
    MissingController: "deny" => Deny, "warn" => Warn;
    FrozenLogin: "deny" => Deny, "freeze" => Freeze;
    Action: "exempt" => Exempt, "deny" => Deny;
    CgroupPlace: "own" => Own, "keep" => Keep;
    Scope: "session" => Session, "user" => User;
    UserNamespace: "off" => Off, "identity" => Identity, "minimal" => Minimal;
    Propagation: "slave" => Slave, "private" => Private;
    UserManager: "host" => Host, "hidden" => Hidden, "isolated" => Isolated;
    Weekday: "mon" => Mon, "tue" => Tue, "wed" => Wed, "thu" => Thu, "fri" => Fri, "sat" => Sat, "sun" => Sun;
}

fn no_such_word(text: &str, words: &[&str]) -> Wrong {
    let label = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of {}", words.join(", ")),
    };
    Wrong::new(
        format!("`{}` is none of {}", text.escape_debug(), words.join(", ")),
        label,
    )
}

fn seconds(number: i64) -> Result<Span, Wrong> {
    Err(Wrong::new(
        format!("`{number}`: seconds, minutes, hours?"),
        format!("write \"{number}s\", \"{number}min\" or \"{number}h\""),
    ))
}
