//! The desk: what checks, operators and virtual routers say becomes a table for the kernel, notices and
//! a view.
//!
//! ```text
//!   configuration ---------.
//!   results of checks ------+--> Desk: Live, Live, ... --settle--> hands (table)
//!   operators' orders ------+                               |----> events: log, hooks, fifos, mail
//!   addresses, of any hand --'                               `----> view (status), readings (trackers)
//! ```
//!
//! Contract: nothing waits here but on the queues. What comes in together is decided together, and the
//! kernel hears of it before anybody is told.

use super::daemons;
use super::evidence::User;
use super::hands;
use super::here::{Here, due, moved};
use super::looks::Looks;
use super::notice::{Cause, Notice, Why};
use super::operator::Ask;
use super::orders::Orders;
use super::service::{Live, Turned};
use super::table::{Table, service_key};
use super::view::{CheckView, Seen, ServiceView, View, describe};
use super::{Parts, Reading, Readings, silence};
use crate::check::{Report, Wanted};
use crate::chronicle::RouterView;
use crate::event::{Event, What};
use crate::story::{Task, Trail};
use arc_swap::ArcSwap;
use hacluster_conf::model::Config;
use hacluster_conf::model::lvs::{Check, CheckKind, FlushOnStop, SyncDaemon};
use hacluster_core::balance::{Adjust, Look, Server};
use hacluster_core::health::Verdict;
use hacluster_core::machine::StateKind;
use hacluster_core::time::Instant as Moment;
use hacluster_net::clock;
use hacluster_net::netlink::ipvs::SyncDaemon as Daemon;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Routers that change state together are looked at together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Results taken before deciding.
const REPORTS: usize = 1_024;
/// Orders are looked at for their time at least this often: wall clocks jump.
const EXPIRY: Duration = Duration::from_secs(30);

/// What the desk is told.
#[derive(Debug)]
pub(super) enum Message {
    /// This configuration is in force.
    Configure(Box<Config>),
    /// An operator wants something.
    Ask(Box<Ask>),
    /// The end: our services leave.
    Stop(oneshot::Sender<()>),
}

/// A check that somebody uses.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) users: Vec<User>,
    pub(super) verdict: Verdict,
    pub(super) look: Look,
    pub(super) seen: Option<Arc<Seen>>,
    /// What it was before its times were changed, until those who look know.
    pub(super) before: Option<Arc<Check>>,
}

pub(super) struct Desk<L> {
    pub(super) services: Vec<Live>,
    pub(super) checks: HashMap<Arc<Check>, Watched>,
    pub(super) looks: L,
    pub(super) orders: Orders,
    pub(super) hands: hands::Orders,
    pub(super) table: Table,
    pub(super) views: View,
    /// Services of which something changed since they were settled, and what led to that.
    pub(super) touched: BTreeMap<usize, Option<Led>>,
    /// Checks that turned since then, by service: of which server, and whether that was up.
    turned: BTreeMap<usize, Vec<(usize, bool, Turned)>>,
    /// Services of which only the view is out of date.
    pub(super) stale: BTreeSet<usize>,
    /// When these are looked after, if nothing more happens.
    pub(super) show_at: Instant,
    pub(super) parts: Parts,
    pub(super) here: Here,
    pub(super) sync: Option<SyncDaemon>,
    /// Daemons that were wanted last.
    pub(super) daemons: Option<Vec<Daemon>>,
    pub(super) flush_on_stop: FlushOnStop,
    /// Mail tells of servers alone, not of single checks.
    pub(super) fewer_mails: bool,
    /// It was said that the kernel does not answer.
    pub(super) silent: bool,
}

/// What led to a change that no check led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Led {
    /// Its story.
    pub(super) trail: Trail,
    /// See [`Task::name`].
    pub(super) name: &'static str,
}

/// Works until told to stop.
pub(super) async fn run<L: Looks>(
    mut desk: Desk<L>,
    mut messages: mpsc::Receiver<Message>,
    mut reports: mpsc::Receiver<Report>,
    mut inherited: mpsc::Receiver<Table>,
) {
    let Some(begun) = silence::begin(&mut desk, &mut messages, &mut inherited).await else { return };
    let mut inherited = Some(begun.inherited);
    if let Some(config) = begun.config {
        desk.configure(&config, inherited.take());
    }
    begun.asks.into_iter().for_each(|ask| desk.ask(ask));
    let mut deaf_until = Instant::now();
    let poked = desk.parts.routers.clone();
    loop {
        let (expiry, again) = (desk.next_expiry(), desk.here.again);
        desk.hear_silence();
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Configure(config)) => {
                    // What was said of checks as they were.
                    while !reports.is_empty() {
                        desk.hear_all(&mut reports);
                    }
                    desk.settle();
                    desk.configure(&config, inherited.take());
                }
                Some(Message::Ask(ask)) => desk.ask(*ask),
                Some(Message::Stop(done)) => {
                    desk.farewell();
                    let _ = done.send(());
                    return;
                }
                None => return,
            },
            Some(report) = reports.recv() => {
                desk.hear(report);
                desk.hear_all(&mut reports);
            }
            () = async { sleep_until(deaf_until).await; poked.notified().await } => {
                deaf_until = Instant::now() + TOGETHER;
                desk.look_at_routers();
                desk.tell_readings();
            }
            hears = async { sleep_until(deaf_until).await; moved(desk.here.locals.as_mut()).await } => {
                deaf_until = Instant::now() + TOGETHER;
                if !hears {
                    desk.listen_anew();
                }
                desk.look_at_routers();
            }
            () = due(again) => {
                desk.listen_anew();
                desk.look_at_routers();
            }
            () = sleep_until(desk.show_at), if !desk.stale.is_empty() => {}
            () = sleep_until(expiry) => desk.expire(),
        }
        desk.settle();
    }
}

impl<L: Looks> Desk<L> {
    pub(super) fn new(parts: Parts, looks: L, hands: hands::Orders) -> Self {
        Self {
            services: Vec::new(),
            checks: HashMap::new(),
            looks,
            orders: Orders::open(&parts.state_dir),
            hands,
            table: Table::new(),
            views: View::default(),
            touched: BTreeMap::new(),
            turned: BTreeMap::new(),
            stale: BTreeSet::new(),
            show_at: Instant::now(),
            parts,
            here: Here::default(),
            sync: None,
            daemons: None,
            flush_on_stop: FlushOnStop::default(),
            fewer_mails: false,
            silent: false,
        }
    }

    pub(super) fn say(&self, notice: Notice) {
        self.say_on(None, notice);
    }

    fn say_on(&self, trail: Option<Trail>, notice: Notice) {
        self.parts.events.send_or_drop(Event::now(None, What::Balance(Arc::new(notice))).on(trail));
    }

    /// Something changed of a service. What led to it first names the story.
    pub(super) fn touch(&mut self, service: usize, led: Option<Led>) {
        let known = self.touched.entry(service).or_default();
        *known = known.or(led);
    }

    /// Whatever checks said, up to a limit.
    fn hear_all(&mut self, reports: &mut mpsc::Receiver<Report>) {
        for _ in 0..REPORTS {
            let Ok(report) = reports.try_recv() else { break };
            self.hear(report);
        }
    }

    /// A check said something worth hearing.
    fn hear(&mut self, report: Report) {
        let Some(watched) = self.checks.get_mut(&report.check) else { return };
        let adjust = report.outcome.weight.map(|weight| match report.check.kind {
            CheckKind::File { .. } => Adjust::Add(weight),
            _ => Adjust::Set(u16::try_from(weight.max(0)).unwrap_or(u16::MAX)),
        });
        // Who fails for a moment keeps the weight it had.
        let adjust = if report.outcome.good { adjust } else { watched.look.adjust };
        let look = Look { up: is_up(&report.check, report.verdict), adjust };
        let (good, why) = (report.outcome.good, report.outcome.why.clone());
        watched.seen = Some(Arc::new(Seen { outcome: report.outcome, at: report.at, heard: clock::now() }));
        let changed = watched.look != look;
        let turned = watched.look.up != look.up;
        (watched.verdict, watched.look) = (report.verdict, look);
        for &(service, server, check) in &watched.users {
            let Some(live) = self.services.get_mut(service) else { continue };
            if changed {
                let before =
                    live.state.servers().get(server).filter(|_| turned && !live.state.is_suspended());
                if let Some(before) = before {
                    let check = describe(&report.check);
                    let turned = Turned { check, good: look.up, why: why.clone() };
                    self.turned.entry(service).or_default().push((server, before.is_up(), turned));
                }
                live.state.look(server, check, look);
                self.touched.entry(service).or_default();
            }
            self.stale.insert(service);
        }
        if let Some(left) = report.retries_left.filter(|_| !good && report.check.pace.log_all_failures) {
            let text = format!("{}: {why}; {left} retries left", describe(&report.check));
            self.say(Notice::plain(false, text));
        }
    }

    /// Who holds what here, and who rules.
    pub(super) fn look_at_routers(&mut self) {
        let routers = self.parts.board.read().routers();
        self.direct_daemons(&routers);
        let held = self.held(&routers);
        let mut changed = false;
        for number in 0..self.services.len() {
            let live = &self.services[number];
            let elsewhere = |held: &HashSet<IpAddr>| !live.addresses.iter().any(|ip| held.contains(ip));
            let rests = !live.addresses.is_empty() && held.as_ref().is_some_and(elsewhere);
            if live.state.is_suspended() != rests {
                let has = |view: &&RouterView| addresses(view).any(|(_, ip)| live.addresses.contains(&ip));
                let trail = routers.iter().find(has).and_then(|view| view.trail);
                self.rest(number, rests, trail);
                changed = true;
            }
        }
        if changed {
            self.set_looks();
        }
    }

    /// Sync daemons follow their virtual router, as a part of the story of its change.
    fn direct_daemons(&mut self, routers: &[RouterView]) {
        let Some(sync) = &self.sync else {
            self.daemons = None;
            return self.hands.put_daemons(None, None);
        };
        let named = |name: &String| routers.iter().find(|view| view.identity.name == *name);
        let followed = sync.router.as_ref().and_then(named);
        let rules = followed.is_some_and(|view| view.state() == StateKind::Master);
        let wanted = Some(daemons::wanted(sync, rules));
        let trail = followed.filter(|_| self.daemons != wanted).and_then(|view| view.trail);
        let task = trail.map(|trail| Task {
            trail: trail.child(),
            name: "ipvs.sync_daemon",
            of: wanted.iter().flatten().map(daemons::words).collect::<Vec<_>>().join("; "),
            began: clock::now(),
        });
        self.daemons.clone_from(&wanted);
        self.hands.put_daemons(wanted, task);
    }

    /// The checks of a service rest, or do so no more.
    fn rest(&mut self, number: usize, rests: bool, trail: Option<Trail>) {
        let Some(live) = self.services.get_mut(number) else { return };
        let config = live.config.clone();
        if !rests {
            for (server, of) in config.servers.iter().enumerate() {
                for (check, key) in of.checks.iter().enumerate() {
                    if let Some(watched) = self.checks.get(key) {
                        live.state.look(server, check, watched.look);
                    }
                }
            }
        }
        live.state.suspend(rests);
        let name = if rests { "lvs.rest" } else { "lvs.wake" };
        self.touch(number, trail.map(|trail| Led { trail, name }));
        let label = ServiceView::label(&config);
        let what = match (rests, &self.here.locals) {
            (true, _) => "rest: its address is not on this node",
            (false, Some(_)) => "go on: its address is on this node",
            (false, None) => "go on: it is not known whether its address is on this node",
        };
        self.say_on(trail, Notice::plain(false, format!("{label}: checks {what} (ha_suspend)")));
    }

    /// Tells who looks what is to be looked at.
    pub(super) fn set_looks(&mut self) {
        let services = &self.services;
        let wanted = self.checks.iter_mut().map(|(check, watched)| {
            let rests =
                |(service, ..): &User| services.get(*service).is_none_or(|live| live.state.is_suspended());
            let resting = watched.users.iter().all(rests);
            Wanted { check: check.clone(), before: watched.before.take(), known: watched.verdict, resting }
        });
        let wanted: Vec<Wanted> = wanted.collect();
        self.looks.set(wanted);
    }

    /// Decides whatever something was said of; tells the kernel, then everybody else.
    pub(super) fn settle(&mut self) {
        self.settle_and_put(false);
    }

    /// The same; the kernel is told in any case where its table `changed` already.
    pub(super) fn settle_and_put(&mut self, mut changed: bool) {
        let (mut notices, mut tasks, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        let (mut voted, mut settled) = (false, Vec::new());
        let mut turned = std::mem::take(&mut self.turned);
        for (number, led) in std::mem::take(&mut self.touched) {
            let Some(live) = self.services.get_mut(number) else { continue };
            let (checks, config, had) = (&self.checks, live.config.clone(), live.state.has_quorum());
            let mut said = live.settle(|server, up| why(&config.servers[server].checks, checks, up));
            for (server, was_up, turned) in turned.remove(&number).unwrap_or_default() {
                if live.state.servers().get(server).map(Server::is_up) == Some(was_up) {
                    said.extend(live.check_turned(server, &turned, !self.fewer_mails));
                }
            }
            voted |= live.state.has_quorum() != had;
            let mut placed = false;
            for (key, row) in live.rows() {
                if self.table.get(&key).is_none_or(|before| **before != row) {
                    self.table.insert(key, Arc::new(row));
                    placed = true;
                }
            }
            changed |= placed;
            if !said.is_empty() || led.is_some() {
                let task = task(&config.name, led, &said);
                notices.extend(said.into_iter().map(|notice| (task.trail, notice)));
                if placed { tasks.push(task) } else { idle.push(task) }
            }
            settled.push(number);
        }
        if changed {
            self.hands.put_for(self.table.clone(), tasks);
        }
        self.show_what_changed(settled);
        if voted {
            self.tell_readings();
        }
        for (trail, notice) in notices {
            let own = if notice.told.is_some() { trail.child() } else { trail };
            self.say_on(Some(own), notice);
        }
        for task in idle {
            hands::done_nothing(&self.parts.events, task);
        }
    }

    pub(super) fn view_of(&self, live: &Live) -> ServiceView {
        live.view(|server| said(&live.config.servers[server].checks, &self.checks, live, server))
    }

    /// Tells trackers which virtual servers have their quorum.
    pub(super) fn tell_readings(&self) {
        let picture = self.hands.picture();
        let reading = |view: &Arc<ArcSwap<ServiceView>>| {
            let view = view.load();
            let keys = || view.config.frontends.iter().map(service_key);
            let refused = || keys().find_map(|key| picture.unserved.get(&key));
            let odd = picture.absent.as_ref().or_else(refused);
            let why = match odd {
                Some(odd) => odd.clone(),
                None if view.why.is_empty() => "as found at start".into(),
                None => view.why.clone(),
            };
            (view.config.name.clone(), Reading { up: view.up && odd.is_none(), why })
        };
        let readings: Readings = self.views.iter().map(reading).collect();
        self.parts.readings.send_replace(Some(Arc::new(readings)));
    }

    fn next_expiry(&self) -> Instant {
        let Some(next) = self.orders.next() else { return Instant::now() + EXPIRY };
        let left = next.duration_since(SystemTime::now()).unwrap_or_default();
        Instant::now() + left.min(EXPIRY)
    }

    pub(super) fn farewell(&mut self) {
        let notices: Vec<_> = self.services.iter().flat_map(Live::farewell).collect();
        notices.into_iter().for_each(|notice| self.say(notice));
        self.hands.stop(self.flush_on_stop);
    }
}

/// Whether a server counts as up as far as `check` goes.
pub(super) fn is_up(check: &Check, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Unknown => !check.pace.alpha,
        Verdict::Good => true,
        Verdict::Bad => false,
    }
}

/// The addresses of a virtual router, with their position.
pub(super) fn addresses(view: &RouterView) -> impl Iterator<Item = (usize, IpAddr)> + '_ {
    view.setup.addresses.iter().enumerate().filter_map(|(number, address)| {
        let text = address.text.split_once('/').map_or(address.text.as_str(), |(ip, _)| ip);
        Some((number, text.parse().ok()?))
    })
}

/// What the kernel shall do for what was `said` of a virtual server.
fn task(service: &str, led: Option<Led>, said: &[Notice]) -> Task {
    let causes = said.iter().filter_map(|notice| notice.told.as_ref()?.cause.as_ref());
    let began = causes.map(|cause| cause.began).min().unwrap_or_else(clock::now);
    let (trail, name) = match led {
        Some(led) => (led.trail.child(), led.name),
        None => (Trail::begin(), "lvs.change"),
    };
    Task { trail, name, of: service.to_owned(), began }
}

/// Why a server with these checks is down, or up again.
fn why(of: &[Check], known: &HashMap<Arc<Check>, Watched>, up: bool) -> Why {
    let odd: Vec<_> = of
        .iter()
        .filter_map(|check| Some((check, known.get(check)?)))
        .filter(|(_, watched)| watched.look.up == up)
        .collect();
    let newest = odd.iter().max_by_key(|(_, watched)| watched.seen.as_ref().map(|seen| seen.at));
    let Some((check, watched)) = newest else { return "it has no checks".into() };
    let said = watched.seen.as_ref().map_or("not seen yet", |seen| &*seen.outcome.why);
    let more = match odd.len() {
        count if count > 1 && !up => format!("; {} more of its checks fail", count - 1),
        _ => String::new(),
    };
    let text = format!("{}: {said}{more}", describe(check)).into();
    let cause = watched.seen.as_ref().map(|seen| Cause {
        check: describe(check),
        text: seen.outcome.why.clone(),
        began: before(seen.heard, seen.outcome.took),
        ended: seen.heard,
    });
    Why { text, cause }
}

fn before(at: Moment, span: Duration) -> Moment {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Moment::from_micros(at.as_micros().saturating_sub(micros))
}

/// What is known of the checks of one server.
fn said(of: &[Check], known: &HashMap<Arc<Check>, Watched>, live: &Live, server: usize) -> Vec<CheckView> {
    let counted = live.state.servers().get(server).map(|server| server.counted()).unwrap_or_default();
    let views = of.iter().zip(counted).map(|(check, look)| {
        let watched = known.get(check);
        CheckView {
            up: look.up,
            verdict: watched.map(|watched| watched.verdict).unwrap_or_default(),
            seen: watched.and_then(|watched| watched.seen.clone()),
        }
    });
    views.collect()
}
