use super::*;
use crate::fact::SetupAddress;
use crate::orders::Orders;
use hacluster_core::interval::Seconds;
use hacluster_core::machine::{Faults, Reason};
use hacluster_core::receive::Heard;
use hacluster_core::vrid::Vrid;
use std::net::Ipv4Addr;

const MASTER: Heard = Heard { sender: Ipv4Addr::new(192, 0, 2, 9), priority: Priority::OWNER };

pub(crate) fn identity(name: &str, vrid: u8) -> Arc<Identity> {
    Arc::new(Identity { name: name.into(), vrid: Vrid::new(vrid).unwrap(), interface: "eth0".into() })
}

pub(crate) fn setup(addresses: &[&str]) -> Arc<Setup> {
    let address =
        |text: &&str| SetupAddress { text: (*text).to_owned(), interface: "eth0".into(), advertised: true };
    Arc::new(Setup {
        preempts: true,
        priority: Priority::configured(100).unwrap(),
        interval: Seconds::new(1).unwrap(),
        addresses: addresses.iter().map(address).collect(),
        filtered: None,
        routes: vec![],
        agreement: String::new(),
        tally: Arc::default(),
    })
}

pub(crate) fn standing(state: StateKind, entered_secs: u64, master: Option<Heard>) -> Standing {
    Standing {
        state,
        entered: at(entered_secs),
        last: None,
        priority: Priority::configured(100).unwrap(),
        source: Ipv4Addr::new(192, 0, 2, 1),
        faults: Faults::default(),
        master,
        orders: Orders::default(),
    }
}

pub(crate) fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

/// The wall clock shows 1000 s more than the monotonic one.
pub(crate) fn moment(secs: u64) -> Moment {
    Moment { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + secs), monotonic: at(secs) }
}

pub(crate) fn chronicle() -> Chronicle {
    use clap::Parser;
    let args = crate::args::Args::parse_from(["hacluster-agent", "--config", "/nonexistent.conf"]);
    Chronicle::new(Arc::new(crate::in_force::load(&args)))
}

pub(crate) fn event(router: &Arc<Identity>, secs: u64, what: impl Into<What>) -> Event {
    Event { at: at(secs), router: Some(router.clone()), what: what.into(), trail: None }
}

fn transition(from: StateKind, to: StateKind) -> What {
    let transition = Transition { from, to, reason: Reason::Started };
    What::Transition {
        transition,
        priority: Priority::configured(100).unwrap(),
        detail: None,
        began: None,
        waited: None,
    }
}

fn fold_all(chronicle: &mut Chronicle, events: Vec<Event>) -> Vec<Option<Change>> {
    events.into_iter().map(|event| chronicle.fold(&event, moment(50))).collect()
}

#[test]
fn a_router_is_added_rules_and_goes() {
    let (mut chronicle, one) = (chronicle(), identity("VI_1", 1));
    fold_all(
        &mut chronicle,
        vec![
            event(&one, 10, Fact::Configured(setup(&["192.0.2.80/24"]))),
            event(&one, 10, Fact::Standing(standing(StateKind::Initialize, 10, None))),
            event(&one, 20, transition(StateKind::Initialize, StateKind::Master)),
            event(&one, 20, Fact::Standing(standing(StateKind::Master, 20, None))),
            event(
                &one,
                21,
                Fact::Held(Held { present: vec![true], routes: vec![], restorations: 0, served: false }),
            ),
        ],
    );
    let [view] = &chronicle.routers()[..] else { panic!() };
    assert_eq!((view.state(), &view.held.present[..]), (StateKind::Master, &[true][..]));
    assert_eq!(view.since, SystemTime::UNIX_EPOCH + Duration::from_secs(1_020));
    let told = fold_all(&mut chronicle, vec![event(&one, 30, Fact::Removed)]);
    assert!(matches!(told[..], [Some(Change::Everything)]) && chronicle.routers().is_empty());
}

#[test]
fn since_stays_while_only_the_master_changes() {
    let (mut chronicle, one) = (chronicle(), identity("VI_1", 1));
    let backup = |master| Fact::Standing(standing(StateKind::Backup, 10, master));
    chronicle.fold(&event(&one, 10, Fact::Configured(setup(&[]))), moment(10));
    chronicle.fold(&event(&one, 10, backup(None)), moment(10));
    let since = chronicle.routers()[0].since;
    chronicle.fold(&event(&one, 12, backup(Some(MASTER))), moment(40));
    let view = &chronicle.routers()[0];
    assert_eq!((view.since, view.standing.unwrap().master), (since, Some(MASTER)));
}

#[test]
fn addresses_held_survive_a_change_of_priority_but_not_of_addresses() {
    let (mut chronicle, one) = (chronicle(), identity("VI_1", 1));
    let held = || Fact::Held(Held { present: vec![true], routes: vec![], restorations: 2, served: false });
    for (addresses, kept) in [(["192.0.2.80/24"], 1), (["192.0.2.81/24"], 0)] {
        let first = event(&one, 1, Fact::Configured(setup(&["192.0.2.80/24"])));
        let again = event(&one, 3, Fact::Configured(setup(&addresses)));
        fold_all(&mut chronicle, vec![first, event(&one, 2, held()), again]);
        assert_eq!(chronicle.routers()[0].held.present.len(), kept, "{addresses:?}");
    }
}

#[test]
fn a_retelling_heals_whatever_was_lost() {
    let (mut chronicle, one, two) = (chronicle(), identity("VI_1", 1), identity("VI_2", 2));
    let node = |fact: Fact| Event { at: at(5), router: None, what: fact.into(), trail: None };
    fold_all(&mut chronicle, vec![event(&one, 1, Fact::Configured(setup(&[])))]);
    // Lost: that VI_1 was removed, that VI_2 was added.
    let stray = event(&two, 2, Fact::Standing(standing(StateKind::Master, 2, None)));
    assert!(chronicle.fold(&stray, moment(2)).is_none(), "of a router nobody told of");
    fold_all(
        &mut chronicle,
        vec![
            node(Fact::Retelling),
            event(&two, 5, Fact::Configured(setup(&[]))),
            event(&two, 5, Fact::Standing(standing(StateKind::Master, 2, None))),
            node(Fact::Retold),
        ],
    );
    let [view] = &chronicle.routers()[..] else { panic!() };
    assert_eq!((view.identity.name.as_str(), view.state()), ("VI_2", StateKind::Master));
    fold_all(&mut chronicle, vec![node(Fact::Retold)]);
    assert_eq!(chronicle.routers().len(), 1, "an end without a beginning removes nothing");
}

#[test]
fn history_is_numbered_bounded_and_says_what_it_forgot() {
    let (mut chronicle, one) = (chronicle(), identity("VI_1", 1));
    let total = HISTORY_MAX as u64 + 5;
    assert_eq!(chronicle.since(0).1, 0, "nothing happened, nothing is forgotten");
    for secs in 0..total {
        chronicle.fold(&event(&one, secs, What::Lost(secs)), moment(secs));
    }
    let (all, forgotten) = chronicle.since(0);
    assert_eq!((all.len(), forgotten, all[0].sequence), (HISTORY_MAX, 5, 6));
    assert_eq!(chronicle.since(5).1, 0);
    let (latest, forgotten) = chronicle.since(total - 1);
    assert_eq!((latest.len(), forgotten, latest[0].sequence), (1, 0, total));
    assert_eq!(chronicle.since(u64::MAX), (vec![], 0));
    assert_eq!(latest[0].at, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + total - 1));
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
