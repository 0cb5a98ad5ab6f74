//! The service `Peer`: what other agents ask.

use super::roles::Caller;
use super::{Shared, clean, story};
use hacluster_proto::v1::{self, peer_server::Peer};
use std::sync::Arc;
use std::time::SystemTime;
use tonic::{Request, Response, Status};

/// See the contract.
#[derive(Debug)]
pub(super) struct PeerService {
    shared: Arc<Shared>,
}

impl PeerService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// The calling node. Its certificate says who it is; what the message says has to agree.
fn node<T>(request: &Request<T>, claimed: &str) -> Result<String, Status> {
    let caller = Caller::of(request)?;
    match caller.node {
        Some(node) if claimed.is_empty() || claimed.eq_ignore_ascii_case(&node) => Ok(node),
        Some(node) => Err(Status::permission_denied(format!(
            "the certificate is that of node {node}, but the call that of {}; set router_id to the name in \
             the certificate",
            clean(claimed)
        ))),
        None => Ok(clean(claimed)),
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn ping(&self, _: Request<v1::PingRequest>) -> Result<Response<v1::PingResponse>, Status> {
        let node = self.shared.cluster.name();
        Ok(Response::new(v1::PingResponse { node, now: Some(SystemTime::now().into()) }))
    }

    async fn consider(
        &self,
        request: Request<v1::ConsiderRequest>,
    ) -> Result<Response<v1::ConsiderResponse>, Status> {
        node(&request, &request.get_ref().from_node)?;
        let candidate = self.shared.cluster.consider_for(request.get_ref());
        Ok(Response::new(v1::ConsiderResponse { candidate: Some(candidate) }))
    }

    async fn take_over(
        &self,
        request: Request<v1::TakeOverRequest>,
    ) -> Result<Response<v1::TakeOverResponse>, Status> {
        let (from, trail) = (node(&request, &request.get_ref().from_node)?, story(&request));
        let mut asked = request.into_inner();
        (asked.reason, asked.by) = (clean(&asked.reason), clean(&asked.by));
        let cluster = self.shared.cluster.clone();
        // Not ended by a caller that goes: what was begun ends in order.
        let doing = tokio::spawn(async move { cluster.take_over(&from, asked, trail).await });
        doing.await.map(Response::new).map_err(failed)
    }

    async fn step_back(
        &self,
        request: Request<v1::StepBackRequest>,
    ) -> Result<Response<v1::StepBackResponse>, Status> {
        let from = node(&request, "")?;
        let mut asked = request.into_inner();
        asked.reason = clean(&asked.reason);
        let cluster = self.shared.cluster.clone();
        let doing = tokio::spawn(async move { cluster.step_back_for(&from, &asked).await });
        let stepped_back = doing.await.map_err(failed)?;
        Ok(Response::new(v1::StepBackResponse { stepped_back }))
    }

    async fn hand_over(
        &self,
        request: Request<v1::HandOverRequest>,
    ) -> Result<Response<v1::HandOverResponse>, Status> {
        let (from, trail) = (node(&request, &request.get_ref().to_node)?, story(&request));
        let mut asked = request.into_inner();
        (asked.reason, asked.by) = (clean(&asked.reason), clean(&asked.by));
        let cluster = self.shared.cluster.clone();
        let doing = tokio::spawn(async move { cluster.hand_over_to(&from, asked, trail).await });
        let answer = doing.await.map_err(failed)?;
        Ok(Response::new(v1::HandOverResponse { r#move: Some(answer) }))
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn failed(_: tokio::task::JoinError) -> Status {
    Status::internal("the agent failed at this; please report its log")
}
