//! What telemetry calls things: few words, so that series stay few.

use crate::api::convert;
use hacluster_core::machine::{Reason, StateKind};
use hacluster_proto::v1::ReasonKind;

/// `master`.
pub(crate) fn state(of: StateKind) -> &'static str {
    match of {
        StateKind::Initialize => "initialize",
        StateKind::Backup => "backup",
        StateKind::Master => "master",
        StateKind::Fault => "fault",
    }
}

/// `success` or `failure`: of what has no more words for how it ended.
pub(crate) const fn outcome(success: bool) -> &'static str {
    if success { "success" } else { "failure" }
}

/// `silence`: as events and history have it.
pub(crate) fn reason_kind(of: &Reason) -> String {
    kind(convert::reason(of))
}

/// The same of the contract's word.
pub(crate) fn kind(of: ReasonKind) -> String {
    let name = of.as_str_name();
    name.strip_prefix("REASON_KIND_").unwrap_or(name).to_ascii_lowercase()
}
