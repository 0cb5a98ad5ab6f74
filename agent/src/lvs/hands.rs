//! The thread that talks to the kernel: puts the wanted table in place and keeps it there.
//!
//! ```text
//!   desk -- Pending (latest wins) --> wanted --.
//!                                               +-- difference --> commands, in batches --> kernel
//!   kernel -- look (start, sweep, doubt) --> known                                           |
//!                 ^---------------------------------------------------------------------------'
//! ```
//!
//! Contract: only the difference is sent. What others did to our services is said once and mended;
//! services that are not ours are never touched. A kernel without IPVS is said once, and looked for
//! again; nobody waits for it. A look costs at most a hundredth of the time.

mod beside;
mod counts;
mod losses;
mod refused;
mod wishes;

pub use counts::Counts;
pub(super) use counts::done_nothing;
pub use wishes::{Counted, Orders, Picture};

use super::daemons;
use super::notice::Notice;
use super::record::{Daemon, Record};
use super::table::{Row, Table, apply, difference, is_lost, is_out_of_date, meddling, share};
use crate::event::{Event, EventSender, What};
use arc_swap::ArcSwap;
use hacluster_conf::model::lvs::FlushOnStop;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{
    Command, DestEntry, Ipvs, ServiceEntry, ServiceKey, SyncDaemon, Timeouts,
};
use losses::listed;
use refused::Refusal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, mpsc};
use wishes::{Desk, Pending};

/// Between looks at the kernel's table.
const SWEEP: Duration = Duration::from_secs(5);
/// A look is followed by so many times its own length without one.
const REST: u32 = 100;
/// Between tries to reach a kernel without IPVS.
const AGAIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// After a refusal that a look may explain.
const DOUBT: Duration = Duration::from_millis(200);
/// A status is answered from a look that is no older.
const FRESH: Duration = Duration::from_millis(500);
/// Things told in one line.
const NAMED: usize = 3;
/// Things told in one go; the rest is a number.
const LINES: usize = 8;

/// What the kernel's IPVS can be asked; a stand-in for tests.
pub trait Kernel: Send + 'static {
    /// Every service.
    fn services(&mut self) -> Result<Vec<ServiceEntry>, NetError>;
    /// The servers of one.
    fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestEntry>, NetError>;
    /// The sync daemons that run.
    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, NetError>;
    /// Changes, in order.
    fn execute(&mut self, commands: &[Command]) -> Vec<Result<(), NetError>>;
}

impl Kernel for Ipvs {
    fn services(&mut self) -> Result<Vec<ServiceEntry>, NetError> {
        Ipvs::services(self)
    }

    fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestEntry>, NetError> {
        Ipvs::destinations(self, key)
    }

    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, NetError> {
        Ipvs::daemons(self)
    }

    fn execute(&mut self, commands: &[Command]) -> Vec<Result<(), NetError>> {
        Ipvs::execute(self, commands)
    }
}

/// What the thread starts with.
pub struct Parts {
    /// Where what happens is told.
    pub events: EventSender,
    /// Services that we may have set.
    pub record: Record,
    /// Everything that others balance goes at the first look (`lvs_flush`).
    pub flush: bool,
    /// What a predecessor left is told here, once.
    pub inherited: mpsc::Sender<Table>,
    /// Knocked at when the kernel begins to balance, or does so no more.
    pub found: Arc<Notify>,
    /// What is done and what fails.
    pub counts: Arc<Counts>,
}

/// Starts the thread in the network namespace of the caller.
///
/// # Errors
/// When the kernel refuses the thread.
pub fn spawn<K: Kernel>(
    parts: Parts,
    open: impl FnMut() -> Result<K, NetError> + Send + 'static,
) -> std::io::Result<(Orders, JoinHandle<()>)> {
    let (desk, picture) = (Arc::<Desk>::default(), Arc::new(ArcSwap::from_pointee(Picture::default())));
    let orders = Orders::new(desk.clone(), picture.clone());
    let hands = Hands::new(parts, open, picture);
    let thread = std::thread::Builder::new().name("hacluster-ipvs".into());
    Ok((orders, thread.spawn(move || hands.run(&desk))?))
}

struct Hands<K, O> {
    open: O,
    kernel: Option<K>,
    events: EventSender,
    record: Record,
    flush: bool,
    inherited: Option<mpsc::Sender<Table>>,
    found: Arc<Notify>,
    counts: Arc<Counts>,
    wanted: Option<Table>,
    /// The kernel's table as far as it is ours, as we left it.
    known: Table,
    ours: BTreeSet<ServiceKey>,
    our_daemons: BTreeSet<Daemon>,
    timeouts: Timeouts,
    /// The kernel that is reached has them.
    timeouts_are_set: bool,
    daemons: Option<Vec<SyncDaemon>>,
    /// What the kernel refuses of tables, of sync daemons and of timeouts.
    refused: BTreeSet<Arc<str>>,
    refused_daemons: BTreeSet<Arc<str>>,
    refused_timeouts: BTreeSet<Arc<str>>,
    /// Answers were lost since the last look that went well, and that was said.
    deaf: bool,
    /// Answers were lost since the last look began.
    lost: bool,
    picture: Arc<ArcSwap<Picture>>,
    looked: Option<Instant>,
    next: Instant,
}

impl<K: Kernel, O: FnMut() -> Result<K, NetError>> Hands<K, O> {
    fn new(parts: Parts, open: O, picture: Arc<ArcSwap<Picture>>) -> Self {
        let left = parts.record.read();
        Self {
            open,
            kernel: None,
            events: parts.events,
            ours: left.services,
            our_daemons: left.daemons,
            record: parts.record,
            flush: parts.flush,
            inherited: Some(parts.inherited),
            found: parts.found,
            counts: parts.counts,
            wanted: None,
            known: Table::new(),
            timeouts: Timeouts::default(),
            timeouts_are_set: false,
            daemons: None,
            refused: BTreeSet::new(),
            refused_daemons: BTreeSet::new(),
            refused_timeouts: BTreeSet::new(),
            deaf: false,
            lost: false,
            picture,
            looked: None,
            next: Instant::now(),
        }
    }

    fn run(mut self, desk: &Desk) {
        loop {
            if self.next <= Instant::now() {
                self.look();
            }
            let Some(pending) = desk.wait(self.next) else { continue };
            if let Some(how) = pending.stop {
                return self.leave(how);
            }
            self.obey(pending);
        }
    }

    fn obey(&mut self, pending: Pending) {
        // Known before the first look: a predecessor's daemon may be wanted still.
        if let Some(daemons) = pending.daemons {
            self.daemons = daemons;
            self.do_for(pending.switch.into_iter().collect(), |hands| hands.put_daemons());
        }
        if let Some(timeouts) = pending.timeouts {
            self.want_timeouts(timeouts);
        }
        if let Some(table) = pending.table {
            self.do_for(pending.tasks, |hands| hands.want(table));
        }
        if !pending.looks.is_empty() {
            if self.looked.is_none_or(|looked| looked.elapsed() > FRESH) {
                self.look();
            }
            pending.looks.into_iter().for_each(|waiting| {
                let _ = waiting.send(());
            });
        }
    }

    fn say(&self, warning: bool, text: String) {
        self.events.send_or_drop(Event::now(None, What::Balance(Arc::new(Notice::plain(warning, text)))));
    }

    /// Reaches the kernel, or says once that it cannot be reached.
    fn reach(&mut self) -> bool {
        if self.kernel.is_some() {
            return true;
        }
        let error = match (self.open)() {
            Ok(kernel) => {
                self.kernel = Some(kernel);
                self.timeouts_are_set = false;
                if self.picture.load().absent.is_some() {
                    self.picture.store(Arc::new(self.empty(None)));
                    self.found.notify_one();
                    self.say(false, "the kernel balances now (ip_vs is there)".to_owned());
                }
                return true;
            }
            Err(error) => error.to_string(),
        };
        let before = self.picture.load();
        if before.absent.as_deref() != Some(error.as_str()) {
            self.picture.store(Arc::new(self.empty(Some(&error))));
            self.found.notify_one();
            self.say(true, format!("{error}; nothing is balanced, virtual routers go on"));
        }
        self.inherit();
        self.next = Instant::now() + AGAIN;
        false
    }

    /// Nothing is known of the kernel's table, for this reason.
    fn empty(&self, absent: Option<&str>) -> Picture {
        Picture { absent: absent.map(Into::into), mended: self.picture.load().mended, ..Picture::default() }
    }

    /// Tells the desk, once, what a predecessor left; nothing when the kernel cannot be asked.
    fn inherit(&mut self) {
        if let Some(inherited) = self.inherited.take() {
            let _ = inherited.blocking_send(self.known.clone());
        }
    }

    /// Looks at the kernel's table, says what others did, mends it.
    fn look(&mut self) {
        let begun = Instant::now();
        if !self.reach() {
            return;
        }
        match self.read() {
            Ok((found, picture)) => {
                let first = self.looked.is_none();
                (self.flush, self.lost) = (false, false);
                self.see(found, first);
                self.put_timeouts();
                self.put_daemons();
                self.deaf &= self.lost;
                let before = Picture::clone(&self.picture.load());
                let Picture { at, services, .. } = picture;
                let refused = self.all_refused();
                self.picture.store(Arc::new(Picture { at, services, refused, absent: None, ..before }));
                self.looked = (!self.lost).then(Instant::now);
                let pause = if self.lost { DOUBT } else { SWEEP };
                self.next = Instant::now() + pause.max(begun.elapsed() * REST);
            }
            Err(error) => self.lost(&error),
        }
    }

    fn read(&mut self) -> Result<(Table, Picture), NetError> {
        let Some(kernel) = &mut self.kernel else { return Ok(Default::default()) };
        let mut picture = Picture { at: Some(SystemTime::now()), ..Picture::default() };
        let mut found = Table::new();
        let everything = self.flush;
        for (key, service) in listed(kernel, &self.known)? {
            let is_wanted = self.wanted.as_ref().is_some_and(|wanted| wanted.contains_key(&key));
            if everything {
                self.ours.insert(key);
            }
            if !is_wanted && !self.ours.contains(&key) {
                continue;
            }
            let servers = kernel.destinations(&key)?;
            let counted = servers.iter().map(|server| {
                let DestEntry { spec, active, inactive, stats, .. } = *server;
                (spec.key, Counted { active, inactive, weight: spec.weight, stats })
            });
            picture.services.insert(key, (service.stats, counted.collect()));
            found.insert(key, Arc::new(Row::found(&service, &servers)));
        }
        Ok((found, picture))
    }

    fn see(&mut self, mut found: Table, first: bool) {
        if let Some(wanted) = &self.wanted {
            share(&mut found, wanted);
        }
        let odd = if first { Vec::new() } else { meddling(&self.known, &found) };
        self.known = found;
        self.inherit();
        if !odd.is_empty() {
            let total = odd.len();
            let named: Vec<String> = odd.into_iter().take(NAMED).map(|odd| odd.0).collect();
            let more = if total > NAMED { format!("; and {} more", total - NAMED) } else { String::new() };
            let times = {
                let mut picture = Picture::clone(&self.picture.load());
                picture.mended += 1;
                self.counts.mended.add_one();
                let times = picture.mended;
                self.picture.store(Arc::new(picture));
                times
            };
            let text = format!(
                "another program (the kernel does not say which) changed our services: {}{more}; mended, time \
                 {times}. Look who else runs ipvsadm, keepalived or kube-proxy here",
                named.join("; ")
            );
            self.say(true, text);
        }
        self.reconcile();
    }

    /// The table shall be this.
    fn want(&mut self, table: Table) {
        let fresh = table.keys().any(|key| !self.ours.contains(key));
        if fresh {
            self.ours.extend(table.keys().copied());
            self.keep_record();
        }
        let unseen = self.wanted.is_none() || fresh;
        self.wanted = Some(table);
        // A service that is there already, whoever made it, is changed, not made.
        match self.kernel {
            None if self.picture.load().absent.is_some() => {} // looked for at its time
            Some(_) if !unseen && self.looked.is_some() => self.reconcile(),
            _ => self.look(),
        }
    }

    fn keep_record(&self) {
        if let Err(error) = self.record.write(&self.ours, &self.our_daemons) {
            let text = format!("cannot record virtual servers, a successor could not clean up: {error}");
            self.say(true, text);
        }
    }

    fn reconcile(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        let commands = difference(wanted, &self.known, &self.ours);
        let refusals = self.execute(&commands);
        self.complain(&refusals);
        let Some(wanted) = &self.wanted else { return };
        share(&mut self.known, wanted);
        let known = &self.known;
        let before = self.ours.len();
        self.ours.retain(|key| wanted.contains_key(key) || known.contains_key(key));
        if self.ours.len() != before {
            self.keep_record();
        }
    }

    /// Carries out `commands`, writes down what came of them, and returns the refusals that matter.
    fn execute(&mut self, commands: &[Command]) -> Vec<Refusal> {
        let Some(kernel) = self.kernel.as_mut().filter(|_| !commands.is_empty()) else { return Vec::new() };
        let results = kernel.execute(commands);
        let mut without = BTreeSet::new();
        let (mut errors, mut lost) = (Vec::new(), None);
        for (command, result) in commands.iter().zip(results) {
            self.counts.came(&result);
            match (result, command) {
                (Ok(()), command) => apply(&mut self.known, command),
                // Its service was refused: that was said.
                (Err(_), Command::NewDest(key, _)) if without.contains(key) => {}
                (Err(error), command) if is_out_of_date(&error) && !is_missing_module(command, &error) => {
                    self.next = self.next.min(Instant::now() + DOUBT);
                    tracing::debug!("{error}");
                    lost = lost.or(is_lost(&error).then_some(error));
                }
                (Err(error), command) => {
                    if let Command::NewService(spec) = command {
                        without.insert(spec.key);
                    }
                    errors.push(Refusal::new(command, error));
                }
            }
        }
        if let Some(error) = lost {
            self.say_lost(&error);
        }
        errors
    }

    /// The end: what is ours goes.
    fn leave(mut self, how: FlushOnStop) {
        let none = Table::new();
        let commands = match how {
            FlushOnStop::All => vec![Command::Flush],
            FlushOnStop::Ours | FlushOnStop::Services => difference(&none, &self.known, &self.ours),
        };
        let errors = self.execute(&commands);
        let stays = errors.iter().find(|refusal| !is_out_of_date(&refusal.error));
        if let Some(refusal) = stays {
            self.say(true, format!("{}; it stays behind", refusal.error));
        }
        (self.daemons, self.wanted) = (None, Some(none));
        self.put_daemons();
        if stays.is_none() && self.kernel.is_some() {
            self.ours.clear();
            self.keep_record();
        }
    }
}

/// ENOENT of a service means that its scheduler is missing, not that the picture is old.
fn is_missing_module(command: &Command, error: &NetError) -> bool {
    let service = matches!(command, Command::NewService(_) | Command::SetService(_));
    service && error.errno() == nix::errno::Errno::ENOENT
}

#[cfg(test)]
pub(crate) mod tests;
