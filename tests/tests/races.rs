//! Paths that a user changes while Berth, as root, is about to use them.

use berth_tests::{Machine, Policy};

/// root is in a folder of alice's, who makes its name that of a link meanwhile.
#[test]
fn a_working_directory_that_becomes_a_link_leads_nowhere() {
    Machine::run(|machine| {
        machine
            .host(
                "mkdir -p /root/open && chmod 700 /root && chmod 755 /root/open && echo of-root >/root/open/secret",
            )
            .ok();
        let uid = machine.uid("alice");
        for policy in [
            Policy::default(),
            Policy::with_namespaces("pid = true, mount = true"),
        ] {
            machine.policy(&policy);
            // The shell stays in the folder itself, whatever that is called.
            let swap = machine.probe("swap /home/alice/own /home/alice/link");
            let said = machine.host(&format!(
                "cd /home/alice && rm -rf own link && mkdir own && ln -s /root/open link && chown -h alice: own link
                 cd own && {{ setpriv --reuid={uid} --regid={uid} --clear-groups {swap} >/dev/null & }}
                 swapping=$!
                 for login in $(seq 20); do su alice -c 'cat secret; pwd -P'; done 2>/dev/null
                 kill $swapping"
            ));
            let said = said.ok();
            assert!(
                !said.contains("of-root") && !said.contains("/root"),
                "{said}"
            );
            assert!(said.contains("/home/alice/"), "{said}");
        }
    });
}
