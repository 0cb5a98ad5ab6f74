//! The other agents: one connection to each, kept up, and what they tell of themselves.
//!
//! ```text
//!   connect (TLS) --> Read.Watch ---> Known: the peer's routers, as they change
//!       ^        `--> Peer.Ping, each second ---> alive, clock offset
//!       `---- lost: wait 100 ms .. 5 s ----'     files of certificates changed: a new connection,
//!                                                 and only that one goes on
//! ```
//!
//! Contract: losing a peer changes nothing in VRRP; the agent then only knows less. Every wait has a
//! limit, what a peer tells is bounded and believed for choosing only.

use super::known::Known;
use crate::api::Keeper;
use crate::story::Trail;
use hacluster_proto::tls::{self, ClientTls};
use hacluster_proto::trail::TRACEPARENT;
use hacluster_proto::v1::watch_response::Change;
use hacluster_proto::v1::{self, peer_client::PeerClient, read_client::ReadClient};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::AbortHandle;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// How long a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long after a start the files of the certificates may not have been looked at yet.
const IDENTITY_MAX: Duration = Duration::from_secs(3);
/// How often we look whether they are there, or changed.
const IDENTITY_LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a peer may take to begin an answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A peer is asked this often whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Waits between attempts, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the peer.
    pub name: String,
    /// Where it listens, `host:port`.
    pub address: String,
    /// Name of this node.
    pub own_name: String,
}

/// Called when a peer came, went or told something.
pub type OnChange = Arc<dyn Fn(&str, PeerChange) + Send + Sync>;

/// What happened to a peer.
#[derive(Clone, Debug)]
pub enum PeerChange {
    /// It answers.
    Connected,
    /// The connection ended. What that means is told by the attempt that follows at once.
    Interrupted,
    /// It does not answer, for this reason.
    Lost(String),
    /// It told something of itself, of this virtual router if of one.
    Told(Option<u32>),
}

/// One peer. Ends its connection when dropped.
pub struct Peer {
    /// Whom.
    pub target: Target,
    state: Arc<Mutex<Link>>,
    task: AbortHandle,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is known of the connection.
struct Link {
    channel: Option<Channel>,
    since: SystemTime,
    /// Offset in nanoseconds (theirs less ours), and how far it can be wrong.
    clock: Option<(i64, Duration)>,
    error: String,
    known: Known,
}

impl Peer {
    /// Begins to keep up a connection to `target` with the identity that `keeper` has; needs a runtime.
    pub fn start(target: Target, keeper: Arc<Keeper>, on_change: OnChange) -> Self {
        let error = "not connected yet".to_owned();
        let since = SystemTime::now();
        let link = Link { channel: None, since, clock: None, error, known: Known::default() };
        let state = Arc::new(Mutex::new(link));
        let task = tokio::spawn(keep_up(target.clone(), keeper, state.clone(), on_change)).abort_handle();
        Self { target, state, task }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.state)
    }

    /// A client, while the peer answers.
    ///
    /// # Errors
    /// Why it does not.
    pub fn client(&self) -> Result<PeerClient<Channel>, String> {
        let link = self.link();
        link.channel.clone().map(PeerClient::new).ok_or_else(|| link.error.clone())
    }

    /// The peer's side of the virtual router `key`, as last told; while it answers.
    pub fn router(&self, key: &v1::RouterKey) -> Option<v1::VirtualRouter> {
        let link = self.link();
        link.channel.as_ref()?;
        link.known.router(key).cloned()
    }

    /// The peer's side of the virtual router `key`, as last told, also long ago.
    pub fn last_known(&self, key: &v1::RouterKey) -> Option<v1::VirtualRouter> {
        self.link().known.router(key).cloned()
    }

    /// Its drain, as last told.
    pub fn drain(&self) -> Option<v1::Hold> {
        self.link().known.node.as_ref().and_then(|node| node.drain.clone())
    }

    /// Its clock less ours in nanoseconds, where that is known.
    pub fn clock_offset_nanos(&self) -> Option<i64> {
        self.link().clock.map(|(nanos, _)| nanos)
    }

    /// For a status.
    pub fn told(&self) -> v1::PeerLink {
        let link = self.link();
        v1::PeerLink {
            name: self.target.name.clone(),
            address: self.target.address.clone(),
            connected: link.channel.is_some(),
            since: Some(link.since.into()),
            clock_offset: link.clock.map(|(nanos, _)| signed(nanos)),
            clock_uncertainty: link.clock.and_then(|(_, within)| within.try_into().ok()),
            error: link.error.clone(),
        }
    }
}

fn lock(state: &Mutex<Link>) -> MutexGuard<'_, Link> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signed(nanos: i64) -> prost_types::Duration {
    const SECOND: i64 = 1_000_000_000;
    prost_types::Duration { seconds: nanos / SECOND, nanos: (nanos % SECOND) as i32 }
}

/// Connects, listens until the connection is lost, waits, and so on.
async fn keep_up(target: Target, keeper: Arc<Keeper>, state: Arc<Mutex<Link>>, on_change: OnChange) {
    let mut wait = BACKOFF.0;
    loop {
        let error = match session(&target, &keeper, &state, &on_change).await {
            // The connection at hand stays until the next one is there, or until that one is refused.
            Ok(Ended::Outdated) => continue,
            Ok(Ended::Lost(lost)) => {
                wait = BACKOFF.0;
                lost
            }
            Err(error) => error,
        };
        let news = {
            let mut link = lock(&state);
            let (was_up, other_error) = (link.channel.take().is_some(), link.error != error);
            if was_up {
                link.since = SystemTime::now();
            }
            link.clock = None;
            link.error.clone_from(&error);
            if was_up {
                Some(PeerChange::Interrupted)
            } else {
                other_error.then_some(PeerChange::Lost(error))
            }
        };
        if let Some(news) = news {
            on_change(&target.name, news);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// How a connection that was up ended.
enum Ended {
    /// For this reason.
    Lost(String),
    /// It was made with files that are no more in use: it would perhaps not come about again.
    Outdated,
}

/// The identity in use now; soon after a start it may have to be waited for.
async fn identity(keeper: &Keeper) -> Result<ClientTls, String> {
    let until = Instant::now() + IDENTITY_MAX;
    loop {
        match keeper.client() {
            Some(tls) => return Ok(tls),
            None if Instant::now() < until => tokio::time::sleep(IDENTITY_LOOKS.0).await,
            None => {
                return Err("this node has no usable certificate: look at [api] and at the log".to_owned());
            }
        }
    }
}

/// Resolves when other files than those of `tls` are in use, or none.
async fn outdated(keeper: &Keeper, tls: &ClientTls) {
    let same = |now: ClientTls| std::ptr::eq(now.material(), tls.material());
    while keeper.client().is_some_and(same) {
        tokio::time::sleep(IDENTITY_LOOKS.1).await;
    }
}

/// One connection from its beginning to its end; `Err` says why none came about.
async fn session(
    target: &Target,
    keeper: &Keeper,
    state: &Mutex<Link>,
    on_change: &OnChange,
) -> Result<Ended, String> {
    let tls = identity(keeper).await?;
    let channel = tls::connect(&target.address, &target.name, &tls, CONNECT_MAX)
        .await
        .map_err(|error| error.to_string())?;
    let mut reader =
        ReadClient::new(channel.clone()).max_decoding_message_size(hacluster_proto::MESSAGE_BYTES_MAX);
    let watch = within(reader.watch(v1::WatchRequest {})).await.map_err(words)?;
    let mut watch = watch.into_inner();
    let mut pings = PeerClient::new(channel.clone());
    let clock = ping(&mut pings, &target.own_name).await.map_err(words)?;
    let mut known = Known::default();
    let first = tokio::time::timeout(ANSWER_MAX, watch.message()).await;
    known.take(first.map_err(|_| "it tells nothing of itself")?.map_err(words)?.unwrap_or_default());
    let was_up = {
        let mut link = lock(state);
        let was_up = link.channel.is_some();
        let since = if was_up { link.since } else { SystemTime::now() };
        let error = String::new();
        *link = Link { channel: Some(channel), since, clock: Some(clock), error, known };
        was_up
    };
    if !was_up {
        on_change(&target.name, PeerChange::Connected);
    }
    let told = listen(&mut watch, state, |vrid| on_change(&target.name, PeerChange::Told(vrid)));
    let alive = stay_alive(&mut pings, &target.own_name, state);
    Ok(tokio::select! {
        lost = told => Ended::Lost(lost),
        lost = alive => Ended::Lost(lost),
        () = outdated(keeper, &tls) => Ended::Outdated,
    })
}

async fn listen(
    watch: &mut Streaming<v1::WatchResponse>,
    state: &Mutex<Link>,
    told_of: impl Fn(Option<u32>),
) -> String {
    loop {
        match watch.message().await {
            Ok(Some(told)) => {
                let vrid = match &told.change {
                    Some(Change::Router(change)) => change.router.as_ref().map(|router| router.vrid),
                    Some(Change::Snapshot(_)) | None => None,
                };
                lock(state).known.take(told);
                told_of(vrid);
            }
            Ok(None) => return "it ended the connection".to_owned(),
            Err(status) => return words(status),
        }
    }
}

async fn stay_alive(client: &mut PeerClient<Channel>, own_name: &str, state: &Mutex<Link>) -> String {
    loop {
        tokio::time::sleep(PING_INTERVAL).await;
        match ping(client, own_name).await {
            Ok(clock) => lock(state).clock = Some(clock),
            Err(status) => return words(status),
        }
    }
}

/// Their clock less ours in nanoseconds, right within half the round trip.
async fn ping(client: &mut PeerClient<Channel>, own_name: &str) -> Result<(i64, Duration), Status> {
    let (sent, wall) = (Instant::now(), SystemTime::now());
    let request = v1::PingRequest { node: own_name.to_owned(), now: Some(wall.into()) };
    let answer = within(client.ping(request)).await?.into_inner();
    let half = sent.elapsed() / 2;
    let theirs = answer.now.and_then(|now| SystemTime::try_from(now).ok());
    let theirs = theirs.ok_or_else(|| Status::internal("it tells no time"))?;
    Ok((offset(theirs, wall + half), half))
}

fn offset(theirs: SystemTime, ours: SystemTime) -> i64 {
    let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => nanos(ahead),
        Err(behind) => -nanos(behind.duration()),
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let limit = tokio::time::timeout(ANSWER_MAX, call).await;
    limit.unwrap_or_else(|_| Err(Status::deadline_exceeded("it does not answer")))
}

/// What a failed call says.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn words(status: Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    }
}

/// A call that the caller gives up after `limit`; so does the peer, which is told of the limit.
pub async fn bounded<Q, R>(
    limit: Duration,
    message: Q,
    call: impl AsyncFnOnce(Request<Q>) -> Result<tonic::Response<R>, Status>,
) -> Result<R, Status> {
    bounded_on(limit, None, message, call).await
}

/// The same as part of a story.
pub async fn bounded_on<Q, R>(
    limit: Duration,
    trail: Option<Trail>,
    message: Q,
    call: impl AsyncFnOnce(Request<Q>) -> Result<tonic::Response<R>, Status>,
) -> Result<R, Status> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    if let Some(Ok(trail)) = trail.map(|trail| trail.to_string().parse()) {
        request.metadata_mut().insert(TRACEPARENT, trail);
    }
    match tokio::time::timeout(limit, call(request)).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} ms", limit.as_millis()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_has_a_negative_offset() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(offset(ours + Duration::from_millis(1), ours), 1_000_000);
        assert_eq!(offset(ours - Duration::from_secs(3_600), ours), -3_600_000_000_000);
        let told = signed(-1_500_000_000);
        assert_eq!((told.seconds, told.nanos), (-1, -500_000_000));
    }

    #[tokio::test]
    async fn without_an_identity_the_link_says_why() {
        let target = Target { name: "node2".into(), address: "127.0.0.1:1".into(), own_name: "node1".into() };
        let (lost, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let keeper = Arc::new(Keeper::default());
        let peer = Peer::start(target, keeper, Arc::new(move |_, change| _ = lost.send(change)));
        assert!(matches!(heard.recv().await, Some(PeerChange::Lost(why)) if why.contains("[api]")));
        let told = peer.told();
        assert!(!told.connected && told.error.contains("[api]"), "{told:?}");
        assert!(peer.client().is_err());
    }

    /// A peer whose clock is off.
    struct Off(i64);

    #[tonic::async_trait]
    impl v1::peer_server::Peer for Off {
        async fn ping(
            &self,
            _: Request<v1::PingRequest>,
        ) -> Result<tonic::Response<v1::PingResponse>, Status> {
            let mut now = prost_types::Timestamp::from(SystemTime::now());
            now.seconds += self.0;
            Ok(tonic::Response::new(v1::PingResponse { node: "node2".into(), now: Some(now) }))
        }

        async fn consider(
            &self,
            _: Request<v1::ConsiderRequest>,
        ) -> Result<tonic::Response<v1::ConsiderResponse>, Status> {
            std::future::pending().await
        }

        async fn take_over(
            &self,
            _: Request<v1::TakeOverRequest>,
        ) -> Result<tonic::Response<v1::TakeOverResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn step_back(
            &self,
            _: Request<v1::StepBackRequest>,
        ) -> Result<tonic::Response<v1::StepBackResponse>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn hand_over(
            &self,
            _: Request<v1::HandOverRequest>,
        ) -> Result<tonic::Response<v1::HandOverResponse>, Status> {
            Err(Status::unimplemented(""))
        }
    }

    async fn client_of(peer: Off) -> PeerClient<Channel> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let service = v1::peer_server::PeerServer::new(peer);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        PeerClient::new(Channel::from_shared(address).unwrap().connect().await.unwrap())
    }

    #[tokio::test]
    async fn a_clock_that_is_an_hour_off_is_found_within_the_round_trip() {
        for hour in [3_600, -3_600] {
            let begin = Instant::now();
            let (nanos, within) = ping(&mut client_of(Off(hour)).await, "node1").await.unwrap();
            assert!(within <= begin.elapsed() / 2, "{within:?}");
            let error = (nanos - hour * 1_000_000_000).unsigned_abs();
            // A little more: the two clocks are read one after the other.
            assert!(
                u128::from(error) <= (within + Duration::from_millis(1)).as_nanos() * 2,
                "{nanos} +- {within:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_never_answers_is_given_up_in_time() {
        let mut client = client_of(Off(0)).await;
        let limit = Duration::from_millis(50);
        let call = async |request| client.consider(request).await;
        let status = bounded(limit, v1::ConsiderRequest::default(), call).await.unwrap_err();
        assert!(
            matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled),
            "{status:?}"
        );
    }
}
