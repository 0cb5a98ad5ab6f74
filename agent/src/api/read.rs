//! The service `Read`: answers from the board.

use super::{Shared, convert, lvs};
use crate::chronicle::{Change, Chronicle, Record, RouterView};
use crate::history::History;
use crate::in_force::{InForce, OnDisk};
use crate::tally::Queue;
use crate::watch::View;
use hacluster_conf::render;
use hacluster_proto::v1::{self, read_server::Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Watchers at one time.
const WATCHERS: usize = 64;
/// Messages prepared for a watcher who does not read.
const PREPARED: usize = 4;
/// How long the disk may take to be compared; a network file system can hang.
const DISK_MAX: Duration = Duration::from_millis(500);

/// See the contract.
#[derive(Debug)]
pub(super) struct ReadService {
    shared: Arc<Shared>,
    watchers: Arc<Semaphore>,
}

impl ReadService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, watchers: Arc::new(Semaphore::new(WATCHERS)) }
    }
}

/// A consistent copy of the chronicle, taken under its lock and converted after.
struct Copy {
    in_force: Arc<InForce>,
    routers: Vec<RouterView>,
    trackers: Arc<[View]>,
    sequence: u64,
}

impl Copy {
    fn of(chronicle: &Chronicle) -> Self {
        let in_force = chronicle.in_force.clone();
        let trackers = chronicle.trackers.clone();
        Self { in_force, routers: chronicle.routers(), trackers, sequence: chronicle.sequence() }
    }
}

impl Shared {
    /// How the disk compares, found out aside; `None` when it takes too long.
    async fn on_disk(self: &Arc<Self>, in_force: &Arc<InForce>) -> Option<OnDisk> {
        let (shared, in_force) = (self.clone(), in_force.clone());
        let compared = tokio::task::spawn_blocking(move || shared.disk.compare(&in_force));
        tokio::time::timeout(DISK_MAX, compared).await.ok()?.ok()
    }

    async fn snapshot(self: &Arc<Self>, copy: Copy) -> v1::GetSnapshotResponse {
        let disk = self.on_disk(&copy.in_force).await;
        let config = &copy.in_force.loaded.config;
        let duty = self.cluster.node_duty();
        let node = v1::Node {
            name: self.cluster.name(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(self.started.into()),
            now: Some(SystemTime::now().into()),
            configuration: Some(convert::configuration(&copy.in_force, disk)),
            certificate: self.tls.certificate(),
            drain: duty.drain.as_ref().map(Into::into),
            pause: duty.pause.as_ref().map(Into::into),
            peers: duty.peers,
            trackers: copy.trackers.iter().map(convert::tracker).collect(),
            telemetry: convert::telemetry(&config.telemetry, self.board.telemetry()),
        };
        let refused = config.refused.iter();
        v1::GetSnapshotResponse {
            node: Some(node),
            routers: copy.routers.iter().map(|view| self.router(view)).collect(),
            refused: refused
                .map(|refused| v1::RefusedRouter {
                    name: refused.name.clone(),
                    reason: refused.reason.clone(),
                })
                .collect(),
            sequence: copy.sequence,
            lvs: lvs::summary(&self.lvs.view(), &self.lvs.picture(), copy.in_force.balanced()),
        }
    }

    /// A snapshot, and the changes after it.
    async fn begin(self: &Arc<Self>) -> (v1::WatchResponse, broadcast::Receiver<Change>) {
        let (copy, changes) = {
            let (chronicle, changes) = self.board.subscribe();
            (Copy::of(&chronicle), changes)
        };
        let snapshot = self.snapshot(copy).await;
        (v1::WatchResponse { change: Some(v1::watch_response::Change::Snapshot(snapshot)) }, changes)
    }

    fn router(&self, view: &RouterView) -> v1::VirtualRouter {
        convert::router(view, &self.cluster.duty(&view.identity.place()))
    }

    fn router_change(&self, record: Option<&Record>, router: Option<&RouterView>) -> v1::WatchResponse {
        let router = router.map(|view| self.router(view));
        let change = v1::RouterChange { event: record.map(convert::event), router };
        v1::WatchResponse { change: Some(v1::watch_response::Change::Router(change)) }
    }

    /// Tells one watcher until it goes. Who is too slow for the changes begins again.
    async fn tell(
        self: Arc<Self>,
        to: mpsc::Sender<Result<v1::WatchResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let (first, mut changes) = self.begin().await;
        let mut message = Some(first);
        loop {
            if let Some(message) = message.take()
                && to.send(Ok(message)).await.is_err()
            {
                return;
            }
            let change = tokio::select! {
                change = changes.recv() => change,
                () = to.closed() => return,
            };
            message = match change {
                Ok(Change::Router { record, router }) => {
                    Some(self.router_change(record.as_deref(), router.as_ref()))
                }
                again @ (Ok(Change::Everything) | Err(RecvError::Lagged(_))) => {
                    if let Err(RecvError::Lagged(missed)) = again {
                        Queue::Watchers.dropped(missed);
                    }
                    let (snapshot, fresh) = self.begin().await;
                    changes = fresh;
                    Some(snapshot)
                }
                Err(RecvError::Closed) => return,
            };
        }
    }
}

#[tonic::async_trait]
impl Read for ReadService {
    async fn get_snapshot(
        &self,
        _: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::GetSnapshotResponse>, Status> {
        let copy = Copy::of(&self.shared.board.read());
        Ok(Response::new(self.shared.snapshot(copy).await))
    }

    type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let permit = self.watchers.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{WATCHERS} clients watch already; end one of them"))
        })?;
        let (sender, receiver) = mpsc::channel(PREPARED);
        tokio::spawn(self.shared.clone().tell(sender, permit));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let v1::ListEventsRequest { after_sequence, router } = request.into_inner();
        let (records, forgotten) = self.shared.board.read().since(after_sequence);
        let concerns = |name: &str| router.is_empty() || name.eq_ignore_ascii_case(&router);
        let events = records.iter().map(|record| convert::event(record));
        let events = events.filter(|event| concerns(&event.router)).collect();
        Ok(Response::new(v1::ListEventsResponse { events, forgotten }))
    }

    async fn list_transitions(
        &self,
        request: Request<v1::ListTransitionsRequest>,
    ) -> Result<Response<v1::ListTransitionsResponse>, Status> {
        let v1::ListTransitionsRequest { router } = request.into_inner();
        let mut transitions = self.shared.board.history().map(History::list).unwrap_or_default();
        transitions.retain(|of| router.is_empty() || of.router.eq_ignore_ascii_case(&router));
        Ok(Response::new(v1::ListTransitionsResponse { transitions }))
    }

    async fn get_configuration(
        &self,
        _: Request<v1::GetConfigurationRequest>,
    ) -> Result<Response<v1::GetConfigurationResponse>, Status> {
        let in_force = self.shared.board.read().in_force.clone();
        let disk = self.shared.on_disk(&in_force).await;
        let loaded = &in_force.loaded;
        let files = loaded.sources.texts().map(|(path, text)| v1::ConfigurationFile {
            path: path.display().to_string(),
            text: text.to_owned(),
        });
        Ok(Response::new(v1::GetConfigurationResponse {
            state: Some(convert::configuration(&in_force, disk)),
            files: files.collect(),
            diagnostics_json: format!("{:#}", render::json(&loaded.diagnostics, &loaded.sources)),
        }))
    }

    async fn list_lvs(
        &self,
        request: Request<v1::ListLvsRequest>,
    ) -> Result<Response<v1::ListLvsResponse>, Status> {
        let picture = self.shared.lvs.look().await;
        let services = &request.get_ref().services;
        let in_force = self.shared.board.read().in_force.clone();
        Ok(Response::new(lvs::list(&self.shared.lvs.view(), &picture, &in_force, services)))
    }
}
