//! Load balancing: virtual servers, whom their connections go to, and how that comes into the kernel.
//!
//! ```text
//!   supervisor --- configuration ---> desk --- table ---> hands -- netlink --> kernel (IPVS)
//!   API ------- operators' orders ----^  |                  `---- counters, what others did
//!   checks -------- results ----------'  |
//!   board ---- who holds what, rules -'  `--> events: log, hooks, fifos, mail; view; trackers' readings
//! ```
//!
//! Contract: two threads of its own, behind bounded queues; virtual routers never wait for it, and go
//! on without it. A kernel without IPVS, or one that does not answer, is said, and the former looked for
//! again. What is in the kernel and not ours is never touched; what a killed agent left is adopted, or removed where
//! nobody wants it any more.

mod configure;
mod daemons;
mod desk;
mod evidence;
pub mod hands;
mod here;
mod looks;
mod notice;
mod operator;
mod orders;
mod record;
mod service;
mod shown;
mod silence;
mod table;
mod view;

pub(crate) use configure::is_called;
pub use notice::{Called, Cause, Notice, Subject, Told};
pub use operator::{Ask, Done, DoneRow, Unknown};
pub use orders::Order;
pub use table::{server_key, server_name, service_key};
pub use view::{CheckView, Seen, ServerView, ServiceView, View, describe};

use crate::board::Board;
use crate::check::{Checks, Counted};
use crate::event::{Event, EventSender, What};
use crate::fact::Fact;
use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use desk::{Desk, Message};
use hacluster_conf::model::Config;
use hacluster_conf::model::lvs::{Lvs as Configured, Timeouts};
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::Ipvs;
use record::Record;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// The agent's own program, whatever became of its file meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// Messages that wait for the desk.
const MESSAGES: usize = 64;
/// Results of checks that wait for it.
const REPORTS: usize = 4_096;
/// How long our services may take to leave.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How long a status waits for the kernel's counters.
const LOOK_MAX: Duration = Duration::from_millis(700);

/// Whether a virtual server has its quorum, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// It has.
    pub up: bool,
    /// Why, for people.
    pub why: Arc<str>,
}

/// All virtual servers by name.
pub type Readings = BTreeMap<String, Reading>;

/// What the desk works with.
pub(crate) struct Parts {
    events: EventSender,
    board: Arc<Board>,
    state_dir: PathBuf,
    view: Arc<ArcSwap<View>>,
    readings: watch::Sender<Option<Arc<Readings>>>,
    /// Knocked at when something of a virtual router changed.
    routers: Arc<Notify>,
    /// Somebody wants to know of that.
    follows: Arc<AtomicBool>,
}

impl Parts {
    fn follow(&self, follows: bool) {
        self.follows.store(follows, Ordering::Relaxed);
    }
}

/// The balancer, running or not. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Lvs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: EventSender,
    board: Arc<Board>,
    run_dir: PathBuf,
    state_dir: PathBuf,
    view: Arc<ArcSwap<View>>,
    readings: watch::Sender<Option<Arc<Readings>>>,
    counted: Arc<Counted>,
    counts: Arc<hands::Counts>,
    routers: Arc<Notify>,
    follows: Arc<AtomicBool>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    messages: mpsc::Sender<Message>,
    hands: hands::Orders,
    desk: JoinHandle<()>,
    kernel: JoinHandle<()>,
}

impl Lvs {
    /// Nothing is balanced yet. `run_dir` takes the record of our services, `state_dir` operators' orders.
    pub fn new(events: EventSender, board: Arc<Board>, run_dir: &Path, state_dir: &Path) -> Self {
        Self(Arc::new(Inner {
            events,
            board,
            run_dir: run_dir.to_owned(),
            state_dir: state_dir.to_owned(),
            view: Arc::new(ArcSwap::from_pointee(View::default())),
            readings: watch::Sender::default(),
            counted: Arc::default(),
            counts: Arc::default(),
            routers: Arc::default(),
            follows: Arc::default(),
            running: Mutex::default(),
        }))
    }

    /// Puts `config` in force; begins when there is something to balance, or something left to remove.
    ///
    /// # Errors
    /// When the kernel refuses the threads, or they do not take it: what became of virtual servers, and the mend.
    pub fn configure(&self, config: &Config) -> anyhow::Result<()> {
        self.configure_with(config, Ipvs::open)
    }

    fn configure_with<K: hands::Kernel>(
        &self,
        config: &Config,
        open: impl FnMut() -> Result<K, NetError> + Send + 'static,
    ) -> anyhow::Result<()> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record::of(&self.0.run_dir);
        if running.is_none() && is_idle(&config.lvs) && record.read().is_empty() {
            self.0.readings.send_replace(Some(Arc::default()));
            return Ok(());
        }
        let begun = match running.take() {
            Some(running) => running,
            None => self.start(config, record, open).context("nothing is balanced")?,
        };
        let told = begun.messages.try_send(Message::Configure(Box::new(config.clone())));
        *running = Some(begun);
        told.map_err(|error| not_told(&error))
    }

    fn start<K: hands::Kernel>(
        &self,
        config: &Config,
        record: Record,
        open: impl FnMut() -> Result<K, NetError> + Send + 'static,
    ) -> anyhow::Result<Running> {
        let Inner { events, board, state_dir, view, readings, counted, counts, routers, follows, .. } =
            &*self.0;
        let (messages, heard) = mpsc::channel(MESSAGES);
        let (reports, reported) = mpsc::channel(REPORTS);
        let (inherited, inheritance) = mpsc::channel(1);
        let to_kernel = hands::Parts {
            events: events.clone(),
            record,
            flush: config.lvs.flush,
            inherited,
            found: routers.clone(),
            counts: counts.clone(),
        };
        let (hands, kernel) = hands::spawn(to_kernel, open).context("cannot start the thread for IPVS")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start checks")?;
        let parts = Parts {
            events: events.clone(),
            board: board.clone(),
            state_dir: state_dir.clone(),
            view: view.clone(),
            readings: readings.clone(),
            routers: routers.clone(),
            follows: follows.clone(),
        };
        let (orders, initial, counted) = (hands.clone(), config.clone(), counted.clone());
        let desk = std::thread::Builder::new().name("hacluster-lvs".into());
        let desk = desk.spawn(move || {
            runtime.block_on(async {
                let looks = Checks::new(looks::settings(&initial), Path::new(OURSELVES), reports);
                let looks = looks.counting(counted);
                let desk = Desk::new(parts, looks, orders);
                desk::run(desk, heard, reported, inheritance).await;
            });
            runtime.shutdown_background();
        });
        let desk = desk.context("cannot start the thread for checks")?;
        Ok(Running { messages, hands, desk, kernel })
    }

    /// Where events go that may concern it.
    pub fn listener(&self) -> impl Fn(&Event) + Send + use<> {
        let (routers, follows) = (self.0.routers.clone(), self.0.follows.clone());
        move |event| {
            if follows.load(Ordering::Relaxed) && concerns(event) {
                routers.notify_one();
            }
        }
    }

    /// Whether each virtual server has its quorum, now and from now on; `None` until that is known.
    pub fn readings(&self) -> watch::Receiver<Option<Arc<Readings>>> {
        self.0.readings.subscribe()
    }

    /// All virtual servers as a status shows them.
    pub fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }

    /// What was asked of the kernel.
    pub fn counts(&self) -> &Arc<hands::Counts> {
        &self.0.counts
    }

    /// What checks came to.
    pub fn checks(&self) -> &Arc<Counted> {
        &self.0.counted
    }

    /// What the kernel has, as last seen; nothing while nothing is balanced.
    pub fn picture(&self) -> Arc<hands::Picture> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.hands.picture()).unwrap_or_default()
    }

    /// What the kernel has now, or had when it last answered.
    pub async fn look(&self) -> Arc<hands::Picture> {
        let waiting = {
            let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|running| running.hands.look())
        };
        if let Some(waiting) = waiting {
            let _ = tokio::time::timeout(LOOK_MAX, waiting).await;
        }
        self.picture()
    }

    /// Asks for something as an operator. `ask` gets the place for the answer.
    pub async fn ask(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<Done, Unknown>>) -> Ask,
    ) -> Result<Done, Unknown> {
        let (reply, answer) = oneshot::channel();
        let nothing = || Unknown("no virtual server is configured on this node".to_owned());
        let messages = {
            let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|running| running.messages.clone()).ok_or_else(nothing)?
        };
        let _ = messages.send(Message::Ask(Box::new(ask(reply)))).await;
        answer.await.unwrap_or_else(|_| Err(Unknown("the agent stops; nothing was changed".to_owned())))
    }

    /// Our services leave the kernel, then it ends. Waits for that, a few seconds at most.
    pub fn stop(&self) {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { messages, desk, kernel, .. }) = running else { return };
        let (done, _) = oneshot::channel();
        let mut last = Some(Message::Stop(done));
        let begun = std::time::Instant::now();
        while !(desk.is_finished() && kernel.is_finished()) && begun.elapsed() < STOP_MAX {
            last = last.take().and_then(|last| messages.try_send(last).err()).map(TrySendError::into_inner);
            std::thread::sleep(Duration::from_millis(2));
        }
        if !kernel.is_finished() {
            tracing::warn!("virtual servers may stay in the kernel: it does not answer");
        }
    }
}

/// What becomes of virtual servers whose desk did not take a configuration, and the mend.
fn not_told(error: &TrySendError<Message>) -> anyhow::Error {
    let lasts = "virtual servers stay as they were configured before";
    match error {
        TrySendError::Full(_) => anyhow!(
            "{lasts}: their thread has {MESSAGES} orders to do first; reload again (haclusterctl reload), and see \
             what takes the node's CPU where that does not help"
        ),
        TrySendError::Closed(_) => anyhow!(
            "{lasts}, and nobody checks their real servers: their thread has ended; restart the agent, which takes \
             over what it left in the kernel"
        ),
    }
}

/// Whether `lvs` asks nothing of the kernel.
fn is_idle(lvs: &Configured) -> bool {
    let beside = lvs.sync.is_some() || lvs.timeouts != Timeouts::default() || lvs.flush;
    lvs.services.is_empty() && !beside
}

/// Whether `event` can mean that another address is held here, or that another node rules.
fn concerns(event: &Event) -> bool {
    matches!(
        event.what,
        What::Fact(Fact::Held(_) | Fact::Standing(_) | Fact::Configured(_) | Fact::Removed | Fact::Retold)
    )
}

#[cfg(test)]
pub(crate) mod tests;
