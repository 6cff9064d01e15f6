//! Becoming more than one is, and doing what only the host's root may.

use std::fs::{File, OpenOptions};
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresuid, setuid};

use crate::Process;

use super::Promise::UserNamespace;
use super::Without::NoBerth;
use super::{Attempt, Verdict, call, pointer, shell, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    shell(
        "setuid-program",
        "a setuid program",
        "who=$(/berth/as-root who) || exit 2; echo \"$who\" | grep -q 'euid 0'",
    )
    .stopped_by(&["status 1"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    shell(
        "setgid-program",
        "a setgid program",
        "who=$(/berth/as-root who) || exit 2; echo \"$who\" | grep -q 'egid 0'",
    )
    .stopped_by(&["status 1"])
    .promised_by(UserNamespace)
    .without(NoBerth),
    call(
        "capable-program",
        "a program with file capabilities",
        |_| {
            let ran = Command::new("/berth/capable").arg("/root/secret").output();
            match ran {
                Ok(ran) if ran.status.success() => Verdict::Escaped("it was read".into()),
                Ok(ran) => Verdict::Held(String::from_utf8_lossy(&ran.stderr).trim().into()),
                Err(error) => Verdict::of_io::<()>(Err(error)),
            }
        },
    )
    .promised_by(UserNamespace)
    .without(NoBerth),
    call("uid-0", "UID 0", |_| Verdict::of(setuid(Uid::from_raw(0)))),
    call("owners-uid", "the UID that owns the berth", |to| {
        let owner = Uid::from_raw(to.number("OWNER"));
        Verdict::of(setresuid(owner, owner, owner))
    })
    .stopped_by(&["EPERM", "EINVAL"]), // no user namespace has it
    call("group-0", "another group", |_| {
        Verdict::of(setgroups(&[Gid::from_raw(0)]))
    }),
    call("capabilities", "a capability, by capset", |_| {
        // Version 3, this process; then effective, permitted, inheritable, twice.
        let (header, sys_admin) = ([0x2008_0522_u32, 0], 1 << 21);
        let sets = [sys_admin, sys_admin, 0, 0, 0, 0_u32];
        let (header, sets) = (header.as_ptr() as u64, sets.as_ptr() as u64);
        Verdict::of(system_call(libc::SYS_capset, &[header, sets]))
    }),
    call(
        "held-capabilities",
        "a capability that the login was left with: inheritable, permitted, effective or ambient",
        |_| {
            let is_held = |set: &&str| {
                let bits = Process::own().status(set).expect("its capabilities");
                bits.bytes().any(|digit| digit != b'0')
            };
            let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
            Verdict::found(sets.into_iter().find(is_held).map(Into::into))
        },
    )
    .stopped_by(&["nothing there"]),
    shell(
        "nested-capable-program",
        "file capabilities that root of a user namespace gives on an overlay, outside of both",
        NESTED_CAPABLE,
    ),
    shell(
        "enter",
        "`berth enter` into another user's session",
        "/berth/berth enter $VICTIMS_SESSION true",
    )
    .stopped_by(&["only root may enter sessions"]),
    call("secrets", "reading /etc/shadow", |_| {
        Verdict::of_io(File::open("/etc/shadow"))
    }),
    call(
        "preload",
        "a library for every program, /etc/ld.so.preload",
        |_| write("/etc/ld.so.preload", true),
    ),
    call(
        "kernels-helper",
        "another program for the kernel to start, kernel.poweroff_cmd",
        |_| write("/proc/sys/kernel/poweroff_cmd", false),
    ),
    call(
        "sysctl",
        "a setting of the kernel's, vm.overcommit_memory",
        |_| write("/proc/sys/vm/overcommit_memory", false),
    ),
    call("pam", "another PAM stack", |_| {
        write("/etc/pam.d/sshd", false)
    }),
    call("policy", "another policy", |_| {
        write("/etc/berth/policy.toml", false)
    }),
    call("loaded-policy", "another policy in force", |_| {
        write("/var/lib/berth/policy.json", true)
    }),
    call(
        "reboot",
        "reboot, with numbers that it does not take",
        |_| {
            Verdict::but(
                system_call(libc::SYS_reboot, &[0, 0, 0, 0]),
                &[Errno::EINVAL],
            )
        },
    ),
    call("host-name", "the host's name", |_| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim_end();
        let arguments = [name.as_ptr() as u64, name.len() as u64];
        Verdict::of(system_call(libc::SYS_sethostname, &arguments))
    }),
    call("swap", "swapon of what is not there", |_| {
        let swap = system_call(libc::SYS_swapon, &[pointer(c"/not-there"), 0]);
        Verdict::but(swap, &[Errno::ENOENT])
    }),
    call("process-accounting", "acct of what is not there", |_| {
        let acct = system_call(libc::SYS_acct, &[pointer(c"/not-there")]);
        Verdict::but(acct, &[Errno::ENOENT])
    }),
    call("clock", "the machine's clock", |_| {
        // ADJ_OFFSET_SINGLESHOT, and an offset of nothing: who may not change the clock may not ask for that either.
        let mut change = [0_u64; 26];
        change[0] = 0x8001;
        Verdict::of(system_call(
            libc::SYS_adjtimex,
            &[change.as_mut_ptr() as u64],
        ))
    }),
];

/// Whoever it is that gave them, the user tries what they are good for.
const NESTED_CAPABLE: &str = r#"
    PATH=$PATH:/usr/sbin:/sbin # setcap's
    at=/home/alice/overlay; rm -rf $at; mkdir -p $at/lower $at/upper $at/work $at/both
    options=userxattr,lowerdir=$at/lower,upperdir=$at/upper,workdir=$at/work
    nested "mount -t overlay -o $options none $at/both && cp /bin/cat $at/both/ &&
        setcap cap_dac_override+ep $at/both/cat" || exit
    if [ "$(id -u)" = 0 ]; then user="setpriv --reuid=$ALICE --regid=$ALICE --clear-groups"; fi
    $user $at/upper/cat /root/secret
"#;

fn write(path: &str, create: bool) -> Verdict {
    let mut options = OpenOptions::new();
    // Opened and not written to: the kernel asks for the right when it is opened.
    let opened = options.append(true).create(create).open(path);
    Verdict::of_io(opened)
}
