//! What can be changed, and what the kernel's refusals mean.

use super::{
    daemon::{SyncDaemon, SyncRole, Timeouts},
    destination::{DestKey, DestSpec},
    service::{ServiceKey, ServiceSpec},
};
use crate::{NetError, netlink::build::Attributes};
use nix::errno::Errno;

pub(super) const NEW_SERVICE: u8 = 1;
pub(super) const SET_SERVICE: u8 = 2;
pub(super) const DEL_SERVICE: u8 = 3;
pub(super) const GET_SERVICE: u8 = 4;
pub(super) const NEW_DEST: u8 = 5;
pub(super) const SET_DEST: u8 = 6;
pub(super) const DEL_DEST: u8 = 7;
pub(super) const GET_DEST: u8 = 8;
pub(super) const NEW_DAEMON: u8 = 9;
pub(super) const DEL_DAEMON: u8 = 10;
pub(super) const GET_DAEMON: u8 = 11;
pub(super) const SET_CONFIG: u8 = 12;
pub(super) const GET_CONFIG: u8 = 13;
pub(super) const SET_INFO: u8 = 14;
pub(super) const GET_INFO: u8 = 15;
pub(super) const ZERO: u8 = 16;
pub(super) const FLUSH: u8 = 17;

pub(super) const ATTR_SERVICE: u16 = 1;
pub(super) const ATTR_DEST: u16 = 2;
pub(super) const ATTR_DAEMON: u16 = 3;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds a service without servers; `EEXIST` when there is one, `ENOENT` without its scheduler.
    NewService(ServiceSpec),
    /// Changes everything but the key; `ESRCH` when there is none. Its servers and connections stay.
    SetService(ServiceSpec),
    /// Removes a service and its servers; `ESRCH` when there is none.
    DelService(ServiceKey),
    /// Adds a real server; `ESRCH` without the service, `EEXIST` when it has it.
    NewDest(ServiceKey, DestSpec),
    /// Changes everything but the key; `ESRCH` without the service, `ENOENT` without the server.
    SetDest(ServiceKey, DestSpec),
    /// Removes a real server; `ESRCH` without the service, `ENOENT` without the server.
    DelDest(ServiceKey, DestKey),
    /// Starts counting at zero again for a service and its servers, or for all.
    Zero(Option<ServiceKey>),
    /// Removes every service, whoever added it.
    Flush,
    /// Sets the timeouts that are not 0.
    SetTimeouts(Timeouts),
    /// Starts a synchronisation daemon; `EEXIST` when one of its role runs.
    StartDaemon(SyncDaemon),
    /// Stops it; `ESRCH` when none of the role runs.
    StopDaemon(SyncRole),
}

impl Command {
    /// The number in the generic netlink header.
    pub(super) fn number(&self) -> u8 {
        match self {
            Self::NewService(_) => NEW_SERVICE,
            Self::SetService(_) => SET_SERVICE,
            Self::DelService(_) => DEL_SERVICE,
            Self::NewDest(..) => NEW_DEST,
            Self::SetDest(..) => SET_DEST,
            Self::DelDest(..) => DEL_DEST,
            Self::Zero(_) => ZERO,
            Self::Flush => FLUSH,
            Self::SetTimeouts(_) => SET_CONFIG,
            Self::StartDaemon(_) => NEW_DAEMON,
            Self::StopDaemon(_) => DEL_DAEMON,
        }
    }

    /// Appends its attributes.
    pub(super) fn put(&self, message: &mut Attributes<'_>) {
        match self {
            Self::NewService(spec) | Self::SetService(spec) => {
                message.nest(ATTR_SERVICE, |service| spec.put(service));
            }
            Self::DelService(key) | Self::Zero(Some(key)) => {
                message.nest(ATTR_SERVICE, |service| key.put(service));
            }
            Self::NewDest(key, spec) | Self::SetDest(key, spec) => {
                message.nest(ATTR_SERVICE, |service| key.put(service));
                message.nest(ATTR_DEST, |dest| spec.put(dest));
            }
            Self::DelDest(key, dest_key) => {
                message.nest(ATTR_SERVICE, |service| key.put(service));
                message.nest(ATTR_DEST, |dest| dest_key.put(dest));
            }
            Self::Zero(None) | Self::Flush => {}
            Self::SetTimeouts(timeouts) => timeouts.put(message),
            Self::StartDaemon(spec) => message.nest(ATTR_DAEMON, |daemon| spec.put(daemon)),
            Self::StopDaemon(role) => message.nest(ATTR_DAEMON, |daemon| role.put(daemon)),
        }
    }

    /// The kernel's refusal in words.
    pub(super) fn refused(&self, errno: Errno, explanation: Option<String>) -> NetError {
        let error = NetError::new(self.describe(), errno);
        match explanation.or_else(|| self.explain(errno)) {
            Some(detail) => error.with_detail(detail),
            None => error,
        }
    }

    /// What it would have done, to follow the word "cannot".
    fn describe(&self) -> String {
        match self {
            Self::NewService(spec) => format!("add virtual server {}", spec.key),
            Self::SetService(spec) => format!("change virtual server {}", spec.key),
            Self::DelService(key) => format!("remove virtual server {key}"),
            Self::NewDest(key, spec) => format!("add real server {} to virtual server {key}", spec.key),
            Self::SetDest(key, spec) => format!("change real server {} of virtual server {key}", spec.key),
            Self::DelDest(key, dest) => format!("remove real server {dest} from virtual server {key}"),
            Self::Zero(Some(key)) => format!("zero the counters of virtual server {key}"),
            Self::Zero(None) => "zero the counters of IPVS".into(),
            Self::Flush => "remove all virtual servers".into(),
            Self::SetTimeouts(Timeouts { tcp_s, tcp_fin_s, udp_s }) => {
                format!("set the IPVS timeouts {tcp_s} {tcp_fin_s} {udp_s}")
            }
            Self::StartDaemon(SyncDaemon { role, interface, .. }) => {
                format!("start the IPVS sync daemon ({role}) on {interface}")
            }
            Self::StopDaemon(role) => format!("stop the IPVS sync daemon ({role})"),
        }
    }

    /// What an error number means here; IPVS has no explanations of its own.
    fn explain(&self, errno: Errno) -> Option<String> {
        let of_dest = matches!(self, Self::NewDest(..) | Self::SetDest(..) | Self::DelDest(..));
        let text = match (self, errno) {
            (Self::NewService(spec) | Self::SetService(spec), Errno::ENOENT) => return Some(missing(spec)),
            (Self::NewService(_), Errno::EEXIST) => "there is one already",
            (Self::NewService(_) | Self::SetService(_), Errno::EINVAL) => {
                "its persistence mask, flags or scheduler's name cannot be"
            }
            (Self::NewDest(..), Errno::EEXIST) => "it has that server already",
            (Self::SetDest(..) | Self::DelDest(..), Errno::ENOENT) => "it has no such server",
            (_, Errno::EINVAL) if of_dest => {
                "the address must be a host's; one of the other IP family needs a tunnel and no sync daemon"
            }
            (_, Errno::ERANGE) if of_dest => {
                "a weight is at most 2147483647, a lower threshold at most the upper one"
            }
            (Self::StartDaemon(_), Errno::EEXIST) => "one is running, stop it first",
            (Self::StartDaemon(_), Errno::EINVAL) => {
                "its group, port or size cannot be, or a real server is of another IP family than its service"
            }
            (Self::StopDaemon(_), Errno::ESRCH) => "none is running",
            (_, Errno::ESRCH) => "there is no such virtual server",
            _ => return None,
        };
        Some(text.into())
    }
}

fn missing(spec: &ServiceSpec) -> String {
    let scheduler = &spec.scheduler;
    let more = match &spec.engine {
        Some(engine) => format!(", or no persistence engine {engine} (ip_vs_pe_{engine})"),
        None => String::new(),
    };
    format!("the kernel has no scheduler {scheduler} (module ip_vs_{scheduler}){more}")
}
