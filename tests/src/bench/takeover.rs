//! From the first advert as master to the first announcement, the last one, and the last address.
//!
//! The peer resigns; the node, a backup of priority 254, takes over 8 ms later. What the kernel
//! needs for the same addresses without any protocol is measured beside it.

use super::Bench;
use super::config::{self, Router, vip_address};
use super::daemon::Kind;
use super::recorder::{Heard, Record};
use super::report::{Aim, Report};
use super::stand::{AddressWatch, PEER, Stand, is_node};
use super::stats::{median, ms_between, now_ns};
use super::voice::Voice;
use anyhow::{Context, Result};
use hacluster_lab::wait_for;
use hacluster_net::netlink::AddressSpec;
use std::{collections::HashMap, net::Ipv4Addr, thread, time::Duration};

const LIMIT: Duration = Duration::from_secs(20);
/// A daemon with thousands of addresses has read them by then, and does not rule yet.
const SETTLE: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, Debug)]
struct Takeover {
    first_garp: f64,
    last_garp: f64,
    last_address: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let sizes: &[usize] = if bench.quick { &[1, 1_000] } else { &[1, 20, 200, 1_000, 4_000] };
    for &count in sizes {
        let times = bench.repeat(3);
        let bare = (0..times).map(|_| bare(count)).collect::<Result<Vec<_>>>()?;
        let bare = median(&bare).context("no figure")?;
        let measured = bench
            .daemons
            .each(|kind| (0..times).map(|_| one(bench, kind, count)).collect::<Result<Vec<_>>>())?;
        let pick = |field: fn(&Takeover) -> f64| {
            measured.each_ref().map(|of| median(&of.as_ref()?.iter().map(field).collect::<Vec<_>>()))
        };
        let name = |what: &str| format!("{count} addresses: {what}");
        report.row(name("first gratuitous ARP"), "ms", pick(|one| one.first_garp), Aim::AtMost(2.0));
        report.row(name("last address announced once"), "ms", pick(|one| one.last_garp), Aim::None);
        // Below a millisecond waking the other thread counts for more than the kernel's work.
        let aim = Aim::AtMost(1.2 * bare.max(1.0));
        report.row(name("last address in place"), "ms", pick(|one| one.last_address), aim);
        report.row(name("added by netlink alone"), "ms", [Some(bare), None], Aim::None);
    }
    Ok(())
}

fn one(bench: &Bench, kind: Kind, count: usize) -> Result<Takeover> {
    let stand = Stand::new(1)?;
    let router = Router::single(254, count);
    let mut voice = Voice::new(stand.peer()?, PEER, std::slice::from_ref(&router), b"bench")?;
    let watch = AddressWatch::start(stand.node()?)?;
    let _daemon = bench.daemons.start(kind, stand.node()?, &config::text(&[router]))?;
    thread::sleep(SETTLE);
    voice.say(0, 0);
    let announced = stand.recorder.wait("every address announced", LIMIT, |records| {
        let first = announcements(records);
        (first.len() == count).then_some(first)
    })?;
    wait_for("every address in place", LIMIT, || watch.added() >= count)?;
    let advert = stand.recorder.adverts(is_node, 0).first().context("no advert")?.at;
    let last_address = watch.changes().iter().map(|change| change.at).max().context("no address")?;
    let first = announced.values().min().context("no announcement")?;
    let last = announced.values().max().context("no announcement")?;
    Ok(Takeover {
        first_garp: ms_between(advert, *first),
        last_garp: ms_between(advert, *last),
        last_address: ms_between(advert, last_address),
    })
}

/// When each address was announced for the first time.
fn announcements(records: &[Record]) -> HashMap<Ipv4Addr, u64> {
    let mut first = HashMap::new();
    for record in records {
        if let Heard::Garp { ip, .. } = record.heard {
            first.entry(ip).or_insert(record.at);
        }
    }
    first
}

/// The same addresses by one batch of requests; until the last notification.
fn bare(count: usize) -> Result<f64> {
    let stand = Stand::new(1)?;
    let watch = AddressWatch::start(stand.node()?)?;
    let begin = stand.node()?.netlink(move |requests| {
        let index = requests.link("eth0")?.index;
        let specs: Vec<_> = (0..count).map(|number| spec(index, vip_address(number))).collect();
        let begin = now_ns();
        requests.add_addresses(&specs).into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(begin)
    })?;
    wait_for("every address in place", LIMIT, || watch.added() >= count)?;
    let last = watch.changes().iter().map(|change| change.at).max().context("no address")?;
    Ok(ms_between(begin, last))
}

fn spec(index: u32, ip: Ipv4Addr) -> AddressSpec {
    AddressSpec {
        index,
        ip,
        prefix_len: 32,
        label: None,
        scope: 0,
        broadcast: None,
        peer: None,
        no_prefix_route: false,
    }
}
