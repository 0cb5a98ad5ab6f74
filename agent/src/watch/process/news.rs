//! News of processes: heard once from the kernel, told to every tracker.
//!
//! ```text
//!   kernel --ProcessEvents--> station (one task) --broadcast--> tracker, tracker ...
//!                                `-- flows: whether news come at all
//! ```
//!
//! Contract: a tracker that subscribes before it lists processes misses none. Who is too slow is told
//! that something was lost, and lists again. A storm of forks wakes the station once in [`PAUSE`].

use super::census::comm;
use crate::readable::readable;
use hacluster_net::netlink::{ProcessEvent, ProcessEvents};
use std::io;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// News that wait for a slow tracker.
const NEWS: usize = 4_096;
/// Events taken per round.
const ROUND: usize = 1_024;
/// Between two rounds: the events of a storm are taken together.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the kernel's answer is waited for.
const ANSWER: Duration = Duration::from_secs(1);

/// A process's name as the kernel keeps it, padded with zeros.
pub(super) type Comm = [u8; 16];

/// Something that happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// `child` is for now what `parent` is.
    Forked { parent: u32, child: u32 },
    /// It is another program, or has another name; none when it is gone already.
    Changed { number: u32, name: Option<Comm> },
    /// It ended.
    Ended(u32),
    /// Something was missed.
    Lost,
}

/// Where news come from. Ends when dropped.
pub(in super::super) struct Station {
    news: broadcast::Sender<News>,
    flows: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

/// What a tracker hears.
pub(in super::super) struct Subscription {
    news: broadcast::Receiver<News>,
    flows: watch::Receiver<bool>,
}

impl Station {
    pub(in super::super) fn open() -> Self {
        let (news, _) = broadcast::channel(NEWS);
        let (tell_flow, flows) = watch::channel(false);
        let task = tokio::spawn(broadcast_news(news.clone(), tell_flow));
        Self { news, flows, task }
    }

    pub(in super::super) fn subscribe(&self) -> Subscription {
        Subscription { news: self.news.subscribe(), flows: self.flows.clone() }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscription {
    /// Whether everything that happens from now on is told.
    pub(super) fn flows(&mut self) -> bool {
        *self.flows.borrow_and_update()
    }

    /// The next thing that happens; [`News::Lost`] also when news begin or cease to come.
    pub(super) async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            Ok(()) = self.flows.changed() => News::Lost,
            news = self.news.recv() => match news {
                Ok(news) => news,
                Err(broadcast::error::RecvError::Lagged(_)) => News::Lost,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            },
        }
    }
}

async fn broadcast_news(news: broadcast::Sender<News>, flows: watch::Sender<bool>) {
    let opened = tokio::task::spawn_blocking(|| ProcessEvents::open(ANSWER)).await;
    let opened = opened.map_err(io::Error::other).and_then(|opened| opened.map_err(io::Error::other));
    let why = match opened {
        Ok(events) => {
            tracing::info!("tracked processes: the kernel tells of every beginning and end");
            let _ = flows.send(true);
            let ended = relay(events, &news).await;
            let _ = flows.send(false);
            ended
        }
        Err(why) => why,
    };
    tracing::info!(
        "tracked processes: new ones are looked for twice a second, ends are told at once ({why})"
    );
}

/// Tells what the kernel tells, until that fails.
async fn relay(events: ProcessEvents, news: &broadcast::Sender<News>) -> io::Error {
    let mut events = match readable(events) {
        Ok(events) => events,
        Err(error) => return error,
    };
    let mut heard = Vec::new();
    loop {
        let mut ready = match events.readable_mut().await {
            Ok(ready) => ready,
            Err(error) => return error,
        };
        match ready.get_inner_mut().0.read(ROUND, &mut |event| heard.push(event)) {
            Ok(true) => {}
            Ok(false) => ready.clear_ready(),
            Err(error) => return io::Error::other(error),
        }
        for event in heard.drain(..) {
            // Nobody listens: nobody misses it.
            let _ = news.send(tell(event));
        }
        sleep(PAUSE).await;
    }
}

fn tell(event: ProcessEvent) -> News {
    match event {
        ProcessEvent::Forked { parent, child } => News::Forked { parent, child },
        ProcessEvent::Executed(number) | ProcessEvent::Renamed(number) => {
            News::Changed { number, name: comm(number) }
        }
        ProcessEvent::Ended(number) => News::Ended(number),
        ProcessEvent::Overrun => News::Lost,
    }
}
