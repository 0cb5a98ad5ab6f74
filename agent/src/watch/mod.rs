//! What is watched beside the adverts: scripts, files, processes, connections.
//!
//! ```text
//!   paced (script, connect), file, process -- Observation --> desk -- Command::Tracked --> protocol
//!      one task each, however many use it                      `---- Event ------------> log, API
//! ```
//!
//! Contract: everything here runs on a thread of its own and waits for nobody in the protocol's way.
//! Interfaces are not watched here: the kernel thread tells the protocol thread of them at once.

mod balanced;
mod connect;
mod desk;
mod file;
mod paced;
mod process;
mod verdict;
mod view;

pub(crate) use file::{Listener, numbers};
pub use verdict::{Moves, Verdict};
pub use view::{Cause, Ran, Seen, Tracked, View};

use crate::event::{EventSender, Place};
use crate::lvs::Lvs;
use crate::mailbox::Sender;
use crate::protocol::Command;
use anyhow::Context;
use hacluster_conf::model::track::Probe;
use hacluster_conf::model::{Config, Scripts, Tracker, TrackerId, TrackerKind};
use hacluster_core::track::Weight;
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Threads that wait for disks and user databases.
const BLOCKING_MAX: usize = 16;

/// What is to be watched, and for whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// By kind and name; only what somebody uses.
    trackers: BTreeMap<TrackerId, Tracker>,
    /// Per virtual router: what it uses, and how much each counts.
    users: BTreeMap<Place, Vec<(TrackerId, Weight)>>,
    /// How programs are run.
    scripts: Scripts,
}

impl Settings {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        let defined: BTreeMap<&TrackerId, &Tracker> =
            config.trackers.iter().map(|tracker| (&tracker.id, tracker)).collect();
        let mut settings = Self { scripts: config.scripts.clone(), ..Self::default() };
        for router in &config.routers {
            let mut uses = Vec::new();
            for used in &router.tracked {
                let undefined = || virtual_server(&used.tracker);
                let tracker = defined.get(&used.tracker).map(|tracker| (*tracker).clone());
                let Some(tracker) = tracker.or_else(undefined) else { continue };
                uses.push((used.tracker.clone(), used.weight.unwrap_or(tracker.weight)));
                settings.trackers.insert(used.tracker.clone(), tracker);
            }
            if !uses.is_empty() {
                let place = Place { interface: router.interface.clone(), vrid: router.vrid };
                settings.users.insert(place, uses);
            }
        }
        settings
    }

    /// Whether the router there must not start before it is known what is tracked.
    pub fn waits(&self, place: &Place) -> bool {
        self.users.get(place).is_some_and(|uses| uses.iter().any(|(_, weight)| weight.points == 0))
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    /// Whether anything needs a program to be run.
    fn runs_programs(&self) -> bool {
        self.trackers.keys().any(|id| id.kind == TrackerKind::Script)
    }

    /// Whether processes are counted.
    fn counts_processes(&self) -> bool {
        self.trackers.keys().any(|id| id.kind == TrackerKind::Process)
    }
}

/// The tracker of a virtual server, which nobody has to define.
fn virtual_server(id: &TrackerId) -> Option<Tracker> {
    let tracker = || Tracker { id: id.clone(), probe: Probe::VirtualServer, weight: Weight::default() };
    (id.kind == TrackerKind::VirtualServer).then(tracker)
}

/// The watching thread.
#[derive(Debug)]
pub struct Watch {
    settings: mpsc::Sender<Settings>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch what `settings` name; of virtual servers `lvs` knows.
    ///
    /// # Errors
    /// When the kernel refuses the thread.
    pub fn spawn(
        settings: Settings,
        commands: Sender<Command>,
        events: EventSender,
        lvs: &Lvs,
    ) -> anyhow::Result<Self> {
        let readings = lvs.readings();
        let (sender, receiver) = mpsc::channel(4);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .build();
        let runtime = runtime.context("cannot start watching")?;
        let thread = std::thread::Builder::new()
            .name("hacluster-watch".into())
            .spawn(move || {
                runtime.block_on(desk::run(settings, receiver, commands, events, readings));
                // A disk that does not answer must not keep the agent from ending.
                runtime.shutdown_background();
            })
            .context("cannot start the watching thread")?;
        Ok(Self { settings: sender, thread })
    }

    /// Watches something else from now on. What did not change is not disturbed.
    pub fn change(&self, settings: Settings) {
        let _ = self.settings.blocking_send(settings);
    }

    /// Ends, with every program that runs.
    pub fn stop(self) {
        drop(self.settings);
        let _ = self.thread.join();
    }
}
