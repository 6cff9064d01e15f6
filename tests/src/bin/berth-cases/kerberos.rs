//! Kerberos tickets that a login brings along: which of their caches a berth shows.

use std::fs;
use std::process::{Command, Stdio};

use berth_tests::{Background, Booted, Policy, Terminal, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    tickets_in_a_file_are_in_the_berth_unless_a_private_tmp_covers_it
    tickets_in_a_keyring_stay_behind_where_there_is_a_user_namespace
    tickets_in_kcm_are_the_same_in_each_berth
};

const PASSWORD: &str = "open-sesame";

/// A realm of the machine's own, with alice in it.
const REALM: &str = "
    rm -f /root/principal* /root/stash
    printf '[realms]\nTEST = {\n database_name = /root/principal\n key_stash_file = /root/stash\n}\n' >/etc/krb5kdc/kdc.conf
    kdb5_util create -r TEST -s -P master
    kadmin.local -r TEST -q 'addprinc -pw open-sesame alice'
";

/// Starts the realm's server, which lives as long as what is given back.
fn start_realm(machine: &Booted) -> Background {
    configure("FILE:/tmp/krb5cc_%{uid}");
    machine.host(REALM).ok();
    let mut kdc = Command::new("krb5kdc");
    kdc.arg("-n").stdout(Stdio::null());
    let kdc = Background(kdc.spawn().unwrap());
    let listens = || machine.host("grep -q ':0058 ' /proc/net/udp").success();
    assert!(eventually(listens), "no KDC");
    kdc
}

/// Logs alice in with her realm's password, which brings a ticket, and gives back what klist says inside.
fn klist(machine: &Booted, namespaces: &str, cache: &str) -> String {
    machine.policy(&Policy::with_namespaces(namespaces));
    let cache = cache.replace("%u", &machine.uid("alice").to_string());
    configure(&cache);
    let module = "pam_berth.so policy=/etc/berth/policy.toml";
    let krb5 = format!("required pam_krb5.so minimum_uid=1000 ccache={cache}");
    let stack = format!(
        "auth {krb5}\naccount required {module}\nsession {krb5}\nsession required {module}\n"
    );
    fs::write("/etc/pam.d/login", stack).unwrap();
    let mut login = Command::new("login");
    login.arg("alice");
    let mut terminal = Terminal::start(login);
    terminal.expect("Password");
    terminal.send(PASSWORD);
    terminal.expect("$ ");
    let said = terminal.run("cat /proc/1/comm; klist");
    terminal.send("exit");
    terminal.wait();
    let said = said.strip_prefix("berth-init\n").expect("a berth");
    said.to_owned()
}

fn configure(cache: &str) {
    let text = format!(
        "[libdefaults]\ndefault_realm = TEST\ndns_lookup_kdc = false\nrdns = false\ndefault_ccache_name = {cache}\n\
         [realms]\nTEST = {{\n kdc = 127.0.0.1\n}}\n"
    );
    fs::write("/etc/krb5.conf", text).unwrap();
}

const BERTH: &str = "user = \"identity\", pid = true, ipc = true, mount = true";

const TICKET: &str = "krbtgt/TEST@TEST";

fn tickets_in_a_file_are_in_the_berth_unless_a_private_tmp_covers_it(machine: &Booted) {
    let before = machine.settled();
    let realm = start_realm(machine);
    let in_tmp = "FILE:/tmp/krb5cc_%u";
    let shown = klist(machine, BERTH, in_tmp);
    assert!(shown.contains(TICKET), "{shown}");
    let private = format!("{BERTH}, private_tmp = \"8M\"");
    let covered = klist(machine, &private, in_tmp);
    assert!(covered.contains("No credentials cache found"), "{covered}");
    let at_home = klist(machine, &private, "FILE:/home/alice/.tickets");
    assert!(at_home.contains(TICKET), "{at_home}");
    realm.end();
    machine.host("rm /tmp/krb5cc_*").ok();
    machine.assert_nothing_left(&before);
}

/// Keyrings belong to a user namespace. (User-mode Linux has no persistent ones.)
fn tickets_in_a_keyring_stay_behind_where_there_is_a_user_namespace(machine: &Booted) {
    let realm = start_realm(machine);
    let keyring = "KEYRING:session:tickets";
    let shown = klist(machine, "pid = true, mount = true", keyring);
    assert!(shown.contains(TICKET), "{shown}");
    let behind = klist(machine, BERTH, keyring);
    assert!(behind.contains("not found"), "{behind}");
    realm.end();
}

/// A daemon on the host keeps these, and knows whose they are by the socket.
fn tickets_in_kcm_are_the_same_in_each_berth(machine: &Booted) {
    let realm = start_realm(machine);
    configure("KCM:");
    machine.berth(
        "sshd",
        &Policy::with_namespaces(&format!("{BERTH}, private_tmp = \"8M\"")),
    );
    machine.ssh("alice", "echo open-sesame | kinit").ok();
    let later = machine.ssh("alice", "klist").ok();
    assert!(later.contains(TICKET), "{later}");
    let others = machine.ssh("bob", "klist").refused();
    assert!(others.stderr.contains("not found"), "{others:?}");
    machine.host("systemctl stop sssd-kcm.service").ok();
    realm.end();
}
