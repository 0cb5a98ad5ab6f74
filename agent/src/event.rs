//! What happened, in one form for everybody who tells it: log, history and API; later traces and
//! metrics.

use crate::fact::Fact;
use crate::lvs::Notice;
use crate::mailbox::Sender;
use crate::story::Trail;
use crate::watch::Verdict;
use hacluster_core::machine::{Fault, Note, Reason, StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::receive::Discard;
use hacluster_core::time::{Duration, Instant};
use hacluster_core::track::Reading;
use hacluster_core::vrid::Vrid;
use hacluster_net::{NetError, clock};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where threads put their events. Full means dropped and counted, never waited for.
pub type EventSender = Sender<Event>;

/// Who a virtual router is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As configured.
    pub name: String,
    /// Number on the network.
    pub vrid: Vrid,
    /// Interface of the adverts.
    pub interface: String,
}

/// What a virtual router is known by while its name and settings change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Interface of the adverts.
    pub interface: String,
    /// Number on the network.
    pub vrid: Vrid,
}

impl Identity {
    /// What it is known by.
    pub fn place(&self) -> Place {
        Place { interface: self.interface.clone(), vrid: self.vrid }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vrid {} on {}", self.vrid, self.interface)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (vrid {}, {})", self.name, self.vrid, self.interface)
    }
}

/// A reason in words. The core knows that something tracked failed, or another member of the sync
/// group; `detail` is what and how.
pub fn explain(reason: &Reason, detail: Option<&str>) -> String {
    match (reason, detail) {
        (Reason::Fault(Fault::Tracked | Fault::Group) | Reason::GroupYielded, Some(detail)) => {
            detail.to_owned()
        }
        _ => reason.to_string(),
    }
}

/// Something that happened to a virtual router, or to the agent when `router` is absent.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// Who it concerns.
    pub router: Option<Arc<Identity>>,
    /// What happened.
    pub what: What,
    /// The story it belongs to, where that is known.
    pub trail: Option<Trail>,
}

impl Event {
    /// It happens now, to `router`, or to the node when there is none.
    pub fn now(router: Option<Arc<Identity>>, what: impl Into<What>) -> Self {
        Self { at: clock::now(), router, what: what.into(), trail: None }
    }

    /// As part of the story `trail`.
    #[must_use]
    pub fn on(self, trail: impl Into<Option<Trail>>) -> Self {
        Self { trail: trail.into(), ..self }
    }
}

/// How much an event matters to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth waking someone.
    Warning,
    /// The ordinary life of a cluster.
    Info,
    /// For those who keep the state; makes no line.
    Silent,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The state changed.
    Transition {
        /// From, to and why.
        transition: Transition,
        /// The priority in force.
        priority: Priority,
        /// Which tracker, or which other member of the sync group, failed, and how.
        detail: Option<Arc<str>>,
        /// When that began which led to it, where that is known: the last word of a master that fell
        /// silent or that of one who left, the command that was carried out.
        began: Option<Instant>,
        /// How long the advert that led to it waited between the kernel and us, where that is known.
        waited: Option<Duration>,
    },
    /// The state of a sync group changed.
    Group {
        /// Its name.
        name: Arc<str>,
        /// The state left.
        from: StateKind,
        /// The state entered.
        to: StateKind,
        /// That of the member it came from.
        priority: Priority,
        /// Which member, and why.
        reason: Arc<str>,
    },
    /// It could rule, and waits for another member of its sync group for some time already.
    Waits {
        /// Name of the group.
        group: Arc<str>,
        /// For whom, and why.
        reason: Arc<str>,
    },
    /// Something odd that changed nothing.
    Note(Note),
    /// Packets were dropped: `count` since the last such line.
    Discarded {
        /// Who sent the latest one; unknown when not even the IP header made sense.
        sender: Option<Ipv4Addr>,
        /// Why.
        why: Discard,
        /// How many of this kind since the last line.
        count: u64,
    },
    /// A sender's address list is not ours.
    AddressesDiffer {
        /// Who sent it.
        sender: Ipv4Addr,
    },
    /// An advert could not be sent; `count` since the last such line.
    SendFailed {
        /// Why.
        error: NetError,
        /// How many since the last line.
        count: u64,
    },
    /// Addresses of the router that vanished were put back.
    Restored {
        /// The first of them.
        address: Ipv4Addr,
        /// How many.
        count: usize,
        /// Who took them away, as far as the kernel tells.
        by: Option<String>,
        /// How often this happened to the router so far.
        times: u64,
    },
    /// The kernel refused addresses.
    Refused {
        /// The first refusal.
        error: NetError,
        /// How many addresses were refused.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// Addresses left behind by a predecessor were found at start.
    Adopted {
        /// How many.
        count: usize,
    },
    /// Somebody else put addresses of the router in place while it does not rule; they are gone again.
    Evicted {
        /// The first of them.
        address: Ipv4Addr,
        /// How many.
        count: usize,
    },
    /// Addresses that nobody holds any more were removed.
    Cleaned {
        /// The first of them.
        address: Ipv4Addr,
        /// How many.
        count: usize,
    },
    /// Routes or rules were put back, refused or cleaned up.
    Routing {
        /// Worth waking someone.
        warning: bool,
        /// What, by whom and why.
        text: String,
    },
    /// An interface of virtual routers came, went or changed.
    Interface {
        /// Its name.
        name: String,
        /// How it is now.
        now: InterfaceState,
    },
    /// Something on the node failed that concerns no single router.
    Trouble {
        /// What, and the mend where one is known.
        error: NetError,
    },
    /// Something that is tracked is good or bad now.
    Tracker(Arc<Verdict>),
    /// Another configuration came into force; one line of what that means.
    Reload(String),
    /// Another configuration was not put in force, with the reason.
    ReloadRefused(String),
    /// The API over TCP opened, closed or read its certificates again.
    Api(String),
    /// Something of the API does not work or was refused, with the mend; no virtual router is affected.
    ApiTrouble(String),
    /// Something between this node and others: moves, holds, peers; or an operator's call.
    Cluster {
        /// Worth waking someone.
        warning: bool,
        /// What, by whom and why.
        text: String,
    },
    /// Something of the packet filter in front of addresses that are not served.
    Filter {
        /// Worth waking someone.
        warning: bool,
        /// What, by whom and the mend.
        text: String,
    },
    /// A hook, a fifo or the mail did what it should, or did not.
    Notified {
        /// It did not.
        warning: bool,
        /// Which, and how it went.
        text: String,
    },
    /// A timer was served late; the protocol thread has this real-time priority now.
    Hurried {
        /// 1 to 99.
        priority: u8,
    },
    /// Collectors cannot be told, or can again.
    Telemetry {
        /// They cannot.
        warning: bool,
        /// Which, why and what is lost.
        text: String,
    },
    /// Something of virtual or real servers.
    Balance(Arc<Notice>),
    /// So many events came faster than they could be told.
    Lost(u64),
    /// Something a status shows.
    Fact(Fact),
}

impl From<Fact> for What {
    fn from(fact: Fact) -> Self {
        Self::Fact(fact)
    }
}

/// What matters of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceState {
    /// It does not exist.
    Missing,
    /// It cannot carry packets.
    Down,
    /// It can carry packets; adverts would come from this address.
    Up(Option<Ipv4Addr>),
}

impl What {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::Transition { transition, .. } if transition.to == StateKind::Fault => Level::Warning,
            Self::Group { to: StateKind::Fault, .. } => Level::Warning,
            Self::Transition { .. }
            | Self::Group { .. }
            | Self::Waits { .. }
            | Self::Adopted { .. }
            | Self::Cleaned { .. }
            | Self::Reload(_)
            | Self::Api(_)
            | Self::Filter { warning: false, .. }
            | Self::Routing { warning: false, .. }
            | Self::Cluster { warning: false, .. }
            | Self::Telemetry { warning: false, .. }
            | Self::Notified { warning: false, .. } => Level::Info,
            Self::Fact(_) => Level::Silent,
            Self::Balance(notice) if notice.warning => Level::Warning,
            Self::Balance(_) => Level::Info,
            Self::Tracker(verdict) if verdict.is_good() => Level::Info,
            Self::Tracker(_) => Level::Warning,
            Self::Interface { now: InterfaceState::Up(Some(_)), .. } => Level::Info,
            Self::Interface { .. }
            | Self::Note(_)
            | Self::Discarded { .. }
            | Self::AddressesDiffer { .. }
            | Self::SendFailed { .. }
            | Self::Restored { .. }
            | Self::Evicted { .. }
            | Self::Refused { .. }
            | Self::ReloadRefused(_)
            | Self::Filter { warning: true, .. }
            | Self::Cluster { warning: true, .. }
            | Self::Routing { warning: true, .. }
            | Self::Telemetry { warning: true, .. }
            | Self::Notified { warning: true, .. }
            | Self::ApiTrouble(_)
            | Self::Hurried { .. }
            | Self::Lost(_)
            | Self::Trouble { .. } => Level::Warning,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition { transition: Transition { from, to, reason }, priority, detail, .. } => {
                write!(f, "{from} -> {to}, priority {priority}: {}", explain(reason, detail.as_deref()))
            }
            Self::Group { name, from, to, priority: _, reason } => {
                write!(f, "sync group {name}: {from} -> {to}: {reason}")
            }
            Self::Waits { group, reason } => write!(f, "could rule, its sync group {group} waits: {reason}"),
            Self::Note(note) => fmt_note(note, f),
            Self::Discarded { sender, why, count } => {
                write!(f, "{count} advert(s) dropped, the latest from ")?;
                match sender {
                    Some(sender) => write!(f, "{sender}: {why}"),
                    None => write!(f, "an unknown sender: {why}"),
                }
            }
            Self::AddressesDiffer { sender } => write!(
                f,
                "{sender} advertises other addresses for this virtual router; accepted. \
                 Compare virtual_ipaddress on both nodes"
            ),
            Self::SendFailed { error, count } => write!(
                f,
                "{count} advert(s) could not leave: {error}. The neighbours may take over while this node \
                 goes on: look for a firewall that rejects protocol 112"
            ),
            Self::Restored { address, count, by, times } => {
                write!(
                    f,
                    "{count} address(es) had been removed (first {address}) and are back in place; by "
                )?;
                write!(f, "{}, time {times}", by.as_deref().unwrap_or("an unknown process"))
            }
            Self::Refused { error, count, of } => write!(f, "{count} of {of} addresses refused: {error}"),
            Self::Adopted { count } => write!(
                f,
                "{count} address(es) of a predecessor found in place; they stay until it is known who rules"
            ),
            Self::Evicted { address, count } => write!(
                f,
                "{count} address(es) were put in place by another program (first {address}) while this node \
                 is not master; removed. Look who else configures them"
            ),
            Self::Cleaned { address, count } => {
                write!(f, "{count} stale address(es) removed (first {address})")
            }
            Self::Interface { name, now } => fmt_interface(name, *now, f),
            Self::Trouble { error } => error.fmt(f),
            Self::Api(text)
            | Self::ApiTrouble(text)
            | Self::Filter { text, .. }
            | Self::Cluster { text, .. }
            | Self::Routing { text, .. }
            | Self::Telemetry { text, .. }
            | Self::Notified { text, .. } => f.write_str(text),
            Self::Balance(notice) => notice.fmt(f),
            Self::Tracker(verdict) => fmt_tracker(verdict, f),
            Self::Reload(what) => write!(f, "reload: {what}"),
            Self::ReloadRefused(why) => write!(f, "reload refused: {why}"),
            Self::Hurried { priority } => write!(
                f,
                "timers run late: the protocol thread has real-time priority {priority} from now on \
                 (max_auto_priority); the host may be overloaded"
            ),
            Self::Lost(count) => write!(f, "{count} log line(s) lost: they came too fast to be written"),
            Self::Fact(_) => Ok(()),
        }
    }
}

fn fmt_tracker(verdict: &Verdict, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Verdict { name, why, wanted, .. } = verdict;
    match (verdict.reading, wanted) {
        (Reading::Good, true) => write!(f, "{name} is good: {why}"),
        (Reading::Good, false) => write!(f, "{name} is good, which is not wanted: {why}"),
        (Reading::Bad, false) => write!(f, "{name} failed: {why}"),
        (Reading::Bad, true) => write!(f, "{name} failed, as wanted: {why}"),
        (Reading::Number(_) | Reading::Unknown, _) => write!(f, "{name}: {why}"),
    }
}

fn fmt_interface(name: &str, now: InterfaceState, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match now {
        InterfaceState::Missing => write!(f, "interface {name} does not exist; waiting for it"),
        InterfaceState::Down => write!(f, "interface {name} is down or has no carrier"),
        InterfaceState::Up(Some(source)) => write!(f, "interface {name} is up, adverts leave from {source}"),
        InterfaceState::Up(None) => write!(
            f,
            "interface {name} is up but has no IPv4 address of its own to send from; \
             add one that is not virtual, or set mcast_src_ip"
        ),
    }
}

fn fmt_note(note: &Note, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match note {
        Note::DuplicateAddress(address) => write!(
            f,
            "an advert came from our own address {address}: another node has it, or the network reflects packets"
        ),
        Note::AdvertsMissed(count) => write!(
            f,
            "the protocol was not served for {count} advert interval(s): the host is overloaded or was suspended"
        ),
        Note::RivalHeard(heard) => write!(
            f,
            "{} also rules, with priority {}: answered, and the addresses announced again",
            heard.sender, heard.priority
        ),
        // Whether `from` still rules is not known here: it may have asked because it cannot.
        Note::TakeOverTooSlow(from) => write!(
            f,
            "takeover from {from} given up, nothing is claimed: the addresses were not in place within 1 s"
        ),
        Note::TakeOverRefused(from) => {
            write!(f, "takeover from {from} given up, nothing is claimed: the kernel refused the addresses")
        }
    }
}
