//! One question to all nodes of a cluster at once.
//!
//! ```text
//!              .--> node1   answer   1.2 ms
//!   question --+--> node2   answer   0.9 ms        each with its own deadline: a node that is
//!              `--> node3   no answer within 3 s   dead is a row with its error, never a hang
//! ```

use crate::Usage;
use crate::args::Place;
use crate::client::{NodeClient, NodeError, connect, silent};
use crate::context::{self, Where};
use crate::view::{Certificate, find};
use hacluster_proto::tls::{ClientTls, Files};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The nodes that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// Name of the context; `None` for the agent of this machine alone.
    pub(crate) name: Option<String>,
    /// In the order shown; never empty.
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
    /// TLS to `host:port`; the node's name must be in its certificate.
    Tls {
        /// `host:port`.
        address: String,
        /// Who asks.
        tls: ClientTls,
    },
}

impl Cluster {
    /// What the command line and the contexts say.
    ///
    /// # Errors
    /// [`Usage`]: no such context, or its files cannot be used.
    pub(crate) fn of(place: &Place) -> anyhow::Result<Self> {
        match context::resolve(&place.context)? {
            Where::Socket(path) => Ok(Self::local(path)),
            Where::Cluster { name, nodes, tls } => {
                let (certificate, key, authority) = (tls.certificate, tls.key, tls.authority);
                let files = Files { certificate, key, authority, revoked: None };
                let tls =
                    ClientTls::load(&files).map_err(|error| Usage(format!("context {name}: {error}")))?;
                let way = |address| Way::Tls { address, tls: tls.clone() };
                let nodes = nodes.into_iter();
                let members = nodes.map(|(name, address)| Member { name, way: way(address) }).collect();
                Ok(Self { name: Some(name), members })
            }
        }
    }

    /// The agent of this machine alone.
    pub(crate) fn local(socket: PathBuf) -> Self {
        let member = Member { name: "this node".to_owned(), way: Way::Socket(socket) };
        Self { name: None, members: vec![member] }
    }

    /// The member that `typed` means, regardless of case.
    pub(crate) fn member(&self, typed: &str) -> Result<&Member, Usage> {
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        let name = find("node", typed, &names)?;
        let found = self.members.iter().find(|member| member.name == name);
        found.ok_or_else(|| Usage(format!("no node is called `{typed}`")))
    }

    /// The certificate we ask with; none on the local socket.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        let Way::Tls { tls, .. } = &self.members.first()?.way else { return None };
        let material = tls.material();
        Some(Certificate {
            path: material.files().certificate.display().to_string(),
            subject: material.identity().name.clone(),
            expires: material.identity().expires.try_into().ok(),
            authority_expires: material.authority_expires().try_into().ok(),
            revoked_due: None,
        })
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
            Way::Tls { address, .. } => address.clone(),
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
    ask_over(member, client, (begun, deadline), question).await
}

/// Asks one node over a connection that is there; the deadline counts from the beginning given with it.
pub(crate) async fn ask_over<T, Q, F>(
    member: &Member,
    client: NodeClient,
    (begun, deadline): (Instant, Duration),
    question: Q,
) -> Answer<T>
where
    Q: FnOnce(NodeClient) -> F,
    F: Future<Output = Result<T, NodeError>>,
{
    let (sent, clock) = (Instant::now(), Timestamp::now());
    let left = deadline.saturating_sub(begun.elapsed());
    let answer = tokio::time::timeout(left, question(client)).await;
    let result = answer.unwrap_or_else(|_| Err(silent(deadline)));
    let round_trip = sent.elapsed();
    let middle = clock.checked_add(round_trip / 2).unwrap_or(clock);
    Answer::new(member, result, round_trip, middle)
}

impl<A, B> Answer<(A, B)> {
    /// An answer to two questions as the answer to the first, and the other.
    pub(crate) fn split(self) -> (Answer<A>, Option<B>) {
        let Self { node, address, result, round_trip, middle } = self;
        let (result, other) = match result {
            Ok((one, other)) => (Ok(one), Some(other)),
            Err(error) => (Err(error), None),
        };
        (Answer { node, address, result, round_trip, middle }, other)
    }
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
