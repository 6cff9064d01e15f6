//! The system calls of a login: by which errors each may fail, and what of its arguments says which one it is.

use nix::errno::Errno;
use nix::errno::Errno::{
    EAGAIN, EBUSY, ECONNREFUSED, EINTR, EINVAL, EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM,
    ENOSPC, ENOSYS, EPERM,
};

/// What tells one occurrence of a call from another to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The path that is this argument.
    Path(usize),
    /// What the descriptor that is its first argument leads to.
    Descriptor,
    /// So many numbers.
    Numbers(usize),
}

/// A system call.
#[derive(Debug)]
pub struct Call {
    /// The name of its number.
    constant: &'static str,
    number: libc::c_long,
    /// What it may fail with, by its man page. None where it cannot fail, or its failure is that it does not end.
    pub errnos: &'static [Errno],
    /// What is shown of it.
    pub shown: Shown,
}

impl Call {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.constant.trim_start_matches("SYS_")
    }
}

macro_rules! calls {
    ($($call:ident $shown:expr => $($errno:ident)*;)*) => {
        const CALLS: &[Call] = &[$(Call {
            constant: stringify!($call),
            number: libc::$call,
            errnos: &[$($errno),*],
            shown: $shown,
        }),*];
    };
}

use Shown::{Descriptor, Numbers, Path};

calls! {
    SYS_accept4 Descriptor => EMFILE;
    SYS_access Path(0) => EIO;
    SYS_arch_prctl Numbers(1) =>;
    SYS_bind Descriptor => ENOMEM;
    SYS_brk Numbers(0) => ENOMEM;
    SYS_capget Numbers(0) => EPERM;
    SYS_capset Numbers(0) => EPERM;
    SYS_chdir Path(0) => ENOMEM EIO;
    SYS_chmod Path(0) => EIO EPERM;
    SYS_chown Path(0) => EIO EPERM;
    SYS_clock_gettime Numbers(1) =>;
    SYS_clock_nanosleep Numbers(0) => EINTR;
    SYS_clone Numbers(1) => EAGAIN ENOMEM;
    SYS_clone3 Numbers(0) => EAGAIN ENOSPC;
    SYS_close Descriptor => EIO;
    SYS_close_range Numbers(2) => ENOMEM;
    SYS_connect Descriptor => ECONNREFUSED EAGAIN;
    SYS_dup Descriptor => EMFILE;
    SYS_dup2 Numbers(2) => EBUSY;
    SYS_dup3 Numbers(2) => EBUSY;
    SYS_epoll_create1 Numbers(0) => EMFILE;
    SYS_epoll_ctl Descriptor => ENOMEM ENOSPC;
    SYS_epoll_wait Descriptor => EINTR;
    SYS_eventfd2 Numbers(0) => EMFILE;
    SYS_execve Path(0) => ENOMEM EIO;
    SYS_exit Numbers(1) =>;
    SYS_exit_group Numbers(1) =>;
    SYS_faccessat Path(1) => EIO;
    SYS_faccessat2 Path(1) => EIO;
    SYS_fallocate Descriptor => ENOSPC;
    SYS_fchdir Descriptor => EIO;
    SYS_fchmod Descriptor => EIO EPERM;
    SYS_fchmodat Path(1) => EIO EPERM;
    SYS_fchown Descriptor => EIO EPERM;
    SYS_fchownat Path(1) => EIO EPERM;
    SYS_fcntl Descriptor => EMFILE;
    SYS_fdatasync Descriptor => EIO;
    SYS_fgetxattr Descriptor => EIO;
    SYS_flock Descriptor => EINTR ENOLCK;
    SYS_fremovexattr Descriptor => EIO;
    SYS_fsetxattr Descriptor => ENOSPC EPERM;
    SYS_fstat Descriptor => ENOMEM;
    SYS_fstatfs Descriptor => EIO;
    SYS_fsync Descriptor => EIO;
    SYS_ftruncate Descriptor => EIO;
    SYS_futex Numbers(2) => EAGAIN;
    SYS_getcwd Numbers(0) => ENOMEM;
    SYS_getdents64 Descriptor => EIO;
    SYS_getegid Numbers(0) =>;
    SYS_geteuid Numbers(0) =>;
    SYS_getgid Numbers(0) =>;
    SYS_getpid Numbers(0) =>;
    SYS_getppid Numbers(0) =>;
    SYS_getpriority Numbers(2) => EPERM;
    SYS_getrandom Numbers(0) => EINTR ENOSYS;
    SYS_getresgid Numbers(0) =>;
    SYS_getresuid Numbers(0) =>;
    SYS_getsockname Descriptor => ENOBUFS;
    SYS_getsockopt Descriptor => ENOMEM;
    SYS_gettid Numbers(0) =>;
    SYS_getuid Numbers(0) =>;
    SYS_getxattr Path(0) => EIO;
    SYS_inotify_add_watch Path(1) => ENOSPC;
    SYS_inotify_init1 Numbers(0) => EMFILE;
    SYS_ioctl Numbers(2) => EIO;
    SYS_ioprio_get Numbers(1) => EPERM;
    SYS_ioprio_set Numbers(3) => EPERM;
    SYS_keyctl Numbers(1) => ENOMEM EPERM;
    SYS_kill Numbers(2) => EPERM;
    SYS_lchown Path(0) => EIO EPERM;
    SYS_lgetxattr Path(0) => EIO;
    SYS_link Path(1) => ENOSPC;
    SYS_listen Descriptor => ENOMEM;
    SYS_lremovexattr Path(0) => EIO;
    SYS_lseek Descriptor => EINVAL;
    SYS_lsetxattr Path(0) => ENOSPC EPERM;
    SYS_lstat Path(0) => ENOMEM;
    SYS_madvise Numbers(0) => EAGAIN;
    SYS_mkdir Path(0) => ENOSPC EIO;
    SYS_mkdirat Path(1) => ENOSPC EIO;
    SYS_mmap Numbers(0) => ENOMEM;
    SYS_mount Path(1) => ENOMEM EPERM;
    SYS_mount_setattr Path(1) => EPERM;
    SYS_move_mount Path(3) => ENOMEM EPERM;
    SYS_mprotect Numbers(0) => ENOMEM;
    SYS_mremap Numbers(0) => ENOMEM;
    SYS_munmap Numbers(0) => ENOMEM;
    SYS_newfstatat Path(1) => ENOMEM EIO;
    SYS_open Path(0) => EMFILE EIO;
    SYS_open_tree Path(1) => ENOMEM EPERM;
    SYS_openat Path(1) => EMFILE EIO;
    SYS_openat2 Path(1) => EMFILE EIO;
    SYS_personality Numbers(1) => EPERM;
    SYS_pidfd_open Numbers(0) => EMFILE ENOMEM;
    SYS_pidfd_send_signal Descriptor => EPERM;
    SYS_pipe2 Numbers(0) => EMFILE;
    SYS_pivot_root Path(0) => EBUSY EPERM;
    SYS_poll Numbers(0) => EINTR ENOMEM;
    SYS_ppoll Numbers(0) => EINTR ENOMEM;
    // Not EINVAL: that is the answer about a capability that this kernel does not have.
    SYS_prctl Numbers(2) => EPERM;
    SYS_pread64 Descriptor => EIO;
    SYS_prlimit64 Numbers(2) => EPERM;
    SYS_pwrite64 Descriptor => EIO ENOSPC;
    SYS_read Descriptor => EIO EINTR;
    SYS_readlink Path(0) => EIO ENOMEM;
    SYS_readlinkat Path(1) => EIO ENOMEM;
    SYS_recvfrom Descriptor => EINTR ENOMEM;
    // Berth's own do not wait, and so are not interrupted.
    SYS_recvmsg Descriptor => ENOBUFS ENOMEM;
    SYS_removexattr Path(0) => EIO;
    SYS_rename Path(1) => ENOSPC EIO;
    SYS_renameat Path(3) => ENOSPC EIO;
    SYS_renameat2 Path(3) => ENOSPC EIO;
    SYS_restart_syscall Numbers(0) =>;
    SYS_rmdir Path(0) => EBUSY EIO;
    SYS_rseq Numbers(0) => EINVAL;
    SYS_rt_sigaction Numbers(1) =>;
    SYS_rt_sigprocmask Numbers(1) =>;
    SYS_rt_sigreturn Numbers(0) =>;
    SYS_rt_sigtimedwait Numbers(0) => EINTR EAGAIN;
    SYS_sched_getaffinity Numbers(0) => EPERM;
    SYS_sched_getscheduler Numbers(1) => EPERM;
    SYS_sched_setaffinity Numbers(0) => EPERM;
    SYS_sched_setscheduler Numbers(2) => EPERM;
    SYS_sched_yield Numbers(0) =>;
    SYS_seccomp Numbers(2) => ENOMEM EPERM;
    SYS_sendmsg Descriptor => ENOBUFS EINTR;
    SYS_sendto Descriptor => ENOBUFS EINTR;
    SYS_set_mempolicy Numbers(1) => ENOSYS EPERM;
    SYS_set_robust_list Numbers(0) =>;
    SYS_set_tid_address Numbers(0) =>;
    SYS_setgid Numbers(1) => EPERM;
    SYS_setgroups Numbers(1) => ENOMEM EPERM;
    SYS_setns Numbers(2) => ENOMEM EPERM;
    SYS_setpgid Numbers(2) => EPERM;
    SYS_setpriority Numbers(2) => EPERM;
    SYS_setresgid Numbers(3) => EAGAIN EPERM;
    SYS_setresuid Numbers(3) => EAGAIN EPERM;
    SYS_setsid Numbers(0) => EPERM;
    SYS_setsockopt Descriptor => ENOMEM;
    SYS_setxattr Path(0) => ENOSPC EPERM;
    SYS_shutdown Descriptor => ENOMEM;
    SYS_sigaltstack Numbers(0) => ENOMEM;
    SYS_signalfd4 Numbers(0) => EMFILE ENOMEM;
    SYS_socket Numbers(2) => EMFILE ENFILE;
    SYS_socketpair Numbers(2) => EMFILE ENFILE;
    SYS_stat Path(0) => ENOMEM EIO;
    SYS_statfs Path(0) => EIO;
    SYS_statx Path(1) => ENOMEM EIO;
    SYS_symlink Path(1) => ENOSPC;
    SYS_sysinfo Numbers(0) => EPERM;
    SYS_tgkill Numbers(0) =>;
    SYS_timerfd_create Numbers(0) => EMFILE;
    SYS_timerfd_settime Descriptor => ENOMEM;
    SYS_truncate Path(0) => EIO;
    SYS_umask Numbers(1) =>;
    SYS_umount2 Path(0) => EBUSY ENOMEM;
    SYS_uname Numbers(0) =>;
    SYS_unlink Path(0) => EBUSY EIO;
    SYS_unlinkat Path(1) => EBUSY EIO;
    SYS_unshare Numbers(1) => ENOSPC EPERM;
    SYS_utimensat Descriptor => EPERM;
    SYS_vfork Numbers(0) => EAGAIN ENOMEM;
    SYS_wait4 Numbers(1) => EINTR;
    SYS_waitid Numbers(2) => EINTR;
    SYS_write Descriptor => EIO ENOSPC;
    SYS_writev Descriptor => EIO ENOSPC;
}

/// The call that has this number.
pub fn call(number: u64) -> Option<&'static Call> {
    let mut calls = CALLS.iter();
    calls.find(|call| u64::try_from(call.number) == Ok(number))
}

/// The call of this name.
pub fn named(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name() == name)
}
