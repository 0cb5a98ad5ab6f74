//! Notifications: programs, fifos and mail that tell people what became of a virtual router, or of a
//! virtual or real server.
//!
//! ```text
//!   teller -- Feed (bounded) --> Desk: what is each router and group now?
//!                                  |-- line ----> fifo --> the user's reader
//!                                  |-- letter --> mail --> server
//!                                  `-- change --> one queue per router and group --> script::Runner
//! ```
//!
//! Contract: all of this runs on a thread of its own, behind everything else: nobody waits for a hook,
//! a reader or a mail server. One queue per router and group: never two programs at once, of what
//! waits the latest state wins, the specific hook runs before the general one. Every result is an
//! event. Memory is bounded by routers, [`Feed`], lines per fifo and mails.

mod desk;
mod fifo;
mod hooks;
mod letter;
mod mail;
mod queue;
mod settings;
mod smtp;
mod subject;
mod tell;
mod voice;

pub use voice::LastHook;

use crate::event::{Event, EventSender, Identity, What, explain};
use crate::fact::Fact;
use crate::in_force::InForce;
use crate::lvs::Told;
use crate::story::Trail;
use crate::tally::Queue;
use anyhow::Context;
use hacluster_conf::model::Config;
use hacluster_core::machine::{Note, StateKind};
use hacluster_net::poll::Wake;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Changes that may wait for the desk, which itself waits for nobody.
const CHANGES: usize = 16_384;
/// How long hooks that tell of the stop are waited for, all together.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the desk hears.
#[derive(Debug)]
enum Message {
    /// A router entered a state.
    Entered { router: Arc<Identity>, state: StateKind, priority: u8, why: Why, trail: Option<Trail> },
    /// A router stands so; nothing new unless a change was lost.
    Stands { router: Arc<Identity>, state: StateKind, priority: u8 },
    /// A master heard another one with a lower priority.
    RivalHeard { router: Arc<Identity>, why: Why },
    /// A router is gone.
    Removed { router: Arc<Identity> },
    /// A virtual or real server came or went.
    Balanced(Arc<Told>, Option<Trail>),
    /// Another configuration.
    InForce(Arc<InForce>),
}

type Why = Arc<str>;

/// Where the teller puts what happens. Never waits: what does not fit is counted.
#[derive(Clone, Debug)]
pub struct Feed {
    messages: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl Feed {
    /// Takes what matters of `event`.
    pub fn tell(&self, event: &Event) {
        let Some(message) = message(event) else { return };
        if self.messages.try_send(message).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            Queue::Changes.dropped(1);
        }
    }
}

fn message(event: &Event) -> Option<Message> {
    if let What::Fact(Fact::InForce(in_force)) = &event.what {
        return Some(Message::InForce(in_force.clone()));
    }
    if let What::Balance(notice) = &event.what {
        return notice.told.clone().map(|told| Message::Balanced(told, event.trail));
    }
    let router = event.router.clone()?;
    match &event.what {
        What::Transition { transition, priority, detail, .. } => Some(Message::Entered {
            router,
            state: transition.to,
            priority: priority.get(),
            why: explain(&transition.reason, detail.as_deref()).into(),
            trail: event.trail,
        }),
        What::Note(Note::RivalHeard(heard)) => {
            let why = format!("{} also ruled, with priority {}", heard.sender, heard.priority);
            Some(Message::RivalHeard { router, why: why.into() })
        }
        What::Fact(Fact::Standing(standing)) => {
            Some(Message::Stands { router, state: standing.state, priority: standing.priority.get() })
        }
        What::Fact(Fact::Removed) => Some(Message::Removed { router }),
        _ => None,
    }
}

/// The notifying thread.
#[derive(Debug)]
pub struct Notify {
    feed: Feed,
    flags: Arc<Flags>,
    stop: oneshot::Sender<voice::Listener>,
    thread: JoinHandle<()>,
}

/// What threads tell each other without a message.
#[derive(Debug, Default)]
struct Flags {
    /// `startup_script` has ended, or there is none.
    ready: AtomicBool,
    /// A router that stops does so because the agent does.
    stopping: AtomicBool,
}

impl Notify {
    /// Begins to tell what `config` wants told. Runs `startup_script` and rings `ready` when that has
    /// ended. `program` is an agent's executable, which becomes the script runner.
    ///
    /// # Errors
    /// When the kernel refuses the thread.
    pub fn spawn(config: &Config, events: EventSender, ready: Wake, program: &Path) -> anyhow::Result<Self> {
        let (messages, heard) = mpsc::channel(CHANGES);
        let (stop, stopped) = oneshot::channel();
        let flags = Arc::new(Flags::default());
        flags.ready.store(config.scripts.startup.is_none(), Ordering::Release);
        let feed = Feed { messages, lost: Arc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start notifications")?;
        let parts = desk::Parts {
            events,
            program: program.to_owned(),
            flags: flags.clone(),
            ready,
            lost: feed.lost.clone(),
        };
        let settings = settings::Settings::of(config);
        let thread = std::thread::Builder::new()
            .name("hacluster-tell".into())
            .spawn(move || {
                runtime.block_on(desk::run(settings, parts, heard, stopped));
                // A disk or a name server that does not answer must not keep the agent from ending.
                runtime.shutdown_background();
            })
            .context("cannot start the notifying thread")?;
        Ok(Self { feed, flags, stop, thread })
    }

    /// Where events go.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// The same, for the teller.
    pub fn listener(&self) -> impl Fn(&Event) + Send + use<> {
        let feed = self.feed();
        move |event| feed.tell(event)
    }

    /// Whether routers may start: `startup_script` has ended, or there is none.
    pub fn is_ready(&self) -> bool {
        self.flags.ready.load(Ordering::Acquire)
    }

    /// From now on a router that stops does so because the agent does: STOP is told of it.
    pub fn announce_stop(&self) {
        self.flags.stopping.store(true, Ordering::Release);
    }

    /// Tells what was fed, waits for it as long as allowed, then runs `shutdown_script` and ends.
    /// Events go directly to the log and to `listener`, which must not wait, from here on: call it when the
    /// teller has ended.
    pub fn stop(self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        let _ = self.stop.send(voice::Listener(Box::new(listener)));
        let _ = self.thread.join();
    }
}
