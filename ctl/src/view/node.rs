//! What a node says of itself, in the names that JSON and YAML promise.

use super::telemetry::Telemetry;
use super::{known, short};
use crate::times::timestamp;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

/// One node of the cluster: as it was asked, and what its agent says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Node {
    /// As the context calls it; on the local socket, as the agent calls itself.
    pub(crate) name: String,
    /// Where it was asked.
    pub(crate) address: String,
    pub(crate) reachable: bool,
    /// Why it is not.
    pub(crate) error: Option<String>,
    pub(crate) round_trip_ms: Option<f64>,
    /// Its clock less the clock here.
    pub(crate) clock_offset_ms: Option<f64>,
    /// The offset is right within this.
    pub(crate) clock_uncertainty_ms: Option<f64>,
    pub(crate) agent: Option<Agent>,
    /// Written, but not run.
    pub(crate) refused: Vec<Refused>,
    /// Load balancing in a few numbers; none where nothing is balanced.
    pub(crate) lvs: Option<Balancing>,
}

/// See `haclusterctl lvs` for all of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Balancing {
    pub(crate) services: u32,
    pub(crate) services_up: u32,
    pub(crate) servers: u32,
    pub(crate) servers_up: u32,
    pub(crate) servers_drained: u32,
    /// Virtual servers without their quorum.
    pub(crate) lost: Vec<Lost>,
    /// Why the kernel does not balance.
    pub(crate) absent: Option<String>,
    /// What the kernel refuses.
    pub(crate) refused: Vec<String>,
    /// Fingerprint of what all directors must have alike; none of an older agent.
    pub(crate) agreement: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lost {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) started: Option<Timestamp>,
    /// The node's clock, now.
    pub(crate) now: Option<Timestamp>,
    pub(crate) configuration: Configuration,
    pub(crate) drain: Option<Hold>,
    pub(crate) pause: Option<Hold>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) trackers: Vec<Tracker>,
    /// How collectors are told; none where nobody is to be told.
    pub(crate) telemetry: Option<Telemetry>,
    /// Number of the latest event in this answer.
    pub(crate) sequence: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) path: String,
    pub(crate) loaded: Option<Timestamp>,
    pub(crate) hash: String,
    pub(crate) file_state: &'static str,
    pub(crate) errors: u32,
    pub(crate) warnings: u32,
    pub(crate) not_in_force: u32,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Hold {
    /// `failover`, `drain` or `pause`.
    pub(crate) kind: String,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) to_node: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) connected: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) clock_offset_ms: Option<f64>,
    pub(crate) clock_uncertainty_ms: Option<f64>,
    pub(crate) error: Option<String>,
}

/// Something that is watched on the node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tracker {
    /// Kind and name: `script chk_nginx`.
    pub(crate) name: String,
    /// `unknown`, `good`, `bad` or `number`.
    pub(crate) reading: &'static str,
    pub(crate) since: Option<Timestamp>,
    /// What was seen last.
    pub(crate) text: String,
    pub(crate) looked: Option<Timestamp>,
    pub(crate) took_ms: Option<f64>,
    /// So many results in a row speak against the reading, of so many that would change it.
    pub(crate) against: u32,
    pub(crate) needed: u32,
    /// `script`, `file`, `process`.
    pub(crate) kind: String,
    /// How the last run of a program ended: `exit 1`.
    pub(crate) end: Option<String>,
    /// What it wrote last.
    pub(crate) output: Option<String>,
    /// Whoever uses it is content; a bad one may be wanted (`reverse`).
    pub(crate) as_wanted: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Certificate {
    pub(crate) path: String,
    pub(crate) subject: String,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) authority_expires: Option<Timestamp>,
    /// When the list of revoked certificates was to be replaced.
    pub(crate) revoked_due: Option<Timestamp>,
}

/// A duration of the contract in milliseconds.
pub(super) fn millis(of: &prost_types::Duration) -> f64 {
    of.seconds as f64 * 1_000.0 + f64::from(of.nanos) / 1_000_000.0
}

impl From<v1::Node> for Agent {
    fn from(of: v1::Node) -> Self {
        Self {
            name: of.name,
            version: of.agent_version,
            started: timestamp(of.started.as_ref()),
            now: timestamp(of.now.as_ref()),
            configuration: of.configuration.unwrap_or_default().into(),
            drain: of.drain.map(Hold::from),
            pause: of.pause.map(Hold::from),
            peers: of.peers.into_iter().map(Peer::from).collect(),
            certificate: of.certificate.map(Certificate::from),
            trackers: of.trackers.into_iter().map(Tracker::from).collect(),
            telemetry: of.telemetry.map(Telemetry::from),
            sequence: 0,
        }
    }
}

impl From<v1::LvsSummary> for Balancing {
    fn from(of: v1::LvsSummary) -> Self {
        let lost =
            |of: v1::LvsLost| Lost { name: of.name, text: of.text, since: timestamp(of.since.as_ref()) };
        Self {
            services: of.services,
            services_up: of.services_up,
            servers: of.servers,
            servers_up: of.servers_up,
            servers_drained: of.servers_drained,
            lost: of.lost.into_iter().map(lost).collect(),
            absent: known(of.absent),
            refused: of.refused,
            agreement: known(of.agreement),
        }
    }
}

impl From<v1::Hold> for Hold {
    fn from(of: v1::Hold) -> Self {
        Self {
            kind: short(of.kind().as_str_name(), "HOLD_KIND_"),
            by: of.by,
            reason: of.reason,
            since: timestamp(of.since.as_ref()),
            until: timestamp(of.until.as_ref()),
            to_node: known(of.to_node),
        }
    }
}

impl From<v1::PeerLink> for Peer {
    fn from(of: v1::PeerLink) -> Self {
        Self {
            name: of.name,
            address: of.address,
            connected: of.connected,
            since: timestamp(of.since.as_ref()),
            clock_offset_ms: of.clock_offset.as_ref().map(millis),
            clock_uncertainty_ms: of.clock_uncertainty.as_ref().map(millis),
            error: known(of.error),
        }
    }
}

impl From<v1::Tracker> for Tracker {
    fn from(of: v1::Tracker) -> Self {
        Self {
            reading: match of.reading() {
                v1::Reading::Unspecified => "unknown",
                v1::Reading::Good => "good",
                v1::Reading::Bad => "bad",
                v1::Reading::Number => "number",
            },
            since: timestamp(of.since.as_ref()),
            looked: timestamp(of.looked.as_ref()),
            took_ms: of.took.as_ref().map(millis),
            against: of.against,
            needed: of.needed,
            // An agent that does not tell knows no other wish than good.
            as_wanted: of.as_wanted.unwrap_or(of.reading() != v1::Reading::Bad),
            kind: of.kind,
            end: known(of.end),
            output: known(of.output),
            name: of.name,
            text: of.text,
        }
    }
}

impl From<v1::Certificate> for Certificate {
    fn from(of: v1::Certificate) -> Self {
        Self {
            path: of.path,
            subject: of.subject,
            expires: timestamp(of.expires.as_ref()),
            authority_expires: timestamp(of.authority_expires.as_ref()),
            revoked_due: timestamp(of.revoked_due.as_ref()),
        }
    }
}

impl From<v1::ConfigurationState> for Configuration {
    fn from(of: v1::ConfigurationState) -> Self {
        Self {
            file_state: match of.file_state() {
                v1::FileState::Unspecified => "unknown",
                v1::FileState::Loaded => "loaded",
                v1::FileState::Changed => "changed",
                v1::FileState::Unreadable => "unreadable",
            },
            loaded: timestamp(of.loaded.as_ref()),
            path: of.path,
            hash: of.hash,
            errors: of.errors,
            warnings: of.warnings,
            not_in_force: of.not_in_force,
        }
    }
}

impl From<v1::RefusedRouter> for Refused {
    fn from(of: v1::RefusedRouter) -> Self {
        Self { name: of.name, reason: of.reason }
    }
}
