//! The runner's side: takes jobs from the socket until it closes.

use super::{Job, Order, Outcome, QUEUED_MAX, RUNNING_MAX, frame, process};
use hacluster_net::spawn::Spawner;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long programs may take to end when the agent is gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all programs share.
struct Means {
    /// Room for so many.
    free: Semaphore,
    spawner: Mutex<Spawner>,
}

/// Serves the agent at the other end of `socket`; returns when it is gone.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(socket: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = StdStream::from(socket);
        socket.set_nonblocking(true)?;
        let (mut from, mut to) = UnixStream::from_std(socket)?.into_split();
        let (done, mut outcomes) = mpsc::channel::<(u64, Outcome)>(RUNNING_MAX);
        let means = Arc::new(Means { free: Semaphore::new(RUNNING_MAX), spawner: Spawner::new()?.into() });
        let mut running = JoinSet::new();
        running.spawn(async move {
            while let Some(outcome) = outcomes.recv().await {
                if frame::write(&mut to, &outcome).await.is_err() {
                    return;
                }
            }
        });
        // Dropping the other end of what stands here ends the program.
        let mut ends: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
        // An agent that leaves answers unread resets the connection: an end like any other.
        while let Ok(Some(order)) = frame::read::<Order>(&mut from).await {
            let (number, job) = match order {
                Order::Run(number, job) => (number, job),
                Order::End(number) => {
                    ends.remove(&number);
                    continue;
                }
            };
            let done = done.clone();
            while running.try_join_next().is_some() {}
            if running.len() > QUEUED_MAX {
                let why = format!("{QUEUED_MAX} programs wait already");
                let _ = done.send((number, Outcome::failed(why))).await;
                continue;
            }
            let (end, ended) = oneshot::channel();
            if ends.len() > 2 * RUNNING_MAX {
                ends.retain(|_, end| !end.is_closed());
            }
            ends.insert(number, end);
            let means = means.clone();
            running.spawn(async move {
                let outcome = in_turn(&job, ended, &means).await;
                let _ = done.send((number, outcome)).await;
            });
        }
        // The agent is gone: nothing may outlive it, but everything may put its things in order.
        drop((ends, done));
        let _ = timeout(FAREWELL, async { while running.join_next().await.is_some() {} }).await;
        running.shutdown().await;
        Ok(())
    })
}

/// Runs `job` when there is room. What waits longer than it may run has failed: the node is overloaded.
async fn in_turn(job: &Job, mut ended: oneshot::Receiver<()>, means: &Means) -> Outcome {
    let turn = tokio::select! {
        turn = timeout(job.limit, means.free.acquire()) => turn,
        _ = &mut ended => return Outcome::failed("it is not wanted any more and was not started"),
    };
    match turn {
        Ok(_permit) => process::run(job, &means.spawner, ended).await,
        Err(_) => {
            let limit = job.limit.as_millis();
            Outcome::failed(format!("{RUNNING_MAX} other programs left no room for it within {limit} ms"))
        }
    }
}
