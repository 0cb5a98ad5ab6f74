//! The kernel thread alone: what it reports of claims.

use anyhow::{Context, Result, ensure};
use hacluster_agent::story::Trail;
use hacluster_agent::{
    event::{Event, Identity},
    kernel::{self, Definition, FilterSettings, Order, Report, RouterId},
    mailbox::{Receiver, Sender, mailbox},
};
use hacluster_conf::model::Address;
use hacluster_core::{time::Duration, vrid::Vrid};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_net::poll::Wake;
use hacluster_tests::harness::{Suite, VIP, Wire, pair};
use std::{cell::RefCell, sync::Arc, thread::JoinHandle, time::Instant};

const ID: RouterId = RouterId(1);

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_claim_is_reported_after_its_announcements", announced);
    suite.trial("of_claims_that_follow_each_other_the_last_is_reported_last", interleaved);
    suite.trial("a_claim_without_addresses_succeeds_one_without_interface_is_refused", extremes);
}

struct Hands {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    _events: Receiver<Event>,
    thread: JoinHandle<()>,
    seen: RefCell<Vec<Report>>,
}

impl Hands {
    /// Runs on `host`, with one router that has these addresses.
    fn start(host: &Host, addresses: Vec<Address>) -> Result<Self> {
        let (orders, order_reader) = mailbox(64, &Wake::new()?);
        let (reporter, reports) = mailbox(64, &Wake::new()?);
        let (events, _events) = mailbox(64, &Wake::new()?);
        let spawn =
            move || Ok(kernel::spawn(order_reader, reporter, events, Vec::new(), FilterSettings::default())?);
        let thread = host.namespace().run(spawn)?;
        let hands = Self { orders, reports, _events, thread, seen: RefCell::default() };
        let vrid = Vrid::new(51).context("a number")?;
        let identity = Arc::new(Identity { name: "VI_1".into(), vrid, interface: "eth0".into() });
        hands.orders.send_patiently(Order::Define(Definition {
            tracked: Vec::new(),
            id: ID,
            identity,
            addresses,
            routes: Vec::new(),
            rules: Vec::new(),
            promote_secondaries: false,
            owner: false,
            garp_interval: Duration::ZERO,
            drops: false,
        }));
        Ok(hands)
    }

    fn claim(&self, claim: u64) {
        self.orders.send_patiently(Order::Claim { id: ID, rounds: 1, claim, trail: Trail::begin() });
    }

    /// Numbers of the claims reported so far, those refused as negative.
    fn outcomes(&self) -> Vec<i64> {
        let mut seen = self.seen.borrow_mut();
        seen.extend(std::iter::from_fn(|| self.reports.pop()));
        let outcome = |report: &Report| match report {
            Report::Claimed { claim, .. } => i64::try_from(*claim).ok(),
            Report::Refused { claim, .. } => i64::try_from(*claim).ok().map(|claim| -claim),
            Report::Interface { .. }
            | Report::Defined { .. }
            | Report::AddressInterfaces { .. }
            | Report::Finished => None,
        };
        seen.iter().filter_map(outcome).collect()
    }

    /// Waits until this is reported of a claim; everything reported of claims so far.
    fn reported(&self, outcome: i64) -> Result<Vec<i64>> {
        let what = format!("outcome {outcome} of a claim");
        wait_until(&what, LIMIT, || Ok(Some(self.outcomes()).filter(|seen| seen.contains(&outcome))))
    }

    fn stop(self) -> Result<()> {
        self.orders.send_patiently(Order::Forget { id: ID });
        self.orders.send_patiently(Order::Shutdown);
        ensure!(self.thread.join().is_ok(), "the kernel thread panicked");
        Ok(())
    }
}

fn announced() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, begin) = (lab.host("left")?, Instant::now());
        let hands = Hands::start(left, vec![Address::new(VIP, 24)])?;
        hands.claim(1);
        hands.reported(1)?;
        ensure!(left.holds(VIP)?, "claimed but not held");
        wire.announced("left", VIP, begin, 1)?;
        hands.claim(2); // in place already: to be announced all the same
        hands.reported(2)?;
        wire.announced("left", VIP, begin, 2)?;
        ensure!(hands.outcomes() == [1, 2], "{:?}", hands.outcomes());
        hands.stop()?;
        ensure!(!left.holds(VIP)?, "left behind");
        Ok(())
    })
}

fn interleaved() -> Result<()> {
    const CLAIMS: u64 = 200;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let hands = Hands::start(left, vec![Address::new(VIP, 24)])?;
        for claim in 1..=CLAIMS {
            hands.claim(claim);
            if claim < CLAIMS {
                hands.orders.send_patiently(Order::Release { id: ID, trail: Trail::begin() });
            }
            hands.outcomes(); // so that its reports never wait
        }
        let seen = hands.reported(CLAIMS as i64)?;
        ensure!(seen.is_sorted_by(|one, next| one < next), "once each, in order: {seen:?}");
        ensure!(left.holds(VIP)?, "the last claim was claimed but not held");
        hands.stop()
    })
}

fn extremes() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let none = Hands::start(left, Vec::new())?;
        none.claim(1);
        ensure!(none.reported(1)? == [1]);
        none.stop()?;
        let absent = Address { dev: Some("none0".to_owned()), ..Address::new(VIP, 24) };
        let nowhere = Hands::start(left, vec![absent])?;
        nowhere.claim(1);
        ensure!(nowhere.reported(-1)? == [-1]);
        nowhere.stop()
    })
}
