//! Who may call what: one table, and the gate that every call passes.
//!
//! ```text
//!   connection -> Link (who, from where) --.
//!   call: path --------------------------> Gate: rate -> known? -> who? -> expired? -> role? -> service
//!                                                     `-- the first "no" answers in words    (Caller)
//! ```
//!
//! A call that the table does not name is denied, whoever asks.

use super::link::Link;
use crate::event::{EventSender, What};
use hacluster_proto::identity::Role;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

const LOOK: &[Role] = &[Role::Viewer, Role::Operator, Role::Peer];
const MOVE: &[Role] = &[Role::Operator];
const AGENT: &[Role] = &[Role::Peer];

/// Which roles may make which call.
const TABLE: &[(&str, &[Role])] = &[
    ("/hacluster.v1.Read/GetSnapshot", LOOK),
    ("/hacluster.v1.Read/Watch", LOOK),
    ("/hacluster.v1.Read/ListEvents", LOOK),
    ("/hacluster.v1.Read/ListTransitions", LOOK),
    ("/hacluster.v1.Read/GetConfiguration", LOOK),
    ("/hacluster.v1.Read/ListLvs", LOOK),
    ("/hacluster.v1.Admin/Failover", MOVE),
    ("/hacluster.v1.Admin/Failback", MOVE),
    ("/hacluster.v1.Admin/Drain", MOVE),
    ("/hacluster.v1.Admin/Undrain", MOVE),
    ("/hacluster.v1.Admin/Pause", MOVE),
    ("/hacluster.v1.Admin/Resume", MOVE),
    ("/hacluster.v1.Admin/Reload", MOVE),
    ("/hacluster.v1.Admin/SetServer", MOVE),
    ("/hacluster.v1.Peer/Ping", AGENT),
    ("/hacluster.v1.Peer/Consider", AGENT),
    ("/hacluster.v1.Peer/TakeOver", AGENT),
    ("/hacluster.v1.Peer/StepBack", AGENT),
    ("/hacluster.v1.Peer/HandOver", AGENT),
];

/// Who makes a call; every service finds it among the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name in the certificate; `root` or `uid N` on the unix socket.
    pub name: String,
    /// The role that lets it make this call.
    pub role: Role,
    /// Address and port; `unix socket` on that.
    pub from: String,
    /// Serial number of the certificate in hex; empty on the unix socket.
    pub serial: String,
    /// The node whose agent it is; absent for people.
    pub node: Option<String>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.role, self.from)
    }
}

impl Caller {
    /// Who makes `request`.
    ///
    /// # Errors
    /// When it came past the gate, which is a fault of the agent.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let known = request.extensions().get::<Self>().cloned();
        known.ok_or_else(|| Status::internal("the caller was not looked at; please report this"))
    }
}

/// Who may call the method at `path`; `None` when there is no such method.
fn roles(path: &str) -> Option<&'static [Role]> {
    TABLE.iter().find(|(method, _)| *method == path).map(|(_, roles)| *roles)
}

/// Lets a call of `path` over `link` pass, or says why not.
pub(super) fn admit(link: &Link, path: &str, at: Instant, now: SystemTime) -> Result<Caller, Status> {
    if let Err((per_second, wait)) = link.take_token(at) {
        return Err(Status::resource_exhausted(format!(
            "more than {per_second} requests per second on one connection; ask again in {} ms",
            wait.as_millis().max(1)
        )));
    }
    let Some(roles) = roles(path) else {
        return Err(Status::permission_denied(format!(
            "this agent ({}) knows no such call: the versions of client and agent differ",
            env!("CARGO_PKG_VERSION")
        )));
    };
    let holder = link.holder().map_err(Status::permission_denied)?;
    if holder.expires.is_some_and(|end| end <= now) {
        return Err(Status::unauthenticated(format!(
            "the certificate of {} has expired since it connected; make another with `haclusterctl pki`",
            holder.name
        )));
    }
    let role = roles.iter().copied().find(|role| holder.roles.contains(role));
    let Some(role) = role else { return Err(Status::permission_denied(lacks(path, holder, roles))) };
    Ok(Caller {
        name: holder.name.clone(),
        role,
        from: link.from().to_owned(),
        serial: holder.serial.clone(),
        node: holder.node.clone(),
    })
}

/// What `holder` lacks, and how to get it.
fn lacks(path: &str, holder: &super::link::Holder, needed: &[Role]) -> String {
    let name = &holder.name;
    let method = path.rsplit('/').next().unwrap_or(path);
    let has: Vec<&str> = holder.roles.iter().map(|role| role.name()).collect();
    let has = if has.is_empty() { "no role".to_owned() } else { format!("the role {}", has.join(", ")) };
    let needed = needed.first().copied().unwrap_or(Role::Operator);
    let mend = match needed {
        Role::Viewer => format!("`haclusterctl pki viewer {name}`"),
        Role::Operator => format!("`haclusterctl pki operator {name}`"),
        Role::Peer => "`haclusterctl pki node NAME`, for nodes only".to_owned(),
    };
    format!("{name} has {has}; {method} needs the role {needed}. Such a certificate is made by {mend}")
}

/// What others cause, said at a bearable rate.
#[derive(Clone, Debug)]
pub(super) struct Complaints {
    events: EventSender,
    hush: Arc<Mutex<super::limits::Hush>>,
}

impl Complaints {
    pub(super) fn new(events: EventSender) -> Self {
        Self { events, hush: Arc::default() }
    }

    /// Never waits.
    pub(super) fn say(&self, text: String) {
        let mut hush = self.hush.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(text) = hush.pass(text, Instant::now()) {
            self.events.send_or_drop(crate::event::Event::now(None, What::ApiTrouble(text)));
        }
    }
}

/// The service behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Gate<S> {
    inner: S,
    complaints: Complaints,
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, complaints: Complaints) -> Self {
        Self { inner, complaints }
    }
}

type Answer = http::Response<Body>;

impl<S> Service<http::Request<Body>> for Gate<S>
where
    S: Service<http::Request<Body>, Response = Answer, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let admitted = match request.extensions().get::<Link>() {
            Some(link) => {
                let admitted = admit(link, path, Instant::now(), SystemTime::now());
                if let Err(denied) = &admitted
                    && link.first_denial()
                {
                    let from = link.from().rsplit_once(':').map_or(link.from(), |(host, _)| host);
                    self.complaints.say(format!("denied {from}: {}", denied.message()));
                }
                admitted
            }
            None => Err(Status::internal("the connection is not known; please report this")),
        };
        match admitted {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(denied) => Box::pin(std::future::ready(Ok(denied.into_http()))),
        }
    }
}

/// How long a client should wait when it was told to ask less.
pub(super) type Wait = (u32, Duration);

#[cfg(test)]
mod tests {
    use super::super::limits::Budget;
    use super::super::link::{Holder, Link};
    use super::*;
    use hacluster_proto::METHODS;
    use std::collections::BTreeSet;
    use tonic::Code;

    fn link(roles: &[Role]) -> Link {
        let expires = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let holder =
            Holder { name: "alice".into(), roles: roles.to_vec(), serial: "01".into(), node: None, expires };
        Link::new(Ok(holder), "192.0.2.9:1".into(), Budget::Clients)
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn the_table_and_the_contract_name_the_same_methods() {
        let table: BTreeSet<_> = TABLE.iter().map(|(method, _)| *method).collect();
        let contract: BTreeSet<_> = METHODS.iter().copied().collect();
        assert_eq!(table, contract);
        assert_eq!(table.len(), TABLE.len(), "a method stands in the table twice");
    }

    #[test]
    fn the_rule_by_role() {
        for (method, _) in TABLE {
            for role in Role::ALL {
                let expected = matches!(
                    (role, method.split('/').nth(1)),
                    (_, Some("hacluster.v1.Read"))
                        | (Role::Operator, Some("hacluster.v1.Admin"))
                        | (Role::Peer, Some("hacluster.v1.Peer"))
                );
                let admitted = admit(&link(&[role]), method, Instant::now(), at(1));
                assert_eq!(admitted.is_ok(), expected, "{role} {method}");
            }
            assert!(admit(&link(&[]), method, Instant::now(), at(1)).is_err(), "{method} without a role");
        }
    }

    #[test]
    fn a_denial_says_what_is_missing_and_who_makes_it() {
        let denied =
            |roles: &[Role], path: &str, now| admit(&link(roles), path, Instant::now(), now).unwrap_err();
        let viewer = denied(&[Role::Viewer], "/hacluster.v1.Admin/Failover", at(1));
        assert_eq!(viewer.code(), Code::PermissionDenied);
        for words in ["alice has the role viewer", "Failover needs the role operator", "pki operator alice"] {
            assert!(viewer.message().contains(words), "{}", viewer.message());
        }
        let nobody = denied(&[], "/hacluster.v1.Read/Watch", at(1));
        assert!(nobody.message().contains("no role") && nobody.message().contains("pki viewer alice"));
        let unknown = denied(&Role::ALL, "/hacluster.v1.Admin/Explode", at(1));
        assert_eq!(unknown.code(), Code::PermissionDenied);
        assert!(unknown.message().contains("versions"), "{}", unknown.message());
        let expired = denied(&Role::ALL, "/hacluster.v1.Read/Watch", at(1_000));
        assert_eq!(expired.code(), Code::Unauthenticated);
        assert!(expired.message().contains("expired since"), "{}", expired.message());
    }

    #[test]
    fn a_flood_on_one_connection_is_told_to_slow_down() {
        let (link, now) = (link(&[Role::Viewer]), Instant::now());
        let ask = || admit(&link, "/hacluster.v1.Read/GetSnapshot", now, at(1));
        let answered = (0..1_000).filter(|_| ask().is_ok()).count();
        assert_eq!(answered, 200);
        let denied = ask().unwrap_err();
        assert_eq!(denied.code(), Code::ResourceExhausted);
        assert!(denied.message().contains("more than 50 requests per second"), "{}", denied.message());
    }
}
