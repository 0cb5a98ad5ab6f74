//! Adverts with a wrong password and a high priority, from a third host: they must change nothing.
//!
//! A run without any shows that what is seen in the others comes from them.

use super::Bench;
use super::config::{self, Router};
use super::daemon::Kind;
use super::recorder::Record;
use super::report::{Aim, Report};
use super::stand::{PEER, Stand, is_node};
use super::stats::{ms_between, now_ns};
use super::usage::cpu_us;
use super::voice::{Speech, Voice};
use anyhow::Result;
use std::{thread, time::Duration};

/// Last byte of the witness' address: it also speaks.
const STRANGER: u8 = 3;
const WINDOW: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Outcome {
    late_ms: f64,
    backup_adverts: f64,
    cpu_percent: f64,
    said: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let rates: &[u32] = if bench.quick { &[0, 10_000] } else { &[0, 2, 10_000, 50_000] };
    for &rate in rates {
        let both = bench.daemons.each(|kind| one(bench, kind, rate))?;
        let name = |what: &str| format!("{rate} bad adverts/s: {what}");
        let pick = |field: fn(Outcome) -> f64| both.map(|one| one.map(field));
        report.row(
            name("adverts of the backup (it must not rule)"),
            "",
            pick(|one| one.backup_adverts),
            Aim::AtMost(0.0),
        );
        report.row(
            name("master silent beyond its interval"),
            "ms",
            pick(|one| one.late_ms),
            Aim::AtMost(10.0),
        );
        report.row(name("CPU of the master"), "%", pick(|one| one.cpu_percent), Aim::None);
        report.row(name("really sent per second"), "", pick(|one| one.said), Aim::None);
    }
    Ok(())
}

fn one(bench: &Bench, kind: Kind, rate: u32) -> Result<Outcome> {
    let stand = Stand::new(1)?;
    let (master, backup) = (Router::single(150, 1), Router::single(100, 1));
    let bad = Voice::new(stand.witness()?, STRANGER, std::slice::from_ref(&master), b"wrong")?;
    let daemon = bench.daemons.start(kind, stand.node()?, &config::text(&[master]))?;
    let _other = bench.daemons.start(kind, stand.peer()?, &config::text(&[backup]))?;
    stand.recorder.wait("an advert of the master", Duration::from_secs(20), |records| {
        (!records.is_empty()).then_some(())
    })?;
    thread::sleep(Duration::from_secs(1));
    let speech = (rate > 0).then(|| bad.keep_saying(254, rate, 1)).transpose()?;
    let (begin, before) = (now_ns(), cpu_us(&daemon)?);
    thread::sleep(WINDOW);
    let said = speech.as_ref().map_or(0, Speech::said);
    let (used, end) = (cpu_us(&daemon)? - before, now_ns());
    drop(speech);
    let adverts = stand.recorder.adverts(is_node, begin);
    let backup = stand.recorder.adverts(|source| source.octets()[3] == PEER, begin);
    Ok(Outcome {
        late_ms: silence(&adverts, begin, end),
        backup_adverts: backup.len() as f64,
        cpu_percent: used / WINDOW.as_micros() as f64 * 100.0,
        said: said as f64 / WINDOW.as_secs_f64(),
    })
}

/// By how much the longest silence exceeds the interval, in ms; a master that fell silent for good is
/// silent until `end`.
fn silence(adverts: &[Record], begin: u64, end: u64) -> f64 {
    let times: Vec<u64> = [begin].into_iter().chain(adverts.iter().map(|one| one.at)).chain([end]).collect();
    let longest = times.windows(2).map(|pair| ms_between(pair[0], pair[1])).fold(0.0, f64::max);
    (longest - 1_000.0).max(0.0)
}
