//! The coordinator: moves virtual routers between nodes on purpose, together with the other agents.
//!
//! ```text
//!   api::admin (operators) --.                            .-- Command --> protocol thread
//!   api::peer  (agents) -----+--> Cluster (API's runtime) +
//!   supervisor (start, ------'     |      |               `<- Notice --- (answers, transitions)
//!     reload, stop)                |      `-- peers: Read.Watch, Peer.* --> other agents
//!                                  `-- holds: STATE_DIR/holds.json
//! ```
//!
//! Contract: it only *orders*; who rules is decided by the protocol's machines, and without peers, or
//! with a coordinator that fails, everything is plain VRRP. Every wait has a limit; a lost notice makes
//! a move fail with words, never hang. One move per router at a time; a move goes on when whoever asked
//! for it goes away. No lock is shared with the protocol thread.

pub mod find;
mod groups;
pub mod holds;
pub mod judge;
pub mod known;
mod moments;
mod moves;
pub mod peers;
pub mod plan;
mod pump;
mod ranks;
mod rescue;
mod rest;
mod serve;
mod tale;
mod ways;

pub use moves::Wish;
pub use rest::NodeOutcome;

use crate::api::{Api, Keeper, Validity, convert};
use crate::board::Board;
use crate::chronicle::RouterView;
use crate::event::{Event, EventSender, Identity, Place, What};
use crate::fact::Fact;
use crate::mailbox::{Receiver, Sender};
use crate::orders::Orders;
use crate::protocol::{Answer, Command, Notice, Refusal, Ticket};
use hacluster_conf::model::Config;
use hacluster_core::machine::Transition;
use hacluster_core::time::Instant as Monotonic;
use hacluster_core::vrid::Vrid;
use hacluster_proto::v1;
use holds::{Hold, Kept, Lead, Store};
use peers::{OnChange, Peer, PeerChange, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot};

/// Transitions kept for a move that is busy.
const TRANSITIONS: usize = 1_024;

/// The coordinator. Copies are the same one.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    board: Arc<Board>,
    commands: Sender<Command>,
    events: EventSender,
    store: Store,
    host_name: String,
    own_name: Mutex<String>,
    peers: Mutex<BTreeMap<String, Arc<Peer>>>,
    /// What the protocol thread was told last, for every router that runs.
    told: Mutex<BTreeMap<Place, Orders>>,
    moves: Mutex<BTreeMap<Place, v1::MoveUnderWay>>,
    answers: Mutex<BTreeMap<Ticket, oneshot::Sender<Result<Answer, Refusal>>>>,
    next_ticket: AtomicU64,
    transitions: broadcast::Sender<Told>,
    /// Of which virtual routers priorities may have changed, here or at a peer.
    ranks: ranks::Bell,
    /// Places whose router a connected peer could be handed.
    helped: Mutex<BTreeSet<Place>>,
    ground: OnceLock<Ground>,
}

/// What it stands on once it runs.
struct Ground {
    runtime: Handle,
    /// Our identity towards peers.
    keeper: Arc<Keeper>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a status shows of a router beyond the protocol.
#[derive(Clone, Debug, Default)]
pub struct Duty {
    /// It was moved away on purpose.
    pub hold: Option<Hold>,
    /// It leads.
    pub lead: Option<Lead>,
    /// The node rests.
    pub drain: Option<Hold>,
    /// A move is under way.
    pub moving: Option<v1::MoveUnderWay>,
}

/// What a status shows of the node beyond its configuration.
#[derive(Clone, Debug, Default)]
pub struct NodeDuty {
    /// It rests.
    pub drain: Option<Hold>,
    /// It takes nothing by itself.
    pub pause: Option<Hold>,
    /// The other agents, by name.
    pub peers: Vec<v1::PeerLink>,
}

/// One of our virtual routers as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) place: Place,
    pub(crate) identity: Arc<Identity>,
    pub(crate) now: v1::VirtualRouter,
}

/// A machine changed its state.
#[derive(Clone, Debug)]
struct Told {
    place: Place,
    transition: Transition,
    /// When it was decided.
    at: Monotonic,
}

/// Why a command brought no answer of the wished kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoAnswer {
    Refused(Refusal),
    /// The protocol thread did not answer in time.
    Silent,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Silent => {
                f.write_str("the protocol thread did not answer in time; is the host overloaded?")
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// A coordinator with `store`. Nothing runs before [`start`](Self::start).
    pub fn new(board: Arc<Board>, commands: Sender<Command>, events: EventSender, store: Store) -> Self {
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host_name = host_name.trim().to_owned();
        Self(Arc::new(Inner {
            board,
            commands,
            events,
            store,
            own_name: Mutex::new(host_name.clone()),
            host_name,
            peers: Mutex::default(),
            told: Mutex::default(),
            moves: Mutex::default(),
            answers: Mutex::default(),
            next_ticket: AtomicU64::new(1),
            transitions: broadcast::Sender::new(TRANSITIONS),
            ranks: ranks::Bell::default(),
            helped: Mutex::default(),
            ground: OnceLock::new(),
        }))
    }

    /// Begins to listen to the protocol thread and to the peers of `config`, on the runtime of `api` and
    /// with its identity.
    pub fn start(&self, api: &Api, notices: Receiver<Notice>, config: &Config) {
        let runtime = api.runtime();
        let _ = self.0.ground.set(Ground { runtime: runtime.clone(), keeper: api.keeper().clone() });
        runtime.spawn(self.clone().pump(notices));
        runtime.spawn(self.clone().keep_house());
        runtime.spawn(self.clone().keep_ranks());
        self.configure(config);
    }

    /// Takes the peers, and everything else that concerns it, of `config`: connections that stay
    /// the same are left alone.
    pub fn configure(&self, config: &Config) {
        let own_name = config.global.router_id.clone().unwrap_or_else(|| self.0.host_name.clone());
        lock(&self.0.own_name).clone_from(&own_name);
        let targets = config.peers.iter().map(|peer| Target {
            name: peer.name.clone(),
            address: peer.address.clone(),
            own_name: own_name.clone(),
        });
        let Some(Ground { runtime, keeper }) = self.0.ground.get() else { return };
        let _inside = runtime.enter();
        let mut peers = lock(&self.0.peers);
        let former = std::mem::take(&mut *peers);
        for target in targets {
            let same = former.get(&target.name).filter(|peer| peer.target == target).cloned();
            let name = target.name.clone();
            let start = || Arc::new(Peer::start(target, keeper.clone(), self.on_peer()));
            peers.insert(name, same.unwrap_or_else(start));
        }
        drop(peers);
        self.0.store.kept().keep_only(|place| {
            config.routers.iter().any(|it| it.vrid == place.vrid && it.interface == place.interface)
        });
        self.node_changed();
    }

    fn on_peer(&self) -> OnChange {
        let inner = Arc::downgrade(&self.0);
        Arc::new(move |name, change| {
            let Some(cluster) = inner.upgrade().map(Cluster) else { return };
            match change {
                PeerChange::Told(vrid) => return cluster.looks_up(vrid),
                PeerChange::Connected => {
                    cluster.looks_up(None);
                    cluster.say(None, false, format!("peer {name} answers"));
                }
                PeerChange::Interrupted => cluster.looks_up(None),
                PeerChange::Lost(why) => {
                    let text = format!("peer {name} does not answer: {why}. Plain VRRP goes on");
                    cluster.say(None, true, text);
                }
            }
            cluster.node_changed();
        })
    }

    /// Calls `send` with what `place` has to obey from its first moment on. For the supervisor.
    pub fn with_orders(&self, place: &Place, send: impl FnOnce(Orders)) {
        let mut told = lock(&self.0.told);
        let orders = self.orders(&self.0.store.kept(), place);
        send(orders); // under the lock: later orders must come later
        told.insert(place.clone(), orders);
    }

    /// `place` runs no more.
    pub fn forget(&self, place: &Place) {
        lock(&self.0.told).remove(place);
        lock(&self.0.helped).remove(place);
        self.0.store.kept().leaving.remove(place);
    }

    /// What a status shows of `place`.
    pub fn duty(&self, place: &Place) -> Duty {
        let moving = lock(&self.0.moves).get(place).cloned();
        let kept = self.0.store.kept();
        let told = kept.of(place);
        Duty { hold: told.hold, lead: told.lead, drain: kept.drain.clone(), moving }
    }

    /// What a status shows of the node.
    pub fn node_duty(&self) -> NodeDuty {
        let peers = self.peers().iter().map(|peer| peer.told()).collect();
        let kept = self.0.store.kept();
        NodeDuty { drain: kept.drain.clone(), pause: kept.pause.clone(), peers }
    }

    /// How long the identity towards peers counts; `None` without one.
    pub fn validity(&self) -> Option<Validity> {
        self.0.ground.get()?.keeper.validity()
    }

    /// Name of this node.
    pub fn name(&self) -> String {
        lock(&self.0.own_name).clone()
    }

    // ---- for the other parts of the coordinator -----------------------------------------------

    fn peers(&self) -> Vec<Arc<Peer>> {
        lock(&self.0.peers).values().cloned().collect()
    }

    fn peer(&self, name: &str) -> Option<Arc<Peer>> {
        lock(&self.0.peers).values().find(|peer| peer.target.name.eq_ignore_ascii_case(name)).cloned()
    }

    fn ours_of(&self, view: &RouterView) -> Ours {
        let place = view.identity.place();
        let now = convert::router(view, &self.duty(&place));
        Ours { place, identity: view.identity.clone(), now }
    }

    /// All virtual routers of this node.
    pub(crate) fn all(&self) -> Vec<Ours> {
        self.all_of(|_| true)
    }

    /// Those whose number is `wanted`.
    fn all_of(&self, wanted: impl Fn(Vrid) -> bool) -> Vec<Ours> {
        let views = self.0.board.read().routers();
        views.iter().filter(|view| wanted(view.identity.vrid)).map(|view| self.ours_of(view)).collect()
    }

    /// The one at `place`, as it is now.
    fn at(&self, place: &Place) -> Option<Ours> {
        let view = self.0.board.read().router(place);
        view.map(|view| self.ours_of(&view))
    }

    /// Changes what is kept, and everything that follows from it: orders and file.
    async fn alter<R>(&self, change: impl FnOnce(&mut Kept) -> R) -> R {
        let result = change(&mut self.0.store.kept());
        self.tell_orders();
        let inner = self.0.clone();
        let saved = tokio::task::spawn_blocking(move || inner.store.save()).await;
        if let Ok(Err(error)) = saved {
            self.say(None, true, error);
        }
        result
    }

    fn orders(&self, kept: &Kept, place: &Place) -> Orders {
        Orders { helped: lock(&self.0.helped).contains(place), ..kept.orders(place) }
    }

    /// Tells the protocol thread what changed of its orders. What does not fit is told later.
    fn tell_orders(&self) {
        let mut told = lock(&self.0.told);
        let kept = self.0.store.kept();
        for (place, told) in told.iter_mut() {
            let orders = self.orders(&kept, place);
            let command = || Command::Orders { place: place.clone(), orders };
            if orders != *told && self.0.commands.try_send(command()).is_ok() {
                *told = orders;
            }
        }
    }

    /// Sends a command and waits at most `limit` for its answer.
    async fn ask(
        &self,
        limit: Duration,
        command: impl FnOnce(Ticket) -> Command,
    ) -> Result<Answer, NoAnswer> {
        let ticket = Ticket(self.0.next_ticket.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        lock(&self.0.answers).insert(ticket, sender);
        let sent = self.0.commands.try_send(command(ticket)).is_ok();
        let answer = if sent { tokio::time::timeout(limit, answer).await.ok() } else { None };
        lock(&self.0.answers).remove(&ticket);
        match answer {
            Some(Ok(answer)) => answer.map_err(NoAnswer::Refused),
            Some(Err(_)) | None => Err(NoAnswer::Silent),
        }
    }

    /// Tells what an operator's call came to, of a router or of the node.
    pub(crate) fn tell(&self, router: Option<&Ours>, warning: bool, text: String) {
        self.say(router.map(|ours| &ours.identity), warning, text);
    }

    /// Tells the log, the history and everybody who watches.
    fn say(&self, router: Option<&Arc<Identity>>, warning: bool, text: impl Into<String>) {
        let what = What::Cluster { warning, text: text.into() };
        self.0.events.send_or_drop(Event::now(router.cloned(), what));
    }

    /// What a status shows of `router` changed, without a line in the log.
    fn router_changed(&self, router: &Arc<Identity>) {
        self.0.events.send_or_drop(Event::now(Some(router.clone()), Fact::Ordered));
    }

    /// What a status shows of the node changed.
    fn node_changed(&self) {
        self.0.events.send_or_drop(Event::now(None, Fact::Ordered));
    }

    /// Marks `ours` as being moved; `Err` is the move that is under way already.
    fn begin(&self, ours: &Ours, to_node: &str, by: &str) -> Result<UnderWay, v1::MoveUnderWay> {
        let mut moves = lock(&self.0.moves);
        if let Some(busy) = moves.get(&ours.place) {
            return Err(busy.clone());
        }
        let since = Some(SystemTime::now().into());
        let now = v1::MoveUnderWay { to_node: to_node.to_owned(), by: by.to_owned(), since };
        moves.insert(ours.place.clone(), now);
        drop(moves);
        self.router_changed(&ours.identity);
        let (place, identity) = (ours.place.clone(), ours.identity.clone());
        Ok(UnderWay { cluster: self.clone(), place, identity })
    }
}

/// A move that is under way; ends when dropped.
struct UnderWay {
    cluster: Cluster,
    place: Place,
    identity: Arc<Identity>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.cluster.0.moves).remove(&self.place);
        self.cluster.router_changed(&self.identity);
    }
}

#[cfg(test)]
mod tests;
