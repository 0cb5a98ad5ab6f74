//! Health checks: what is asked of a server, and when.
//!
//! ```text
//!   Check (kind, route, pace) -- Prober::prepare --> Probe -- once --> Outcome --.
//!     equal ones are one task                          ^                         v
//!                                                      `-- due --- core::health::Checker
//!                                                                                |
//!   Checks: one task each on the runtime of whoever holds it                     `--> Report
//! ```
//!
//! Contract: a try ends within the time of its check (each url of HTTP has that time for itself), keeps a
//! bounded part of what it hears, and believes nothing of it. What fails on this node (no socket, no
//! such interface) says nothing of the server and changes no verdict.

mod body;
mod counted;
mod dns;
mod file;
mod http;
mod line;
mod misc;
mod outcome;
mod ping;
mod pulse;
mod route;
mod smtp;
mod tcp;
mod tls;
mod udp;

pub use counted::{Counted, Tally};
pub use outcome::Outcome;
pub use pulse::{Checks, Report, Wanted};

use crate::script::Runner;
use crate::script::program::Program;
use body::{LARGE_MAX, Patterns};
use hacluster_conf::model::lvs::{Check, CheckKind, CheckRoute};
use hacluster_conf::model::track::Probe as TrackerProbe;
use hacluster_conf::model::{Config, Scripts};
use http::Http;
use outcome::{Answer, Bad, span};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tls::Greetings;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What checks need to know beside themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// How programs are run.
    pub scripts: Scripts,
    /// Certificate chain and key, PEM, for servers that ask for them.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Authorities, PEM, that servers are checked against; nobody is without them.
    pub authorities: Option<PathBuf>,
    /// Tracked files by name.
    pub files: BTreeMap<String, TrackedFile>,
}

impl Settings {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        let files = config.trackers.iter().filter_map(|tracker| match &tracker.probe {
            TrackerProbe::File { path, init } => {
                Some((tracker.id.name.clone(), TrackedFile { path: path.clone(), init: *init }))
            }
            _ => None,
        });
        let client = config.lvs.client.as_ref();
        Self {
            scripts: config.scripts.clone(),
            certificate: client.map(|client| (client.certificate.clone(), client.key.clone())),
            authorities: config.lvs.authorities.clone(),
            files: files.collect(),
        }
    }
}

/// A file with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedFile {
    /// Where.
    pub path: PathBuf,
    /// Written at start: the number, and whether an existing file is overwritten.
    pub init: Option<(i64, bool)>,
}

/// What all probes share.
struct Shared {
    settings: Settings,
    greetings: Arc<Result<Greetings, String>>,
    /// What the files of `greetings` held.
    held: u64,
    pool: Arc<Pool>,
}

/// What goes on over changes of settings.
struct Pool {
    patterns: Patterns,
    /// Bodies of which much is kept.
    large: Semaphore,
    /// Sockets at one time.
    sockets: Semaphore,
    /// Our own program, which runs others.
    program: PathBuf,
    runner: OnceLock<Option<Runner>>,
    /// For digests of what files hold, which are not to be had again from outside.
    hasher: RandomState,
}

/// Makes probes. Cheap to clone. Needs a tokio runtime around it.
#[derive(Clone)]
pub struct Prober(Arc<Shared>);

impl Prober {
    /// `program` is an agent's own executable, started as script runner once a check needs it. Reads the
    /// certificates; where that fails, checks that need them say so.
    pub fn new(settings: Settings, program: &Path) -> Self {
        let pool = Arc::new(Pool {
            patterns: Patterns::default(),
            large: Semaphore::new(LARGE_MAX),
            sockets: Semaphore::new(route::sockets_max()),
            program: program.to_owned(),
            runner: OnceLock::new(),
            hasher: RandomState::new(),
        });
        let (held, greetings) = (pool.held(&settings), greetings(&settings));
        Self(Arc::new(Shared { settings, greetings, held, pool }))
    }

    /// Makes probes by these settings, and by what the files they name hold now.
    fn changed(&self, settings: Settings) -> Self {
        let held = self.0.pool.held(&settings);
        if held == self.0.held && settings == self.0.settings {
            return self.clone();
        }
        let greetings = if held == self.0.held { self.0.greetings.clone() } else { greetings(&settings) };
        Self(Arc::new(Shared { settings, greetings, held, pool: self.0.pool.clone() }))
    }

    /// Whether a probe of `kind` that `other` made is as good as one of ours.
    fn makes_like(&self, other: &Self, kind: &CheckKind) -> bool {
        let (ours, theirs) = (&self.0, &other.0);
        match kind {
            CheckKind::Http(http) => !http.tls || ours.held == theirs.held,
            CheckKind::Misc { .. } => ours.settings.scripts == theirs.settings.scripts,
            CheckKind::File { tracker, .. } => {
                ours.settings.files.get(tracker) == theirs.settings.files.get(tracker)
            }
            CheckKind::Tcp
            | CheckKind::Smtp { .. }
            | CheckKind::Dns { .. }
            | CheckKind::Udp(_)
            | CheckKind::Ping => true,
        }
    }

    /// The tracked file of that name.
    fn file(&self, tracker: &str) -> Option<TrackedFile> {
        self.0.settings.files.get(tracker).cloned()
    }

    /// Tries `check` once.
    pub async fn probe(&self, check: &Check) -> Outcome {
        self.prepare(check).once().await
    }

    /// What it takes to try `check` again and again.
    fn prepare(&self, check: &Check) -> Probe {
        let shared = self.0.clone();
        let way = match &check.kind {
            CheckKind::Http(http) => match Http::new(http, &check.route, &shared) {
                Ok(http) => Way::Http(http),
                Err(why) => Way::None(why),
            },
            CheckKind::Misc { command, dynamic } => {
                let runner = shared.pool.runner();
                let program = Program::new(command.clone(), shared.settings.scripts.clone(), runner);
                Way::Misc(Box::new(program), *dynamic)
            }
            CheckKind::File { .. } => Way::None(Bad::Ours("a file is watched, not tried".to_owned())),
            kind @ (CheckKind::Tcp
            | CheckKind::Smtp { .. }
            | CheckKind::Dns { .. }
            | CheckKind::Udp(_)
            | CheckKind::Ping) => Way::Simple(kind.clone()),
        };
        Probe { way, route: check.route.clone(), limit: duration(check.pace.timeout), shared }
    }
}

fn greetings(settings: &Settings) -> Arc<Result<Greetings, String>> {
    Arc::new(Greetings::load(settings.certificate.as_ref(), settings.authorities.as_deref()))
}

impl Pool {
    /// Which files are read for greetings, and what they hold: equal for equal ones.
    fn held(&self, settings: &Settings) -> u64 {
        let own = settings.certificate.as_ref();
        let files = [own.map(|(chain, _)| chain), own.map(|(_, key)| key), settings.authorities.as_ref()];
        self.hasher.hash_one(files.map(|file| file.map(|path| (path, tls::read(path)))))
    }

    fn runner(&self) -> Option<Runner> {
        let start = || {
            let started = Runner::start(&self.program);
            started.inspect_err(|error| tracing::error!("{error:#}; MISC_CHECK cannot be tried")).ok()
        };
        self.runner.get_or_init(start).clone()
    }
}

/// A check, ready to be tried again and again.
struct Probe {
    way: Way,
    route: CheckRoute,
    limit: Duration,
    shared: Arc<Shared>,
}

enum Way {
    Simple(CheckKind),
    Http(Http),
    Misc(Box<Program>, bool),
    /// It cannot be tried.
    None(Bad),
}

impl Probe {
    async fn once(&mut self) -> Outcome {
        let start = Instant::now();
        let answer = self.answer().await;
        Outcome::of(answer, start.elapsed())
    }

    async fn answer(&mut self) -> Answer {
        let Self { way, route, limit, shared } = self;
        let limit = *limit;
        match way {
            Way::None(why) => return Err(why.clone()),
            Way::Misc(program, dynamic) => return misc::ask(program, *dynamic, limit).await,
            Way::Simple(_) | Way::Http(_) => {}
        }
        let Ok(Ok(_socket)) = timeout(limit, shared.pool.sockets.acquire()).await else {
            let why = "other checks left no socket for it; raise LimitNOFILE";
            return Err(Bad::Ours(format!("{why} ({} waited)", span(limit))));
        };
        match way {
            Way::Http(http) => http.ask(route, limit, shared).await,
            Way::Simple(CheckKind::Tcp) => tcp::ask(route, limit).await,
            Way::Simple(CheckKind::Smtp { helo }) => smtp::ask(route, helo, limit).await,
            Way::Simple(CheckKind::Dns { record, name }) => dns::ask(route, *record, name, limit).await,
            Way::Simple(CheckKind::Udp(check)) => udp::ask(route, check, limit).await,
            Way::Simple(CheckKind::Ping) => ping::ask(route, limit).await,
            Way::Simple(CheckKind::Http(_) | CheckKind::Misc { .. } | CheckKind::File { .. })
            | Way::Misc(..)
            | Way::None(_) => Err(Bad::Ours("it is tried in another way".to_owned())),
        }
    }
}

fn duration(of: hacluster_core::time::Duration) -> Duration {
    Duration::from_micros(of.as_micros())
}
