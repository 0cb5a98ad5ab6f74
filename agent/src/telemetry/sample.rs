//! Everything that metrics are made from, read at one moment.

use super::Sources;
use super::balance::Balance;
use crate::api::Validity;
use crate::check::Counted;
use crate::chronicle::RouterView;
use crate::watch::View;
use hacluster_proto::v1;
use std::sync::Arc;

/// Trackers that have a series of their own.
pub(super) const TRACKERS_MAX: usize = 500;
/// Virtual servers that have series of their own.
pub(super) const SERVICES_MAX: usize = 500;
/// Real servers that have series of their own, of all virtual servers together.
pub(super) const SERVERS_MAX: usize = 1_000;

/// The node at one moment.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) routers: Vec<RouterView>,
    pub(super) trackers: Option<Arc<[View]>>,
    pub(super) peers: Vec<v1::PeerLink>,
    pub(super) drained: bool,
    pub(super) paused: bool,
    /// When files of TLS end; nothing without TLS.
    pub(super) validity: Option<Validity>,
    /// What checks of real servers came to.
    pub(super) checks: Option<Arc<Counted>>,
    /// Virtual servers; nothing where nothing is balanced.
    pub(super) balance: Option<Balance>,
}

impl Sample {
    pub(super) fn of(sources: &Sources) -> Self {
        let duty = sources.cluster.node_duty();
        let balance = Balance::of(&sources.lvs);
        let chronicle = sources.board.read();
        Self {
            routers: chronicle.routers(),
            trackers: Some(chronicle.trackers.clone()),
            peers: duty.peers,
            drained: duty.drain.is_some(),
            paused: duty.pause.is_some(),
            validity: sources.cluster.validity(),
            checks: Some(sources.lvs.checks().clone()),
            balance,
        }
    }
}
