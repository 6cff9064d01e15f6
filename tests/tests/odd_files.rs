//! Something else in the place of a file of Berth's, as from a backup that was put back, holds up nobody for ever, and never
//! root and the exempt.

use berth_tests::{Machine, Policy};

/// No part of Berth waits as long by itself; the module's deadline is longer still.
const ENDS: &str = "timeout --kill-after=1 30";

/// All files and folders of Berth's that logins and commands look at. 77 is no session's.
const PLACES: [&str; 17] = [
    "/run/berth",
    "/run/berth/sessions",
    "/run/berth/sessions/77",
    "/run/berth/users",
    "/run/berth/users/UID",
    "/run/berth/users/UID/77",
    "/run/berth/users/UID/berth-77",
    "/run/berth-counters",
    "/run/berth-due-wrong",
    "/run/berth-last-id",
    "/run/berth-penalties",
    "/run/berth-standings",
    "/run/berth-standings/.UID",
    "/var/lib/berth/exceptions/UID",
    "/var/lib/berth/exempt",
    "/var/lib/berth/penalties",
    "/var/lib/berth/policy.json",
];

const KINDS: [&str; 4] = ["mkfifo", "mkdir", "ln -s /nowhere", "ln -s /root"];

#[test]
fn whatever_stands_in_a_files_place_nobody_waits_for_it_and_root_and_the_exempt_get_in() {
    Machine::run(|machine| {
        let alice = machine.uid("alice").to_string();
        machine
            .host("sed -i 's|policy=[^ ]*|timeout=300|' /etc/pam.d/*")
            .ok();
        machine.policy(&Policy::with_rest("[exempt]\nusers = [\"bob\"]\n"));
        for place in PLACES.map(|place| place.replace("UID", &alice)) {
            for kind in KINDS {
                machine
                    .host("/berth/berth reload && rm -rf /run/berth /run/berth-*")
                    .ok();
                machine
                    .host(&format!(
                        "mkdir -p $(dirname {place}) && rm -rf {place} && {kind} {place}"
                    ))
                    .ok();
                for user in ["root", "bob"] {
                    let said = machine.host(&format!("{ENDS} su {user} -c 'echo in' </dev/null"));
                    assert_eq!(said.ok(), "in", "{kind} {place}");
                }
                // Whether she gets in is another matter.
                let said = machine.host(&format!(
                    "waits() {{ test $? -ge 124 && echo waits; }}; {ENDS} su alice -c true </dev/null || waits
                     for command in list 'show alice' metrics doctor 'apply --due' log; do
                         {ENDS} /berth/berth $command >/dev/null 2>&1 </dev/null || waits
                     done
                     rm -rf {place}"
                ));
                assert!(!said.stdout.contains("waits"), "{kind} {place}: {said:?}");
            }
        }
    });
}
