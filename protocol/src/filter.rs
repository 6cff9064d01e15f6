//! A seccomp filter: the helper sends the module one, which both install in the same way.

use nix::errno::Errno;
use nix::libc;

use crate::Instruction;

/// Installs a seccomp filter (seccomp(2)) for this thread and all that it starts; needs no_new_privs or CAP_SYS_ADMIN.
///
/// What is filtered speculates as it did before. Kernels before 5.16 would else switch that off for it, for programs that
/// guard their memory from code of others in the same process; an interpreter may take twice as long by it. A berth's
/// programs are no less safe than they are without Berth.
pub fn install_filter(filter: &[Instruction]) -> Result<(), Errno> {
    let mut program: Vec<libc::sock_filter> = filter
        .iter()
        .map(|one| libc::sock_filter {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: program.len().try_into().map_err(|_| Errno::E2BIG)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program's length is its vector's, which lives until the end of this function.
    let installed = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    Errno::result(installed).map(drop)
}
