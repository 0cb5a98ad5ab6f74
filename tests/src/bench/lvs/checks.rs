//! Many HTTP checks on one processor: what each costs, and how late it is.
//!
//! ```text
//!   processor 0                         processor 1, where there is one
//!   daemon -- connect, GET /, 200 --> Farm: one address for every check
//! ```

use super::super::daemon::{Daemons, Kind};
use super::super::report::{Aim, Report};
use super::super::usage::{cpu_us, pss_mib};
use super::farm::{Farm, PERIOD, Seen, target};
use super::topology;
use anyhow::{Context, Result};
use hacluster_lab::{Host, Lab};
use nix::time::{ClockId, clock_gettime};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// Of the daemons' first, irregular rounds nothing is measured.
const ROUNDS_BEFORE: u32 = 2;

#[derive(Clone, Copy, Debug)]
struct Figures {
    each_us: f64,
    seen: Seen,
    pss_mib: f64,
    bare_us: f64,
}

/// As many checks as `count`, for so many rounds.
pub(super) fn run(daemons: &Daemons, report: &mut Report, count: u32, rounds: u32) -> Result<()> {
    let both = daemons.each(|kind| {
        let mut figures = None;
        Lab::run(topology(), |lab| {
            figures = Some(measure(daemons, kind, lab.host("node")?, count, rounds)?);
            Ok(())
        })?;
        figures.context("no figures")
    })?;
    let name = |what: &str| format!("{count} HTTP_GET, delay_loop 6: {what}");
    let mut row = |what: &str, unit, of: fn(&Figures) -> f64, aim| {
        report.row(name(what), unit, both.map(|figures| figures.as_ref().map(of)), aim);
    };
    row("CPU per check", "us", |of| of.each_us, Aim::OfKeepalived(0.5));
    row("late, p50", "ms", |of| of.seen.late_p50_ms, Aim::None);
    row("late, p99", "ms", |of| of.seen.late_p99_ms, Aim::None);
    row("late, max", "ms", |of| of.seen.late_max_ms, Aim::AtMost(100.0));
    row("later than 100 ms", "", |of| of.seen.over_100_ms, Aim::AtMost(0.0));
    row("checks a second", "", |of| of.seen.requests, Aim::None);
    row("memory (PSS)", "MiB", |of| of.pss_mib, Aim::None);
    let bare = both[0].map(|figures| figures.bare_us);
    report.row(name("CPU per check of a bare loop of blocking calls"), "us", [bare, None], Aim::None);
    Ok(())
}

fn measure(daemons: &Daemons, kind: Kind, host: &Host, count: u32, rounds: u32) -> Result<Figures> {
    let mut farm = host.namespace().run(Farm::start)?;
    let port = farm.port;
    let bare_us = if kind == Kind::Agent { host.namespace().run(move || bare(count, port))? } else { 0.0 };
    let daemon = daemons.start_balancing(kind, host, &config(count, port))?;
    thread::sleep(PERIOD * ROUNDS_BEFORE + Duration::from_secs(1));
    farm.count()?;
    let before = cpu_us(&daemon)?;
    thread::sleep(PERIOD * rounds);
    let used = cpu_us(&daemon)? - before;
    let mut seen = farm.count()?;
    let each_us = used / seen.requests.max(1.0);
    seen.requests /= (PERIOD * rounds).as_secs_f64();
    Ok(Figures { each_us, seen, pss_mib: pss_mib(&daemon), bare_us })
}

/// The least that somebody pays who asks one server after the other: microseconds of processor time.
fn bare(count: u32, port: u16) -> Result<f64> {
    let used = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let before = used()?;
    for number in 0..count {
        let mut stream = TcpStream::connect(target(number, port))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        while stream.read(&mut [0; 1_024])? > 0 {}
    }
    Ok((used()? - before).as_secs_f64() * 1e6 / f64::from(count))
}

fn config(count: u32, port: u16) -> String {
    let mut text = String::from(
        "global_defs {\n router_id node\n}\nvirtual_server 10.99.0.1 80 {\n delay_loop 6\n lb_algo rr\n lb_kind NAT\n \
         protocol TCP\n",
    );
    for number in 0..count {
        text += &format!(
            " real_server {} {port} {{\n  HTTP_GET {{\n   url {{\n    path /\n    status_code 200\n   }}\n   \
             connect_timeout 3\n   retry 0\n  }}\n }}\n",
            target(number, port).ip()
        );
    }
    text + "}\n"
}
