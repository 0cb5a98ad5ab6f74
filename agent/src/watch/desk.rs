//! Where observations arrive and become priorities and faults.

use super::connect::Target;
use super::paced::{self, Way};
use super::view::{Cause, Ran, Seen, Tracked, View, Wanted};
use super::{Settings, Verdict, balanced, file, process};
use crate::check::{self, Prober};
use crate::event::{Event, EventSender, Place, What};
use crate::fact::Fact;
use crate::mailbox::Sender;
use crate::protocol::Command;
use crate::script::Runner;
use crate::script::program::Program;
use hacluster_conf::model::TrackerId;
use hacluster_conf::model::track::{Pace, Probe, Tracker};
use hacluster_core::track::{Effect, Reading, Weight};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Observations that wait: one per tracker is usual.
const OBSERVATIONS: usize = 1_024;

/// The agent's own program, whatever became of its file meanwhile.
const OURSELVES: &str = "/proc/self/exe";

/// What a probe saw.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) reading: Reading,
    /// Why, for people: `exit 1: "no process"`.
    pub(super) why: String,
    /// How long the try took.
    pub(super) took: Option<Duration>,
    /// So many results in a row against the reading, of so many that would change it.
    pub(super) against: (u32, u32),
    /// Of a program: how it ended.
    pub(super) ran: Option<Ran>,
}

impl Observation {
    /// One that needs no other to count.
    pub(super) fn new(reading: Reading, why: String) -> Self {
        Self { reading, why, took: None, against: (0, 0), ran: None }
    }
}

/// An observation and the run of the tracker that made it.
type Report = (TrackerId, u32, Observation);

/// Where probes put what they see.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    tracker: TrackerId,
    run: u32,
    to: mpsc::Sender<Report>,
}

impl Reporter {
    /// Reports; returns whether anybody still listens.
    pub(super) async fn tell(&self, observation: Observation) -> bool {
        self.to.send((self.tracker.clone(), self.run, observation)).await.is_ok()
    }
}

/// A tracker that runs.
struct Running {
    tracker: Tracker,
    view: View,
    /// Distinguishes it from former ones of its name, whose last words may still come.
    run: u32,
    task: JoinHandle<()>,
}

struct Desk {
    settings: Settings,
    running: BTreeMap<TrackerId, Running>,
    told: BTreeMap<Place, Tracked>,
    runner: Option<Runner>,
    /// Once something over the network is tried.
    prober: Option<Prober>,
    /// Open while a process is tracked.
    station: Option<process::Station>,
    /// Trackers started so far.
    runs: u32,
    observations: mpsc::Sender<Report>,
    commands: Sender<Command>,
    events: EventSender,
    /// What is known of virtual servers.
    readings: balanced::Source,
}

/// Watches until nobody holds the other end of `changes`.
pub(super) async fn run(
    settings: Settings,
    mut changes: mpsc::Receiver<Settings>,
    commands: Sender<Command>,
    events: EventSender,
    readings: balanced::Source,
) {
    let (observations, mut seen) = mpsc::channel(OBSERVATIONS);
    let mut desk = Desk {
        settings: Settings::default(),
        running: BTreeMap::new(),
        told: BTreeMap::new(),
        runner: None,
        prober: None,
        station: None,
        runs: 0,
        observations,
        commands,
        events,
        readings,
    };
    desk.change(settings);
    loop {
        tokio::select! {
            fresh = changes.recv() => match fresh {
                Some(fresh) => desk.change(fresh),
                None => return,
            },
            Some((tracker, run, seen)) = seen.recv() => desk.observe(&tracker, run, seen),
        }
    }
}

impl Desk {
    /// Starts what is new or different, ends what is gone, leaves the rest alone.
    fn change(&mut self, fresh: Settings) {
        if fresh.runs_programs() && self.runner.is_none() {
            let started = Runner::start(Path::new(OURSELVES));
            self.runner = started.inspect_err(|error| tracing::error!("{error:#}; scripts are not run")).ok();
        }
        self.station = self.station.take().filter(|_| fresh.counts_processes());
        let scripts_changed = fresh.scripts != self.settings.scripts;
        let mut former = std::mem::take(&mut self.running);
        let places = std::mem::take(&mut self.settings.users).into_keys();
        let gone: Vec<Place> = places.filter(|place| !fresh.users.contains_key(place)).collect();
        self.settings = fresh;
        for (id, tracker) in self.settings.trackers.clone() {
            let before = former.remove(&id);
            let same = before.as_ref().is_some_and(|before| before.tracker.probe == tracker.probe);
            let is_script = matches!(tracker.probe, Probe::Script { .. });
            let running = match before {
                Some(before) if same && !(is_script && scripts_changed) => Running { tracker, ..before },
                before => self.start(tracker, before),
            };
            self.running.insert(id, running);
        }
        former.into_values().for_each(|running| running.task.abort());
        self.tell_views();
        for place in gone {
            self.told.remove(&place);
            self.commands.send_patiently(Command::Tracked { place, tracked: None, verdict: None });
        }
        for place in self.settings.users.keys().cloned().collect::<Vec<_>>() {
            self.tell(&place, None);
        }
    }

    /// Starts a tracker. What the one `before` it said stays until this one speaks: nothing failed, and
    /// nothing was repaired, by a reload.
    fn start(&mut self, tracker: Tracker, before: Option<Running>) -> Running {
        let number = self.runs;
        self.runs = self.runs.wrapping_add(1);
        let view = match before {
            Some(before) => {
                before.task.abort();
                before.view
            }
            None => View::new(tracker.id.clone(), first(&tracker.probe)),
        };
        let to = Reporter { tracker: tracker.id.clone(), run: number, to: self.observations.clone() };
        let known = view.seen();
        let known = if known.at.is_some() { known.reading } else { Reading::Unknown };
        let paced =
            |way, pace: Pace| tokio::spawn(paced::watch(way, pace, paced::phase(number), known, to.clone()));
        let task = match &tracker.probe {
            Probe::Script { command, pace } => {
                let program =
                    Program::new(command.clone(), self.settings.scripts.clone(), self.runner.clone());
                paced(Way::Program(Box::new(program)), *pace)
            }
            Probe::File { path, init } => tokio::spawn(file::numbers(path.clone(), *init, to)),
            Probe::Process(wanted) => {
                let news = self.station.get_or_insert_with(process::Station::open).subscribe();
                tokio::spawn(process::watch(wanted.clone(), news, to))
            }
            Probe::Tcp { to: address, pace } => {
                paced(Way::Connection(Target::Tcp(*address, self.prober())), *pace)
            }
            Probe::Http { url, status, pace } => {
                paced(Way::Connection(Target::Http(url.clone(), *status, self.prober())), *pace)
            }
            Probe::VirtualServer => {
                tokio::spawn(balanced::watch(tracker.id.name.clone(), self.readings.clone(), to))
            }
            Probe::Interface => tokio::spawn(async {}), // the protocol thread knows by itself
        };
        Running { tracker, view, run: number, task }
    }

    fn prober(&mut self) -> Prober {
        let made = || Prober::new(check::Settings::default(), Path::new(OURSELVES));
        self.prober.get_or_insert_with(made).clone()
    }

    fn observe(&mut self, tracker: &TrackerId, run: u32, observed: Observation) {
        let running = self.running.get(tracker).filter(|running| running.run == run);
        let Some(Running { view, .. }) = running else { return };
        let (before, now) = (view.seen(), SystemTime::now());
        let Observation { reading, why, took, against, ran } = observed;
        let changed = before.reading != reading || before.at.is_none();
        let since = if before.reading == reading { before.since } else { now };
        let seen = Seen { reading, since, why: why.into(), at: Some(now), took, against, ran };
        view.put(seen.clone());
        let wanted = view.clone().wanted(self.wanted(tracker)).is_wanted(reading);
        if !changed {
            return;
        }
        let uses = |uses: &[(TrackerId, Weight)]| uses.iter().any(|(id, _)| id == tracker);
        let users = self.settings.users.iter().filter(|(_, of)| uses(of)).map(|(place, _)| place.clone());
        let verdict = Arc::new(Verdict::of(tracker.to_string(), &seen, wanted));
        // First, which waits for nobody: what follows from it is told behind it.
        let (at, trail) = (verdict.at, Some(verdict.trail));
        self.events.send_or_drop(Event { at, router: None, what: What::Tracker(verdict.clone()), trail });
        for place in users.collect::<Vec<_>>() {
            self.tell(&place, Some(&verdict));
        }
    }

    /// How those who use it want it.
    fn wanted(&self, tracker: &TrackerId) -> Wanted {
        let uses = self.settings.users.values().flatten().filter(|(id, _)| id == tracker);
        uses.fold(Wanted::default(), |of, (_, weight)| Wanted {
            good: of.good || !weight.reverse,
            bad: of.bad || weight.reverse,
        })
    }

    fn tell_views(&self) {
        let mut wanted: BTreeMap<&TrackerId, Wanted> = BTreeMap::new();
        for (id, weight) in self.settings.users.values().flatten() {
            let of = wanted.entry(id).or_default();
            *(if weight.reverse { &mut of.bad } else { &mut of.good }) = true;
        }
        let view = |(id, running): (&TrackerId, &Running)| {
            running.view.clone().wanted(wanted.get(id).copied().unwrap_or_default())
        };
        let views: Vec<View> = self.running.iter().map(view).collect();
        self.events.send_or_drop(Event::now(None, Fact::Trackers(views.into())));
    }

    fn tell(&mut self, place: &Place, verdict: Option<&Arc<Verdict>>) {
        let Some(uses) = self.settings.users.get(place) else { return };
        let tracked = sum(uses, &self.running);
        if self.told.get(place) != Some(&tracked) {
            self.told.insert(place.clone(), tracked.clone());
            let (place, tracked, verdict) = (place.clone(), Some(tracked), verdict.cloned());
            self.commands.send_patiently(Command::Tracked { place, tracked, verdict });
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
    }
}

/// What holds before the first look.
fn first(probe: &Probe) -> Seen {
    match probe {
        Probe::Script { pace, .. } | Probe::Tcp { pace, .. } | Probe::Http { pace, .. }
            if pace.starts_bad =>
        {
            let why = format!("counts as bad until {} good result(s) in a row (init_fail)", pace.rise);
            Seen::nothing(Reading::Bad, &why)
        }
        _ => Seen::nothing(Reading::Unknown, "not seen yet"),
    }
}

fn sum(uses: &[(TrackerId, Weight)], running: &BTreeMap<TrackerId, Running>) -> Tracked {
    let mut tracked = Tracked::default();
    let mut causes = Vec::new();
    for (id, weight) in uses {
        let Some(Running { view, .. }) = running.get(id) else { continue };
        let seen = view.seen();
        if seen.reading == Reading::Unknown && seen.at.is_some() {
            continue; // it cannot be tried: nobody waits for it
        }
        match weight.effect(seen.reading) {
            Effect::Points(0) => {}
            Effect::Points(points) => {
                tracked.points = tracked.points.saturating_add(points);
                causes.push(Cause { name: id.to_string(), difference: points, text: seen.why.clone() });
            }
            Effect::Fault if tracked.fault.is_none() => {
                tracked.fault = Some(format!("{id}: {}", seen.why).into());
            }
            Effect::Fault => {}
            Effect::Wait => tracked.wait = true,
        }
    }
    tracked.causes = causes.into();
    tracked
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mailbox::mailbox;
    use hacluster_conf::model::TrackerKind;
    use hacluster_core::vrid::Vrid;
    use hacluster_net::poll::Wake;

    /// Whoever tells of what follows needs to find the cause, whatever is told first.
    #[tokio::test]
    async fn a_verdict_is_told_first_and_goes_along_with_its_command() {
        let wake = Wake::new().unwrap();
        let (commands, ordered) = mailbox(8, &wake);
        let (events, told) = mailbox(8, &wake);
        let (changes, receiver) = mpsc::channel(1);
        let (source, readings) = tokio::sync::watch::channel(None);
        let id = TrackerId { kind: TrackerKind::VirtualServer, name: "web".into() };
        let place = Place { interface: "eth0".into(), vrid: Vrid::new(51).unwrap() };
        let tracker = Tracker { id: id.clone(), probe: Probe::VirtualServer, weight: Weight::default() };
        let settings = Settings {
            trackers: BTreeMap::from([(id.clone(), tracker)]),
            users: BTreeMap::from([(place, vec![(id, Weight::default())])]),
            ..Settings::default()
        };
        let desk = tokio::spawn(run(settings, receiver, commands, events, readings));
        // It knows of no virtual server at all: that is a verdict.
        source.send(Some(Arc::default())).unwrap();
        let verdict = loop {
            match told.pop().map(|event| (event.trail, event.what)) {
                Some((trail, What::Tracker(verdict))) => break (trail, verdict),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        assert_eq!(verdict.0, Some(verdict.1.trail));
        let carried = loop {
            match ordered.pop() {
                Some(Command::Tracked { verdict: Some(verdict), .. }) => break verdict,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        assert!(Arc::ptr_eq(&carried, &verdict.1));
        drop(changes);
        desk.await.unwrap();
    }
}
