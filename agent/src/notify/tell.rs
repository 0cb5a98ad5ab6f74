//! The desk's voice: a change goes to the fifos, to the mail and into its subject's queue.

use super::STOP_MAX;
use super::desk::{Desk, Line};
use super::hooks::{Hook, Means, hooks};
use super::letter::Letter;
use super::subject::{Change, Subject, Word};
use crate::lvs::Told;
use crate::story::Trail;
use hacluster_core::machine::StateKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long mail may take when the agent stops.
const LAST_MAIL: Duration = Duration::from_secs(1);

/// Tells its end, however that comes.
struct Done(Subject, mpsc::UnboundedSender<Subject>);

impl Drop for Done {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.clone());
    }
}

impl Desk {
    /// Tells `change` in every way that is configured.
    pub(super) fn change(&mut self, subject: Subject, change: Change) {
        self.write(&subject, &change.word.to_string(), change.priority);
        if self.mails(&subject, change.word)
            && let Some(letter) = Letter::of(&self.settings.node, &subject, &change)
        {
            self.post.send(letter);
        }
        self.enqueue(subject, change);
    }

    fn mails(&self, subject: &Subject, word: Word) -> bool {
        let silent = word == Word::Fault && self.settings.mail.as_ref().is_some_and(|mail| !mail.faults);
        !silent && self.notify(subject).is_some_and(|notify| notify.mail)
    }

    /// Tells that a virtual or real server came or went.
    pub(super) fn balanced(&mut self, told: &Told, trail: Option<Trail>) {
        if let Some(check) = &told.check {
            self.post.send(Letter::of_check(&self.settings.node, told, check, trail));
            return;
        }
        for (fifo, pipe) in self.fifos.iter().zip(&self.settings.fifos) {
            if pipe.balance {
                fifo.write(format!("{} {}\n", told.subject, if told.up { "UP" } else { "DOWN" }));
            }
        }
        let subject = Subject::Balanced(told.subject.clone());
        let hook = told.hook.clone().map(|(keyword, command)| Hook { keyword, command });
        let word = if told.up { Word::Up } else { Word::Down };
        let change = Change { router: None, word, priority: 0, why: told.why.clone(), hook, trail };
        if let Some(letter) = Letter::of(&self.settings.node, &subject, &change).filter(|_| told.mail) {
            self.post.send(letter);
        }
        self.enqueue(subject, change);
    }

    /// A line for every fifo that is told of virtual routers.
    pub(super) fn write(&self, subject: &Subject, state: &str, priority: u8) {
        for (fifo, pipe) in self.fifos.iter().zip(&self.settings.fifos) {
            if pipe.routers {
                fifo.write(format!("{} \"{}\" {state} {priority}\n", subject.kind(), subject.name()));
            }
        }
    }

    /// Tells the fifos what everybody is.
    pub(super) fn write_all(&self) {
        for (name, known) in &self.routers {
            if let Some(word) = known.word {
                self.write(&Subject::Instance(name.clone()), &word.to_string(), known.priority);
            }
        }
        for (name, word) in &self.groups {
            self.write(&Subject::Group(name.clone()), &word.to_string(), 0);
        }
    }

    fn enqueue(&mut self, subject: Subject, change: Change) {
        let has_hooks =
            self.notify(&subject).is_some_and(|notify| !hooks(notify, &subject, &change).is_empty());
        let is_idle = self.lines.get(&subject).is_none_or(|line| line.queue.is_idle());
        // Behind a running hook it counts even without hooks of its own: what waits is out of date.
        let replaces = !is_idle && change.word != Word::RivalHeard;
        if !has_hooks && !replaces {
            return;
        }
        let line = self.lines.entry(subject.clone()).or_default();
        match line.queue.offer(change) {
            Some(change) => self.start(subject, change),
            None => line.newer.notify_one(),
        }
    }

    fn start(&mut self, subject: Subject, change: Change) {
        let done = Done(subject.clone(), self.done.clone());
        let Some(notify) = self.notify(&subject).cloned() else { return };
        let hooks = hooks(&notify, &subject, &change);
        let line: &mut Line = self.lines.entry(subject.clone()).or_default();
        line.newer = Arc::default();
        let means = Means {
            runner: self.runner.clone(),
            scripts: self.settings.scripts.clone(),
            permits: self.permits.clone(),
            voice: self.voice.clone(),
            newer: line.newer.clone(),
            retry: notify.retry,
        };
        tokio::spawn(async move {
            means.tell(subject, change, hooks).await;
            drop(done);
        });
    }

    /// What was told of `subject` is told; on to what waits.
    pub(super) fn end(&mut self, subject: &Subject) {
        let Some(line) = self.lines.get_mut(subject) else { return };
        let next = line.queue.done();
        if let (true, Some(told)) = (next.superseded > 0, next.told) {
            let text = format!(
                "{} {}: {} state(s) not told to its hooks: newer ones came while {told} was told",
                subject.kind(),
                subject.name(),
                next.superseded
            );
            self.voice.trouble(None, text);
        }
        match next.change {
            Some(change) => self.start(subject.clone(), change),
            None => drop(self.lines.remove(subject)),
        }
    }

    /// Does what is due by now; returns whether something will be due later.
    pub(super) fn look_around(&mut self) -> bool {
        let now = Instant::now();
        let mut again = Vec::new();
        let mut later = false;
        for known in self.routers.values_mut() {
            match known.tell_again.take_if(|(at, _)| *at <= now) {
                Some((_, why)) => again.push((known.router.clone(), known.priority, why)),
                None => later |= known.tell_again.is_some(),
            }
        }
        for (router, priority, why) in again {
            let subject = Subject::Instance(router.name.clone());
            let text = format!("{why}; it has yielded: hooks of MASTER run again, theirs may have come last");
            self.voice.done(Some(router.clone()), text);
            self.enqueue(
                subject,
                Change { router: Some(router), word: Word::Master, priority, why, hook: None, trail: None },
            );
        }
        for fifo in &self.fifos {
            later |= fifo.remember_losses();
        }
        later
    }

    /// The end: hooks, lines and mail get their time, then comes `shutdown_script`.
    pub(super) async fn stop(&mut self, ends: &mut mpsc::UnboundedReceiver<Subject>) {
        let running: Vec<_> = self
            .routers
            .values()
            .filter(|known| known.word.is_some_and(lives))
            .map(|known| known.router.clone())
            .collect();
        for router in running {
            let priority = self.routers.get(&router.name).map_or(0, |known| known.priority);
            self.enter(router, StateKind::Initialize, priority, ("the agent stops".into(), None));
        }
        let deadline = Instant::now() + STOP_MAX;
        while self.lines.values().any(|line| !line.queue.is_idle()) {
            let Ok(Some(subject)) = timeout_at(deadline, ends.recv()).await else { break };
            self.end(&subject);
        }
        for (subject, line) in &self.lines {
            let pending: Vec<String> = line.queue.pending().map(|word| word.to_string()).collect();
            let (kind, name, secs) = (subject.kind(), subject.name(), STOP_MAX.as_secs());
            let text = format!(
                "{kind} {name}: hooks of {} are not done after {secs} s and are ended",
                pending.join(", ")
            );
            self.voice.trouble(None, text);
        }
        for fifo in std::mem::take(&mut self.fifos) {
            fifo.close().await;
        }
        self.post.close(LAST_MAIL).await;
        if let Some(what) = self.settings.scripts.shutdown.clone() {
            self.run_once("shutdown_script", what).await;
        }
    }
}

/// Whether something can still end.
fn lives(word: Word) -> bool {
    matches!(word, Word::Master | Word::Backup | Word::Fault)
}
