//! Collectors that are of no use for minutes: what the agent keeps in memory, says and loses; and one that comes
//! back. Stand-ins for all but the last: real ones are seldom so bad on purpose.

use super::Bench;
use super::report::Report;
use super::usage::pss_mib;
use crate::harness::{Cluster, Instance, Running, VIP, hold, trio};
use crate::page::samples;
use crate::rotel::{PORT, Rotel};
use anyhow::{Context, Result, anyhow};
use hacluster_lab::{Host, Lab, wait_until};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two changes of a tracked file: each is some log lines and spans.
const FLIP: Duration = Duration::from_millis(10);
/// How often a listener looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// A collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody listens.
    Down,
    /// Takes connections and what they send, and never answers.
    Silent,
    /// Closes every connection at once.
    Closes,
    /// A real one behind a line of some 20 kB/s.
    Slow,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Down => "nobody listens",
            Self::Silent => "never answers",
            Self::Closes => "closes every connection",
            Self::Slow => "20 kB/s",
        }
    }
}

/// A stand-in for a collector; it ends with this value.
#[derive(Debug)]
pub(super) struct StandIn {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl StandIn {
    /// Listens on port `port` of `host`; `None` for one that does not.
    pub(super) fn open(host: &Host, kind: Kind, port: u16) -> Result<Option<Self>> {
        if kind == Kind::Down {
            return Ok(None);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let ends = stop.clone();
        // A thread that is started in the host's network stays there.
        let thread = host.namespace().run(move || {
            let listener = TcpListener::bind(("0.0.0.0", port))?;
            listener.set_nonblocking(true)?;
            Ok(thread::spawn(move || serve(&listener, kind, &ends)))
        })?;
        Ok(Some(Self { stop, thread: Some(thread) }))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, kind: Kind, ends: &Arc<AtomicBool>) {
    let mut kept = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(LOOK);
            continue;
        };
        match kind {
            Kind::Down | Kind::Closes => {}
            Kind::Silent => kept.push(stream),
            Kind::Slow => {
                if let Ok(onward) = TcpStream::connect(("127.0.0.1", PORT)) {
                    carry_slowly(stream, onward, ends);
                }
            }
        }
    }
}

/// Both directions, on threads that end with the connection.
fn carry_slowly(one: TcpStream, other: TcpStream, ends: &Arc<AtomicBool>) {
    let ways = [(one.try_clone(), other.try_clone()), (Ok(other), Ok(one))];
    for (from, to) in ways {
        let (Ok(mut from), Ok(mut to)) = (from, to) else { return };
        let ends = ends.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            let _ = from.set_nonblocking(false).and_then(|()| from.set_read_timeout(Some(LOOK * 50)));
            while !ends.load(Ordering::Relaxed) {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) if to.write_all(&buffer[..count]).is_err() => break,
                    Ok(_) => thread::sleep(LOOK * 5),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        });
    }
}

/// What one agent did.
struct Story {
    kind: Kind,
    /// Memory in MiB at the beginning, and after each quarter.
    memory: Vec<f64>,
    /// Lines about the collector.
    complaints: usize,
    minutes: f64,
    lines: usize,
    dropped: f64,
    exported: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let length = Duration::from_secs(if bench.quick { 60 } else { 240 });
    let stories = Mutex::new(Vec::new());
    let kinds = [Kind::Down, Kind::Silent, Kind::Closes, Kind::Slow];
    // Beside each other: memory is looked at, not time.
    thread::scope(|scope| {
        for kind in kinds {
            let stories = &stories;
            scope.spawn(move || {
                let story = one(kind, length);
                stories.lock().unwrap_or_else(PoisonError::into_inner).push((kind, story));
            });
        }
    });
    let mut text = "| collector | memory at the beginning | after each quarter | lines about it | log lines | given up | \
                    taken once it is back |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let mut stories = stories.into_inner().unwrap_or_else(PoisonError::into_inner);
    stories.sort_by_key(|(kind, _)| *kind as usize);
    for (kind, story) in stories {
        let story = story.with_context(|| kind.name())?;
        let memory: Vec<String> = story.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        let (first, rest) = memory.split_first().ok_or_else(|| anyhow!("no figures"))?;
        let _ = writeln!(
            text,
            "| {}, {:.1} min | {first} MiB | {} MiB | {} | {} | {} | {} |",
            story.kind.name(),
            story.minutes,
            rest.join(", "),
            story.complaints,
            story.lines,
            story.dropped,
            story.exported
        );
    }
    report.text(&text);
    Ok(())
}

fn one(kind: Kind, length: Duration) -> Result<Story> {
    let lab = Lab::new(trio())?;
    let cluster = Cluster::found(&lab)?;
    let client = cluster.host("client")?;
    let behind = (kind == Kind::Slow).then(|| Rotel::sink(client)).transpose()?;
    let stand_in = StandIn::open(client, kind, PORT + 10)?;
    let toml = format!(
        "\n[telemetry]\notlp = \"http://10.8.0.9:{}\"\ninterval = 1\nprometheus = \"127.0.0.1:9650\"\n",
        PORT + 10
    );
    let file = client.directory().join("flips");
    fs::write(&file, "0")?;
    let tracked = "track_file {\n        flips\n    }";
    let config = format!(
        "track_file flips {{\n    file {}\n    weight 1\n}}\n{}",
        file.display(),
        Instance::new(100).master().with(tracked)
    );
    let left = cluster.start_with("left", config, &toml)?;
    hold(left.host, VIP)?;
    let (begun, mut memory) = (Instant::now(), Vec::new());
    for quarter in 0..=4_u32 {
        while begun.elapsed() < length * quarter / 4 {
            flip(&file)?;
        }
        memory.push(pss_mib(&left.process));
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let complaints = left.lines(&["the collector takes no"]).len();
    // Back again, and everything is told or counted.
    drop(stand_in);
    drop(behind);
    let _rotel = Rotel::sink_at(client, PORT + 10)?;
    let [dropped, exported] = settled(&left)?;
    Ok(Story { kind, memory, complaints, minutes, lines: left.process.lines().len(), dropped, exported })
}

fn flip(file: &std::path::Path) -> Result<()> {
    for value in ["5", "0"] {
        fs::write(file, value)?;
        thread::sleep(FLIP);
    }
    Ok(())
}

/// Log lines given up and taken, once neither grows any more.
fn settled(left: &Running<'_>) -> Result<[f64; 2]> {
    let mut last = None;
    wait_until("the collector to have everything", LIMIT, || {
        let (_, samples) = samples(left.host)?;
        let of = |name: &str| crate::page::value(&samples, name, &["telemetry_signal=\"logs\""]);
        let now = [of("hacluster_telemetry_dropped_total")?, of("hacluster_telemetry_exported_total")?];
        let same = last == Some(now) && now[1] > 0.0;
        last = Some(now);
        thread::sleep(Duration::from_secs(3));
        Ok(same.then_some(now))
    })
}
