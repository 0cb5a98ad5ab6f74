//! Servers that stop and come back: how soon that is in the table.
//!
//! ```text
//!   Farm: a listener each   stop ----------> refused ---> DEL_DEST      "refused"
//!                           listen again --> asked -----> NEW_DEST      "recovered"
//! ```

use super::super::daemon::{Daemons, Kind};
use super::super::report::{Aim, Report};
use super::super::stats::{ms_between, now_ns, percentile};
use super::tap::{Said, Tap};
use super::{LIMIT, topology};
use anyhow::{Context, Result};
use hacluster_lab::{Host, Lab};
use nix::sys::socket::{Shutdown, shutdown};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

const SERVERS: usize = 30;
const DELAY_LOOP: Duration = Duration::from_secs(2);
/// What is allowed beyond that.
const ALLOWED_MS: f64 = 50.0;
const PORT: u16 = 80;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Tcp,
    /// Two urls.
    Http,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    /// From the stop to the removal.
    refused_ms: Vec<f64>,
    /// From the first connection after the return until it is in the table.
    recovered_ms: Vec<f64>,
    /// Rounds of the check that it took.
    rounds: Vec<f64>,
}

pub(super) fn run(daemons: &Daemons, report: &mut Report, repeat: usize) -> Result<()> {
    for (check, name) in [(Check::Tcp, "TCP_CHECK"), (Check::Http, "HTTP_GET of two urls")] {
        let both = daemons.each(|kind| {
            let mut figures = None;
            Lab::run(topology(), |lab| {
                figures = Some(measure(daemons, kind, check, lab.host("node")?, repeat)?);
                Ok(())
            })?;
            figures.context("no figures")
        })?;
        rows(name, &both, report);
    }
    Ok(())
}

fn rows(check: &str, both: &[Option<Figures>; 2], report: &mut Report) {
    let count = both[0].as_ref().map_or(0, |figures| figures.refused_ms.len());
    let period = DELAY_LOOP.as_secs_f64() * 1e3;
    let mut row = |what: &str, unit, of: fn(&Figures) -> &Vec<f64>, percent: f64, aim| {
        let figure = |figures: &Option<Figures>| percentile(of(figures.as_ref()?), percent);
        let which = if percent == 100.0 { "max".to_owned() } else { format!("p{percent}") };
        let figures = [figure(&both[0]), figure(&both[1])];
        report.row(format!("{check}, {count} times: {what}, {which}"), unit, figures, aim);
    };
    let refused = "stopped until removed";
    row(refused, "ms", |of| &of.refused_ms, 50.0, Aim::None);
    row(refused, "ms", |of| &of.refused_ms, 99.0, Aim::None);
    row(refused, "ms", |of| &of.refused_ms, 100.0, Aim::AtMost(period + ALLOWED_MS));
    let recovered = "back, from its first connection";
    row(recovered, "ms", |of| &of.recovered_ms, 50.0, Aim::None);
    row(recovered, "ms", |of| &of.recovered_ms, 100.0, Aim::AtMost(ALLOWED_MS));
    row("rounds until back", "", |of| &of.rounds, 100.0, Aim::AtMost(1.0));
}

fn measure(daemons: &Daemons, kind: Kind, check: Check, host: &Host, repeat: usize) -> Result<Figures> {
    let mut farm = (0..SERVERS).map(|_| Server::default()).collect::<Vec<_>>();
    for (number, server) in farm.iter_mut().enumerate() {
        server.open(host, number)?;
    }
    let mut tap = Tap::open(host)?;
    let _daemon = daemons.start_balancing(kind, host, &config(check))?;
    tap.changed(SERVERS + 1, LIMIT)?;
    thread::sleep(2 * DELAY_LOOP + Duration::from_secs(1));
    let mut figures = Figures::default();
    for round in 0..repeat {
        tap.clear();
        let stopped = spread(round, |number| {
            farm[number].close();
            Ok(now_ns())
        })?;
        let gone = times(&mut tap, Said::DEL_DEST)?;
        figures.refused_ms.extend(stopped.iter().zip(gone).map(|(from, to)| ms_between(*from, to)));
        tap.clear();
        spread(round, |number| farm[number].open(host, number))?;
        let back = times(&mut tap, Said::NEW_DEST)?;
        for (server, back) in farm.iter().zip(back) {
            let asked = server.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let asked: Vec<u64> = asked.iter().copied().filter(|at| *at <= back).collect();
            // On one processor a server may see its connection after the daemon has told the kernel.
            let first = asked.first().copied().unwrap_or(back);
            figures.recovered_ms.push(ms_between(first, back));
            let each = if check == Check::Http { 2 } else { 1 };
            figures.rounds.push(asked.len().max(1).div_ceil(each) as f64);
        }
    }
    Ok(figures)
}

/// Does it to one server after the other, evenly within a round of checks, in another order each time.
fn spread<T>(round: usize, mut act: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
    let mut results: Vec<Option<T>> = (0..SERVERS).map(|_| None).collect();
    for step in 0..SERVERS {
        let number = (step * 7 + round * 11) % SERVERS; // 7 and 30 have no common divisor
        results[number] = Some(act(number)?);
        thread::sleep(DELAY_LOOP / SERVERS as u32);
    }
    results.into_iter().collect::<Option<Vec<T>>>().context("some were left out")
}

/// When each server came or went.
fn times(tap: &mut Tap, command: u8) -> Result<Vec<u64>> {
    tap.wait("a change of every server", LIMIT, |heard| {
        let at = |number| {
            let is = |said: &&Said| said.command == command && said.server == Some(address(number));
            Some(heard.iter().find(is)?.at)
        };
        (0..SERVERS).map(at).collect()
    })
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, number as u8 + 1)
}

/// One real server; refuses connections while it is closed.
#[derive(Debug, Default)]
struct Server {
    /// When connections came since it was opened.
    asked: Arc<Mutex<Vec<u64>>>,
    open: Option<(TcpListener, JoinHandle<()>)>,
}

impl Server {
    fn open(&mut self, host: &Host, number: usize) -> Result<()> {
        let to = SocketAddr::from((address(number), PORT));
        self.asked = Arc::default();
        let listener = host.namespace().run(move || Ok(TcpListener::bind(to)?))?;
        let (theirs, asked) = (listener.try_clone()?, self.asked.clone());
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = theirs.accept() {
                asked.lock().unwrap_or_else(PoisonError::into_inner).push(now_ns());
                answer(stream);
            }
        });
        self.open = Some((listener, thread));
        Ok(())
    }

    fn close(&mut self) {
        let Some((listener, thread)) = self.open.take() else { return };
        let _ = shutdown(listener.as_raw_fd(), Shutdown::Both); // wakes the one who accepts
        let _ = thread.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn answer(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    if stream.read(&mut [0; 1_024]).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
    }
}

fn config(check: Check) -> String {
    let seconds = DELAY_LOOP.as_secs();
    let mut text = format!(
        "global_defs {{\n router_id node\n}}\nvirtual_server 10.0.0.100 80 {{\n delay_loop {seconds}\n lb_algo rr\n \
         lb_kind NAT\n protocol TCP\n"
    );
    let check = match check {
        Check::Tcp => "TCP_CHECK {\n   connect_timeout 1\n   retry 0\n  }",
        Check::Http => {
            "HTTP_GET {\n   url {\n    path /one\n    status_code 200\n   }\n   url {\n    path /two\n    \
             status_code 200\n   }\n   connect_timeout 1\n   retry 0\n  }"
        }
    };
    for number in 0..SERVERS {
        text += &format!(" real_server {} {PORT} {{\n  weight 1\n  {check}\n }}\n", address(number));
    }
    text + "}\n"
}
