use super::*;
use crate::chronicle::tests::{at, identity, moment};
use crate::mailbox::{Receiver, mailbox};
use crate::story::Claim;
use hacluster_core::machine::Fault;
use hacluster_core::priority::Priority;
use hacluster_net::poll::Wake;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

struct Desk {
    dir: tempfile::TempDir,
    events: EventSender,
    heard: Receiver<Event>,
}

impl Desk {
    fn new() -> Self {
        let (events, heard) = mailbox(64, &Wake::new().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), events, heard }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("history.jsonl")
    }

    fn open(&self) -> History {
        History::open(self.dir.path(), self.events.clone()).unwrap()
    }

    /// What the agent would say.
    fn said(&self) -> String {
        std::iter::from_fn(|| self.heard.pop()).map(|event| event.what.to_string() + "\n").collect()
    }
}

fn takeover(cause: TakeoverCause, trail: Trail) -> Event {
    let reason = Reason::TookOver(cause);
    let transition = Transition { from: StateKind::Backup, to: StateKind::Master, reason };
    let what = What::Transition {
        transition,
        priority: Priority::DEFAULT,
        detail: None,
        began: Some(at(7)),
        waited: None,
    };
    Event { at: at(10), router: Some(identity("VI_1", 51)), what, trail: Some(trail) }
}

fn claimed(trail: Trail) -> Event {
    let mut claim = Claim::new(at(10), 2);
    [11, 12].into_iter().for_each(|second| claim.announce(at(second)));
    claim.whole = true;
    let what = Fact::Claimed(Arc::new(claim)).into();
    Event { at: at(13), router: Some(identity("VI_1", 51)), what, trail: Some(trail) }
}

const OTHER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 9);

#[test]
fn what_happened_before_a_restart_is_told_after_it() {
    let desk = Desk::new();
    let trail = Trail::begin();
    let before = {
        let history = desk.open();
        history.take(&takeover(TakeoverCause::MasterSilent(OTHER), trail), moment(10));
        assert_eq!(history.list()[0].transition.as_ref().unwrap().unserved, None, "not yet known");
        history.take(&claimed(trail), moment(13));
        history.list()
    };
    let told = before[0].transition.as_ref().unwrap();
    assert_eq!(told.unserved.as_ref().unwrap().seconds, 5, "from the last word to the last announcement");
    assert_eq!((told.trace_id.as_str(), told.at.as_ref().unwrap().seconds), (&*trail.trace_id(), 1_010));
    assert_eq!((told.to(), told.priority), (v1::State::Master, 100));
    assert_eq!(told.reason.as_ref().unwrap().kind(), v1::ReasonKind::Silence);
    assert_eq!(desk.open().list(), before);
    assert_eq!(desk.said(), "");
}

#[test]
fn a_takeover_without_a_gap_says_so_and_one_of_unknown_past_says_nothing() {
    let desk = Desk::new();
    let history = desk.open();
    history.take(&takeover(TakeoverCause::HandedOver(OTHER), Trail::begin()), moment(10));
    let unknown = Trail::begin();
    history.take(&takeover(TakeoverCause::Silence, unknown), moment(10));
    history.take(&claimed(unknown), moment(13));
    let unserved = |of: &v1::RouterTransition| of.transition.as_ref().unwrap().unserved.map(|of| of.seconds);
    assert_eq!(history.list().iter().map(unserved).collect::<Vec<_>>(), [Some(0), None]);
}

#[test]
fn a_torn_end_and_garbage_cost_only_themselves() {
    let desk = Desk::new();
    let history = desk.open();
    for _ in 0..3 {
        history.take(&takeover(TakeoverCause::Silence, Trail::begin()), moment(10));
    }
    drop(history);
    let mut text = fs::read(desk.file()).unwrap();
    text.splice(0..0, *b"{\"changed\":{}}\n\xff\xfe\0\n\n{\"later\":1}\n");
    text.truncate(text.len() - 9);
    fs::write(desk.file(), text).unwrap();
    let history = desk.open();
    assert_eq!(history.list().len(), 2);
    let said = desk.said();
    assert!(said.contains("5 damaged") && said.contains("the others count"), "{said}");
    history.take(&takeover(TakeoverCause::Silence, Trail::begin()), moment(10));
    drop(history);
    assert_eq!(desk.open().list().len(), 3);
    assert_eq!(desk.said(), "", "the file is whole again");
}

#[test]
fn file_and_memory_are_bounded() {
    let desk = Desk::new();
    for _ in 0..3 {
        let history = desk.open();
        for _ in 0..KEPT {
            let trail = Trail::begin();
            history.take(&takeover(TakeoverCause::MasterSilent(OTHER), trail), moment(10));
            history.take(&claimed(trail), moment(13));
        }
        assert_eq!(history.list().len(), KEPT);
        assert!(history.past().awaited.is_empty());
    }
    let lines = fs::read_to_string(desk.file()).unwrap().lines().count();
    assert!(lines <= 4 * KEPT, "{lines} lines");
}

#[test]
fn a_disk_that_refuses_is_said_once_and_costs_no_memory() {
    let desk = Desk::new();
    fs::create_dir(desk.file()).unwrap();
    let history = desk.open();
    for _ in 0..100 {
        history.take(&takeover(TakeoverCause::Silence, Trail::begin()), moment(10));
    }
    assert_eq!(history.list().len(), 100, "what is in memory counts");
    drop(history);
    let said = desk.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("history.jsonl") && said.contains("writable"), "{said}");
}

#[test]
fn what_is_no_change_of_state_is_not_kept() {
    let desk = Desk::new();
    let history = desk.open();
    history.take(&Event { trail: None, ..takeover(TakeoverCause::Silence, Trail::begin()) }, moment(10));
    let told = history.list()[0].transition.clone().unwrap();
    assert!(told.trace_id.is_empty(), "a change without a story is kept all the same");
    history.take(&claimed(Trail::begin()), moment(13));
    history.take(&Event::now(None, What::Reload("x".into())), moment(13));
    let fault =
        Transition { from: StateKind::Master, to: StateKind::Fault, reason: Reason::Fault(Fault::Link) };
    let what = What::Transition {
        transition: fault,
        priority: Priority::DEFAULT,
        detail: None,
        began: None,
        waited: None,
    };
    history.take(&Event::now(Some(identity("VI_2", 52)), what), moment(13));
    assert_eq!(history.list().len(), 2);
    assert!(history.list()[1].transition.as_ref().unwrap().reason.as_ref().unwrap().text.contains("link"));
}
