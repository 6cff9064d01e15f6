//! What the module decided, and the one place where that becomes a PAM code.

use berth_protocol::{OnError, Phase};

/// A return value of a `pam_sm_*` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    pub const SUCCESS: Code = Code(0);
    pub const PERM_DENIED: Code = Code(6);
    pub const SESSION_ERR: Code = Code(14);
    /// `PAM_IGNORE`: as if the line were not there. What authenticate, setcred and chauthtok return: a
    /// `required` line neither passes nor fails by it, and a `sufficient` one lets nobody in.
    pub const IGNORE: Code = Code(25);
}

/// What the module decided about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The login goes on.
    Pass,
    /// Nothing to do with us: the line counts as absent.
    Ignore,
    /// The policy refuses the login.
    Refused,
    /// The policy could not be carried out, and says that the login then ends.
    Failed,
}

impl Verdict {
    /// A failure, seen through the setting that says what failures do.
    pub fn on_error(setting: OnError) -> Verdict {
        match setting {
            OnError::Allow => Verdict::Pass,
            OnError::Deny => Verdict::Failed,
        }
    }

    /// The PAM code, for the call that asked.
    pub fn code(self, phase: Phase) -> Code {
        match (self, phase) {
            (Verdict::Pass, _) => Code::SUCCESS,
            (Verdict::Ignore, _) => Code::IGNORE,
            (Verdict::Refused, _) | (Verdict::Failed, Phase::Account) => Code::PERM_DENIED,
            (Verdict::Failed, Phase::Session) => Code::SESSION_ERR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_the_header_says() {
        let header = std::fs::read_to_string("/usr/include/security/_pam_types.h").unwrap();
        for (name, code) in [
            ("PAM_SUCCESS", Code::SUCCESS),
            ("PAM_PERM_DENIED", Code::PERM_DENIED),
            ("PAM_SESSION_ERR", Code::SESSION_ERR),
            ("PAM_IGNORE", Code::IGNORE),
        ] {
            let line = header
                .lines()
                .find(|line| line.split_whitespace().nth(1) == Some(name))
                .unwrap();
            let number = line.split_whitespace().nth(2).unwrap();
            assert_eq!(number.parse::<i32>().unwrap(), code.0, "{name}");
        }
    }
}
