//! The way to the agent, and its failures in words.

use crate::args::Place;
use anyhow::{Context, anyhow};
use hacluster_proto::{MESSAGE_BYTES_MAX, v1::read_client::ReadClient};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// How long an agent may take to answer.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A way to the agent.
pub(crate) type Client = ReadClient<Channel>;

impl Place {
    fn path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.run_dir.join("agent.sock"))
    }
}

/// Connects to the agent.
pub(crate) async fn connect(place: &Place) -> anyhow::Result<Client> {
    let path = place.path();
    let stream = tokio::time::timeout(ANSWER_MAX, UnixStream::connect(&path)).await;
    let stream = stream
        .map_err(|_| anyhow!("the agent at {} does not take connections", path.display()))?
        .map_err(|error| explain(&path, &error))?;
    let mut first = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = first.take().ok_or_else(|| io::Error::other("the agent closed the connection"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://agent");
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.with_context(|| format!("{} does not answer as an agent does", path.display()))?;
    Ok(ReadClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
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

/// What the agent refused, or why it fell silent.
pub(crate) fn refused(status: &tonic::Status) -> anyhow::Error {
    use tonic::Code;
    match status.code() {
        Code::PermissionDenied | Code::ResourceExhausted => anyhow!("{}", status.message()),
        Code::Unimplemented => anyhow!("this agent does not know the request: it is older than haclusterctl"),
        Code::DeadlineExceeded | Code::Cancelled => {
            anyhow!("the agent did not answer within {} s", ANSWER_MAX.as_secs())
        }
        _ => anyhow!("the agent ended the conversation: {}", status.message()),
    }
}

/// A call with the deadline of every call.
pub(crate) async fn call<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|status| refused(&status)),
        Err(_) => Err(anyhow!("the agent did not answer within {} s", ANSWER_MAX.as_secs())),
    }
}
