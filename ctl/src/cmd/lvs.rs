//! `haclusterctl lvs`: virtual and real servers of all nodes, and what operators order of them.

mod realserver;

use super::admin::{chosen, deadline, finish, limit, reason, tell_all};
use super::{gather, wait};
use crate::Outcome;
use crate::args::lvs::{EnableArgs, LvsArgs, LvsVerb, ServerArgs, WeightArgs, Where};
use crate::args::moves::Manner;
use crate::args::{Format, Place};
use crate::client::NodeClient;
use crate::confirm;
use crate::fanout::Cluster;
use crate::moves::{Row, Rows};
use crate::output::lvs::text;
use crate::output::status::Style;
use crate::output::{self, safe};
use crate::view::lvs::Lvs;
use crate::view::unknown;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

pub(super) fn run(place: &Place, args: LvsArgs) -> anyhow::Result<Outcome> {
    match args.verb {
        None => wait(list(place, &args.services, args.output)),
        Some(LvsVerb::Drain(ServerArgs { server, place: at, limit, manner, consent })) => {
            let wish = Wish { server, at, weight: Some(0), limit: limit.hold_for, yes: consent.yes };
            wait(order(place, wish, &manner))
        }
        Some(LvsVerb::Enable(EnableArgs { server, place: at, manner })) => {
            wait(order(place, Wish { server, at, weight: None, limit: None, yes: true }, &manner))
        }
        Some(LvsVerb::Weight(WeightArgs { server, weight, place: at, limit, manner, consent })) => {
            let wish = Wish { server, at, weight: Some(weight), limit: limit.hold_for, yes: consent.yes };
            wait(order(place, wish, &manner))
        }
        Some(LvsVerb::Realserver(args)) => realserver::run(&args),
    }
}

async fn list(place: &Place, services: &[String], output: Format) -> anyhow::Result<Outcome> {
    let cluster = Cluster::of(place)?;
    let cluster = if cluster.is_local() { chosen(cluster, &[], place.timeout).await? } else { cluster };
    let now = Timestamp::now();
    let lvs = seen(&cluster, place.timeout, services, now).await?;
    let missing = |typed: &&String| {
        !lvs.nodes.iter().flat_map(|node| &node.services).any(|service| service.is_called(typed.trim()))
    };
    if let Some(typed) = services.iter().find(missing)
        && lvs.nodes.iter().all(|node| node.error.is_none())
    {
        let all = seen(&cluster, place.timeout, &[], now).await?;
        let names: Vec<String> = all.names().into_iter().map(str::to_owned).collect();
        return Err(unknown("virtual server", typed, &names).into());
    }
    let shown = match output::structured(&lvs, output)? {
        Some(text) => text,
        None => {
            let wide = output == Format::Wide;
            text(&lvs, now, Style { wide, color: output::color(), columns: output::columns() })
        }
    };
    output::print(&shown)?;
    Ok(match lvs.health {
        "ok" => Outcome::Well,
        "degraded" => Outcome::Degraded,
        _ => Outcome::Unreachable,
    })
}

async fn seen(
    cluster: &Cluster,
    timeout: Duration,
    services: &[String],
    now: Timestamp,
) -> anyhow::Result<Lvs> {
    let services = services.to_owned();
    let question = move |node: NodeClient| {
        let services = services.clone();
        async move { Ok(node.read().list_lvs(v1::ListLvsRequest { services }).await?.into_inner()) }
    };
    Ok(Lvs::of(cluster.name.clone(), gather(cluster, timeout, question).await?, now))
}

/// What a node did, in the names that JSON and YAML promise.
#[derive(Serialize)]
struct Ordered {
    text: String,
    changes: Vec<Changed>,
}

#[derive(Serialize)]
struct Changed {
    service: String,
    server: String,
    weight_before: u32,
    weight_now: u32,
    up: bool,
    had_quorum: bool,
    quorum: bool,
}

impl From<v1::SetServerResponse> for Ordered {
    fn from(of: v1::SetServerResponse) -> Self {
        let change = |of: v1::ServerChange| Changed {
            service: of.service,
            server: of.server,
            weight_before: of.weight_before,
            weight_now: of.weight_now,
            up: of.up,
            had_quorum: of.had_quorum,
            quorum: of.quorum,
        };
        Self { text: of.text, changes: of.changes.into_iter().map(change).collect() }
    }
}

/// What is to become of a real server.
struct Wish {
    server: String,
    at: Where,
    weight: Option<u16>,
    limit: Option<Duration>,
    yes: bool,
}

async fn order(place: &Place, wish: Wish, manner: &Manner) -> anyhow::Result<Outcome> {
    let cluster = chosen(Cluster::of(place)?, &wish.at.nodes, place.timeout).await?;
    let ask = |dry_run: bool| {
        let request = v1::SetServerRequest {
            server: wish.server.clone(),
            service: wish.at.service.clone().unwrap_or_default(),
            weight: wish.weight.map(u32::from),
            reason: reason(manner),
            dry_run,
            hold_for: limit(wish.limit),
        };
        let question = move |node: NodeClient| {
            let request = request.clone();
            async move { Ok(node.admin().set_server(request).await?.into_inner()) }
        };
        tell_all(&cluster, deadline(place.timeout, dry_run), question)
    };
    if !manner.dry_run && !wish.yes {
        let tried: Vec<Row<Ordered>> = ask(true).await;
        if tried.iter().filter_map(|row| row.answer.as_ref()).any(Ordered::costs_a_quorum) {
            let shown = confirm::rows(&tried, |ordered| safe(&ordered.text));
            eprint!("{shown}");
            confirm::possible(wish.yes, false)?;
            if !confirm::ask("Do it?")? {
                eprintln!("nothing was changed");
                return Ok(Outcome::Degraded);
            }
        }
    }
    let rows: Rows<Ordered> = Rows { dry_run: manner.dry_run, nodes: ask(manner.dry_run).await };
    finish(&rows, manner, |ordered| safe(&ordered.text), |_| true)
}

impl Ordered {
    /// A virtual server loses its quorum by it.
    fn costs_a_quorum(&self) -> bool {
        self.changes.iter().any(|change| change.had_quorum && !change.quorum)
    }
}
