//! The way to one agent, and its failures in words.

use crate::fanout::{Member, Way};
use anyhow::{Context, anyhow};
use hacluster_proto::v1::{admin_client::AdminClient, read_client::ReadClient};
use hacluster_proto::{MESSAGE_BYTES_MAX, tls};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// A connection to one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodeClient {
    channel: Channel,
}

impl NodeClient {
    /// Asks without changing anything.
    pub(crate) fn read(&self) -> ReadClient<Channel> {
        ReadClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Tells the agent what to do.
    pub(crate) fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Why one node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeError {
    /// It cannot be reached, or fell silent; in words, with the mend.
    Unreachable(String),
    /// It answered, and refused; in words.
    Refused(Code, String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Refused(_, text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<anyhow::Error> for NodeError {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreachable(format!("{error:#}"))
    }
}

impl From<tonic::Status> for NodeError {
    fn from(status: tonic::Status) -> Self {
        let text = match status.code() {
            Code::Unimplemented => {
                "this agent does not know the request: it is older than haclusterctl".to_owned()
            }
            Code::Unknown | Code::Unavailable | Code::Internal | Code::DeadlineExceeded | Code::Cancelled => {
                return Self::Unreachable(format!("the agent ended the conversation: {}", status.message()));
            }
            _ => status.message().to_owned(),
        };
        Self::Refused(status.code(), text)
    }
}

/// Connects to `member`. Takes no longer than `deadline`.
pub(crate) async fn connect(member: &Member, deadline: Duration) -> Result<NodeClient, NodeError> {
    let channel = match &member.way {
        Way::Socket(path) => {
            tokio::time::timeout(deadline, local(path)).await.map_err(|_| silent(deadline))??
        }
        Way::Tls { address, tls } => {
            let connected = tls::connect(address, &member.name, tls, deadline).await;
            connected.map_err(|error| NodeError::Unreachable(error.to_string()))?
        }
    };
    Ok(NodeClient { channel })
}

/// Nothing came within `deadline`.
pub(crate) fn silent(deadline: Duration) -> NodeError {
    NodeError::Unreachable(format!(
        "no answer within {}: the node, its agent or the network between is down; --timeout waits longer",
        crate::times::span(deadline)
    ))
}

async fn local(path: &Path) -> anyhow::Result<Channel> {
    let stream = UnixStream::connect(path).await.map_err(|error| explain(path, &error))?;
    let mut first = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = first.take().ok_or_else(|| io::Error::other("the agent closed the connection"));
        async move { stream.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://agent").connect_with_connector(connector).await;
    channel.with_context(|| format!("{} does not answer as an agent does", path.display()))
}

fn explain(path: &Path, error: &io::Error) -> anyhow::Error {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!(
            "no agent answers at {shown}: no such socket. Is hacluster-agent running? If it was started with \
             --run-dir, give the same here"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{shown} is for root and the agent's own user: use sudo")
        }
        io::ErrorKind::ConnectionRefused => {
            anyhow!("no agent answers at {shown}: it ended without cleaning up. Start hacluster-agent again")
        }
        _ => anyhow!("no agent answers at {shown}: {error}"),
    }
}
