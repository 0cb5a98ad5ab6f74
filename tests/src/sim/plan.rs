//! What a seed draws before anything happens: the routers, the network, the mix of faults.
//!
//! Every kind of fault has a weight of its own, and about half of the weights are 0: worlds with
//! few kinds of faults, but many of each, find what an even mixture hides.

use super::net::NODES_MAX;
use super::rng::Rng;
use hacluster_core::interval::Seconds;
use hacluster_core::machine::{Announce, Parameters, Preemption};
use hacluster_core::priority::Priority;
use hacluster_core::time::Duration;
use hacluster_core::vrid::Vrid;
use hacluster_core::wire::Auth;
use std::net::Ipv4Addr;

/// Kinds of faults; see `faults` for what each does.
pub const FAULT_KINDS: usize = 12;

/// What all nodes of a virtual router agree on.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    /// Its number.
    pub vrid: Vrid,
    /// Time between adverts.
    pub interval: Seconds,
    /// Authentication.
    pub auth: Auth,
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// A whole world before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The virtual routers, one or two.
    pub virtual_routers: Vec<VirtualRouter>,
    /// Per node and virtual router.
    pub routers: Vec<Vec<Parameters>>,
    /// Longest ordinary way of a packet.
    pub latency_max: Duration,
    /// Longest delay of a timer.
    pub late_max: Duration,
    /// Longest ordinary time of a kernel request.
    pub kernel_max: Duration,
    /// Packets are stamped on arrival, not when the process gets to read them.
    pub stamp_arrival: bool,
    /// Length of the safety phase.
    pub safety: Duration,
    /// Longest pause between faults.
    pub calm_max: Duration,
    /// Weight of each kind of fault.
    pub weights: [u64; FAULT_KINDS],
    /// Packet loss in bad weather, per mille.
    pub loss_permille: u64,
}

impl Plan {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let nodes = rng.between(2, NODES_MAX as u64) as usize;
        let count = if rng.chance(300) { 2 } else { 1 };
        Self::draw_rest(rng, nodes, count)
    }

    /// Draws a world with so many virtual routers.
    pub fn draw_of(count: u8) -> impl FnOnce(&mut Rng) -> Self {
        move |rng| {
            let nodes = rng.between(2, NODES_MAX as u64) as usize;
            Self::draw_rest(rng, nodes, count)
        }
    }

    fn draw_rest(rng: &mut Rng, nodes: usize, count: u8) -> Self {
        let virtual_routers: Vec<_> = (0..count).map(|index| draw_virtual_router(rng, index)).collect();
        let mut routers = vec![Vec::new(); nodes];
        for virtual_router in &virtual_routers {
            let style = rng.index(5);
            let down_adverts = rng.pick(&[3, 3, 3, 2, 5]);
            let modes = rng.index(4);
            for node in &mut routers {
                let priority = draw_priority(rng, style, node.is_empty());
                let parameters = draw_parameters(rng, virtual_router.interval, priority, modes);
                node.push(Parameters { down_adverts, ..parameters });
            }
        }
        let mut weights = [0; FAULT_KINDS];
        for weight in &mut weights {
            *weight = if rng.chance(500) { rng.between(1, 10) } else { 0 };
        }
        Self {
            virtual_routers,
            routers,
            latency_max: Duration::from_micros(rng.pick(&[200, 1_000, 30_000])),
            late_max: Duration::from_micros(rng.pick(&[0, 1_000, 50_000])),
            kernel_max: Duration::from_millis(rng.pick(&[1, 10, 1_500])),
            stamp_arrival: rng.chance(500),
            safety: Duration::from_secs(rng.between(20, 90)),
            calm_max: Duration::from_millis(rng.pick(&[300, 2_000, 10_000])),
            weights,
            loss_permille: rng.pick(&[10, 100, 400]),
        }
    }
}

const VRIDS: [Vrid; 2] = match (Vrid::new(51), Vrid::new(52)) {
    (Some(first), Some(second)) => [first, second],
    _ => panic!("both are valid"),
};

fn draw_virtual_router(rng: &mut Rng, index: u8) -> VirtualRouter {
    let vrid = VRIDS[usize::from(index)];
    let interval = Seconds::new(rng.pick(&[1, 1, 2, 3])).unwrap_or(Seconds::ONE);
    let auth = if rng.chance(300) { Auth::pass(b"mellon") } else { Auth::None };
    let addresses = (0..rng.between(1, 4) as u8).map(|n| Ipv4Addr::new(192, 0, 2, 100 + 10 * index + n));
    VirtualRouter { vrid, interval, auth, addresses: addresses.collect() }
}

/// A style per virtual router: anything, neighbours, ties, an owner, high and low.
fn draw_priority(rng: &mut Rng, style: usize, first: bool) -> Priority {
    Priority::from_wire(match style {
        0 => rng.between(1, 254) as u8,
        1 => rng.between(97, 103) as u8,
        2 => 100,
        3 if first || rng.chance(200) => 255,
        3 => rng.pick(&[100, 150, 254]),
        _ => rng.pick(&[1, 254]),
    })
}

fn draw_parameters(rng: &mut Rng, interval: Seconds, priority: Priority, modes: usize) -> Parameters {
    let never = match modes {
        0 => false,
        1 => true,
        _ => rng.chance(400),
    };
    let delay = if rng.chance(250) { rng.between(500, 8_000) } else { 0 };
    let preemption = match never && !priority.is_owner() {
        true => Preemption::Never,
        false => Preemption::After(Duration::from_millis(delay)),
    };
    Parameters {
        priority,
        interval,
        down_adverts: 3,
        start_as_master: rng.chance(300),
        preemption,
        fast_takeover: rng.chance(600),
        lower_prio_no_advert: rng.chance(200),
        higher_prio_send_advert: rng.chance(700),
        // Not drawn: seeds keep the worlds they had.
        lowered_advert_delay: Duration::from_millis(if priority.get().is_multiple_of(2) { 100 } else { 0 }),
        phase: Duration::from_millis(u64::from(priority.get()) * 2),
        announce: Announce {
            master_rounds: 5,
            master_delay: Duration::from_secs(rng.pick(&[0, 1, 5])),
            refresh: Duration::from_secs(rng.pick(&[0, 0, 4])),
            refresh_rounds: 1,
            lower_prio_rounds: 3,
            lower_prio_delay: Duration::from_secs(rng.pick(&[0, 2])),
        },
    }
}
