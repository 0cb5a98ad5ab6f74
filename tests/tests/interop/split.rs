//! A partition between agent and keepalived with the client on the loser's side, and its end.
//!
//! ```text
//!   winner ──/ /──┬── loser           heal: whose advert comes first?
//!                 └── client          loser's:  the winner hears it and announces, the client follows
//!                                     winner's: the loser yields
//! ```
//!
//! An agent that yields says a last word, so the winner announces in any case. keepalived 2.2 yields
//! without a word: nobody can know that clients have to be told, unless the winner announces from time
//! to time (`garp_master_refresh`).

use crate::{
    Trial,
    router::router,
    stage::{Kind, Node, Stage, play, until},
};
use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::{Probe, capture::Seen, packet::Advert};
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    let roles = [(Kind::Agent, Kind::Keepalived), (Kind::Keepalived, Kind::Agent)];
    roles
        .into_iter()
        .flat_map(|(winner, loser)| {
            let story = move |name: &str, first: First, announces: &'static str| {
                let name = format!("{winner}_over_{loser}::split_brain_{name}");
                Trial::new(name, move || heal(winner, loser, first, announces))
            };
            [
                story("the_loser_speaks_first", First::Loser, ALONE),
                story("the_winner_speaks_first", First::Winner, ALONE),
                story("the_winner_speaks_first_and_refreshes", First::Winner, REFRESHED),
            ]
        })
        .collect()
}

/// No second burst of announcements: it would mend by accident what is looked at here.
const ALONE: &str = "garp_master_delay 0";
const REFRESHED: &str = "garp_master_delay 0\n garp_master_refresh 2";

/// Whose advert is the first after the heal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Winner,
    Loser,
}

fn heal(winner: Kind, loser: Kind, first: First, announces: &'static str) -> Result<()> {
    play(|stage| {
        let winner = stage.start(winner, "one", &router(150).with(|router| router.more = announces))?;
        winner.is_master()?;
        let loser = stage.start(loser, "two", &router(100))?;
        loser.listens()?;
        winner.host.isolate()?;
        loser.is_master()?;
        let vip = loser.router().vips[0];
        let probe = Probe::start(stage.lab.host("client")?, vip, Duration::from_millis(20))?;
        let asked = Instant::now();
        until("an answer of the loser", || Ok(probe.answered_since(asked)))?;
        until("the client to know the loser", || Ok(stage.client_knows(vip)? == Some(loser.mac()?)))?;
        // Both speak once a second: right after one's advert, the other's comes first.
        next_advert(match first {
            First::Winner => &loser,
            First::Loser => &winner,
        })?;
        let healed = Instant::now();
        winner.host.restore()?;
        loser.is_backup()?;
        winner.rules_alone_over(&[&loser])?;
        let spoken = loser.adverts(healed);
        match spoken.first() {
            Some(spoken) => announced_and_known(stage, &winner, &probe, spoken.at),
            None if loser.kind == Kind::Agent => bail!("{loser} yielded without a last word"),
            None if announces == REFRESHED => announced_and_known(stage, &winner, &probe, healed),
            None => silent(stage, &winner, &loser, healed),
        }
    })
}

fn next_advert(node: &Node<'_>) -> Result<Seen<Advert>> {
    let since = Instant::now();
    until(&format!("an advert of {node}"), || Ok(!node.adverts(since).is_empty()))?;
    node.adverts(since).into_iter().next().context("it was there")
}

/// The winner announces, and clients end at it.
fn announced_and_known(stage: &Stage<'_>, winner: &Node<'_>, probe: &Probe, since: Instant) -> Result<()> {
    winner.announces(since)?;
    let vip = winner.router().vips[0];
    until("the client at the winner", || Ok(stage.client_knows(vip)? == Some(winner.mac()?)))?;
    let asked = Instant::now();
    until("an answer of the winner", || Ok(probe.answered_since(asked)))
}

/// The client stays with the loser, who no longer answers, until it asks again by itself.
fn silent(stage: &Stage<'_>, winner: &Node<'_>, loser: &Node<'_>, healed: Instant) -> Result<()> {
    ensure!(!winner.announced(healed), "{winner} announced without having heard anybody: a better world");
    let known = stage.client_knows(winner.router().vips[0])?;
    let possible = [None, Some(winner.mac()?), Some(loser.mac()?)];
    ensure!(possible.contains(&known), "the client knows somebody else: {known:02x?}");
    Ok(())
}
