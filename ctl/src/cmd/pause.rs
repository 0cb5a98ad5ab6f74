//! `haclusterctl pause` and `resume`: every node at once, each with its own answer.

use super::admin::{chosen, deadline, finish, limit, reason, tell_all};
use crate::Outcome;
use crate::args::Place;
use crate::args::moves::{Manner, PauseArgs, ResumeArgs};
use crate::fanout::Cluster;
use crate::moves::{Paused, Row, Rows};
use crate::output::safe;
use hacluster_proto::v1;

pub(super) async fn pause(place: &Place, args: &PauseArgs) -> anyhow::Result<Outcome> {
    let cluster = chosen(Cluster::of(place)?, &args.nodes, place.timeout).await?;
    let dry_run = args.manner.dry_run;
    let request =
        v1::PauseRequest { reason: reason(&args.manner), dry_run, hold_for: limit(args.limit.hold_for) };
    let nodes = tell_all(&cluster, deadline(place.timeout, dry_run), move |node| {
        let request = request.clone();
        async move { Ok(node.admin().pause(request).await?.into_inner()) }
    });
    end(nodes.await, &args.manner)
}

pub(super) async fn resume(place: &Place, args: &ResumeArgs) -> anyhow::Result<Outcome> {
    let cluster = chosen(Cluster::of(place)?, &args.nodes, place.timeout).await?;
    let dry_run = args.manner.dry_run;
    let request = v1::ResumeRequest { reason: reason(&args.manner), dry_run };
    let nodes = tell_all(&cluster, deadline(place.timeout, dry_run), move |node| {
        let request = request.clone();
        async move { Ok(node.admin().resume(request).await?.into_inner()) }
    });
    end(nodes.await, &args.manner)
}

fn end(nodes: Vec<Row<Paused>>, manner: &Manner) -> anyhow::Result<Outcome> {
    let rows = Rows { dry_run: manner.dry_run, nodes };
    finish(&rows, manner, |paused| safe(&paused.text), |_| true)
}

impl From<v1::PauseResponse> for Paused {
    fn from(of: v1::PauseResponse) -> Self {
        Self { text: of.text, hold: of.hold.map(Into::into) }
    }
}

impl From<v1::ResumeResponse> for Paused {
    fn from(of: v1::ResumeResponse) -> Self {
        Self { text: of.text, hold: of.hold.map(Into::into) }
    }
}
