//! Programs that reach a test's machine by ssh: scp, rsync, git, and ssh with options of all kinds.

use crate::sshd::client;
use crate::{Machine, Output};

impl Machine {
    /// Runs a command as root in which `$SSH` is the client with all it needs, `$OPTIONS` what it needs, and git
    /// and rsync use it.
    pub fn client(&mut self, command: &str) -> Output {
        self.sshd();
        let ssh = client("ssh");
        let options: Vec<_> = ssh.get_args().map(|word| word.to_string_lossy()).collect();
        let options = options.join(" ");
        self.host(&format!(
            "OPTIONS='{options}' SSH=\"ssh $OPTIONS\"; export GIT_SSH_COMMAND=\"$SSH\" RSYNC_RSH=\"$SSH\"\ncd /root\n{command}"
        ))
    }
}
