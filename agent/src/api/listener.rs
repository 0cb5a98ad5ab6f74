//! The TLS listener: opens where the configuration says, and goes on whatever fails.
//!
//! ```text
//!   configured --> [files usable? address free?] --> accepting --> handshake (own task, 5 s) --> server
//!       ^                each 2 s again                  |  each 2 s: files changed?
//!       `----------------- another configuration --------'
//! ```
//!
//! Contract: no failure here ends the agent or touches a virtual router; each is said once, with the
//! mend, and tried again.

use super::limits::{Budget, Door, HANDSHAKE_MAX, Seat, source};
use super::link::{Guarded, Holder, Link};
use super::roles::Complaints;
use super::tls::{Found, Keeper, LOOK_INTERVAL, LOOK_MAX, Ready, identity};
use crate::event::{Event, EventSender, What};
use hacluster_conf::model::{self, Config};
use hacluster_proto::identity::Role;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What the configuration says of the listener. Every reload sends one, also an equal one: then the
/// files are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    api: Option<model::Api>,
    /// Addresses that peers come from, as far as written as numbers.
    peers: BTreeSet<IpAddr>,
}

impl Wanted {
    pub(super) fn of(config: &Config) -> Self {
        let addresses = config.peers.iter().filter_map(|peer| peer.address.parse::<SocketAddr>().ok());
        Self { api: config.api.clone(), peers: addresses.map(|at| at.ip().to_canonical()).collect() }
    }
}

/// Runs the listener.
pub(super) struct Listener {
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) door: Arc<Door>,
    pub(super) events: EventSender,
    pub(super) complaints: Complaints,
    pub(super) connections: mpsc::Sender<io::Result<Guarded>>,
    /// Where it listens now; for tests, and to say so.
    pub(super) listening: watch::Sender<Option<SocketAddr>>,
}

/// What is said once, until it is mended.
#[derive(Default)]
struct Trouble {
    said: Option<String>,
    /// Files are often written one after the other: a fault is said when it is still there a look later.
    suspected: Option<String>,
}

impl Listener {
    /// Until the agent ends.
    pub(super) async fn run(mut self) {
        let (mut socket, mut trouble): (Option<TcpListener>, _) = (None, Trouble::default());
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = accept(socket.as_ref()) => match accepted {
                    Ok((stream, from)) => self.greet(stream, from),
                    // Out of file descriptors, most likely: others have to close some first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.look(&mut socket, &mut trouble, true).await,
                    Err(_) => return,
                },
                _ = tick.tick() => self.look(&mut socket, &mut trouble, false).await,
            }
        }
    }

    /// Brings files and socket to what is wanted, as far as that works now.
    async fn look(&self, socket: &mut Option<TcpListener>, trouble: &mut Trouble, asked: bool) {
        let Some(api) = self.wanted.borrow().api.clone() else {
            if socket.take().is_some() {
                self.listening.send_replace(None);
                self.say("API over TCP closed".to_owned());
            }
            self.keeper.forget();
            *trouble = Trouble::default();
            return;
        };
        self.look_at_files(&api.tls, trouble, asked).await;
        let open = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let right = |at: SocketAddr| at == api.listen || api.listen.port() == 0 && at.ip() == api.listen.ip();
        if self.keeper.ready().is_none() || open.is_some_and(right) {
            return;
        }
        *socket = None; // first: the new address may overlap the old one
        match TcpListener::bind(api.listen).await {
            Ok(bound) => {
                let at = bound.local_addr().unwrap_or(api.listen);
                self.listening.send_replace(Some(at));
                self.say(format!("API listens at {at} with {}", api.tls.certificate.display()));
                *trouble = Trouble::default();
                *socket = Some(bound);
            }
            Err(error) => {
                self.listening.send_replace(None);
                self.complain(trouble, cannot_listen(api.listen, &error));
            }
        }
    }

    async fn look_at_files(&self, tls: &model::Tls, trouble: &mut Trouble, asked: bool) {
        let (keeper, tls) = (self.keeper.clone(), tls.clone());
        // A network file system can hang: then the former files stay, and connections go on.
        let found = tokio::task::spawn_blocking(move || keeper.look(&tls));
        let found = match timeout(LOOK_MAX, found).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => return,
            Err(_) => return self.complain(trouble, "the files of [api] cannot be read in time".to_owned()),
        };
        match found {
            Found::Same => {
                let ended = self.keeper.sweep(false);
                if ended > 0 {
                    self.say(format!("{ended} connection(s) ended: their certificates have expired"));
                }
            }
            Found::Fresh { ended } => {
                trouble.suspected = None;
                if trouble.said.take().is_some() || ended > 0 {
                    self.say(format!("certificates read again, {ended} connection(s) ended by that"));
                }
            }
            Found::Bad(text) if self.keeper.ready().is_none() => {
                let stays = "the API over TCP stays closed until then; virtual routers are not affected";
                self.complain(trouble, format!("{text}; {stays}"));
            }
            Found::Bad(text) => {
                if asked || trouble.suspected.as_ref() == Some(&text) {
                    self.complain(trouble, format!("{text}; the former files stay in use"));
                }
                trouble.suspected = Some(text);
            }
        }
        let now = SystemTime::now();
        for warning in self.keeper.warning(now).into_iter().chain(self.keeper.late_list(now)) {
            self.events.send_or_drop(Event::now(None, What::ApiTrouble(warning)));
        }
    }

    fn say(&self, text: String) {
        self.events.send_or_drop(Event::now(None, What::Api(text)));
    }

    fn complain(&self, trouble: &mut Trouble, text: String) {
        if trouble.said.as_ref() != Some(&text) {
            self.events.send_or_drop(Event::now(None, What::ApiTrouble(text.clone())));
            trouble.said = Some(text);
        }
    }

    /// Takes a connection, or closes it when there are too many.
    fn greet(&self, stream: TcpStream, from: SocketAddr) {
        let Some(ready) = self.keeper.ready() else { return };
        let known = self.wanted.borrow().peers.contains(&from.ip().to_canonical());
        let budget = if known { Budget::PeerHandshakes } else { Budget::Handshakes };
        match self.door.seat(budget, &source(from.ip())) {
            Ok(seat) => {
                let handshake = Handshake {
                    keeper: self.keeper.clone(),
                    door: self.door.clone(),
                    complaints: self.complaints.clone(),
                    connections: self.connections.clone(),
                    ready,
                    from,
                };
                tokio::spawn(handshake.run(stream, seat));
            }
            Err(full) => self.complaints.say(format!("connection from {} closed: {full}", from.ip())),
        }
    }
}

async fn accept(socket: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match socket {
        Some(socket) => socket.accept().await,
        None => std::future::pending().await,
    }
}

fn cannot_listen(at: SocketAddr, error: &io::Error) -> String {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has the port: `ss -ltnp sport = :{}` names it", at.port())
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this node has the address (yet): correct [api] listen, or use 0.0.0.0".to_owned()
        }
        io::ErrorKind::PermissionDenied => "choose a port above 1023".to_owned(),
        _ => "correct [api] listen".to_owned(),
    };
    format!(
        "the API cannot listen at {at}: {error}; {mend}. Tried again until it works; virtual routers are not \
         affected"
    )
}

/// One handshake under way.
struct Handshake {
    keeper: Arc<Keeper>,
    door: Arc<Door>,
    complaints: Complaints,
    connections: mpsc::Sender<io::Result<Guarded>>,
    ready: Arc<Ready>,
    from: SocketAddr,
}

impl Handshake {
    async fn run(self, stream: TcpStream, pending: Seat) {
        let from = self.from.ip();
        let _ = stream.set_nodelay(true);
        let acceptor = tokio_rustls::TlsAcceptor::from(self.ready.server.clone());
        let mut stream = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return self.complaints.say(format!("connection from {from} refused: {}", refusal(&error)));
            }
            Err(_) => {
                let text = format!("connection from {from} closed: no handshake within {HANDSHAKE_MAX:?}");
                return self.complaints.say(text);
            }
        };
        drop(pending);
        match self.take(stream.get_ref().1.peer_certificates().unwrap_or_default()) {
            Ok((link, seat, ended)) => {
                let _ = self.connections.send(Ok(Guarded::new(stream, link, seat, Some(ended)))).await;
            }
            Err(text) => {
                self.complaints.say(format!("connection from {from} closed: {text}"));
                let _ = timeout(HANDSHAKE_MAX, stream.shutdown()).await;
            }
        }
    }

    /// Who it is, and a place for it.
    fn take(
        &self,
        chain: &[rustls::pki_types::CertificateDer<'static>],
    ) -> Result<(Link, Seat, tokio::sync::oneshot::Receiver<()>), String> {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let identity = identity(&chain);
        let node = identity.as_ref().ok().filter(|identity| identity.has(Role::Peer));
        let node = node.and_then(|identity| identity.node.clone());
        let (budget, source) = match node {
            Some(node) => (Budget::Peers, node.to_ascii_lowercase()),
            None => (Budget::Clients, source(self.from.ip())),
        };
        let seat = self.door.seat(budget, &source)?;
        // Whom the certificate does not name is told so at the first call.
        let expires = identity.as_ref().map_or(SystemTime::now() + HANDSHAKE_MAX, |known| known.expires);
        let ended = self.keeper.register(&chain, expires, &self.ready);
        let ended = ended.ok_or("its certificate counts no more")?;
        Ok((Link::new(identity.map(Holder::from), self.from.to_string(), budget), seat, ended))
    }
}

/// What is wrong with a client, in words.
fn refusal(error: &io::Error) -> String {
    use rustls::{CertificateError as C, Error as E};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<E>());
    match tls {
        Some(E::NoCertificatesPresented) => {
            "it shows no certificate; make one with `haclusterctl pki`".to_owned()
        }
        Some(E::InvalidCertificate(C::Revoked)) => "its certificate was revoked".to_owned(),
        Some(E::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => {
            "its certificate comes from another authority than [api] authority".to_owned()
        }
        Some(E::InvalidCertificate(C::Expired | C::ExpiredContext { .. })) => {
            "its certificate has expired, or the clock of this node is ahead".to_owned()
        }
        Some(E::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. })) => {
            "its certificate is not valid yet: the clock of this node, or of the one that made it, is off"
                .to_owned()
        }
        Some(E::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(E::AlertReceived(alert)) => {
            format!("it does not take the certificate of this node ({alert:?}); it says why at its end")
        }
        Some(tls) => tls.to_string(),
        None => error.to_string(),
    }
}
