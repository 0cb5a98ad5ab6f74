//! Bounded queues between threads: no lock on either side, and a knock for the reader.
//!
//! A lock would let a preempted log thread hold up the protocol thread. The queue is an array; the
//! knock is an eventfd, which the reader polls together with its sockets.

use crossbeam_queue::ArrayQueue;
use hacluster_net::poll::Wake;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The writing end. Clones write to the same queue.
#[derive(Debug)]
pub struct Sender<T> {
    queue: Arc<ArrayQueue<T>>,
    dropped: Arc<AtomicU64>,
    wake: Wake,
}

/// The reading end.
#[derive(Debug)]
pub struct Receiver<T> {
    queue: Arc<ArrayQueue<T>>,
    dropped: Arc<AtomicU64>,
    wake: Wake,
}

/// A queue for at most `capacity` messages (at least 1) whose writers knock at `wake`.
pub fn mailbox<T>(capacity: usize, wake: &Wake) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(ArrayQueue::new(capacity.max(1)));
    let dropped = Arc::new(AtomicU64::new(0));
    let sender = Sender { queue: queue.clone(), dropped: dropped.clone(), wake: wake.clone() };
    (sender, Receiver { queue, dropped, wake: wake.clone() })
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), dropped: self.dropped.clone(), wake: self.wake.clone() }
    }
}

impl<T> Sender<T> {
    /// Never waits.
    ///
    /// # Errors
    /// The message itself when the queue is full.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        self.queue.push(message)?;
        self.wake.wake();
        Ok(())
    }

    /// For messages that may be lost: drops and counts when the queue is full.
    pub fn send_or_drop(&self, message: T) {
        if self.try_send(message).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For messages that must arrive, from threads that may wait. Not for the protocol thread.
    pub fn send_patiently(&self, mut message: T) {
        while let Err(returned) = self.try_send(message) {
            message = returned;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<T> Receiver<T> {
    /// The oldest message.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Where writers knock.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// How many messages were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (sender, receiver) = mailbox(2, &Wake::new().unwrap());
        for number in 0..5 {
            sender.send_or_drop(number);
        }
        assert_eq!([receiver.pop(), receiver.pop(), receiver.pop()], [Some(0), Some(1), None]);
        assert_eq!((receiver.take_dropped(), receiver.take_dropped()), (3, 0));
    }
}
