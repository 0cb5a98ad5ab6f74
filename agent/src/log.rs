//! Log lines: every event becomes one, with its reason.
//!
//! Runs on a thread of its own, behind a bounded queue: a terminal that does not scroll or a full
//! journal never reaches the protocol.

use crate::args::Format;
use crate::event::{Event, Level};
use crate::mailbox::Receiver;
use hacluster_net::NetError;
use hacluster_net::poll::Waiter;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tracing_subscriber::EnvFilter;

/// Sets up logging to stderr; `RUST_LOG` narrows or widens it.
pub fn init(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second subscriber (in tests) leaves the first one in place.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The log thread; ends after [`stop`](Self::stop), when the queue is empty.
#[derive(Debug)]
pub struct LogThread {
    stop: Arc<AtomicBool>,
    wake: hacluster_net::poll::Wake,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Begins to write what arrives at `events`.
    ///
    /// # Errors
    /// When the kernel refuses the thread.
    pub fn spawn(events: Receiver<Event>) -> Result<Self, NetError> {
        let stop = Arc::new(AtomicBool::new(false));
        let wake = events.wake().clone();
        let mut waiter = Waiter::new()?;
        waiter.add(events.wake(), 0)?;
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("hacluster-log".into())
            .spawn(move || {
                loop {
                    let last = stopped.load(Ordering::Acquire);
                    events.wake().clear();
                    write_all(&events);
                    if last {
                        return;
                    }
                    if waiter.wait_until(None).is_err() {
                        std::thread::sleep(std::time::Duration::from_millis(100));
                    }
                }
            })
            .map_err(|error| NetError::from_io("start the log thread", &error))?;
        Ok(Self { stop, wake, thread })
    }

    /// Writes what is left and ends.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.wake.wake();
        let _ = self.thread.join();
    }
}

fn write_all(events: &Receiver<Event>) {
    while let Some(event) = events.pop() {
        write(&event);
    }
    let dropped = events.take_dropped();
    if dropped > 0 {
        tracing::warn!(dropped, "{dropped} log line(s) lost: they came faster than they could be written");
    }
}

fn write(event: &Event) {
    let what = &event.what;
    match (&event.router, what.level()) {
        (Some(router), Level::Warning) => {
            tracing::warn!(
                router = router.name,
                vrid = router.vrid.get(),
                interface = router.interface,
                "{what}"
            );
        }
        (Some(router), Level::Info) => {
            tracing::info!(
                router = router.name,
                vrid = router.vrid.get(),
                interface = router.interface,
                "{what}"
            );
        }
        (None, Level::Warning) => tracing::warn!("{what}"),
        (None, Level::Info) => tracing::info!("{what}"),
    }
}
