//! Getting the right to make network namespaces: as root, or as root of a user namespace of our own.
//!
//! [`enter`] must be called first thing in `main`, while the process has one thread: the kernel
//! moves only single-threaded processes into a new user namespace.
//!
//! It is also the door for the lab's children. A program is not started directly but through this
//! same executable, which first asks the kernel to be killed together with the lab and then becomes
//! the program; so nothing outlives a lab, not even one killed by SIGKILL.
//!
//! ```text
//!   lab thread --spawn--> [this executable: enter()] --die with parent, exec--> keepalived
//! ```

use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
    unistd::{Pid, getppid},
};
use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    os::unix::process::CommandExt,
    process::{self, Command},
    sync::OnceLock,
};

/// First argument of a child on its way to become another program; the parent's pid follows.
const EXEC: &str = "--hacluster-lab-exec";

/// Bits of `CapEff` in `/proc/self/status`: CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN.
const CAPABILITIES: u64 = 1 << 12 | 1 << 13 | 1 << 21;

static ENTERED: OnceLock<Privilege> = OnceLock::new();

/// What gives this process the right to make namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The machine's root.
    Root,
    /// An ordinary user, root only in a user namespace made for the lab.
    UserNamespace,
}

/// Why no lab can be built here, and the mend. Tests give it as their reason to skip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyNot(String);

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WhyNot {}

/// Takes the privileges a lab needs. Call it first thing in `main`; a second call gives the same answer.
pub fn enter() -> Result<Privilege, WhyNot> {
    exec_if_asked();
    if let Some(privilege) = ENTERED.get() {
        return Ok(*privilege);
    }
    // Orphans of a daemon (its notify scripts) come to us, so that they can be reaped.
    prctl::set_child_subreaper(true).map_err(|errno| WhyNot(format!("cannot adopt orphans: {errno}")))?;
    let privilege = if has_capabilities() {
        Privilege::Root
    } else {
        hacluster_net::netns::become_root_in_user_namespace().map_err(|error| {
            WhyNot(format!("not root, and {error}; run as root, or allow user namespaces with sysctl"))
        })?;
        Privilege::UserNamespace
    };
    try_namespace().map_err(|errno| {
        WhyNot(format!(
            "cannot make a network namespace: {errno}; run as root with CAP_SYS_ADMIN, CAP_NET_ADMIN and \
             CAP_NET_RAW, or look at sysctl user.max_net_namespaces and \
             kernel.apparmor_restrict_unprivileged_userns"
        ))
    })?;
    Ok(*ENTERED.get_or_init(|| privilege))
}

/// What [`enter`] found; `None` before.
pub fn entered() -> Option<Privilege> {
    ENTERED.get().copied()
}

/// Becomes another program when started as a lab's child, and never returns then.
///
/// Part of [`enter`]; a `main` that has something to do before may call it earlier.
pub fn exec_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() == Some(OsStr::new(EXEC)) {
        let error = exec(arguments);
        eprintln!("hacluster-lab: {error}");
        process::exit(127);
    }
}

fn exec(mut arguments: impl Iterator<Item = OsString>) -> String {
    let parent = arguments.next().and_then(|pid| pid.to_str()?.parse().ok()).map(Pid::from_raw);
    let Some(program) = arguments.next() else {
        return format!("{EXEC} is for the lab itself");
    };
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return format!("cannot ask to die with the lab: {errno}");
    }
    // The lab may be gone since before the request; then nobody would ever end us.
    if parent != Some(getppid()) {
        return "the lab is gone".to_owned();
    }
    // The lab blocks signals in all its threads to receive them in one; a daemon needs them.
    let _ = SigSet::all().thread_unblock();
    let error = Command::new(&program).args(arguments).exec();
    format!("cannot start {}: {error}", program.display())
}

/// The command that starts `command` as a child that dies with this process.
pub(crate) fn bound_to_us(command: &Command) -> Command {
    // This link leads to the running file even when a new build has replaced it.
    let mut bound = Command::new("/proc/self/exe");
    bound.arg(EXEC).arg(process::id().to_string()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask & CAPABILITIES == CAPABILITIES)
}

/// Capabilities are a promise; only doing it tells (seccomp and AppArmor have their say too).
fn try_namespace() -> nix::Result<()> {
    std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join().unwrap_or(Err(nix::Error::EPERM))
}
