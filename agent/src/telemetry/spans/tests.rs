use super::*;
use crate::chronicle::tests::identity;
use crate::lvs::{self, Called, Cause, Notice, Told};
use crate::story::{Balanced, Batch, Delivery, Mailed, Task};
use hacluster_core::machine::Fault;
use hacluster_core::priority::Priority;
use hacluster_core::track::Reading;
use hacluster_net::clock;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanExporter};
use std::net::Ipv4Addr;

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// Events of one node at chosen milliseconds; what comes out goes through an exporter, as in the agent.
struct Desk {
    builder: Builder,
    exporter: InMemorySpanExporter,
    zero: Instant,
}

impl Desk {
    fn new(known: Option<Trail>) -> Self {
        let scope = InstrumentationScope::builder("test").build();
        let builder = Builder::new(scope, Box::new(move |_| known));
        Self { builder, exporter: InMemorySpanExporter::default(), zero: clock::now() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.zero + Duration::from_millis(ms)
    }

    fn export(&self, spans: Vec<SpanData>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.exporter.export(spans)).unwrap();
    }

    fn tell(&mut self, ms: u64, trail: Option<Trail>, what: impl Into<What>) {
        let event = Event { at: self.at(ms), router: Some(identity("VI_1", 51)), what: what.into(), trail };
        let spans = self.builder.take(&event);
        spans.iter().for_each(is_of_the_list);
        self.export(spans);
    }

    fn change(
        &mut self,
        ms: u64,
        trail: Trail,
        (from, to): (StateKind, StateKind),
        reason: Reason,
        began: Option<u64>,
    ) {
        let transition = Transition { from, to, reason };
        let detail =
            matches!(reason, Reason::Fault(Fault::Tracked)).then(|| "script chk failed: exit 1".into());
        let began = began.map(|ms| self.at(ms));
        self.tell(
            ms,
            Some(trail),
            What::Transition { transition, priority: Priority::DEFAULT, detail, began, waited: None },
        );
    }

    fn take_over(&mut self, trail: Trail, cause: TakeoverCause) {
        use StateKind::{Backup, Master};
        self.change(10, trail, (Backup, Master), Reason::TookOver(cause), Some(2));
        self.tell(11, Some(trail), Fact::Said(Said { priority: Priority::DEFAULT, begun: self.at(10) }));
        let mut claim = Claim::new(self.at(11), 20);
        claim.add(Batch { begun: self.at(11), ended: self.at(12), added: 8, refused: 0 });
        claim.add(Batch { begun: self.at(12), ended: self.at(14), added: 11, refused: 1 });
        claim.announce(self.at(13));
        claim.announce(self.at(15));
        claim.whole = true;
        self.tell(16, Some(trail), Fact::Claimed(Arc::new(claim)));
    }

    fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    fn span(&self, name: &str) -> SpanData {
        let spans = self.spans();
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(
            found.len(),
            1,
            "{name} among {:?}",
            spans.iter().map(|span| &span.name).collect::<Vec<_>>()
        );
        found[0].clone()
    }
}

/// Every attribute has its name from where metrics and log records have theirs.
fn is_of_the_list(span: &SpanData) {
    let linked = span.links.links.iter().flat_map(|link| &link.attributes);
    for attribute in span.attributes.iter().chain(linked) {
        assert!(names::ALL.contains(&attribute.key.as_str()), "{}: {}", span.name, attribute.key);
    }
}

fn says(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

fn millis(span: &SpanData) -> u128 {
    (span.end_time.duration_since(span.start_time).unwrap().as_micros() + 500) / 1_000
}

#[test]
fn a_takeover_is_a_tree_with_the_times_of_its_events() {
    let (mut desk, trail) = (Desk::new(None), Trail::begin().child());
    desk.take_over(trail, TakeoverCause::HandedOver(OTHER));
    let root = desk.span("vrrp.takeover");
    assert_eq!(root.parent_span_id, SpanId::from(trail.parent().unwrap()));
    assert_eq!(root.span_context.trace_id(), TraceId::from(trail.trace()));
    assert_eq!(millis(&root), 13, "from the command to the last announcement");
    assert_eq!(says(&root, "vrrp.reason.kind"), "handed_over");
    assert_eq!(
        (says(&root, "vrrp.previous_state"), says(&root, "vrrp.state")),
        ("backup".into(), "master".into())
    );
    for name in ["vrrp.decide", "vrrp.advert", "net.claim", "net.announce"] {
        let child = desk.span(name);
        assert_eq!(child.parent_span_id, root.span_context.span_id(), "{name}");
        assert_eq!(child.span_context.trace_id(), root.span_context.trace_id(), "{name}");
        assert!(child.start_time >= root.start_time && child.end_time <= root.end_time, "{name}");
    }
    let claim = desk.span("net.claim");
    assert_eq!(
        (says(&claim, "hacluster.vip.added"), says(&claim, "hacluster.vip.refused")),
        ("19".into(), "1".into())
    );
    let spans = desk.spans();
    let batches: Vec<_> = spans.iter().filter(|span| span.name == "net.batch").collect();
    assert!(batches.len() == 2 && batches[0].end_time <= batches[1].start_time);
    assert!(batches.iter().all(|batch| batch.parent_span_id == claim.span_context.span_id()));
    assert_eq!(says(&desk.span("net.announce"), "hacluster.announce.first_after"), "0.011");
    assert!(!desk.builder.is_waiting(), "it has settled");
}

#[test]
fn silence_begins_a_story_of_its_own_that_refers_to_the_last_one() {
    let last = Trail::begin();
    let (mut desk, trail) = (Desk::new(Some(last)), Trail::begin());
    desk.take_over(trail, TakeoverCause::MasterSilent(OTHER));
    let root = desk.span("vrrp.takeover");
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    assert_eq!(root.links.links[0].span_context.trace_id(), TraceId::from(last.trace()));
    let silence = desk.span("vrrp.silence");
    assert_eq!((millis(&silence), silence.start_time), (8, root.start_time));
}

#[test]
fn what_is_asked_for_refers_to_nothing() {
    let mut desk = Desk::new(Some(Trail::begin()));
    desk.take_over(Trail::begin().child(), TakeoverCause::HandedOver(OTHER));
    assert!(desk.span("vrrp.takeover").links.links.is_empty());
    assert!(desk.spans().iter().all(|span| span.name != "vrrp.silence"));
}

/// One that took 2 ms.
fn verdict(desk: &Desk, ms: u64) -> Arc<Verdict> {
    let (at, took) = (desk.at(ms), Duration::from_millis(2));
    Arc::new(Verdict { at, took, ..Verdict::now("script chk", Reading::Bad, "exit 1".into()) })
}

#[test]
fn a_failed_check_is_the_root_of_the_fault_and_a_release_its_end() {
    let mut desk = Desk::new(None);
    let verdict = verdict(&desk, 3);
    let trail = verdict.trail.child();
    let (from, to) = (StateKind::Master, StateKind::Fault);
    desk.change(5, trail, (from, to), Reason::Fault(Fault::Tracked), Some(3));
    // Told by another thread: it may come later.
    desk.tell(3, Some(verdict.trail), What::Tracker(verdict.clone()));
    desk.tell(6, Some(trail), Fact::Said(Said { priority: Priority::RESIGN, begun: desk.at(5) }));
    desk.tell(8, Some(trail), Fact::Released(Release { begun: desk.at(6), removed: 20 }));
    assert!(desk.builder.is_waiting(), "more may come");
    let early = desk.builder.settle(desk.at(900));
    assert!(early.is_empty());
    let settled = desk.builder.settle(desk.at(1_100));
    desk.export(settled);
    let root = desk.span("vrrp.failover");
    let verdict = desk.span("track.verdict");
    assert_eq!((verdict.end_time, millis(&verdict)), (root.start_time, 2), "the fault began with it");
    assert_eq!((says(&verdict, "hacluster.tracker.text"), millis(&root)), ("exit 1".into(), 5));
    assert_eq!(verdict.parent_span_id, SpanId::INVALID);
    assert_eq!(root.parent_span_id, verdict.span_context.span_id());
    assert_eq!(root.span_context.trace_id(), verdict.span_context.trace_id());
    assert!(matches!(&root.status, Status::Error { description } if description.contains("script chk")));
    assert_eq!(says(&desk.span("net.release"), "hacluster.vip.removed"), "20");
    assert_eq!(says(&desk.span("vrrp.advert"), "vrrp.priority"), "0");
}

/// On a busy machine the other node had released its addresses before this thread went on to look at the clock.
#[test]
fn an_advert_begins_when_it_is_handed_to_the_kernel() {
    let mut desk = Desk::new(None);
    let trail = Trail::begin();
    let silent = TakeoverCause::MasterSilent(OTHER);
    desk.change(10, trail, (StateKind::Backup, StateKind::Master), Reason::TookOver(silent), Some(2));
    desk.tell(14, Some(trail), Fact::Said(Said { priority: Priority::DEFAULT, begun: desk.at(11) }));
    let (decided, advert) = (desk.span("vrrp.decide"), desk.span("vrrp.advert"));
    assert_eq!(millis(&advert), 3);
    assert_eq!(advert.start_time.duration_since(decided.end_time).unwrap().as_millis(), 1);
}

#[test]
fn a_caller_that_does_not_sample_is_told_so_by_every_part() {
    let caller: Trail = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".parse().unwrap();
    let mut desk = Desk::new(None);
    desk.take_over(caller.child(), TakeoverCause::HandedOver(OTHER));
    assert!(desk.spans().iter().all(|span| !span.span_context.is_sampled()));
}

#[test]
fn a_link_that_is_tracked_is_a_root_as_well() {
    let mut desk = Desk::new(None);
    let verdict = verdict(&desk, 3);
    desk.tell(3, Some(verdict.trail), Fact::Verdict(verdict.clone()));
    assert_eq!(says(&desk.span("track.verdict"), "hacluster.tracker.name"), "script chk");
}

#[test]
fn the_last_announcement_is_told_once_it_was() {
    let (mut desk, trail) = (Desk::new(None), Trail::begin());
    let cause = Reason::TookOver(TakeoverCause::Silence);
    desk.change(10, trail, (StateKind::Backup, StateKind::Master), cause, Some(2));
    let mut claim = Claim::new(desk.at(11), 2);
    claim.announce(desk.at(12));
    desk.tell(12, Some(trail), Fact::Claimed(Arc::new(claim.clone())));
    assert!(desk.spans().iter().all(|span| span.name != "net.announce"));
    claim.announce(desk.at(900));
    claim.whole = true;
    desk.tell(900, Some(trail), Fact::Claimed(Arc::new(claim)));
    let announced = desk.span("net.announce");
    assert_eq!(says(&announced, "hacluster.announce.last_after"), "0.89");
    assert_eq!(says(&announced, "hacluster.announce.first_after"), "0.002");
}

#[test]
fn hooks_hang_below_the_change_they_tell_and_may_outlast_it() {
    let (mut desk, trail) = (Desk::new(None), Trail::begin());
    desk.take_over(trail, TakeoverCause::Silence);
    let hook = |state: &str, success| {
        Fact::Notified(Arc::new(LastHook {
            hook: "notify_master",
            state: state.into(),
            at: std::time::SystemTime::now() + std::time::Duration::from_secs(3),
            took: std::time::Duration::from_millis(31),
            success,
            text: "exit 1".into(),
        }))
    };
    desk.tell(20, None, hook("BACKUP", true));
    assert!(desk.spans().iter().all(|span| span.name != "notify.script"), "of a former state");
    desk.tell(20, None, hook("MASTER", false));
    let (root, hook) = (desk.span("vrrp.takeover"), desk.span("notify.script"));
    assert_eq!((hook.parent_span_id, millis(&hook)), (root.span_context.span_id(), 31));
    assert!(hook.end_time > root.end_time && hook.status == Status::error("exit 1"));
    assert_eq!(
        [says(&hook, "hacluster.notify.state"), says(&hook, "hacluster.outcome")],
        ["MASTER", "failure"]
    );
}

#[test]
fn a_call_is_a_client_here_and_a_server_there_and_tells_the_clocks() {
    let (mut desk, call) = (Desk::new(None), Trail::begin());
    let served = call.child();
    let step = |served| Step {
        name: "peer.take_over",
        served,
        begun: clock::now(),
        with: "node2".into(),
        address: (!served).then(|| "[2001:db8::2]:7651".into()),
        clock_offset_nanos: Some(-1_500_000),
        failed: served,
        text: "it rules".into(),
    };
    desk.tell(5, Some(call), Fact::Step(Arc::new(step(false))));
    desk.tell(5, Some(served), Fact::Step(Arc::new(step(true))));
    let spans = desk.spans();
    assert_eq!((&spans[0].span_kind, &spans[1].span_kind), (&SpanKind::Client, &SpanKind::Server));
    assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
    assert!(spans[1].parent_span_is_remote && spans[1].status == Status::error("it rules"));
    assert_eq!(says(&spans[0], "hacluster.peer.clock.offset"), "-0.0015");
    for (span, outcome) in spans.iter().zip(["success", "failure"]) {
        assert_eq!(
            [says(span, "hacluster.outcome"), says(span, "hacluster.step.text")],
            [outcome, "it rules"]
        );
    }
    for (key, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "hacluster.v1.Peer"),
        ("rpc.method", "TakeOver"),
        ("hacluster.peer.name", "node2"),
    ] {
        assert_eq!([says(&spans[0], key), says(&spans[1], key)], [value, value], "{key}");
    }
    assert_eq!(
        (says(&spans[0], "server.address"), says(&spans[0], "server.port")),
        ("2001:db8::2".into(), "7651".into())
    );
}

#[test]
fn memory_is_bounded_and_any_order_is_borne() {
    let mut desk = Desk::new(None);
    for number in 0..1_000 {
        let verdict = verdict(&desk, number);
        desk.tell(number, Some(verdict.trail), What::Tracker(verdict));
        desk.tell(number, Some(Trail::begin()), Fact::Released(Release { begun: desk.at(0), removed: 1 }));
        let (from, to) = (StateKind::Backup, StateKind::Master);
        let cause = Reason::TookOver(TakeoverCause::Silence);
        desk.change(number, Trail::begin(), (from, to), cause, Some(number + 7));
    }
    assert_eq!(desk.builder.changes.len(), 1);
    let left = desk.builder.finish();
    assert_eq!((left.len(), desk.builder.finish().len()), (1, 0));
    assert!(desk.spans().iter().all(|span| span.end_time >= span.start_time));
}

fn told(server: Option<&str>, up: bool, began: Instant, ended: Instant) -> What {
    let called = Called { service: "10.0.0.1 80".into(), server: server.map(str::to_owned) };
    let subject = lvs::Subject { service: "[10.0.0.1]:tcp:80".into(), server: server.map(str::to_owned) };
    let cause = server.map(|_| Cause {
        check: "TCP check of 10.0.0.2:80".into(),
        text: "connection refused".into(),
        began,
        ended,
    });
    let why: Arc<str> =
        if server.is_some() { "TCP check of 10.0.0.2:80: connection refused" } else { "0 of 1" }.into();
    let told = Told { subject, called, up, why, cause, check: None, hook: None, mail: true };
    What::Balance(Arc::new(Notice { warning: !up, text: "told".into(), told: Some(Arc::new(told)) }))
}

#[test]
fn a_real_server_that_leaves_is_a_story_from_the_try_to_the_kernel_hooks_and_mail() {
    let (mut desk, root) = (Desk::new(None), Trail::begin());
    let (server, quorum) = (root.child(), root.child());
    desk.tell(30, Some(server), told(Some("10.0.0.2:80"), false, desk.at(10), desk.at(28)));
    desk.tell(30, Some(quorum), told(None, false, desk.at(10), desk.at(28)));
    let task = Task { trail: root, name: "lvs.change", of: "10.0.0.1 80".into(), began: desk.at(10) };
    let (begun, ended) = (desk.at(31), desk.at(33));
    let done = Balanced { task, begun, ended, sent: 2, refused: 1, absent: String::new() };
    desk.tell(33, Some(root), Fact::Balanced(Arc::new(done)));
    let mailed = Mailed {
        delivery: Delivery::Refused,
        count: 1,
        subject: "[R1] Realserver - DOWN".into(),
        recipients: 2,
        begun: desk.at(31),
        text: "550 no".into(),
    };
    desk.tell(60, Some(server), Fact::Mailed(Arc::new(mailed)));
    let hook = LastHook {
        hook: "notify_down",
        state: "DOWN".into(),
        at: std::time::SystemTime::now(),
        took: std::time::Duration::from_millis(5),
        success: true,
        text: "exit 0".into(),
    };
    desk.tell(61, Some(server), Fact::Notified(Arc::new(hook)));
    let whole = desk.span("lvs.change");
    assert_eq!((whole.parent_span_id, millis(&whole)), (SpanId::INVALID, 23), "from the try to the kernel");
    for (name, parent) in [
        ("lvs.server", "lvs.change"),
        ("lvs.quorum", "lvs.change"),
        ("ipvs.table", "lvs.change"),
        ("lvs.check", "lvs.server"),
        ("notify.mail", "lvs.server"),
        ("notify.script", "lvs.server"),
    ] {
        let (child, parent) = (desk.span(name), desk.span(parent));
        assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{name}");
        assert_eq!(child.span_context.trace_id(), whole.span_context.trace_id(), "{name}");
    }
    let (gone, check) = (desk.span("lvs.server"), desk.span("lvs.check"));
    assert_eq!((says(&gone, "lvs.server"), says(&gone, "lvs.state")), ("10.0.0.2:80".into(), "down".into()));
    assert_eq!(says(&gone, "lvs.reason.text"), "TCP check of 10.0.0.2:80: connection refused");
    assert_eq!((millis(&check), says(&check, "lvs.check.text")), (18, "connection refused".into()));
    assert!(matches!(&desk.span("ipvs.table").status, Status::Error { .. }));
    let mail = desk.span("notify.mail");
    assert_eq!((says(&mail, "hacluster.outcome"), mail.status), ("refused".into(), Status::error("550 no")));
    assert!(!desk.builder.is_waiting(), "nothing is kept");
}

#[test]
fn what_the_balancer_does_because_of_a_takeover_is_a_part_of_it() {
    let (mut desk, trail) = (Desk::new(None), Trail::begin());
    desk.take_over(trail, TakeoverCause::Silence);
    let task = Task {
        trail: trail.child(),
        name: "ipvs.sync_daemon",
        of: "master on eth0, id 1".into(),
        began: desk.at(12),
    };
    let done = Balanced {
        task: task.clone(),
        begun: desk.at(13),
        ended: desk.at(20),
        sent: 0,
        refused: 0,
        absent: "no ip_vs".into(),
    };
    desk.tell(20, Some(task.trail), Fact::Balanced(Arc::new(done)));
    let (root, daemon) = (desk.span("vrrp.takeover"), desk.span("ipvs.sync_daemon"));
    assert_eq!(daemon.parent_span_id, root.span_context.span_id());
    assert_eq!(says(&daemon, "ipvs.sync_daemon"), "master on eth0, id 1");
    assert_eq!(desk.span("ipvs.daemons").status, Status::error("no ip_vs"));
}
