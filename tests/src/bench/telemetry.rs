//! What telemetry costs the protocol: the same pair of nodes with telemetry off and on, and with collectors that
//! are of no use, one after the other and in another order each round.
//!
//! ```text
//!   left, right: ten virtual routers        client: hears everything, collector
//!     adverts (silence) -> moves there and back by command -> left is killed, right takes over, four times
//! ```
//!
//! "off" is measured twice in each round: what differs between these two is noise.

use super::Bench;
use super::collectors::{Kind, StandIn};
use super::duo::LIMIT;
use super::recorder::{Heard, Record, Recorder};
use super::report::{Report, figure};
use super::scale::off_schedule;
use super::stats::{median, ms_between, now_ns, percentile};
use crate::harness::{Cluster, Instance, Running, hold, trio};
use crate::page::samples;
use crate::rotel::{PORT, Rotel};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, Lab, wait_until};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

const ROUTERS: u8 = 10;
const FIRST_VRID: u8 = 51;
/// Those that are moved by command, there and back.
const MOVED: u8 = 4;
/// Adverts and announcements of the start are over by then.
const SETTLE: Duration = Duration::from_millis(6_500);
/// How often `left` is killed: all routers are taken over at once, so that a kill is one moment.
const KILLS: usize = 4;
/// After a move.
const PAUSE: Duration = Duration::from_millis(300);
/// Master_Down_Interval of priority 98 at 1 s.
const MASTER_DOWN_MS: f64 = 3_617.187_5;
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// What agents are told of collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Off,
    On,
    Useless(Kind),
    Again,
}

const WAYS: [Way; 5] = [Way::Off, Way::On, Way::Useless(Kind::Down), Way::Useless(Kind::Silent), Way::Again];
const NAMES: [&str; 5] = ["off", "on", "nobody listens", "never answers", "off again"];
const AGAIN: usize = 4;

/// Figures of one way in one round, in ms.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// Adverts off schedule.
    adverts: Vec<f64>,
    /// From the last advert of a killed master to the announcement, less what the protocol waits.
    takeovers: Vec<f64>,
    /// From the command to the announcement.
    moves: Vec<f64>,
}

type Series = fn(&Cell) -> &Vec<f64>;

const MEASURES: [(&str, Series, f64); 7] = [
    ("advert off schedule, p50", |cell| &cell.adverts, 50.0),
    ("advert off schedule, p99", |cell| &cell.adverts, 99.0),
    ("advert off schedule, max", |cell| &cell.adverts, 100.0),
    ("takeover from a killed master, beyond the protocol's wait, p50", |cell| &cell.takeovers, 50.0),
    ("the same, max", |cell| &cell.takeovers, 100.0),
    ("`haclusterctl failover`, whole process, to the announcement, p50", |cell| &cell.moves, 50.0),
    ("the same, max", |cell| &cell.moves, 100.0),
];

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    Rotel::present()?;
    let rounds = if bench.quick { 2 } else { 4 };
    // Routers that start together advertise together: a second is one moment, however many routers there are, and
    // with a few moments one wake-up of somebody else's is the whole result.
    let window = Duration::from_secs(if bench.quick { 30 } else { 60 });
    let mut cells: [Vec<Cell>; 5] = Default::default();
    for round in 0..rounds {
        for at in 0..WAYS.len() {
            // Each way comes first, last and after each other one.
            let at = if round % 2 == 0 {
                (at + round / 2) % WAYS.len()
            } else {
                WAYS.len() - 1 - (at + round / 2) % WAYS.len()
            };
            eprintln!("  round {} of {rounds}: {}", round + 1, NAMES[at]);
            cells[at].push(one(WAYS[at], window).with_context(|| NAMES[at])?);
        }
    }
    report.text(&table(&cells));
    Ok(())
}

/// The figures of all rounds together; noise is what the two series without telemetry make of each round.
fn table(cells: &[Vec<Cell>; 5]) -> String {
    let mut text = format!(
        "| ms, {} rounds | {} | noise of off, by round | ratio on / off | ",
        cells[0].len(),
        NAMES.join(" | ")
    );
    text.push_str("within noise? |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    for (name, series, percent) in MEASURES {
        let pooled = |cells: &[Cell]| {
            percentile(&cells.iter().flat_map(series).copied().collect::<Vec<_>>(), percent)
                .unwrap_or(f64::NAN)
        };
        let figures = cells.each_ref().map(|cells| pooled(cells));
        let rounds: Vec<f64> = [&cells[0], &cells[AGAIN]]
            .into_iter()
            .flatten()
            .map(|cell| pooled(std::slice::from_ref(cell)))
            .collect();
        let by_round = |at: usize| {
            let all: Vec<f64> = cells[at].iter().map(|cell| pooled(std::slice::from_ref(cell))).collect();
            median(&all).unwrap_or(f64::NAN)
        };
        let (low, high) = (percentile(&rounds, 0.0), percentile(&rounds, 100.0));
        let (low, high) = (low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN));
        let within = (1..AGAIN).all(|at| by_round(at) <= high);
        let shown = figures.map(figure).join(" | ");
        let off = median(&rounds).unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {name} | {shown} | {} to {} | {} | {} |",
            figure(low),
            figure(high),
            figure(by_round(1) / off),
            if within { "yes" } else { "**no**" }
        );
    }
    text
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, 100 + number)
}

fn config(priority: u8) -> String {
    let instances = (0..ROUTERS).map(|number| {
        let instance =
            Instance::new(priority).vrid(FIRST_VRID + number).addresses([format!("{}/24", address(number))]);
        if priority == 100 { instance.master() } else { instance }.to_string()
    });
    instances.collect()
}

fn one(way: Way, window: Duration) -> Result<Cell> {
    let lab = Lab::new(trio())?;
    let cluster = Cluster::found(&lab)?;
    let client = cluster.host("client")?;
    let recorder = Recorder::start(client)?;
    let _rotel = (way == Way::On).then(|| Rotel::sink(client)).transpose()?;
    let _stand_in = match way {
        Way::Useless(kind) => StandIn::open(client, kind, PORT)?,
        _ => None,
    };
    let toml = match way {
        Way::Off | Way::Again => String::new(),
        _ => format!(
            "\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ninterval = 1\nprometheus = \"127.0.0.1:9650\"\n"
        ),
    };
    let left = rules(&cluster, &recorder, &toml)?;
    let right = cluster.start_with("right", config(98), &toml)?;
    cluster.ready()?;
    thread::sleep(SETTLE);
    let begin = now_ns();
    thread::sleep(window);
    let adverts = off_schedule(&recorder.adverts(|source| source == LEFT, begin));
    let moves = moves(&cluster, &recorder)?;
    if !toml.is_empty() {
        told(way, &[&left, &right])?;
    }
    let mut took = takeovers(left, right.host, &recorder)?;
    for _ in 1..KILLS {
        let left = rules(&cluster, &recorder, &toml)?;
        cluster.ready()?;
        took.extend(takeovers(left, right.host, &recorder)?);
    }
    Ok(Cell { adverts, takeovers: took, moves })
}

/// `left` starts and takes everything. What one that was killed left behind there says nothing yet.
fn rules<'a>(cluster: &Cluster<'a>, recorder: &Recorder, toml: &str) -> Result<Running<'a>> {
    let begin = now_ns();
    let left = cluster.start_with("left", config(100), toml)?;
    for number in 0..ROUTERS {
        let advert = |record: &&Record| record.at >= begin && is_of_left(record, number);
        recorder.wait("an advert", LIMIT, |records| records.iter().find(advert).map(drop))?;
        hold(left.host, address(number))?;
    }
    Ok(left)
}

/// An advert of `left`.
fn is_of_left(record: &Record, number: u8) -> bool {
    matches!(record.heard, Heard::Advert { source: LEFT, vrid, .. } if vrid == FIRST_VRID + number)
}

/// Whether it was as it should be: telemetry that failed to start would cost nothing.
fn told(way: Way, agents: &[&Running<'_>]) -> Result<()> {
    let name = if way == Way::On {
        "hacluster_telemetry_exported_total"
    } else {
        "hacluster_telemetry_failures_total"
    };
    for agent in agents {
        wait_until(name, LIMIT, || {
            let (_, samples) = samples(agent.host)?;
            let of = |signal: &str| {
                let found =
                    samples.iter().find(|(series, _)| series.starts_with(name) && series.contains(signal));
                found.is_some_and(|(_, value)| *value > 0.0)
            };
            Ok(["\"traces\"", "\"logs\"", "\"metrics\""].into_iter().all(of).then_some(()))
        })?;
    }
    Ok(())
}

/// The first announcement of `ip` since `since`.
fn announced(recorder: &Recorder, ip: Ipv4Addr, since: u64) -> Result<u64> {
    let is = |record: &&Record| {
        record.at >= since && matches!(record.heard, Heard::Garp { ip: of, .. } if of == ip)
    };
    recorder.wait("an announcement", LIMIT, |records| records.iter().find(is).map(|record| record.at))
}

fn moves(cluster: &Cluster<'_>, recorder: &Recorder) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for number in 0..MOVED {
        for verb in ["failover", "failback"] {
            let begin = now_ns();
            let said = cluster.ctl(&[verb, &format!("vi_{}", FIRST_VRID + number), "--yes"])?;
            ensure!(said.code == 0, "{verb}: {said:?}");
            took.push(ms_between(begin, announced(recorder, address(number), begin)?));
            thread::sleep(PAUSE);
        }
    }
    Ok(took)
}

/// From `left`, which is killed.
fn takeovers(left: Running<'_>, right: &Host, recorder: &Recorder) -> Result<Vec<f64>> {
    thread::sleep(PAUSE * 10);
    left.kill()?;
    let killed = now_ns();
    (0..ROUTERS).try_for_each(|number| hold(right, address(number)))?;
    let one = |number: u8| {
        let last = recorder
            .records()
            .iter()
            .filter(|record| is_of_left(record, number))
            .map(|record| record.at)
            .max();
        let last = last.context("no advert")?;
        Ok(ms_between(last, announced(recorder, address(number), killed)?) - MASTER_DOWN_MS)
    };
    (0..ROUTERS).map(one).collect()
}
