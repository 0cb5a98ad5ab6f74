//! Socket options for which no wrapper exists.

use nix::errno::Errno;
use std::{
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Sets an option whose value is the plain kernel structure or integer `Value`.
pub(crate) fn set<Value: Copy>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &Value,
) -> Result<(), Errno> {
    let length = size_of::<Value>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`, which is borrowed for the call.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length) };
    Errno::result(done).map(drop)
}
