//! Users of a directory: slapd has them, and SSSD asks it, as in a lab.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use berth_tests::{Background, Booted, Output, Process, Terminal, eventually};
use nix::sys::signal::Signal;

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    whom_only_the_directory_knows_gets_what_the_rules_for_groups_and_names_say
    what_changes_in_the_directory_counts_from_the_next_login_on
    two_accounts_of_one_uid_are_under_the_same_caps
    a_name_is_what_the_directory_makes_of_it
    while_sssd_is_stopped_nobody_passes_by_a_rule_for_groups
    while_the_server_hangs_who_is_known_logs_in_and_root_does
    while_sssd_hangs_on_error_decides_and_commands_end
};

const POLICY: &str = r#"
version = 1
[defaults]
no_match = "deny"
[profile.people]
namespaces = { user = "identity", pid = true, ipc = true, mount = true }
logout = { grace = "1s" }
[profile.students]
inherits = "people"
[profile.lab]
inherits = "people"
[profile.upper]
inherits = "people"
[[rule]]
group = "suspended"
action = "deny"
[[rule]]
group = "lab users"
profile = "lab"
[[rule]]
user = "Zoe"
profile = "upper"
[[rule]]
group = "students"
profile = "students"
[[rule]]
uid = "1000-"
profile = "people"
"#;

/// The users, and the groups that they are in besides `people`.
const USERS: [(&str, &[&str]); 7] = [
    ("lea", &["students", "lab users"]),
    ("many", &["students"]),
    ("ann.lee", &["students"]),
    ("Zoe", &["students"]),
    ("ruth", &[]),
    ("bad", &["suspended"]),
    ("twin", &["students"]),
];

/// The groups; many is in as many more.
const GROUPS: [&str; 4] = ["people", "students", "lab users", "suspended"];
const MORE_GROUPS: u32 = 400;

const PASSWORD: &str = "open-sesame";

const SERVER: &str = "
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix dc=lab
rootdn cn=admin,dc=lab
rootpw secret
directory /root/directory
";

/// For tests alone, as its option for passwords says: there is no TLS.
const SSSD: &str = "
[sssd]
services = nss, pam
domains = lab
[domain/lab]
id_provider = ldap
auth_provider = ldap
ldap_uri = ldap://127.0.0.1
ldap_search_base = dc=lab
ldap_id_use_start_tls = false
ldap_auth_disable_tls_never_use_in_production = true
";

const START_SSSD: &str = "systemctl stop sssd; rm -f /var/lib/sss/mc/* /var/lib/sss/db/*; systemctl reset-failed; \
     systemctl start sssd";

/// Prints what a login has.
const WHO: &str = "cat /proc/1/comm; id -un; id -G | wc -w";

/// A directory with its server, which lives as long as this.
struct Directory<'m> {
    machine: &'m Booted,
    server: Background,
    first: u32,
}

impl Directory<'_> {
    /// Starts it, and SSSD with these lines for its domain; puts the policy in force, and Berth's lines in place.
    #[track_caller]
    fn start<'m>(machine: &'m Booted, domain: &str) -> Directory<'m> {
        let first = machine.uid("alice") + 10;
        fs::write("/root/directory.conf", SERVER).unwrap();
        fs::write("/root/directory.ldif", entries(first)).unwrap();
        let load =
            "rm -rf directory && mkdir directory && slapadd -q -f directory.conf -l directory.ldif";
        machine.host(&format!("cd /root && {load}")).ok();
        let mut server = Command::new("slapd");
        server.args([
            "-d",
            "0",
            "-h",
            "ldap://127.0.0.1/",
            "-f",
            "/root/directory.conf",
        ]);
        let server = server.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Background(server.spawn().unwrap());
        let listens = || std::net::TcpStream::connect("127.0.0.1:389").is_ok();
        assert!(eventually(listens), "no directory server");
        configure(machine, domain);
        fs::write("/etc/berth/policy.toml", POLICY).unwrap();
        let enable = "berth reload && berth pam enable --yes --user lea sshd su login";
        let enabled = machine.host(enable).ok();
        let logs_in = "sshd: lea logs in, into a berth\n";
        assert!(enabled.contains(logs_in), "{enabled}");
        Directory {
            machine,
            server,
            first,
        }
    }

    /// A user's UID.
    fn uid(&self, name: &str) -> u32 {
        let place = USERS.iter().position(|(user, _)| *user == name);
        self.first + u32::try_from(place.unwrap()).unwrap()
    }

    /// What the session that was opened last for a user got.
    #[track_caller]
    fn profile(&self, user: &str) -> String {
        let log = self.machine.log();
        let opened = format!(" user={user} ");
        let mut lines = log.lines().filter(|line| line.starts_with("open "));
        let line = lines.rfind(|line| line.contains(&opened)).expect(&log);
        let (_, profile) = line.split_once(" profile=").expect(line);
        profile.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Changes an entry, and has SSSD forget what it knows.
    #[track_caller]
    fn change(&self, entry: &str, change: &str) {
        let text = format!("dn: {entry},dc=lab\nchangetype: modify\n{change}\n");
        fs::write("/root/change", text).unwrap();
        let modify =
            "ldapmodify -x -H ldap://127.0.0.1 -D cn=admin,dc=lab -w secret -f /root/change";
        self.machine.host(&format!("{modify} && sss_cache -E")).ok();
    }

    /// Has SSSD forget everything, and then know who a user is and what `people` is, but not the user's other groups: as
    /// after some minutes in which others have looked at the user's files and processes.
    #[track_caller]
    fn only_names_known(&self, user: &str) {
        let people = self.first;
        let know = format!("getent passwd {user} && getent group {people} && id root");
        self.machine.host(&format!("{START_SSSD}; {know}")).ok();
    }

    fn responder(&self) -> Process {
        Process::named("sssd_nss").pop().expect("SSSD")
    }
}

/// Starts SSSD with these lines for its domain.
#[track_caller]
fn configure(machine: &Booted, domain: &str) {
    const FILE: &str = "/etc/sssd/sssd.conf";
    fs::write(FILE, format!("{SSSD}{domain}\n")).unwrap();
    fs::set_permissions(FILE, fs::Permissions::from_mode(0o600)).unwrap();
    machine.host(START_SSSD).ok();
}

fn entries(first: u32) -> String {
    let mut text = String::from(
        "dn: dc=lab\nobjectClass: dcObject\nobjectClass: organization\no: lab\ndc: lab\n\n\
         dn: ou=people,dc=lab\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: ou=groups,dc=lab\nobjectClass: organizationalUnit\nou: groups\n\n",
    );
    for ((user, _), uid) in USERS.iter().zip(first..) {
        text += &format!(
            "dn: uid={user},ou=people,dc=lab\nobjectClass: account\nobjectClass: posixAccount\nuid: {user}\n\
             cn: {user}\nuidNumber: {uid}\ngidNumber: {first}\nhomeDirectory: /\nloginShell: /bin/sh\n\
             userPassword: {PASSWORD}\n\n"
        );
    }
    let group = |name: &str, gid: u32, members: &[&str]| {
        let members: String = members
            .iter()
            .map(|name| format!("memberUid: {name}\n"))
            .collect();
        format!(
            "dn: cn={name},ou=groups,dc=lab\nobjectClass: posixGroup\ncn: {name}\ngidNumber: {gid}\n{members}\n"
        )
    };
    for (name, gid) in GROUPS.iter().zip(first..) {
        let members = USERS.iter().filter(|(_, groups)| groups.contains(name));
        let members: Vec<&str> = members.map(|(user, _)| *user).collect();
        text += &group(name, gid, &members);
    }
    for number in 0..MORE_GROUPS {
        text += &group(&format!("g{number}"), 500_000 + number, &["many"]);
    }
    text
}

/// Runs commands, each given a minute, side by side.
fn side_by_side<const N: usize>(commands: [&str; N]) -> [Output; N] {
    let started = commands.map(|command| {
        let mut timeout = Command::new("timeout");
        timeout.arg("60").args(command.split(' '));
        timeout.stdout(Stdio::piped()).stderr(Stdio::piped());
        Background(timeout.spawn().unwrap())
    });
    started.map(Background::wait)
}

fn whom_only_the_directory_knows_gets_what_the_rules_for_groups_and_names_say(machine: &Booted) {
    let directory = Directory::start(machine, "");
    // SSSD asks the server for the name of each group, which on a busy machine may take longer than a login has.
    machine.host("id many").ok();
    let users = [
        ("lea", 3, "lab"),
        ("many", 2 + MORE_GROUPS, "students"),
        ("ann.lee", 2, "students"),
        ("Zoe", 2, "upper"),
        ("ruth", 1, "people"),
    ];
    // A UID's first login leaves keyrings, which the kernel keeps.
    for (user, ..) in users {
        machine.host(&format!("su - {user} -c true")).ok();
    }
    let before = machine.settled();
    for (user, groups, profile) in users {
        let who = format!("berth-init\n{user}\n{groups}");
        assert_eq!(machine.ssh(user, WHO).ok(), who);
        assert_eq!(directory.profile(user), profile);
        let by_su = machine.host(&format!("su - {user} -c '{WHO}'")).ok();
        assert!(by_su.ends_with(&who), "{by_su}");
    }
    machine.ssh("bad", "true").refused();
    machine.logged("login of \"bad\" refused by the policy");
    // With a password, which SSSD asks the server about.
    for (password, right) in [("wrong", false), (PASSWORD, true)] {
        let mut login = Command::new("login");
        login.arg("lea");
        let mut terminal = Terminal::start(login);
        terminal.expect("Password");
        terminal.send(password);
        match right {
            true => {
                terminal.expect("$ ");
                assert_eq!(terminal.run(WHO), "berth-init\nlea\n3");
                terminal.send("exit");
                terminal.wait();
            }
            false => terminal.expect("incorrect"),
        }
    }
    // It lists nobody, and none of its groups is taken for one that is not there.
    assert!(!machine.host("getent passwd").ok().contains("lea"));
    let check = machine.host("berth check --strict").ok();
    assert!(check.starts_with("no errors"), "{check}");
    let explained = machine.host("berth explain lea").ok();
    assert!(explained.contains("group lab users"), "{explained}");
    machine.assert_nothing_left(&before);
}

fn what_changes_in_the_directory_counts_from_the_next_login_on(machine: &Booted) {
    let directory = Directory::start(machine, "");
    let mut terminal = machine.terminal("ruth");
    terminal.run("true");
    assert_eq!(directory.profile("ruth"), "people");
    directory.change("cn=students,ou=groups", "add: memberUid\nmemberUid: ruth");
    machine.ssh("ruth", "true").ok();
    assert_eq!(directory.profile("ruth"), "students");
    machine.host("systemctl restart sssd").ok();
    assert_eq!(terminal.run("id -un"), "ruth");
    // A UID that is another now: whoever had the old one has what goes on under it.
    let uid = directory.uid("ruth") + 20;
    directory.change(
        "uid=ruth,ou=people",
        &format!("replace: uidNumber\nuidNumber: {uid}"),
    );
    let mut other = machine.terminal("ruth");
    assert_eq!(other.run("id -u"), uid.to_string());
    let list = machine.host("berth list --users").ok();
    assert!(list.contains("2 users, 2 sessions"), "{list}");
    machine.host("berth apply").ok();
    machine.host("berth kill ruth --yes").ok();
    terminal.wait();
    other.wait();
    let list = machine.host("berth list").ok();
    assert!(list.contains("0 sessions"), "{list}");
}

fn two_accounts_of_one_uid_are_under_the_same_caps(machine: &Booted) {
    let directory = Directory::start(machine, "");
    let uid = directory.uid("twin");
    let add = format!("useradd --no-create-home --home / --uid {uid} --shell /bin/sh local");
    // The directory's is not listed, and so not seen as in use.
    machine.host(&format!("{add} --non-unique")).ok();
    let cgroup = "sed -n s/^0:://p /proc/self/cgroup";
    for (user, profile) in [("local", "people"), ("twin", "students")] {
        let said = machine.ssh(user, cgroup).ok();
        let slice = format!("/user.slice/user-{uid}.slice/");
        assert!(said.starts_with(&slice), "{user}: {said}");
        assert_eq!(directory.profile(user), profile);
    }
    machine.host("userdel --force local").ok();
}

fn a_name_is_what_the_directory_makes_of_it(machine: &Booted) {
    let directory = Directory::start(machine, "case_sensitive = false");
    let mut terminal = machine.terminal("lea");
    terminal.run("true");
    let mut other = machine.terminal("LEA");
    assert_eq!(other.run("id -un"), "lea");
    let list = machine.host("berth list --users").ok();
    assert!(list.contains("1 user, 2 sessions"), "{list}");
    machine.ssh("BAD", "true").refused();
    machine.host("berth kill lea --yes").ok();
    terminal.wait();
    other.wait();
    // Where upper case counts for nothing, a rule has to name Zoe as SSSD does.
    machine.ssh("Zoe", "true").ok();
    assert_eq!(directory.profile("zoe"), "students");
    configure(machine, "use_fully_qualified_names = true");
    let qualified = ["suspended", "students"]
        .iter()
        .fold(POLICY.to_owned(), |text, name| {
            text.replace(
                &format!("group = \"{name}\""),
                &format!("group = \"{name}@lab\""),
            )
        });
    fs::write("/etc/berth/policy.toml", qualified).unwrap();
    machine.host("berth reload").ok();
    for name in ["ann.lee@lab", "ann.lee@LAB"] {
        assert_eq!(machine.ssh(name, WHO).ok(), "berth-init\nann.lee@lab\n2");
        assert_eq!(directory.profile("ann.lee@lab"), "students");
    }
    machine.ssh("bad@lab", "true").refused();
    machine.logged("login of \"bad@lab\" refused by the policy");
    machine.ssh("lea", "true").refused();
}

fn while_sssd_is_stopped_nobody_passes_by_a_rule_for_groups(machine: &Booted) {
    let directory = Directory::start(machine, "");
    let mut terminal = machine.terminal("lea");
    terminal.run("true");
    let explain = |user: &str| machine.host(&format!("berth explain {user}"));
    let know = "id lea; id bad; systemctl stop sssd";
    machine.host(&format!("{START_SSSD}; {know}")).ok();
    assert!(explain("lea").ok().contains("group lab users"));
    assert!(explain("bad").ok().contains("THIS LOGIN   denied"));
    for user in ["lea", "bad"] {
        directory.only_names_known(user);
        machine.host("systemctl stop sssd").ok();
        // Nothing tells id either.
        let groups = machine.host(&format!("id -Gn {user}")).ok();
        assert_eq!(groups, "people");
        let unknown = format!("NSS cannot name the groups of user \"{user}\"");
        let explained = explain(user).refused();
        assert!(explained.stderr.contains(&unknown), "{explained:?}");
        // SSSD's own module would refuse, too; ours asks first.
        machine.host(&format!("su - {user} -c true")).refused();
        machine.logged(&format!(
            "NSS cannot name the groups of user \\\"{user}\\\""
        ));
        // Caps stay as they are.
        let apply = machine.host("berth apply");
        assert!(
            user != "lea" || apply.stderr.contains(&unknown),
            "{apply:?}"
        );
    }
    machine.ssh("root", "true").ok();
    assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
    machine.host("systemctl start sssd").ok();
    machine.ssh("ruth", "true").ok();
    terminal.send("exit");
    terminal.wait();
}

fn while_the_server_hangs_who_is_known_logs_in_and_root_does(machine: &Booted) {
    let directory = Directory::start(machine, "");
    let before = machine.settled();
    machine.host("id ruth; id lea; sss_cache -E").ok();
    let mut terminal = machine.terminal("lea");
    terminal.run("true");
    machine.host("sss_cache -E").ok();
    let server = directory.server.process();
    server.signal(Signal::SIGSTOP);
    machine.ssh("root", "true").ok();
    assert_eq!(machine.ssh("ruth", WHO).ok(), "berth-init\nruth\n1");
    machine.ssh("Zoe", "true").refused();
    let verbs = [
        "berth list",
        "berth show lea",
        "berth freeze lea",
        "berth check",
        "berth reload",
        "berth apply",
    ];
    for (said, verb) in side_by_side(verbs).into_iter().zip(verbs) {
        assert!(said.success(), "{verb}: {said:?}");
    }
    machine.host("berth thaw lea").ok();
    terminal.send("exit");
    terminal.wait();
    machine.assert_nothing_left(&before);
    server.signal(Signal::SIGCONT);
}

fn while_sssd_hangs_on_error_decides_and_commands_end(machine: &Booted) {
    let directory = Directory::start(machine, "");
    let soon =
        "sed -i 's/pam_berth.so$/& timeout=3/; s/pam_berth.so open/& timeout=3/' /etc/pam.d/su";
    machine.host(soon).ok();
    let mut terminal = machine.terminal("lea");
    terminal.run("true");
    for (on_error, consequence) in [
        ("deny", "the login is refused (on_error = deny)"),
        (
            "allow",
            "the login goes on without a berth (on_error = allow)",
        ),
    ] {
        let text = POLICY.replace(
            "[defaults]",
            &format!("[defaults]\non_error = \"{on_error}\""),
        );
        fs::write("/etc/berth/policy.toml", text).unwrap();
        machine.host("berth reload").ok();
        directory.only_names_known("many");
        let responder = directory.responder();
        responder.signal(Signal::SIGSTOP);
        // What the application does after that, and before, hangs too: with Berth or without.
        let mut su = Command::new("su");
        su.args(["-", "many", "-c", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let su = Background(su.spawn().unwrap());
        machine.logged(consequence);
        su.end();
        if on_error == "deny" {
            let verbs = [
                "berth list",
                "berth show lea",
                "berth top --batch --delay 0.1",
                "berth freeze lea",
                "berth check",
                "berth reload",
                "berth pam disable --yes login",
                "berth doctor",
            ];
            for (said, verb) in side_by_side(verbs).into_iter().zip(verbs) {
                // doctor finds what is wrong.
                let ended = said.success() || verb == "berth doctor";
                assert!(ended && said.status.code() != Some(124), "{verb}: {said:?}");
            }
            let [thawed] = side_by_side(["berth thaw lea"]);
            assert!(thawed.success(), "{thawed:?}");
        }
        responder.signal(Signal::SIGCONT);
    }
    machine.host("berth kill lea --yes").ok();
    terminal.wait();
}
