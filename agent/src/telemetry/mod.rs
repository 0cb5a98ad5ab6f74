//! What collectors are told: traces, metrics and logs, made from the events that everybody else is told.
//!
//! ```text
//!   teller -- listener --> Feed (bounded) --> thread "hacluster-otel"
//!                                               |-- spans ----> queue --> OTLP collector
//!                                               |-- lines ----> queue --> OTLP collector
//!   board, tallies, peers --- read, aside ----> `-- meters -------------> OTLP collector
//!                                                       `---- page <----- Prometheus
//! ```
//!
//! Contract: it listens, reads and never orders; nobody waits for it. It runs only where `[telemetry]`
//! names a collector or a page, on threads of its own. Queues are bounded: what a collector that is slow,
//! refuses or is gone cannot take within a minute is dropped and counted ([`Health`]), which
//! is said once a minute at most. The protocol and the kernel thread know nothing of OpenTelemetry.

mod anchor;
pub(crate) mod attributes;
mod balance;
mod export;
mod headers;
mod health;
mod late;
mod legacy;
mod lines;
mod meters;
pub(crate) mod names;
mod page;
mod sample;
mod spans;
mod transport;
pub(crate) mod words;
mod work;

pub use health::{Health, Signal, Standing};

use crate::board::Board;
use crate::cluster::Cluster;
use crate::event::{Event, EventSender, Level, What};
use crate::fact::Fact;
use crate::lvs::Lvs;
use crate::tally::Queue;
use hacluster_conf::model::Telemetry as Settings;
use hyper::header::HeaderMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Events that may wait for the thread.
const EVENTS: usize = 8_192;

/// Everything that is told of, and to whom troubles are told.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    board: Arc<Board>,
    cluster: Cluster,
    lvs: Lvs,
    events: EventSender,
    /// What was counted by events.
    ledger: Arc<meters::Ledger>,
}

/// Tells collectors. Copies are the same one.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Sources,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// With the headers that the collector is sent.
    settings: Option<(Settings, HeaderMap)>,
    worker: Option<work::Worker>,
}

impl Telemetry {
    /// Tells of `board`, `cluster` and `lvs`. Nothing runs before a configuration says so.
    pub fn new(board: Arc<Board>, cluster: Cluster, lvs: Lvs, events: EventSender) -> Self {
        let sources = Sources { board, cluster, lvs, events, ledger: Arc::default() };
        Self(Arc::new(Inner { sources, running: Mutex::default() }))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `settings` in force: starts, ends or starts anew what runs. Where they cannot be, what runs
    /// goes on. The file with headers is read each time: it may have changed.
    pub fn configure(&self, settings: &Settings) {
        let mut running = self.running();
        let file = settings.headers_file.as_deref().filter(|_| settings.otlp.is_some());
        let wanted = match headers::read(file) {
            Ok(headers) => Some((settings.clone(), headers)),
            Err(error) => return self.refused(&error, running.worker.is_some()),
        };
        if running.settings == wanted {
            return;
        }
        let started = wanted.as_ref().filter(|(settings, _)| settings.is_on()).map(|(settings, headers)| {
            work::Worker::start(settings.clone(), headers, self.0.sources.clone())
        });
        let worker = match started.transpose() {
            Ok(worker) => worker,
            Err(error) => return self.refused(&error, running.worker.is_some()),
        };
        running.settings = wanted;
        running.worker = worker; // the former one tells what is left, aside
    }

    /// What runs goes on.
    fn refused(&self, error: &anyhow::Error, runs: bool) {
        let mend = "correct [telemetry] of agent.toml and reload";
        let text = match runs {
            true => format!("[telemetry] is not in force: {error:#}; collectors are told as before. {mend}"),
            false => format!("collectors are told nothing: {error:#}. {mend}"),
        };
        self.0.sources.events.send_or_drop(Event::now(None, What::Telemetry { warning: true, text }));
    }

    /// For the teller, and who speaks after it. Never waits.
    pub fn listener(&self) -> impl Fn(&Event) + Send + Sync + use<> {
        let own = self.clone();
        move |event| own.hear(event)
    }

    fn hear(&self, event: &Event) {
        if let What::Fact(Fact::InForce(in_force)) = &event.what {
            return self.configure(&in_force.loaded.config.telemetry);
        }
        if !is_told(&event.what) {
            return;
        }
        let running = self.running();
        if let Some(worker) = &running.worker
            && worker.feed().try_send(event.clone()).is_err()
        {
            self.0.sources.board.telemetry().events_dropped.fetch_add(1, Ordering::Relaxed);
            Queue::Telemetry.dropped(1);
        }
    }

    /// Tells what is left, for a second at most, and ends.
    pub fn stop(&self) {
        let worker = self.running().worker.take();
        if let Some(worker) = worker {
            worker.stop();
        }
    }
}

/// Whether anybody is told of it: facts that a status shows are read from the board when they are needed.
fn is_told(what: &What) -> bool {
    match what {
        What::Fact(fact) => matches!(
            fact,
            Fact::Claimed(_)
                | Fact::Released(_)
                | Fact::Said(_)
                | Fact::Verdict(_)
                | Fact::Step(_)
                | Fact::Notified(_)
                | Fact::Mailed(_)
                | Fact::Balanced(_)
        ),
        what => what.level() != Level::Silent,
    }
}

/// Where the listener puts events.
pub(super) type Feed = mpsc::Sender<Event>;
