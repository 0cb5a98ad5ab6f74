//! Every node followed: what it is now, and what happens on it.
//!
//! ```text
//!   node1 --.   one task each: stream of changes, a snapshot every 2 s (that also finds the dead),
//!   node2 --+-> connects again after a loss  -- Told --> Live::next
//!   node3 --'
//! ```

use crate::client::{NodeClient, NodeError, connect, silent};
use crate::fanout::{Answer, Cluster, Member, ask_over};
use hacluster_proto::v1::{self, watch_response::Change};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often a node says everything, however quiet it is.
const REFRESH: Duration = Duration::from_secs(2);
/// Changes of a node that come together are asked about once: agents limit how often they are asked.
const TOGETHER: Duration = Duration::from_millis(50);
/// First and longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Messages of all nodes that wait for us; beyond, the nodes wait.
const WAITING: usize = 256;

/// The last event of a node that is known: agent's start and number.
pub(crate) type Mark = (Option<prost_types::Timestamp>, u64);

/// What came from one node.
#[derive(Debug)]
pub(crate) enum Told {
    /// Everything.
    Snapshot(Box<Answer<v1::GetSnapshotResponse>>),
    /// One virtual router as it is now.
    Router(Box<v1::VirtualRouter>),
    /// What happened since, and how much of it is forgotten.
    Events(Vec<v1::Event>, u64),
    /// It does not answer any more; it is tried again.
    Lost(NodeError),
}

/// All nodes, followed until this is dropped.
#[derive(Debug)]
pub(crate) struct Live {
    told: mpsc::Receiver<(usize, Told)>,
    _followers: JoinSet<()>,
}

impl Live {
    /// Follows all members. Events come after the `marks`, one for each member.
    pub(crate) fn start(cluster: &Cluster, timeout: Duration, marks: Vec<Mark>) -> Self {
        let (sender, told) = mpsc::channel(WAITING);
        let mut followers = JoinSet::new();
        for (number, (member, mark)) in cluster.members.iter().cloned().zip(marks).enumerate() {
            followers.spawn(Follower { number, member, timeout, mark, sender: sender.clone() }.run());
        }
        Self { told, _followers: followers }
    }

    /// The next thing told, with the number of the member. Can be cancelled without loss.
    pub(crate) async fn next(&mut self) -> Option<(usize, Told)> {
        self.told.recv().await
    }
}

struct Follower {
    number: usize,
    member: Member,
    timeout: Duration,
    mark: Mark,
    sender: mpsc::Sender<(usize, Told)>,
}

impl Follower {
    async fn run(mut self) {
        let mut wait = BACKOFF.0;
        loop {
            let begun = Instant::now();
            let Err(error) = self.follow().await;
            if self.sender.send((self.number, Told::Lost(error))).await.is_err() {
                return;
            }
            // What held for a while begins anew; what fails at once is left alone for longer.
            wait = if begun.elapsed() > BACKOFF.1 { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn follow(&mut self) -> Result<Infallible, NodeError> {
        let node = connect(&self.member, self.timeout).await?;
        let mut reader = node.read();
        let stream = tokio::time::timeout(self.timeout, reader.watch(v1::WatchRequest {})).await;
        let mut stream = stream.map_err(|_| silent(self.timeout))??.into_inner();
        self.refresh(&node).await?;
        let mut due = tokio::time::interval_at(tokio::time::Instant::now() + REFRESH, REFRESH);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stale = false;
        loop {
            tokio::select! {
                message = stream.message() => {
                    let ended = || NodeError::Unreachable("the agent ended the conversation".to_owned());
                    let news = match message?.ok_or_else(ended)?.change {
                        Some(Change::Router(change)) => self.changed(change).await?,
                        Some(Change::Snapshot(_)) => true,
                        None => false,
                    };
                    if news && !std::mem::replace(&mut stale, true) {
                        due.reset_after(TOGETHER);
                    }
                }
                _ = due.tick() => {
                    stale = false;
                    self.refresh(&node).await?;
                }
            }
        }
    }

    /// Whether the node has to be asked for the rest.
    async fn changed(&mut self, change: v1::RouterChange) -> Result<bool, NodeError> {
        let v1::RouterChange { event, router } = change;
        // Without a router the node changed, or the router is gone.
        let Some(router) = router else { return Ok(true) };
        self.tell(Told::Router(Box::new(router))).await?;
        match event {
            Some(event) if event.sequence == self.mark.1.saturating_add(1) => {
                self.mark.1 = event.sequence;
                self.tell(Told::Events(vec![event], 0)).await?;
                Ok(false)
            }
            Some(event) => Ok(event.sequence > self.mark.1),
            None => Ok(false),
        }
    }

    /// Everything anew, and the events that came before it.
    async fn refresh(&mut self, node: &NodeClient) -> Result<(), NodeError> {
        let question = |node: NodeClient| async move {
            Ok(node.read().get_snapshot(v1::GetSnapshotRequest {}).await?.into_inner())
        };
        let answer = ask_over(&self.member, node.clone(), (Instant::now(), self.timeout), question).await;
        let snapshot = answer.result.as_ref().map_err(Clone::clone)?;
        let started = snapshot.node.as_ref().and_then(|node| node.started);
        let (sequence, restarted) = (snapshot.sequence, started != self.mark.0);
        self.tell(Told::Snapshot(Box::new(answer))).await?;
        if restarted {
            self.mark = (started, 0);
        }
        if sequence > self.mark.1 { self.catch_up(node).await } else { Ok(()) }
    }

    async fn catch_up(&mut self, node: &NodeClient) -> Result<(), NodeError> {
        let after_sequence = self.mark.1;
        let mut reader = node.read();
        let asked = reader.list_events(v1::ListEventsRequest { after_sequence, router: String::new() });
        let answer = tokio::time::timeout(self.timeout, asked).await;
        let answer = answer.map_err(|_| silent(self.timeout))??.into_inner();
        if let Some(last) = answer.events.last() {
            self.mark.1 = last.sequence;
        }
        self.tell(Told::Events(answer.events, answer.forgotten)).await
    }

    async fn tell(&self, told: Told) -> Result<(), NodeError> {
        let gone = |_| NodeError::Unreachable("nobody follows any more".to_owned());
        self.sender.send((self.number, told)).await.map_err(gone)
    }
}

/// All nodes as they were last told.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// One for each member.
    pub(crate) answers: Vec<Answer<v1::GetSnapshotResponse>>,
}

impl Nodes {
    /// Takes in what node `number` told; events change nothing here.
    pub(crate) fn take(&mut self, number: usize, told: &Told) {
        let Some(answer) = self.answers.get_mut(number) else { return };
        match told {
            Told::Snapshot(snapshot) => *answer = (**snapshot).clone(),
            Told::Router(router) => {
                let Ok(snapshot) = &mut answer.result else { return };
                let same = |known: &&mut v1::VirtualRouter| {
                    known.vrid == router.vrid && known.interface == router.interface
                };
                match snapshot.routers.iter_mut().find(same) {
                    Some(known) => known.clone_from(router),
                    None => snapshot.routers.push((**router).clone()),
                }
            }
            Told::Lost(error) => answer.result = Err(error.clone()),
            Told::Events(..) => {}
        }
    }
}
