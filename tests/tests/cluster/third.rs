//! A node that runs no agent of ours.

use anyhow::{Result, ensure};
use hacluster_lab::{
    Absent, Host, LIMIT, Process,
    peer::{Frr, FrrRouter, Keepalived},
    topology::Cidr,
    wait_for,
};
use hacluster_tests::harness::{Instance, VIP};
use std::fmt;

/// Words with which either daemon complains about what it hears.
const COMPLAINTS: [&str; 12] = [
    "invalid",
    "bogus",
    "mismatch",
    "incorrect",
    "discard",
    "dropp",
    "malformed",
    "unexpected",
    "unknown",
    "authentication",
    "wrong",
    "misconfigured",
];

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Keepalived,
    Frr,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keepalived => "keepalived",
            Self::Frr => "frr",
        })
    }
}

impl Kind {
    /// Whether it is on this machine; a trial is skipped otherwise.
    pub(crate) fn present(self) -> Result<(), Absent> {
        match self {
            Self::Keepalived => Keepalived::find().map(drop),
            Self::Frr => Frr::find().map(drop),
        }
    }
}

/// A running one: VRID 51 without a password.
#[derive(Debug)]
pub(crate) struct Third {
    kind: Kind,
    process: Process,
    /// Lines of its log when it had begun to listen: what comes before is about its own start.
    begun: std::cell::Cell<usize>,
}

impl Third {
    pub(crate) fn start(kind: Kind, host: &Host, priority: u8) -> Result<Self> {
        let process = match kind {
            Kind::Keepalived => {
                Keepalived::find()?.start(host, &Instance::new(priority).password(None).to_string())?
            }
            Kind::Frr => {
                let router = FrrRouter {
                    interface: "eth0".to_owned(),
                    vrid: 51,
                    version: 2,
                    priority,
                    interval_ms: 1_000,
                    addresses: vec![Cidr { ip: VIP, prefix_len: 24 }],
                };
                Frr::find()?.start(host, &router)?.vrrpd
            }
        };
        Ok(Self { kind, process, begun: std::cell::Cell::new(0) })
    }

    /// Waits until it is a backup, by its own account.
    pub(crate) fn listens(&self) -> Result<()> {
        let words = match self.kind {
            Kind::Keepalived => "Entering BACKUP STATE",
            Kind::Frr => "Backup",
        };
        wait_for(&format!("{} to listen", self.kind), LIMIT, || self.process.logged(words))?;
        self.begun.set(self.process.lines().len());
        Ok(())
    }

    /// Fails when its log holds a complaint about what it heard since it listens.
    pub(crate) fn never_complained(&self) -> Result<()> {
        ensure!(self.process.is_running(), "{} has ended", self.kind);
        let lines = self.process.lines();
        let complaint = lines.iter().skip(self.begun.get()).find(|line| {
            let text = line.text.to_lowercase();
            COMPLAINTS.iter().any(|word| text.contains(word))
        });
        ensure!(complaint.is_none(), "{} complained: {complaint:?}", self.kind);
        Ok(())
    }
}
