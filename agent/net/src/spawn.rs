//! Starting programs without copying this process.
//!
//! ```text
//!   parent: clone(VM | VFORK) ........ waits ........ has pid and pidfd
//!              `-> child, in the parent's memory: system calls only -> execve
//! ```
//!
//! `fork` copies page tables and makes every page that is written later fault: with a thousand
//! programs a second that was most of what the runner used. The child here borrows the parent's
//! memory until it becomes the program, as `posix_spawn` has it; that one lacks a death signal and
//! another user.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr::null;
use std::sync::atomic::{AtomicI32, Ordering};

/// Bytes of stack for a child, which calls nothing but the kernel.
const STACK_BYTES: usize = 64 << 10;
const STACK_ALIGN: usize = 16;
/// Signals of Linux.
const SIGNALS: c_int = 64;

/// A program that runs, as a child of this process and the leader of a process group.
#[derive(Debug)]
pub struct Started {
    /// Its number, valid until it was waited for.
    pub pid: Pid,
    /// Readable once it has ended.
    pub end: OwnedFd,
}

/// Starts programs, one at a time.
#[derive(Debug)]
pub struct Spawner {
    nothing: File,
    environment: Vec<CString>,
    stack: Vec<u8>,
}

/// What a child is to do. It lives in the parent's memory, on the stack of [`Spawner::spawn`].
struct Plan {
    argv: *const *const c_char,
    environment: *const *const c_char,
    nothing: RawFd,
    output: RawFd,
    user: Option<(u32, u32)>,
    /// Why it failed; 0 while it did not.
    error: AtomicI32,
}

impl Spawner {
    /// One that hands on the environment of now.
    ///
    /// # Errors
    /// When `/dev/null` cannot be opened.
    pub fn new() -> io::Result<Self> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            CString::new(entry).ok()
        });
        let stack = vec![0; STACK_BYTES];
        Ok(Self { nothing: File::open("/dev/null")?, environment: environment.collect(), stack })
    }

    /// Starts `argv` (the path of a program, then its arguments) in `/`, without input, with both
    /// outputs to `output` and every signal as the kernel has it, for `user` (numbers of user and
    /// group, and no further group). It has none of our privileges, whatever the service manager gave us to keep across programs
    /// (ambient capabilities); one that runs as root has those of root. It is killed when the calling
    /// thread ends; what it starts itself is not.
    ///
    /// # Errors
    /// Why it cannot be executed, or the user not be taken on.
    pub fn spawn(
        &mut self,
        argv: &[String],
        user: Option<(u32, u32)>,
        output: BorrowedFd<'_>,
    ) -> io::Result<Started> {
        let argv: Vec<CString> =
            argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
        if argv.is_empty() || output.as_raw_fd() <= 2 || self.nothing.as_raw_fd() <= 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let pointers = |words: &[CString]| -> Vec<*const c_char> {
            words.iter().map(|word| word.as_ptr()).chain([null()]).collect()
        };
        let (arguments, environment) = (pointers(&argv), pointers(&self.environment));
        let mut plan = Plan {
            argv: arguments.as_ptr(),
            environment: environment.as_ptr(),
            nothing: self.nothing.as_raw_fd(),
            output: output.as_raw_fd(),
            user,
            error: AtomicI32::new(0),
        };
        // A handler of ours must not run in the child, which shares our memory.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let started = clone(&mut self.stack, &mut plan);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        let started = started?;
        match plan.error.load(Ordering::Relaxed) {
            0 => Ok(started),
            error => {
                let _ = waitpid(started.pid, None);
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }
}

/// Runs [`child`] on `stack`; returns when it has become another program, or ended.
fn clone(stack: &mut [u8], plan: &mut Plan) -> io::Result<Started> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let end = stack.as_mut_ptr_range().end;
    let top = end.wrapping_sub(end as usize % STACK_ALIGN);
    let mut pidfd: RawFd = -1;
    // SAFETY: the stack is ours alone and large enough for `child`, which ends or leaves our memory
    // before `clone` returns (VFORK); so `plan` and what it points to outlive it. The kernel writes
    // one descriptor into `pidfd`.
    let pid =
        unsafe { libc::clone(child, top.cast(), flags, std::ptr::from_mut(plan).cast(), &raw mut pidfd) };
    if pid < 0 || pidfd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
    let end = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Started { pid: Pid::from_raw(pid), end })
}

/// The child: no allocation, no lock, nothing but system calls.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its plan, and waits in `clone` until we are gone.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let failed = prepare(plan).and_then(|()| {
        // SAFETY: both lists and all that they point to are the waiting parent's, ended by null.
        call(unsafe { libc::execve(*plan.argv, plan.argv, plan.environment) }.into())
    });
    plan.error.store(failed.map_or_else(|error| error as i32, |()| libc::ENOEXEC), Ordering::Relaxed);
    // SAFETY: ends this process and does not return.
    unsafe { libc::_exit(127) }
}

/// What precedes the program. The C library's `setuid` and its like are avoided: they would look
/// for the threads of the parent, whose memory this is.
fn prepare(plan: &Plan) -> Result<(), Errno> {
    for signal in 1..=SIGNALS {
        // SAFETY: takes two numbers; handlers are the child's own. Some signals are refused: no matter.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: numbers, and a text that ends with a null byte.
    unsafe {
        call(libc::setpgid(0, 0).into())?;
        call(libc::chdir(c"/".as_ptr()).into())?;
        for (from, to) in [(plan.nothing, 0), (plan.output, 1), (plan.output, 2)] {
            call(libc::dup2(from, to).into())?;
        }
    }
    if let Some((user, group)) = plan.user {
        // SAFETY: numbers, and an empty list.
        unsafe {
            call(libc::syscall(libc::SYS_setgid, group))?;
            // Whoever we are: our groups may read what another user's program must not, passwords among it.
            call(libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()))?;
            call(libc::syscall(libc::SYS_setuid, user))?;
        }
    }
    // SAFETY: takes numbers and touches no memory.
    unsafe {
        // A kernel before 4.3 refuses it, and has none.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        // Last of all: another user takes it back.
        call(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
    }
    SigSet::empty().thread_set_mask()
}

fn call(answer: c_long) -> Result<(), Errno> {
    if answer < 0 { Err(Errno::last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::WaitStatus;
    use std::io::{Read, pipe};
    use std::os::fd::AsFd;

    fn run(argv: &[&str], user: Option<(u32, u32)>) -> io::Result<(WaitStatus, String)> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let (mut from, to) = pipe()?;
        let started = Spawner::new()?.spawn(&argv, user, to.as_fd())?;
        drop(to);
        let mut said = String::new();
        from.read_to_string(&mut said)?;
        Ok((waitpid(started.pid, None)?, said))
    }

    #[test]
    fn a_program_has_its_arguments_the_environment_both_outputs_and_a_group_of_its_own() {
        let text = "echo \"$0 $1 $PWD\"; env | grep -c ^PATH= >&2; cat; ps -o pgid= $$ | tr -d ' '; echo $$";
        let (end, said) = run(&["/bin/sh", "-c", text, "a b", "c"], None).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["a b c /", "1"]);
        assert_eq!(lines[2], lines[3], "it leads its group");
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }

    #[test]
    fn signals_are_as_the_kernel_has_them() {
        // This process ignores SIGPIPE, as every Rust program does, and blocks nothing.
        let (_, said) = run(&["/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], None).unwrap();
        let masks: Vec<u64> = said
            .lines()
            .map(|line| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap())
            .collect();
        let internal = 3 << 31; // the C library lets nobody touch its two
        assert_eq!((masks[0], masks[1] & !internal), (0, 0), "{said}");
        let mut own = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, None, Some(&mut own)).unwrap();
        assert!(!own.contains(Signal::SIGTERM), "ours is as it was");
    }

    #[test]
    fn what_cannot_be_executed_says_why_and_leaves_nothing() {
        let error = run(&["/no/such/program"], None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(run(&["/"], None).unwrap_err().raw_os_error(), Some(libc::EACCES));
        assert_eq!(run(&[], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(run(&["a\0b"], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn another_user_has_no_group_of_ours() {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let (_, said) = run(&["/bin/sh", "-c", "id -u; id -g; id -G"], Some((65_534, 65_534))).unwrap();
        assert_eq!(said, "65534\n65534\n65534\n");
    }

    /// Makes the calling thread, and no other, what the unit's drop-in for scripts of others makes the
    /// agent: an ordinary user with a group and the capabilities to become another.
    fn become_a_confined_agent(user: u32, group: u32) -> io::Result<()> {
        const BOTH: u32 = 1 << 6 | 1 << 7; // CAP_SETGID, CAP_SETUID
        let header = [0x2008_0522_u32, 0]; // the third version, this thread
        let sets = [BOTH, BOTH, BOTH, 0, 0, 0];
        // SAFETY: system calls of this thread alone, with lists that outlive them.
        unsafe {
            call(libc::syscall(libc::SYS_setgroups, 1, &raw const group))?;
            call(libc::syscall(libc::SYS_setresgid, group, group, group))?;
            call(libc::prctl(libc::PR_SET_KEEPCAPS, 1).into())?;
            call(libc::syscall(libc::SYS_setresuid, user, user, user))?;
            call(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()))?;
            for capability in [6, 7] {
                call(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0).into())?;
            }
        }
        Ok(())
    }

    #[test]
    fn another_user_has_no_group_of_an_agent_that_is_not_root() {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let script = "id -u; id -G; grep -E '^Cap(Prm|Eff|Amb):' /proc/self/status | tr -s '0\\n\\t' ' '";
        let said = std::thread::spawn(move || {
            become_a_confined_agent(4242, 4243)?;
            run(&["/bin/sh", "-c", script], Some((65_534, 65_534)))
        });
        let (_, said) = said.join().unwrap().unwrap();
        assert_eq!(said, "65534\n65534\nCapPrm: CapEff: CapAmb: ");
    }

    #[test]
    fn its_end_can_be_awaited_and_it_dies_with_the_thread() {
        let argv = ["/bin/sleep", "1000"].map(str::to_owned);
        let (_, to) = pipe().unwrap();
        let started = Spawner::new().unwrap().spawn(&argv, None, to.as_fd()).unwrap();
        kill(started.pid, Signal::SIGTERM).unwrap();
        let end = waitpid(started.pid, None).unwrap();
        assert_eq!(end, WaitStatus::Signaled(started.pid, Signal::SIGTERM, false));
        let pid =
            std::thread::spawn(move || Spawner::new().unwrap().spawn(&argv, None, to.as_fd()).unwrap().pid);
        let pid = pid.join().unwrap();
        assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Signaled(pid, Signal::SIGKILL, false));
    }
}
