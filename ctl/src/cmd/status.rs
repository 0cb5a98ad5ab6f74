//! `haclusterctl status`.

use crate::args::{Format, Place, StatusArgs};
use crate::client::{call, connect, refused};
use crate::output::{self, table};
use crate::view::Status;
use crate::{Outcome, client::Client};
use hacluster_proto::v1;
use std::time::Duration;

/// Changes that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(50);

pub(super) async fn run(place: &Place, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let mut client = connect(place).await?;
    if args.watch {
        return watch(&mut client, args).await;
    }
    show(&mut client, args).await
}

async fn show(client: &mut Client, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let answer = call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
    let status = Status::of(answer, &args.routers)?;
    let text = match output::structured(&status, args.output)? {
        Some(text) => text,
        None => table::status(&status, args.output == Format::Wide, output::color()),
    };
    output::print(&text)?;
    Ok(if status.degraded { Outcome::Degraded } else { Outcome::Well })
}

/// The stream says when; what is shown is a fresh snapshot each time, so nothing can be missed.
async fn watch(client: &mut Client, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let mut changes = call(client.watch(v1::WatchRequest {})).await?;
    loop {
        if changes.message().await.map_err(|status| refused(&status))?.is_none() {
            anyhow::bail!("the agent ended the conversation");
        }
        while let Ok(message) = tokio::time::timeout(TOGETHER, changes.message()).await {
            if message.map_err(|status| refused(&status))?.is_none() {
                anyhow::bail!("the agent ended the conversation");
            }
        }
        if output::color() {
            output::print("\x1b[H\x1b[2J")?; // a terminal shows the latest only
        }
        show(client, args).await?;
    }
}
