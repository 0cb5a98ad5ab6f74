//! The teller: takes every event and tells it to the log and to the [`Board`].
//!
//! Runs on a thread of its own, behind a bounded queue: a terminal that does not scroll, a full
//! journal or a hundred subscribers never reach the protocol. When events were lost because the
//! queue was full, it asks for a retelling, so that the board becomes true again.

use crate::board::Board;
use crate::event::{Event, What};
use crate::log;
use crate::mailbox::{Receiver, Sender};
use crate::protocol::Command;
use crate::tally::Queue;
use hacluster_core::time::{Duration, Instant};
use hacluster_net::poll::{Waiter, Wake};
use hacluster_net::{NetError, clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Retellings are at least this far apart: each one costs the protocol thread a little.
const RETELL_INTERVAL: Duration = Duration::from_secs(1);

/// The thread; ends after [`stop`](Self::stop), when the queue is empty.
#[derive(Debug)]
pub struct Teller {
    stop: Arc<AtomicBool>,
    wake: Wake,
    thread: JoinHandle<()>,
}

/// What the thread works with.
struct Work<L> {
    events: Receiver<Event>,
    board: Arc<Board>,
    commands: Sender<Command>,
    /// When to ask for a retelling, if one is needed.
    retell_at: Option<Instant>,
    retold: Instant,
    /// Who else hears everything; must not wait.
    listener: L,
}

impl Teller {
    /// Begins to tell what arrives at `events`, to `listener` as well, which must not wait.
    ///
    /// # Errors
    /// When the kernel refuses the thread.
    pub fn spawn(
        events: Receiver<Event>,
        board: Arc<Board>,
        commands: Sender<Command>,
        listener: impl Fn(&Event) + Send + 'static,
    ) -> Result<Self, NetError> {
        let stop = Arc::new(AtomicBool::new(false));
        let wake = events.wake().clone();
        let mut waiter = Waiter::new()?;
        waiter.add(events.wake(), 0)?;
        let stopped = stop.clone();
        let mut work = Work { events, board, commands, retell_at: None, retold: Instant::ZERO, listener };
        let thread = std::thread::Builder::new()
            .name("hacluster-log".into())
            .spawn(move || {
                loop {
                    let last = stopped.load(Ordering::Acquire);
                    work.events.wake().clear();
                    work.tell_all();
                    if last {
                        return;
                    }
                    if waiter.wait_until(work.retell_at).map(drop).is_err() {
                        std::thread::sleep(std::time::Duration::from_millis(100));
                    }
                }
            })
            .map_err(|error| NetError::from_io("start the log thread", &error))?;
        Ok(Self { stop, wake, thread })
    }

    /// Tells what is left and ends.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.wake.wake();
        let _ = self.thread.join();
    }
}

impl<L: Fn(&Event)> Work<L> {
    fn tell_all(&mut self) {
        while let Some(event) = self.events.pop() {
            self.tell(&event);
        }
        let lost = self.events.take_dropped();
        if lost > 0 {
            Queue::Events.dropped(lost);
            self.tell(&Event::now(None, What::Lost(lost)));
            self.retell_at.get_or_insert(self.retold + RETELL_INTERVAL);
        }
        let now = clock::now();
        if self.retell_at.is_some_and(|at| at <= now) {
            // A full queue of commands: try again a little later.
            let asked = self.commands.try_send(Command::Retell).is_ok();
            self.retell_at = (!asked).then_some(now + RETELL_INTERVAL);
            self.retold = now;
        }
    }

    fn tell(&self, event: &Event) {
        log::write(event);
        self.board.write(event);
        (self.listener)(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronicle::tests::{chronicle, event, identity};
    use crate::mailbox::mailbox;

    #[test]
    fn lost_events_are_told_and_a_retelling_is_asked_for() {
        let (sender, events) = mailbox(2, &Wake::new().unwrap());
        let (commands, asked) = mailbox(2, &Wake::new().unwrap());
        for secs in 0..5 {
            sender.send_or_drop(event(&identity("VI_1", 1), secs, What::Reload("x".into())));
        }
        let board = Arc::new(Board::new(chronicle()));
        let teller = Teller::spawn(events, board.clone(), commands, |_| {}).unwrap();
        teller.stop();
        assert!(matches!(asked.pop(), Some(Command::Retell)) && asked.pop().is_none());
        let (records, _) = board.read().since(0);
        assert_eq!(records.len(), 3);
        assert!(records[2].text.starts_with("3 log line(s) lost"), "{}", records[2].text);
    }
}
