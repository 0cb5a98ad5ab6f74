//! The main thread: puts the parts together, waits for signals, reloads by difference.

use crate::api::audit::Audit;
use crate::api::{Api, Settings, Shared};
use crate::args::Args;
use crate::board::Board;
use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use crate::cluster::holds::Store;
use crate::event::{Event, EventSender, Place, What};
use crate::fact::Fact;
use crate::history::History;
use crate::in_force::{self, DiskCheck, InForce};
use crate::kernel::{self, FilterSettings, Fixed, Leftover, Order, RouterId};
use crate::lvs::Lvs;
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::notify::Notify;
use crate::orphans;
use crate::protocol::{self, Command, Ended, GroupDefinition, Queues};
use crate::reload::{Ask, Reloaded, diagnostics_json, effect_of, ending, refusal, say};
use crate::rundir::{self, RunDir};
use crate::service_manager::ServiceManager;
use crate::startup::{self, NothingRuns};
use crate::successor::{self, Ending};
use crate::telemetry::Telemetry;
use crate::teller::Teller;
use crate::watch::{self, Watch};
use anyhow::{Context, bail};
use hacluster_conf::diag::Severity;
use hacluster_conf::diff::{Change, Effect, diff};
use hacluster_conf::model::{Config, SyncGroup, VirtualRouter};
use hacluster_conf::render;
use hacluster_core::time::Instant;
use hacluster_net::poll::{Waiter, Wake};
use hacluster_net::signal::{Request, Signals};
use hacluster_net::{clock, sched};
use hacluster_proto::v1::ReloadOutcome;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Events that may wait for the log.
const EVENTS: usize = 16_384;
/// Orders and reports that may wait between the protocol and the kernel thread.
const ORDERS: usize = 8_192;
/// Commands that may wait for the protocol thread.
const COMMANDS: usize = 1_024;
/// Notices that may wait for whoever moves routers.
const NOTICES: usize = 4_096;
/// The agent's own program, whatever became of its file meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// Asks that may wait for the main thread.
const ASKS: usize = 4;

/// The running agent as the main thread sees it.
struct Supervisor {
    args: Args,
    in_force: Arc<InForce>,
    run_dir: RunDir,
    /// Names that the packet filter's table may have.
    tables: Vec<String>,
    commands: Sender<Command>,
    /// To the kernel thread, for what is the host's own.
    orders: Sender<Order>,
    events: EventSender,
    api_settings: Settings,
    cluster: Cluster,
    asks: Receiver<Ask>,
    /// Which number a router has among threads.
    ids: BTreeMap<Place, RouterId>,
    next_id: u32,
    /// What is tracked for whom.
    watched: watch::Settings,
    /// Runs from the first thing on that is tracked.
    watch: Option<Watch>,
    /// Runs from the first virtual server on.
    lvs: Lvs,
    service_manager: ServiceManager,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in one line with the mend.
pub fn run(args: Args) -> anyhow::Result<()> {
    let signals = Signals::open()?;
    let in_force = Arc::new(in_force::load(&args));
    let loaded = &in_force.loaded;
    if let Some(fatal) = loaded.diagnostics.iter().find(|found| found.severity == Severity::Fatal) {
        orphans::release(&args, &loaded.config);
        return Err(NothingRuns(render::line(fatal, &loaded.sources)).into());
    }
    say(&loaded.diagnostics, loaded);
    sched::require_network_capabilities()?;
    let wanted = args.run_dir.clone().or_else(|| loaded.config.agent.run_dir.clone());
    let run_dir = RunDir::lock(wanted.as_deref().unwrap_or(Path::new(rundir::DEFAULT)))?;
    let state_dir = args.state_dir.clone().or_else(|| loaded.config.agent.state_dir.clone());
    let state_dir = rundir::state_dir(state_dir.as_deref(), run_dir.path());
    let mut leftovers = run_dir.leftovers();
    let store = Store::open(&state_dir, !leftovers.is_empty());
    rundir::keep_stale(&mut leftovers, &loaded.config);

    let (events, event_reader) = mailbox(EVENTS, &Wake::new()?);
    let knock = Wake::new()?;
    let (commands, command_reader) = mailbox(COMMANDS, &knock);
    let history = History::open(&state_dir, events.clone())?;
    let board = Arc::new(Board::new(Chronicle::new(in_force.clone())).with_history(history));
    let (asking, asks) = mailbox(ASKS, &Wake::new()?);
    let ready = asks.wake().clone();
    let notify = Notify::spawn(&loaded.config, events.clone(), ready, Path::new(OURSELVES))?;
    let lvs = Lvs::new(events.clone(), board.clone(), run_dir.path(), &state_dir);
    let cluster = Cluster::new(board.clone(), commands.clone(), events.clone(), store);
    let telemetry = Telemetry::new(board.clone(), cluster.clone(), lvs.clone(), events.clone());
    telemetry.configure(&loaded.config.telemetry);
    let (hooks, balancer, collectors) = (notify.listener(), lvs.listener(), telemetry.listener());
    let listener = move |event: &Event| {
        hooks(event);
        balancer(event);
        collectors(event);
    };
    let teller = Teller::spawn(event_reader, board.clone(), commands.clone(), listener)?;
    let audit = Audit::open(&state_dir, events.clone())?;
    let shared =
        Shared::new(board, DiskCheck::new(args.clone()), cluster.clone(), asking, audit, lvs.clone());
    let api = Api::open(&run_dir.socket(), shared, events.clone())?;
    let api_settings = api.settings();
    api_settings.put(&loaded.config);
    let (reports, report_reader) = mailbox(ORDERS, &knock);
    let (orders, order_reader) = mailbox(ORDERS, &Wake::new()?);
    fix_from_start(&run_dir, &loaded.config, &leftovers, &orders)?;
    let filter = FilterSettings::new(&loaded.config.filter, run_dir.path(), run_dir.leftover_tables());
    let tables = filter.names().to_vec();
    let kernel = kernel::spawn(order_reader, reports, events.clone(), leftovers, filter)?;
    let ended = Wake::new()?;
    let (notices, notice_reader) = mailbox(NOTICES, &Wake::new()?);
    let queues = Queues {
        commands: command_reader,
        reports: report_reader,
        orders: orders.clone(),
        events: events.clone(),
        notices,
        ended: ended.clone(),
    };
    let protocol = protocol::spawn(queues, &loaded.config.agent)?;

    cluster.start(&api, notice_reader, &loaded.config);

    let service_manager = ServiceManager::new(commands.clone(), orders.clone());
    let mut supervisor = Supervisor {
        service_manager,
        args,
        in_force,
        run_dir,
        tables,
        commands,
        orders,
        events,
        api_settings,
        cluster,
        asks,
        ids: BTreeMap::new(),
        next_id: 0,
        watched: watch::Settings::default(),
        watch: None,
        lvs,
    };
    let outcome = supervisor.serve(&signals, &ended, protocol, &notify);
    if matches!(outcome, Ok(Ending::ForSuccessor)) {
        supervisor.service_manager.stopping();
        successor::make_way(teller, &telemetry);
    }
    drop(supervisor);
    let _ = kernel.join();
    api.close();
    teller.stop();
    notify.stop(telemetry.listener());
    telemetry.stop();
    outcome.map(drop)
}

/// Records what `config` may set, then orders what is static in it.
fn fix_from_start(
    run_dir: &RunDir,
    config: &Config,
    leftovers: &[Leftover],
    orders: &Sender<Order>,
) -> anyhow::Result<()> {
    let fixed = run_dir.fixed(config);
    run_dir.record(&[config], leftovers, &fixed).context("cannot record addresses")?;
    orders.send_patiently(Order::Fix(fixed));
    Ok(())
}

impl Supervisor {
    fn serve(
        &mut self,
        signals: &Signals,
        ended: &Wake,
        protocol: JoinHandle<Ended>,
        notify: &Notify,
    ) -> anyhow::Result<Ending> {
        let mut waiter = Waiter::new()?;
        waiter.add(signals, 0)?;
        waiter.add(ended, 1)?;
        waiter.add(self.asks.wake(), 2)?;
        let begins = clock::now() + startup::delay(&self.in_force.loaded.config.global);
        self.service_manager.ready(self.in_force.loaded.config.routers.len(), None);
        let mut begun = notify.is_ready() && self.begin(begins);
        loop {
            let begins_at = Some(begins).filter(|_| !begun && notify.is_ready());
            let deadline = begins_at.into_iter().chain(self.service_manager.next_beat()).min();
            waiter.wait_until(deadline)?.for_each(drop);
            self.service_manager.beat();
            begun = begun || notify.is_ready() && self.begin(begins);
            if ended.clear() {
                return self.stop(protocol);
            }
            self.asks.wake().clear();
            while let Some(Ask::Reload { dry_run, reply }) = self.asks.pop() {
                // Whoever asked may be gone: the reload counts all the same.
                let _ = reply.send(self.reload(begun, dry_run));
            }
            while let Some(request) = signals.read()? {
                match request {
                    Request::Reload => drop(self.reload(begun, false)),
                    Request::Dump => self.dump(),
                    Request::MakeWay if successor::can_run(&self.args) => return Ok(Ending::ForSuccessor),
                    Request::MakeWay | Request::Stop => {
                        notify.announce_stop();
                        return self.stop(protocol);
                    }
                }
            }
        }
    }

    /// Starts all routers once `startup_delay` is over.
    fn begin(&mut self, begins: Instant) -> bool {
        if clock::now() < begins {
            return false;
        }
        let routers = self.in_force.loaded.config.routers.clone();
        tracing::info!(
            "{} {} runs {} virtual router(s) from {}",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            routers.len(),
            self.args.config.display()
        );
        self.record_tables();
        self.watched = watch::Settings::of(&self.in_force.loaded.config);
        self.watch();
        self.group();
        for router in routers {
            self.add(router);
        }
        self.balance();
        true
    }

    /// Tells which virtual routers change state together.
    fn group(&self) {
        let Config { groups, routers, .. } = &self.in_force.loaded.config;
        let of = |name: &String| routers.iter().find(|router| router.name == *name).map(place);
        let definition = |group: &SyncGroup| GroupDefinition {
            name: group.name.as_str().into(),
            members: group.members.iter().filter_map(of).collect(),
        };
        self.commands.send_patiently(Command::Groups(groups.iter().map(definition).collect()));
    }

    fn add(&mut self, router: VirtualRouter) {
        let id = RouterId(self.next_id);
        self.next_id += 1;
        let place = place(&router);
        let waits = self.watched.waits(&place);
        self.ids.insert(place.clone(), id);
        let fast_takeover = self.in_force.loaded.config.agent.fast_takeover;
        let router = Box::new(router);
        self.cluster.with_orders(&place, |orders| {
            self.commands.send_patiently(Command::Add { id, router, fast_takeover, orders, waits });
        });
    }

    /// Begins to watch what is to be watched, or goes on with what that is now.
    fn watch(&mut self) {
        match &self.watch {
            Some(watch) => watch.change(self.watched.clone()),
            None if self.watched.is_empty() => {}
            None => {
                let (settings, commands) = (self.watched.clone(), self.commands.clone());
                match Watch::spawn(settings, commands, self.events.clone(), &self.lvs) {
                    Ok(watch) => self.watch = Some(watch),
                    Err(error) => tracing::error!("{error:#}; nothing is tracked"),
                }
            }
        }
    }

    /// Balances what is to be balanced, or goes on with what that is now.
    fn balance(&self) {
        if let Err(error) = self.lvs.configure(&self.in_force.loaded.config) {
            tracing::error!("{error:#}; virtual routers go on");
        }
    }

    fn remove(&mut self, router: &VirtualRouter) {
        if let Some(id) = self.ids.remove(&place(router)) {
            self.cluster.forget(&place(router));
            self.commands.send_patiently(Command::Remove { id });
        }
    }

    /// Reloads, and says so to the service manager: it waits for the end of what it asked for.
    fn reload(&mut self, begun: bool, dry_run: bool) -> Reloaded {
        if dry_run {
            return self.load_anew(begun, true);
        }
        self.service_manager.reloading();
        let reloaded = self.load_anew(begun, false);
        let refused = reloaded.is_refused().then_some(reloaded.text.as_str());
        self.service_manager.ready(self.in_force.loaded.config.routers.len(), refused);
        reloaded
    }

    /// Puts changed files in force without touching what did not change, or only says what that would
    /// be. Files that bring errors the running ones did not have are refused as a whole.
    fn load_anew(&mut self, begun: bool, dry_run: bool) -> Reloaded {
        let fresh = Arc::new(in_force::load(&self.args));
        let before = &self.in_force.loaded;
        let refused = refusal(&before.diagnostics, before.config.routers.len(), &fresh.loaded);
        let changes = diff(&before.config, &fresh.loaded.config);
        let mut reloaded = Reloaded {
            outcome: ReloadOutcome::Unchanged,
            text: "nothing changed".to_owned(),
            changes: changes.iter().map(|change| (change.to_string(), effect_of(change))).collect(),
            diagnostics_json: diagnostics_json(&fresh.loaded),
        };
        if !dry_run {
            say(&fresh.loaded.diagnostics, &fresh.loaded);
        }
        if let Some(why) = refused {
            let file = self.args.config.display();
            reloaded.outcome = ReloadOutcome::Refused;
            reloaded.text = format!("{file} {why}; the former configuration stays in force");
            if !dry_run {
                self.tell(What::ReloadRefused(reloaded.text.clone()));
            }
            return reloaded;
        }
        let count = changes.len();
        if count > 0 {
            let would = if dry_run { "would come" } else { "came" };
            reloaded.outcome = if dry_run { ReloadOutcome::WouldLoad } else { ReloadOutcome::Loaded };
            reloaded.text = format!("{count} change(s) {would} into force");
        }
        if !dry_run {
            self.put_in_force(fresh, changes, begun);
        }
        reloaded
    }

    fn put_in_force(&mut self, fresh: Arc<InForce>, changes: Vec<Change>, begun: bool) {
        if begun {
            let ending: Vec<_> = changes.iter().filter_map(ending).map(place).collect();
            self.cluster.hand_over(|place| ending.contains(place), "a reload removes it or starts it anew");
        }
        let former = std::mem::replace(&mut self.in_force, fresh);
        let before = &former.loaded.config;
        self.tell(Fact::InForce(self.in_force.clone()));
        self.api_settings.put(&self.in_force.loaded.config);
        self.cluster.configure(&self.in_force.loaded.config);
        self.fix(before);
        if !begun {
            return; // nothing runs yet: the fresh configuration is the one that will begin
        }
        self.watched = watch::Settings::of(&self.in_force.loaded.config);
        let after = &self.in_force.loaded.config;
        let takeover_changed = before.agent.fast_takeover != after.agent.fast_takeover;
        self.record(before, after);
        self.record_tables();
        for change in &changes {
            self.tell(What::Reload(change.to_string()));
        }
        if changes.is_empty() {
            self.tell(What::Reload("nothing changed".to_owned()));
        }
        // Whoever goes leaves its group behind; whoever comes belongs to it from the beginning.
        let (gone, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change, Change::Remove(_)));
        gone.into_iter().for_each(|change| self.apply(change));
        self.group();
        others.into_iter().for_each(|change| self.apply(change));
        if takeover_changed {
            self.refresh_all();
        }
        // Last: what is no longer tracked must not help a router that is about to go.
        self.watch();
        self.balance();
    }

    fn tell(&self, what: impl Into<What>) {
        self.events.send_patiently(Event::now(None, what));
    }

    fn record(&self, before: &Config, after: &Config) {
        if let Err(error) = self.run_dir.record(&[before, after], &[], &Fixed::default()) {
            tracing::warn!("cannot record addresses and routes, a successor could not clean up: {error}");
        }
    }

    /// Puts what is the host's own in force, if that changed.
    fn fix(&self, before: &Config) {
        let after = &self.in_force.loaded.config;
        if before.statics != after.statics {
            self.record(before, after);
            self.orders
                .send_patiently(Order::Fix(Fixed { statics: after.statics.clone(), ..Fixed::default() }));
        }
    }

    fn record_tables(&self) {
        if self.in_force.loaded.config.routers.iter().any(VirtualRouter::is_filtered)
            && let Err(error) = self.run_dir.record_tables(&self.tables)
        {
            tracing::warn!("cannot record the packet filter, a successor could not clean up: {error}");
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(router) => self.add(*router),
            Change::Remove(router) => self.remove(&router),
            Change::Modify { old, new, what } => {
                if what.iter().any(|field| field.effect == Effect::Restart) {
                    self.remove(&old);
                    self.add(*new);
                } else if let Some(id) = self.ids.get(&place(&old)).copied() {
                    self.change(id, *new);
                }
            }
            Change::Agent(_)
            | Change::Global(_)
            | Change::Cluster(_)
            | Change::Balance(_)
            | Change::Service { .. } => {} // read where they are needed, or at the next start
        }
    }

    fn change(&mut self, id: RouterId, router: VirtualRouter) {
        let fast_takeover = self.in_force.loaded.config.agent.fast_takeover;
        let (place, router) = (place(&router), Box::new(router));
        self.cluster.with_orders(&place, |orders| {
            self.commands.send_patiently(Command::Change { id, router, fast_takeover, orders });
        });
    }

    fn refresh_all(&mut self) {
        for router in self.in_force.loaded.config.routers.clone() {
            if let Some(id) = self.ids.get(&place(&router)).copied() {
                self.change(id, router);
            }
        }
    }

    fn dump(&self) {
        let Config { routers, refused, .. } = &self.in_force.loaded.config;
        tracing::info!("{} virtual router(s) configured, {} refused", routers.len(), refused.len());
    }

    fn stop(&mut self, protocol: JoinHandle<Ended>) -> anyhow::Result<Ending> {
        self.service_manager.stopping();
        if !protocol.is_finished() {
            self.cluster.hand_over(|_| true, "the agent stops");
        }
        // While somebody still takes its commands.
        if let Some(watch) = self.watch.take() {
            watch.stop();
        }
        if !protocol.is_finished() {
            self.commands.send_patiently(Command::Stop);
        }
        let ended = protocol.join();
        // Last: as long as the addresses were here, connections came here.
        self.lvs.stop();
        if !matches!(ended, Ok(Ended::InOrder)) {
            bail!("the protocol thread failed; its addresses were removed. Please report the panic above");
        }
        self.run_dir.forget();
        tracing::info!("stopped");
        Ok(Ending::InOrder)
    }
}

fn place(router: &VirtualRouter) -> Place {
    Place { interface: router.interface.clone(), vrid: router.vrid }
}
