//! Clusters for tests, written as people think of them.

use super::{Certificate, Observed, Status};
use crate::client::NodeError;
use crate::fanout::Answer;
use hacluster_proto::v1;
use jiff::Timestamp;
use std::time::Duration;

/// The moment of every sample.
pub(crate) const NOW: i64 = 1_790_000_000;

/// `seconds` before the moment.
pub(crate) fn ago(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW - seconds, nanos: 0 })
}

/// A node that answers; methods after `router` change the latest router.
pub(crate) struct Sample {
    name: String,
    pub(crate) answer: v1::GetSnapshotResponse,
    dead: Option<NodeError>,
}

impl Sample {
    pub(crate) fn node(name: &str) -> Self {
        let configuration = v1::ConfigurationState {
            path: "/etc/keepalived/keepalived.conf".into(),
            file_state: v1::FileState::Loaded.into(),
            ..Default::default()
        };
        let node = v1::Node {
            name: name.into(),
            agent_version: "0.1.0".into(),
            started: ago(200_000),
            now: ago(0),
            configuration: Some(configuration),
            ..Default::default()
        };
        let answer = v1::GetSnapshotResponse { node: Some(node), sequence: 7, ..Default::default() };
        Self { name: name.into(), answer, dead: None }
    }

    pub(crate) fn dead(name: &str) -> Self {
        let error = NodeError::Unreachable("no answer within 3 s".into());
        Self { dead: Some(error), ..Self::node(name) }
    }

    /// The number at the end of the node's name.
    fn number(&self) -> u32 {
        self.name.trim_start_matches(|char: char| !char.is_ascii_digit()).parse().unwrap_or(9)
    }

    pub(crate) fn router(mut self, name: &str, vrid: u32, state: v1::State, priority: u32) -> Self {
        let rules = state == v1::State::Master;
        let kind = if rules { v1::ReasonKind::Silence } else { v1::ReasonKind::Started };
        let text = if rules { "no master was heard" } else { "started" };
        let reason = Some(v1::Reason { kind: kind.into(), text: text.into() });
        let from = v1::State::Initialize.into();
        let last = v1::Transition {
            from,
            to: state.into(),
            reason,
            priority,
            at: ago(180_000),
            ..Default::default()
        };
        let router = v1::VirtualRouter {
            name: name.into(),
            vrid,
            interface: "eth0".into(),
            state: state.into(),
            since: ago(180_000),
            last_transition: Some(last),
            priority_base: priority,
            priority_effective: priority,
            source: format!("192.0.2.{}", 10 + self.number()),
            advert_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            agreement: "agreed".into(),
            ..Default::default()
        };
        self.answer.routers.push(router);
        self.addresses(&[&format!("192.168.20.{vrid}/24")])
    }

    /// Changes the latest router.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut v1::VirtualRouter)) -> Self {
        change(self.answer.routers.last_mut().expect("a router"));
        self
    }

    /// Changes the node.
    pub(crate) fn and(mut self, change: impl FnOnce(&mut v1::Node)) -> Self {
        change(self.answer.node.as_mut().expect("a node"));
        self
    }

    pub(crate) fn addresses(self, addresses: &[&str]) -> Self {
        let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        self.with(|router| {
            let present = router.state() == v1::State::Master;
            let address =
                |address| v1::Address { address, interface: "eth0".into(), present, advertised: true };
            router.addresses = addresses.into_iter().map(address).collect();
        })
    }

    pub(crate) fn agreement(self, agreement: &str) -> Self {
        self.with(|router| router.agreement = agreement.into())
    }

    /// It follows the master at `address`.
    pub(crate) fn hears(self, address: &str, priority: u32) -> Self {
        self.with(|router| {
            router.master_address = address.into();
            router.master_priority = priority;
        })
    }

    /// It is in that state since `seconds`, because of `kind`.
    pub(crate) fn since(self, seconds: i64, kind: v1::ReasonKind, text: &str) -> Self {
        self.with(|router| {
            router.since = ago(seconds);
            if let Some(last) = &mut router.last_transition {
                last.at = ago(seconds);
                last.reason = Some(v1::Reason { kind: kind.into(), text: text.into() });
            }
        })
    }
}

fn observed(context: Option<&str>, samples: Vec<Sample>) -> Observed {
    let now = Timestamp::from_second(NOW).expect("a time");
    let answer = |sample: Sample| Answer {
        address: match context {
            Some(_) => format!("192.0.2.{}:9443", 10 + sample.number()),
            None => "/run/hacluster/agent.sock".into(),
        },
        node: if context.is_some() { sample.name } else { "this node".into() },
        result: match sample.dead {
            Some(error) => Err(error),
            None => Ok(sample.answer),
        },
        round_trip: Duration::from_micros(1_200),
        middle: now,
    };
    let answers = samples.into_iter().map(answer).collect();
    Observed { context: context.map(str::to_owned), certificate: None, answers, now }
}

/// Of the cluster `web`.
pub(crate) fn status(samples: Vec<Sample>) -> Status {
    Status::of(observed(Some("web"), samples), &[]).unwrap()
}

/// Of the cluster `web`, asked with `certificate`, narrowed to `named`.
pub(crate) fn asked(
    samples: Vec<Sample>,
    certificate: Option<Certificate>,
    named: &[&str],
) -> Result<Status, crate::Usage> {
    let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
    Status::of(Observed { certificate, ..observed(Some("web"), samples) }, &named)
}

/// Of the only node.
pub(crate) fn local(sample: Sample) -> Status {
    Status::of(observed(None, vec![sample]), &[]).unwrap()
}
