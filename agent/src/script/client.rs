//! The agent's side: starts the runner, hands out jobs, collects outcomes.

use super::{Job, Order, Outcome, frame};
use anyhow::Context;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

/// Jobs on their way to the runner.
const WAITING: usize = 1_024;
/// Between two starts of a runner that does not stay.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// A runner that takes so much longer than it should is stuck, and replaced.
const STUCK: Duration = Duration::from_secs(5);
/// The argument that makes an agent a runner.
pub(super) const ARGUMENT: &str = "--script-runner";

/// Hands programs to the runner. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runner {
    orders: mpsc::Sender<(Order, Option<oneshot::Sender<Outcome>>)>,
    /// Of the latest job.
    number: Arc<AtomicU64>,
    /// Knocked at when the runner does not answer.
    stuck: Arc<Notify>,
}

impl Runner {
    /// Starts a runner by `program`, an agent's own executable, and keeps one running. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path) -> anyhow::Result<Self> {
        let (orders, waiting) = mpsc::channel(WAITING);
        let first = Running::start(program)?;
        let stuck = Arc::<Notify>::default();
        tokio::spawn(keep_running(program.to_owned(), first, waiting, stuck.clone()));
        Ok(Self { orders, number: Arc::default(), stuck })
    }

    /// Runs a program and waits for its end. Dropping the future leaves the program running.
    pub async fn run(&self, job: Job) -> Outcome {
        self.run_as(self.next(), job).await
    }

    /// Runs a program and waits for its end. Dropping the future ends the program.
    pub async fn run_while_wanted(&self, job: Job) -> Outcome {
        let mut wanted = Wanted { number: Some(self.next()), runner: self };
        let outcome = self.run_as(wanted.number.unwrap_or_default(), job).await;
        wanted.number = None;
        outcome
    }

    fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn run_as(&self, number: u64, job: Job) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        // It may wait for its turn as long as it may run.
        let limit = job.limit.saturating_mul(2).saturating_add(STUCK);
        let asked = async {
            if self.orders.send((Order::Run(number, job), Some(reply))).await.is_err() {
                return Outcome::failed("the agent is stopping");
            }
            outcome.await.unwrap_or_else(|_| Outcome::lost())
        };
        timeout(limit, asked).await.unwrap_or_else(|_| {
            self.stuck.notify_one();
            Outcome::lost()
        })
    }
}

/// A program that is ended when nobody waits for it any more.
struct Wanted<'a> {
    number: Option<u64>,
    runner: &'a Runner,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let _ = self.runner.orders.try_send((Order::End(number), None));
        }
    }
}

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Outcome>>>>;

/// A runner that lives.
struct Running {
    child: Child,
    socket: UnixStream,
}

impl Running {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let (ours, theirs) = StdStream::pair().context("cannot make a socket for the script runner")?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(program);
        command.arg(ARGUMENT).stdin(Stdio::from(OwnedFd::from(theirs))).process_group(0);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {} as script runner", program.display()))?;
        Ok(Self { child, socket: UnixStream::from_std(ours)? })
    }
}

type Waiting = mpsc::Receiver<(Order, Option<oneshot::Sender<Outcome>>)>;

async fn keep_running(program: PathBuf, first: Running, mut waiting: Waiting, stuck: Arc<Notify>) {
    let mut next = Some(first);
    loop {
        let begun = Instant::now();
        let running = match next.take().map_or_else(|| Running::start(&program), Ok) {
            Ok(running) => running,
            Err(error) => {
                tracing::warn!("{error:#}; checks and notifications wait");
                tokio::time::sleep(RESTART_PAUSE).await;
                continue;
            }
        };
        if drive(running, &mut waiting, &stuck).await {
            return;
        }
        tracing::warn!("the script runner ended; it is started again");
        if begun.elapsed() < RESTART_PAUSE {
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }
}

/// Hands out jobs until the runner ends (false) or nobody asks any more (true).
async fn drive(running: Running, waiting: &mut Waiting, stuck: &Notify) -> bool {
    let Running { mut child, socket } = running;
    let (mut from, mut to) = socket.into_split();
    let pending: Pending = Arc::default();
    let answered = pending.clone();
    let mut answers = tokio::spawn(async move {
        while let Ok(Some((number, outcome))) = frame::read::<(u64, Outcome)>(&mut from).await {
            if let Some(reply) = lock(&answered).remove(&number) {
                let _ = reply.send(outcome);
            }
        }
    });
    let over = loop {
        let order = tokio::select! {
            order = waiting.recv() => order,
            _ = &mut answers => break false,
            () = stuck.notified() => break false,
        };
        let Some((order, reply)) = order else { break true };
        let number = order.number();
        if let Some(reply) = reply {
            lock(&pending).insert(number, reply);
        }
        let written = timeout(STUCK, frame::write(&mut to, &order)).await;
        if let Err(error) = written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            if let Some(reply) = lock(&pending).remove(&number) {
                let _ = reply.send(Outcome::failed(format!("it cannot be handed to the runner: {error}")));
            }
            if error.kind() != std::io::ErrorKind::Other {
                break false;
            }
        }
    };
    drop(to); // the runner sees the end, puts down what runs and goes
    answers.abort();
    lock(&pending).clear();
    if timeout(STUCK, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
    over
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Outcome>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
