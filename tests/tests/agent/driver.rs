//! The two VRRP threads of an agent on a host, told directly: what operators and peers ask for,
//! without an API in between.

use anyhow::{Context, Result};
use hacluster_agent::{
    event::{Event, Place},
    kernel::{self, FilterSettings, RouterId},
    mailbox::{Receiver, Sender, mailbox},
    orders::Orders,
    protocol::{self, Answer, Command, Notice, Queues, Refusal, Ticket},
};
use hacluster_conf::source::Memory;
use hacluster_core::machine::{StateKind, Transition};
use hacluster_lab::{Host, LIMIT, wait_until};
use hacluster_net::poll::Wake;
use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    path::Path,
    thread::JoinHandle,
};

/// Messages that may wait in any queue.
const ROOM: usize = 4_096;

/// A change of state as it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) transition: Transition,
    pub(crate) priority: u8,
    pub(crate) source: Ipv4Addr,
}

/// Runs until it is dropped. One virtual router.
pub(crate) struct Driver {
    name: String,
    place: Place,
    commands: Sender<Command>,
    notices: Receiver<Notice>,
    _events: Receiver<Event>,
    threads: Vec<JoinHandle<()>>,
    tickets: Cell<u64>,
    seen: RefCell<Vec<Notice>>,
}

impl Driver {
    /// Runs the only virtual router of `config`, a keepalived.conf, on `host`.
    pub(crate) fn start(host: &Host, config: impl ToString, orders: Orders) -> Result<Self> {
        let path = Path::new("/keepalived.conf");
        let loaded = hacluster_conf::load(path, &Memory::new(path, config.to_string()));
        let settings = loaded.config.agent;
        let router = loaded.config.routers.into_iter().next().context("no virtual router")?;
        let place = Place { interface: router.interface.clone(), vrid: router.vrid };
        let (events, _events) = mailbox(ROOM, &Wake::new()?);
        let (notices, notice_reader) = mailbox(ROOM, &Wake::new()?);
        let knock = Wake::new()?;
        let (commands, command_reader) = mailbox(ROOM, &knock);
        // Threads and sockets are born where their parent lives.
        let threads = host.namespace().run(move || {
            let (orders, order_reader) = mailbox(ROOM, &Wake::new()?);
            let (reports, report_reader) = mailbox(ROOM, &knock);
            let hands =
                kernel::spawn(order_reader, reports, events.clone(), Vec::new(), FilterSettings::default())?;
            let queues = Queues {
                commands: command_reader,
                reports: report_reader,
                orders,
                events,
                notices,
                ended: Wake::new()?,
            };
            let engine = protocol::spawn(queues, &settings)?;
            Ok(vec![hands, std::thread::spawn(move || drop(engine.join()))])
        })?;
        let router = Box::new(router);
        commands.send_patiently(Command::Add {
            id: RouterId(1),
            router,
            fast_takeover: true,
            orders,
            waits: false,
        });
        Ok(Self {
            name: host.name().to_owned(),
            place,
            commands,
            notices: notice_reader,
            _events,
            threads,
            tickets: Cell::new(0),
            seen: RefCell::default(),
        })
    }

    /// What was told so far.
    fn seen(&self) -> Vec<Notice> {
        let mut seen = self.seen.borrow_mut();
        seen.extend(std::iter::from_fn(|| self.notices.pop()));
        seen.clone()
    }

    /// Changes of state so far.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let change = |notice| match notice {
            Notice::Transition { transition, priority, source, .. } => {
                Some(Change { transition, priority: priority.get(), source })
            }
            Notice::Answer { .. } => None,
        };
        self.seen().into_iter().filter_map(change).collect()
    }

    /// Waits until it is in this state; how it came there.
    pub(crate) fn becomes(&self, state: StateKind) -> Result<Change> {
        let what = format!("{} in state {state}", self.name);
        wait_until(&what, LIMIT, || {
            Ok(self.changes().last().copied().filter(|last| last.transition.to == state))
        })
    }

    /// Sends a command and waits for what comes of it.
    pub(crate) fn ask(
        &self,
        command: impl FnOnce(Place, Ticket) -> Command,
    ) -> Result<Result<Answer, Refusal>> {
        let ticket = Ticket(self.tickets.get() + 1);
        self.tickets.set(ticket.0);
        self.commands.send_patiently(command(self.place.clone(), ticket));
        let what = format!("an answer of {}", self.name);
        wait_until(&what, LIMIT, || {
            Ok(self.seen().into_iter().find_map(|notice| match notice {
                Notice::Answer { ticket: of, answer } if of == ticket => Some(answer),
                Notice::Answer { .. } | Notice::Transition { .. } => None,
            }))
        })
    }

    /// Puts other orders in force.
    pub(crate) fn order(&self, orders: Orders) {
        self.commands.send_patiently(Command::Orders { place: self.place.clone(), orders });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.commands.send_patiently(Command::Stop);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
