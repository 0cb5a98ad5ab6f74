//! Making the protocol thread punctual: real-time scheduling, memory that stays, exact timers.
//!
//! Everything here is a refinement: a caller that is refused should warn and go on.

use crate::NetError;
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
    },
    unistd::Pid,
};
use std::{ffi::CString, fs};

/// What the agent may need to be allowed, by its number in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Becoming another group.
    SetGid = 6,
    /// Becoming another user.
    SetUid = 7,
    /// Addresses, links, large buffers.
    NetAdmin = 12,
    /// Raw and packet sockets.
    NetRaw = 13,
    /// Locking memory.
    IpcLock = 14,
    /// Namespaces and mounts.
    SysAdmin = 21,
    /// Real-time scheduling.
    SysNice = 23,
}

impl Capability {
    /// The name by which the manual knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetGid => "CAP_SETGID",
            Self::SetUid => "CAP_SETUID",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysNice => "CAP_SYS_NICE",
        }
    }
}

/// Whether the calling thread has `capability`. Where that cannot be found out, it is assumed: the
/// operation itself will tell.
pub fn has_capability(capability: Capability) -> bool {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| effective_capabilities(&status))
        .is_none_or(|bits| bits >> (capability as u8) & 1 == 1)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

/// Fails with a sentence for people when the agent could not do its work.
pub fn require_network_capabilities() -> Result<(), NetError> {
    let missing = [Capability::NetAdmin, Capability::NetRaw].into_iter().find(|&one| !has_capability(one));
    missing.map_or(Ok(()), |one| {
        Err(NetError::new("manage addresses and send adverts", Errno::EPERM)
            .with_detail(format!("{} is missing", one.name())))
    })
}

/// Puts the calling thread under real-time scheduling (`SCHED_RR`), `priority` 1 (low) to 99. Processes
/// it starts are ordinary again.
pub fn set_realtime(priority: u8) -> Result<(), NetError> {
    // A limit on real-time CPU time kills the whole process when it is reached, again and again.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_RTTIME) {
        let _ = setrlimit(Resource::RLIMIT_RTTIME, most, most);
    }
    // SAFETY: sched_param consists of integers, for which zero is a valid value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority.into();
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // Not by the C library: musl's refuses, for POSIX means the process by it and the kernel the thread.
    // SAFETY: the kernel reads `parameters`, which outlives the call; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) };
    Errno::result(done).map(drop).map_err(|errno| {
        let error = NetError::new(format!("use real-time priority {priority}"), errno);
        match errno {
            Errno::EPERM => {
                error.with_detail("CAP_SYS_NICE is missing, or the control group has no real-time share")
            }
            Errno::EINVAL => error.with_detail("it must be 1 to 99"),
            _ => error,
        }
    })
}

/// Keeps every page of the process in memory from its first use on, so that nothing waits for a disk.
/// Pages that are never used cost nothing.
pub fn lock_memory() -> Result<(), NetError> {
    // SAFETY: mlockall changes no memory and takes flags alone.
    let done = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    Errno::result(done).map(drop).map_err(|errno| {
        NetError::new("lock memory", errno).with_detail("CAP_IPC_LOCK or a larger LimitMEMLOCK helps")
    })
}

/// Confines the calling thread to the given CPUs, counted from 0.
pub fn set_affinity(cpus: &[usize]) -> Result<(), NetError> {
    let mut set = CpuSet::new();
    cpus.iter()
        .try_for_each(|&cpu| set.set(cpu))
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .map_err(|errno| NetError::new(format!("run on CPUs {cpus:?}"), errno))
}

/// Timers of the calling thread fire on the nanosecond asked for, not up to 50 microseconds later.
pub fn set_exact_timers() -> Result<(), NetError> {
    prctl::set_timerslack(1).map_err(|errno| NetError::new("set the timer slack", errno))
}

/// Asks for short turns for the calling thread: when it wakes beside a thread with longer ones, it need not wait for
/// the end of that one's turn. Needs no privilege. From Linux 6.12 on; before that it changes nothing.
pub fn set_short_turns() -> Result<(), NetError> {
    let mut attributes = attributes().map_err(no_short_turns)?;
    attributes.sched_runtime = TURN_NANOS;
    // SAFETY: the kernel reads as much of `attributes` as `size` says; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    Errno::result(done).map(drop).map_err(no_short_turns)
}

/// Only a filter of system calls refuses this: no capability would help, as the number alone would have it.
fn no_short_turns(errno: Errno) -> NetError {
    NetError::new("ask for short turns", errno).with_mend(
        "let the filter of system calls (systemd, the container engine) pass sched_getattr and sched_setattr; \
         without them adverts are late by milliseconds beside busy programs",
    )
}

/// The shortest turn that the kernel gives.
const TURN_NANOS: u64 = 100_000;

/// How the calling thread is scheduled.
fn attributes() -> Result<libc::sched_attr, Errno> {
    // SAFETY: sched_attr consists of integers, for which zero is a valid value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: the kernel writes no more than `size` bytes into `attributes`; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    Errno::result(done).map(|_| attributes)
}

/// Names the calling thread for `ps` and `top`; 15 bytes are kept.
pub fn set_thread_name(name: &str) -> Result<(), NetError> {
    let attempt = || format!("name a thread {name:?}");
    let name = CString::new(name).map_err(|_| NetError::new(attempt(), Errno::EINVAL))?;
    prctl::set_name(&name).map_err(|errno| NetError::new(attempt(), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn effective_capabilities_are_read_from_the_status() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000003000\nCapBnd:\t0\n";
        assert_eq!(effective_capabilities(status), Some(0x3000));
        assert_eq!(effective_capabilities("CapEff:\tnonsense\n"), None);
        assert_eq!(effective_capabilities(""), None);
    }

    #[test]
    fn a_thread_takes_its_name_and_its_timers() {
        thread::spawn(|| {
            set_thread_name("punctual").unwrap();
            set_exact_timers().unwrap();
            assert_eq!(fs::read_to_string("/proc/thread-self/comm").unwrap(), "punctual\n");
            assert_eq!(prctl::get_timerslack(), Ok(1));
            assert_eq!(set_thread_name("a\0b").unwrap_err().errno(), Errno::EINVAL);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn short_turns_need_no_privilege_and_change_nothing_else() {
        thread::spawn(|| {
            let before = attributes().unwrap();
            set_short_turns().unwrap();
            let after = attributes().unwrap();
            assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
            // A kernel that gives nobody turns of one's own tells of none.
            let expected = if before.sched_runtime == 0 { 0 } else { TURN_NANOS };
            assert_eq!(after.sched_runtime, expected, "from {}", before.sched_runtime);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn refused_short_turns_are_laid_to_the_filter_and_not_to_a_capability() {
        let text = no_short_turns(Errno::EPERM).to_string();
        assert!(text.contains("sched_setattr") && !text.contains("CAP_"), "{text}");
    }

    #[test]
    fn priorities_beyond_the_scale_are_refused_with_the_scale() {
        let error = set_realtime(100).unwrap_err();
        assert!(error.to_string().contains("1 to 99"), "{error}");
    }
}
