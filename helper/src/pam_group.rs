//! The groups that pam_group(8) may add to a login when its namespaces are there already: login(1)
//! establishes credentials only after it has opened the session.

use std::fs;

use nix::unistd::Group;

const CONFIGURATION: &str = "/etc/security/group.conf";

/// Every group that any line of its configuration gives to anybody. Which lines apply to a login is for
/// pam_group to say; a group in the map gives nobody anything.
pub fn groups() -> Vec<u32> {
    // Most machines have no such file, and one that cannot be read is no use to pam_group either.
    let text = fs::read_to_string(CONFIGURATION).unwrap_or_default();
    let groups = names(&text)
        .into_iter()
        .filter_map(|name| Group::from_name(&name).ok().flatten());
    groups.map(|group| group.gid.as_raw()).collect()
}

/// The fifth field of each line (group.conf(5)).
fn names(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let rules = text.lines().filter_map(|line| line.split('#').next());
    rules
        .filter_map(|rule| rule.split(';').nth(4))
        .flat_map(|groups| groups.split([',', ' ', '\t']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_every_line_is_found() {
        let text = "# a;b;c;d;none\n\
            login;*;alice;Al0000-2400;floppy, audio\n\
            xsh&*; tty* ;us|root;!AlFr;play video # no;one;of;these;none\n\
            su;*;bob;Al0000-2400; \\\ngames\n\
            half a line;*\n";
        assert_eq!(names(text), ["floppy", "audio", "play", "video", "games"]);
    }
}
