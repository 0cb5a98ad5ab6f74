//! Connection synchronisation between directors, and the kernel's connection timeouts.

use super::service::number16;
use crate::netlink::{
    build::Attributes,
    frame::{attributes, number, string},
};
use std::{fmt, net::IpAddr};

const STATE: u16 = 1;
const MCAST_IFN: u16 = 2;
const SYNC_ID: u16 = 3;
const SYNC_MAXLEN: u16 = 4;
const MCAST_GROUP: u16 = 5;
const MCAST_GROUP6: u16 = 6;
const MCAST_PORT: u16 = 7;
const MCAST_TTL: u16 = 8;

const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;

/// Whether a daemon tells of connections or hears of them. One of each can run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncRole {
    /// Tells.
    Master,
    /// Hears.
    Backup,
}

impl SyncRole {
    fn number(self) -> u32 {
        match self {
            Self::Master => 1,
            Self::Backup => 2,
        }
    }

    /// Appends what names a daemon.
    pub(super) fn put(self, daemon: &mut Attributes<'_>) {
        daemon.ne32(STATE, self.number());
    }
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// How a synchronisation daemon shall be, or is. What is `None` the kernel decides; it reports all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SyncDaemon {
    /// Tells or hears.
    pub role: SyncRole,
    /// Interface it speaks on, which must be up; at most 15 bytes.
    pub interface: String,
    /// Both sides must agree.
    pub id: u8,
    /// Largest UDP payload in bytes; `None` for what fits the interface.
    pub max_len: Option<u16>,
    /// Multicast group; `None` for 224.0.0.81.
    pub group: Option<IpAddr>,
    /// UDP port; `None` for 8848.
    pub port: Option<u16>,
    /// TTL of its packets; `None` for 1.
    pub ttl: Option<u8>,
}

impl SyncDaemon {
    /// Appends what describes it.
    pub(super) fn put(&self, daemon: &mut Attributes<'_>) {
        self.role.put(daemon);
        daemon.string(MCAST_IFN, &self.interface);
        daemon.ne32(SYNC_ID, self.id.into());
        if let Some(bytes) = self.max_len {
            daemon.ne16(SYNC_MAXLEN, bytes);
        }
        if let Some(port) = self.port {
            daemon.ne16(MCAST_PORT, port); // native, unlike the ports of services
        }
        if let Some(ttl) = self.ttl {
            daemon.u8(MCAST_TTL, ttl);
        }
        match self.group {
            Some(IpAddr::V4(group)) => daemon.bytes(MCAST_GROUP, &group.octets()),
            Some(IpAddr::V6(group)) => daemon.bytes(MCAST_GROUP6, &group.octets()),
            None => {}
        }
    }

    /// From the content of a `DAEMON` attribute; `None` for one that neither tells nor hears.
    pub(super) fn parse(daemon: &[u8]) -> Option<Self> {
        let (mut role, mut interface, mut id) = (None, String::new(), 0);
        let (mut max_len, mut group, mut port, mut ttl) = (None, None, None, None);
        attributes(daemon, &mut |kind, value| match kind {
            STATE => {
                let known = [SyncRole::Master, SyncRole::Backup];
                role = known.into_iter().find(|role| number(value) == Some(role.number()));
            }
            MCAST_IFN => interface = string(value),
            SYNC_ID => id = number(value).and_then(|id| u8::try_from(id).ok()).unwrap_or_default(),
            SYNC_MAXLEN => max_len = number16(value),
            MCAST_GROUP => group = <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            MCAST_GROUP6 => group = <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
            MCAST_PORT => port = number16(value),
            MCAST_TTL => ttl = value.first().copied(),
            _ => {}
        });
        Some(Self { role: role?, interface, id, max_len, group, port, ttl })
    }
}

/// How long the kernel keeps idle connections, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Established TCP; 0 leaves it as it is.
    pub tcp_s: u32,
    /// TCP after a FIN; 0 leaves it as it is.
    pub tcp_fin_s: u32,
    /// UDP; 0 leaves it as it is.
    pub udp_s: u32,
}

impl Timeouts {
    /// Appends them.
    pub(super) fn put(&self, command: &mut Attributes<'_>) {
        command.ne32(TIMEOUT_TCP, self.tcp_s);
        command.ne32(TIMEOUT_TCP_FIN, self.tcp_fin_s);
        command.ne32(TIMEOUT_UDP, self.udp_s);
    }

    /// From the attributes of a message.
    pub(super) fn parse(message: &[u8]) -> Self {
        let mut found = Self::default();
        attributes(message, &mut |kind, value| {
            let field = match kind {
                TIMEOUT_TCP => &mut found.tcp_s,
                TIMEOUT_TCP_FIN => &mut found.tcp_fin_s,
                TIMEOUT_UDP => &mut found.udp_s,
                _ => return,
            };
            *field = number(value).unwrap_or_default();
        });
        found
    }
}
