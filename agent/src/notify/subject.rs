//! Who changed, and what it is now, in keepalived's words.

use super::hooks::Hook;
use crate::event::Identity;
use crate::lvs as balance;
use crate::story::Trail;
use hacluster_core::machine::StateKind;
use std::fmt;
use std::sync::Arc;

/// A virtual router or a sync group, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// `vrrp_instance`.
    Instance(String),
    /// `vrrp_sync_group`.
    Group(String),
    /// `virtual_server`, or a `real_server` of one.
    Balanced(balance::Subject),
}

impl Subject {
    /// As scripts and fifos have it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
            Self::Balanced(of) if of.server.is_some() => "RS",
            Self::Balanced(_) => "VS",
        }
    }

    /// As configured.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Group(name) => name,
            Self::Balanced(of) => of.server.as_ref().unwrap_or(&of.service),
        }
    }
}

/// What is told of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It rules.
    Master,
    /// It listens.
    Backup,
    /// It cannot rule.
    Fault,
    /// The agent stops.
    Stop,
    /// It is configured no more.
    Deleted,
    /// It rules and somebody with a lower priority does too.
    RivalHeard,
    /// A virtual or real server came.
    Up,
    /// It went.
    Down,
}

impl Word {
    /// Of a state; none for a router that does not run.
    pub(super) fn of(state: StateKind) -> Option<Self> {
        match state {
            StateKind::Initialize => None,
            StateKind::Backup => Some(Self::Backup),
            StateKind::Master => Some(Self::Master),
            StateKind::Fault => Some(Self::Fault),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::RivalHeard => "MASTER_RX_LOWER_PRI",
            Self::Up => "UP",
            Self::Down => "DOWN",
        })
    }
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Who; absent for a group.
    pub(super) router: Option<Arc<Identity>>,
    /// What it is now.
    pub(super) word: Word,
    /// Its priority then; 0 for a group, as with keepalived.
    pub(super) priority: u8,
    /// Why, for people.
    pub(super) why: Arc<str>,
    /// The one program that tells it, where that does not follow from the settings.
    pub(super) hook: Option<Hook>,
    /// The story it belongs to.
    pub(super) trail: Option<Trail>,
}

/// What a group is when its members are these; none while they are on their way.
pub(super) fn of_members(members: &[Option<Word>]) -> Option<Word> {
    let all = |word| !members.is_empty() && members.iter().all(|member| *member == Some(word));
    if members.contains(&Some(Word::Fault)) {
        return Some(Word::Fault);
    }
    [Word::Master, Word::Backup, Word::Stop].into_iter().find(|word| all(*word))
}

#[cfg(test)]
mod tests {
    use super::Word::{Backup, Fault, Master, Stop};
    use super::*;

    #[test]
    fn a_group_is_what_all_its_members_are() {
        let cases: [(&[Option<Word>], Option<Word>); 9] = [
            (&[], None),
            (&[None, Some(Backup)], None),
            (&[Some(Backup), Some(Backup)], Some(Backup)),
            (&[Some(Master), Some(Backup)], None),
            (&[Some(Master), Some(Master)], Some(Master)),
            (&[Some(Master), Some(Fault)], Some(Fault)),
            (&[None, Some(Fault)], Some(Fault)),
            (&[Some(Stop), Some(Master)], None),
            (&[Some(Stop), Some(Stop)], Some(Stop)),
        ];
        for (members, group) in cases {
            assert_eq!(of_members(members), group, "{members:?}");
        }
    }
}
