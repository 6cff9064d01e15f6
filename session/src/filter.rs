//! The seccomp filter of a berth, as classic BPF (seccomp(2)).
//!
//! It refuses two ways of typing into somebody else's terminal (`TIOCSTI`, `TIOCLINUX`): after an
//! interactive `su - user` the user's processes share root's terminal, and could type commands into
//! root's shell. And where there is no user namespace of Berth's whose limit would do it, it refuses
//! new user namespaces. In a network of one's own it refuses sockets that lead past it.
//!
//! Written here and not generated: existing generators answer system calls of the other word size
//! with a kill, which would break every 32-bit program, or let them by.

use berth_protocol::Instruction;
use nix::libc;

/// Whether the filter refuses user namespaces as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaces {
    /// The filter has nothing to say about them.
    Allowed,
    /// unshare and clone with `CLONE_NEWUSER` fail with EPERM. clone3 passes its flags in memory,
    /// which a filter cannot read, so it fails with ENOSYS and the C library falls back to clone.
    Refused,
}

/// Whether the filter refuses sockets of families that no network namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// The filter has nothing to say about them.
    Any,
    /// They fail with EPERM. So does socketcall for any socket, since it passes the family in memory: 32-bit programs of
    /// old C libraries have none. io_uring, which makes sockets without socket(2), fails with ENOSYS.
    OfTheNetwork,
}

/// The system calls of one architecture that the filter looks at.
struct Abi {
    /// `AUDIT_ARCH_*` (linux/audit.h).
    arch: u32,
    socket: u32,
    /// The call of old for all that is done with sockets.
    socketcall: Option<u32>,
    ioctl: u32,
    unshare: u32,
    clone: u32,
    clone3: u32,
}

/// The ABIs that a process can use on this machine.
#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_003e,
        socket: 41,
        socketcall: None,
        ioctl: 16,
        unshare: 272,
        clone: 56,
        clone3: 435,
    }, // x86-64
    Abi {
        arch: 0x4000_0003,
        socket: 359,
        socketcall: Some(102),
        ioctl: 54,
        unshare: 310,
        clone: 120,
        clone3: 435,
    }, // i386
];
#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_00b7,
        socket: 198,
        socketcall: None,
        ioctl: 29,
        unshare: 97,
        clone: 220,
        clone3: 435,
    }, // AArch64
    Abi {
        arch: 0x4000_0028,
        socket: 281,
        socketcall: None,
        ioctl: 54,
        unshare: 337,
        clone: 120,
        clone3: 435,
    }, // ARM
];

// Offsets in struct seccomp_data (linux/seccomp.h): nr, arch, instruction_pointer, args[6].
const NR: u32 = 0;
const ARCH: u32 = 4;
/// The low half of an argument on a little-endian machine, which all of the above are.
const fn argument(n: u32) -> u32 {
    16 + 8 * n
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
const ERRNO: u32 = 0x0005_0000; // SECCOMP_RET_ERRNO, the errno in the low bits
const KILL: u32 = 0x8000_0000; // SECCOMP_RET_KILL_PROCESS

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const CLONE_NEWUSER: u32 = 0x1000_0000;
/// AF_VSOCK, to the hypervisor and between all who are on its machine, and AF_QIPCRTR, to the processors of a Qualcomm
/// board. Other families are a network namespace's own, or the first one's alone.
const OF_NO_NETWORK: [u32; 2] = [40, 42];
/// What socketcall(2) is told to make a socket (linux/net.h).
const SYS_SOCKET: u32 = 1;
/// The same in all ABIs.
const IO_URING_SETUP: u32 = 425;
/// x32 system calls carry this bit under x86-64's arch. Debian and EL kernels have them switched off
/// by default; refusing them whole leaves no third numbering to get wrong.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// `A == value`: the next instruction; else the one after it.
fn unless_equal_skip(value: u32, skip: u8) -> Instruction {
    instruction(IF_EQUAL, value, 0, skip)
}

fn answer(value: u32) -> Instruction {
    instruction(RETURN, value, 0, 0)
}

fn refuse(errno: i32) -> Instruction {
    answer(ERRNO | errno as u32)
}

/// Builds the filter.
pub fn build(user_namespaces: UserNamespaces, sockets: Sockets) -> Vec<Instruction> {
    let mut program = Vec::new();
    for abi in &ABIS {
        let body = body(abi, user_namespaces, sockets);
        program.push(instruction(LOAD, ARCH, 0, 0));
        program.push(unless_equal_skip(abi.arch, body.len() as u8));
        program.extend(body);
    }
    // An architecture that the kernel can run and this list does not know: none of its calls have
    // been judged, so none may pass.
    program.push(refuse(libc::ENOSYS));
    program
}

/// What becomes of a process that makes a system call which it is not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It ends: a process that calls what it was not written to call is no longer ours.
    End,
    /// The call fails with ENOSYS, and a C library that has a newer one falls back to one that it is left.
    Fail,
}

/// A filter that leaves a process of this program these system calls, of the machine's own ABI.
pub fn only(calls: &[libc::c_long], others: Others) -> Vec<Instruction> {
    let [native, _] = &ABIS;
    let others = match others {
        Others::End => answer(KILL),
        Others::Fail => refuse(libc::ENOSYS),
    };
    let mut program = vec![
        instruction(LOAD, ARCH, 0, 0),
        instruction(IF_EQUAL, native.arch, 1, 0),
        others,
        instruction(LOAD, NR, 0, 0),
    ];
    for call in calls {
        program.extend([unless_equal_skip(*call as u32, 1), answer(ALLOW)]);
    }
    program.push(others);
    program
}

/// A system call whose n-th argument, counted from 0, is one of two values is refused, and else allowed.
fn refuse_with(call: u32, n: u32, [one, other]: [u32; 2]) -> [Instruction; 6] {
    [
        unless_equal_skip(call, 5),
        instruction(LOAD, argument(n), 0, 0),
        instruction(IF_EQUAL, one, 1, 0),
        unless_equal_skip(other, 1),
        refuse(libc::EPERM),
        answer(ALLOW),
    ]
}

/// What is asked of one ABI's calls; ends in an answer on every path.
fn body(abi: &Abi, user_namespaces: UserNamespaces, sockets: Sockets) -> Vec<Instruction> {
    let mut body = vec![instruction(LOAD, NR, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    body.extend([instruction(IF_ANY_BIT, X32, 0, 1), refuse(libc::ENOSYS)]);
    // The kernel takes the request as 32 bits, whatever stands above them.
    body.extend(refuse_with(abi.ioctl, 1, [TIOCSTI, TIOCLINUX]));
    if sockets == Sockets::OfTheNetwork {
        body.extend([unless_equal_skip(IO_URING_SETUP, 1), refuse(libc::ENOSYS)]);
        let socketcall = abi.socketcall.map(|call| (call, [SYS_SOCKET; 2]));
        for (call, values) in socketcall.into_iter().chain([(abi.socket, OF_NO_NETWORK)]) {
            body.extend(refuse_with(call, 0, values));
        }
    }
    if user_namespaces == UserNamespaces::Refused {
        body.extend([
            unless_equal_skip(abi.clone3, 1),
            refuse(libc::ENOSYS),
            instruction(IF_EQUAL, abi.unshare, 1, 0),
            unless_equal_skip(abi.clone, 3),
            // Both take their flags as the first argument.
            instruction(LOAD, argument(0), 0, 0),
            instruction(IF_ANY_BIT, CLONE_NEWUSER, 0, 1),
            refuse(libc::EPERM),
        ]);
    }
    body.push(answer(ALLOW));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPERM: u32 = ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = ERRNO | libc::ENOSYS as u32;

    /// Runs a program on one system call, as the kernel would.
    fn run(program: &[Instruction], arch: u32, nr: u32, args: [u32; 2]) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            match code {
                LOAD if k == NR => a = nr,
                LOAD if k == ARCH => a = arch,
                LOAD => a = args[((k - 16) / 8) as usize],
                IF_EQUAL => at += jump(a == k),
                IF_ANY_BIT => at += jump(a & k != 0),
                RETURN => return k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn typing_into_a_terminal_is_refused_in_every_abi_and_nothing_else_is() {
        for user_namespaces in [UserNamespaces::Allowed, UserNamespaces::Refused] {
            let program = build(user_namespaces, Sockets::OfTheNetwork);
            for abi in &ABIS {
                assert_eq!(run(&program, abi.arch, abi.ioctl, [0, TIOCSTI]), EPERM);
                assert_eq!(run(&program, abi.arch, abi.ioctl, [0, TIOCLINUX]), EPERM);
                assert_eq!(run(&program, abi.arch, abi.ioctl, [0, 0x5401]), ALLOW);
                assert_eq!(run(&program, abi.arch, 1, [0, TIOCSTI]), ALLOW);
            }
            assert_eq!(run(&program, 0x1234, 16, [0, 0]), ENOSYS);
        }
    }

    #[test]
    fn user_namespaces_are_refused_where_the_policy_says_so() {
        for (user_namespaces, flags, expected) in [
            (UserNamespaces::Refused, CLONE_NEWUSER | 17, EPERM),
            (UserNamespaces::Refused, 17, ALLOW),
            (UserNamespaces::Allowed, CLONE_NEWUSER, ALLOW),
        ] {
            let program = build(user_namespaces, Sockets::OfTheNetwork);
            for abi in &ABIS {
                assert_eq!(run(&program, abi.arch, abi.clone, [flags, 0]), expected);
                assert_eq!(run(&program, abi.arch, abi.unshare, [flags, 0]), expected);
                let clone3 = if user_namespaces == UserNamespaces::Refused {
                    ENOSYS
                } else {
                    ALLOW
                };
                assert_eq!(run(&program, abi.arch, abi.clone3, [0, 0]), clone3);
            }
        }
    }

    #[test]
    fn sockets_of_no_network_are_refused_however_they_are_asked_for_and_no_others() {
        let [any, own] = [Sockets::Any, Sockets::OfTheNetwork]
            .map(|sockets| build(UserNamespaces::Refused, sockets));
        for abi in &ABIS {
            let socket = |program: &[_], family| run(program, abi.arch, abi.socket, [family, 1]);
            for family in 0..64 {
                let refused = OF_NO_NETWORK.contains(&family);
                let expected = if refused { EPERM } else { ALLOW };
                assert_eq!(socket(&own, family), expected, "{family}");
                assert_eq!(socket(&any, family), ALLOW, "{family}");
            }
            let ring = |program: &[_]| run(program, abi.arch, IO_URING_SETUP, [8, 0]);
            assert_eq!([ring(&own), ring(&any)], [ENOSYS, ALLOW]);
            if let Some(nr) = abi.socketcall {
                let call = |program: &[_], call| run(program, abi.arch, nr, [call, 0]);
                assert_eq!(
                    [call(&own, 1), call(&own, 3), call(&any, 1)],
                    [EPERM, ALLOW, ALLOW]
                );
            }
        }
    }

    #[test]
    fn nothing_passes_but_the_calls_that_are_listed_and_only_in_the_machines_own_abi() {
        let calls = [libc::SYS_wait4, libc::SYS_exit_group];
        for (others, otherwise) in [(Others::End, KILL), (Others::Fail, ENOSYS)] {
            let program = only(&calls, others);
            let run = |abi: &Abi, nr| run(&program, abi.arch, nr, [0, 0]);
            for nr in 0..1000 {
                let listed = calls.contains(&libc::c_long::from(nr));
                let expected = if listed { ALLOW } else { otherwise };
                assert_eq!(run(&ABIS[0], nr), expected, "{nr}");
                assert_eq!(run(&ABIS[1], nr), otherwise, "{nr}");
            }
            let wait4 = libc::SYS_wait4 as u32;
            assert_eq!(run(&ABIS[0], 0x4000_0000 | wait4), otherwise);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn x32_is_no_way_round() {
        let program = build(UserNamespaces::Refused, Sockets::Any);
        assert_eq!(run(&program, ABIS[0].arch, X32 | 514, [0, TIOCSTI]), ENOSYS);
    }
}
