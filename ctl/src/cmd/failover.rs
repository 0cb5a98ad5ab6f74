//! `haclusterctl failover` and `failback`: ask for a dry run, show it, ask the person, move.

use super::admin::{deadline, limit, reason, say, snapshots, tell, to_the_end};
use crate::Outcome;
use crate::args::Place;
use crate::args::moves::{FailbackArgs, FailoverArgs, Manner};
use crate::client::{NodeClient, NodeError};
use crate::confirm;
use crate::fanout::{Cluster, Member};
use crate::moves::Move;
use crate::output::{self, safe};
use crate::plan::{self, Ask, Cast, Declined};
use crate::story::Story;
use anyhow::Context;
use hacluster_proto::v1;
use serde::Serialize;
use std::time::Duration;

/// What programs are told.
#[derive(Serialize)]
struct Answer<'a> {
    /// The node that was asked; null when none was.
    asked_node: Option<&'a str>,
    dry_run: bool,
    /// By which those who collect traces find it; null when nothing was asked to be done.
    trace_id: Option<String>,
    #[serde(flatten)]
    of: &'a Move,
}

/// Which way a router goes.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// Away; the former master holds back, at most so long.
    Over { hold_for: Option<Duration> },
    /// To where it came from; nobody holds back.
    Back,
}

/// A move as it was asked for.
struct Errand<'a> {
    router: &'a str,
    to: Option<&'a str>,
    direction: Direction,
    manner: &'a Manner,
    yes: bool,
    story: Story,
}

pub(super) async fn over(place: &Place, args: &FailoverArgs) -> anyhow::Result<Outcome> {
    let errand = Errand {
        router: &args.router,
        to: args.to.as_deref(),
        direction: Direction::Over { hold_for: args.limit.hold_for },
        manner: &args.manner,
        yes: args.consent.yes,
        story: Story::begin(),
    };
    errand.run(place).await
}

pub(super) async fn back(place: &Place, args: &FailbackArgs) -> anyhow::Result<Outcome> {
    let (manner, yes) = (&args.manner, args.consent.yes);
    let story = Story::begin();
    Errand { router: &args.router, to: None, direction: Direction::Back, manner, yes, story }.run(place).await
}

impl Errand<'_> {
    async fn run(&self, place: &Place) -> anyhow::Result<Outcome> {
        confirm::possible(self.yes, self.manner.dry_run)?;
        let cluster = Cluster::of(place)?;
        let nodes = snapshots(&cluster, place.timeout).await;
        let cast = plan::cast(self.router, &nodes)?;
        let to_node = self.to.map(|typed| plan::target(typed, &nodes, &cast)).transpose()?;
        let asked = match self.direction {
            Direction::Over { .. } => cast.failover(&to_node.unwrap_or_default()),
            Direction::Back => cast.failback(),
        };
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(Declined(text)) => return self.end(None, &Move::declined(cast.name(), text), &cast, None),
        };
        let member =
            cluster.members.get(asked.member).context("a node that is not in the context answered")?;
        let trial = self.call(member, &asked, deadline(place.timeout, true), true).await;
        let trial = trial.with_context(|| asked.node.clone())?;
        if self.show(&trial, &cast)? == Next::End {
            return self.end(Some(&asked), &trial, &cast, None);
        }
        if !self.yes {
            if !confirm::ask(&question(&trial, self.direction))? {
                eprintln!("nothing was moved");
                return Ok(Outcome::Degraded);
            }
            if trial.kind == v1::MoveOutcome::WouldMove {
                // What was agreed to is done, or nothing: the best may have changed since.
                asked.to_node = trial.to_node.clone().unwrap_or_default();
            }
        }
        let call = self.call(member, &asked, deadline(place.timeout, false), false);
        let Ok(done) = to_the_end(&format!("moving {} to {}", trial.router, trial.new_master()), call).await
        else {
            eprintln!(
                "interrupted: {} goes on with the move. How it ended: haclusterctl status {}",
                safe(&asked.node),
                safe(&asked.router)
            );
            return Ok(Outcome::Degraded);
        };
        let lost = || {
            format!(
                "{}: it may have moved all the same, see haclusterctl status {}",
                asked.node, asked.router
            )
        };
        let done = match done {
            Err(error @ NodeError::Unreachable(_)) => return Err(anyhow::Error::from(error).context(lost())),
            done => done.with_context(|| asked.node.clone())?,
        };
        self.end(Some(&asked), &done, &cast, Some(self.story))
    }

    async fn call(
        &self,
        member: &Member,
        asked: &Ask,
        deadline: Duration,
        dry_run: bool,
    ) -> Result<Move, NodeError> {
        let (router, reason, story) = (asked.router.clone(), reason(self.manner), self.story);
        let answer = match self.direction {
            Direction::Over { hold_for } => {
                let (to_node, hold_for) = (asked.to_node.clone(), limit(hold_for));
                let request = v1::FailoverRequest { router, to_node, reason, dry_run, hold_for };
                let over = |node: NodeClient| async move {
                    Ok(node.admin().failover(story.request(request)).await?.into_inner().r#move)
                };
                tell(member, deadline, over).await?
            }
            Direction::Back => {
                let request = v1::FailbackRequest { router, reason, dry_run };
                let back = |node: NodeClient| async move {
                    Ok(node.admin().failback(story.request(request)).await?.into_inner().r#move)
                };
                tell(member, deadline, back).await?
            }
        };
        let empty =
            || NodeError::Unreachable("the agent's answer is empty: it is not of this version".to_owned());
        Ok(answer.ok_or_else(empty)?.into())
    }

    /// Shows what would happen; programs are shown it on the side.
    fn show(&self, trial: &Move, cast: &Cast<'_>) -> anyhow::Result<Next> {
        let text = confirm::before(trial, cast);
        match self.manner.output.is_for_people() {
            true => say(&text)?,
            false if !self.yes && !self.manner.dry_run => eprint!("{text}"),
            false => {}
        }
        Ok(if trial.is_due() && !self.manner.dry_run { Next::Act } else { Next::End })
    }

    /// The last word; `story` is that of what was done.
    fn end(
        &self,
        asked: Option<&Ask>,
        of: &Move,
        cast: &Cast<'_>,
        story: Option<Story>,
    ) -> anyhow::Result<Outcome> {
        let dry_run = self.manner.dry_run;
        let trace_id = story.map(Story::trace_id);
        let answer = Answer { asked_node: asked.map(|asked| &*asked.node), dry_run, trace_id, of };
        if let Some(text) = output::structured(&answer, self.manner.output)? {
            say(&text)?;
        } else if !of.is_well() {
            say(&confirm::steps(of))?;
            eprintln!(
                "error: {} was not moved ({}): {}",
                safe(&of.router),
                of.outcome.replace('_', " "),
                safe(&of.text)
            );
        } else if !dry_run || !of.is_due() {
            say(&confirm::after(of, cast))?;
        }
        if let Some(trace_id) = answer.trace_id.filter(|_| self.manner.output.is_for_people()) {
            say(&format!("Trace {trace_id}\n"))?;
        }
        Ok(if of.is_well() { Outcome::Well } else { Outcome::Degraded })
    }
}

/// What follows a dry run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Act,
    End,
}

fn question(trial: &Move, direction: Direction) -> String {
    let router = safe(&trial.router);
    match (direction, trial.kind) {
        (_, v1::MoveOutcome::Released) => format!("End the hold of {router} now?"),
        (Direction::Over { .. }, v1::MoveOutcome::WouldResign) => {
            format!("Let {} resign {router} now?", safe(trial.former_master()))
        }
        (Direction::Over { .. }, _) => format!("Move {router} to {} now?", safe(trial.new_master())),
        (Direction::Back, _) => format!("Move {router} back to {} now?", safe(trial.new_master())),
    }
}
