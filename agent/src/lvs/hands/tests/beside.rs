//! Sync daemons and timeouts.

use super::*;
use hacluster_net::netlink::ipvs::SyncRole::{self, Backup, Master};

fn on(interface: &str, role: SyncRole) -> SyncDaemon {
    let interface = interface.into();
    SyncDaemon { role, interface, id: 1, max_len: None, group: None, port: None, ttl: None }
}

fn running(kernel: &Fake) -> Vec<SyncDaemon> {
    kernel.0.lock().unwrap().daemons.clone()
}

#[test]
fn a_sync_daemon_that_cannot_run_is_said_once() {
    let kernel = Fake::default();
    kernel.change(|state| state.no_links = vec!["eth7".into()]);
    let mut stage = Stage::open(&kernel, false);
    stage.orders.put_daemons(Some(vec![on("eth7", Backup)]), None);
    stage.put(&[WEB]);
    kernel.is(WEB);
    (0..3).for_each(|_| stage.look());
    stage.said_only(&["do it"]);
    assert_eq!(stage.orders.picture().refused.len(), 1);
    kernel.change(|state| state.no_links.clear());
    stage.look();
    stage.hears("sync daemon started: backup on eth7");
    assert!(stage.orders.picture().refused.is_empty());
}

#[test]
fn sync_daemons_follow_and_leave_with_us_and_those_of_others_stay() {
    let kernel = Fake::default();
    kernel.change(|state| state.daemons.push(on("eth0", Backup)));
    let mut stage = Stage::open(&kernel, false);
    stage.orders.put_daemons(None, None);
    stage.look();
    assert_eq!(running(&kernel), [on("eth0", Backup)], "not ours");
    stage.orders.put_daemons(Some(vec![on("eth0", Master)]), None);
    stage.hears("sync daemon started: master on eth0, id 1");
    assert_eq!(running(&kernel), [on("eth0", Master)]);
    stage.orders.stop(FlushOnStop::Ours);
    stage.hears("sync daemon stopped: master");
    assert_eq!(running(&kernel), []);
}

#[test]
fn when_none_is_wanted_any_more_ours_stops_once_and_another_programs_is_left_alone() {
    let kernel = Fake::default();
    let mut stage = Stage::open(&kernel, false);
    stage.orders.put_daemons(Some(vec![on("eth0", Master)]), None);
    stage.put(&[WEB]);
    stage.hears("sync daemon started: master on eth0");
    stage.orders.put_daemons(None, None);
    stage.hears("sync daemon stopped: master");
    kernel.change(|state| state.daemons.push(on("eth9", Master)));
    (0..2).for_each(|_| stage.look());
    assert_eq!(running(&kernel), [on("eth9", Master)]);
    assert!(stage.orders.picture().daemons.is_empty());
}

#[test]
fn a_successor_that_wants_none_stops_what_a_killed_agent_left_and_nothing_else() {
    let kernel = Fake::default();
    let mut killed = Stage::open(&kernel, false);
    killed.orders.put_daemons(Some(vec![on("eth0", Master)]), None);
    killed.put(&[]);
    killed.hears("sync daemon started: master on eth0");
    kernel.change(|state| state.daemons.push(on("eth9", Backup)));
    let stage = Stage::open_in(killed.dir.clone(), &kernel, false);
    stage.look();
    assert_eq!(running(&kernel).len(), 2, "nobody has said yet what is wanted");
    stage.orders.put_daemons(None, None);
    stage.put(&[]);
    stage.look();
    assert_eq!(running(&kernel), [on("eth9", Backup)]);
    assert!(Record::of(killed.dir.path()).read().is_empty());
}

#[test]
fn a_successor_that_wants_the_same_lets_it_run() {
    let kernel = Fake::default();
    let mut killed = Stage::open(&kernel, false);
    killed.orders.put_daemons(Some(vec![on("eth0", Master)]), None);
    killed.put(&[]);
    killed.hears("sync daemon started: master on eth0");
    kernel.forget_commands();
    let stage = Stage::open_in(killed.dir.clone(), &kernel, false);
    stage.orders.put_daemons(Some(vec![on("eth0", Master)]), None);
    stage.put(&[]);
    stage.look();
    assert_eq!((kernel.commands(), running(&kernel)), (0, vec![on("eth0", Master)]));
}

#[test]
fn timeouts_are_set_once_the_kernel_can_be_reached_again_after_it_was_gone_and_refusals_are_said() {
    let kernel = Fake::default();
    let set = || kernel.0.lock().unwrap().timeouts.clone();
    let timeouts = Timeouts { tcp_s: 30, tcp_fin_s: 0, udp_s: 5 };
    kernel.change(|state| (state.absent, state.no_timeouts) = (true, true));
    let mut stage = Stage::open(&kernel, false);
    stage.orders.put_timeouts(timeouts);
    stage.put(&[]);
    stage.hears("no ip_vs");
    kernel.change(|state| state.absent = false);
    let line = stage.hears("the kernel's own times");
    assert!(line.contains("do it"), "{line}");
    stage.look();
    assert_eq!(stage.orders.picture().refused.len(), 1);
    kernel.change(|state| state.no_timeouts = false);
    (0..2).for_each(|_| stage.look());
    assert_eq!((set(), stage.orders.picture().refused.len()), (vec![timeouts], 0));
    kernel.change(|state| state.absent = true);
    stage.look();
    kernel.change(|state| state.absent = false);
    let until = Instant::now() + Duration::from_secs(20);
    while set() != [timeouts; 2] {
        assert!(Instant::now() < until, "{:?}", set());
        std::thread::sleep(Duration::from_millis(2));
    }
    stage.orders.put_timeouts(Timeouts::default());
    stage.look();
    assert_eq!(set().len(), 2, "what is wanted no more is left as it is");
}
