//! The four states. Each holds the deadlines it may have and no others, so that a stray timer
//! cannot exist.

use super::handover::{Handover, Preparing};
use super::reason::TakeoverCause;
use crate::receive::Heard;
use crate::time::{Duration, Instant};
use core::fmt;

/// A state without its data: row and column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StateKind {
    /// Not running.
    Initialize,
    /// Listening.
    Backup,
    /// Ruling: advertises and holds the addresses.
    Master,
    /// Unable to rule; keepalived's addition.
    Fault,
}

impl StateKind {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 4] = [Self::Initialize, Self::Backup, Self::Master, Self::Fault];
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initialize => "Initialize",
            Self::Backup => "Backup",
            Self::Master => "Master",
            Self::Fault => "Fault",
        })
    }
}

/// Where a router stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running.
    Initialize,
    /// Listening.
    Backup(Backup),
    /// Ruling.
    Master(Master),
    /// Unable to rule.
    Fault,
}

/// What a backup knows and waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Master_Down_Timer.
    pub master_down: Instant,
    /// What its expiry will mean.
    pub cause: TakeoverCause,
    /// The last master whose word counted, and when it spoke.
    pub master: Option<(Heard, Instant)>,
    /// `preempt_delay` is running: do not take over from a living master before.
    pub preempt_after: Option<Instant>,
    /// Addresses of a killed predecessor are still on the interface and stay until decided.
    pub adopted: bool,
    /// A takeover on request is under way: the addresses are being claimed.
    pub preparing: Option<Preparing>,
    /// As a member of a sync group: this `master_down` has come, and the others are waited for.
    pub stands_by: Option<Instant>,
}

/// What a master owes at which time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Adver_Timer, kept on schedule: a late wake-up does not shift the adverts after it.
    pub next_advert: Instant,
    /// The second burst of announcements, with its rounds.
    pub second_burst: Option<(Instant, u32)>,
    /// The next refresh of announcements.
    pub refresh: Option<Instant>,
    /// When it began to rule.
    pub since: Instant,
    /// When the latest fall of our priority was said, or will be.
    pub lowered: Option<Instant>,
    /// When a lower priority was last answered.
    pub insisted: Option<Instant>,
    /// When to make up for an answer that came too soon after the last one.
    pub owed_answer: Option<Instant>,
    /// Whom it came from, and whom it goes to.
    pub handover: Handover,
}

impl State {
    /// The state without its data.
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Initialize => StateKind::Initialize,
            Self::Backup(_) => StateKind::Backup,
            Self::Master(_) => StateKind::Master,
            Self::Fault => StateKind::Fault,
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Initialize | Self::Fault => None,
            Self::Backup(backup) => {
                let given_up = backup.preparing.map(|preparing| preparing.until);
                let served = backup.stands_by == Some(backup.master_down);
                Some(backup.master_down).filter(|_| !served).into_iter().chain(given_up).min()
            }
            Self::Master(master) => {
                let burst = master.second_burst.map(|(at, _)| at);
                let confirm = master.handover.confirm;
                [Some(master.next_advert), burst, master.refresh, master.owed_answer, confirm]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }
}

impl Backup {
    /// Nobody was heard up to `now`.
    pub(super) fn silent_since(now: Instant, master_down: Duration) -> Self {
        Self {
            master_down: now + master_down,
            cause: TakeoverCause::Silence,
            master: None,
            preempt_after: None,
            adopted: false,
            preparing: None,
            stands_by: None,
        }
    }
}
