//! The service `Admin`: checks what was asked, has the coordinator or the supervisor do it, and tells
//! everybody who asked for what and why.

use super::audit::Entry;
use super::roles::Caller;
use super::{Shared, clean, lvs, story};
use crate::cluster::find::{NotFound, find};
use crate::cluster::{NodeOutcome, Ours, Wish};
use crate::lvs::{Ask, Unknown};
use crate::reload::{self, Reloaded};
use crate::story::{Step, Trail};
use hacluster_proto::v1::{self, admin_server::Admin};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// See the contract.
#[derive(Debug)]
pub(super) struct AdminService {
    shared: Arc<Shared>,
}

impl AdminService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The virtual router `name` of this node; that there is none is remembered, too.
    fn ours(&self, name: &str, call: &Call) -> Result<Ours, Status> {
        let mut all = self.shared.cluster.all();
        let names: Vec<_> = all.iter().map(|ours| ours.now.name.as_str()).collect();
        let number = find(&names, name).map_err(|why| {
            self.shared.audit.write(call.entry.clone().end("NOT_FOUND", why.to_string()));
            match why {
                NotFound::Unknown { .. } => Status::not_found(why.to_string()),
                NotFound::Ambiguous { .. } => Status::invalid_argument(why.to_string()),
            }
        })?;
        Ok(all.swap_remove(number))
    }

    /// Has `work` done, also when the client goes meanwhile; tells and remembers what came of it.
    async fn done<T: Send + 'static>(
        &self,
        call: Call,
        what: String,
        ours: Option<Ours>,
        work: impl Future<Output = T> + Send + 'static,
        came_to: impl FnOnce(&T) -> CameTo + Send + 'static,
    ) -> Result<T, Status> {
        let shared = self.shared.clone();
        let doing = tokio::spawn(async move {
            let outcome = work.await;
            let CameTo { warning, name, text } = came_to(&outcome);
            let Wish { by, reason, dry_run, trail, .. } = call.wish;
            let identity = ours.as_ref().map(|ours| &ours.identity);
            shared.cluster.ended(identity, trail, call.step.end(warning, text.clone()));
            if !dry_run {
                let line = format!("{what}, asked by {by} ({reason}): {text}");
                shared.cluster.tell(ours.as_ref(), warning, line);
            }
            shared.audit.write(call.entry.end(name, text));
            outcome
        });
        doing.await.map_err(|_| Status::internal("the agent failed at this; please report its log"))
    }

    async fn of_node(
        &self,
        call: Call,
        what: &str,
        work: impl Future<Output = NodeOutcome> + Send + 'static,
    ) -> Result<NodeOutcome, Status> {
        let came_to = |outcome: &NodeOutcome| CameTo {
            warning: false,
            name: "DONE".to_owned(),
            text: outcome.text.clone(),
        };
        self.done(call, what.to_owned(), None, work, came_to).await
    }
}

/// A call that was looked at.
struct Call {
    wish: Wish,
    entry: Entry,
    step: Step,
}

impl Call {
    /// Who wants what and why, checked.
    fn begin<T>(
        request: &Request<T>,
        method: &'static str,
        arguments: serde_json::Value,
        reason: &str,
        dry_run: bool,
    ) -> Result<Self, Status> {
        let caller = Caller::of(request)?;
        let trail = Some(story(request).unwrap_or_else(Trail::begin)).filter(|_| !dry_run);
        let reason = clean(reason);
        if reason.is_empty() && !dry_run {
            return Err(Status::invalid_argument("say why, for the log and for your colleagues: --reason"));
        }
        let entry = Entry::begin(&caller, method, arguments, &reason, dry_run);
        let step = Step::begin(step_of(method), caller.name.clone()).served();
        Ok(Self { wish: Wish { by: caller.name, reason, dry_run, trail, ..Wish::default() }, entry, step })
    }
}

/// What a story calls it.
fn step_of(method: &str) -> &'static str {
    match method {
        "Failover" => "operator.failover",
        "Failback" => "operator.failback",
        "Drain" => "operator.drain",
        "Undrain" => "operator.undrain",
        "Pause" => "operator.pause",
        "Resume" => "operator.resume",
        "SetServer" => "operator.set_server",
        _ => "operator.reload",
    }
}

/// How a call ended.
struct CameTo {
    warning: bool,
    /// For programs.
    name: String,
    text: String,
}

fn limit(hold_for: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let Some(limit) = hold_for else { return Ok(None) };
    match Duration::try_from(limit) {
        Ok(limit) if !limit.is_zero() => Ok(Some(limit)),
        _ => Err(Status::invalid_argument("a time limit must be longer than nothing: --for 30m")),
    }
}

fn of_move(answer: &v1::Move) -> CameTo {
    use v1::MoveOutcome::{AlreadyThere, Moved, Released, Resigned};
    let well = matches!(answer.outcome(), Moved | Resigned | AlreadyThere | Released);
    let name = answer.outcome().as_str_name().trim_start_matches("MOVE_OUTCOME_").to_owned();
    CameTo { warning: !well, name, text: answer.text.clone() }
}

fn of_reload(reloaded: &Option<Reloaded>) -> CameTo {
    let Some(reloaded) = reloaded else {
        let (name, text) = ("STOPPED".to_owned(), "the agent stopped meanwhile".to_owned());
        return CameTo { warning: true, name, text };
    };
    let name = reloaded.outcome.as_str_name().trim_start_matches("RELOAD_OUTCOME_").to_owned();
    CameTo { warning: reloaded.is_refused(), name, text: reloaded.text.clone() }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn failover(
        &self,
        request: Request<v1::FailoverRequest>,
    ) -> Result<Response<v1::FailoverResponse>, Status> {
        let v1::FailoverRequest { router, to_node, reason, dry_run, hold_for } = request.get_ref();
        let limit = limit(*hold_for)?;
        let seconds = limit.map(|limit| limit.as_secs());
        let arguments = json!({"router": router, "to_node": to_node, "hold_for_seconds": seconds});
        let mut call = Call::begin(&request, "Failover", arguments, reason, *dry_run)?;
        let ours = self.ours(router, &call)?;
        (call.wish.to_node, call.wish.hold_for) = (clean(to_node), limit);
        let to = if to_node.is_empty() { "the best node".to_owned() } else { clean(to_node) };
        let (cluster, wish, moved) = (self.shared.cluster.clone(), call.wish.clone(), ours.clone());
        let work = async move { cluster.failover(&moved, &wish).await };
        let answer = self.done(call, format!("failover to {to}"), Some(ours), work, of_move).await?;
        Ok(Response::new(v1::FailoverResponse { r#move: Some(answer) }))
    }

    async fn failback(
        &self,
        request: Request<v1::FailbackRequest>,
    ) -> Result<Response<v1::FailbackResponse>, Status> {
        let v1::FailbackRequest { router, reason, dry_run } = request.get_ref();
        let call = Call::begin(&request, "Failback", json!({"router": router}), reason, *dry_run)?;
        let ours = self.ours(router, &call)?;
        let (cluster, wish, moved) = (self.shared.cluster.clone(), call.wish.clone(), ours.clone());
        let work = async move { cluster.failback(&moved, &wish).await };
        let answer = self.done(call, "failback".to_owned(), Some(ours), work, of_move).await?;
        Ok(Response::new(v1::FailbackResponse { r#move: Some(answer) }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let v1::DrainRequest { reason, dry_run, hold_for } = request.get_ref();
        let limit = limit(*hold_for)?;
        let arguments = json!({"hold_for_seconds": limit.map(|limit| limit.as_secs())});
        let mut call = Call::begin(&request, "Drain", arguments, reason, *dry_run)?;
        call.wish.hold_for = limit;
        let (cluster, wish) = (self.shared.cluster.clone(), call.wish.clone());
        let work = async move { cluster.drain(&wish).await };
        let NodeOutcome { moves, hold, text } = self.of_node(call, "drain", work).await?;
        Ok(Response::new(v1::DrainResponse { moves, hold: hold.as_ref().map(Into::into), text }))
    }

    async fn undrain(
        &self,
        request: Request<v1::UndrainRequest>,
    ) -> Result<Response<v1::UndrainResponse>, Status> {
        let v1::UndrainRequest { reason, dry_run } = request.get_ref();
        let call = Call::begin(&request, "Undrain", json!({}), reason, *dry_run)?;
        let (cluster, wish) = (self.shared.cluster.clone(), call.wish.clone());
        let work = async move { cluster.undrain(&wish).await };
        let NodeOutcome { hold, text, .. } = self.of_node(call, "undrain", work).await?;
        Ok(Response::new(v1::UndrainResponse { hold: hold.as_ref().map(Into::into), text }))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::PauseResponse>, Status> {
        let v1::PauseRequest { reason, dry_run, hold_for } = request.get_ref();
        let limit = limit(*hold_for)?;
        let arguments = json!({"hold_for_seconds": limit.map(|limit| limit.as_secs())});
        let mut call = Call::begin(&request, "Pause", arguments, reason, *dry_run)?;
        call.wish.hold_for = limit;
        let (cluster, wish) = (self.shared.cluster.clone(), call.wish.clone());
        let work = async move { cluster.pause(&wish).await };
        let NodeOutcome { hold, text, .. } = self.of_node(call, "pause", work).await?;
        Ok(Response::new(v1::PauseResponse { hold: hold.as_ref().map(Into::into), text }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let v1::ResumeRequest { reason, dry_run } = request.get_ref();
        let call = Call::begin(&request, "Resume", json!({}), reason, *dry_run)?;
        let (cluster, wish) = (self.shared.cluster.clone(), call.wish.clone());
        let work = async move { cluster.resume(&wish).await };
        let NodeOutcome { hold, text, .. } = self.of_node(call, "resume", work).await?;
        Ok(Response::new(v1::ResumeResponse { hold: hold.as_ref().map(Into::into), text }))
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let v1::ReloadRequest { reason, dry_run } = request.get_ref();
        let call = Call::begin(&request, "Reload", json!({}), reason, *dry_run)?;
        let (reply, answer) = oneshot::channel();
        if self.shared.asks.try_send(reload::Ask::Reload { dry_run: *dry_run, reply }).is_err() {
            return Err(Status::unavailable("the agent is busy with other reloads; try again in a moment"));
        }
        let work = async move { answer.await.ok() };
        let reloaded = self.done(call, "reload".to_owned(), None, work, of_reload).await?;
        let stopped = || Status::unavailable("the agent stops; nothing was reloaded");
        reloaded.map(|reloaded| Response::new(reloaded.into())).ok_or_else(stopped)
    }

    async fn set_server(
        &self,
        request: Request<v1::SetServerRequest>,
    ) -> Result<Response<v1::SetServerResponse>, Status> {
        let v1::SetServerRequest { server, service, weight, reason, dry_run, hold_for } = request.get_ref();
        let limit = limit(*hold_for)?;
        let weight = weight.map(u16::try_from).transpose();
        let weight = weight.map_err(|_| Status::invalid_argument("a weight is a number from 0 to 65535"))?;
        let seconds = limit.map(|limit| limit.as_secs());
        let arguments =
            json!({"server": server, "service": service, "weight": weight, "hold_for_seconds": seconds});
        let call = Call::begin(&request, "SetServer", arguments, reason, *dry_run)?;
        let Wish { by, reason, dry_run, trail, .. } = call.wish.clone();
        let (server, service, balancer) = (clean(server), clean(service), self.shared.lvs.clone());
        let what = match weight {
            Some(0) => format!("drain of real server {server}"),
            Some(weight) => format!("weight {weight} of real server {server}"),
            None => format!("real server {server} as configured"),
        };
        let work = async move {
            let ask = |reply| Ask { server, service, weight, by, reason, limit, trail, dry_run, reply };
            balancer.ask(ask).await.map(|done| lvs::done(&done, weight, dry_run))
        };
        match self.done(call, what, None, work, of_server).await? {
            Ok(answer) => Ok(Response::new(answer)),
            Err(Unknown(why)) => Err(Status::not_found(why)),
        }
    }
}

fn of_server(answer: &Result<v1::SetServerResponse, Unknown>) -> CameTo {
    match answer {
        Ok(answer) => CameTo { warning: false, name: "DONE".to_owned(), text: answer.text.clone() },
        Err(Unknown(why)) => CameTo { warning: false, name: "NOT_FOUND".to_owned(), text: why.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_demanded_for_everything_that_changes_something() {
        let mut request = Request::new(());
        request.extensions_mut().insert(Caller {
            name: "alice".into(),
            role: hacluster_proto::identity::Role::Operator,
            from: "unix socket".into(),
            serial: String::new(),
            node: None,
        });
        let begin = |reason, dry_run| Call::begin(&request, "Pause", json!({}), reason, dry_run);
        let refused = begin(" \n ", false).err().unwrap();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("--reason"), "{}", refused.message());
        assert!(begin("", true).ok().unwrap().wish.reason.is_empty());
        assert_eq!(begin("a\nb", false).ok().unwrap().wish.reason, "a b", "one line in the log");
    }

    #[test]
    fn a_time_limit_is_positive() {
        let of = |seconds| limit(Some(prost_types::Duration { seconds, nanos: 0 }));
        assert_eq!(limit(None).unwrap(), None);
        assert_eq!(of(60).unwrap(), Some(Duration::from_secs(60)));
        assert!(of(0).is_err() && of(-1).is_err());
    }
}
