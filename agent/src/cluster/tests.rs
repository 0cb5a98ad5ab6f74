//! The coordinator with a protocol thread that says nothing, or what it should not.

use super::*;
use crate::chronicle::tests::{chronicle, event, identity, setup, standing};
use crate::mailbox::mailbox;
use hacluster_core::machine::{Reason, StateKind};
use hacluster_net::poll::Wake;
use hacluster_proto::v1::MoveOutcome as Outcome;
use std::fs;

/// A coordinator whose commands nobody carries out.
struct Desk {
    dir: tempfile::TempDir,
    cluster: Cluster,
    commands: Receiver<Command>,
}

impl Desk {
    /// VI_1 is in `state`; no peer is known.
    fn new(state: StateKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let board = Arc::new(Board::new(chronicle()));
        let router = identity("VI_1", 1);
        board.write(&event(&router, 1, Fact::Configured(setup(&["192.0.2.80/24"]))));
        board.write(&event(&router, 1, Fact::Standing(standing(state, 1, None))));
        let wake = || Wake::new().unwrap();
        let ((commands, told), (events, _)) = (mailbox(8, &wake()), mailbox(64, &wake()));
        let cluster = Cluster::new(board, commands, events, Store::open(dir.path(), false));
        Self { dir, cluster, commands: told }
    }

    fn ours(&self) -> Ours {
        self.cluster.all().into_iter().next().unwrap()
    }

    fn hold(&self) -> Option<Hold> {
        let place = self.ours().place; // looks at what is kept, too
        self.cluster.0.store.kept().of(&place).hold
    }

    fn written(&self) -> String {
        fs::read_to_string(self.dir.path().join("holds.json")).unwrap_or_default()
    }

    /// The next command, once there is one.
    async fn command(&self) -> Command {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match self.commands.pop() {
                Some(command) => return command,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            assert!(std::time::Instant::now() < end, "nothing was ordered");
        }
    }
}

fn wish(by: &str) -> Wish {
    Wish { by: by.into(), reason: "new disk".into(), ..Wish::default() }
}

#[tokio::test]
async fn a_protocol_thread_that_does_not_answer_fails_the_move_and_leaves_nothing() {
    let desk = Desk::new(StateKind::Master);
    let answer = desk.cluster.failover(&desk.ours(), &wish("alice")).await;
    assert_eq!(answer.outcome(), Outcome::Failed);
    assert!(answer.text.contains("did not answer in time"), "{}", answer.text);
    assert_eq!(desk.hold(), None);
    assert!(!desk.written().contains("new disk"), "{}", desk.written());
    assert!(desk.ours().now.r#move.is_none(), "the next one may try");
    assert!(lock(&desk.cluster.0.answers).is_empty(), "nobody waits any more");
}

/// The agent may die at any moment: the hold is on disk before anything moves.
#[tokio::test]
async fn a_hold_is_written_before_anything_is_ordered() {
    let desk = Desk::new(StateKind::Master);
    let (cluster, ours) = (desk.cluster.clone(), desk.ours());
    let moving = tokio::spawn(async move { cluster.failover(&ours, &wish("alice")).await });
    assert!(matches!(desk.command().await, Command::Resign { .. }));
    assert!(desk.written().contains("new disk"), "{}", desk.written());
    moving.await.unwrap();
}

#[tokio::test]
async fn the_second_of_two_operators_hears_who_was_first() {
    let desk = Desk::new(StateKind::Master);
    let before = desk.ours();
    let first = desk.cluster.begin(&before, "node2", "alice").unwrap();
    // One that looks now, and one that had looked before.
    for ours in [desk.ours(), before] {
        let answer = desk.cluster.failover(&ours, &wish("bob")).await;
        assert_eq!(answer.outcome(), Outcome::Busy);
        assert!(answer.text.contains("alice moves VI_1 to node2"), "{}", answer.text);
    }
    assert!(desk.commands.pop().is_none() && desk.hold().is_none());
    drop(first);
    assert_eq!(desk.cluster.failover(&desk.ours(), &wish("bob")).await.outcome(), Outcome::Failed);
}

#[tokio::test]
async fn a_dry_run_orders_writes_and_marks_nothing() {
    let desk = Desk::new(StateKind::Master);
    let dry = Wish { dry_run: true, ..wish("alice") };
    assert_eq!(desk.cluster.failover(&desk.ours(), &dry).await.outcome(), Outcome::WouldResign);
    assert_eq!(desk.cluster.failback(&desk.ours(), &dry).await.outcome(), Outcome::Refused);
    for outcome in [desk.cluster.drain(&dry).await, desk.cluster.undrain(&dry).await] {
        assert!(outcome.hold.is_none(), "{outcome:?}");
    }
    for outcome in [desk.cluster.pause(&dry).await, desk.cluster.resume(&dry).await] {
        assert!(outcome.hold.is_none(), "{outcome:?}");
    }
    assert!(desk.commands.pop().is_none());
    assert_eq!((desk.written(), desk.hold()), (String::new(), None));
}

#[tokio::test]
async fn a_hold_ends_with_its_time_or_when_the_router_rules_again() {
    let hold = |until| Hold {
        kind: holds::HoldKind::Failover,
        by: "alice".into(),
        reason: "new disk".into(),
        since: SystemTime::UNIX_EPOCH,
        until,
        to_node: "node2".into(),
    };
    let desk = Desk::new(StateKind::Backup);
    let place = desk.ours().place;
    let set = async |until| desk.cluster.alter(|kept| kept.set_hold(&place, Some(hold(until)))).await;
    set(Some(SystemTime::now() + Duration::from_secs(3_600))).await;
    desk.cluster.end_expired().await;
    assert!(desk.hold().is_some(), "its time is not up");
    set(Some(SystemTime::now())).await;
    desk.cluster.end_expired().await;
    assert_eq!(desk.hold(), None);
    set(None).await;
    let reason = Reason::Started;
    let rules = Transition { from: StateKind::Backup, to: StateKind::Master, reason };
    desk.cluster.draw_conclusions(desk.ours().identity, place.clone(), rules);
    assert_eq!(desk.hold(), None, "at once, not some time later");
}

/// Nobody holds back, and the node that gave the lead is no peer: then the lead alone is ended.
#[tokio::test]
async fn failback_ends_a_lead_whoever_gave_it() {
    let desk = Desk::new(StateKind::Master);
    let lead = Lead {
        priority: 120,
        from_node: "192.0.2.9".into(),
        by: "alice".into(),
        reason: "new disk".into(),
        since: SystemTime::now(),
        boot: holds::this_boot(),
    };
    let place = desk.ours().place;
    desk.cluster.alter(|kept| kept.set_lead(&place, Some(lead))).await;
    assert_eq!(desk.cluster.failback(&desk.ours(), &wish("bob")).await.outcome(), Outcome::Released);
    assert!(matches!(desk.command().await, Command::Lead { lead: None, .. }));
    assert_eq!(desk.cluster.0.store.kept().of(&place).lead, None);
}
