//! One subject's queue: one change is told at a time, and of those that wait only the latest. Pure.

use super::subject::{Change, Word};

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    running: Option<Word>,
    waiting: Option<Change>,
    superseded: u64,
}

/// What follows when a change was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// To be told now.
    pub(super) change: Option<Change>,
    /// What was just told.
    pub(super) told: Option<Word>,
    /// States that were never told, because a newer one came.
    pub(super) superseded: u64,
}

impl Queue {
    /// Takes a change. Returned, it is to be told at once; else it waits.
    pub(super) fn offer(&mut self, change: Change) -> Option<Change> {
        let Some(running) = self.running else {
            self.running = Some(change.word);
            return Some(change);
        };
        let waits = self.waiting.as_ref().map(|waiting| waiting.word);
        if change.word == Word::RivalHeard && waits.is_some() {
            return None; // what waits says more: it is told after the rival was heard
        }
        let returned = waits.is_none() && running == change.word && change.word == Word::RivalHeard;
        if returned {
            return None; // the program that answers the rival runs right now
        }
        let lost = waits.is_some_and(|word| word != Word::RivalHeard);
        self.superseded += u64::from(lost);
        self.waiting = Some(change);
        None
    }

    /// What was begun is over.
    pub(super) fn done(&mut self) -> Next {
        let (told, change) = (self.running.take(), self.waiting.take());
        self.running = change.as_ref().map(|change| change.word);
        Next { change, told, superseded: std::mem::take(&mut self.superseded) }
    }

    /// Whether nothing is being told.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// What is being told, and what waits.
    pub(super) fn pending(&self) -> impl Iterator<Item = Word> {
        self.running.into_iter().chain(self.waiting.as_ref().map(|change| change.word))
    }
}

#[cfg(test)]
mod tests {
    use super::Word::{Backup, Fault, Master, RivalHeard};
    use super::*;

    fn change(word: Word) -> Change {
        Change { router: None, word, priority: 100, why: "".into(), hook: None, trail: None }
    }

    #[test]
    fn never_two_at_once_and_of_those_that_wait_the_latest() {
        let mut queue = Queue::default();
        assert_eq!(queue.offer(change(Backup)).unwrap().word, Backup);
        for word in [Master, Fault, Backup, Master] {
            assert!(queue.offer(change(word)).is_none());
        }
        let next = queue.done();
        assert_eq!((next.change.unwrap().word, next.told, next.superseded), (Master, Some(Backup), 3));
        assert!(!queue.is_idle());
        assert_eq!(queue.done(), Next { change: None, told: Some(Master), superseded: 0 });
        assert!(queue.is_idle());
    }

    #[test]
    fn a_state_that_comes_back_while_the_same_is_told_is_told_again() {
        let mut queue = Queue::default();
        queue.offer(change(Master));
        queue.offer(change(Backup));
        queue.offer(change(Master));
        let next = queue.done();
        assert_eq!((next.change.unwrap().word, next.superseded), (Master, 1));
    }

    #[test]
    fn a_rival_is_answered_once_and_never_instead_of_a_state() {
        let mut queue = Queue::default();
        queue.offer(change(Master));
        assert!(queue.offer(change(RivalHeard)).is_none());
        queue.offer(change(RivalHeard));
        queue.offer(change(Backup));
        assert!(queue.offer(change(RivalHeard)).is_none());
        let next = queue.done();
        assert_eq!((next.change.unwrap().word, next.superseded), (Backup, 0));
        queue.done();
        queue.offer(change(RivalHeard));
        queue.offer(change(RivalHeard));
        assert_eq!(queue.done().change, None);
    }
}
