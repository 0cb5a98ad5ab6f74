//! A program started on a host: its output is kept, its end is always waited for.
//!
//! Each program leads a process group of its own, so that killing it reaches its children too, and
//! it dies with the lab whatever happens (see [`crate::privilege`]).

use crate::{privilege::bound_to_us, wait::wait_until};
use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::{
        signal::{self, Signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    collections::VecDeque,
    fmt,
    io::{BufRead, BufReader, PipeReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Lines kept of one program; older ones are forgotten.
const LINES_MAX: usize = 20_000;
/// Bytes kept of one line; a program that never ends its line cannot fill the memory.
const LINE_BYTES_MAX: u64 = 8_192;
/// How long a program may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long after a program's end its last lines may take to arrive. A daemon it left behind may
/// hold the pipe open for ever.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(2);

/// One line a program wrote, to standard output or standard error.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// When it was read.
    pub at: Instant,
    /// Without its line end.
    pub text: String,
}

/// A running or ended program; clones mean the same one.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    log: Arc<Mutex<VecDeque<LogLine>>>,
    /// Reads what the program writes; ends when the last writer of the pipe is gone.
    collector: JoinHandle<()>,
}

impl Process {
    /// Starts `command` from the calling thread, in that thread's namespace. The thread must live as
    /// long as the program shall: when it ends, the kernel kills the program.
    pub(crate) fn spawn(name: &str, command: &Command) -> Result<Self> {
        let (output, input) = std::io::pipe().context("cannot make a pipe")?;
        let child = bound_to_us(command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(input.try_clone().context("cannot share the pipe")?)
            .stderr(input)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).map(Pid::from_raw).context("a pid beyond i32")?;
        let log = Arc::<Mutex<VecDeque<LogLine>>>::default();
        let lines = Arc::clone(&log);
        let collector = thread::Builder::new()
            .name(format!("{name} log"))
            .spawn(move || collect(output, &lines))
            .context("cannot start a thread")?;
        let inner = Inner { name: name.to_owned(), pid, child: Mutex::new(child), log, collector };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the lab calls it, such as `hacluster-agent on node1`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its process id, also its process group's.
    pub fn pid(&self) -> Pid {
        self.inner.pid
    }

    /// Everything it wrote so far, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        lock(&self.inner.log).iter().cloned().collect()
    }

    /// Whether a line holds `needle`.
    pub fn logged(&self, needle: &str) -> bool {
        lock(&self.inner.log).iter().any(|line| line.text.contains(needle))
    }

    /// Its exit status; `None` while it runs.
    pub fn status(&self) -> Result<Option<ExitStatus>> {
        lock(&self.inner.child).try_wait().with_context(|| format!("cannot wait for {}", self.name()))
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.status(), Ok(None))
    }

    /// Sends `signal` to the program itself. Nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.is_running() {
            // Safe from meeting a stranger: a pid is not given away before we have waited for it.
            signal::kill(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name()))?;
        }
        Ok(())
    }

    /// Waits for its end. Fails after `limit`, and leaves it running then.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name());
        let status = wait_until(&what, limit, || self.status())?;
        self.reap_group();
        Ok(status)
    }

    /// Asks it to end (SIGTERM) and waits. One that does not is killed, and that is an error.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        match self.wait(STOP_LIMIT) {
            Ok(status) => Ok(status),
            Err(error) => {
                self.kill()?;
                Err(error.context(format!("{} did not end on SIGTERM", self.name())))
            }
        }
    }

    /// Kills it and its children (SIGKILL) and waits: what a crash looks like.
    pub fn kill(&self) -> Result<ExitStatus> {
        let mut child = lock(&self.inner.child);
        if child.try_wait().ok().flatten().is_none() {
            kill_group(self.pid());
        }
        let status = child.wait().with_context(|| format!("cannot wait for {}", self.name()))?;
        drop(child);
        self.reap_group();
        Ok(status)
    }

    /// Ends what it left behind, and waits for its last lines.
    fn reap_group(&self) {
        reap_group(self.pid());
        let start = Instant::now();
        while !self.inner.collector.is_finished() && start.elapsed() < LAST_LINES_LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name(), self.pid())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if child.try_wait().ok().flatten().is_none() {
            kill_group(self.pid);
            let _ = child.wait();
        }
        reap_group(self.pid);
    }
}

/// Kills and reaps what an ended program left behind in its group; orphans are ours (see `enter`).
///
/// The group is killed only while it still has a child of ours in it: its number may be a
/// stranger's afterwards.
fn reap_group(group: Pid) {
    let members = Pid::from_raw(-group.as_raw());
    let start = Instant::now();
    while start.elapsed() < STOP_LIMIT {
        match waitpid(members, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                kill_group(group);
                thread::sleep(Duration::from_millis(1));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn kill_group(group: Pid) {
    // ESRCH: nobody is left, which is what we want.
    let _ = signal::killpg(group, Signal::SIGKILL);
}

fn collect(output: PipeReader, log: &Mutex<VecDeque<LogLine>>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut log = lock(log);
        if log.len() == LINES_MAX {
            log.pop_front();
        }
        log.push_back(LogLine { at: Instant::now(), text });
    }
}

/// A poisoned lock only tells that another thread panicked; what we keep stays usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
