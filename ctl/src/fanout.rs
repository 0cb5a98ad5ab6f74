//! One question to all nodes of a cluster at once.
//!
//! ```text
//!              .--> node1   answer   1.2 ms
//!   question --+--> node2   answer   0.9 ms        each with its own deadline: a node that is
//!              `--> node3   no answer within 3 s   dead is a row with its error, never a hang
//! ```

use crate::args::Place;
use crate::client::{NodeClient, NodeError, connect, silent};
use crate::context::{self, Where};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The nodes that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// Name of the context; `None` for the agent of this machine alone.
    pub(crate) name: Option<String>,
    /// In the order shown.
    pub(crate) members: Vec<Member>,
}

/// One node as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its name in the context; for the local socket a placeholder until it answers.
    pub(crate) name: String,
    /// How it is reached.
    pub(crate) way: Way,
}

/// How a node is reached.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// The unix socket of this machine's agent.
    Socket(PathBuf),
}

impl Cluster {
    /// What the command line and the contexts say.
    pub(crate) fn of(place: &Place) -> anyhow::Result<Self> {
        match context::resolve(&place.context)? {
            Where::Socket(path) => Ok(Self::local(path)),
            Where::Cluster { name, .. } => anyhow::bail!("context {name} is a cluster: name a --run-dir"),
        }
    }

    /// The agent of this machine alone.
    pub(crate) fn local(socket: PathBuf) -> Self {
        let member = Member { name: "this node".to_owned(), way: Way::Socket(socket) };
        Self { name: None, members: vec![member] }
    }

    /// Only the agent of this machine is known.
    pub(crate) fn is_local(&self) -> bool {
        self.name.is_none()
    }
}

impl Member {
    /// Where it is, for people.
    pub(crate) fn address(&self) -> String {
        match &self.way {
            Way::Socket(path) => path.display().to_string(),
        }
    }
}

/// What one node answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer<T> {
    /// Name of the node in the context.
    pub(crate) node: String,
    /// Where it was asked.
    pub(crate) address: String,
    /// The answer, or why there is none.
    pub(crate) result: Result<T, NodeError>,
    /// From the question to its end, the connection made before.
    pub(crate) round_trip: Duration,
    /// Our clock half way: what the node's clock is compared with.
    pub(crate) middle: Timestamp,
}

/// Asks every node the same, all at once; the answers in the order of the members.
///
/// `deadline` is for connecting and answering together, for each node.
pub(crate) async fn ask<T, Q, F>(cluster: &Cluster, deadline: Duration, question: Q) -> Vec<Answer<T>>
where
    T: Send + 'static,
    Q: Fn(NodeClient) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, NodeError>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for (number, member) in cluster.members.iter().cloned().enumerate() {
        let question = question.clone();
        asked.spawn(async move { (number, ask_one(&member, deadline, question).await) });
    }
    let mut answers: Vec<Option<Answer<T>>> = cluster.members.iter().map(|_| None).collect();
    while let Some(joined) = asked.join_next().await {
        if let Ok((number, answer)) = joined
            && let Some(slot) = answers.get_mut(number)
        {
            *slot = Some(answer);
        }
    }
    let lost = |member: &Member| {
        let error = NodeError::Unreachable("asking it failed inside haclusterctl".to_owned());
        Answer::new(member, Err(error), Duration::ZERO, Timestamp::now())
    };
    let members = cluster.members.iter().zip(answers);
    members.map(|(member, answer)| answer.unwrap_or_else(|| lost(member))).collect()
}

/// Asks one node.
pub(crate) async fn ask_one<T, Q, F>(member: &Member, deadline: Duration, question: Q) -> Answer<T>
where
    Q: FnOnce(NodeClient) -> F,
    F: Future<Output = Result<T, NodeError>>,
{
    let begun = Instant::now();
    let client = match connect(member, deadline).await {
        Ok(client) => client,
        Err(error) => return Answer::new(member, Err(error), begun.elapsed(), Timestamp::now()),
    };
    let left = deadline.saturating_sub(begun.elapsed());
    let (sent, clock) = (Instant::now(), Timestamp::now());
    let result = tokio::time::timeout(left, question(client)).await.unwrap_or_else(|_| Err(silent(deadline)));
    let round_trip = sent.elapsed();
    let middle = clock.checked_add(round_trip / 2).unwrap_or(clock);
    Answer::new(member, result, round_trip, middle)
}

impl<T> Answer<T> {
    fn new(member: &Member, result: Result<T, NodeError>, round_trip: Duration, middle: Timestamp) -> Self {
        Self { node: member.name.clone(), address: member.address(), result, round_trip, middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    fn cluster(sockets: &[PathBuf]) -> Cluster {
        let member = |(number, path): (usize, &PathBuf)| Member {
            name: format!("node{}", number + 1),
            way: Way::Socket(path.clone()),
        };
        Cluster { name: Some("lab".into()), members: sockets.iter().enumerate().map(member).collect() }
    }

    #[tokio::test]
    async fn the_dead_and_the_silent_are_rows_and_cost_one_deadline_together() {
        let dir = tempfile::tempdir().unwrap();
        let silent: Vec<_> = (0..4).map(|number| dir.path().join(format!("{number}.sock"))).collect();
        let listeners: Vec<_> = silent.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
        let sockets = [silent, vec![dir.path().join("absent.sock")]].concat();
        let begun = Instant::now();
        let deadline = Duration::from_secs(1);
        let answers = ask(&cluster(&sockets), deadline, |node| async move {
            let answer = node.read().get_snapshot(hacluster_proto::v1::GetSnapshotRequest {}).await?;
            Ok(answer.into_inner())
        })
        .await;
        assert!(begun.elapsed() < deadline * 4, "one after the other: {:?}", begun.elapsed());
        drop(listeners);
        let texts: Vec<_> = answers.iter().map(|answer| format!("{:?}", answer.result)).collect();
        assert!(texts[..4].iter().all(|text| text.contains("no answer within 1 s")), "{texts:?}");
        assert!(texts[4].contains("no such socket"), "{texts:?}");
        assert_eq!(answers[3].node, "node4");
    }

    #[tokio::test]
    async fn a_question_that_panics_is_a_row_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let cluster = cluster(&[path]);
        let answers = ask(&cluster, Duration::from_secs(60), |_| async {
            let broken = tokio::spawn(async { panic!("in the question") }).await;
            broken.unwrap();
            Ok(())
        });
        assert!(matches!(&answers.await[0].result, Err(NodeError::Unreachable(_))));
    }
}
