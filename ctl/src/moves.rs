//! What came of a verb that changes something, in the names that JSON and YAML promise.

use crate::times::timestamp;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

/// A virtual router that goes from one node to another, or would.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Move {
    pub(crate) router: String,
    /// `moved`, `would_move`, ...: `MoveOutcome` of the contract.
    pub(crate) outcome: String,
    pub(crate) text: String,
    pub(crate) from_node: Option<String>,
    pub(crate) to_node: Option<String>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) steps: Vec<Step>,
    pub(crate) hold: Option<Hold>,
    /// So long both nodes held the addresses; negative: so long none did. Null when not measured.
    pub(crate) overlap_ms: Option<f64>,
    #[serde(skip)]
    pub(crate) kind: v1::MoveOutcome,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Candidate {
    pub(crate) node: String,
    pub(crate) priority: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) fit: bool,
    pub(crate) objections: Vec<Objection>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Objection {
    pub(crate) kind: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) after_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hold {
    pub(crate) kind: String,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) to_node: Option<String>,
}

/// `MOVE_OUTCOME_MOVED` of enumeration `MoveOutcome` as `moved`.
pub(crate) fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn known(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn millis(span: prost_types::Duration) -> f64 {
    let nanos = span.seconds as f64 * 1e9 + f64::from(span.nanos);
    (nanos / 1e3).round() / 1e3
}

impl Move {
    /// Nothing was asked of any agent.
    pub(crate) fn declined(router: &str, text: String) -> Self {
        let outcome = v1::MoveOutcome::Refused.into();
        v1::Move { router: router.to_owned(), outcome, text, ..Default::default() }.into()
    }

    /// It ended as it was meant to, or a dry run says that it would.
    pub(crate) fn is_well(&self) -> bool {
        use v1::MoveOutcome as Outcome;
        match self.kind {
            Outcome::WouldMove | Outcome::WouldResign | Outcome::Moved => true,
            Outcome::Resigned | Outcome::AlreadyThere | Outcome::Released => true,
            Outcome::Unspecified | Outcome::Refused | Outcome::Busy | Outcome::Failed => false,
        }
    }

    /// Of a dry run: there is something to do.
    pub(crate) fn is_due(&self) -> bool {
        use v1::MoveOutcome as Outcome;
        matches!(self.kind, Outcome::WouldMove | Outcome::WouldResign | Outcome::Released)
    }

    pub(crate) fn former_master(&self) -> &str {
        self.from_node.as_deref().unwrap_or("the master")
    }

    pub(crate) fn new_master(&self) -> &str {
        self.to_node.as_deref().unwrap_or("another node")
    }
}

impl From<v1::Move> for Move {
    fn from(of: v1::Move) -> Self {
        let kind = of.outcome();
        let overlap_ms = if kind == v1::MoveOutcome::Moved { overlap_ms(&of.steps) } else { None };
        Self {
            outcome: short(kind.as_str_name(), "MOVE_OUTCOME_"),
            router: of.router,
            text: of.text,
            from_node: known(of.from_node),
            to_node: known(of.to_node),
            candidates: of.candidates.into_iter().map(Candidate::from).collect(),
            steps: of.steps.into_iter().map(Step::from).collect(),
            hold: of.hold.map(Hold::from),
            overlap_ms,
            kind,
        }
    }
}

/// From the new master's announcement to the former one's release.
fn overlap_ms(steps: &[v1::Step]) -> Option<f64> {
    let last = |kind| {
        let step = steps.iter().rev().find(|step| step.kind() == kind)?;
        step.after.map(millis)
    };
    let overlap = last(v1::StepKind::Released)? - last(v1::StepKind::Announced)?;
    Some((overlap * 1e3).round() / 1e3)
}

impl From<v1::Candidate> for Candidate {
    fn from(of: v1::Candidate) -> Self {
        let objection = |of: v1::Objection| Objection {
            kind: short(of.kind().as_str_name(), "OBJECTION_KIND_"),
            text: of.text,
        };
        Self {
            node: of.node,
            priority: Some(of.priority).filter(|priority| *priority > 0),
            address: known(of.address),
            fit: of.fit,
            objections: of.objections.into_iter().map(objection).collect(),
        }
    }
}

impl From<v1::Step> for Step {
    fn from(of: v1::Step) -> Self {
        Self {
            kind: short(of.kind().as_str_name(), "STEP_KIND_"),
            after_ms: of.after.map(millis).unwrap_or_default(),
            text: of.text,
        }
    }
}

impl From<v1::Hold> for Hold {
    fn from(of: v1::Hold) -> Self {
        Self {
            kind: short(of.kind().as_str_name(), "HOLD_KIND_"),
            since: timestamp(of.since.as_ref()),
            until: timestamp(of.until.as_ref()),
            by: of.by,
            reason: of.reason,
            to_node: known(of.to_node),
        }
    }
}

/// What one node made of a drain or its end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Drained {
    pub(crate) node: String,
    pub(crate) dry_run: bool,
    /// By which those who collect traces find it; null for a dry run.
    pub(crate) trace_id: Option<String>,
    pub(crate) text: String,
    pub(crate) moves: Vec<Move>,
    pub(crate) hold: Option<Hold>,
}

/// What one node made of something asked of several.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row<T: Serialize> {
    pub(crate) node: String,
    pub(crate) address: String,
    /// Null when the node gave no answer.
    pub(crate) answer: Option<T>,
    pub(crate) error: Option<String>,
    #[serde(skip)]
    pub(crate) unreachable: bool,
}

/// Something asked of several nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rows<T: Serialize> {
    pub(crate) dry_run: bool,
    pub(crate) nodes: Vec<Row<T>>,
}

/// A pause that began or ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Paused {
    pub(crate) text: String,
    pub(crate) hold: Option<Hold>,
}

/// What a reload did on one node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reloaded {
    /// `loaded`, `unchanged`, `would_load`, `refused`.
    pub(crate) outcome: String,
    pub(crate) text: String,
    pub(crate) changes: Vec<Change>,
    /// As `hacluster-agent --check --format json` prints it.
    pub(crate) findings: serde_json::Value,
    #[serde(skip)]
    pub(crate) kind: v1::ReloadOutcome,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) text: String,
    /// `in_place`, `restart`, `added`, `removed`, `next_start`.
    pub(crate) effect: String,
    #[serde(skip)]
    pub(crate) kind: v1::ReloadEffect,
}

impl From<v1::ReloadResponse> for Reloaded {
    fn from(of: v1::ReloadResponse) -> Self {
        let change = |of: v1::ReloadChange| Change {
            effect: short(of.effect().as_str_name(), "RELOAD_EFFECT_"),
            kind: of.effect(),
            text: of.text,
        };
        Self {
            outcome: short(of.outcome().as_str_name(), "RELOAD_OUTCOME_"),
            kind: of.outcome(),
            text: of.text,
            changes: of.changes.into_iter().map(change).collect(),
            findings: serde_json::from_str(&of.diagnostics_json).unwrap_or_default(),
        }
    }
}

impl Reloaded {
    /// The files are in force, or a dry run says that they would be.
    pub(crate) fn is_well(&self) -> bool {
        match self.kind {
            v1::ReloadOutcome::Loaded | v1::ReloadOutcome::Unchanged | v1::ReloadOutcome::WouldLoad => true,
            v1::ReloadOutcome::Unspecified | v1::ReloadOutcome::Refused => false,
        }
    }

    /// A virtual router stops, for good or to start again.
    pub(crate) fn interrupts(&self) -> bool {
        let stops = |kind| matches!(kind, v1::ReloadEffect::Restart | v1::ReloadEffect::Removed);
        self.kind == v1::ReloadOutcome::WouldLoad && self.changes.iter().any(|change| stops(change.kind))
    }
}
