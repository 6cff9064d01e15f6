//! The stage: what there is on the machine to be reached, and who tries to.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Background, Machine, Output, Process, Stack, Terminal, eventually};

use super::ipc::{ABSTRACT, KEY, OTHERS_KEY};
use super::targets::FILE;
use super::trying::PROGRAM;
use super::{Without, exhaustion};

/// What runs and is held on the machine for the attempts to aim at.
#[derive(Debug)]
pub struct Stage<'a> {
    machine: &'a mut Machine,
    targets: BTreeMap<&'static str, String>,
    other: Option<Background>,
    /// Root, who has come into that login's berth.
    entered: Option<[Background; 2]>,
    /// The user's processes outside of it.
    outside: Vec<Process>,
    /// What the targets are, whose name is of a process.
    are: BTreeMap<&'static str, String>,
    _victims: [Background; 2],
    _victims_terminal: Terminal,
    _roots: Terminal,
    _listening: (TcpListener, UnixListener, [UnixListener; 3]),
    _running: Vec<Background>,
}

/// The names in `targets` that the stage changes as it goes.
const OTHER: &str = "OTHER";

impl<'a> Stage<'a> {
    /// Sets it. `alice` will try, `bob` is the victim.
    pub fn set(machine: &'a mut Machine) -> Stage<'a> {
        // No number of a process inside a berth is one of a process outside.
        fs::write("/proc/sys/kernel/ns_last_pid", "30000").expect("ns_last_pid");
        keys_of_before(machine);
        machine.few_terminals();
        // Not half of the real machine's.
        machine.host("mount -o remount,size=1M /dev/shm").ok();
        machine.host("mount -o remount,size=4M /tmp").ok();
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            fs::write(format!("{folder}/of-the-host"), "").expect("a file of the host's");
        }
        machine.host(PROGRAMS).ok();
        let (alice, bob) = (machine.uid("alice"), machine.uid("bob"));
        let mut targets = BTreeMap::from([
            ("ALICE", alice.to_string()),
            ("COME_IN", COME_IN.into()),
            ("HOME", "/home/alice".into()),
            ("INIT", "1".into()),
            ("OWNER", (2_000_000_000 + alice).to_string()),
            ("SIGNALLED", "/home/alice/signalled".into()),
            ("TREE", machine.cgroups().root().display().to_string()),
        ]);
        objects(machine, alice, &mut targets);
        let delegated = delegated(machine, alice);
        let passing = |uid, door| as_user(uid, &["python3", "-c", PASSING, door, &delegated]);

        let outside = "trap 'touch /home/alice/signalled' URG; while :; do sleep 0.1; done";
        let running = vec![
            as_user(alice, &["sh", "-c", outside]),
            as_user(alice, &["sleep", "4711"]),
            as_user(0, &[PROGRAM, "observe", exhaustion::OBSERVERS[0]]),
            as_user(bob, &[PROGRAM, "observe", exhaustion::OBSERVERS[1]]),
            passing(alice, "/home/alice/passing"),
            as_user(
                alice,
                &["keyctl", "session", "ring-of-the-user", "sh", "-c", NAMED],
            ),
            passing(0, "/root/passing"),
        ];
        targets.insert("DELEGATED", delegated);
        targets.insert("OUTSIDE", running[0].process().0.to_string());
        targets.insert("SEEN", running[1].process().0.to_string());
        targets.insert("RINGS", running[5].process().0.to_string());
        let observe = format!("exec {PROGRAM} observe {}", exhaustion::OBSERVERS[2]);
        let observer = machine.ssh_background("bob", &observe);
        for path in exhaustion::OBSERVERS {
            assert!(eventually(|| open_to_all(path)), "no observer at {path}");
        }

        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let roots = Terminal::start(sleep);
        let device = fs::read_link(format!("/proc/{}/fd/0", roots.process().0));
        let device = device.expect("a terminal").display().to_string();
        targets.insert("ROOTS_TERMINAL", device);
        let (login, victim) = machine.stay("bob");
        let ready = |mark: &str| Path::new(mark).exists();
        for mark in ["/home/alice/passing", "/home/alice/ring", "/root/passing"] {
            assert!(eventually(|| ready(mark)), "no {mark}");
        }
        let mut terminal = machine.ssh_terminal("bob");
        targets.insert("VICTIMS_TERMINAL", terminal.run("tty"));
        targets.insert("VICTIM", victim.0.to_string());
        targets.insert("VICTIMS_CGROUP", cgroup_of(machine, victim));
        let session = machine
            .host("grep -l '\"user\":\"bob\"' /run/berth/sessions/* | head -n 1 | xargs basename");
        targets.insert("VICTIMS_SESSION", session.ok());

        let loopback = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = loopback.local_addr().expect("an address").port();
        targets.insert("PORT", port.to_string());
        let name = SocketAddr::from_abstract_name(ABSTRACT).expect("a name");
        let unnamed = UnixListener::bind_addr(&name).expect("listen");

        Stage {
            targets,
            other: None,
            entered: None,
            outside: machine.processes_of("alice"),
            are: BTreeMap::new(),
            _victims: [login, observer],
            _victims_terminal: terminal,
            _roots: roots,
            _listening: (
                loopback,
                unnamed,
                sockets(&alice.to_string()).map(|path| listen(&path, alice)),
            ),
            _running: running,
            machine,
        }
    }

    /// Has the user log in once more, under the policy that is now in force, and stay.
    pub fn log_in(&mut self, policy: &str) {
        self.end_logins();
        self.machine.policy_text(policy);
        let stay = format!(
            "touch /dev/mqueue/of-a-login; exec perl -e 'shmget({OTHERS_KEY}, 4096, 0x3ff) // die; sleep 1000'"
        );
        self.other = Some(self.machine.ssh_background("alice", &stay));
        let there = || Process::named("perl").into_iter().next();
        assert!(eventually(|| there().is_some()), "alice's other login");
        let process = there().expect("a process");
        self.targets.insert(OTHER, process.0.to_string());
        let keeper = Process::keepers().into_iter().max();
        let keeper = keeper.expect("bob's keeper, if no other");
        let standby = keeper.parent().expect("a standby");
        self.targets.insert("KEEPER", keeper.0.to_string());
        self.targets.insert("STANDBY", standby.0.to_string());
        let keepers = cgroup_of(self.machine, keeper);
        self.targets.insert("KEEPERS_CGROUP", keepers);
        let text: String = self.targets.iter().map(line).collect();
        fs::write(FILE, text).expect("write the targets");
        for name in [
            "KEEPER", "STANDBY", "OUTSIDE", "SEEN", "RINGS", "VICTIM", OTHER,
        ] {
            let is = identity(self.process(name));
            let is = is.unwrap_or_else(|| panic!("{name} is gone"));
            self.are.insert(name, is);
        }
        self.entered = session_of(process).map(|id| come_in(&id));
        self.assert_there();
    }

    /// Ends all that the user has running in berths, of which some would linger.
    fn end_logins(&mut self) {
        let Some(other) = self.other.take() else {
            return;
        };
        let inits = || -> usize {
            let inits = Process::named("berth-init").into_iter();
            inits.filter(|init| !init.is_zombie()).count()
        };
        drop(self.entered.take());
        other.end();
        let gone = eventually(|| {
            let all = self.machine.processes_of("alice").into_iter();
            all.filter(|one| !self.outside.contains(one))
                .for_each(Process::kill);
            // The victim's three logins go on, of which each has one.
            inits() <= 3 && Process::named("perl").is_empty()
        });
        assert!(gone, "the other login does not end");
    }

    /// Fails unless all that the attempts aim at is there: what is gone is out of everybody's reach.
    fn assert_there(&self) {
        for (name, is) in &self.are {
            let now = identity(self.process(name));
            assert_eq!(now.as_ref(), Some(is), "{name} is gone");
        }
        let [alice, other] = ["ALICE", OTHER].map(|name| self.targets[name].as_str());
        let (serial, port) = (&self.targets["SERIAL"], &self.targets["PORT"]);
        let there = format!(
            "set -e
            as_alice() {{ setpriv --reuid={alice} --regid={alice} --clear-groups \"$@\"; }}
            test $(as_alice ipcs -m -s -q | grep -c {KEY:#010x}) = 3
            test $(nsenter -t {other} -i ipcs -m | grep -c {OTHERS_KEY:#010x}) = 1
            nsenter -t {other} -m -i test -e /dev/mqueue/of-a-login
            as_alice keyctl session - keyctl describe {serial} 2>&1
            test -e /dev/mqueue/of-the-host -a -e /tmp/of-the-host -a -e /var/tmp/of-the-host -a -e /dev/shm/of-the-host
            test -e /root/secret -a -e /home/alice/passing -a -d {}
            test -e {} -a -e {} -a -d {}",
            self.targets["DELEGATED"],
            self.targets["ROOTS_TERMINAL"], self.targets["VICTIMS_TERMINAL"], self.targets["VICTIMS_CGROUP"]
        );
        let said = self.machine.host(&there);
        assert!(said.success(), "something is gone: {said:?}");
        for path in sockets(alice) {
            UnixStream::connect(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let name = SocketAddr::from_abstract_name(ABSTRACT).expect("a name");
        UnixStream::connect_addr(&name).expect("the abstract socket");
        TcpStream::connect(format!("127.0.0.1:{port}")).expect("the service");
    }

    fn process(&self, name: &str) -> Process {
        Process(self.targets[name].parse().expect("a PID"))
    }

    /// The user tries these in a login of their own, which root has come into as well where it is a berth.
    pub fn try_all(&mut self, names: &[&str]) -> String {
        let home = Path::new("/home/alice");
        let (go, session) = (home.join("go"), home.join("session"));
        for mark in ["go", "session", "by-rc", "by-profile"] {
            let _ = fs::remove_file(home.join(mark));
        }
        // A login without a command has the shell read ~/.profile.
        self.machine.ssh("alice", "").ok();
        let command = format!(
            "echo $BERTH_SESSION >part; mv part session; until test -e go; do sleep 0.05; done; exec {PROGRAM} try {}",
            names.join(" ")
        );
        let login = self.machine.ssh_background("alice", &command);
        assert!(eventually(|| session.exists()), "no login of alice's");
        let id = fs::read_to_string(&session).expect("the session's id");
        let entered = (!id.trim().is_empty()).then(|| come_in(id.trim()));
        fs::write(go, "").expect("go");
        let said = login.wait();
        drop(entered);
        self.assert_there();
        said.stdout
    }

    /// Whether the last login was put into a berth.
    pub fn was_in_a_berth(&self) -> bool {
        fs::read_to_string("/home/alice/session").is_ok_and(|id| !id.trim().is_empty())
    }

    /// Somebody tries one whom nothing keeps from it.
    pub fn try_without(&mut self, name: &str, without: Without, policy: &str) -> String {
        let mut init = self.init();
        if init.is_none_or(|init| init.is_zombie() || state(init).starts_with('T')) {
            self.log_in(policy);
            init = self.init();
        }
        let init = init.expect("the berth's init").0;
        let bob = self.machine.uid("bob");
        let here = format!("{PROGRAM} try {name}");
        // As they would be if a login program had left them open.
        let left_open = "8</ 9</proc/self/ns/ipc";
        let run = match without {
            Without::RootInside | Without::RootWithV1 => {
                format!("nsenter -t {init} -m -p -i -- unshare -m env INIT=1 {here}")
            }
            Without::RootInMounts => format!("nsenter -t {init} -m -i -- {here}"),
            Without::Victim => {
                format!("setpriv --reuid={bob} --regid={bob} --clear-groups {here}")
            }
            Without::NoBerth | Without::HostRoot | Without::ResourceRoot => {
                let other: Option<i32> = self.targets.get(OTHER).and_then(|pid| pid.parse().ok());
                let cgroup =
                    other.map_or(String::new(), |pid| cgroup_of(self.machine, Process(pid)));
                let parent = other.and_then(|pid| Process(pid).parent());
                let parent = parent.map_or(0, |parent| parent.0);
                format!("PARENT={parent} SESSIONS_CGROUP={cgroup} {here} {left_open}")
            }
        };
        let said: Output = self.machine.host(&format!("export INIT={init}; {run}"));
        said.stdout + &said.stderr
    }

    /// The init of the berth of the user's other login.
    fn init(&self) -> Option<Process> {
        let other = Process(self.targets.get(OTHER)?.parse().ok()?);
        let namespace = other.namespace("pid");
        let mut inits = Process::named("berth-init").into_iter();
        inits.find(|init| init.namespace("pid") == namespace)
    }
}

/// Hands out at a door the root directory and the mount namespace of where it runs, and a cgroup.procs to be written to.
const PASSING: &str = r#"
import os, socket, sys
door, cgroup = sys.argv[1:]
s = socket.socket(socket.AF_UNIX); s.bind(door); s.listen()
fds = [os.open(path, os.O_RDONLY) for path in ("/", "/proc/self/ns/mnt")]
fds.append(os.open(cgroup + "/cgroup.procs", os.O_WRONLY))
while True: socket.send_fds(s.accept()[0], [b"x"], fds)
"#;

/// Holds a session keyring that the user's other processes may join, with a key in it.
const NAMED: &str = "
    keyctl setperm @s 0x3f3f0000 && key=$(keyctl add user in-the-ring secret @s)
    keyctl setperm $key 0x3f3f0000 && touch /home/alice/ring && exec sleep 1000
";

/// Sockets of the user's outside.
fn sockets(alice: &str) -> [String; 3] {
    [
        "/tmp/agent".into(),
        format!("/run/user/{alice}/systemd/private"),
        format!("/run/user/{alice}/bus"),
    ]
}

/// As long as this file is there root comes in again and again.
const COME_IN: &str = "/home/alice/come-in";

/// Has root come into a session, to stay and, while the user wants it, again and again.
fn come_in(id: &str) -> [Background; 2] {
    let before = Process::named("sleep");
    let stays = Background::talking(&format!("/berth/berth enter {id} sleep 4712"));
    let hosts = Process::own().namespace("pid");
    let inside = || {
        let mut new = Process::named("sleep").into_iter();
        new.any(|one| {
            let is_it = one.command_line() == "sleep 4712" && one.namespace("pid") != hosts;
            is_it && !before.contains(&one)
        })
    };
    assert!(eventually(inside), "root cannot come in");
    let mut again = Command::new("sh");
    let script =
        format!("while :; do test -e {COME_IN} && /berth/berth enter {id} true || sleep 0.1; done");
    again.args(["-c", &script]);
    [stays, quiet(again)]
}

/// The session that a process is in.
fn session_of(process: Process) -> Option<String> {
    let environment = process.file("environ");
    let mut variables = environment.split('\0');
    let id = variables.find_map(|one| one.strip_prefix("BERTH_SESSION="));
    id.map(str::to_owned)
}

/// What a process is as long as it lives.
fn identity(process: Process) -> Option<String> {
    let uid = process.uid().filter(|_| !process.is_zombie())?;
    Some(format!("{} of {uid}", process.command_line()))
}

fn line((name, value): (&&'static str, &String)) -> String {
    format!("{name}={value}\n")
}

fn state(process: Process) -> String {
    process.status("State").unwrap_or_default()
}

fn cgroup_of(machine: &Machine, process: Process) -> String {
    let path = process.cgroup().unwrap_or_default();
    let root = machine.cgroups().root();
    root.join(path.trim_start_matches('/'))
        .display()
        .to_string()
}

/// A cgroup like that of a service manager of the user's, where systemd gives its user these files. It goes with the
/// machine.
fn delegated(machine: &Machine, alice: u32) -> String {
    let path = machine.cgroups().root().join(format!("berth-test-{alice}"));
    fs::create_dir(&path).expect("a cgroup");
    chown(&path, Some(alice), Some(alice)).expect("chown");
    for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(path.join(file), Some(alice), Some(alice)).expect("chown");
    }
    path.display().to_string()
}

fn as_user(uid: u32, program: &[&str]) -> Background {
    let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    let mut command = Command::new("setpriv");
    command.args([&uid, &gid, "--clear-groups"]).args(program);
    quiet(command)
}

fn quiet(mut command: Command) -> Background {
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Background(command.spawn().expect("start a process outside"))
}

/// Gives everybody access to a socket, once it is there.
fn open_to_all(path: &str) -> bool {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).is_ok()
}

fn listen(path: &str, owner: u32) -> UnixListener {
    let mut folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).expect("a folder for a socket");
    while folder.starts_with("/run/user/") {
        chown(folder, Some(owner), Some(owner)).expect("chown");
        folder = folder.parent().unwrap_or(Path::new("/"));
    }
    let listener = UnixListener::bind(path).expect("listen");
    open_to_all(path);
    listener
}

/// Every login gets a session keyring before it gets a berth, with a key in it.
fn keys_of_before(machine: &Machine) {
    fs::write(
        "/root/add-key",
        "#!/bin/sh\nkeyctl add user of-before secret @s\n",
    )
    .expect("a script");
    machine.host("chmod 755 /root/add-key").ok();
    machine.stack(&Stack {
        before: "session required pam_keyinit.so force\nsession required pam_exec.so seteuid /root/add-key"
            .into(),
        ..Stack::default()
    });
}

/// Programs with more rights than who starts them, a file that only they can read, and a chroot.
const PROGRAMS: &str = "
    cp /berth/berth-probe /berth/as-root && chmod 6755 /berth/as-root
    cp $(command -v cat) /berth/capable && setcap cap_dac_override+ep /berth/capable
    (umask 077; echo secret >/root/secret)
    mkdir -m 1777 /srv/observers
    mkdir -p /srv/chroot/proc && mount -t proc proc /srv/chroot/proc
    touch /dev/mqueue/of-the-host && chmod 666 /dev/mqueue/of-the-host
    mkdir /home/alice/.ssh
    echo '/berth/berth-escape one processes/hosts-seen >/home/alice/by-rc' >/home/alice/.ssh/rc
    echo '/berth/berth-escape one processes/hosts-seen >/home/alice/by-profile' >/home/alice/.profile
    mkdir -p /var/lib/berth && touch /var/lib/berth/policy.json
";

/// The user's own objects outside.
fn objects(machine: &Machine, alice: u32, targets: &mut BTreeMap<&'static str, String>) {
    let as_alice = format!("setpriv --reuid={alice} --regid={alice} --clear-groups");
    let flags = "0x3b6"; // IPC_CREAT, and everybody may read and write
    let make = format!(
        "{as_alice} perl -e '
            shmget({KEY}, 4096, {flags}) // die; semget({KEY}, 1, {flags}) // die; msgget({KEY}, {flags}) // die'"
    );
    machine.host(&make).ok();
    // In the user's keyring, and in the persistent one; of the first any process of the user's may read.
    let keys = format!(
        "{as_alice} keyctl session - sh -c '
            keyctl link @u @s; key=$(keyctl add user of-the-user secret @u); keyctl setperm $key 0x3f3f0000 && echo $key
            awk \"/ _uid.{alice}:/ {{ print \\$1 }}\" /proc/keys
            keyctl add user of-the-user secret $(keyctl get_persistent @s) >/dev/null'"
    );
    let said = machine.host(&keys).ok();
    let mut lines = said.lines().map(str::trim);
    let serial = lines.next().unwrap_or_default().to_owned();
    let ring = u32::from_str_radix(lines.next().unwrap_or_default(), 16);
    targets.insert("SERIAL", serial);
    targets.insert("RING", ring.expect("the user's keyring").to_string());
}
