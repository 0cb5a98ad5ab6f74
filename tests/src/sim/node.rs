//! A node: a process with its routers, and a kernel that outlives it.

use super::kernel::Kernel;
use super::moves::prepares;
use super::plan::VirtualRouter;
use super::trace::Garbage;
use hacluster_core::group::Group;
use hacluster_core::machine::{Machine, Parameters, Preemption, State, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::receive::Expectation;
use hacluster_core::time::Instant;
use hacluster_core::wire::v2::{Outgoing, Template};
use std::net::Ipv4Addr;

/// The multicast group of VRRP.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// A packet under way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The whole IPv4 packet.
    pub bytes: Vec<u8>,
    /// Set when the world made it up.
    pub injected: Option<Garbage>,
}

/// Whether a node's process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It ended in order.
    Stopped,
    /// It was killed: what it left in the kernel stays.
    Crashed,
}

/// One virtual router on one node.
pub struct Router {
    /// The core under test.
    pub machine: Machine,
    /// What it was told to be, also after a restart.
    pub parameters: Parameters,
    /// Its adverts.
    pub template: Template,
    /// What it expects of others.
    pub expectation: Expectation,
    /// The claim whose answer counts.
    pub claim: Option<u64>,
    /// It was moved away from here: takes nothing from a living ruler. Outlives the process.
    pub hold: bool,
    /// It was moved here. Outlives the process.
    pub lead: Option<Priority>,
    /// The deadline a timer is set for.
    pub armed: Option<Instant>,
}

impl Router {
    /// What the machine is told to be: configuration and hold.
    pub fn in_force(&self) -> Parameters {
        let preemption = if self.hold { Preemption::Never } else { self.parameters.preemption };
        Parameters { preemption, ..self.parameters }
    }
}

/// One node.
pub struct Node {
    /// Its primary address.
    pub address: Ipv4Addr,
    /// Its process.
    pub life: Life,
    /// Counts processes: a timer of a dead one wakes nobody.
    pub process: u32,
    /// Carrier.
    pub link_up: bool,
    /// The process gets no time.
    pub stalled: bool,
    /// What arrived meanwhile.
    pub inbox: Vec<(Instant, Packet)>,
    /// Its virtual routers, in the world's order.
    pub routers: Vec<Router>,
    /// Its sync group, where there are any: all of its routers.
    pub group: Option<Group>,
    /// Its kernel.
    pub kernel: Kernel,
}

impl Node {
    /// Node number `index`, not running.
    pub fn new(index: usize, virtual_routers: &[VirtualRouter], parameters: &[Parameters]) -> Self {
        let address = Ipv4Addr::new(192, 0, 2, 9 + index as u8);
        let router = |(shared, parameters): (&VirtualRouter, &Parameters)| Router {
            machine: Machine::new(*parameters, address),
            parameters: *parameters,
            template: Template::new(&shared.outgoing(address)),
            expectation: Expectation::new(GROUP, shared.interval, shared.auth, shared.addresses.clone()),
            claim: None,
            hold: false,
            lead: None,
            armed: None,
        };
        Self {
            address,
            life: Life::Stopped,
            process: 0,
            link_up: true,
            stalled: false,
            inbox: Vec::new(),
            routers: virtual_routers.iter().zip(parameters).map(router).collect(),
            group: None,
            kernel: Kernel::default(),
        }
    }

    /// Whether its process runs and gets time.
    pub fn is_awake(&self) -> bool {
        self.life == Life::Running && !self.stalled
    }

    /// The state of one of its routers.
    pub fn kind(&self, vr: usize) -> StateKind {
        self.routers[vr].machine.state().kind()
    }

    /// Whether it rules, as far as it knows.
    pub fn rules(&self, vr: usize) -> bool {
        self.life == Life::Running && self.kind(vr) == StateKind::Master
    }

    /// Whether it was asked to rule and claims the addresses.
    pub fn prepares(&self, vr: usize) -> bool {
        self.life == Life::Running && prepares(self.routers[vr].machine.state())
    }

    /// Whether it could rule.
    pub fn is_candidate(&self, vr: usize) -> bool {
        let able = matches!(self.kind(vr), StateKind::Backup | StateKind::Master);
        self.life == Life::Running && self.link_up && able
    }

    /// Whether it keeps what a killed predecessor left.
    pub fn adopts(&self, vr: usize) -> bool {
        matches!(self.routers[vr].machine.state(), State::Backup(backup) if backup.adopted)
    }
}

impl VirtualRouter {
    /// Its adverts as `source` sends them.
    pub fn outgoing(&self, source: Ipv4Addr) -> Outgoing {
        Outgoing {
            source,
            destination: GROUP,
            vrid: self.vrid,
            interval: self.interval,
            auth: self.auth,
            addresses: self.addresses.clone(),
        }
    }
}
