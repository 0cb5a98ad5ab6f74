//! What an event says, as attributes: one list for spans, log records and the fields of log lines, so that
//! they cannot disagree. Pure.

use super::names;
use super::words::{reason_kind, state};
use crate::event::{Event, Identity, What, explain};
use crate::lvs::{Called, Told};
use crate::watch::Verdict;
use opentelemetry::{Key, KeyValue, Value};

/// Who a virtual router is.
pub(crate) fn of_router(router: &Identity) -> [KeyValue; 3] {
    [
        KeyValue::new(names::ROUTER, router.name.clone()),
        KeyValue::new(names::VRID, i64::from(router.vrid.get())),
        KeyValue::new(names::INTERFACE, router.interface.clone()),
    ]
}

/// What a tracker found.
pub(crate) fn of_verdict(verdict: &Verdict) -> [KeyValue; 3] {
    [
        KeyValue::new(names::TRACKER, verdict.name.clone()),
        KeyValue::new(names::TRACKER_GOOD, verdict.is_good()),
        KeyValue::new(names::TRACKER_TEXT, verdict.why.to_string()),
    ]
}

/// Which virtual server, or real server of one.
pub(crate) fn of_called(called: &Called) -> impl Iterator<Item = KeyValue> + use<> {
    let server = called.server.clone().map(|server| KeyValue::new(names::SERVER, server));
    [KeyValue::new(names::SERVICE, called.service.clone())].into_iter().chain(server)
}

/// What became of a virtual or real server, and why.
pub(crate) fn of_told(told: &Told) -> Vec<KeyValue> {
    let mut all: Vec<_> = of_called(&told.called).collect();
    let state = if told.up { "up" } else { "down" };
    // A check that turned says nothing of the server.
    all.extend(told.check.is_none().then(|| KeyValue::new(names::LVS_STATE, state)));
    all.push(KeyValue::new(names::LVS_REASON_TEXT, told.why.to_string()));
    all
}

/// Whom `event` concerns, and what its text says.
pub(crate) fn attributes(event: &Event) -> Vec<KeyValue> {
    let mut all: Vec<KeyValue> = event.router.iter().flat_map(|router| of_router(router)).collect();
    match &event.what {
        What::Transition { transition, priority, detail, .. } => all.extend([
            KeyValue::new(names::PREVIOUS_STATE, state(transition.from)),
            KeyValue::new(names::STATE, state(transition.to)),
            KeyValue::new(names::REASON_KIND, reason_kind(&transition.reason)),
            KeyValue::new(names::REASON_TEXT, explain(&transition.reason, detail.as_deref())),
            KeyValue::new(names::PRIORITY, i64::from(priority.get())),
        ]),
        What::Group { name, from, to, reason, .. } => all.extend([
            KeyValue::new(names::GROUP, name.to_string()),
            KeyValue::new(names::PREVIOUS_STATE, state(*from)),
            KeyValue::new(names::STATE, state(*to)),
            KeyValue::new(names::REASON_TEXT, reason.to_string()),
        ]),
        What::Tracker(verdict) => all.extend(of_verdict(verdict)),
        What::Balance(notice) => all.extend(notice.told.iter().flat_map(|told| of_told(told))),
        _ => {}
    }
    all
}

/// The value of the first of `keys` that is among `all`.
pub(crate) fn find<'a>(all: &'a [KeyValue], keys: &[&'static str]) -> Option<&'a Value> {
    let of = |key: &&'static str| all.iter().find(|attribute| attribute.key == Key::from_static_str(key));
    keys.iter().find_map(of).map(|attribute| &attribute.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::track::Reading;
    use std::sync::Arc;

    #[test]
    fn a_verdict_says_which_tracker_and_what_it_saw() {
        let verdict = Verdict::now("script chk", Reading::Bad, "exit 1".into());
        let all = attributes(&Event::now(None, What::Tracker(Arc::new(verdict))));
        let text = |keys: &[&'static str]| find(&all, keys).map(ToString::to_string);
        assert_eq!(text(&[names::REASON_TEXT, names::TRACKER_TEXT]).as_deref(), Some("exit 1"));
        assert_eq!(text(&[names::TRACKER]).as_deref(), Some("script chk"));
        assert_eq!(text(&[names::ROUTER]), None);
    }
}
