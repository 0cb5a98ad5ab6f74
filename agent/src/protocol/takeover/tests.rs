//! The engine without sockets: what it orders, feeds and answers.

use super::*;
use crate::event::Event;
use crate::kernel::{Order, Report};
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::protocol::{Command, Queues};
use crate::translate::tests::router;
use hacluster_core::machine::{Reason, TakeoverCause};
use hacluster_net::poll::Wake;

const ID: RouterId = RouterId(7);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const T: Ticket = Ticket(1);

struct Bench {
    engine: Engine,
    commands: Sender<Command>,
    orders: Receiver<Order>,
    notices: Receiver<Notice>,
    _events: Receiver<Event>,
}

impl Bench {
    /// One router of this priority, listening.
    fn new(priority: Priority) -> Self {
        let knock = Wake::new().unwrap();
        let queue = || Wake::new().unwrap();
        let (commands, command_reader) = mailbox(8, &knock);
        let (_reports, reports) = mailbox(8, &knock);
        let (orders, order_reader) = mailbox(64, &queue());
        let (events, event_reader) = mailbox(64, &queue());
        let (notices, notice_reader) = mailbox(64, &queue());
        let queues = Queues { commands: command_reader, reports, orders, events, notices, ended: queue() };
        let mut engine = Engine::new(queues).unwrap();
        let router = Box::new(router(priority));
        let orders = Orders::default();
        engine.command(Command::Add { id: ID, router, fast_takeover: true, orders, waits: false });
        engine.feed(ID, clock::now(), Input::Start { adopt: false });
        let mut bench =
            Self { engine, commands, orders: order_reader, notices: notice_reader, _events: event_reader };
        bench.notices();
        bench
    }

    fn place() -> Place {
        Place { interface: "eth0".to_owned(), vrid: router(Priority::DEFAULT).vrid }
    }

    fn machine(&self) -> &hacluster_core::machine::Machine {
        &self.engine.routers[&ID].machine
    }

    fn state(&self) -> StateKind {
        self.machine().state().kind()
    }

    /// Ends the round; what was told in it.
    fn notices(&mut self) -> Vec<Notice> {
        self.engine.flush();
        std::iter::from_fn(|| self.notices.pop()).collect()
    }

    /// Ends the round; the one answer in it, if any.
    fn answer(&mut self) -> Option<Result<Answer, Refusal>> {
        let notices = self.notices().into_iter();
        let mut answers = notices.filter_map(|notice| match notice {
            Notice::Answer { ticket: T, answer } => Some(answer),
            Notice::Answer { .. } | Notice::Transition { .. } => None,
        });
        let answer = answers.next();
        assert!(answers.next().is_none(), "one answer per ticket");
        answer
    }

    fn ask(&mut self, command: Command) -> Option<Result<Answer, Refusal>> {
        self.engine.command(command);
        self.answer()
    }

    fn take_over(&mut self, lead: Option<Priority>) -> Option<Result<Answer, Refusal>> {
        self.ask(Command::TakeOver { place: Self::place(), from: OTHER, lead, ticket: T, trail: None })
    }

    /// Number of the claim that was ordered since the last look.
    fn claim(&mut self) -> Option<u64> {
        std::iter::from_fn(|| self.orders.pop())
            .filter_map(|order| if let Order::Claim { claim, .. } = order { Some(claim) } else { None })
            .last()
    }

    fn claimed(&mut self, claim: u64) -> Instant {
        let at = clock::now();
        self.engine.report(Report::Claimed { id: ID, claim, at });
        at
    }

    fn tick(&mut self) {
        let deadline = self.machine().next_deadline().unwrap();
        self.engine.feed(ID, deadline, Input::Tick);
    }
}

#[test]
fn it_claims_as_backup_and_answers_when_the_advert_has_left() {
    let mut bench = Bench::new(Priority::DEFAULT);
    assert_eq!(bench.take_over(Priority::configured(150)), None);
    let claim = bench.claim().expect("a claim");
    assert_eq!(bench.state(), StateKind::Backup, "nothing is advertised before the announcements");
    let at = bench.claimed(claim);
    let told = bench.notices();
    let [Notice::Transition { transition, priority, .. }, Notice::Answer { ticket: T, answer }] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(transition.reason, Reason::TookOver(TakeoverCause::HandedOver(OTHER)));
    assert_eq!(priority.get(), 150);
    let Ok(Answer::Ruling { announced, advertised }) = answer else { panic!("{answer:?}") };
    assert!(*announced == at && *advertised >= at);
    assert!(bench.claim().is_some(), "the usual rounds follow");
}

#[test]
fn a_report_of_a_claim_given_up_means_nothing() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let first = bench.claim().unwrap();
    bench.tick();
    assert_eq!(bench.answer(), Some(Err(Refusal::TooSlow)));
    bench.claimed(first);
    assert_eq!((bench.answer(), bench.state()), (None, StateKind::Backup));
    bench.take_over(None);
    let second = bench.claim().unwrap();
    bench.claimed(first);
    bench.engine.report(Report::Refused { id: ID, claim: first });
    assert_eq!((bench.answer(), bench.state()), (None, StateKind::Backup));
    bench.claimed(second);
    assert!(matches!(bench.answer(), Some(Ok(Answer::Ruling { .. }))));
}

#[test]
fn what_the_kernel_refuses_is_said_and_nothing_remains() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let claim = bench.claim().unwrap();
    bench.engine.report(Report::Refused { id: ID, claim });
    assert_eq!(bench.answer(), Some(Err(Refusal::ClaimRefused)));
    assert_eq!(bench.state(), StateKind::Backup);
    assert!(matches!(bench.orders.pop(), Some(Order::Release { id: ID, .. })));
}

#[test]
fn a_second_takeover_has_to_wait_for_the_first() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let claim = bench.claim().unwrap();
    let second =
        Command::TakeOver { place: Bench::place(), from: OTHER, lead: None, ticket: Ticket(2), trail: None };
    bench.engine.command(second);
    let told = bench.notices();
    assert!(
        matches!(told[..], [Notice::Answer { ticket: Ticket(2), answer: Err(Refusal::Busy) }]),
        "{told:?}"
    );
    assert_eq!(bench.claim(), None);
    bench.claimed(claim);
    assert!(matches!(bench.answer(), Some(Ok(Answer::Ruling { .. }))), "the first one goes on");
}

#[test]
fn whoever_rules_for_another_reason_meanwhile_rules() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let first = bench.claim().unwrap();
    let soon = bench.machine().next_deadline().unwrap();
    bench.engine.feed(ID, soon - Duration::from_millis(900), resigns());
    bench.tick();
    assert_eq!(bench.state(), StateKind::Master);
    bench.claimed(first);
    assert_eq!(bench.answer(), None, "the claim of the master counts now");
    let second = bench.claim().unwrap();
    bench.claimed(second);
    assert!(matches!(bench.answer(), Some(Ok(Answer::Ruling { .. }))));
}

/// The kernel thread may lose an address to another router meanwhile and never speak of it again.
#[test]
fn nobody_waits_for_ever_for_announcements() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let begin = clock::now();
    bench.engine.feed(ID, begin, resigns());
    bench.tick();
    assert_eq!((bench.state(), bench.answer()), (StateKind::Master, None));
    let takeover = bench.engine.takeovers.get_mut(&ID).unwrap();
    let (state, faults) = (bench.engine.routers[&ID].machine.state(), Faults::default());
    assert_eq!(takeover.outcome(begin + MOVE_MAX + MOVE_MAX, state, faults), Some(Err(Refusal::TooSlow)));
}

fn resigns() -> Input {
    Input::Heard(hacluster_core::receive::Heard { sender: OTHER, priority: Priority::RESIGN })
}

#[test]
fn a_fault_or_the_end_of_the_router_ends_it() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    bench.engine.feed(ID, clock::now(), Input::Fault(Fault::Link));
    assert_eq!(bench.answer(), Some(Err(Refusal::Fault(Fault::Link))));
    assert_eq!(bench.take_over(None), Some(Err(Refusal::Fault(Fault::Link))));

    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(None);
    let removed = bench.ask(Command::Remove { id: ID });
    assert_eq!(removed, Some(Err(Refusal::NotBackup(StateKind::Initialize))));
    assert_eq!(bench.take_over(None), Some(Err(Refusal::UnknownRouter)));
}

#[test]
fn only_those_who_rule_can_give_way() {
    let place = Bench::place;
    let mut bench = Bench::new(Priority::DEFAULT);
    let yield_to = |to| Command::YieldTo { place: place(), to, ticket: T, trail: None };
    let resign = || Command::Resign { place: place(), ticket: T, trail: None };
    assert_eq!(bench.ask(yield_to(Some(OTHER))), Some(Err(Refusal::NotMaster(StateKind::Backup))));
    assert_eq!(bench.ask(yield_to(None)), Some(Ok(Answer::Done)), "taken back is taken back");
    assert_eq!(bench.ask(resign()), Some(Err(Refusal::NotMaster(StateKind::Backup))));
    bench.tick();
    assert_eq!(bench.take_over(None), Some(Err(Refusal::NotBackup(StateKind::Master))));
    assert_eq!(bench.ask(yield_to(Some(OTHER))), Some(Ok(Answer::Done)));
    assert_eq!(bench.ask(resign()), Some(Ok(Answer::Done)));
    assert_eq!(bench.state(), StateKind::Backup);
}

#[test]
fn an_owner_gives_nothing_away() {
    let mut bench = Bench::new(Priority::OWNER);
    assert_eq!(bench.state(), StateKind::Master);
    let place = Bench::place();
    assert_eq!(bench.ask(Command::Resign { place, ticket: T, trail: None }), Some(Err(Refusal::Owner)));
    assert_eq!(bench.take_over(None), Some(Err(Refusal::Owner)));
    assert_eq!(bench.state(), StateKind::Master);
}

#[test]
fn orders_end_only_the_leads_they_know_of() {
    let order = |orders| Command::Orders { place: Bench::place(), orders };
    let lead = Priority::configured(150);
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.take_over(lead);
    let claim = bench.claim().unwrap();
    bench.claimed(claim);
    bench.notices();
    let paused = Orders { hold_back: true, ..Orders::default() };
    bench.engine.command(order(paused));
    assert_eq!(Some(bench.machine().priority()), lead, "they were written before the takeover");
    bench.engine.command(order(Orders { lead, ..paused }));
    bench.engine.command(order(paused));
    assert_eq!(bench.machine().priority(), Priority::DEFAULT);
    bench.ask(Command::Lead { place: Bench::place(), lead, ticket: T });
    assert_eq!(Some(bench.machine().priority()), lead);
    bench.engine.command(order(Orders { rest: true, lead, ..Orders::default() }));
    assert_eq!(bench.machine().priority().get(), 1, "who rests leads nobody");
}

/// With a limit of a minute: whoever sleeps on in spite of the knock is noticed.
#[test]
fn a_knock_ends_the_wait_for_more_packets() {
    let mut bench = Bench::new(Priority::DEFAULT);
    bench.engine.schedule.set(ID, None);
    bench.commands.send_or_drop(Command::Retell);
    let begin = clock::now();
    bench.engine.leave_alone(begin + Duration::from_secs(60));
    assert!(clock::now().since(begin) < Duration::from_secs(30));
}
