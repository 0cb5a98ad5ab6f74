//! What telemetry calls things: few words, so that series stay few.

use crate::api::convert;
use hacluster_core::machine::{Reason, StateKind};

/// `master`.
pub(crate) fn state(of: StateKind) -> &'static str {
    match of {
        StateKind::Initialize => "initialize",
        StateKind::Backup => "backup",
        StateKind::Master => "master",
        StateKind::Fault => "fault",
    }
}

/// `silence`: as events and history have it.
pub(crate) fn reason_kind(of: &Reason) -> String {
    let name = convert::reason(of).as_str_name();
    name.strip_prefix("REASON_KIND_").unwrap_or(name).to_ascii_lowercase()
}
