//! One program from start to end, in the runner.

use super::{End, Job, OUTPUT_MAX, Outcome, readable as line_of};
use crate::readable::{Readable, readable};
use hacluster_net::spawn::Spawner;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// Between the request to end and the end itself.
const GRACE: Duration = Duration::from_millis(200);
/// How long output is awaited from what a program left running.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Runs `job`; when the other end of `stop` goes, it is ended before its time.
pub(super) async fn run(job: &Job, spawner: &Mutex<Spawner>, mut stop: oneshot::Receiver<()>) -> Outcome {
    let Some(program) = job.argv.first() else {
        return Outcome::failed("no program is named");
    };
    let start = Instant::now();
    let (mut child, mut output) = match start_program(job, spawner) {
        Ok(started) => started,
        Err(error) => return Outcome::failed(explain(program, &error)),
    };
    let mut tail = Tail::default();
    let deadline = start + job.limit;
    let ended = {
        let reading = tail.read(&mut output);
        tokio::pin!(reading);
        tokio::select! {
            biased;
            () = &mut reading => child.end(deadline, &mut stop).await,
            ended = child.end(deadline, &mut stop) => {
                // What it left running may hold the pipe; what is in there already counts.
                if ended.is_ok() {
                    if job.end_group {
                        child.kill(Signal::SIGKILL);
                    }
                    let _ = timeout(LAST_WORDS, reading).await;
                }
                ended
            }
        }
    };
    let took = start.elapsed();
    let end = match ended {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => End::Failed(format!("it cannot be waited for: {error}")),
        Err(Cut::Late) => {
            tokio::spawn(child.put_down());
            return Outcome { end: End::TimedOut, output: line_of(&tail.0), took };
        }
        Err(Cut::Unwanted) => {
            child.put_down().await;
            return Outcome { took, ..Outcome::failed("it is not wanted any more and was ended") };
        }
    };
    child.left = !job.end_group;
    Outcome { end, output: line_of(&tail.0), took }
}

/// One pipe for both outputs: what was said stays in its order.
fn start_program(job: &Job, spawner: &Mutex<Spawner>) -> io::Result<(Child, Receiver)> {
    let (from, to) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let output = Receiver::from_owned_fd(from)?;
    let mut spawner = spawner.lock().unwrap_or_else(PoisonError::into_inner);
    let started = spawner.spawn(&job.argv, job.user, to.as_fd())?;
    Ok((Child { pid: started.pid, over: readable(started.end)?, left: false }, output))
}

/// Why a program does not run to its end.
enum Cut {
    Late,
    Unwanted,
}

/// A program that was started and not waited for yet. Whatever is left of its process group, which
/// bears its number, ends when this is dropped: also when the runner itself ends.
struct Child {
    pid: Pid,
    over: AsyncFd<Readable<OwnedFd>>,
    /// What is left of its group may go on.
    left: bool,
}

impl Child {
    async fn end(&self, deadline: Instant, stop: &mut oneshot::Receiver<()>) -> Result<io::Result<End>, Cut> {
        tokio::select! {
            ended = timeout_at(deadline, self.wait()) => ended.map_err(|_| Cut::Late),
            _ = stop => Err(Cut::Unwanted),
        }
    }

    async fn wait(&self) -> io::Result<End> {
        loop {
            let mut over = self.over.readable().await?;
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(_, status) => return Ok(End::Exited(status)),
                WaitStatus::Signaled(_, signal, _) => return Ok(End::Signalled(signal as i32)),
                _ => over.clear_ready(),
            }
        }
    }

    /// Asks the whole group to end, and then does not ask any more.
    async fn put_down(self) {
        self.kill(Signal::SIGTERM);
        if timeout(GRACE, self.wait()).await.is_err() {
            self.kill(Signal::SIGKILL);
            let _ = self.wait().await;
        }
    }

    fn kill(&self, signal: Signal) {
        let _ = killpg(self.pid, signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.left {
            self.kill(Signal::SIGKILL);
        }
    }
}

/// The last bytes of what it wrote.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Reads to the end and keeps the last bytes.
    async fn read(&mut self, from: &mut Receiver) {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            self.0.extend_from_slice(&chunk[..read]);
            let surplus = self.0.len().saturating_sub(OUTPUT_MAX);
            self.0.drain(..surplus);
        }
    }
}

fn explain(program: &str, error: &std::io::Error) -> String {
    use nix::libc::{EACCES, ENOENT, ENOEXEC, EPERM};
    match error.raw_os_error() {
        Some(ENOENT) => format!("{program} does not exist, or its interpreter does not"),
        Some(EACCES) => format!("{program} may not be executed by this user; chmod +x it"),
        Some(ENOEXEC) => format!("{program} has no interpreter line; begin it with #!/bin/sh"),
        Some(EPERM) => format!("{program} cannot be run as another user: the agent lacks the privilege"),
        _ => format!("{program} cannot be started: {error}"),
    }
}
