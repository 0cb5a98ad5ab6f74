//! Mail: a queue that no router waits for, and one who carries it to the server.
//!
//! Contract: bounded, the oldest go first; sent in order; a server that is away costs one line a
//! minute with the number of mails that wait; a mail is given up after a day, or when the server
//! says that it will never take it.

use super::letter::Letter;
use super::smtp::{Failure, Session};
use super::voice::{Sparing, Voice};
use crate::story::{Delivery, Mailed};
use crate::tally::Queue;
use hacluster_conf::model::Mail;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Mails that wait.
const WAITING_MAX: usize = 4_096;
/// Between attempts while the server is away; doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// So many at once, then one per interval: routers that flap do not flood a mailbox.
const BURST: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(500);
/// A server is kept on the line for so long after a mail.
const LINGER: Duration = Duration::from_secs(1);
/// A mail that could not be sent for so long is of no use.
const AGE_MAX: Duration = Duration::from_secs(86_400);

/// The mail queue and its carrier.
#[derive(Debug)]
pub(super) struct Post {
    shared: Arc<Shared>,
    carrier: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    more: tokio::sync::Notify,
    /// Another server: no need to wait for the former one.
    changed: tokio::sync::Notify,
    voice: Voice,
}

#[derive(Debug, Default)]
struct State {
    settings: Option<Arc<Mail>>,
    waiting: VecDeque<Letter>,
    /// One more is on its way.
    in_hand: bool,
    /// The server did not answer last time.
    away: bool,
    lost: Sparing,
}

impl Post {
    /// Begins to carry. Needs a tokio runtime around it.
    pub(super) fn new(voice: Voice) -> Self {
        let (more, changed) = Default::default();
        let shared = Arc::new(Shared { state: Mutex::default(), more, changed, voice });
        let carrier = tokio::spawn(carry(shared.clone()));
        Self { shared, carrier }
    }

    /// Who gets mail by which server from now on; what waits goes there.
    pub(super) fn configure(&self, settings: Option<Mail>) {
        let mut state = self.shared.lock();
        if state.settings.as_deref() == settings.as_ref() {
            return;
        }
        if settings.is_none() {
            state.waiting.clear();
        }
        state.settings = settings.map(Arc::new);
        state.away = false;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Takes a mail; without recipients there is none.
    pub(super) fn send(&self, letter: Letter) {
        let mut state = self.shared.lock();
        if state.settings.is_none() {
            return;
        }
        if state.waiting.len() == WAITING_MAX {
            state.waiting.pop_front();
            self.shared.lose(&mut state, 1, "more than wait already came");
        }
        state.waiting.push_back(letter);
        drop(state);
        self.shared.more.notify_one();
    }

    /// Gives the carrier a last moment.
    pub(super) async fn close(&self, limit: Duration) {
        let _ = timeout(limit, async {
            while self.shared.lock().is_moving() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let left = self.shared.lock().left();
        if left > 0 {
            Queue::Mails.dropped(left as u64);
            self.shared.voice.trouble(None, format!("{left} mail(s) given up: the agent stops"));
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, state: &mut State, count: u64, why: &str) {
        if count > 0 {
            Queue::Mails.dropped(count);
            self.voice.mailed(None, Mailed::many(count, why));
        }
        if let Some(count) = state.lost.count(count) {
            self.voice.trouble(None, format!("{count} mail(s) lost: {why}"));
        }
    }

    /// Hands out the oldest mail, with the settings of now; waits for one.
    async fn take(&self) -> (Letter, Arc<Mail>) {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.more.notified().await;
        }
    }

    fn try_take(&self) -> Option<(Letter, Arc<Mail>)> {
        let mut state = self.lock();
        state.in_hand = false;
        let before = state.waiting.len();
        state.waiting.retain(|letter| letter.since.elapsed() < AGE_MAX);
        let old = (before - state.waiting.len()) as u64;
        self.lose(&mut state, old, "no server took them within a day");
        let settings = state.settings.clone()?;
        let letter = state.waiting.pop_front()?;
        state.in_hand = true;
        Some((letter, settings))
    }

    /// These are the oldest again.
    fn put_back(&self, letters: impl DoubleEndedIterator<Item = Letter>) {
        let mut state = self.lock();
        letters.rev().for_each(|letter| state.waiting.push_front(letter));
    }
}

impl State {
    /// Waiting for it makes sense.
    fn is_moving(&self) -> bool {
        self.left() > 0 && !self.away
    }

    fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.in_hand)
    }
}

/// What the carrier remembers.
struct Carrier {
    shared: Arc<Shared>,
    session: Option<(Session, Arc<Mail>)>,
    pause: Duration,
    away: Sparing,
    failures: u64,
    refused: Sparing,
}

async fn carry(shared: Arc<Shared>) {
    let mut carrier = Carrier {
        shared,
        session: None,
        pause: PAUSE.0,
        away: Sparing::default(),
        failures: 0,
        refused: Sparing::default(),
    };
    let mut pace = Pace { tokens: BURST, counted: Instant::now() };
    loop {
        let (letter, settings) = match timeout(LINGER, carrier.shared.take()).await {
            Ok(taken) => taken,
            Err(_) => {
                carrier.hang_up().await;
                carrier.shared.take().await
            }
        };
        pace.wait().await;
        match carrier.deliver(&letter, &settings).await {
            Ok(()) => carrier.delivered(&letter, &settings),
            Err(Failure::Letter(why)) => carrier.refused(&letter, &settings, &why),
            Err(Failure::Server(why)) => {
                carrier.shared.put_back([letter].into_iter());
                carrier.wait_for_server(&settings, &why).await;
            }
        }
    }
}

impl Carrier {
    async fn deliver(&mut self, letter: &Letter, settings: &Arc<Mail>) -> Result<(), Failure> {
        if self.session.as_ref().is_some_and(|(session, with)| session.is_broken() || with != settings) {
            self.hang_up().await;
        }
        if self.session.is_none() {
            self.session = Some((Session::open(settings).await?, settings.clone()));
        }
        let Some((session, _)) = &mut self.session else { return Ok(()) };
        let sent = session.send(letter, settings).await;
        if sent.is_err() {
            self.session = None;
        }
        sent
    }

    async fn hang_up(&mut self) {
        if let Some((session, _)) = self.session.take().filter(|(session, _)| !session.is_broken()) {
            session.close().await;
        }
    }

    fn delivered(&mut self, letter: &Letter, settings: &Mail) {
        self.shared.lock().away = false;
        let voice = &self.shared.voice;
        if self.failures > 0 {
            let text = format!("mail server {} is back after {} attempt(s)", server(settings), self.failures);
            voice.done(None, text);
        }
        (self.failures, self.pause, self.away) = (0, PAUSE.0, Sparing::default());
        let to = letter.recipients(settings).join(", ");
        voice.mailed(letter.trail, letter.came_to(Delivery::Sent, letter.recipients(settings).len(), ""));
        voice.done(None, format!("mail to {to}: {}", letter.subject));
    }

    /// One recipient may be at fault: the others are tried alone.
    fn refused(&mut self, letter: &Letter, settings: &Mail, why: &str) {
        let to = letter.recipients(settings);
        if to.len() > 1 {
            let one = |to: &String| Letter { only: Some(vec![to.clone()]), ..letter.clone() };
            self.shared.put_back(to.iter().map(one));
            return;
        }
        self.shared.voice.mailed(letter.trail, letter.came_to(Delivery::Refused, to.len(), why));
        if let Some(count) = self.refused.count(1) {
            let (to, server) = (to.join(", "), server(settings));
            let text = format!("{count} mail(s) given up, the latest to {to}: mail server {server}: {why}");
            self.shared.voice.trouble(None, text);
        }
    }

    /// Waits until it is worth another attempt.
    async fn wait_for_server(&mut self, settings: &Mail, why: &str) {
        self.failures += 1;
        self.shared.lock().away = true;
        if self.away.count(1).is_some() {
            let waiting = self.shared.lock().waiting.len();
            let text = format!(
                "mail server {}: {why}; {waiting} mail(s) wait and are tried again, for a day at most",
                server(settings)
            );
            self.shared.voice.trouble(None, text);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        if timeout(pause, self.shared.changed.notified()).await.is_ok() {
            self.pause = PAUSE.0;
        }
    }
}

fn server(settings: &Mail) -> String {
    format!("{}:{}", settings.server, settings.port)
}

/// Limits the rate: [`BURST`] at once, then one per [`INTERVAL`].
struct Pace {
    tokens: u32,
    counted: Instant,
}

impl Pace {
    async fn wait(&mut self) {
        let gained = self.counted.elapsed().as_millis() / INTERVAL.as_millis();
        let gained = u32::try_from(gained).unwrap_or(BURST).min(BURST);
        self.counted += INTERVAL * gained;
        self.tokens = (self.tokens + gained).min(BURST);
        if self.tokens == 0 {
            sleep(INTERVAL).await;
            self.counted += INTERVAL;
            return;
        }
        if self.tokens == BURST {
            self.counted = Instant::now(); // a full purse gains nothing
        }
        self.tokens -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hundred_at_once_and_then_two_a_second() {
        let mut pace = Pace { tokens: BURST, counted: Instant::now() };
        let start = Instant::now();
        for _ in 0..BURST {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), 20 * INTERVAL);
        sleep(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        for _ in 0..=BURST {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), INTERVAL, "an hour of rest is worth one burst");
    }
}
