//! Which programs run, in which order, and never two at once.

use crate::bench::{Bench, eventually, identity, instance, load};
use hacluster_agent::event::{Event, What};
use hacluster_agent::fact::Fact;
use hacluster_core::machine::{Note, Reason, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::receive::Heard;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

const LOG: (&str, &str) = ("log", "echo \"$@\" >> out");
/// Tells its state and waits for the file `go`.
const SLOW: (&str, &str) = ("slow", "echo \"$@\" >> out; while [ ! -e go ]; do sleep 0.02; done");

fn rival(bench: &Bench) {
    let heard = Heard { sender: Ipv4Addr::new(192, 0, 2, 99), priority: Priority::DEFAULT };
    bench.feed.tell(&Event::now(Some(identity("VI_1", 7)), What::Note(Note::RivalHeard(heard))));
}

#[test]
fn the_specific_hook_first_then_the_general_one_with_what_keepalived_gives() {
    let hooks = " notify_master \"DIR/log m\"\n notify_backup \"DIR/log b\"\n notify \"DIR/log any x\"";
    let bench = Bench::new(&instance("VI_1", 7, hooks), &[LOG]);
    bench.backup("VI_1", 7);
    bench.master("VI_1", 7);
    let all = ["b", "any x INSTANCE VI_1 BACKUP 100", "m", "any x INSTANCE VI_1 MASTER 100"];
    bench.expect_lines("out", &all);
    let said = bench.hears(&["notify_master", "/log (MASTER): exit 0"]);
    assert!(said.contains("it took ") && said.ends_with(" ms"), "{said}");
}

#[test]
fn the_latest_state_wins_while_a_hook_is_slow_and_it_is_said() {
    let bench = Bench::new(&instance("VI_1", 7, " notify DIR/slow"), &[SLOW]);
    bench.backup("VI_1", 7);
    bench.expect_lines("out", &["INSTANCE VI_1 BACKUP 100"]);
    bench.master("VI_1", 7);
    bench.fault("VI_1", 7);
    bench.backup("VI_1", 7);
    bench.master("VI_1", 7);
    std::thread::sleep(Duration::from_millis(100)); // a second one that started would show
    assert_eq!(bench.lines("out").len(), 1);
    fs::write(bench.path("go"), "").unwrap();
    bench.expect_lines("out", &["INSTANCE VI_1 BACKUP 100", "INSTANCE VI_1 MASTER 100"]);
    bench.hears(&["INSTANCE VI_1: 3 state(s) not told", "while BACKUP was told"]);
}

#[test]
fn a_slow_hook_holds_up_no_other_router() {
    let text = instance("VI_1", 7, " notify DIR/slow") + &instance("VI_2", 8, " notify DIR/log");
    let bench = Bench::new(&text, &[SLOW, LOG]);
    bench.backup("VI_1", 7);
    bench.expect_lines("out", &["INSTANCE VI_1 BACKUP 100"]);
    bench.backup("VI_2", 8);
    bench.master("VI_2", 8);
    eventually("the other one is told", || bench.lines("out").len() == 3);
}

#[test]
fn a_hook_that_fails_says_how() {
    let bench = Bench::new(
        &instance("VI_1", 7, " notify_fault DIR/bad\n notify_backup DIR/absent"),
        &[("bad", "echo no such service; exit 3")],
    );
    bench.backup("VI_1", 7);
    bench.fault("VI_1", 7);
    bench.hears(&["notify_fault", "/bad (FAULT): exit 3: \"no such service\""]);
    bench.hears(&["notify_backup", "/absent cannot be found", "; write the path"]);
    assert!(bench.told().iter().all(|(_, warning)| *warning));
}

#[test]
fn one_that_is_to_be_retried_runs_until_it_succeeds() {
    let text = instance("VI_1", 7, " notify_master DIR/cloud");
    let cloud = ("cloud", "echo try >> out; [ -e go ]");
    let bench = Bench::with(&text, &[cloud], |config| config.routers[0].notify.retry = true);
    bench.master("VI_1", 7);
    bench.hears(&["exit 1", "again in 1 s"]);
    fs::write(bench.path("go"), "").unwrap();
    bench.hears(&["notify_master", "exit 0"]);
    let tries = bench.lines("out").len();
    assert!(tries >= 2, "{tries}");
}

#[test]
fn a_newer_state_breaks_off_retries() {
    let text = instance("VI_1", 7, " notify_master \"/bin/sh -c 'exit 1'\"\n notify_backup DIR/log");
    let bench = Bench::with(&text, &[LOG], |config| config.routers[0].notify.retry = true);
    bench.master("VI_1", 7);
    bench.hears(&["again in 4 s"]);
    bench.backup("VI_1", 7);
    bench.hears(&["notify_backup", "exit 0"]);
}

#[test]
fn a_winner_whose_rival_yielded_is_told_again() {
    let bench = Bench::new(&instance("VI_1", 7, " notify_master DIR/log\n notify DIR/log"), &[LOG]);
    bench.master("VI_1", 7);
    bench.expect_lines("out", &["", "INSTANCE VI_1 MASTER 100"]);
    rival(&bench);
    bench.expect_lines("out", &["", "INSTANCE VI_1 MASTER 100", "", "INSTANCE VI_1 MASTER 100"]);
    bench.hears(&["192.0.2.99 also ruled", "it has yielded"]);
}

#[test]
fn a_hook_for_the_rival_runs_at_once_and_alone() {
    let hooks = " notify_master_rx_lower_pri \"DIR/log rival\"\n notify DIR/log";
    let bench = Bench::new(&instance("VI_1", 7, hooks), &[LOG]);
    bench.backup("VI_1", 7);
    rival(&bench); // a backup has no rival
    bench.master("VI_1", 7);
    bench.hears(&["MASTER): exit 0"]);
    rival(&bench);
    bench.hears(&["notify_master_rx_lower_pri", "exit 0"]);
    bench.expect_lines("out", &["INSTANCE VI_1 BACKUP 100", "INSTANCE VI_1 MASTER 100", "rival"]);
}

#[test]
fn a_group_is_told_when_all_its_members_moved() {
    let group = "vrrp_sync_group G {\n group { VI_1 VI_2 }\n notify DIR/log\n}\n";
    let text = group.to_owned() + &instance("VI_1", 7, "") + &instance("VI_2", 8, "");
    let bench = Bench::new(&text, &[LOG]);
    for step in [Bench::backup, Bench::master] {
        step(&bench, "VI_1", 7);
        std::thread::sleep(Duration::from_millis(50)); // told too early would show
        step(&bench, "VI_2", 8);
    }
    bench.expect_lines("out", &["GROUP G BACKUP 0", "GROUP G MASTER 0"]);
    bench.fault("VI_2", 8);
    bench.expect_lines("out", &["GROUP G BACKUP 0", "GROUP G MASTER 0", "GROUP G FAULT 0"]);
}

#[test]
fn a_removed_router_is_told_as_fault_or_as_deleted() {
    for (more, expected) in [("", "FAULT"), (" notify_deleted \"DIR/log gone\"", "DELETED")] {
        let text = instance("VI_1", 7, &format!(" notify DIR/log\n{more}")) + &instance("VI_2", 8, "");
        let bench = Bench::new(&text, &[LOG]);
        bench.backup("VI_1", 7);
        bench.hears(&["BACKUP): exit 0"]);
        let rest = load(bench.dir.path(), &instance("VI_2", 8, ""));
        bench.fact(None, Fact::InForce(Arc::new(rest)));
        bench.enters("VI_1", 7, StateKind::Initialize, Reason::Stopped);
        bench.fact(Some(identity("VI_1", 7)), Fact::Removed);
        bench.hears(&["notify ", &format!("{expected}): exit 0")]);
        assert_eq!(bench.lines("out").last().unwrap(), &format!("INSTANCE VI_1 {expected} 100"));
        assert_eq!(bench.lines("out").contains(&"gone".to_owned()), !more.is_empty());
    }
}

#[test]
fn one_that_only_starts_anew_is_told_by_what_it_becomes() {
    let bench = Bench::new(&instance("VI_1", 7, " notify DIR/log"), &[LOG]);
    bench.backup("VI_1", 7);
    bench.hears(&["BACKUP): exit 0"]);
    bench.enters("VI_1", 7, StateKind::Initialize, Reason::Stopped);
    bench.fact(Some(identity("VI_1", 7)), Fact::Removed);
    bench.backup("VI_1", 7);
    bench.expect_lines("out", &["INSTANCE VI_1 BACKUP 100", "INSTANCE VI_1 BACKUP 100"]);
}
