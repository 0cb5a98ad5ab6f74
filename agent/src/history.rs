//! Changes of state that survive restarts, with how long nobody served the addresses.
//!
//! ```text
//!   teller -- take(event) --> entries in memory --> API
//!                 `---------> bounded queue --> thread "hacluster-hist" --> STATE_DIR/history.jsonl
//! ```
//!
//! One JSON object a line: `changed`, and `served` once the addresses that a change brought are announced.
//! Contract: taking never waits; what the disk does not keep up with is missing after a restart, counted
//! and said. Whatever stands in the file is read as far as it makes sense: a torn end or garbage costs the
//! lines it hit. File and memory are bounded by [`KEPT`].

mod file;

use crate::api::convert;
use crate::chronicle::Moment;
use crate::event::{Event, EventSender, What};
use crate::fact::Fact;
use crate::story::Trail;
use file::Keeper;
use hacluster_core::machine::{Reason, StateKind, TakeoverCause, Transition};
use hacluster_core::time::Instant;
use hacluster_proto::v1;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Changes that are remembered.
pub const KEPT: usize = 2_000;
/// Longest reason and name that are kept, in characters.
const TEXT_MAX_CHARS: usize = 500;
/// Takeovers whose announcement is still awaited.
const AWAITED_MAX: usize = 4_096;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Changed(Entry),
    Served(Served),
}

/// A change of state, in the contract's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    at_unix_micros: u64,
    router: String,
    vrid: u8,
    interface: String,
    from: String,
    to: String,
    reason_kind: String,
    reason: String,
    priority: u8,
    trace_id: String,
    span_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unserved_micros: Option<u64>,
}

/// The addresses of a change are announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Served {
    /// Of the change.
    span_id: String,
    unserved_micros: u64,
}

#[derive(Debug, Default)]
struct Past {
    entries: VecDeque<Entry>,
    /// Changes to Master, and since when nobody may have served.
    awaited: VecDeque<(u64, Instant)>,
}

/// The changes, and the thread that writes them down.
#[derive(Debug)]
pub struct History {
    past: Mutex<Past>,
    keeper: Keeper,
}

impl History {
    /// Reads what is kept in `state_dir` and goes on with it.
    ///
    /// # Errors
    /// When the kernel refuses the thread. A file that cannot be read or written is said as an event.
    pub fn open(state_dir: &Path, events: EventSender) -> anyhow::Result<Self> {
        let (keeper, lines) = Keeper::open(&state_dir.join("history.jsonl"), events)?;
        let mut past = Past::default();
        lines.into_iter().for_each(|line| past.fold(line));
        Ok(Self { past: Mutex::new(past), keeper })
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what happened, if it is a change of state or ends one. Never waits for the disk.
    pub fn take(&self, event: &Event, now: Moment) {
        let line = match &event.what {
            What::Transition { .. } => changed(event, now).map(Line::Changed),
            What::Fact(Fact::Claimed(claim)) if claim.whole => {
                let done = claim.announced.map_or(event.at, |(_, last)| last);
                event.trail.and_then(|trail| self.past().served(trail, done)).map(Line::Served)
            }
            _ => None,
        };
        let Some(line) = line else { return };
        let mut past = self.past();
        if let (What::Transition { transition, began: Some(began), .. }, Some(trail)) =
            (&event.what, event.trail)
            && is_gap(transition)
        {
            if past.awaited.len() == AWAITED_MAX {
                past.awaited.pop_front();
            }
            past.awaited.push_back((trail.span(), *began));
        }
        past.fold(line.clone());
        drop(past);
        self.keeper.write(line);
    }

    /// All that is remembered, oldest first.
    pub fn list(&self) -> Vec<v1::RouterTransition> {
        self.past().entries.iter().map(Entry::told).collect()
    }
}

impl Past {
    fn fold(&mut self, line: Line) {
        match line {
            Line::Changed(entry) => {
                if self.entries.len() == KEPT {
                    self.entries.pop_front();
                }
                self.entries.push_back(entry);
            }
            Line::Served(served) => {
                let found = self.entries.iter_mut().rev().find(|entry| entry.span_id == served.span_id);
                if let Some(entry) = found {
                    entry.unserved_micros = Some(served.unserved_micros);
                }
            }
        }
    }

    /// The addresses of the change `trail` are announced at `done`.
    fn served(&mut self, trail: Trail, done: Instant) -> Option<Served> {
        let at = self.awaited.iter().position(|(span, _)| *span == trail.span())?;
        let (_, since) = self.awaited.remove(at)?;
        Some(Served { span_id: trail.span_id(), unserved_micros: done.since(since).as_micros() })
    }
}

/// Whether nobody may have served the addresses before: the former master left or fell silent.
fn is_gap(of: &Transition) -> bool {
    let cause =
        matches!(of.reason, Reason::TookOver(TakeoverCause::MasterSilent(_) | TakeoverCause::Resigned(_)));
    of.to == StateKind::Master && cause
}

/// Whether the former master served the addresses until this one did.
fn is_seamless(of: &Transition) -> bool {
    let cause =
        matches!(of.reason, Reason::TookOver(TakeoverCause::HandedOver(_) | TakeoverCause::LowerPriority(_)));
    of.to == StateKind::Master && cause
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX_CHARS).collect()
}

fn changed(event: &Event, now: Moment) -> Option<Entry> {
    let What::Transition { transition, priority, detail, .. } = &event.what else { return None };
    let router = event.router.as_ref()?;
    let at = now.wall_of(event.at);
    let told = convert::transition(transition, *priority, at, detail.as_deref(), event.trail);
    let reason = told.reason.clone().unwrap_or_default();
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(Entry {
        at_unix_micros: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
        router: short(&router.name),
        vrid: router.vrid.get(),
        interface: short(&router.interface),
        from: told.from().as_str_name().to_owned(),
        to: told.to().as_str_name().to_owned(),
        reason_kind: reason.kind().as_str_name().to_owned(),
        reason: short(&reason.text),
        priority: priority.get(),
        trace_id: told.trace_id,
        span_id: told.span_id,
        unserved_micros: is_seamless(transition).then_some(0),
    })
}

impl Entry {
    fn told(&self) -> v1::RouterTransition {
        let state = |name: &str| v1::State::from_str_name(name).unwrap_or_default().into();
        let kind = v1::ReasonKind::from_str_name(&self.reason_kind).unwrap_or_default();
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(self.at_unix_micros));
        v1::RouterTransition {
            router: self.router.clone(),
            vrid: self.vrid.into(),
            interface: self.interface.clone(),
            transition: Some(v1::Transition {
                from: state(&self.from),
                to: state(&self.to),
                reason: Some(v1::Reason { kind: kind.into(), text: self.reason.clone() }),
                priority: self.priority.into(),
                at: at.map(Into::into),
                trace_id: self.trace_id.clone(),
                span_id: self.span_id.clone(),
                unserved: self.unserved_micros.and_then(|of| Duration::from_micros(of).try_into().ok()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
