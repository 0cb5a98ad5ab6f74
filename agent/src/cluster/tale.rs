//! What the coordinator tells of its part in a story: calls between nodes, and their causes.

use super::peers::words;
use super::{Cluster, judge};
use crate::event::{Event, Identity};
use crate::fact::Fact;
use crate::story::{Step, Trail};
use hacluster_proto::v1::{self, MoveOutcome as Outcome};
use std::sync::Arc;
use tonic::Status;

/// An answer to a call, as far as a story tells of it.
pub(super) trait Told {
    /// Whether it came to nothing, and what it says.
    fn told(&self) -> (bool, String);
}

impl Told for v1::TakeOverResponse {
    fn told(&self) -> (bool, String) {
        match (self.rules, &self.candidate) {
            (true, _) => (false, "it rules".to_owned()),
            (false, Some(candidate)) => (true, judge::all_against(std::slice::from_ref(candidate))),
            (false, None) => (true, "it does not rule".to_owned()),
        }
    }
}

impl Told for v1::Move {
    fn told(&self) -> (bool, String) {
        let well = matches!(
            self.outcome(),
            Outcome::Moved | Outcome::Resigned | Outcome::AlreadyThere | Outcome::Released
        );
        (!well, self.text.clone())
    }
}

impl Told for v1::HandOverResponse {
    fn told(&self) -> (bool, String) {
        self.r#move.as_ref().map_or_else(|| (true, "no answer".to_owned()), Told::told)
    }
}

impl Step {
    /// With what the other node answered.
    pub(super) fn of(self, answer: &Result<impl Told, Status>) -> Self {
        match answer {
            Ok(answer) => self.moved(answer),
            Err(status) => self.end(true, words(status.clone())),
        }
    }

    /// With what came of it.
    pub(super) fn moved(self, answer: &impl Told) -> Self {
        let (failed, text) = answer.told();
        self.end(failed, text)
    }
}

impl Cluster {
    /// Something between this node and the peer `node` begins.
    pub(super) fn step_with(&self, name: &'static str, node: &str) -> Step {
        let peer = self.peer(node);
        let clock_offset_nanos = peer.as_ref().and_then(|peer| peer.clock_offset_nanos());
        let address = peer.map(|peer| peer.target.address.clone());
        Step { clock_offset_nanos, address, ..Step::begin(name, node) }
    }

    /// It has ended. Untold where it belongs to no story.
    pub(crate) fn ended(&self, router: Option<&Arc<Identity>>, trail: Option<Trail>, step: Step) {
        let Some(trail) = trail else { return };
        let told = Event::now(router.cloned(), Fact::Step(Arc::new(step)));
        self.0.events.send_or_drop(told.on(trail));
    }

    /// The story of the last change that the peers told of a virtual router: one that begins in silence
    /// refers to it.
    pub fn last_known_story(&self, key: &v1::RouterKey) -> Option<Trail> {
        let told = self.peers().into_iter().filter_map(|peer| peer.last_known(key)?.last_transition);
        let latest = told.max_by_key(|told| told.at.as_ref().map(|at| (at.seconds, at.nanos)))?;
        Trail::of_ids(&latest.trace_id, &latest.span_id)
    }
}
