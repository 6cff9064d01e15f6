/*
 * Lets user-mode Linux of Linux 6.1 run on CPUs with AMX.
 *
 * That kernel keeps 2,696 bytes of its processes' vector registers. Where the CPU has AMX the state is
 * larger, and the host's ptrace refuses to set a part of it (EFAULT; the guest's init dies at once). This
 * library is preloaded into linux.uml: it sets the part that the guest knows and leaves the rest as it is.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char whole[1 << 16];

long ptrace(enum __ptrace_request request, ...)
{
	__builtin_va_list arguments;
	__builtin_va_start(arguments, request);
	long pid = __builtin_va_arg(arguments, int);
	void *address = __builtin_va_arg(arguments, void *);
	void *data = __builtin_va_arg(arguments, void *);
	__builtin_va_end(arguments);

	/* As in glibc: these requests give their result through the pointer. */
	long peeked = 0;
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER)
		data = &peeked;

	struct iovec all = { whole, sizeof whole };
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
		struct iovec *part = data;
		if (!syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &all) && part->iov_len < all.iov_len) {
			memcpy(whole, part->iov_base, part->iov_len);
			data = &all;
		}
	}
	long result = syscall(SYS_ptrace, request, pid, address, data);
	return data == &peeked && result == 0 ? peeked : result;
}
