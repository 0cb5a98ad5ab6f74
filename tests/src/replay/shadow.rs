//! A machine that listens to a capture in a node's place.
//!
//! It hears what the node heard. Each time the node takes over, the machine is asked when it would
//! have: that is where two implementations of the same timers must agree.

use super::pcap::Frame;
use super::sidecar::{NodeInfo, Sidecar};
use hacluster_core::interval::Seconds;
use hacluster_core::machine::TakeoverCause;
use hacluster_core::machine::{Announce, Input, Machine, Parameters, Preemption, State, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::receive::{Expectation, check};
use hacluster_core::time::{Duration, Instant};
use hacluster_core::vrid::Vrid;
use hacluster_core::wire::{Auth, v2};
use std::net::Ipv4Addr;

/// A takeover in a capture, and what the machine says of it.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// Who, in words.
    pub who: String,
    /// When the node spoke, in microseconds since the first frame.
    pub actual_micros: i64,
    /// When the machine would have.
    pub predicted_micros: i64,
    /// The deciding timer began when the process started, not with a packet: the capture does not
    /// tell exactly when that was.
    pub since_start: bool,
    /// A preempt delay was involved.
    pub delayed: bool,
}

/// A virtual router as a node's configuration has it.
#[derive(Clone, Debug)]
pub struct Instance {
    vrid: Vrid,
    parameters: Parameters,
    auth: Auth,
    addresses: Vec<Ipv4Addr>,
}

/// The instances of a configuration whose priority nothing but the file decides.
pub fn instances(config: &str) -> Vec<Instance> {
    // What follows a reload is another file.
    let config = config.split("# after the reload").next().unwrap_or_default();
    let blocks = config.split("vrrp_instance").skip(1);
    blocks.filter(|block| !block.contains("track_script")).filter_map(instance).collect()
}

fn instance(block: &str) -> Option<Instance> {
    let words: Vec<_> = block.split_whitespace().collect();
    let after = |name| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1).copied());
    let number = |name| after(name).and_then(|word: &str| word.parse::<u8>().ok());
    let has = |name| words.contains(&name);
    if has("unicast_peer")
        || has("version") && after("version") == Some("3")
        || after("auth_type") == Some("AH")
    {
        return None;
    }
    let delay = after("preempt_delay").and_then(|word| word.parse().ok()).unwrap_or(0);
    let list = block.split("virtual_ipaddress {").nth(1)?.split('}').next()?;
    let address = |word: &str| word.split('/').next().and_then(|address| address.parse().ok());
    Some(Instance {
        vrid: Vrid::new(number("virtual_router_id")?)?,
        parameters: Parameters {
            priority: Priority::configured(number("priority").unwrap_or(100))?,
            interval: Seconds::new(number("advert_int").unwrap_or(1))?,
            down_adverts: 3,
            // keepalived 2.2.7 waits the whole master-down time with `state MASTER` too.
            start_as_master: false,
            preemption: if has("nopreempt") {
                Preemption::Never
            } else {
                Preemption::After(Duration::from_secs(delay))
            },
            fast_takeover: false,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            lowered_advert_delay: Duration::ZERO,
            phase: Duration::ZERO,
            announce: SILENT,
        },
        auth: after("auth_pass").map_or(Auth::None, |password| Auth::pass(password.as_bytes())),
        addresses: list.split_whitespace().filter_map(address).collect(),
    })
}

const SILENT: Announce = Announce {
    master_rounds: 0,
    master_delay: Duration::ZERO,
    refresh: Duration::ZERO,
    refresh_rounds: 0,
    lower_prio_rounds: 0,
    lower_prio_delay: Duration::ZERO,
};

/// Origin of a shadow's time, before the first frame: processes start earlier than they speak.
const ORIGIN_MICROS: i64 = 60_000_000;

/// All takeovers of all nodes that can be judged.
pub fn takeovers(frames: &[Frame], sidecar: &Sidecar) -> Vec<Takeover> {
    let Some(first) = frames.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (name, info) in sidecar.nodes.iter().filter(|(_, info)| info.daemon.starts_with("keepalived")) {
        for instance in instances(&info.config) {
            let Some(mut shadow) = Shadow::new(name, info, &instance) else { continue };
            let mut deeds =
                sidecar.timeline.iter().filter(|deed| deed.node.as_ref() == Some(name)).peekable();
            for frame in frames {
                let micros = frame.at.since(first.at).as_micros() as i64;
                while let Some(deed) = deeds.next_if(|deed| deed.micros <= micros) {
                    shadow.suffers(deed.micros, &deed.action);
                }
                if let Some(packet) = frame.ipv4() {
                    shadow.sees(micros, packet);
                }
            }
            found.append(&mut shadow.takeovers);
        }
    }
    found
}

struct Shadow<'a> {
    name: &'a str,
    address: Ipv4Addr,
    instance: &'a Instance,
    group: Ipv4Addr,
    /// keepalived 2.2 drops adverts whose address list differs; 2.4 and we accept them.
    drops_other_lists: bool,
    /// `None` while the process does not run, or something was done to it that the capture does
    /// not show.
    machine: Option<Machine>,
    takeovers: Vec<Takeover>,
}

fn instant(micros: i64) -> Instant {
    Instant::from_micros(micros.saturating_add(ORIGIN_MICROS).max(0) as u64)
}

impl<'a> Shadow<'a> {
    fn new(name: &'a str, info: &NodeInfo, instance: &'a Instance) -> Option<Self> {
        let group = Ipv4Addr::new(224, 0, 0, 18);
        let drops_other_lists = info.daemon.starts_with("keepalived 2.2");
        let address = info.address?;
        Some(Self { name, address, instance, group, drops_other_lists, machine: None, takeovers: Vec::new() })
    }

    fn suffers(&mut self, micros: i64, action: &str) {
        self.machine = action.starts_with("start keepalived").then(|| {
            let mut machine = Machine::new(self.instance.parameters, self.address);
            machine.handle(instant(micros), Input::Start { adopt: false });
            machine
        });
    }

    fn sees(&mut self, micros: i64, packet: &[u8]) {
        let Ok(advert) = v2::parse(packet) else { return };
        if advert.vrid != self.instance.vrid {
            return;
        }
        let parameters = &self.instance.parameters;
        let expected = Expectation::new(
            self.group,
            parameters.interval,
            self.instance.auth,
            self.instance.addresses.clone(),
        );
        let own = advert.source == self.address && !advert.priority.is_resign();
        let Some(machine) = &mut self.machine else { return };
        if own && machine.state().kind() == StateKind::Backup {
            self.spoke(micros);
        } else if advert.source != self.address
            && let Ok(accepted) = check(&advert, &expected)
            && !(accepted.addresses_differ && self.drops_other_lists)
        {
            machine.handle(instant(micros), Input::Heard(accepted.heard));
        }
        if let Some(machine) = &mut self.machine {
            while machine.poll_action().is_some() {}
        }
    }

    /// The node took over.
    fn spoke(&mut self, micros: i64) {
        let Some(machine) = &mut self.machine else { return };
        let (State::Backup(backup), Some(due)) = (machine.state().clone(), machine.next_deadline()) else {
            return;
        };
        let who =
            format!("{} ({}), vrid {}", self.name, self.instance.parameters.priority, self.instance.vrid);
        self.takeovers.push(Takeover {
            who,
            actual_micros: micros,
            predicted_micros: due.as_micros() as i64 - ORIGIN_MICROS,
            since_start: backup.master.is_none() && !matches!(backup.cause, TakeoverCause::Resigned(_)),
            delayed: backup.preempt_after.is_some(),
        });
        machine.handle(instant(micros).max(due), Input::Tick);
    }
}
