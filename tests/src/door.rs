//! The ways into a machine that a user has.

/// A way to log in and run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `ssh HOST COMMAND`.
    Ssh,
    /// `ssh -tt HOST`, with a terminal.
    SshTerminal,
    /// `su USER -c COMMAND`.
    Su,
    /// `su - USER -c COMMAND`.
    SuLogin,
    /// `login -f USER` at a terminal.
    Login,
    /// A job of cron's.
    Cron,
    /// A job of atd's.
    At,
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 7] = [
        Door::Ssh,
        Door::SshTerminal,
        Door::Su,
        Door::SuLogin,
        Door::Login,
        Door::Cron,
        Door::At,
    ];
}
