//! The node's TLS identity while its files come and go.
//!
//! ```text
//!   files --look (each 2 s, and on reload)--> Material --> Ready { server, client, verifier }
//!                                       bad: the former stays, said once       |
//!   connections: who would not be let in any more is put out <---- sweep ------'
//! ```
//!
//! Contract: what is in use was complete before it came into use. A certificate that was revoked, has
//! ended, or whose authority is gone ends its connections within [`LOOK_INTERVAL`] of the file's change.

use crate::in_force::{Mark, mark};
use arc_swap::ArcSwapOption;
use hacluster_conf::model;
use hacluster_proto::identity::Identity;
use hacluster_proto::tls::{ClientTls, Files, Material, MaterialError};
use hacluster_proto::v1;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// How often the files are looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long that may take.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(5);
/// Warned of a certificate's end when it is this near, most distant first.
const WARNED_DAYS: [u64; 4] = [30, 7, 2, 0];
const DAY: Duration = Duration::from_secs(86_400);

/// What TLS runs with.
pub(super) struct Ready {
    pub(super) server: Arc<ServerConfig>,
    client: ClientTls,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Ready {
    fn load(files: &Files) -> Result<Self, MaterialError> {
        let material = Arc::new(Material::load(files)?);
        let server = Arc::new(material.server()?);
        Ok(Self { server, verifier: material.verifier(), client: ClientTls::of(material)? })
    }

    /// Whether who shows `chain` would be let in now.
    fn lets_in(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((own, between)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(own, between, UnixTime::now()).is_ok()
    }
}

/// A connection that is looked at again when the files change.
struct Connection {
    chain: Vec<CertificateDer<'static>>,
    expires: SystemTime,
    /// Gone, or the connection is: both end it.
    end: oneshot::Sender<()>,
}

/// What a look at the files found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// As before.
    Same,
    /// Other files are in use; so many connections were ended by that.
    Fresh { ended: usize },
    /// They cannot be used; what was in use stays.
    Bad(String),
}

/// How long what TLS runs with counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When the own certificate began to count.
    pub begins: SystemTime,
    /// When it ends.
    pub ends: SystemTime,
    /// When the authority that signed it ends.
    pub authority_ends: SystemTime,
    /// When the list of revoked certificates is to be replaced; `None` without one, or when it does not say.
    pub revoked_due: Option<SystemTime>,
}

/// Keeps the identity; shared by listener, services and peers' links.
#[derive(Default)]
pub struct Keeper {
    ready: ArcSwapOption<Ready>,
    connections: Mutex<Vec<Connection>>,
    /// Never held while the disk is asked.
    seen: Mutex<Seen>,
    looking: Mutex<()>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("ready", &self.ready.load().is_some()).finish_non_exhaustive()
    }
}

/// What was last seen of the files.
#[derive(Default)]
struct Seen {
    files: Option<Files>,
    marks: Vec<Option<Mark>>,
    /// They changed a moment ago, and may have changed again within one tick of the clock; or they could
    /// not be used.
    unsettled: bool,
    warned_days: Option<u64>,
    /// Days that a list was late when it was said last.
    warned_late: Option<u64>,
}

impl Keeper {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a new handshake runs with; `None` while no files are usable.
    pub(super) fn ready(&self) -> Option<Arc<Ready>> {
        self.ready.load_full()
    }

    /// What connections to peers run with, as the files are now; `None` while none are usable.
    pub fn client(&self) -> Option<ClientTls> {
        self.ready().map(|ready| ready.client.clone())
    }

    /// The certificate in use; `None` without TLS.
    pub fn certificate(&self) -> Option<v1::Certificate> {
        let ready = self.ready()?;
        let material = ready.client.material();
        Some(v1::Certificate {
            path: material.files().certificate.display().to_string(),
            subject: material.identity().name.clone(),
            expires: Some(material.identity().expires.into()),
            authority_expires: Some(material.authority_expires().into()),
            revoked_due: material.revoked_due().map(Into::into),
        })
    }

    /// How long what is in use counts; `None` without TLS.
    pub fn validity(&self) -> Option<Validity> {
        let ready = self.ready()?;
        let (material, own) = (ready.client.material(), ready.client.material().identity());
        Some(Validity {
            begins: own.not_before,
            ends: own.expires,
            authority_ends: material.authority_expires(),
            revoked_due: material.revoked_due(),
        })
    }

    /// Uses no identity any more and ends all connections.
    pub(super) fn forget(&self) {
        self.ready.store(None);
        *self.seen() = Seen::default();
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Looks at the files that `tls` names and takes them when they changed. Reads files: not for a
    /// thread that others wait for.
    pub(super) fn look(&self, tls: &model::Tls) -> Found {
        // One at a time: where a disk hangs, one thread waits for it and no more.
        let Ok(_looking) = self.looking.try_lock() else { return Found::Same };
        let files = files(tls);
        let paths: Vec<&PathBuf> =
            [&files.certificate, &files.key, &files.authority].into_iter().chain(&files.revoked).collect();
        let marks: Vec<_> = paths.iter().map(|path| mark(path)).collect();
        let same = {
            let seen = self.seen();
            let same = seen.files.as_ref() == Some(&files) && seen.marks == marks;
            if same && !seen.unsettled {
                return Found::Same;
            }
            same
        };
        let loaded = Ready::load(&files);
        let mut seen = self.seen();
        seen.unsettled = !same || loaded.is_err();
        (seen.files, seen.marks) = (Some(files), marks);
        match loaded {
            Ok(ready) => {
                if !same {
                    seen.warned_days = None;
                    seen.warned_late = None;
                }
                drop(seen);
                self.ready.store(Some(Arc::new(ready)));
                Found::Fresh { ended: self.sweep(true) }
            }
            Err(error) => Found::Bad(error.to_string()),
        }
    }

    /// Ends connections whose certificate has ended or, with `all`, that would not be let in any more.
    /// Says how many.
    pub(super) fn sweep(&self, all: bool) -> usize {
        let (ready, now) = (self.ready(), SystemTime::now());
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| !connection.end.is_closed());
        let before = connections.len();
        connections.retain(|connection| {
            let believed = || ready.as_ref().is_some_and(|ready| ready.lets_in(&connection.chain));
            connection.expires > now && (!all || believed())
        });
        before - connections.len()
    }

    /// Remembers a connection whose handshake ran with `with`; what is returned resolves when it shall
    /// end. `None` when the files changed meanwhile and would not let it in any more.
    pub(super) fn register(
        &self,
        chain: &[CertificateDer<'static>],
        expires: SystemTime,
        with: &Arc<Ready>,
    ) -> Option<oneshot::Receiver<()>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a sweep either comes later and sees it, or came before, and so did the files.
        let ready = self.ready()?;
        if !Arc::ptr_eq(&ready, with) && !ready.lets_in(chain) {
            return None;
        }
        connections.retain(|connection| !connection.end.is_closed());
        let (end, ended) = oneshot::channel();
        connections.push(Connection { chain: chain.to_vec(), expires, end });
        Some(ended)
    }

    /// A warning when the list of revoked certificates should have been replaced, and again every day.
    pub(super) fn late_list(&self, now: SystemTime) -> Option<String> {
        let ready = self.ready()?;
        let material = ready.client.material();
        let days = now.duration_since(material.revoked_due()?).ok()?.as_secs() / DAY.as_secs();
        let mut seen = self.seen();
        if seen.warned_late.is_some_and(|warned| warned >= days) {
            return None;
        }
        seen.warned_late = Some(days);
        Some(late(material.files().revoked.as_deref()?, days))
    }

    /// A warning when the certificate in use, or its authority, ends soon; each one once.
    pub(super) fn warning(&self, now: SystemTime) -> Option<String> {
        let ready = self.ready()?;
        let material = ready.client.material();
        let (own, authority) = (material.identity(), material.authority_expires());
        // Who lives for a day is renewed every day, and not worth a word before its last third.
        let third = own.expires.duration_since(own.not_before).unwrap_or_default() / 3;
        let left = |end: SystemTime| end.duration_since(now).unwrap_or_default();
        let (left, path, mend) = if left(own.expires) <= third && own.expires <= authority {
            (left(own.expires), &material.files().certificate, "haclusterctl pki renew")
        } else {
            (left(authority), &material.files().authority, "haclusterctl pki renew ca")
        };
        let near = |days: &u64| left <= DAY * u32::try_from(*days).unwrap_or(0);
        let days = WARNED_DAYS.into_iter().rev().find(near)?;
        let mut seen = self.seen();
        if seen.warned_days.is_some_and(|warned| warned <= days) {
            return None;
        }
        seen.warned_days = Some(days);
        let path = path.display();
        Some(if left.is_zero() {
            format!("{path}: the certificate has ended, nobody can connect any more; renew it with `{mend}`")
        } else {
            let hours = left.as_secs() / 3600;
            let left = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
            format!("{path}: the certificate ends in {left}; renew it with `{mend}`")
        })
    }
}

fn late(path: &Path, days: u64) -> String {
    let since = if days == 0 { "now".to_owned() } else { format!("{days} days ago") };
    format!(
        "{}: this list of revoked certificates was to be replaced {since}; it stays in force, but whoever was revoked \
         since is let in: copy the authority's new list here",
        path.display()
    )
}

fn files(tls: &model::Tls) -> Files {
    let model::Tls { certificate, key, authority, revoked } = tls.clone();
    Files { certificate, key, authority, revoked }
}

/// Whom a verified chain names, or why it may not ask.
pub(super) fn identity(chain: &[CertificateDer<'static>]) -> Result<Identity, String> {
    let own = chain.first().ok_or("no certificate was shown")?;
    Identity::of(own).map_err(|error| error.to_string())
}
