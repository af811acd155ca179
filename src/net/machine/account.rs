// SPDX-License-Identifier: Apache-2.0
//! The account that the process runs as. A process that was started as root changes to another one for good, and keeps
//! the right to bind ports below 1024 alone, for reloads and for the program of an upgrade.

use std::ffi::{CStr, CString};
use std::io;

use super::check;

/// An account that a process may change to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    user: libc::uid_t,
    group: libc::gid_t,
    /// Its name, where the machine knows one: then it has supplementary groups.
    name: Option<CString>,
}

/// Does this process run as root?
pub(crate) fn is_root() -> bool {
    // SAFETY: the call takes no pointers and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

impl Account {
    /// `NAME`, `NAME:GROUP` or numbers in their place. A number that the machine has no name for needs a group.
    pub(crate) fn parse(text: &str) -> io::Result<Account> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let known = user_named(name)?;
        let user = known.as_ref().map(|(user, _, _)| *user).or_else(|| name.parse().ok());
        let user = user.ok_or_else(|| unknown("user", name))?;
        let group = match (group, &known) {
            (Some(group), _) => group_named(group)?,
            (None, Some((_, group, _))) => *group,
            (None, None) => return Err(io::Error::other(format!("`{name}` has no name here and needs a `:GROUP`"))),
        };
        Ok(Account { user, group, name: known.map(|(_, _, name)| name) })
    }

    /// Does this process run as this account already?
    pub(crate) fn is_own(&self) -> bool {
        // SAFETY: the call takes no pointers and cannot fail.
        unsafe { libc::geteuid() == self.user }
    }

    /// Changes all threads of the process to this account. The calling thread, and threads and programs that it starts
    /// afterwards, may bind ports below 1024; other threads that run already may not.
    pub(crate) fn assume(&self) -> io::Result<()> {
        // SAFETY: the call takes no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })?;
        match &self.name {
            // SAFETY: the name is a C string that lives until the call returns.
            Some(name) => check(unsafe { libc::initgroups(name.as_ptr(), self.group) })?,
            // SAFETY: a list of no groups needs no memory.
            None => check(unsafe { libc::setgroups(0, std::ptr::null()) })?,
        };
        // SAFETY: the call takes no pointers; the C library makes it on all threads.
        check(unsafe { libc::setgid(self.group) })?;
        // SAFETY: as above.
        check(unsafe { libc::setuid(self.user) })?;
        keep_bind_right()?;
        // The kernel takes `/proc/self` and core dumps away from a process that changes its user.
        // SAFETY: the call takes no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
    }
}

/// Gives up every capability but the one for ports below 1024. That one is kept where the process had it.
fn keep_bind_right() -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut sets = [CapabilitySets::default(); 2];
    // SAFETY: header and sets have the layout of this version and live until the call returns.
    let read = unsafe { libc::syscall(libc::SYS_capget, &header, &mut sets) };
    check(read as libc::c_int)?;
    let kept = sets[0].permitted & CAP_NET_BIND_SERVICE;
    sets = [CapabilitySets { effective: kept, permitted: kept, inheritable: kept }, CapabilitySets::default()];
    // SAFETY: as above.
    let written = unsafe { libc::syscall(libc::SYS_capset, &header, &sets) };
    check(written as libc::c_int)?;
    if kept != 0 {
        let number = CAP_NET_BIND_SERVICE.trailing_zeros() as libc::c_ulong;
        let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        // SAFETY: the call takes no pointers.
        check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number, 0, 0) })?;
    }
    Ok(())
}

/// Number, group and name of a user. `None` where the machine knows none of that name or number.
fn user_named(name: &str) -> io::Result<Option<(libc::uid_t, libc::gid_t, CString)>> {
    let text = CString::new(name)?;
    let mut buffer = vec![0; ENTRY_BYTES];
    // SAFETY: an all-zero passwd is valid: its pointers are null.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let (at, length) = (buffer.as_mut_ptr(), buffer.len());
    let code = match name.parse::<libc::uid_t>() {
        // SAFETY: all pointers are to memory that lives until the call returns; the length is the buffer's.
        Ok(number) => unsafe { libc::getpwuid_r(number, &mut entry, at, length, &mut found) },
        // SAFETY: as above.
        Err(_) => unsafe { libc::getpwnam_r(text.as_ptr(), &mut entry, at, length, &mut found) },
    };
    if found.is_null() {
        return if is_absent(code) { Ok(None) } else { Err(io::Error::from_raw_os_error(code)) };
    }
    // SAFETY: the entry was found, so its name is a C string in `buffer`, which is still there.
    let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
    Ok(Some((entry.pw_uid, entry.pw_gid, name)))
}

fn group_named(name: &str) -> io::Result<libc::gid_t> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = CString::new(name)?;
    let mut buffer = vec![0; ENTRY_BYTES];
    // SAFETY: an all-zero group is valid: its pointers are null.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let (at, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: all pointers are to memory that lives until the call returns; the length is the buffer's.
    let code = unsafe { libc::getgrnam_r(text.as_ptr(), &mut entry, at, length, &mut found) };
    match (found.is_null(), is_absent(code)) {
        (false, _) => Ok(entry.gr_gid),
        (true, true) => Err(unknown("group", name)),
        (true, false) => Err(io::Error::from_raw_os_error(code)),
    }
}

/// What getpwnam_r(3) lists as ways to say that there is no such name.
fn is_absent(code: libc::c_int) -> bool {
    [0, libc::ENOENT, libc::ESRCH, libc::EBADF, libc::EPERM].contains(&code)
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} `{name}`"))
}

/// Room for one entry of the user or group database; groups with thousands of members are cut off with ERANGE.
const ENTRY_BYTES: usize = 64 * 1024;
/// `_LINUX_CAPABILITY_VERSION_3`: 64 capabilities, in two words.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// The bit of `CAP_NET_BIND_SERVICE` in the first word.
const CAP_NET_BIND_SERVICE: u32 = 1 << 10;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    /// Zero is the calling thread.
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        let root = Account::parse("root").unwrap();
        assert_eq!((root.user, root.group), (0, 0));
        assert_eq!(Account::parse("0").unwrap(), root);
        assert_eq!(Account::parse("root:7").unwrap().group, 7);
        assert_eq!(Account::parse("3999999:8").unwrap(), Account { user: 3_999_999, group: 8, name: None });
        assert_eq!(root.is_own(), is_root());
    }

    #[test]
    fn what_nobody_knows_is_said() {
        for (text, words) in [("no-such-user", "no user"), ("root:no-such-group", "no group"), ("3999999", ":GROUP")] {
            let error = Account::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(Account::parse("").is_err() && Account::parse("a\0b").is_err());
    }
}
