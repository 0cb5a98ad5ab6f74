//! Our words to the contract's. No value is invented here: what is not known stays empty.

use crate::chronicle::{Record, RouterView};
use crate::cluster::Duty;
use crate::event::Level;
use crate::event::explain;
use crate::fact::{GroupNow, Standing};
use crate::in_force::{InForce, OnDisk};
use crate::notify::LastHook;
use crate::story::Trail;
use crate::tally::Tally;
use crate::telemetry::{Health, Signal};
use crate::watch::View;
use hacluster_conf::diag::Severity;
use hacluster_conf::model;
use hacluster_core::machine::{self, StateKind, TakeoverCause};
use hacluster_core::priority::Priority;
use hacluster_core::receive::DiscardKind;
use hacluster_core::track::{Effect, Reading, sum};
use hacluster_proto::v1;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

pub(crate) fn router(view: &RouterView, duty: &Duty) -> v1::VirtualRouter {
    let standing = view.standing.as_ref();
    let detail = view.detail.as_deref().or(view.tracked.fault.as_deref());
    let master = standing.and_then(|standing| standing.master);
    v1::VirtualRouter {
        name: view.identity.name.clone(),
        vrid: view.identity.vrid.get().into(),
        interface: view.identity.interface.clone(),
        state: state(view.state()).into(),
        since: Some(view.since.into()),
        last_transition: standing.and_then(|standing| last_transition(standing, view, detail)),
        priority_base: view.setup.priority.get().into(),
        priority_effective: standing.map_or(view.setup.priority, |standing| standing.priority).get().into(),
        faults: standing
            .into_iter()
            .flat_map(|standing| standing.faults.iter())
            .map(|f| fault(f).into())
            .collect(),
        master_address: master.map(|heard| heard.sender.to_string()).unwrap_or_default(),
        master_priority: master.map_or(0, |heard| heard.priority.get().into()),
        source: standing
            .filter(|standing| !standing.source.is_unspecified())
            .map(|standing| standing.source.to_string())
            .unwrap_or_default(),
        advert_interval: std::time::Duration::from_micros(view.setup.interval.duration().as_micros())
            .try_into()
            .ok(),
        addresses: addresses(view),
        counters: Some(counters(&view.setup.tally, view.held.restorations)),
        hold: duty.hold.as_ref().map(Into::into),
        lead: standing.and_then(|standing| standing.orders.lead).map(|priority| lead(priority, duty)),
        priority_causes: standing.map(|standing| priority_causes(view, standing, duty)).unwrap_or_default(),
        agreement: view.setup.agreement.clone(),
        r#move: duty.moving.clone(),
        preempts: view.setup.preempts && standing.is_some_and(|standing| !standing.orders.hold_back),
        filter: view
            .setup
            .filtered
            .map(|reason| v1::PacketFilter { reason: reason.to_owned(), missing: view.held.served }),
        routes: routes(view),
        sync_group: view.group.as_ref().map(|group| group.name.to_string()).unwrap_or_default(),
        group: view.group.as_deref().map(sync_group),
        last_hook: view.notified.as_deref().map(hook_run),
    }
}

fn hook_run(of: &LastHook) -> v1::HookRun {
    v1::HookRun {
        hook: of.hook.to_owned(),
        state: of.state.clone(),
        at: Some(of.at.into()),
        success: of.success,
        text: of.text.clone(),
    }
}

fn sync_group(of: &GroupNow) -> v1::SyncGroup {
    let waits = of.waits.as_ref();
    v1::SyncGroup {
        state: state(of.state).into(),
        waits_for: waits.map(|waits| waits.router.clone()).unwrap_or_default(),
        waits_because: waits.map(|waits| waits.text.clone()).unwrap_or_default(),
    }
}

/// The machine says that it leads, the coordinator on whose behalf.
fn lead(priority: Priority, duty: &Duty) -> v1::Lead {
    let told = duty.lead.as_ref().map(v1::Lead::from).unwrap_or_default();
    v1::Lead { priority: priority.get().into(), ..told }
}

/// Their differences add up to that of the effective and the base priority.
fn priority_causes(view: &RouterView, standing: &Standing, duty: &Duty) -> Vec<v1::PriorityCause> {
    let of = |priority: Priority| i32::from(priority.get());
    let (base, orders) = (view.setup.priority, standing.orders);
    let weighed = sum(base, [Effect::Points(view.tracked.points)]).priority;
    let own = orders.priority(weighed);
    let drain = duty.drain.as_ref().map(|drain| format!(" by {} ({})", drain.by, drain.reason));
    let drained = orders.rest.then(|| v1::PriorityCause {
        difference: of(own) - of(weighed),
        name: "drained".to_owned(),
        text: format!(
            "this node is drained{}: it rules only where no other node does",
            drain.unwrap_or_default()
        ),
    });
    let from = duty.lead.as_ref();
    let from = from.map(|lead| format!(" by {}, asked by {} ({})", lead.from_node, lead.by, lead.reason));
    let lead = orders.lead.map(|lead| v1::PriorityCause {
        difference: of(lead) - of(own),
        name: "lead".to_owned(),
        text: format!(
            "handed over{}: advertises priority {lead} until another node rules",
            from.unwrap_or_default()
        ),
    });
    tracked(view, of(weighed) - of(base)).chain(drained).chain(lead).collect()
}

/// What trackers add and take. A priority stays within 1 and 254: what that leaves of `total` is said.
fn tracked(view: &RouterView, total: i32) -> impl Iterator<Item = v1::PriorityCause> {
    let causes = view.tracked.causes.iter();
    let rest = total - causes.clone().map(|cause| cause.difference).sum::<i32>();
    let limit = (rest != 0).then(|| v1::PriorityCause {
        difference: rest,
        name: "limit".to_owned(),
        text: "a priority stays within 1 and 254, and that of an address owner does not change".to_owned(),
    });
    let causes = causes.map(|cause| v1::PriorityCause {
        difference: cause.difference,
        name: cause.name.clone(),
        text: cause.text.to_string(),
    });
    causes.chain(limit)
}

/// What is watched, for a status.
pub(super) fn tracker(of: &View) -> v1::Tracker {
    let seen = of.seen();
    let reading = match seen.reading {
        Reading::Unknown => v1::Reading::Unspecified,
        Reading::Good => v1::Reading::Good,
        Reading::Bad => v1::Reading::Bad,
        Reading::Number(_) => v1::Reading::Number,
    };
    v1::Tracker {
        name: of.id.to_string(),
        reading: reading.into(),
        since: Some(seen.since.into()),
        text: seen.why.to_string(),
        looked: seen.at.map(Into::into),
        took: seen.took.and_then(|took| took.try_into().ok()),
        against: seen.against.0,
        needed: seen.against.1,
        kind: of.id.kind.to_string(),
        end: seen.ran.as_ref().map(|ran| ran.end.to_string()).unwrap_or_default(),
        output: seen.ran.as_ref().map(|ran| ran.output.to_string()).unwrap_or_default(),
        as_wanted: Some(of.is_wanted(seen.reading)),
    }
}

/// How collectors are told; nothing where none is.
pub(super) fn telemetry(settings: &model::Telemetry, health: &Health) -> Option<v1::Telemetry> {
    let told = |signal: &Signal| match signal {
        _ if settings.otlp.is_none() => false,
        Signal::Traces => settings.traces,
        Signal::Metrics => settings.metrics,
        Signal::Logs => settings.logs,
    };
    let signal = |signal: Signal| {
        let (tale, standing) = (health.of(signal), health.of(signal).standing());
        v1::TelemetrySignal {
            name: signal.name().to_owned(),
            since: standing.since.map(Into::into),
            error: standing.error,
            exported: tale.exported.load(Relaxed),
            dropped: tale.dropped.load(Relaxed),
            failures: tale.failures.load(Relaxed),
        }
    };
    settings.is_on().then(|| v1::Telemetry {
        otlp: settings.otlp.clone().unwrap_or_default(),
        prometheus: settings.prometheus.map(|at| at.to_string()).unwrap_or_default(),
        signals: Signal::ALL.into_iter().filter(told).map(signal).collect(),
        page_error: health.page().error,
        events_dropped: health.events_dropped.load(Relaxed),
    })
}

fn last_transition(standing: &Standing, view: &RouterView, detail: Option<&str>) -> Option<v1::Transition> {
    let told = |(last, priority)| transition(&last, priority, view.since, detail, view.trail);
    standing.last.map(told)
}

fn addresses(view: &RouterView) -> Vec<v1::Address> {
    let present = |number: usize| view.held.present.get(number).copied().unwrap_or(false);
    let written = view.setup.addresses.iter().enumerate();
    written
        .map(|(number, address)| v1::Address {
            address: address.text.clone(),
            interface: address.interface.clone(),
            present: present(number),
            advertised: address.advertised,
        })
        .collect()
}

fn routes(view: &RouterView) -> Vec<v1::Route> {
    let present = view.held.routes.iter().copied().chain(std::iter::repeat(false));
    let written = view.setup.routes.iter().zip(present);
    written.map(|(text, present)| v1::Route { text: text.clone(), present }).collect()
}

fn counters(tally: &Tally, restorations: u64) -> v1::Counters {
    let dropped = DiscardKind::NAMES.iter().zip(&tally.discarded);
    v1::Counters {
        adverts_sent: tally.sent.get(),
        adverts_accepted: tally.accepted.get(),
        adverts_discarded: dropped
            .filter(|(_, count)| count.get() > 0)
            .map(|(name, count)| ((*name).to_owned(), count.get()))
            .collect(),
        send_failures: tally.send_failures.get(),
        became_master: tally.became_master.get(),
        restorations,
    }
}

pub(super) fn event(record: &Record) -> v1::Event {
    v1::Event {
        sequence: record.sequence,
        at: Some(record.at.into()),
        router: record.router.as_ref().map(|identity| identity.name.clone()).unwrap_or_default(),
        warning: record.level == Level::Warning,
        text: record.text.clone(),
        transition: record.transition.map(|(of, priority)| {
            transition(&of, priority, record.at, record.detail.as_deref(), record.trail)
        }),
        trace_id: record.trail.map(Trail::trace_id).unwrap_or_default(),
    }
}

pub(crate) fn transition(
    of: &machine::Transition,
    priority: Priority,
    at: SystemTime,
    detail: Option<&str>,
    trail: Option<Trail>,
) -> v1::Transition {
    v1::Transition {
        from: state(of.from).into(),
        to: state(of.to).into(),
        reason: Some(v1::Reason { kind: reason(&of.reason).into(), text: explain(&of.reason, detail) }),
        priority: priority.get().into(),
        at: Some(at.into()),
        trace_id: trail.map(Trail::trace_id).unwrap_or_default(),
        span_id: trail.map(Trail::span_id).unwrap_or_default(),
        unserved: None,
    }
}

fn state(of: StateKind) -> v1::State {
    match of {
        StateKind::Initialize => v1::State::Initialize,
        StateKind::Backup => v1::State::Backup,
        StateKind::Master => v1::State::Master,
        StateKind::Fault => v1::State::Fault,
    }
}

fn fault(of: machine::Fault) -> v1::Fault {
    match of {
        machine::Fault::Interface => v1::Fault::Interface,
        machine::Fault::Link => v1::Fault::Link,
        machine::Fault::Source => v1::Fault::Source,
        machine::Fault::AddressInterface => v1::Fault::AddressInterface,
        machine::Fault::Claim => v1::Fault::Claim,
        machine::Fault::Tracked => v1::Fault::Tracked,
        machine::Fault::Group => v1::Fault::Group,
    }
}

pub(crate) fn reason(of: &machine::Reason) -> v1::ReasonKind {
    use machine::Reason;
    match of {
        Reason::Started | Reason::OwnerStarted => v1::ReasonKind::Started,
        Reason::Stopped => v1::ReasonKind::Stopped,
        Reason::Yielded(_) => v1::ReasonKind::Yielded,
        Reason::GaveAway(_) => v1::ReasonKind::GaveAway,
        Reason::GroupYielded => v1::ReasonKind::GroupYielded,
        Reason::ResignedOnRequest => v1::ReasonKind::ResignedOnRequest,
        Reason::TookOver(TakeoverCause::Silence | TakeoverCause::MasterSilent(_)) => v1::ReasonKind::Silence,
        Reason::TookOver(TakeoverCause::Resigned(_)) => v1::ReasonKind::Resigned,
        Reason::TookOver(TakeoverCause::LowerPriority(_)) => v1::ReasonKind::LowerPriority,
        Reason::TookOver(TakeoverCause::HandedOver(_)) => v1::ReasonKind::HandedOver,
        Reason::Fault(_) => v1::ReasonKind::Fault,
        Reason::Recovered(_) => v1::ReasonKind::Recovered,
    }
}

pub(super) fn configuration(in_force: &InForce, disk: Option<OnDisk>) -> v1::ConfigurationState {
    let found = &in_force.loaded.diagnostics;
    let count = |holds: fn(&hacluster_conf::diag::Diagnostic) -> bool| {
        u32::try_from(found.iter().filter(|found| holds(found)).count()).unwrap_or(u32::MAX)
    };
    let file_state = match disk {
        Some(OnDisk::Loaded) => v1::FileState::Loaded,
        Some(OnDisk::Changed) => v1::FileState::Changed,
        Some(OnDisk::Unreadable) => v1::FileState::Unreadable,
        None => v1::FileState::Unspecified,
    };
    v1::ConfigurationState {
        path: in_force.path.display().to_string(),
        loaded: Some(in_force.at.into()),
        hash: in_force.hash.clone(),
        file_state: file_state.into(),
        errors: count(|found| found.severity >= Severity::Error),
        warnings: count(|found| found.severity == Severity::Warning),
        not_in_force: count(|found| found.not_in_force),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronicle::tests::{chronicle, event as happened, identity, moment, setup, standing};
    use crate::fact::{Fact, Held};
    use crate::orders::Orders;
    use hacluster_core::machine::{Reason, Transition};
    use hacluster_core::receive::Heard;

    #[test]
    fn a_backup_shows_its_master_and_its_addresses() {
        let (mut chronicle, one) = (chronicle(), identity("VI_1", 51));
        let heard = Heard { sender: [192, 0, 2, 9].into(), priority: Priority::configured(150).unwrap() };
        let last = Transition { from: StateKind::Initialize, to: StateKind::Backup, reason: Reason::Started };
        let mut backup = standing(StateKind::Backup, 7, Some(heard));
        backup.last = Some((last, Priority::configured(100).unwrap()));
        for fact in [
            Fact::Configured(setup(&["192.0.2.80/24", "192.0.2.81/24"])),
            Fact::Standing(backup),
            Fact::Held(Held { present: vec![false, true], routes: vec![], restorations: 3, served: false }),
        ] {
            chronicle.fold(&happened(&one, 7, fact), moment(9));
        }
        let view = &chronicle.routers()[0];
        view.setup.tally.discarded[DiscardKind::AuthFailure as usize].add_one();
        let told = router(view, &Duty::default());
        assert_eq!((told.state(), told.vrid, told.master_priority), (v1::State::Backup, 51, 150));
        assert_eq!(told.master_address, "192.0.2.9");
        assert_eq!(told.since.unwrap().seconds, 1_007);
        let last = told.last_transition.unwrap();
        let reason = last.reason.unwrap();
        assert_eq!((reason.kind(), reason.text.as_str()), (v1::ReasonKind::Started, "started"));
        assert_eq!(told.addresses.iter().map(|address| address.present).collect::<Vec<_>>(), [false, true]);
        let counters = told.counters.unwrap();
        assert_eq!((counters.restorations, counters.adverts_discarded["auth_failure"]), (3, 1));
        assert_eq!(counters.adverts_discarded.len(), 1);
    }

    #[test]
    fn causes_explain_the_effective_priority() {
        let (mut chronicle, one) = (chronicle(), identity("VI_1", 51));
        chronicle.fold(&happened(&one, 7, Fact::Configured(setup(&["192.0.2.80/24"]))), moment(9));
        let leads = Orders { lead: Priority::configured(120), ..Orders::default() };
        let rests = Orders { rest: true, ..Orders::default() };
        for (orders, priority, cause) in [(leads, 120, Some("lead")), (rests, 1, Some("drained"))] {
            let mut now = standing(StateKind::Master, 7, None);
            (now.orders, now.priority) = (orders, Priority::configured(priority).unwrap());
            chronicle.fold(&happened(&one, 8, Fact::Standing(now)), moment(9));
            let told = router(&chronicle.routers()[0], &Duty::default());
            let sum: i32 = told.priority_causes.iter().map(|cause| cause.difference).sum();
            assert_eq!(i64::from(told.priority_base) + i64::from(sum), i64::from(told.priority_effective));
            assert_eq!(told.priority_causes.first().map(|first| first.name.as_str()), cause);
            assert_eq!(told.lead.map(|lead| lead.priority), orders.lead.map(|_| 120));
        }
    }

    #[test]
    fn every_cause_of_a_drop_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = DiscardKind::NAMES.iter().collect();
        assert_eq!(names.len(), DiscardKind::COUNT);
        assert_eq!(DiscardKind::NAMES[DiscardKind::Owner as usize], "owner");
        assert_eq!(DiscardKind::NAMES[DiscardKind::Checksum as usize], "checksum");
    }
}
