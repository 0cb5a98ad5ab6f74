//! What happens to one virtual router: its address deleted, told to stop, a lower priority heard.

use super::Bench;
use super::config::{self, Router, vip_address};
use super::daemon::Kind;
use super::recorder::{Heard, Recorder};
use super::report::{Aim, Report};
use super::stand::{AddressWatch, PEER, Stand, is_node};
use super::stats::{median, ms_between, now_ns};
use super::voice::Voice;
use anyhow::{Context, Result};
use hacluster_lab::{Process, wait_for, wait_until};
use hacluster_net::netlink::AddressSpec;
use nix::sys::signal::Signal;
use std::{thread, time::Duration};

const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let times = bench.repeat(5);
    let few = bench.repeat(3);
    let deleted = bench.daemons.each(|kind| deleted(bench, kind, times))?.map(Option::flatten);
    report.row("address deleted by hand, until it is back", "ms", deleted, Aim::AtMost(2.0));
    let stops = bench.daemons.each(|kind| (0..few).map(|_| stop(bench, kind)).collect::<Result<Vec<_>>>())?;
    let pick = |field: fn(&(f64, f64)) -> f64| {
        stops.each_ref().map(|of| median(&of.as_ref()?.iter().map(field).collect::<Vec<_>>()))
    };
    report.row("SIGTERM until priority 0 is sent", "ms", pick(|one| one.0), Aim::None);
    report.row("SIGTERM until the process has ended", "ms", pick(|one| one.1), Aim::AtMost(50.0));
    let lower = bench.daemons.each(|kind| repeat(few, || lower(bench, kind)))?.map(Option::flatten);
    // The agent waits half a millisecond per step of priority below the best that may be alive.
    report.row("lower priority heard, until the first advert", "ms", lower, Aim::AtMost(50.0));
    Ok(())
}

fn repeat(times: usize, mut one: impl FnMut() -> Result<f64>) -> Result<Option<f64>> {
    Ok(median(&(0..times).map(|_| one()).collect::<Result<Vec<_>>>()?))
}

/// A node that rules one address.
pub(super) fn ruler(bench: &Bench, kind: Kind, stand: &Stand, router: Router) -> Result<Process> {
    let daemon = bench.daemons.start(kind, stand.node()?, &config::text(&[router]))?;
    first_advert(&stand.recorder, 0)?;
    Ok(daemon)
}

fn first_advert(recorder: &Recorder, since: u64) -> Result<u64> {
    recorder.wait("an advert of the node", LIMIT, |records| {
        let ours = records.iter().filter(|record| record.at >= since);
        ours.filter(|record| matches!(record.heard, Heard::Advert { source, .. } if is_node(source)))
            .map(|record| record.at)
            .next()
    })
}

fn deleted(bench: &Bench, kind: Kind, times: usize) -> Result<Option<f64>> {
    let stand = Stand::new(1)?;
    let ip = vip_address(0);
    let watch = AddressWatch::start(stand.node()?)?;
    let _daemon = ruler(bench, kind, &stand, Router::single(100, 1))?;
    wait_for("the address", LIMIT, || watch.added() == 1)?;
    let mut figures = Vec::new();
    for round in 0..times {
        thread::sleep(Duration::from_millis(1_700));
        let removed = stand.node()?.netlink(move |requests| {
            let entry = requests.dump_addresses()?.into_iter().find(|entry| entry.ip == ip);
            let spec = AddressSpec::of(&entry.context("the address is not there")?);
            let at = now_ns();
            requests.remove_addresses([&spec]).into_iter().collect::<Result<Vec<()>, _>>()?;
            Ok(at)
        })?;
        let back = wait_until("the address back", LIMIT, || {
            let added: Vec<_> = watch.changes().into_iter().filter(|one| one.added && one.ip == ip).collect();
            Ok(added.get(round + 1).map(|change| change.at))
        })?;
        figures.push(ms_between(removed, back));
    }
    Ok(median(&figures))
}

/// Until priority 0, and until the end.
fn stop(bench: &Bench, kind: Kind) -> Result<(f64, f64)> {
    let stand = Stand::new(1)?;
    let daemon = ruler(bench, kind, &stand, Router::single(254, 1))?;
    let begin = now_ns();
    daemon.signal(Signal::SIGTERM)?;
    while daemon.is_running() {
        thread::sleep(Duration::from_micros(100));
    }
    let ended = now_ns();
    let resigned = stand.recorder.wait("priority 0", LIMIT, |records| {
        let resigned = |heard| matches!(heard, Heard::Advert { priority: 0, .. });
        records.iter().find(|record| record.at >= begin && resigned(record.heard)).map(|record| record.at)
    })?;
    Ok((ms_between(begin, resigned), ms_between(begin, ended)))
}

/// The peer rules with a higher priority than the node and then goes on with a lower one.
fn lower(bench: &Bench, kind: Kind) -> Result<f64> {
    let stand = Stand::new(1)?;
    let router = Router::single(200, 1);
    let mut voice = Voice::new(stand.peer()?, PEER, std::slice::from_ref(&router), b"bench")?;
    let _daemon = bench.daemons.start(kind, stand.node()?, &config::text(&[router]))?;
    for _ in 0..2 {
        thread::sleep(Duration::from_secs(1));
        voice.say(0, 250);
    }
    thread::sleep(Duration::from_secs(1));
    let begin = now_ns();
    voice.say(0, 100);
    let speech = voice.keep_saying(100, 1, 1)?;
    let at = first_advert(&stand.recorder, begin)?;
    drop(speech);
    Ok(ms_between(begin, at))
}
