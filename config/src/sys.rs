//! The C library calls that std and uzers have not, each behind a safe function.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use users::os::unix::GroupExt;

/// A user has at most so many groups (the kernel's NGROUPS_MAX); NSS may claim more, and is not
/// believed.
pub(crate) const GROUPS_MAX: usize = 65_536;

/// Why a service of NSS could not be asked, where it says so. What it says where there is nothing to know is not among
/// them, nor what it may leave behind although it answered.
const UNREACHED: [i32; 12] = [
    libc::ECONNREFUSED,
    libc::ECONNRESET,
    // As SSSD has it, after its time.
    libc::EFAULT,
    libc::EHOSTUNREACH,
    libc::EIO,
    libc::EMFILE,
    libc::ENETUNREACH,
    libc::ENFILE,
    libc::ENOMEM,
    libc::EPIPE,
    libc::ETIME,
    libc::ETIMEDOUT,
];

/// The groups of a user, as far as NSS says.
pub(crate) struct GroupList {
    pub(crate) gids: Vec<u32>,
    /// There may be more: a service could not be asked.
    pub(crate) unreached: Option<io::Error>,
}

/// The GIDs of `user`: `gid` and every group that NSS lists. `None` when NSS lists more than the
/// kernel can give a process.
pub(crate) fn group_list(user: &CStr, gid: u32) -> Option<GroupList> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = libc::c_int::try_from(groups.len()).ok()?;
        // SAFETY: touches no memory.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: the thread's own errno, which is always there.
        unsafe { *errno = 0 };
        // SAFETY: `user` is NUL-terminated, `groups` has room for `count` entries, and both outlive
        // the call.
        let found =
            unsafe { libc::getgrouplist(user.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).ok()?;
        if found >= 0 {
            // getgrouplist passes over a service that fails, and tells nobody but by this.
            let left = io::Error::last_os_error();
            let is_unreached = left
                .raw_os_error()
                .is_some_and(|it| UNREACHED.contains(&it));
            groups.truncate(count);
            return Some(GroupList {
                gids: groups,
                unreached: is_unreached.then_some(left),
            });
        }
        // Too small: `count` says how many there are. A list that grows between two calls, or a
        // service that does not say, gets twice the room.
        let wanted = count.max(groups.len().saturating_mul(2));
        if groups.len() >= GROUPS_MAX {
            return None;
        }
        groups.resize(wanted.min(GROUPS_MAX), 0);
    }
}

/// Whether an account stands in this machine's own file.
pub(crate) fn is_local(user: &str) -> bool {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let mut lines = passwd.split(|byte| *byte == b'\n');
    lines.any(|line| line.split(|byte| *byte == b':').next() == Some(user.as_bytes()))
}

/// The name of a group, if it has one. uzers does not tell that from NSS that cannot answer.
pub(crate) fn group_name(gid: u32) -> io::Result<Option<String>> {
    const ROOM_MAX: usize = 64 << 20; // The line of a group has all its members.
    let mut room: Vec<libc::c_char> = vec![0; 4096];
    loop {
        let mut group = std::mem::MaybeUninit::<libc::group>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: the pointers are to live values, and `room` is as long as it is said to be.
        let error = unsafe {
            libc::getgrgid_r(
                gid,
                group.as_mut_ptr(),
                room.as_mut_ptr(),
                room.len(),
                &mut found,
            )
        };
        if !found.is_null() {
            // SAFETY: getgrgid_r has filled it.
            let group = unsafe { group.assume_init() };
            // SAFETY: the name is NUL-terminated, and in `room`.
            let name = unsafe { CStr::from_ptr(group.gr_name) };
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
        match error {
            // With any of these a service may say that there is none (getgrgid_r(3)).
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            libc::ERANGE if room.len() < ROOM_MAX => room.resize(room.len() * 4, 0),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Has a file that was opened without waiting be read to its end.
pub(crate) fn wait_for_the_end(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open, and there is no pointer.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The broken-down local time of a moment, and its offset from UTC in seconds.
pub(crate) fn local_time(seconds: i64) -> Option<(libc::tm, i64)> {
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right types.
    let filled = unsafe { libc::localtime_r(&seconds, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: localtime_r has filled it, and all-zero is a valid `tm` in any case.
    let broken_down = unsafe { broken_down.assume_init() };
    Some((broken_down, broken_down.tm_gmtoff))
}

/// The moment of a broken-down local time; of one that a change of the clock leaves out, or has twice, one that
/// is near.
pub(crate) fn moment(mut local: libc::tm) -> Option<i64> {
    local.tm_isdst = -1; // whichever it is then
    // SAFETY: the pointer is to a live value, which mktime may normalise.
    let seconds = unsafe { libc::mktime(&mut local) };
    (seconds != -1).then_some(seconds)
}

/// No moment yet.
pub(crate) fn no_time() -> libc::tm {
    // SAFETY: all-zero is a valid `tm`: numbers, and a pointer that may be null.
    unsafe { std::mem::zeroed() }
}

/// The machine's host name, as the kernel has it.
pub(crate) fn host_name() -> Option<String> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is as long as it is said to be.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    if result != 0 {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&buffer).ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// An account that NSS lists.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// All accounts that NSS lists, by name. Directories of many accounts (SSSD) often list none. `listed_so_far` is told
/// how many there are so far.
pub(crate) fn accounts(mut listed_so_far: impl FnMut(usize)) -> Vec<Account> {
    // SAFETY: walks getpwent's list, which is the process's own; no other thread of a command that
    // calls this looks accounts up meanwhile.
    let listed = unsafe { users::all_users() };
    let mut accounts: Vec<Account> = listed
        .enumerate()
        .map(|(before, account)| {
            listed_so_far(before + 1);
            Account {
                name: account.name().to_string_lossy().into_owned(),
                uid: account.uid(),
                gid: account.primary_group_id(),
            }
        })
        .collect();
    // Stable: of two with one name the first stays, which is the one that getpwnam answers with.
    accounts.sort_by(|one, other| one.name.cmp(&other.name));
    accounts.dedup_by(|later, first| later.name == first.name);
    accounts
}

/// A group that NSS lists.
pub(crate) struct ListedGroup {
    pub(crate) name: String,
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

/// All groups that NSS lists, in its order.
pub(crate) fn groups() -> Vec<ListedGroup> {
    // SAFETY: as above, of getgrent's list.
    let listed = unsafe { users::all_groups() };
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    listed
        .map(|group| ListedGroup {
            name: text(group.name()),
            gid: group.gid(),
            members: group.members().iter().map(|name| text(name)).collect(),
        })
        .collect()
}
