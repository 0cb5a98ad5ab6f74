//! `haclusterctl reload`: first what would change, a question where that interrupts, then the change.

use super::admin::{chosen, deadline, finish, reason, tell_all, to_the_end};
use crate::args::Place;
use crate::args::moves::ReloadArgs;
use crate::fanout::Cluster;
use crate::moves::{Reloaded, Row, Rows};
use crate::{Outcome, Usage, confirm};
use hacluster_proto::v1;
use std::io::{self, IsTerminal};

pub(super) async fn run(place: &Place, args: &ReloadArgs) -> anyhow::Result<Outcome> {
    let cluster = chosen(Cluster::of(place)?, &args.nodes, place.timeout).await?;
    let manner = &args.manner;
    if manner.dry_run {
        return end(ask(&cluster, place, args, true).await, args);
    }
    if !args.consent.yes && !agreed(&ask(&cluster, place, args, true).await)? {
        eprintln!("nothing was reloaded");
        return Ok(Outcome::Degraded);
    }
    let Ok(nodes) = to_the_end("reloading", ask(&cluster, place, args, false)).await else {
        eprintln!("interrupted: the agents go on. What is in force: haclusterctl status");
        return Ok(Outcome::Degraded);
    };
    end(nodes, args)
}

/// Nothing would be interrupted, or the person at the terminal wants it.
fn agreed(trial: &[Row<Reloaded>]) -> anyhow::Result<bool> {
    let interrupts = |row: &&Row<Reloaded>| row.answer.as_ref().is_some_and(Reloaded::interrupts);
    let nodes: Vec<_> = trial.iter().filter(interrupts).map(|row| row.node.as_str()).collect();
    if nodes.is_empty() {
        return Ok(true);
    }
    eprint!("{}", confirm::rows(trial, confirm::reloaded));
    let nodes = nodes.join(", ");
    if !io::stdin().is_terminal() {
        return Err(Usage(format!(
            "virtual routers of {nodes} would stop or restart, and there is no terminal to ask at: --yes does it \
             without asking"
        ))
        .into());
    }
    confirm::ask(&format!("Virtual routers of {nodes} stop or restart. Reload now?"))
}

async fn ask(cluster: &Cluster, place: &Place, args: &ReloadArgs, dry_run: bool) -> Vec<Row<Reloaded>> {
    let request = v1::ReloadRequest { reason: reason(&args.manner), dry_run };
    tell_all(cluster, deadline(place.timeout, dry_run), move |node| {
        let request = request.clone();
        async move { Ok(node.admin().reload(request).await?.into_inner()) }
    })
    .await
}

fn end(nodes: Vec<Row<Reloaded>>, args: &ReloadArgs) -> anyhow::Result<Outcome> {
    let rows = Rows { dry_run: args.manner.dry_run, nodes };
    finish(&rows, &args.manner, confirm::reloaded, Reloaded::is_well)
}
