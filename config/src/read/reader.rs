//! Walks one file's tree and collects what is wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use toml::value::Datetime;

use super::nearest;
use crate::diagnostic::{At, Finding};
use crate::setting::Setting;
use crate::source::Source;
use crate::value::{Base, Wrong};

pub(crate) type Key<'i> = Spanned<DeString<'i>>;
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// Whose caps are being read: what a percentage may be of depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapsOf {
    User,
    Session,
    Pool,
    Everyone,
}

/// Something that a TOML value can be read as. What is wrong goes to the reader.
pub(crate) trait FromToml: Sized {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A value that is one string, number, boolean or date. `None` from one of the functions: this type
/// is never written so.
pub(crate) trait Scalar: Sized {
    /// What it is, after "expected ".
    const EXPECTED: &'static str;

    fn text(_text: &str) -> Option<Result<Self, Wrong>> {
        None
    }
    fn number(_number: i64) -> Option<Result<Self, Wrong>> {
        None
    }
    fn truth(_truth: bool) -> Option<Result<Self, Wrong>> {
        None
    }
    fn moment(_moment: &Datetime) -> Option<Result<Self, Wrong>> {
        None
    }
    /// What it is a percentage of, if it is one.
    fn base(&self) -> Option<Base> {
        None
    }
}

impl<T: Scalar> FromToml for T {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<T> {
        let result = match node.get_ref() {
            DeValue::String(text) => T::text(text),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) => T::number(number),
                    Err(_) => Some(Err(Wrong::new("this number is too large", T::EXPECTED))),
                }
            }
            DeValue::Boolean(truth) => T::truth(*truth),
            DeValue::Datetime(moment) => T::moment(moment),
            DeValue::Float(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        match result {
            Some(Ok(value)) => reader.check_base(value.base(), node).then_some(value),
            Some(Err(wrong)) => {
                reader.wrong(node.span(), wrong);
                None
            }
            None => {
                reader.wrong_type(node, T::EXPECTED);
                None
            }
        }
    }
}

pub(crate) struct Reader<'s> {
    source: &'s Source,
    file: u16,
    pub(crate) findings: Vec<Finding>,
    /// Whose caps the table at hand holds. Where it holds none, nothing is a part of what one user or pool has.
    pub(crate) caps: CapsOf,
    /// Whether `"unset"` means something for the keys at hand.
    pub(crate) inheritable: bool,
    /// The profile at hand, as an index of the policy's names.
    pub(crate) profile: Option<u16>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, file: u16) -> Reader<'s> {
        Reader {
            source,
            file,
            findings: Vec::new(),
            caps: CapsOf::Everyone,
            inheritable: false,
            profile: None,
        }
    }

    pub(crate) fn at(&self, span: Range<usize>) -> At {
        self.source.at(self.file, span)
    }

    pub(crate) fn error(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        let at = self.at(span);
        self.findings.push(Finding::error(at, message, label));
    }

    pub(crate) fn wrong(&mut self, span: Range<usize>, wrong: Wrong) {
        let at = self.at(span);
        let mut finding = Finding::error(at, wrong.message, wrong.label);
        finding.notes = wrong.notes;
        self.findings.push(finding);
    }

    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, expected: &str) {
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a floating-point number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(
            node.span(),
            format!("wrong type: this is {found}"),
            format!("expected {expected}"),
        );
    }

    /// Reports a key that is not known here, and which one may be meant.
    pub(crate) fn unknown(&mut self, key: &Key<'_>, known: &[&str]) {
        let name = key.get_ref();
        let label = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.error(
            key.span(),
            format!("unknown key `{}`", name.escape_debug()),
            label,
        );
    }

    /// The table that a value should be.
    pub(crate) fn table<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        what: &str,
    ) -> Option<&'n DeTable<'i>> {
        match node.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong_type(node, what);
                None
            }
        }
    }

    /// One key's value with its place.
    pub(crate) fn setting<T: FromToml>(
        &mut self,
        key: &Key<'_>,
        node: &Node<'_>,
    ) -> Option<Setting<T>> {
        self.setting_with(key, node, T::read)
    }

    /// The same for a value that is read in some other way.
    pub(crate) fn setting_with<T>(
        &mut self,
        key: &Key<'_>,
        node: &Node<'_>,
        read: impl FnOnce(&Node<'_>, &mut Self) -> Option<T>,
    ) -> Option<Setting<T>> {
        let unset = matches!(node.get_ref(), DeValue::String(text) if text == "unset");
        let value = if unset && self.inheritable {
            None
        } else {
            Some(read(node, self)?)
        };
        Some(Setting {
            value,
            at: self.at(key.span()),
            profile: self.profile,
        })
    }

    fn check_base(&mut self, base: Option<Base>, node: &Node<'_>) -> bool {
        let allowed = match base {
            None | Some(Base::Bare | Base::Machine) => true,
            Some(Base::Pool) => matches!(self.caps, CapsOf::User | CapsOf::Session),
            Some(Base::User) => self.caps == CapsOf::Session,
        };
        if !allowed {
            let (what, label) = match base {
                Some(Base::User) => ("of user", "this stands in `session` only"),
                _ => ("of pool", "this stands in `user` and `session` only"),
            };
            self.error(node.span(), format!("`{what}` means nothing here"), label);
        }
        allowed
    }
}
