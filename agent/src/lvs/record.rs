//! The record of virtual servers that we may have set, so that a successor of a killed agent knows which
//! are its own: what it does not name it removes, what nobody of us recorded it never touches.
//!
//! ```text
//!   RUN_DIR/services.json   ["tcp 192.0.2.1:80", "fwmark 3", "fwmark 3 ipv6"]
//! ```

use hacluster_net::netlink::ipvs::{Family, Protocol, ServiceKey};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file.
#[derive(Clone, Debug)]
pub struct Record(PathBuf);

impl Record {
    /// Of the agent with this run directory.
    pub fn of(run_dir: &Path) -> Self {
        Self(run_dir.join("services.json"))
    }

    /// What was recorded; a damaged record is no record.
    pub fn read(&self) -> BTreeSet<ServiceKey> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let lines: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        lines.iter().filter_map(|line| key(line)).collect()
    }

    /// Records these, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, keys: &BTreeSet<ServiceKey>) -> io::Result<()> {
        if keys.is_empty() {
            self.forget(); // most hosts balance nothing
            return Ok(());
        }
        let lines: Vec<String> = keys.iter().map(line).collect();
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
        record.write(&all).unwrap();
        assert_eq!(record.read(), all);
        let path = dir.path().join("services.json");
        let text = fs::read_to_string(&path).unwrap();
        for at in 0..text.len() {
            fs::write(&path, &text[..at]).unwrap();
            assert!(record.read().is_empty(), "cut at {at}");
        }
        fs::write(&path, r#"["tcp nowhere", "fwmark -1", "x", "fwmark 9"]"#).unwrap();
        assert_eq!(record.read(), [ServiceKey::Mark { mark: 9, family: Family::V4 }].into());
        record.write(&BTreeSet::new()).unwrap();
        assert!(!path.exists());
    }
}
