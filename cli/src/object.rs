//! What a verb is about, as an admin names it: a session, a user, a pool, a profile.

use std::fmt;
use std::str::FromStr;

use berth_session::SessionId;

/// What a verb is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// `12`
    Session(SessionId),
    /// `alice` or `user:12`
    User(String),
    /// `pool:cs101`
    Pool(String),
    /// `profile:student`
    Profile(String),
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Object, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Ok(Object::User(name.into())),
            Some(("pool", name)) if !name.is_empty() => Ok(Object::Pool(name.into())),
            Some(("profile", name)) if !name.is_empty() => Ok(Object::Profile(name.into())),
            None if digits => match text.parse() {
                Ok(id) => Ok(Object::Session(id)),
                Err(error) => Err(error.to_string()),
            },
            None if !text.is_empty() => Ok(Object::User(text.into())),
            _ => Err(
                "name a session, as in 12, a user, as in alice or user:alice, or pool:NAME or profile:NAME".into(),
            ),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Session(id) => write!(f, "session {id}"),
            Object::User(name) => write!(f, "user {name:?}"),
            Object::Pool(name) => write!(f, "pool {name:?}"),
            Object::Profile(name) => write!(f, "profile {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_sessions_and_users() {
        let object = |text: &str| text.parse::<Object>();
        assert_eq!(object("12"), Ok(Object::Session("12".parse().unwrap())));
        assert_eq!(object("alice"), Ok(Object::User("alice".into())));
        assert_eq!(object("user:12"), Ok(Object::User("12".into())));
        assert_eq!(object("pool:cs101"), Ok(Object::Pool("cs101".into())));
        assert_eq!(object("profile:x"), Ok(Object::Profile("x".into())));
        for text in [
            "",
            "user:",
            "pool:",
            "profile:",
            "rule:x",
            "99999999999999999999",
        ] {
            assert!(object(text).is_err(), "{text}");
        }
    }
}
