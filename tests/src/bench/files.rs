//! Large configurations: checked, and reloaded with one change in them.

use super::Bench;
use super::config::{self, interfaces, vip, vip_address};
use super::daemon::Kind;
use super::recorder::Heard;
use super::report::{Aim, Report};
use super::scale::lateness;
use super::stand::{AddressWatch, Stand, is_node};
use super::stats::{median, ms_between, now_ns};
use anyhow::{Context, Result};
use hacluster_lab::wait_until;
use nix::sys::signal::Signal;
use std::{collections::HashSet, fs, process::Stdio, thread, time::Duration};

const CHECKED: usize = 2_000;
const ADDRESSES_EACH: usize = 5;
const RELOADED: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let times = bench.repeat(3);
    let check =
        bench.daemons.each(|kind| (0..times).map(|_| check(bench, kind)).collect::<Result<Vec<_>>>())?;
    let name = format!("check {CHECKED} routers, {} addresses", CHECKED * ADDRESSES_EACH);
    report.row(name, "ms", check.map(|figures| median(&figures?)), Aim::OfKeepalived(1.0));
    if !bench.quick {
        let both = bench.daemons.each(|kind| reload(bench, kind))?;
        let name = |what: &str| format!("reload {RELOADED} routers, one changed: {what}");
        report.row(name("in force"), "ms", both.map(|one| one.map(|(ms, _)| ms)), Aim::OfKeepalived(1.0));
        report.row(
            name("latest advert"),
            "ms",
            both.map(|one| one.map(|(_, ms)| ms)),
            Aim::OfKeepalived(1.0),
        );
    }
    Ok(())
}

fn check(bench: &Bench, kind: Kind) -> Result<f64> {
    let stand = Stand::new(interfaces(CHECKED))?;
    let mut routers = config::many(CHECKED, 100);
    for (number, router) in routers.iter_mut().enumerate() {
        router.addresses = (0..ADDRESSES_EACH).map(|more| vip(number * ADDRESSES_EACH + more)).collect();
    }
    let file = stand.node()?.directory().join("check.conf");
    fs::write(&file, config::text(&routers))?;
    let mut command = bench.daemons.check(kind, &file)?;
    stand.node()?.namespace().run(move || {
        let begin = now_ns();
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "the check found errors: {status}");
        Ok(ms_between(begin, now_ns()))
    })
}

/// One address more: until it is in place, and how late any advert was meanwhile.
fn reload(bench: &Bench, kind: Kind) -> Result<(f64, f64)> {
    let stand = Stand::new(interfaces(RELOADED))?;
    let mut routers = config::many(RELOADED, 254);
    let watch = AddressWatch::start(stand.node()?)?;
    let daemon = bench.daemons.start(kind, stand.node()?, &config::text(&routers))?;
    let mut seen = HashSet::new();
    stand.recorder.wait("an advert of every virtual router", LIMIT, |records| {
        seen.extend(records.iter().filter_map(|record| match record.heard {
            Heard::Advert { vrid, .. } => Some((record.interface, vrid)),
            Heard::Garp { .. } => None,
        }));
        (seen.len() == RELOADED).then_some(())
    })?;
    thread::sleep(Duration::from_secs(3));
    let changed = RELOADED / 2;
    let number = 2 * RELOADED;
    routers.get_mut(changed).context("too few")?.addresses.push(vip(number));
    fs::write(stand.node()?.directory().join("keepalived.conf"), config::text(&routers))?;
    let begin = now_ns();
    daemon.signal(Signal::SIGHUP)?;
    let ip = vip_address(number);
    let at = wait_until("the new address", LIMIT, || {
        let changes = watch.changes();
        Ok(changes.iter().find(|change| change.added && change.ip == ip).map(|change| change.at))
    })?;
    thread::sleep(Duration::from_secs(3));
    let adverts = stand.recorder.adverts(is_node, begin - 1_100_000_000);
    Ok((ms_between(begin, at), lateness(&adverts).context("no adverts")?.max))
}
