//! What happened to virtual and real servers, for everybody who tells it.

use super::table::{server_address, server_name};
use hacluster_conf::model::Command;
use hacluster_conf::model::lvs::{Frontend, VirtualServer};
use hacluster_core::time::Instant;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A virtual server, or a real server of one, as scripts, mails and fifos name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The virtual server: `[10.0.0.1]:tcp:80`, `FWM 3`, a group's name.
    pub service: String,
    /// The real server: `[10.0.0.2]:tcp:80`; absent when the virtual server as a whole is meant.
    pub server: Option<String>,
}

impl Subject {
    /// The virtual server itself.
    pub fn service(of: &VirtualServer) -> Self {
        let service = match (of.name.strip_prefix("group "), of.frontends.first()) {
            (Some(group), _) => group.to_owned(),
            (None, Some(Frontend::Mark { mark, .. })) => format!("FWM {mark}"),
            (None, Some(Frontend::Address { to, .. })) => trio(*to, protocol(of)),
            (None, None) => of.name.clone(),
        };
        Self { service, server: None }
    }

    /// Its real server at `to`.
    pub fn server(of: &VirtualServer, to: SocketAddr) -> Self {
        let server = trio(server_address(of, to), protocol(of));
        Self { server: Some(server), ..Self::service(of) }
    }
}

fn protocol(of: &VirtualServer) -> String {
    let first = of.frontends.iter().find_map(|frontend| match frontend {
        Frontend::Address { protocol, .. } => Some(*protocol),
        Frontend::Mark { .. } => None,
    });
    first.unwrap_or_default().to_string().to_lowercase()
}

fn trio(to: SocketAddr, protocol: String) -> String {
    format!("[{}]:{protocol}:{}", to.ip(), to.port())
}

/// As a fifo has it: `VS [10.0.0.1]:tcp:80`, `RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "RS {server} {}", self.service),
            None => write!(f, "VS {}", self.service),
        }
    }
}

/// A virtual server, or a real server of one, as `haclusterctl lvs`, metrics and spans name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The virtual server, as configured: `10.0.0.1 80`, `fwmark 3`, `group web`.
    pub service: String,
    /// The real server, with its port: `10.0.0.2:80`; absent when the virtual server is meant.
    pub server: Option<String>,
}

impl Called {
    /// The virtual server itself.
    pub fn service(of: &VirtualServer) -> Self {
        Self { service: of.name.clone(), server: None }
    }

    /// Its real server at `to`.
    pub fn server(of: &VirtualServer, to: SocketAddr) -> Self {
        Self { server: Some(server_name(of, to)), ..Self::service(of) }
    }
}

/// The check whose verdict decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What was tried: `HTTP check of 10.0.0.2:80`.
    pub check: String,
    /// What came of it.
    pub text: Arc<str>,
    /// When the try that decided began.
    pub began: Instant,
    /// When its result was heard.
    pub ended: Instant,
}

/// Why a server came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    /// For people.
    pub text: Arc<str>,
    /// The check that decided, where one did.
    pub cause: Option<Cause>,
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self { text: text.into(), cause: None }
    }
}

/// A virtual or real server came or went, or one check of a real server turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which, for scripts, fifos and mail.
    pub subject: Subject,
    /// Which, for status, metrics and spans.
    pub called: Called,
    /// It came, or is still there.
    pub up: bool,
    /// The check that turned without any effect on the server: `TCP check of 10.0.0.2:80 failed`. Nothing
    /// but mail tells that.
    pub check: Option<String>,
    /// Why, for people.
    pub why: Arc<str>,
    /// The check that decided, where one did.
    pub cause: Option<Cause>,
    /// What is run, and the keyword that names it.
    pub hook: Option<(&'static str, Command)>,
    /// Mail is sent.
    pub mail: bool,
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Worth waking someone.
    pub warning: bool,
    /// What, and why.
    pub text: String,
    /// Whom else it is told.
    pub told: Option<Arc<Told>>,
}

impl Notice {
    /// For log and history alone.
    pub fn plain(warning: bool, text: String) -> Self {
        Self { warning, text, told: None }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::tests::virtual_server;

    #[test]
    fn subjects_are_named_as_keepalived_names_them() {
        let mut of = virtual_server("10.0.0.1 80", "10.0.0.1:80", &["10.0.0.2:0"]);
        assert_eq!(Subject::service(&of).to_string(), "VS [10.0.0.1]:tcp:80");
        let server = Subject::server(&of, of.servers[0].to);
        assert_eq!(server.to_string(), "RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80");
        of.frontends = vec![Frontend::Mark { mark: 3, ipv6: false }];
        assert_eq!(Subject::service(&of).to_string(), "VS FWM 3");
        of.name = "group web".into();
        assert_eq!(Subject::service(&of).to_string(), "VS web");
    }
}
