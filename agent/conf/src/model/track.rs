//! What a node watches beside the adverts, and how much it counts.

use super::command::Command;
use hacluster_core::time::Duration;
use hacluster_core::track::Weight;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Something watched, under a name that virtual routers use.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracker {
    /// Kind and name as written; unique together.
    pub id: TrackerId,
    /// How it is looked at.
    pub probe: Probe,
    /// How much it counts unless the user of the name says otherwise.
    pub weight: Weight,
}

/// Names of different kinds do not collide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId {
    /// Which block defines it.
    pub kind: TrackerKind,
    /// As written.
    pub name: String,
}

impl fmt::Display for TrackerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Kinds of tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackerKind {
    /// An interface and its link; needs no definition.
    Interface,
    /// `vrrp_script`.
    Script,
    /// `track_file`.
    File,
    /// `vrrp_track_process`.
    Process,
    /// A TCP connection, in `agent.toml`.
    Tcp,
    /// An HTTP request, in `agent.toml`.
    Http,
    /// Whether a virtual server has its quorum; needs no definition. In `agent.toml`.
    VirtualServer,
}

impl fmt::Display for TrackerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "interface",
            Self::Script => "script",
            Self::File => "file",
            Self::Process => "process",
            Self::Tcp => "TCP check",
            Self::Http => "HTTP check",
            Self::VirtualServer => "virtual server",
        })
    }
}

/// How something is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// The interface named like the tracker.
    Interface,
    /// The virtual server named like the tracker.
    VirtualServer,
    /// A program that is run again and again.
    Script {
        /// What is run.
        command: Command,
        /// When and how often it counts.
        pace: Pace,
    },
    /// A file with a number.
    File {
        /// Where.
        path: PathBuf,
        /// Written at start: the number, and whether an existing file is overwritten.
        init: Option<(i64, bool)>,
    },
    /// Running processes.
    Process(ProcessProbe),
    /// Whether somebody takes connections.
    Tcp {
        /// Where.
        to: SocketAddr,
        /// When and how often it counts.
        pace: Pace,
    },
    /// Whether a web server answers as it should.
    Http {
        /// Where, as `http://ADDRESS[:PORT]/PATH`.
        url: String,
        /// Answers that are good: first and last status.
        status: (u16, u16),
        /// When and how often it counts.
        pace: Pace,
    },
}

/// When something is tried, and how many results in a row count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between the beginnings of two runs, above zero.
    pub interval: Duration,
    /// A run that takes longer has failed, above zero.
    pub timeout: Duration,
    /// Good results in a row that make it good, at least 1.
    pub rise: u32,
    /// Bad results in a row that make it bad, at least 1.
    pub fall: u32,
    /// It counts as bad until it has risen.
    pub starts_bad: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { interval: second, timeout: second, rise: 1, fall: 1, starts_bad: false }
    }
}

/// Which processes are counted, and how many there must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessProbe {
    /// Name as in `/proc/PID/comm`, or the whole path with `full_command`.
    pub name: String,
    /// Arguments that must follow.
    pub arguments: Option<(ArgumentMatch, Vec<String>)>,
    /// Compare the command line, not the short name.
    pub full_command: bool,
    /// At least so many.
    pub quorum: u32,
    /// At most so many; `None` for any number.
    pub quorum_max: Option<u32>,
    /// Good only after it lasted so long.
    pub rise_delay: Duration,
    /// Bad only after it lasted so long.
    pub fall_delay: Duration,
}

/// How written arguments are compared with those of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentMatch {
    /// All, and no others.
    Exact,
    /// The process may have more after them.
    Initial,
    /// As `Initial`, and the last one may be the beginning of a longer word.
    Partial,
}

/// A virtual router or group that uses a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Which.
    pub tracker: TrackerId,
    /// How much it counts here; the tracker's own weight when `None`.
    pub weight: Option<Weight>,
}
