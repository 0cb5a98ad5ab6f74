//! Other processes: the end of any is something to wait for.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A descriptor that is readable once the process `number` has ended.
///
/// # Errors
/// When there is no such process, or the kernel is older than 5.3.
pub fn watch_end(number: u32) -> io::Result<OwnedFd> {
    let number = libc::pid_t::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes two numbers and touches no memory.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
    match i32::try_from(answer) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
        Ok(descriptor @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn the_end_of_a_process_can_be_awaited() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let end = watch_end(child.id()).unwrap();
        let over = |limit| poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], limit).unwrap() == 1;
        assert!(!over(PollTimeout::ZERO));
        child.kill().unwrap();
        assert!(over(PollTimeout::from(60_000u16)));
        child.wait().unwrap();
        assert_eq!(watch_end(u32::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
