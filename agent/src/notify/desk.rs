//! Where changes arrive and become lines, letters and programs.

use super::fifo::Fifo;
use super::hooks::{prepare, told};
use super::mail::Post;
use super::queue::Queue;
use super::settings::Settings;
use super::subject::{Change, Subject, Word, of_members};
use super::voice::{Listener, Voice};
use super::{Flags, Message, Why};
use crate::event::{EventSender, Identity};
use crate::script::{Purpose, Runner};
use crate::story::Trail;
use hacluster_conf::model::{self, Command};
use hacluster_core::machine::StateKind;
use hacluster_core::time::Duration as Limit;
use hacluster_net::poll::Wake;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Hooks that run at one time; the others wait. The runner takes twice as many.
const HOOKS_MAX: usize = 256;
/// How often it is looked for what is due later.
const TICK: Duration = Duration::from_millis(200);

/// What a desk works with.
pub(super) struct Parts {
    pub(super) events: EventSender,
    pub(super) program: PathBuf,
    pub(super) flags: Arc<Flags>,
    pub(super) ready: Wake,
    /// Messages that did not fit into the feed.
    pub(super) lost: Arc<AtomicU64>,
}

/// A router as far as it was told.
pub(super) struct Known {
    pub(super) router: Arc<Identity>,
    pub(super) word: Option<Word>,
    pub(super) priority: u8,
    /// When its rival must have yielded.
    pub(super) tell_again: Option<(Instant, Why)>,
}

/// A subject's queue and what breaks off its retries.
#[derive(Default)]
pub(super) struct Line {
    pub(super) queue: Queue,
    pub(super) newer: Arc<tokio::sync::Notify>,
}

pub(super) struct Desk {
    pub(super) settings: Settings,
    parts: Parts,
    pub(super) voice: Voice,
    pub(super) runner: Option<Runner>,
    pub(super) routers: BTreeMap<String, Known>,
    pub(super) groups: BTreeMap<String, Word>,
    /// What holds for routers that were removed, until that is told.
    former: BTreeMap<Subject, Arc<model::Notify>>,
    pub(super) lines: BTreeMap<Subject, Line>,
    pub(super) fifos: Vec<Fifo>,
    pub(super) post: Post,
    pub(super) permits: Arc<Semaphore>,
    pub(super) done: mpsc::UnboundedSender<Subject>,
}

/// Routers may start once this is dropped, whatever became of `startup_script`.
struct Ready(Arc<Flags>, Wake);

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.ready.store(true, Ordering::Release);
        self.1.wake();
    }
}

/// Works until told to stop.
pub(super) async fn run(
    settings: Settings,
    parts: Parts,
    mut messages: mpsc::Receiver<Message>,
    mut stop: oneshot::Receiver<Listener>,
) {
    let (done, mut ends) = mpsc::unbounded_channel();
    let mut desk = Desk::new(parts, done);
    desk.configure(settings);
    desk.begin();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut owing, mut listener) = (false, None);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => {
                    desk.hear(message);
                    owing = true;
                }
                None => break,
            },
            Some(subject) = ends.recv() => desk.end(&subject),
            _ = ticks.tick(), if owing => owing = desk.look_around(),
            heard = &mut stop => {
                listener = heard.ok();
                break;
            }
        }
    }
    desk.voice.speak_alone(listener.unwrap_or_else(|| Listener(Box::new(|_| ()))));
    desk.parts.flags.stopping.store(true, Ordering::Release);
    while let Ok(message) = messages.try_recv() {
        desk.hear(message);
    }
    desk.stop(&mut ends).await;
}

impl Desk {
    fn new(parts: Parts, done: mpsc::UnboundedSender<Subject>) -> Self {
        let voice = Voice::new(parts.events.clone());
        Self {
            settings: Settings::default(),
            runner: None,
            routers: BTreeMap::new(),
            groups: BTreeMap::new(),
            former: BTreeMap::new(),
            lines: BTreeMap::new(),
            fifos: Vec::new(),
            post: Post::new(voice.clone()),
            permits: Arc::new(Semaphore::new(HOOKS_MAX)),
            voice,
            parts,
            done,
        }
    }

    /// `startup_script`, and then the routers may start.
    fn begin(&self) {
        let run = self.settings.scripts.startup.clone().map(|what| self.run_once("startup_script", what));
        let ready = Ready(self.parts.flags.clone(), self.parts.ready.clone());
        if let Some(run) = run {
            tokio::spawn(async move {
                run.await;
                drop(ready);
            });
        }
    }

    /// Runs a program that tells nothing.
    pub(super) fn run_once(
        &self,
        keyword: &'static str,
        (command, limit): (Command, Limit),
    ) -> impl Future<Output = ()> + use<> {
        let (runner, scripts, voice) =
            (self.runner.clone(), self.settings.scripts.clone(), self.voice.clone());
        async move {
            let program = command.program().to_owned();
            let limit = Duration::from_micros(limit.as_micros());
            let outcome = match (prepare(command, &scripts, limit, false).await, runner) {
                (Ok((job, _)), Some(runner)) => runner.run(job).await,
                (Err(outcome), _) => outcome,
                (Ok(_), None) => crate::script::Outcome::failed("there is no script runner"),
            };
            Purpose::Notification.ended(&outcome);
            let text = format!("{keyword} {program}: {}", told(&outcome));
            if outcome.is_success() { voice.done(None, text) } else { voice.trouble(None, text) }
        }
    }

    /// Puts other settings in force; what did not change is not disturbed.
    fn configure(&mut self, fresh: Settings) {
        if fresh.runs_programs() && self.runner.is_none() {
            self.runner = Runner::start(&self.parts.program)
                .inspect_err(|error| self.voice.trouble(None, format!("{error:#}; no hook is run")))
                .ok();
        }
        let mut former = std::mem::take(&mut self.fifos);
        for wanted in &fresh.fifos {
            let wanted = &wanted.fifo;
            let same = former.iter().position(|fifo| fifo.settings == *wanted);
            let fifo = same.map(|at| former.swap_remove(at)).unwrap_or_else(|| {
                Fifo::open(wanted.clone(), fresh.scripts.clone(), self.runner.clone(), self.voice.clone())
            });
            self.fifos.push(fifo);
        }
        for fifo in former {
            tokio::spawn(fifo.close());
        }
        self.post.configure(fresh.mail.clone());
        self.groups.retain(|name, _| fresh.groups.contains_key(name));
        self.settings = fresh;
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Entered { router, state, priority, why, trail } => {
                self.enter(router, state, priority, (why, trail));
            }
            Message::Stands { router, state, priority } => self.stand(router, state, priority),
            Message::RivalHeard { router, why } => self.rival(router, why),
            Message::Removed { router } => self.remove(&router),
            Message::Balanced(told, trail) => self.balanced(&told, trail),
            Message::InForce(in_force) => self.reload(Settings::of(&in_force.loaded.config)),
        }
        let lost = self.parts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} change(s) came faster than they could be told: not told");
            self.voice.trouble(None, text);
        }
    }

    pub(super) fn enter(
        &mut self,
        router: Arc<Identity>,
        state: StateKind,
        priority: u8,
        (why, trail): (Why, Option<Trail>),
    ) {
        let name = router.name.clone();
        let before = self.routers.get(&name).and_then(|known| known.word);
        let word = Word::of(state).or_else(|| self.word_of_end(&name, before));
        let known = Known { router: router.clone(), word, priority, tell_again: None };
        self.routers.insert(name.clone(), known);
        if let Some(word) = word.filter(|word| Some(*word) != before) {
            let change = Change { router: Some(router), word, priority, why, hook: None, trail };
            self.change(Subject::Instance(name.clone()), change);
        }
        self.regroup(&name, trail);
    }

    /// What a router that runs no more is told as. One that only starts anew is told by what it becomes.
    fn word_of_end(&self, name: &str, before: Option<Word>) -> Option<Word> {
        before?;
        if self.parts.flags.stopping.load(Ordering::Acquire) {
            return Some(Word::Stop);
        }
        if self.settings.knows(name) {
            return None;
        }
        let notify = self.notify(&Subject::Instance(name.to_owned()));
        Some(if notify.is_some_and(|notify| notify.tells_deleted) { Word::Deleted } else { Word::Fault })
    }

    /// What holds for `subject`, also while it is being removed.
    pub(super) fn notify(&self, subject: &Subject) -> Option<&Arc<model::Notify>> {
        self.settings.notify(subject).or_else(|| self.former.get(subject))
    }

    fn stand(&mut self, router: Arc<Identity>, state: StateKind, priority: u8) {
        let Some(known) = self.routers.get_mut(&router.name) else {
            if Word::of(state).is_some() {
                self.enter(router, state, priority, ("it was so when notifications began".into(), None));
            }
            return;
        };
        if known.word != Word::of(state) {
            let over = matches!(known.word, Some(Word::Stop | Word::Deleted));
            if !(over && state == StateKind::Initialize) {
                self.enter(router, state, priority, ("told late: the change itself was lost".into(), None));
            }
            return;
        }
        let differs = std::mem::replace(&mut known.priority, priority) != priority;
        let Some(word @ (Word::Master | Word::Backup)) = known.word.filter(|_| differs) else { return };
        let subject = Subject::Instance(router.name.clone());
        if self.settings.notify(&subject).is_some_and(|notify| notify.priority_changes) {
            self.write(&subject, &format!("{word}_PRIORITY"), priority);
        }
    }

    fn rival(&mut self, router: Arc<Identity>, why: Why) {
        let subject = Subject::Instance(router.name.clone());
        let Some(known) = self.routers.get_mut(&router.name) else { return };
        let Some(notify) = self.settings.notify(&subject) else { return };
        if known.word != Some(Word::Master) {
            return;
        }
        let priority = known.priority;
        if notify.master_rx_lower_pri.is_none() {
            let patience = self.settings.patience.get(&router.name).copied().unwrap_or_default();
            known.tell_again = Some((Instant::now() + patience, why.clone()));
        }
        let change =
            Change { router: Some(router), word: Word::RivalHeard, priority, why, hook: None, trail: None };
        self.change(subject, change);
    }

    fn remove(&mut self, router: &Identity) {
        let known = self.routers.get(&router.name).filter(|known| known.router.place() == router.place());
        if known.is_some_and(|known| known.word.is_some_and(|word| word != Word::Deleted)) {
            let (router, priority) = known.map(|known| (known.router.clone(), known.priority)).unzip();
            if let (Some(router), Some(priority)) = (router, priority) {
                let why = "it is configured no more".into();
                self.enter(router, StateKind::Initialize, priority, (why, None));
            }
        }
        if !self.settings.knows(&router.name) {
            self.routers.remove(&router.name);
            self.former.remove(&Subject::Instance(router.name.clone()));
        }
    }

    /// Tells groups of `member` what became of them.
    fn regroup(&mut self, member: &str, trail: Option<Trail>) {
        let of = |(_, members): &(&String, &Vec<String>)| members.iter().any(|name| name == member);
        let groups: Vec<_> = self.settings.groups.iter().filter(of).collect();
        let mut changes = Vec::new();
        for (group, members) in groups {
            let words: Vec<_> =
                members.iter().map(|name| self.routers.get(name).and_then(|known| known.word)).collect();
            let Some(word) = of_members(&words) else { continue };
            if self.groups.get(group) != Some(&word) {
                let why = format!("its member {member} was the last to change");
                changes.push((
                    group.clone(),
                    Change { router: None, word, priority: 0, why: why.into(), hook: None, trail },
                ));
            }
        }
        for (group, change) in changes {
            self.groups.insert(group.clone(), change.word);
            self.change(Subject::Group(group), change);
        }
    }

    fn reload(&mut self, fresh: Settings) {
        let before = std::mem::take(&mut self.settings);
        self.configure(fresh);
        for (subject, notify) in before.subjects {
            if self.routers.contains_key(subject.name()) && self.settings.notify(&subject).is_none() {
                self.former.insert(subject, notify); // its end is still to be told
            }
        }
        if self.settings.states_on_reload {
            self.write_all();
        }
    }
}
