//! Random lives: two nodes, the same two members on each, a network for each member.

use super::*;
use proptest::prelude::*;

/// How long a packet is under way. Each node hears first of the network where, in the worst case, it
/// is the lower one: all that happens to one then happens to the other in the same microsecond.
fn latency(to: usize, network: usize) -> Duration {
    Duration::from_micros(if (to + network) % 2 == 1 { 140 } else { 150 })
}

const NETWORKS: usize = 2;

/// What happens to the two nodes.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// The link of a node to a network goes, noticed; or comes back.
    Link { node: usize, network: usize, up: bool },
    /// A network drops everything between the nodes; or stops that.
    Cut { network: usize, cut: bool },
    /// A node is told to resign on one network.
    Resign { node: usize, network: usize },
    /// A priority changes.
    Priority { node: usize, network: usize, priority: u8 },
    /// A node restarts at once.
    Restart { node: usize },
}

struct World {
    now: Instant,
    nodes: [Node; 2],
    up: [[bool; NETWORKS]; 2],
    cut: [bool; NETWORKS],
    /// When it arrives, where, on which network, what.
    packets: Vec<(Instant, usize, usize, Priority)>,
    changes: usize,
}

impl World {
    fn new(priorities: [[u8; NETWORKS]; 2]) -> Self {
        let now = Instant::from_micros(1_000_000_000);
        let node = |host: u8| Node::new(host + 1, priorities[usize::from(host)].map(parameters));
        let mut nodes = [node(0), node(1)];
        nodes.iter_mut().for_each(|node| node.start(now));
        let packets = Vec::new();
        Self { now, nodes, up: [[true; NETWORKS]; 2], cut: [false; NETWORKS], packets, changes: 0 }
    }

    fn send(&mut self, from: usize, adverts: Vec<(usize, Priority)>) {
        for (network, priority) in adverts {
            let to = 1 - from;
            self.packets.push((self.now + latency(to, network), to, network, priority));
        }
        self.changes += self.nodes[from].transitions.len();
        self.nodes[from].transitions.clear();
        let kinds = self.nodes[from].kinds();
        let rule = kinds.iter().filter(|kind| **kind == StateKind::Master).count();
        assert!(rule == 0 || rule == NETWORKS, "half of the group rules: {kinds:?}");
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let timers = self.nodes.iter().filter_map(|node| node.deadline(self.now));
            let arrivals = self.packets.iter().map(|(at, ..)| *at);
            let Some(next) = timers.chain(arrivals).min().filter(|at| *at <= until) else { break };
            self.now = next;
            let (due, later) = self.packets.drain(..).partition(|(at, ..)| *at <= next);
            self.packets = later;
            self.deliver(due);
            for node in 0..2 {
                let adverts = self.nodes[node].tick(next);
                self.send(node, adverts);
            }
        }
        self.now = until;
    }

    fn deliver(&mut self, due: Vec<(Instant, usize, usize, Priority)>) {
        for (_, to, network, priority) in due {
            if !self.cut[network] && self.up.iter().all(|links| links[network]) {
                let heard = Node::heard(network, 2 - to as u8, priority.get());
                let adverts = self.nodes[to].give(self.now, network, heard);
                self.send(to, adverts);
            }
        }
    }

    fn strike(&mut self, blow: Blow) {
        let (node, network, input) = match blow {
            Blow::Link { node, network, up } => {
                self.up[node][network] = up;
                (node, network, if up { Input::FaultCleared(Fault::Link) } else { Input::Fault(Fault::Link) })
            }
            Blow::Cut { network, cut } => {
                self.cut[network] = cut;
                return;
            }
            Blow::Resign { node, network } => (node, network, Input::Resign),
            Blow::Priority { node, network, priority } => {
                (node, network, Input::Parameters(parameters(priority)))
            }
            Blow::Restart { node } => return self.restart(node),
        };
        let adverts = self.nodes[node].give(self.now, network, input);
        self.send(node, adverts);
    }

    /// Without a farewell, as by SIGKILL.
    fn restart(&mut self, node: usize) {
        let told: Vec<Parameters> = self.nodes[node].machines.iter().map(|one| *one.parameters()).collect();
        self.nodes[node] = Node::new(node as u8 + 1, told);
        self.nodes[node].start(self.now);
        for network in 0..NETWORKS {
            if !self.up[node][network] {
                self.strike(Blow::Link { node, network, up: false });
            }
        }
    }

    fn heal(&mut self) {
        self.cut = [false; NETWORKS];
        for (node, network) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            self.strike(Blow::Link { node, network, up: true });
        }
    }

    fn rulers(&self) -> usize {
        self.nodes.iter().filter(|node| node.kinds() == [StateKind::Master; NETWORKS]).count()
    }
}

fn any_blow() -> impl Strategy<Value = Blow> {
    let place = (0..2_usize, 0..NETWORKS);
    prop_oneof![
        3 => (place.clone(), any::<bool>()).prop_map(|((node, network), up)| Blow::Link { node, network, up }),
        2 => (0..NETWORKS, any::<bool>()).prop_map(|(network, cut)| Blow::Cut { network, cut }),
        2 => place.clone().prop_map(|(node, network)| Blow::Resign { node, network }),
        1 => (place, 1..=254_u8)
            .prop_map(|((node, network), priority)| Blow::Priority { node, network, priority }),
        1 => (0..2_usize).prop_map(|node| Blow::Restart { node }),
    ]
}

fn any_priority() -> impl Strategy<Value = u8> {
    prop_oneof![Just(100_u8), Just(150), Just(200), 1..=254_u8]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens no node ever rules half of the group (asserted at every step), and once it
    /// stops happening one node rules all, and stays.
    #[test]
    fn two_nodes_agree_on_all_or_nothing(
        priorities in [[any_priority(), any_priority()], [any_priority(), any_priority()]],
        life in proptest::collection::vec((0_u64..5_000, any_blow()), 0..30),
    ) {
        let mut world = World::new(priorities);
        for (pause, blow) in life {
            world.run(Duration::from_millis(pause));
            world.strike(blow);
        }
        world.heal();
        world.run(Duration::from_secs(60));
        world.changes = 0;
        world.run(Duration::from_secs(30));
        prop_assert_eq!((world.rulers(), world.changes), (1, 0));
    }
}

/// Each node is better on one network and both begin in the same microsecond: neither may unseat the
/// other for ever.
#[test]
fn nodes_that_are_each_better_on_one_network_come_to_rest() {
    let mut world = World::new([[200, 150], [150, 200]]);
    world.run(Duration::from_secs(30));
    world.changes = 0;
    world.run(Duration::from_secs(60));
    assert_eq!((world.rulers(), world.changes), (1, 0));
}

/// The dual-NIC pair: a link is cut and comes back.
#[test]
fn both_addresses_follow_one_link() {
    let mut world = World::new([[150, 150], [100, 100]]);
    world.run(Duration::from_secs(10));
    assert_eq!(world.nodes[0].kinds(), [StateKind::Master; 2]);
    world.strike(Blow::Link { node: 0, network: 1, up: false });
    world.run(Duration::from_millis(2_000));
    assert_eq!(world.nodes[1].kinds(), [StateKind::Master; 2]);
    world.run(Duration::from_secs(10));
    world.strike(Blow::Link { node: 0, network: 1, up: true });
    world.run(Duration::from_secs(10));
    assert_eq!(world.nodes[0].kinds(), [StateKind::Master; 2]);
    assert_eq!(world.rulers(), 1);
}
