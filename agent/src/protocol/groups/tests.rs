//! Groups in the engine without sockets: who belongs where, and what is told of it.

use super::*;
use crate::event::{Event, What};
use crate::fact::Waits;
use crate::kernel::Report;
use crate::mailbox::{Receiver, mailbox};
use crate::orders::Orders;
use crate::protocol::{Answer, Command, Notice, Queues, Refusal, Ticket};
use crate::translate::tests::router;
use crate::watch::{Tracked, Verdict};
use hacluster_core::machine::StateKind;
use hacluster_core::receive::Heard;
use hacluster_core::time::Duration;
use hacluster_core::track::Reading;
use hacluster_core::vrid::Vrid;
use hacluster_net::poll::Wake;

const LEFT: RouterId = RouterId(1);
const RIGHT: RouterId = RouterId(2);

struct Bench {
    engine: Engine,
    events: Receiver<Event>,
    notices: Receiver<Notice>,
}

fn place(id: RouterId) -> Place {
    Place { interface: "eth0".to_owned(), vrid: Vrid::new(id.0 as u8).unwrap() }
}

fn definition(members: &[RouterId]) -> Command {
    let members = members.iter().copied().map(place).collect();
    Command::Groups(vec![GroupDefinition { name: "G".into(), members }])
}

impl Bench {
    /// Both routers in one group, listening.
    fn new(priority: Priority) -> Self {
        let queue = || Wake::new().unwrap();
        let (_commands, commands) = mailbox(8, &queue());
        let (_reports, reports) = mailbox::<Report>(8, &queue());
        let (orders, _orders) = mailbox(64, &queue());
        let (events, event_reader) = mailbox(256, &queue());
        let (notices, notice_reader) = mailbox(64, &queue());
        let queues = Queues { commands, reports, orders, events, notices, ended: queue() };
        let engine = Engine::new(queues).unwrap();
        let mut bench = Self { engine, events: event_reader, notices: notice_reader };
        bench.engine.command(definition(&[LEFT, RIGHT]));
        bench.add(LEFT, priority);
        bench.add(RIGHT, Priority::DEFAULT);
        bench
    }

    fn add(&mut self, id: RouterId, priority: Priority) {
        let mut router = Box::new(router(priority));
        (router.vrid, router.name) = (place(id).vrid, format!("VI_{}", id.0));
        let orders = Orders::default();
        self.engine.command(Command::Add { id, router, fast_takeover: true, orders, waits: false });
        self.engine.feed(id, clock::now(), Input::Start { adopt: false });
    }

    fn state(&self, id: RouterId) -> StateKind {
        self.engine.routers[&id].machine.state().kind()
    }

    fn states(&self) -> [StateKind; 2] {
        [LEFT, RIGHT].map(|id| self.state(id))
    }

    /// Both rule: the addresses of a takeover are in place.
    fn rule(&mut self) {
        let from = Ipv4Addr::new(192, 0, 2, 9);
        self.engine.command(Command::TakeOver {
            place: place(LEFT),
            from,
            lead: None,
            ticket: Ticket(1),
            trail: None,
        });
        self.engine.feed(LEFT, clock::now(), Input::Claimed);
        assert_eq!(self.states(), [StateKind::Backup; 2], "it waits for the other");
        self.engine.feed(RIGHT, clock::now(), Input::Claimed);
        assert_eq!(self.states(), [StateKind::Master; 2]);
    }

    /// LEFT rules, as a member of no group.
    fn rule_alone(&mut self) {
        let from = Ipv4Addr::new(192, 0, 2, 9);
        self.engine.feed(LEFT, clock::now(), Input::TakeOver { from, lead: None });
        self.engine.feed(LEFT, clock::now(), Input::Claimed);
        assert_eq!(self.state(LEFT), StateKind::Master);
    }

    fn outlook(&self) -> Outlook {
        let company = &self.engine.groups.all[0];
        let of = |id| Member::of(&self.engine.routers[id].machine, clock::now());
        Outlook::of(&company.group, &company.members.iter().map(of).collect::<Vec<_>>())
    }

    /// Log lines so far.
    fn lines(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.events.pop());
        events.map(|event| event.what.to_string()).filter(|line| !line.is_empty()).collect()
    }

    fn answers(&mut self) -> Vec<Result<Answer, Refusal>> {
        self.engine.flush();
        let notices = std::iter::from_fn(|| self.notices.pop());
        let answer = |notice| match notice {
            Notice::Answer { answer, .. } => Some(answer),
            Notice::Transition { .. } => None,
        };
        notices.filter_map(answer).collect()
    }
}

#[test]
fn a_fault_of_one_names_it_to_the_other_and_to_whoever_reads_the_log() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.rule();
    bench.lines();
    bench.engine.feed(LEFT, clock::now(), Input::Fault(Fault::Link));
    assert_eq!(bench.states(), [StateKind::Fault; 2]);
    let lines = bench.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1].ends_with("sync group G: VI_1: the interface has no link"), "{lines:#?}");
    assert_eq!(lines[2], "sync group G: Master -> Fault: VI_1: the interface has no link");
}

/// Tells LEFT that what it tracks became so.
fn judge(bench: &mut Bench, tracked: Tracked) -> Arc<Verdict> {
    let verdict = Arc::new(Verdict::now("script chk", Reading::Bad, "exit 1".into()));
    let (place, tracked) = (place(LEFT), Some(tracked));
    bench.engine.command(Command::Tracked { place, tracked, verdict: Some(verdict.clone()) });
    verdict
}

/// The changes of state so far: whose, of which story, and when that began.
fn changes(bench: &mut Bench) -> Vec<(String, Trail, Option<Instant>)> {
    let events = std::iter::from_fn(|| bench.events.pop());
    let change = |event: Event| match event.what {
        What::Transition { began, .. } => Some((event.router?.name.clone(), event.trail?, began)),
        _ => None,
    };
    events.filter_map(change).collect()
}

#[test]
fn a_verdict_is_the_beginning_of_the_faults_of_a_whole_group() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.rule();
    changes(&mut bench);
    let fault = Some("script chk: exit 1".into());
    let verdict = judge(&mut bench, Tracked { fault, ..Tracked::default() });
    assert_eq!(bench.states(), [StateKind::Fault; 2]);
    let changes = changes(&mut bench);
    let [(left, own, began), (right, other, _)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((left.as_str(), right.as_str()), ("VI_1", "VI_2"));
    assert_eq!((own.trace(), own.parent()), (verdict.trail.trace(), Some(verdict.trail.span())));
    assert_eq!((other.trace(), other.parent()), (own.trace(), Some(own.span())));
    assert_eq!(*began, Some(verdict.at));
}

#[test]
fn a_verdict_that_lowers_the_priority_is_the_beginning_of_what_follows_from_that() {
    let better = Heard { sender: Ipv4Addr::new(192, 0, 2, 8), priority: Priority::configured(90).unwrap() };
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.engine.command(Command::Groups(Vec::new()));
    bench.rule_alone();
    changes(&mut bench);
    let verdict = judge(&mut bench, Tracked { points: -20, ..Tracked::default() });
    assert_eq!(bench.state(LEFT), StateKind::Master, "nobody better was heard yet");
    judge(&mut bench, Tracked { points: -30, ..Tracked::default() });
    bench.engine.feed(LEFT, clock::now(), Input::Heard(better));
    let yielded = changes(&mut bench);
    let [(_, own, _)] = &yielded[..] else { panic!("{yielded:?}") };
    assert_eq!(own.parent(), Some(verdict.trail.span()), "the one that mattered");
    // It has had its effect: the next time there is another reason.
    bench.rule_alone();
    bench.engine.feed(LEFT, clock::now(), Input::Heard(better));
    let again = changes(&mut bench);
    assert!(again.len() == 2 && again.iter().all(|(_, own, _)| own.trace() != verdict.trail.trace()));
}

#[test]
fn a_group_that_is_undone_leaves_no_fault_of_its_own_behind() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.engine.feed(LEFT, clock::now(), Input::Fault(Fault::Link));
    bench.engine.command(Command::Groups(Vec::new()));
    assert_eq!(bench.states(), [StateKind::Fault, StateKind::Backup]);
    bench.engine.command(definition(&[LEFT, RIGHT]));
    assert_eq!(bench.states(), [StateKind::Fault; 2]);
}

#[test]
fn a_member_that_is_removed_leaves_the_others_as_they_are() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.rule();
    bench.engine.command(Command::Remove { id: LEFT });
    assert_eq!(bench.state(RIGHT), StateKind::Master);
    bench.add(LEFT, Priority::DEFAULT);
    assert_eq!(bench.states(), [StateKind::Backup, StateKind::Master], "it joins when it could rule");
}

#[test]
fn a_member_in_fault_that_is_removed_sets_the_others_free() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.engine.feed(LEFT, clock::now(), Input::Fault(Fault::Link));
    bench.engine.command(Command::Remove { id: LEFT });
    assert_eq!(bench.state(RIGHT), StateKind::Backup);
}

#[test]
fn who_resigns_resigns_for_all() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.rule();
    bench.engine.command(Command::Resign { place: place(RIGHT), ticket: Ticket(2), trail: None });
    assert_eq!(bench.states(), [StateKind::Backup; 2]);
    // Nothing was announced in this test, so the takeover before it came to nothing.
    assert_eq!(bench.answers(), [Ok(Answer::Done), Err(Refusal::TooSlow)]);
}

#[test]
fn a_successor_on_one_network_takes_all() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.rule();
    let to = Some(Ipv4Addr::new(192, 0, 2, 9));
    bench.engine.command(Command::YieldTo { place: place(LEFT), to, ticket: Ticket(2), trail: None });
    // On the other network it has another address, and less priority than ours.
    let sender = Ipv4Addr::new(198, 51, 100, 9);
    let heard = Heard { sender, priority: Priority::configured(50).unwrap() };
    bench.engine.feed(RIGHT, clock::now(), Input::Heard(heard));
    assert_eq!(bench.states(), [StateKind::Backup; 2]);
}

#[test]
fn a_group_with_an_owner_is_not_moved() {
    let mut bench = Bench::new(Priority::OWNER);
    let from = Ipv4Addr::new(192, 0, 2, 9);
    let take_over =
        Command::TakeOver { place: place(RIGHT), from, lead: None, ticket: Ticket(1), trail: None };
    bench.engine.command(take_over);
    assert_eq!(bench.answers(), [Err(Refusal::Owner)]);
}

#[test]
fn a_router_that_changes_its_group_is_told_so() {
    let group_of = |bench: &Bench| {
        let now = bench.engine.routers[&LEFT].group_now.as_ref();
        now.map(|now| now.name.clone())
    };
    let mut bench = Bench::new(Priority::DEFAULT);
    assert_eq!(group_of(&bench).as_deref(), Some("G"));
    bench.engine.command(definition(&[RIGHT]));
    assert_eq!(group_of(&bench), None);
    assert_eq!(bench.engine.companions(RIGHT).next(), None);
}

/// What reaches a group with every packet and every timer must not depend on a memory allocator.
#[test]
fn a_round_in_which_nothing_changes_allocates_nothing() {
    let mut bench = Bench::new(Priority::DEFAULT);
    let priority = Priority::configured(200).unwrap();
    let mut round = || {
        for id in [LEFT, RIGHT] {
            let sender = Ipv4Addr::new(192, 0, 2, 9);
            bench.engine.feed(id, clock::now(), Input::Heard(Heard { sender, priority }));
            bench.engine.feed(id, clock::now(), Input::Tick);
        }
        bench.engine.serve_deadlines();
        bench.engine.flush();
        bench.engine.refresh_filters();
        let _ = bench.engine.deadline();
    };
    round(); // the first advert is news
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_group_that_waits_after_a_collision_is_asked_again_in_time() {
    let mut bench = Bench::new(Priority::DEFAULT);
    let now = clock::now();
    bench.engine.groups.set_deadline(0, Some(now + Duration::from_secs(9)));
    assert_eq!(bench.engine.groups.deadline(), Some(now + Duration::from_secs(9)));
    bench.engine.groups.set_deadline(0, Some(now));
    bench.engine.serve_groups();
    assert_eq!(bench.engine.groups.deadline(), None, "nothing is left to wait for");
}

/// On its network the left one hears nobody, on the other one there is a better master.
#[test]
fn a_group_that_waits_says_for_whom_and_why() {
    let mut bench = Bench::new(Priority::DEFAULT);
    let from = Ipv4Addr::new(192, 0, 2, 9);
    bench.engine.feed(RIGHT, clock::now(), Input::Heard(Heard { sender: from, priority: Priority::OWNER }));
    bench.lines();
    let take_over = Input::TakeOver { from, lead: None };
    bench.engine.feed(LEFT, clock::now(), take_over);
    bench.engine.feed(LEFT, clock::now(), Input::Claimed);
    let waits = |bench: &Bench, id| bench.engine.routers[&id].group_now.as_ref().unwrap().waits.clone();
    let text = "it follows a master that it must not replace".to_owned();
    let expected = Some(Waits { router: "VI_2".to_owned(), text });
    assert_eq!([LEFT, RIGHT].map(|id| waits(&bench, id)), [expected.clone(), expected]);
    // Members are hardly ever ready at once: only a wait that lasts is worth a line.
    assert_eq!(bench.lines(), Vec::<String>::new());
    let spoken = bench.engine.groups.deadline().expect("a moment to speak of it");
    bench.engine.tell_group(0, bench.outlook(), None, spoken);
    let line = "could rule, its sync group G waits: VI_2: it follows a master that it must not replace";
    assert_eq!(bench.lines(), [line]);
    bench.engine.tell_group(0, bench.outlook(), None, spoken);
    assert_eq!(bench.lines(), Vec::<String>::new(), "once is enough");
    bench.engine.feed(LEFT, clock::now(), Input::Fault(Fault::Link));
    let waits = waits(&bench, RIGHT).expect("the fault");
    assert_eq!((&*waits.router, &*waits.text), ("VI_1", "the interface has no link"));
}
