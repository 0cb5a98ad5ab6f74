//! More than two nodes, and more than one virtual router.

use crate::{
    Trial,
    router::{Router, router, vips},
    stage::{Kind, Node, Stage, play, until},
};
use anyhow::{Result, ensure};
use hacluster_lab::{capture::Seen, packet::Advert};
use std::{net::Ipv4Addr, time::Instant};

pub(crate) fn trials() -> Vec<Trial> {
    use Kind::{Agent, Frr, Keepalived};
    let orders = [[Agent, Keepalived, Frr], [Keepalived, Frr, Agent], [Frr, Agent, Keepalived]];
    let rotations = orders.map(|order| Trial {
        name: format!("three_nodes::{}_{}_{}", order[0], order[1], order[2]),
        cast: order.to_vec(),
        body: Box::new(move || three_nodes(order)),
    });
    let mut trials = Vec::from(rotations);
    trials.push(Trial::new("dual_master::the_agent_stops", || dual_master(0)));
    trials.push(Trial::new("dual_master::keepalived_stops", || dual_master(1)));
    trials.push(Trial::new("a_third_keepalived_sees_nothing_odd", third_watches));
    trials
}

/// The best rules; each that leaves hands over to the next; the best returns.
fn three_nodes(order: [Kind; 3]) -> Result<()> {
    play(|stage| {
        let best = stage.start(order[0], "one", &router(150))?;
        let middle = stage.start(order[1], "two", &router(120))?;
        let last = stage.start(order[2], "three", &router(90))?;
        middle.listens()?;
        last.listens()?;
        best.is_master()?;
        best.rules_alone_over(&[&middle, &last])?;
        best.stop()?;
        middle.is_master()?;
        middle.rules_alone_over(&[&last])?;
        middle.kill()?;
        last.is_master()?;
        best.start()?;
        best.is_master()?;
        last.is_backup()?;
        best.rules_alone_over(&[&last])
    })
}

/// Two virtual routers, each node the master of one: the usual way to use both machines.
fn mirrored(better: u8) -> Vec<Router> {
    [51, 52]
        .map(|vrid| {
            let best = vrid == better;
            router(if best { 100 } else { 98 }).with(|router| {
                router.vrid = vrid;
                router.state = if best { "MASTER" } else { "BACKUP" };
                router.auth = Some(("PASS", if vrid == 51 { "123456" } else { "123457" }));
                router.group = Some("224.0.100.50");
                router.vips = vec![Ipv4Addr::new(10, 9, 0, 100 + vrid)];
            })
        })
        .into()
}

/// Each rules its own; one stops, the other has both; it returns and takes back its own only.
fn dual_master(leaver: usize) -> Result<()> {
    play(|stage| {
        let agent = stage.node(Kind::Agent, "one", &mirrored(51))?;
        let keepalived = stage.node(Kind::Keepalived, "two", &mirrored(52))?;
        agent.start()?;
        keepalived.start()?;
        let vip = |vrid: u8| Ipv4Addr::new(10, 9, 0, 100 + vrid);
        let own = [(&agent, vip(51)), (&keepalived, vip(52))];
        each_its_own(&own)?;
        let (leaves, stays) = (own[leaver].0, own[1 - leaver].0);
        leaves.stop()?;
        until(
            &format!("{stays} with both"),
            || Ok(stays.host.holds(vip(51))? && stays.host.holds(vip(52))?),
        )?;
        leaves.start()?;
        each_its_own(&own)?;
        let since = Instant::now();
        until("five adverts", || Ok(own.iter().all(|(node, _)| spoken(stage, node, since).len() >= 5)))?;
        for (node, ip) in own {
            let foreign = spoken(stage, node, since).into_iter().find(|seen| seen.packet.addresses != [ip]);
            ensure!(foreign.is_none(), "{node} also speaks for {foreign:?}");
        }
        each_its_own(&own)
    })
}

fn each_its_own(own: &[(&Node<'_>, Ipv4Addr); 2]) -> Result<()> {
    until("each with its own address", || {
        let mut right = true;
        for (node, _) in own {
            for (owner, ip) in own {
                right &= node.host.holds(*ip)? == (node.host.name() == owner.host.name());
            }
        }
        Ok(right)
    })
}

fn spoken(stage: &Stage<'_>, node: &Node<'_>, since: Instant) -> Vec<Seen<Advert>> {
    let adverts = stage.capture.adverts().into_iter();
    adverts.filter(|seen| seen.at >= since && seen.host == node.host.name()).collect()
}

/// Two agents hand over to and fro, keepalived looks on: nothing it would complain of.
fn third_watches() -> Result<()> {
    play(|stage| {
        let router = |priority| {
            router(priority).with(|router| {
                router.auth = Some(("PASS", "1111"));
                router.vips = vips(3);
            })
        };
        let witness = stage.start(Kind::Keepalived, "three", &router(50))?;
        witness.is_master()?; // alone: it knows how to rule
        let begun = Instant::now();
        let better = stage.start(Kind::Agent, "one", &router(150))?;
        let worse = stage.start(Kind::Agent, "two", &router(100))?;
        better.is_master()?;
        witness.is_backup()?;
        worse.is_backup()?;
        let quiet = Instant::now();
        better.rules_alone_over(&[&worse, &witness])?;
        better.stop()?;
        worse.is_master()?;
        better.start()?;
        better.is_master()?;
        better.reload(|router| router.priority = 90)?;
        worse.is_master()?;
        better.reload(|router| router.priority = 150)?;
        better.is_master()?;
        better.rules_alone_over(&[&worse, &witness])?;
        ensure!(witness.adverts(quiet).is_empty(), "the witness had to step in");
        one_at_a_time(stage, quiet)?;
        complains_of_nothing(&witness, begun)
    })
}

/// Whoever begins to speak has the word until another begins; a master that yields to a better one says
/// a single last word, so that the better one knows that clients have to be told.
fn one_at_a_time(stage: &Stage<'_>, since: Instant) -> Result<()> {
    let adverts = stage.capture.adverts().into_iter();
    let mut speeches: Vec<(String, usize)> = Vec::new();
    for seen in adverts.filter(|seen| seen.at >= since && seen.packet.priority > 0) {
        match speeches.last_mut().filter(|(host, _)| *host == seen.host) {
            Some((_, length)) => *length += 1,
            None => speeches.push((seen.host, 1)),
        }
    }
    let told = format!("{speeches:?}");
    speeches.retain(|(_, length)| *length > 1);
    speeches.dedup_by(|next, speech| next.0 == speech.0);
    let masters: Vec<_> = speeches.iter().map(|(host, _)| host.as_str()).collect();
    ensure!(masters == ["one", "two", "one", "two", "one"], "two speak at a time: {told}");
    Ok(())
}

fn complains_of_nothing(witness: &Node<'_>, since: Instant) -> Result<()> {
    const COMPLAINTS: [&str; 8] =
        ["rror", "nvalid", "ismatch", "warn", "WARN", "discard", "ncorrect", "received an"];
    let lines = witness.process()?.lines().into_iter().filter(|line| line.at >= since);
    let complaints: Vec<_> =
        lines.filter(|line| COMPLAINTS.iter().any(|word| line.text.contains(word))).collect();
    ensure!(complaints.is_empty(), "keepalived complains: {complaints:?}");
    Ok(())
}
