//! What a reload would change, and what others may ask of the main thread.

use hacluster_conf::diag::{Diagnostic, Severity};
use hacluster_conf::diff::{Change, Effect, new_errors};
use hacluster_conf::model::VirtualRouter;
use hacluster_conf::{Loaded, render};
use hacluster_proto::v1::{self, ReloadEffect, ReloadOutcome};
use tokio::sync::oneshot;

/// What the API asks of the main thread.
#[derive(Debug)]
pub enum Ask {
    /// Put the files in force, or only say what that would change.
    Reload {
        /// Only say.
        dry_run: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Reloaded>,
    },
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// For programs.
    pub outcome: ReloadOutcome,
    /// For people.
    pub text: String,
    /// What differs, with what it does.
    pub changes: Vec<(String, ReloadEffect)>,
    /// Findings of the files, as `--check --format json` prints them.
    pub diagnostics_json: String,
}

impl Reloaded {
    /// The former configuration stays in force although another one was wanted.
    pub fn is_refused(&self) -> bool {
        self.outcome == ReloadOutcome::Refused
    }
}

impl From<Reloaded> for v1::ReloadResponse {
    fn from(reloaded: Reloaded) -> Self {
        let changes = reloaded.changes.into_iter();
        Self {
            outcome: reloaded.outcome.into(),
            text: reloaded.text,
            changes: changes.map(|(text, effect)| v1::ReloadChange { text, effect: effect.into() }).collect(),
            diagnostics_json: reloaded.diagnostics_json,
        }
    }
}

/// Findings as JSON text.
pub(crate) fn diagnostics_json(loaded: &Loaded) -> String {
    format!("{:#}", render::json(&loaded.diagnostics, &loaded.sources))
}

/// What `change` does to a running router.
pub(crate) fn effect_of(change: &Change) -> ReloadEffect {
    match (change, change.effect()) {
        (Change::Add(_), _) => ReloadEffect::Added,
        (Change::Remove(_), _) => ReloadEffect::Removed,
        (Change::Modify { .. }, Effect::Restart) => ReloadEffect::Restart,
        (_, Effect::Restart) => ReloadEffect::NextStart,
        (_, Effect::Live) => ReloadEffect::InPlace,
    }
}

/// Why `fresh` must not replace what runs with the findings `known` and `running` routers.
pub(crate) fn refusal(known: &[Diagnostic], running: usize, fresh: &Loaded) -> Option<String> {
    let errors = new_errors(known, &fresh.diagnostics).len();
    if fresh.exit_status() == 2 {
        Some("cannot be used".to_owned())
    } else if errors > 0 {
        Some(format!("brings {errors} new error(s)"))
    } else if running > 0 && fresh.config.routers.is_empty() {
        Some(format!(
            "names no virtual router that can run, and {running} run now (is the file whole? to stop them, \
             stop the agent)"
        ))
    } else {
        None
    }
}
/// Diagnostics as log lines.
pub(crate) fn say<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, loaded: &Loaded) {
    let mut lines = render::Lines::of(&loaded.sources);
    for diagnostic in diagnostics {
        let line = lines.line(diagnostic);
        match diagnostic.severity {
            Severity::Hint => tracing::debug!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
            Severity::Error | Severity::Fatal => tracing::error!("{line}"),
        }
    }
}

/// Which running router `change` ends, if only for a moment.
pub(crate) fn ending(change: &Change) -> Option<&VirtualRouter> {
    match change {
        Change::Remove(router) => Some(router),
        Change::Modify { old, .. } if change.effect() == Effect::Restart => Some(old),
        Change::Modify { .. }
        | Change::Add(_)
        | Change::Agent(_)
        | Change::Global(_)
        | Change::Cluster(_)
        | Change::Balance(_)
        | Change::Service { .. } => None,
    }
}
