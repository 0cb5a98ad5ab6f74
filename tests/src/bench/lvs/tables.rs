//! Large tables: put in place from nothing, changed in one place, and looked at again and again.

use super::super::daemon::{Daemons, Kind};
use super::super::report::{Aim, Report};
use super::super::stats::{median, ms_between, now_ns};
use super::super::usage::{cpu_us, pss_mib};
use super::tap::{Said, Tap};
use super::{LIMIT, topology};
use anyhow::{Context, Result};
use hacluster_lab::{Host, Lab, Process};
use hacluster_net::netlink::ipvs::{Command, DestSpec, Forwarding, Ipvs, Protocol, ServiceKey, ServiceSpec};
use nix::sys::signal::Signal;
use std::{fs, process::Stdio, thread, time::Duration};

const SERVICES: u16 = 2000;
const SERVERS: u8 = 5;
const ENTRIES: usize = SERVICES as usize * (1 + SERVERS as usize);
/// The service whose weight changes: neither the first nor the last.
const CHANGED: u16 = 1234;
const CHANGES: u32 = 5;
/// What a change leaves behind is over after that.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
struct Figures {
    all_ms: f64,
    all_cpu_ms: f64,
    one_ms: f64,
    one_cpu_ms: f64,
    changes: f64,
    questions: f64,
    pss_mib: f64,
    check_ms: f64,
    /// Processor time and length of a look at the whole table.
    sweep: Option<(f64, f64)>,
}

pub(super) fn run(daemons: &Daemons, report: &mut Report) -> Result<()> {
    let [bare_all, bare_one] = with_tap(bare)?;
    let both = daemons.each(|kind| with_tap(|host, tap| measure(daemons, kind, host, tap)))?;
    let name = |what: &str| format!("{SERVICES} services, {} servers: {what}", SERVICES * u16::from(SERVERS));
    let mut row = |what: &str, unit, of: fn(&Figures) -> f64, aim| {
        report.row(name(what), unit, both.map(|figures| figures.as_ref().map(of)), aim);
    };
    row("file checked", "ms", |of| of.check_ms, Aim::OfKeepalived(1.0));
    row("from exec to the last in place", "ms", |of| of.all_ms, Aim::OfKeepalived(0.5));
    row("the same, CPU", "ms", |of| of.all_cpu_ms, Aim::OfKeepalived(0.5));
    row("SIGHUP to one changed weight", "ms", |of| of.one_ms, Aim::OfKeepalived(1.0));
    row("the same, CPU", "ms", |of| of.one_cpu_ms, Aim::None);
    row("the same, changes sent", "", |of| of.changes, Aim::AtMost(1.0));
    row("the same, questions to the kernel", "", |of| of.questions, Aim::None);
    row("memory (PSS)", "MiB", |of| of.pss_mib, Aim::None);
    let sweep = both[0].as_ref().and_then(|figures| figures.sweep);
    report.row(name("a look at all, CPU"), "ms", [sweep.map(|sweep| sweep.0), None], Aim::None);
    report.row(name("a look at all, takes"), "ms", [sweep.map(|sweep| sweep.1), None], Aim::None);
    report.row(name("all added by netlink alone"), "ms", [Some(bare_all), None], Aim::None);
    report.row(name("one changed by netlink alone"), "ms", [Some(bare_one), None], Aim::None);
    Ok(())
}

fn with_tap<T>(measure: impl FnOnce(&Host, &mut Tap) -> Result<T>) -> Result<T> {
    let mut figures = None;
    Lab::run(topology(), |lab| {
        let host = lab.host("node")?;
        figures = Some(measure(host, &mut Tap::open(host)?)?);
        Ok(())
    })?;
    figures.context("no figures")
}

fn key(number: u16) -> ServiceKey {
    let [high, low] = number.to_be_bytes();
    ServiceKey::Address { protocol: Protocol::Tcp, ip: [10, 1, high, low].into(), port: 80 }
}

fn dest(number: u16, last: u8, weight: u32) -> DestSpec {
    let [high, _] = number.to_be_bytes();
    DestSpec::new([10, 2, high, last].into(), 80, weight, Forwarding::Direct)
}

fn bare(host: &Host, tap: &mut Tap) -> Result<[f64; 2]> {
    let mut ipvs = host.namespace().run(|| Ok(Ipvs::open()?))?;
    let mut commands = Vec::new();
    for number in 0..SERVICES {
        commands.push(Command::NewService(ServiceSpec::new(key(number), "wrr")));
        commands.extend((1..=SERVERS).map(|last| Command::NewDest(key(number), dest(number, last, 1))));
    }
    let begin = now_ns();
    ipvs.execute(&commands).into_iter().collect::<Result<(), _>>()?;
    let all = ms_between(begin, now_ns());
    tap.changed(ENTRIES, LIMIT)?;
    let mut one = Vec::new();
    for weight in 2..2 + CHANGES {
        let begin = now_ns();
        let change = [Command::SetDest(key(CHANGED), dest(CHANGED, 1, weight))];
        ipvs.execute(&change).into_iter().collect::<Result<(), _>>()?;
        one.push(ms_between(begin, now_ns()));
    }
    Ok([all, median(&one).context("no changes")?])
}

/// From the start of the program to the last server, and from SIGHUP to the new weight.
fn measure(daemons: &Daemons, kind: Kind, host: &Host, tap: &mut Tap) -> Result<Figures> {
    let check_ms = check(daemons, kind, host)?;
    let begin = now_ns();
    let daemon = daemons.start_balancing(kind, host, &config(1))?;
    let all_ms = ms_between(begin, tap.changed(ENTRIES, LIMIT)?);
    let all_cpu_ms = cpu_us(&daemon)? / 1e3;
    let sweep = if kind == Kind::Agent { Some(sweep(&daemon, tap)?) } else { None };
    thread::sleep(SETTLED);
    let (mut took, mut used) = (Vec::new(), Vec::new());
    let (mut changes, mut questions) = (Vec::new(), Vec::new());
    for weight in 2..2 + CHANGES {
        fs::write(host.directory().join("keepalived.conf"), config(weight))?;
        // A look at the whole table that happens to be due is none of the change's.
        tap.clear();
        let (before, begin) = (cpu_us(&daemon)?, now_ns());
        daemon.signal(Signal::SIGHUP)?;
        took.push(ms_between(begin, tap.changed(1, LIMIT)?));
        thread::sleep(SETTLED);
        used.push((cpu_us(&daemon)? - before) / 1e3);
        let count = tap.heard().iter().filter(|said| said.changes()).count();
        changes.push(count as f64);
        questions.push((tap.heard().len() - count) as f64);
    }
    let pss_mib = pss_mib(&daemon);
    let middle = |of: &[f64]| median(of).context("no changes");
    Ok(Figures {
        all_ms,
        all_cpu_ms,
        one_ms: middle(&took)?,
        one_cpu_ms: middle(&used)?,
        changes: changes.iter().copied().fold(0.0, f64::max),
        questions: middle(&questions)?,
        pss_mib,
        check_ms,
        sweep,
    })
}

/// The first look at the whole table: processor time and length in milliseconds.
fn sweep(daemon: &Process, tap: &mut Tap) -> Result<(f64, f64)> {
    tap.clear();
    let before = cpu_us(daemon)?;
    let asks = |said: &&Said| said.command == Said::GET_SERVICES;
    let first = tap.wait("a look at the table", LIMIT, |heard| Some(heard.iter().find(asks)?.at))?;
    let mut count = 0;
    while count != tap.heard().len() {
        count = tap.heard().len();
        thread::sleep(SETTLED);
    }
    let last = tap.heard().last().map_or(first, |said| said.at);
    Ok(((cpu_us(daemon)? - before) / 1e3, ms_between(first, last)))
}

fn check(daemons: &Daemons, kind: Kind, host: &Host) -> Result<f64> {
    let file = host.directory().join("check.conf");
    fs::write(&file, config(1))?;
    let mut command = daemons.check(kind, &file)?;
    host.namespace().run(move || {
        let begin = now_ns();
        command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok(ms_between(begin, now_ns()))
    })
}

/// Nobody is looked at: what is measured is the table.
fn config(changed_weight: u32) -> String {
    let mut text = "global_defs {\n router_id node\n}\n".to_owned();
    for number in 0..SERVICES {
        let [high, low] = number.to_be_bytes();
        text +=
            &format!("virtual_server 10.1.{high}.{low} 80 {{\n lb_algo wrr\n lb_kind DR\n protocol TCP\n");
        for last in 1..=SERVERS {
            let weight = if number == CHANGED && last == 1 { changed_weight } else { 1 };
            text += &format!(" real_server 10.2.{high}.{last} 80 {{\n  weight {weight}\n }}\n");
        }
        text += "}\n";
    }
    text
}
