//! The record of virtual servers and sync daemons that we may have set, so that a successor of a killed agent knows
//! which are its own: what it does not name it removes, what nobody of us recorded it never touches.
//!
//! ```text
//!   RUN_DIR/services.json   ["tcp 192.0.2.1:80", "fwmark 3", "fwmark 3 ipv6", "sync master 51 eth0"]
//! ```

use hacluster_net::netlink::ipvs::{Family, Protocol, ServiceKey, SyncDaemon, SyncRole};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a predecessor may have left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Virtual servers.
    pub services: BTreeSet<ServiceKey>,
    /// Sync daemons.
    pub daemons: BTreeSet<Daemon>,
}

/// What a sync daemon is told from those of others by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Daemon {
    role: SyncRole,
    id: u8,
    interface: String,
}

impl Daemon {
    /// Of a daemon.
    pub fn of(daemon: &SyncDaemon) -> Self {
        Self { role: daemon.role, id: daemon.id, interface: daemon.interface.clone() }
    }
}

impl Left {
    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.daemons.is_empty()
    }
}

/// The file.
#[derive(Clone, Debug)]
pub struct Record(PathBuf);

impl Record {
    /// Of the agent with this run directory.
    pub fn of(run_dir: &Path) -> Self {
        Self(run_dir.join("services.json"))
    }

    /// What was recorded; a damaged record is no record.
    pub fn read(&self) -> Left {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let lines: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        Left {
            services: lines.iter().filter_map(|line| key(line)).collect(),
            daemons: lines.iter().filter_map(|line| daemon(line)).collect(),
        }
    }

    /// Records these, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, keys: &BTreeSet<ServiceKey>, daemons: &BTreeSet<Daemon>) -> io::Result<()> {
        if keys.is_empty() && daemons.is_empty() {
            self.forget(); // most hosts balance nothing
            return Ok(());
        }
        let daemon = |Daemon { role, id, interface }: &Daemon| format!("sync {role} {id} {interface}");
        let lines: Vec<String> = keys.iter().map(line).chain(daemons.iter().map(daemon)).collect();
        let fresh = self.0.with_extension("json.new");
        fs::write(&fresh, serde_json::to_string(&lines)?)?;
        fs::rename(&fresh, &self.0)
    }

    /// All are gone.
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn line(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol, ip, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            format!("{protocol} {}", SocketAddr::new(*ip, *port))
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("fwmark {mark}"),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("fwmark {mark} ipv6"),
    }
}

fn key(line: &str) -> Option<ServiceKey> {
    let (kind, rest) = line.split_once(' ')?;
    let protocol = match kind {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        "fwmark" => {
            let (number, family) = match rest.strip_suffix(" ipv6") {
                Some(number) => (number, Family::V6),
                None => (rest, Family::V4),
            };
            return Some(ServiceKey::Mark { mark: number.parse().ok()?, family });
        }
        _ => return None,
    };
    let to: SocketAddr = rest.parse().ok()?;
    Some(ServiceKey::Address { protocol, ip: to.ip(), port: to.port() })
}

fn daemon(line: &str) -> Option<Daemon> {
    let mut words = line.strip_prefix("sync ")?.splitn(3, ' ');
    let role = match words.next()? {
        "master" => SyncRole::Master,
        "backup" => SyncRole::Backup,
        _ => return None,
    };
    Some(Daemon { role, id: words.next()?.parse().ok()?, interface: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_survives_and_damage_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(dir.path());
        assert!(record.read().is_empty());
        let address = |text: &str, protocol| {
            let to: SocketAddr = text.parse().unwrap();
            ServiceKey::Address { protocol, ip: to.ip(), port: to.port() }
        };
        let all: BTreeSet<_> = [
            address("192.0.2.1:80", Protocol::Tcp),
            address("192.0.2.1:0", Protocol::Udp),
            address("[2001:db8::1]:443", Protocol::Sctp),
            ServiceKey::Mark { mark: 3, family: Family::V4 },
            ServiceKey::Mark { mark: 3, family: Family::V6 },
        ]
        .into();
        let daemon = |role, id| Daemon { role, id, interface: "eth0".into() };
        let daemons = [daemon(SyncRole::Master, 0), daemon(SyncRole::Backup, 255)].into();
        record.write(&all, &daemons).unwrap();
        assert_eq!(record.read(), Left { services: all, daemons });
        let path = dir.path().join("services.json");
        let text = fs::read_to_string(&path).unwrap();
        for at in 0..text.len() {
            fs::write(&path, &text[..at]).unwrap();
            assert!(record.read().is_empty(), "cut at {at}");
        }
        fs::write(&path, r#"["tcp nowhere", "fwmark -1", "x", "sync master", "fwmark 9"]"#).unwrap();
        let services = [ServiceKey::Mark { mark: 9, family: Family::V4 }].into();
        assert_eq!(record.read(), Left { services, daemons: BTreeSet::new() });
        record.write(&BTreeSet::new(), &BTreeSet::new()).unwrap();
        assert!(!path.exists());
    }
}
