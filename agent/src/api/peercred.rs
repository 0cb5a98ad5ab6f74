//! Who may ask over the unix socket: root, and whom the agent runs as. Both are operators.
//!
//! The socket's mode says the same; this holds even when somebody loosens the mode.

use super::link::Holder;
use hacluster_proto::identity::Role;
use nix::unistd::Uid;
use tokio::net::UnixStream;

/// Who is at the other end, or why it may not ask.
pub(super) fn holder(stream: &UnixStream) -> Result<Holder, String> {
    let uid = stream.peer_cred().map(|credentials| Uid::from_raw(credentials.uid()));
    let uid = uid.map_err(|error| format!("the kernel does not tell who asks: {error}"))?;
    if !allowed(uid, Uid::effective()) {
        return Err(format!(
            "user {uid} may not ask this agent: only root and user {} may; use sudo",
            Uid::effective()
        ));
    }
    let name = if uid.is_root() { "root".to_owned() } else { format!("uid {uid}") };
    Ok(Holder { name, roles: vec![Role::Operator], serial: String::new(), node: None, expires: None })
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
}
