//! Other processes: ours end with us, and the end of any is something to wait for.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The process that `command` starts is killed when the thread that starts it ends, however that comes.
/// What that process itself starts is not.
pub fn end_with_parent(command: &mut Command) {
    let ask = || {
        // SAFETY: takes two numbers and touches no memory; a system call alone, as a fresh child needs.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// The process that `command` starts has none of our privileges, whatever the service manager gave us to
/// keep across programs (ambient capabilities); one that runs as root has those of root.
pub fn keep_privileges(command: &mut Command) {
    let drop_ambient = || {
        // SAFETY: takes numbers and touches no memory; a system call alone, as a fresh child needs.
        // A kernel before 4.3 refuses it, and has none.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
        Ok(())
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(drop_ambient) };
}

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
