//! What is wanted of the kernel thread, and what it saw: the newest wish and the newest picture, nothing
//! older.

use crate::lvs::table::Table;
use crate::story::Task;
use crate::tally::Queue;
use arc_swap::ArcSwap;
use hacluster_conf::model::lvs::FlushOnStop;
use hacluster_net::netlink::ipvs::{DestKey, ServiceKey, Stats, SyncDaemon, Timeouts};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// Stories that wait to hear that the kernel has what they want.
const TASKS_MAX: usize = 256;

/// What the kernel counts of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections established.
    pub active: u32,
    /// Connections that are not, or no longer.
    pub inactive: u32,
    /// Weight in the kernel's table.
    pub weight: u32,
    /// Totals and rates.
    pub stats: Stats,
}

/// What the kernel had at one moment, of our services.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// When; `None` before the first look.
    pub at: Option<SystemTime>,
    /// Why the kernel does not balance, and the mend; `None` when it does.
    pub absent: Option<Arc<str>>,
    /// Totals and rates by service, with its servers.
    pub services: BTreeMap<ServiceKey, (Stats, BTreeMap<DestKey, Counted>)>,
    /// What the kernel refuses of what is wanted.
    pub refused: Vec<Arc<str>>,
    /// Wanted virtual servers that it does not have because of a refusal, or that nobody takes connections
    /// for because of one; and that refusal.
    pub unserved: BTreeMap<ServiceKey, Arc<str>>,
    /// How often something that others did was mended.
    pub mended: u64,
    /// Sync daemons that run, for people: `master on eth0, id 1`.
    pub daemons: Vec<String>,
}

/// What is wanted of the kernel and was not taken yet; a newer wish replaces an older one.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) table: Option<Table>,
    /// What the table, and those before it that nobody saw, are wanted for.
    pub(super) tasks: Vec<Task>,
    pub(super) daemons: Option<Option<Vec<SyncDaemon>>>,
    /// What the daemons are wanted for.
    pub(super) switch: Option<Task>,
    pub(super) timeouts: Option<Timeouts>,
    /// Who waits for a look.
    pub(super) looks: Vec<oneshot::Sender<()>>,
    pub(super) stop: Option<FlushOnStop>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.table.is_none()
            && self.daemons.is_none()
            && self.timeouts.is_none()
            && self.looks.is_empty()
            && self.stop.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Desk {
    pending: Mutex<Pending>,
    more: Condvar,
    /// Since when the thread is with the kernel; `None` while it waits for wishes.
    away: Mutex<Option<Instant>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { pending: Mutex::default(), more: Condvar::new(), away: Mutex::new(Some(Instant::now())) }
    }
}

/// The other end of the thread.
#[derive(Clone, Debug)]
pub struct Orders {
    desk: Arc<Desk>,
    picture: Arc<ArcSwap<Picture>>,
}

impl Orders {
    pub(super) fn new(desk: Arc<Desk>, picture: Arc<ArcSwap<Picture>>) -> Self {
        Self { desk, picture }
    }

    fn add(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.desk.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.desk.more.notify_one();
    }

    /// The kernel's table shall be this, as far as it is ours.
    pub fn put(&self, table: Table) {
        self.put_for(table, Vec::new());
    }

    /// The same, for these stories: each is told when it is done.
    pub fn put_for(&self, table: Table, mut tasks: Vec<Task>) {
        self.add(|pending| {
            pending.table = Some(table);
            let room = TASKS_MAX.saturating_sub(pending.tasks.len());
            Queue::Stories.dropped(tasks.len().saturating_sub(room) as u64);
            tasks.truncate(room);
            pending.tasks.append(&mut tasks);
        });
    }

    /// These sync daemons shall run; `None` leaves those alone that are not ours. `task` is told when it
    /// is done.
    pub fn put_daemons(&self, daemons: Option<Vec<SyncDaemon>>, task: Option<Task>) {
        self.add(|pending| {
            pending.daemons = Some(daemons);
            pending.switch = task.or(pending.switch.take());
        });
    }

    /// The kernel's timeouts shall be these; zeros leave it what it has.
    pub fn put_timeouts(&self, timeouts: Timeouts) {
        self.add(|pending| pending.timeouts = Some(timeouts));
    }

    /// What the kernel has, as last seen.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// For how long the kernel keeps the thread waiting.
    pub fn silence(&self) -> Duration {
        let away = *self.desk.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Shows `refusal` beside what the kernel refuses, until it is looked at again.
    pub fn show(&self, refusal: &str) {
        let mut picture = Picture::clone(&self.picture());
        picture.refused.push(refusal.into());
        self.picture.store(Arc::new(picture));
    }

    /// Looks at the kernel unless that was done just now. Completes when it is done.
    pub fn look(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.add(|pending| {
            pending.looks.retain(|waiting| !waiting.is_closed());
            pending.looks.push(done);
        });
        answer
    }

    /// Our services leave, then the thread ends.
    pub fn stop(&self, how: FlushOnStop) {
        self.add(|pending| pending.stop = Some(how));
    }
}

impl Desk {
    /// What came in, waited for until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> Option<Pending> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.more.wait_timeout_while(pending, left, |pending| pending.is_empty());
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        (!pending.is_empty()).then(|| std::mem::take(&mut *pending))
    }
}
