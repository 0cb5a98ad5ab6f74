//! Who may ask over the unix socket: root, and whom the agent runs as.
//!
//! The socket's mode says the same; this holds even when somebody loosens the mode.

use nix::unistd::Uid;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

/// Lets a request pass or says why not.
pub(super) fn check(request: Request<()>) -> Result<Request<()>, Status> {
    let credentials = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    match credentials.map(|credentials| Uid::from_raw(credentials.uid())) {
        Some(uid) if allowed(uid, Uid::effective()) => Ok(request),
        Some(uid) => Err(Status::permission_denied(format!(
            "user {uid} may not ask this agent: only root and user {} may; use sudo",
            Uid::effective()
        ))),
        None => Err(Status::permission_denied("the kernel does not tell who asks")),
    }
}

/// Whether user `uid` may ask an agent that runs as `own`.
pub(super) fn allowed(uid: Uid, own: Uid) -> bool {
    uid.is_root() || uid == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_agents_own_user_may() {
        let [root, own, other] = [0, 990, 1000].map(Uid::from_raw);
        assert!(allowed(root, own) && allowed(own, own) && !allowed(other, own) && !allowed(own, root));
    }

    #[test]
    fn who_is_not_known_may_not() {
        assert_eq!(check(Request::new(())).unwrap_err().code(), tonic::Code::PermissionDenied);
    }
}
