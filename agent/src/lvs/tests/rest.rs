//! Checks that rest while their address is elsewhere.

use super::*;
use hacluster_net::netlink::Locals;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn checks_of_a_service_whose_address_is_held_elsewhere_rest() {
    let stage = Stage::open();
    stage.configure(vec![VirtualServer { ha_suspend: true, ..web() }]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    assert!(stage.looks.0.lock().unwrap().iter().all(|wanted| wanted.resting));
    stage.report(A, false, "a last word that came late");
    std::thread::sleep(Duration::from_millis(50));
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.stop();
}

/// Servers that nobody looks at, on the node that serves, are worse than checks too many.
#[test]
fn where_addresses_cannot_be_known_checks_go_on_and_that_is_said_and_tried_again() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let can_listen = Arc::<AtomicBool>::default();
    let can = can_listen.clone();
    let stage = Stage::prepared(Fake::default(), dir, move |desk| {
        desk.here.open = Box::new(move || match can.load(Ordering::Relaxed) {
            true => Ok(Locals::open()?),
            false => Err(anyhow::anyhow!("no socket left")),
        });
    });
    stage.configure(vec![VirtualServer { ha_suspend: true, ..web() }]);
    let line = stage.hears("no socket left");
    assert!(line.contains("in spite of ha_suspend") && line.contains("tried again"), "{line}");
    stage.report(A, false, "refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1");
    assert!(stage.looks.0.lock().unwrap().iter().all(|wanted| !wanted.resting));
    can_listen.store(true, Ordering::Relaxed);
    stage.hears("addresses of this machine are known again");
    stage.hears("checks rest: its address is not on this node");
    let said = stage.said.lock().unwrap();
    assert_eq!(said.iter().filter(|line| line.contains("no socket")).count(), 1, "{said:#?}");
    drop(said);
    stage.stop();
}
