//! A value of a policy and where it was set.

use serde::{Deserialize, Serialize, Serializer};

use crate::diagnostic::At;

/// One key's value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Stored<T>")]
pub(crate) struct Setting<T> {
    /// `None` is `"unset"`.
    pub(crate) value: Option<T>,
    pub(crate) at: At,
    /// The profile it was set in, as an index of the policy's names.
    pub(crate) profile: Option<u16>,
}

/// A setting in a loaded policy: a short list, because there are many and each login reads them. The
/// value is in a list of its own, because some values (no limit) are `null` themselves, and `null`
/// in its place is `"unset"`.
#[derive(Serialize, Deserialize)]
struct Stored<T>(Option<(T,)>, At, Option<u16>);

impl<T> From<Stored<T>> for Setting<T> {
    fn from(Stored(value, at, profile): Stored<T>) -> Setting<T> {
        Setting {
            value: value.map(|(value,)| value),
            at,
            profile,
        }
    }
}

impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value.as_ref().map(|value| (value,));
        Stored(value, self.at, self.profile).serialize(serializer)
    }
}

/// Where a key was set: its place and the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: At,
    pub(crate) profile: Option<u16>,
}

impl<T> Setting<T> {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            profile: self.profile,
        }
    }
}

/// A key and its value, if it is set and not to `"unset"`.
pub(crate) fn set<T>(setting: &Option<Setting<T>>) -> Option<(&Setting<T>, &T)> {
    let setting = setting.as_ref()?;
    Some((setting, setting.value.as_ref()?))
}

/// Its value alone.
pub(crate) fn value<T>(setting: &Option<Setting<T>>) -> Option<&T> {
    set(setting).map(|(_, value)| value)
}

/// Where it was set.
pub(crate) fn mark<T>(setting: &Option<Setting<T>>) -> Option<Mark> {
    set(setting).map(|(setting, _)| setting.mark())
}

/// One or more values, any of which will do. Written as one value or as a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OneOf<T>(pub(crate) Vec<T>);

/// A name that refers to something else, with its own place (a list has several). Two of one name are the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ref {
    #[serde(rename = "n")]
    pub(crate) name: crate::value::Name,
    #[serde(rename = "a")]
    pub(crate) at: At,
}

impl PartialEq for Ref {
    fn eq(&self, other: &Ref) -> bool {
        self.name == other.name
    }
}

/// Profiles as `berth list` shows them: `student+batch`.
pub(crate) fn joined(profiles: &[Ref]) -> String {
    let names: Vec<&str> = profiles.iter().map(|one| one.name.as_str()).collect();
    names.join("+")
}
