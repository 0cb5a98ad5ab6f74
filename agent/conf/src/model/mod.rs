//! The one resolved model: what the agent runs, defaults applied, units typed.
//!
//! Front ends (`keepalived`, `layered`) produce it; the agent and, later, `haclusterctl` read it.
//! Nothing in it depends on the text it came from.

pub mod cluster;
pub mod command;
pub mod filter;
pub mod lvs;
pub mod route;
pub mod telemetry;
pub mod track;
pub(crate) mod validate;
pub mod vrrp;

pub use cluster::{Api, Peer, Tls};
pub use command::{Command, Fifo, Fifos, Mail, Notify, ScriptUser, Scripts, SyncGroup};
pub use filter::PacketFilter;
pub use lvs::Lvs;
pub use route::{Route, Rule, Statics};
pub use telemetry::{OtlpProtocol, Telemetry};
pub use track::{Tracked, Tracker, TrackerId, TrackerKind};
pub use vrrp::{
    Accept, Address, AddressScope, Authentication, Broadcast, Garp, InitialState, Preemption, VirtualRouter,
};

use hacluster_core::track::Weight;
use std::net::Ipv4Addr;

/// Everything a node is to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Settings of the process itself.
    pub agent: Agent,
    /// Settings that concern every virtual router.
    pub global: Global,
    /// What keeps the addresses of routers that do not accept packets from being served.
    pub filter: PacketFilter,
    /// The control API over TCP; `None` leaves the unix socket alone.
    pub api: Option<Api>,
    /// What collectors are told.
    pub telemetry: Telemetry,
    /// The other agents, in the order written.
    pub peers: Vec<Peer>,
    /// What is put on the host at start and stays until the end.
    pub statics: Statics,
    /// The virtual routers that run, in the order written.
    pub routers: Vec<VirtualRouter>,
    /// Virtual routers that change state together.
    pub groups: Vec<SyncGroup>,
    /// What is watched; only what some virtual router or group uses is looked at.
    pub trackers: Vec<Tracker>,
    /// What holds for all programs that are run.
    pub scripts: Scripts,
    /// Pipes that are told every change.
    pub fifos: Fifos,
    /// Where mail goes; `None` sends none.
    pub mail: Option<Mail>,
    /// What IPVS balances.
    pub lvs: Lvs,
    /// Virtual routers that are written but cannot run, each with the reason.
    pub refused: Vec<Refused>,
}

impl Config {
    /// Gives the trackers of each group to its members. There a failure faults all, unless the group
    /// wants weights; what a member tracks itself counts as it says.
    pub(crate) fn share_trackers(&mut self) {
        for group in &self.groups {
            let members = self.routers.iter_mut().filter(|router| group.members.contains(&router.name));
            for router in members {
                for shared in &group.tracked {
                    if !router.tracked.iter().any(|own| own.tracker == shared.tracker) {
                        let fault = Some(Weight::default()).filter(|_| !group.tracking_weight);
                        let weight = fault.or(shared.weight);
                        router.tracked.push(Tracked { tracker: shared.tracker.clone(), weight });
                    }
                }
            }
        }
    }
}

/// A virtual router that is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name as written.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// How the protocol thread is made more punctual when it is not (`max_auto_priority`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgency {
    /// Greatest real-time priority, 1 to 99.
    pub most: u8,
    /// A timer served this much late raises the priority by one.
    pub late: hacluster_core::time::Duration,
}

impl Urgency {
    /// How late is too late unless something else is said, as with keepalived.
    pub const USUAL: hacluster_core::time::Duration = hacluster_core::time::Duration::from_secs(1);
}

/// The process: scheduling and logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Real-time priority of the protocol thread, 1 to 99; `None` leaves the normal scheduler.
    pub realtime_priority: Option<u8>,
    /// Raise that when timers run late; `None` leaves it as it is.
    pub urgency: Option<Urgency>,
    /// Keep the process' memory from being swapped out.
    pub lock_memory: bool,
    /// Processors the protocol thread may use; empty for all.
    pub cpu_affinity: Vec<usize>,
    /// Let a backup that hears a lower priority than its own take over at once instead of
    /// waiting until the timer of RFC 3768 has run out.
    pub fast_takeover: bool,
    /// Where the agent writes (lock, state); see `--run-dir`.
    pub run_dir: Option<std::path::PathBuf>,
    /// Where the agent keeps what must survive a reboot (holds, audit log); see `--state-dir`.
    pub state_dir: Option<std::path::PathBuf>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            realtime_priority: None,
            urgency: None,
            lock_memory: false,
            cpu_affinity: Vec::new(),
            fast_takeover: true,
            run_dir: None,
            state_dir: None,
        }
    }
}

/// `global_defs` as far as virtual routers are concerned; per-router defaults are already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Name of this node.
    pub router_id: Option<String>,
    /// Multicast group of adverts.
    pub mcast_group: Ipv4Addr,
    /// Wait this long after start before any virtual router runs, in milliseconds.
    pub startup_delay_ms: u64,
    /// Wait until the machine has run this long, in milliseconds.
    pub delay_after_boot_ms: u64,
    /// Log adverts whose VRID no router here has.
    pub log_unknown_vrids: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: None,
            mcast_group: Ipv4Addr::new(224, 0, 0, 18),
            startup_delay_ms: 0,
            delay_after_boot_ms: 0,
            log_unknown_vrids: false,
        }
    }
}
