//! `haclusterctl status`.

use super::{call, first};
use crate::Outcome;
use crate::args::{Format, Place, StatusArgs};
use crate::client::NodeError;
use crate::output::{self, table};
use crate::view::Status;
use hacluster_proto::v1;
use hacluster_proto::v1::read_client::ReadClient;
use std::time::Duration;
use tonic::transport::Channel;

/// Changes that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(50);

pub(super) async fn run(place: &Place, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let mut client = first(place).await?;
    if args.watch {
        return watch(place, &mut client, args).await;
    }
    show(place, &mut client, args).await
}

async fn show(place: &Place, client: &mut ReadClient<Channel>, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let answer = call(place.timeout, client.get_snapshot(v1::GetSnapshotRequest {})).await?;
    let status = Status::of(answer, &args.routers)?;
    let text = match output::structured(&status, args.output)? {
        Some(text) => text,
        None => table::status(&status, args.output == Format::Wide, output::color()),
    };
    output::print(&text)?;
    Ok(if status.degraded { Outcome::Degraded } else { Outcome::Well })
}

/// The stream says when; what is shown is a fresh snapshot each time, so nothing can be missed.
async fn watch(
    place: &Place,
    client: &mut ReadClient<Channel>,
    args: &StatusArgs,
) -> anyhow::Result<Outcome> {
    let mut changes = call(place.timeout, client.watch(v1::WatchRequest {})).await?;
    loop {
        if changes.message().await.map_err(NodeError::from)?.is_none() {
            anyhow::bail!("the agent ended the conversation");
        }
        while let Ok(message) = tokio::time::timeout(TOGETHER, changes.message()).await {
            if message.map_err(NodeError::from)?.is_none() {
                anyhow::bail!("the agent ended the conversation");
            }
        }
        if output::color() {
            output::print("\x1b[H\x1b[2J")?; // a terminal shows the latest only
        }
        show(place, client, args).await?;
    }
}
