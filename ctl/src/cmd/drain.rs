//! `haclusterctl drain` and `undrain`: one node, one table, one question.

use super::admin::{chosen, deadline, limit, reason, say, tell, to_the_end};
use crate::Outcome;
use crate::args::Place;
use crate::args::moves::{DrainArgs, UndrainArgs};
use crate::client::{NodeClient, NodeError};
use crate::confirm;
use crate::fanout::{Cluster, Member};
use crate::moves::Drained;
use crate::output::{self, safe};
use crate::story::Story;
use anyhow::Context;
use hacluster_proto::v1;

pub(super) async fn drain(place: &Place, args: &DrainArgs) -> anyhow::Result<Outcome> {
    let (manner, yes) = (&args.manner, args.consent.yes);
    confirm::possible(yes, manner.dry_run)?;
    let member = one(place, &args.node).await?;
    let trial = ask(&member, place, args, true).await.with_context(|| member.name.clone())?;
    let shown = confirm::before_drain(&trial, args.limit.hold_for);
    match manner.output.is_for_people() {
        true => say(&shown)?,
        false if !yes && !manner.dry_run => eprint!("{shown}"),
        false => {}
    }
    if manner.dry_run {
        return end(&trial, args);
    }
    if !yes && !confirm::ask(&format!("Drain {} now?", safe(&member.name)))? {
        eprintln!("nothing was changed");
        return Ok(Outcome::Degraded);
    }
    let work = ask(&member, place, args, false);
    let Ok(done) = to_the_end(&format!("draining {}", member.name), work).await else {
        eprintln!(
            "interrupted: {} goes on draining. How it ended: haclusterctl status; the end of it: haclusterctl undrain {0}",
            safe(&member.name)
        );
        return Ok(Outcome::Degraded);
    };
    let lost = || format!("{}: it may be drained all the same, see haclusterctl status", member.name);
    let done = match done {
        Err(error @ NodeError::Unreachable(_)) => return Err(anyhow::Error::from(error).context(lost())),
        done => done.with_context(|| member.name.clone())?,
    };
    end(&done, args)
}

async fn ask(member: &Member, place: &Place, args: &DrainArgs, dry_run: bool) -> Result<Drained, NodeError> {
    let request =
        v1::DrainRequest { reason: reason(&args.manner), dry_run, hold_for: limit(args.limit.hold_for) };
    let story = Story::begin();
    let request = story.request(request);
    let drain = |node: NodeClient| async move { Ok(node.admin().drain(request).await?.into_inner()) };
    let answer: v1::DrainResponse = tell(member, deadline(place.timeout, dry_run), drain).await?;
    Ok(Drained {
        node: member.name.clone(),
        dry_run,
        trace_id: (!dry_run).then(|| story.trace_id()),
        text: answer.text,
        moves: answer.moves.into_iter().map(Into::into).collect(),
        hold: answer.hold.map(Into::into),
    })
}

fn end(of: &Drained, args: &DrainArgs) -> anyhow::Result<Outcome> {
    match output::structured(of, args.manner.output)? {
        Some(text) => say(&text)?,
        None if of.dry_run => {}
        None => say(&confirm::after_drain(of))?,
    }
    let well = of.moves.iter().all(crate::moves::Move::is_well) && (of.dry_run || of.hold.is_some());
    Ok(if well { Outcome::Well } else { Outcome::Degraded })
}

pub(super) async fn undrain(place: &Place, args: &UndrainArgs) -> anyhow::Result<Outcome> {
    let member = one(place, &args.node).await?;
    let dry_run = args.manner.dry_run;
    let request = v1::UndrainRequest { reason: reason(&args.manner), dry_run };
    let undrain = |node: NodeClient| async move { Ok(node.admin().undrain(request).await?.into_inner()) };
    let answer = tell(&member, deadline(place.timeout, dry_run), undrain).await;
    let answer: v1::UndrainResponse = answer.with_context(|| member.name.clone())?;
    let hold = answer.hold.map(Into::into);
    let of =
        Drained { node: member.name, dry_run, trace_id: None, text: answer.text, moves: Vec::new(), hold };
    let text = output::structured(&of, args.manner.output)?;
    say(&text.unwrap_or_else(|| format!("{}  {}\n", safe(&of.node), safe(&of.text))))?;
    Ok(Outcome::Well)
}

/// The node called `name`.
async fn one(place: &Place, name: &str) -> anyhow::Result<Member> {
    let cluster = chosen(Cluster::of(place)?, &[name.to_owned()], place.timeout).await?;
    cluster.members.into_iter().next().context("the context names no node")
}
