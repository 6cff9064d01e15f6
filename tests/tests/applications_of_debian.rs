//! Debian's own applications that log users in, each with its own protocol: how a berth treats them stands in
//! docs/pam_berth.md, and is what is seen here. No login is broken by it: it works, and leaves nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use berth_tests::{Background, Machine, Policy, Process, Stack, eventually};

const PAGE: &str = include_str!("../../docs/pam_berth.md");

const PASSWORD: &str = "Old-secret-1";

/// An application and its service. What it is asked, and how it ends what was begun.
struct Application {
    name: &'static str,
    service: &'static str,
    /// Prints its version among other words.
    version: &'static str,
    /// Its files, and whatever else has to be there.
    set_up: &'static str,
    daemon: &'static [&'static str],
    log_in: fn(&Machine, user: &str) -> Option<Login>,
}

/// A login that works, and lasts until it is ended.
enum Login {
    /// By a line on a connection.
    Talk(Talk, &'static str),
    /// With its last process.
    Processes,
    /// With its daemon.
    Daemon,
}

/// Where the processes of a login are.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Berth,
    CapsOnly,
    Nowhere,
}

/// A conversation by lines.
struct Talk(BufReader<TcpStream>);

impl Talk {
    fn with(port: u16) -> Talk {
        let mut stream = None;
        let there = || {
            // xrdp-sesman takes the one for the other.
            let addresses = ["127.0.0.1", "::1"].map(|address| TcpStream::connect((address, port)));
            stream = addresses.into_iter().find_map(Result::ok);
            stream.is_some()
        };
        assert!(eventually(there), "nobody listens at {port}");
        Talk(BufReader::new(stream.unwrap()))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Says a line, and gives back the line of the answer that begins like this.
    fn ask(&mut self, line: &str, begins: &[&str]) -> String {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
        loop {
            let answer = self.line();
            let is_it = |begin: &&str| answer.starts_with(begin);
            if answer.is_empty() || begins.iter().any(is_it) {
                return answer;
            }
        }
    }
}

/// Logs in, and stays; `None` if that is refused.
fn by_ftp(machine: &Machine, port: u16, user: &str) -> Option<Login> {
    let mut talk = Talk::with(port);
    talk.ask(&format!("USER {user}"), &["331 "]);
    let answer = talk.ask(&format!("PASS {PASSWORD}"), &["230 ", "530 ", "421 "]);
    if !answer.starts_with("230 ") {
        return None;
    }
    // And files come and go whole, by another login.
    let home = format!("ftp://127.0.0.1:{port}");
    let curl = format!("curl -sS --max-time 60 -u {user}:{PASSWORD}");
    machine
        .host(&format!(
            "cd /root && head -c 300000 /dev/urandom >data && {curl} -T data {home}/data && {curl} {home}/data -o back \
             && cmp data back && test $(stat -c %U /home/{user}/data) = {user} && rm /home/{user}/data"
        ))
        .ok();
    Some(Login::Talk(talk, "QUIT"))
}

fn by_imap(_: &Machine, user: &str) -> Option<Login> {
    let mut talk = Talk::with(143);
    let answer = talk.ask(&format!("a LOGIN {user} {PASSWORD}"), &["a "]);
    if !answer.starts_with("a OK") {
        return None;
    }
    assert!(talk.ask("a SELECT INBOX", &["a "]).starts_with("a OK"));
    assert!(
        talk.ask("a APPEND INBOX {7}", &["+", "a "])
            .starts_with('+')
    );
    assert!(talk.ask("Hello!\n", &["a "]).starts_with("a OK"));
    let body = talk.ask("a FETCH 1 BODY[]", &["Hello!"]);
    assert!(body.starts_with("Hello!"), "{body}");
    Some(Login::Talk(talk, "a LOGOUT"))
}

fn by_sesman(machine: &Machine, user: &str) -> Option<Login> {
    drop(Talk::with(3350));
    let run = format!(
        "xrdp-sesrun -c /etc/xrdp/sesman.ini -t Xvnc -s 127.0.0.1 -p {PASSWORD} {user} 2>&1"
    );
    let said = machine.host(&run).stdout;
    if !said.contains("ok data=1") {
        return None;
    }
    has_a_desktop(machine, user);
    Some(Login::Processes)
}

fn by_cockpit(machine: &Machine, user: &str) -> Option<Login> {
    drop(Talk::with(9090));
    let curl =
        format!("curl -sS --max-time 60 -u {user}:{PASSWORD} http://127.0.0.1:9090/cockpit/login");
    machine
        .host(&curl)
        .stdout
        .contains("csrf-token")
        .then_some(Login::Daemon)
}

fn by_lightdm(machine: &Machine, user: &str) -> Option<Login> {
    let goes_on = || {
        let log = machine.host("cat /var/log/lightdm/lightdm.log").stdout;
        // And not of the one before.
        let mut running = Process::named("lightdm").into_iter();
        let is_its = running.any(|one| log.contains(&format!("UID=0 PID={}\n", one.0)));
        is_its && log.contains("Creating greeter session") || !desktop(machine, user).is_empty()
    };
    assert!(eventually(goes_on), "lightdm does nothing");
    if desktop(machine, user).is_empty() {
        return None;
    }
    has_a_desktop(machine, user);
    Some(Login::Processes)
}

/// What stands for the desktop, and ends when the user logs out of it.
fn desktop(machine: &Machine, user: &str) -> Vec<Process> {
    let all = machine.processes_of(user).into_iter();
    all.filter(|one| one.name() == "sleep").collect()
}

fn has_a_desktop(machine: &Machine, user: &str) {
    let there = eventually(|| !desktop(machine, user).is_empty());
    assert!(there, "no desktop: {:#?}", machine.log_lines());
}

const VSFTPD: Application = Application {
    name: "vsftpd",
    service: "vsftpd",
    version: "/berth/vsftpd -v 0>&1",
    set_up: "mkdir -p /run/vsftpd
        cat >/etc/vsftpd.conf <<END
listen=YES
listen_address=127.0.0.1
listen_port=2121
local_enable=YES
write_enable=YES
background=NO
session_support=YES
pam_service_name=vsftpd
secure_chroot_dir=/run/vsftpd
END",
    daemon: &["/berth/vsftpd", "/etc/vsftpd.conf"],
    log_in: |machine, user| by_ftp(machine, 2121, user),
};

const PROFTPD: Application = Application {
    name: "ProFTPD",
    service: "proftpd",
    version: "proftpd -v",
    set_up: "cat >/etc/proftpd.conf <<END
ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
Port 2121
User nobody
Group nogroup
AuthOrder mod_auth_pam.c* mod_auth_unix.c
AuthPAMConfig proftpd
PidFile /run/proftpd.pid
ScoreboardFile /run/proftpd.scoreboard
DelayTable /run/proftpd.delay
UseReverseDNS off
WtmpLog off
END",
    daemon: &["proftpd", "-n", "-c", "/etc/proftpd.conf"],
    log_in: |machine, user| by_ftp(machine, 2121, user),
};

const DOVECOT: Application = Application {
    name: "Dovecot",
    service: "dovecot",
    version: "dovecot --version",
    set_up: "mkdir -p /run/dovecot /var/lib/dovecot
        cat >/etc/dovecot.conf <<END
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
log_path = /root/dovecot.log
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
passdb {
  driver = pam
  args = session=yes dovecot
}
userdb {
  driver = passwd
}
service imap-login {
  inet_listener imaps {
    port = 0
  }
}
END",
    daemon: &["dovecot", "-F", "-c", "/etc/dovecot.conf"],
    log_in: by_imap,
};

/// An X server that shows nothing, and a desktop that does nothing.
const DESKTOP: &str = r#"mkdir -p /opt/x/sessions /tmp/.X11-unix
chmod 1777 /tmp/.X11-unix
printf '#!/bin/sh\nexec Xvfb "$1" -screen 0 640x480x24\n' >/opt/x/server
printf '#!/bin/sh\nexec sleep 1000\n' >/opt/x/desktop
printf '#!/bin/sh\nexec "$@"\n' >/opt/x/session
printf '[Desktop Entry]\nName=T\nExec=/opt/x/desktop\nType=Application\n' >/opt/x/sessions/test.desktop
chmod 755 /opt/x/*
"#;

const XRDP: Application = Application {
    name: "xrdp",
    service: "xrdp-sesman",
    version: "xrdp-sesman --version",
    set_up: "mkdir -p /etc/xrdp /run/xrdp/sockdir && chmod 1777 /run/xrdp/sockdir
        cat >/etc/xrdp/sesman.ini <<END
[Globals]
ListenAddress=127.0.0.1
ListenPort=3350
EnableUserWindowManager=false
DefaultWindowManager=/opt/x/desktop
ReconnectScript=/bin/true
[Security]
AllowRootLogin=false
MaxLoginRetry=4
[Sessions]
X11DisplayOffset=10
MaxSessions=50
Policy=Default
[Logging]
LogFile=/root/sesman.log
LogLevel=INFO
EnableSyslog=false
[Xvnc]
param=/opt/x/server
END",
    daemon: &["xrdp-sesman", "--nodaemon"],
    log_in: by_sesman,
};

const COCKPIT: Application = Application {
    name: "Cockpit",
    service: "cockpit",
    version: "/usr/lib/cockpit/cockpit-ws --version",
    set_up: "mkdir -p /etc/cockpit /run/cockpit",
    daemon: &[
        "/usr/lib/cockpit/cockpit-ws",
        "--no-tls",
        "--address=127.0.0.1",
        "--port=9090",
    ],
    log_in: by_cockpit,
};

const LIGHTDM: Application = Application {
    name: "LightDM",
    service: "lightdm-autologin",
    version: "lightdm --version 2>&1",
    set_up: r#"mkdir -p /etc/lightdm /run/lightdm /run/dbus /var/log/lightdm /var/cache/lightdm /var/lib/lightdm/data /var/lib/lightdm-data
        cat >/etc/lightdm/lightdm.conf <<END
[LightDM]
sessions-directory=/opt/x/sessions
log-directory=/var/log/lightdm
run-directory=/run/lightdm
cache-directory=/var/cache/lightdm
[Seat:*]
xserver-command=/opt/x/lightdms-server
session-wrapper=/opt/x/session
user-session=test
autologin-user=alice
END
        cat >/opt/x/lightdms-server <<'END'
#!/bin/sh
exec Xvfb "$1" -screen 0 640x480x24 -auth "$(echo "$*" | sed 's/.*-auth \([^ ]*\).*/\1/')"
END
        chmod 755 /opt/x/lightdms-server
        cat >/etc/bus.conf <<END
<busconfig>
<type>system</type>
<listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
END
        test -e /run/dbus/system_bus_socket || dbus-daemon --config-file=/etc/bus.conf --fork --nopidfile"#,
    daemon: &["lightdm"],
    log_in: by_lightdm,
};

/// Its stack: as those of all services, but with a password where there is one.
fn stack(service: &str) {
    let berth = Stack::default().module();
    let auth = match service {
        "lightdm-autologin" => "pam_permit.so",
        _ => "pam_unix.so nodelay",
    };
    let text = format!(
        "auth required {auth}\naccount required pam_unix.so\naccount required {berth}\n\
         password required pam_deny.so\nsession required pam_permit.so\nsession required {berth}\n"
    );
    std::fs::write(format!("/etc/pam.d/{service}"), text).unwrap();
}

/// Where all of the user's processes are, which have to be somewhere.
fn place(machine: &Machine, user: &str) -> Place {
    let folder = format!("/user-{}/", machine.uid(user));
    let places = || -> Vec<Place> {
        let all = machine.processes_of(user).into_iter();
        let all = all.filter(|one| !one.is_zombie());
        let one = |process: Process| {
            let in_cgroup = process.cgroup().unwrap_or_default().contains(&folder);
            let in_berth = process.namespace("mnt") != Process::own().namespace("mnt");
            match (in_cgroup, in_berth) {
                (true, true) => Place::Berth,
                (true, false) => Place::CapsOnly,
                (false, _) => Place::Nowhere,
            }
        };
        all.map(one).collect()
    };
    let mut seen = Vec::new();
    // Some are about to go there.
    let agree = eventually(|| {
        seen = places();
        !seen.is_empty() && seen.iter().all(|one| *one == seen[0])
    });
    assert!(agree, "{seen:?}");
    seen.remove(0)
}

/// The host's mounts, and what of a login's could be left.
fn traces(machine: &Machine) -> Vec<String> {
    let mut traces: Vec<String> = Process::own()
        .file("mountinfo")
        .lines()
        .map(String::from)
        .collect();
    for name in [
        "berth-helper",
        "berth-init",
        "sleep",
        "Xvfb",
        "cockpit-bridge",
        "imap",
    ] {
        let all = Process::named(name).into_iter();
        traces.extend(all.map(|one| format!("{name} {}", one.0)));
    }
    for folder in [
        "/run/berth/sessions".into(),
        machine.cgroups().root().join("berth"),
    ] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let user = name.strip_prefix("user-").and_then(|uid| uid.parse().ok());
            // Other tests have theirs in the same tree.
            user.is_none_or(|uid: u32| ["alice", "bob"].iter().any(|name| machine.uid(name) == uid))
                && !name.contains('.')
                && entry.file_type().is_ok()
        });
        traces.extend(
            entries
                .filter(|entry| {
                    entry.path().starts_with("/run")
                        || entry.file_name().to_string_lossy().starts_with("user-")
                })
                .map(|entry| entry.path().display().to_string()),
        );
    }
    traces
}

impl Application {
    /// Logs a user in and out, and says where the login was meanwhile; `None` if it was refused.
    fn tried(&self, machine: &Machine, users: &[&str]) -> Option<Vec<Place>> {
        let mut daemon = self.start();
        let before = traces(machine);
        let mut places = Vec::new();
        for user in users {
            let login = (self.log_in)(machine, user)?;
            places.push(place(machine, user));
            match login {
                Login::Talk(mut talk, last) => drop(talk.ask(last, &["221", "a OK", "* BYE"])),
                Login::Processes => desktop(machine, user).into_iter().for_each(Process::kill),
                Login::Daemon => daemon.stop(),
            }
            let gone = eventually(|| machine.processes_of(user).is_empty());
            assert!(gone, "{}: {user} is still there", self.name);
            let mut now = Vec::new();
            let restored = eventually(|| {
                now = traces(machine);
                now.retain(|one| !before.contains(one));
                now.is_empty()
            });
            assert!(restored, "{}: {now:#?}", self.name);
        }
        Some(places)
    }

    fn start(&self) -> Daemon {
        let mut command = Command::new(self.daemon[0]);
        command.args(&self.daemon[1..]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Daemon(Some(Background(command.spawn().expect("a daemon"))))
    }

    /// The line of the page's table.
    fn row(&self, machine: &Machine, without: &str, named: &str) -> String {
        let said = machine.host(self.version);
        let said = said.stdout + &said.stderr;
        let mut words = said.split(|c: char| c.is_whitespace() || c == '/' || c == ',' || c == '"');
        let is_version = |word: &&str| {
            word.contains('.')
                && word
                    .trim_start_matches('v')
                    .starts_with(|c: char| c.is_ascii_digit())
        };
        let version = words.find(is_version).unwrap_or_else(|| panic!("{said}"));
        format!(
            "| {} {} | `{}` | {without} | {named} |",
            self.name,
            version.trim_matches(|c: char| !c.is_ascii_digit()),
            self.service
        )
    }
}

/// A daemon, which ends by SIGTERM, and its children with it.
struct Daemon(Option<Background>);

impl Daemon {
    fn stop(&mut self) {
        if let Some(mut daemon) = self.0.take() {
            daemon.process().signal(nix::sys::signal::Signal::SIGTERM);
            eventually(|| matches!(daemon.0.try_wait(), Ok(Some(_))));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tries one without a rule for its service, with one that names it, and with one that denies.
fn try_application(machine: &Machine, application: &Application, users: &[&str]) {
    let set_password = users.iter().map(|user| format!("{user}:{PASSWORD}\n"));
    let set_password: String = set_password.collect();
    machine.host(&format!("printf '{set_password}' | chpasswd; grep -q /bin/sh /etc/shells || echo /bin/sh >>/etc/shells")).ok();
    machine
        .host(&format!("{DESKTOP}{}", application.set_up))
        .ok();
    stack(application.service);
    assert!(Path::new("/etc/pam.d").join(application.service).exists());

    let one = |policy: &str| {
        machine.policy_text(policy);
        let places = application.tried(machine, users)?;
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        Some(match places[0] {
            Place::Berth => "joined",
            Place::CapsOnly => "caps only",
            Place::Nowhere => "its account phase only",
        })
    };
    let policy = Policy::default().text();
    let rule = |line: &str| policy.replace("name = \"all\"", &format!("name = \"all\"\n{line}"));
    let without = one(&policy).expect("a login where no rule names the service");
    let service = format!("service = \"{}\"", application.service);
    let named = one(&rule(&service)).unwrap_or_else(|| {
        machine.logged("it has more than one thread");
        "refused: it has threads"
    });
    let denies = policy.replace("profile = \"test\"\n", "action = \"deny\"\n");
    assert_eq!(one(&denies), None, "who is denied");
    machine.logged("result=deny");
    let row = application.row(machine, without, named);
    let same = match cfg!(built_past_debian_12) {
        false => PAGE.contains(&row),
        // Another version.
        true => PAGE.contains(row.split_once("| `").expect("a row").1),
    };
    assert!(same, "docs/pam_berth.md should have:\n{row}");
}

#[test]
#[cfg_attr(no_vsftpd, ignore = "no vsftpd here, which tests/run fetches")]
fn vsftpd_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &VSFTPD, &["alice", "bob"]));
}

#[test]
#[cfg_attr(no_proftpd, ignore = "no proftpd here")]
fn proftpd_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &PROFTPD, &["alice", "bob"]));
}

/// One process of Dovecot's asks PAM about one user after the other.
#[test]
#[cfg_attr(no_dovecot, ignore = "no dovecot here")]
fn dovecot_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &DOVECOT, &["alice", "bob", "alice"]));
}

#[test]
#[cfg_attr(any(no_xrdp, no_xvfb), ignore = "no xrdp or Xvfb here")]
fn xrdp_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &XRDP, &["alice", "bob"]));
}

#[test]
#[cfg_attr(no_cockpit, ignore = "no cockpit-ws and cockpit-bridge here")]
fn cockpit_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &COCKPIT, &["alice"]));
}

#[test]
#[cfg_attr(
    any(no_lightdm, no_xvfb),
    ignore = "no lightdm, dbus-daemon or Xvfb here"
)]
fn lightdm_is_as_the_table_says() {
    Machine::run(|machine| try_application(machine, &LIGHTDM, &["alice"]));
}
