//! `haclusterctl events`.

use super::{call, first};
use crate::Outcome;
use crate::args::{EventsArgs, Format, Place};
use crate::client::NodeError;

use crate::output::{self, table, yaml};
use crate::view::{Event, find};
use hacluster_proto::v1::read_client::ReadClient;
use hacluster_proto::v1::{self, watch_response::Change};
use tonic::transport::Channel;

pub(super) async fn run(place: &Place, args: &EventsArgs) -> anyhow::Result<Outcome> {
    let mut client = first(place).await?;
    // Subscribed before the past is read, so that nothing falls between.
    let changes =
        if args.follow { Some(call(place.timeout, client.watch(v1::WatchRequest {})).await?) } else { None };
    let mut last = list(place, &mut client, args, 0).await?;
    let Some(mut changes) = changes else { return Ok(Outcome::Well) };
    while let Some(message) = changes.message().await.map_err(NodeError::from)? {
        let due = match message.change {
            // We were too slow to be told everything: ask for what happened meanwhile.
            Some(Change::Snapshot(snapshot)) => snapshot.sequence > last,
            Some(Change::Router(change)) => change.event.is_some_and(|event| event.sequence > last),
            None => false,
        };
        if due {
            last = list(place, &mut client, args, last).await?;
        }
    }
    anyhow::bail!("the agent ended the conversation")
}

/// Prints what happened after number `after`; gives the number of the latest event.
async fn list(
    place: &Place,
    client: &mut ReadClient<Channel>,
    args: &EventsArgs,
    after: u64,
) -> anyhow::Result<u64> {
    let request = v1::ListEventsRequest { after_sequence: after, router: String::new() };
    let answer = call(place.timeout, client.list_events(request)).await?;
    let last = answer.events.last().map_or(after, |event| event.sequence);
    let mut events: Vec<Event> = answer.events.into_iter().map(Event::from).collect();
    if let Some(typed) = &args.router {
        let name = resolve(place, client, typed, &events).await?;
        events.retain(|event| event.router.as_ref() == Some(&name));
    }
    if answer.forgotten > 0 && after > 0 && args.output != Format::Json {
        output::print(&format!("... {} event(s) are not remembered any more\n", answer.forgotten))?;
    }
    let text = events.iter().map(|event| {
        Ok(match args.output {
            Format::Json => format!("{}\n", serde_json::to_string(event)?),
            Format::Yaml => format!("---\n{}", yaml::text(&serde_json::to_value(event)?)),
            Format::Table | Format::Wide => table::event(event),
        })
    });
    output::print(&text.collect::<anyhow::Result<String>>()?)?;
    Ok(last)
}

/// The router that is meant: of those that run, and of those that are only remembered.
async fn resolve(
    place: &Place,
    client: &mut ReadClient<Channel>,
    typed: &str,
    events: &[Event],
) -> anyhow::Result<String> {
    let now = call(place.timeout, client.get_snapshot(v1::GetSnapshotRequest {})).await?;
    let mut names: Vec<String> = now.routers.into_iter().map(|router| router.name).collect();
    names.extend(events.iter().filter_map(|event| event.router.clone()));
    names.sort();
    names.dedup();
    Ok(find(typed, &names)?.to_owned())
}
