//! Routers that change hands because somebody asked for it: as the wire and the neighbours see it.

use crate::driver::Driver;
use anyhow::{Context, Result, bail, ensure};
use hacluster_agent::orders::Orders;
use hacluster_agent::protocol::{Answer, Command, Refusal};
use hacluster_core::machine::{Reason, StateKind, TakeoverCause};
use hacluster_core::priority::Priority;
use hacluster_lab::{LIMIT, Lab, wait_for, wait_until};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, free, hold, left_alone, pair, topology_of,
};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

const LEFT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const HOLD_BACK: Orders = Orders { hold_back: true, rest: false, lead: None, helped: false };

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_router_is_handed_over_and_a_third_node_sees_one_master", handed_over);
    suite.trial("every_address_is_announced_before_the_successor_advertises", many_addresses);
    suite.trial("who_resigned_on_request_and_holds_back_stays_backup", resigned);
    suite.trial("who_rests_gives_way_and_comes_back", rests);
    suite.trial("a_lead_is_taken_up_again_after_a_restart", leads_again);
    suite.trial("clients_come_back_when_the_successor_was_not_heard", not_heard);
    suite.trial("a_takeover_is_refused_with_the_cause", refused);
}

fn take_over(node: &Driver, lead: Option<u8>) -> Result<Result<Answer, Refusal>> {
    let lead = lead.and_then(Priority::configured);
    node.ask(|place, ticket| Command::TakeOver { place, from: LEFT, lead, ticket, trail: None })
}

/// From `left` to `right`, which leads; when both had agreed. A host that is too slow tries again.
fn hand_over(left: &Driver, right: &Driver, lead: u8) -> Result<Instant> {
    let begin = Instant::now();
    left.order(HOLD_BACK);
    wait_until("right to take over", LIMIT, || {
        left.ask(|place, ticket| Command::YieldTo { place, to: Some(RIGHT), ticket, trail: None })??;
        match take_over(right, Some(lead))? {
            Ok(Answer::Ruling { announced, advertised }) => {
                ensure!(announced <= advertised);
                Ok(Some(begin))
            }
            Ok(Answer::Done) => bail!("done, but who rules?"),
            Err(Refusal::TooSlow) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    })
}

fn handed_over() -> Result<()> {
    let hosts =
        [("left", "eth0", "10.9.0.1/24"), ("right", "eth0", "10.9.0.2/24"), ("third", "eth0", "10.9.0.3/24")];
    Lab::run(topology_of("trio", &hosts, "10.9.0.9/24"), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = Driver::start(lab.host("left")?, Instance::new(150).master(), Orders::default())?;
        left.becomes(StateKind::Master)?;
        let right = Driver::start(lab.host("right")?, Instance::new(100), Orders::default())?;
        right.becomes(StateKind::Backup)?;
        let third = Running::start(lab.host("third")?, Instance::new(120))?;
        third.logged(&["-> Backup"])?;

        let begin = hand_over(&left, &right, 150)?;
        let gave = left.becomes(StateKind::Backup)?;
        ensure!(
            matches!(gave.transition.reason, Reason::GaveAway(heard) if heard.sender == RIGHT),
            "{gave:?}"
        );
        let took = right.becomes(StateKind::Master)?;
        ensure!(took.transition.reason == Reason::TookOver(TakeoverCause::HandedOver(LEFT)), "{took:?}");
        ensure!((took.priority, took.source) == (150, RIGHT), "{took:?}");
        hold(lab.host("right")?, VIP)?;
        free(lab.host("left")?, VIP)?;

        // A few intervals: left holds back, third hears nothing it could beat, nobody ever left.
        wire.count("right", 51, begin, 5)?;
        ensure!(wire.adverts("right", 51).iter().all(|seen| seen.packet.priority == 150));
        wire.never_ruled("third", 51)?;
        wire.never_resigned("left")?;
        left_alone(lab.host("right")?, VIP, Duration::from_millis(100))?;

        right.ask(|place, ticket| Command::Lead { place, lead: None, ticket })??;
        hold(lab.host("third")?, VIP)?;
        ensure!(left.changes().last().is_some_and(|last| last.transition.to == StateKind::Backup));
        left.order(Orders::default());
        left.becomes(StateKind::Master).map(drop)
    })
}

fn many_addresses() -> Result<()> {
    const COUNT: u8 = 200;
    let ip = |last: u8| Ipv4Addr::new(10, 9, 1, last);
    let config =
        |priority| Instance::new(priority).addresses((1..=COUNT).map(|last| format!("{}/24", ip(last))));
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = Driver::start(lab.host("left")?, config(150).master(), Orders::default())?;
        left.becomes(StateKind::Master)?;
        let right = Driver::start(lab.host("right")?, config(100), Orders::default())?;
        right.becomes(StateKind::Backup)?;
        let begin = hand_over(&left, &right, 150)?;
        left.becomes(StateKind::Backup)?;
        let advert = wire.advert("right", 51, begin, |_| true)?;
        for last in 1..=COUNT {
            let announced = wire.announcements("right", ip(last), begin);
            let first = announced.first().with_context(|| format!("{} was not announced", ip(last)))?;
            ensure!(first.at <= advert.at, "{} was announced after the advert", ip(last));
        }
        // And again, once left has had time to let go.
        wire.announced("right", ip(COUNT), advert.at, 1)
    })
}

fn resigned() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = Driver::start(lab.host("left")?, Instance::new(150).master(), Orders::default())?;
        left.becomes(StateKind::Master)?;
        let right = Running::start(lab.host("right")?, Instance::new(100))?;
        right.logged(&["-> Backup"])?;
        left.order(HOLD_BACK);
        let begin = Instant::now();
        left.ask(|place, ticket| Command::Resign { place, ticket, trail: None })??;
        let resigned = left.becomes(StateKind::Backup)?;
        ensure!(resigned.transition.reason == Reason::ResignedOnRequest, "{resigned:?}");
        wire.advert("left", 51, begin, |advert| advert.priority == 0)?;
        hold(lab.host("right")?, VIP)?;
        wire.count("right", 51, begin, 3)?;
        ensure!(left.changes().last().is_some_and(|last| last.transition.to == StateKind::Backup));
        right.kill()?;
        hold(lab.host("left")?, VIP).context("holding back is no reason to leave nobody")
    })
}

fn rests() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = Driver::start(lab.host("left")?, Instance::new(150).master(), Orders::default())?;
        left.becomes(StateKind::Master)?;
        let right = Running::start(lab.host("right")?, Instance::new(100))?;
        right.logged(&["-> Backup"])?;
        let begin = Instant::now();
        left.order(Orders { rest: true, ..Orders::default() });
        left.becomes(StateKind::Backup)?;
        hold(lab.host("right")?, VIP)?;
        wire.advert("left", 51, begin, |advert| advert.priority == 1)?;
        wire.never_resigned("left")?;
        left.order(Orders::default());
        ensure!(left.becomes(StateKind::Master)?.priority == 150);
        hold(lab.host("left")?, VIP)
    })
}

fn leads_again() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let lead = Orders { lead: Priority::configured(150), ..Orders::default() };
        let left = Driver::start(lab.host("left")?, Instance::new(100).master(), lead)?;
        ensure!(left.becomes(StateKind::Master)?.priority == 150);
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 150)?;
        let better = Running::start(lab.host("right")?, Instance::new(120))?;
        better.logged(&["-> Backup"])?;
        wire.count("left", 51, Instant::now(), 5)?;
        wire.never_ruled("right", 51)?;
        // Whoever follows another master has ended its lead.
        let best = Instance::new(200);
        better.reload(best)?;
        left.becomes(StateKind::Backup)?;
        better.stop()?;
        ensure!(left.becomes(StateKind::Master)?.priority == 100);
        Ok(())
    })
}

/// left hears nobody: it rules on, and right, which rules too, is told to step back.
fn not_heard() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        // Long a master: it owes no announcement of its own.
        let settled = Instance::new(150).master().with("garp_master_delay 0");
        let left = Driver::start(lab.host("left")?, settled, Orders::default())?;
        left.becomes(StateKind::Master)?;
        let right = Driver::start(lab.host("right")?, Instance::new(100), Orders::default())?;
        right.becomes(StateKind::Backup)?;
        lab.host("left")?.deafen()?;
        let begin = hand_over(&left, &right, 150)?;
        // The last word of right's takeover: clients believe it.
        wire.announced("right", VIP, begin, 2)?;
        let stepped_back = Instant::now();
        right.ask(|place, ticket| Command::Lead { place, lead: None, ticket })??;
        left.ask(|place, ticket| Command::YieldTo { place, to: None, ticket, trail: None })??;
        right.becomes(StateKind::Backup)?;
        free(lab.host("right")?, VIP)?;
        wire.announced("left", VIP, stepped_back, 1)?;
        wait_for("left to have the last word", LIMIT, || {
            let last = |host| wire.announcements(host, VIP, begin).last().map(|seen| seen.at);
            last("left") > last("right")
        })?;
        ensure!(left.changes().last().is_some_and(|last| last.transition.to == StateKind::Master));
        left_alone(lab.host("left")?, VIP, Duration::from_millis(100))
    })
}

fn refused() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = Driver::start(lab.host("left")?, Instance::new(150).master(), Orders::default())?;
        left.becomes(StateKind::Master)?;
        ensure!(take_over(&left, None)? == Err(Refusal::NotBackup(StateKind::Master)));
        let right = Driver::start(lab.host("right")?, Instance::new(100), Orders::default())?;
        right.becomes(StateKind::Backup)?;
        let elsewhere = right.ask(|mut place, ticket| {
            "eth7".clone_into(&mut place.interface);
            Command::Resign { place, ticket, trail: None }
        })?;
        ensure!(elsewhere == Err(Refusal::UnknownRouter), "{elsewhere:?}");
        lab.host("right")?.cut()?;
        right.becomes(StateKind::Fault)?;
        let faulty = take_over(&right, None)?;
        ensure!(matches!(faulty, Err(Refusal::Fault(_))), "{faulty:?}");
        let alone = || left.changes().last().is_some_and(|last| last.transition.to == StateKind::Master);
        wait_for("left to rule on", LIMIT, alone)
    })
}
