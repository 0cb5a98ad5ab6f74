//! Network namespaces: a network of one's own for every test, and for labs of several routers.
//!
//! A namespace belongs to a thread, and every socket to the namespace it was opened in: open inside,
//! use anywhere.

use crate::NetError;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
    unistd::{getegid, geteuid},
};
use std::{
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
};

/// A handle to a network namespace. The namespace lives as long as a handle, thread or socket in it.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

impl NetNs {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, NetError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        open("/proc/thread-self/ns/net", flags, Mode::empty())
            .map(Self)
            .map_err(|errno| NetError::new("open this thread's network namespace", errno))
    }

    /// A new namespace with nothing in it but a loopback device that is down. Needs `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Self, NetError> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| NetError::new("create a network namespace", errno))?;
            Self::current()
        })
    }

    /// Moves the calling thread into this namespace; its sockets stay where they are.
    pub fn enter(&self) -> Result<(), NetError> {
        setns(&self.0, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| NetError::new("enter a network namespace", errno))
    }

    /// Runs `f` inside, on a thread of its own, and waits for it. A panic of `f` passes to the caller.
    pub fn run_in<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, NetError> {
        in_thread(|| self.enter().map(|()| f()))
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A thread that changes namespace must end with the work: it would take others' work elsewhere.
fn in_thread<T: Send>(f: impl FnOnce() -> Result<T, NetError> + Send) -> Result<T, NetError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .spawn_scoped(scope, f)
            .map_err(|error| NetError::from_io("start a thread", &error))?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes an ordinary user root over a network and a `/run` of its own, where the host allows user
/// namespaces. Everything created from here on ends with the process.
///
/// Only for a process that has a single thread yet: the kernel refuses others with `EINVAL`.
pub fn become_root_in_user_namespace() -> Result<(), NetError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(
        |errno| {
            NetError::new("create a user namespace", errno).with_detail(match errno {
                Errno::EINVAL => "the process has more than one thread already",
                _ => "the host forbids it; see user.max_user_namespaces and kernel.unprivileged_userns_clone",
            })
        },
    )?;
    // Without setgroups switched off, the kernel refuses an ordinary user's gid_map.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| NetError::new("make the mounts private", errno))?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
        .map_err(|errno| NetError::new("mount a private /run", errno))
}

fn write(path: &str, text: &str) -> Result<(), NetError> {
    fs::write(path, text).map_err(|error| NetError::from_io(format!("write {text:?} to {path}"), &error))
}
