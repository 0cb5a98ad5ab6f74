//! What keeps a sync group from ruling, and in whom it lies.

use super::{Group, Member};
use crate::machine::{Fault, StateKind};

/// Why a member keeps its group from ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It lacks this.
    Fault(Fault),
    /// It does not run.
    NotRunning,
    /// It follows a master that it must not replace.
    Follows,
    /// It was asked to rule, and its addresses are not in place yet.
    Prepares,
    /// It has not listened for long enough.
    Listens,
    /// Nothing: two nodes unseated each other, so the group waits a moment before it tries again.
    Collided,
}

impl Member {
    fn hindrance(&self) -> Option<Hindrance> {
        match self.state {
            StateKind::Master => None,
            StateKind::Initialize => Some(Hindrance::NotRunning),
            StateKind::Fault => self.faults.without(Fault::Group).first().map(Hindrance::Fault),
            StateKind::Backup if self.would_rule.is_some() => None,
            StateKind::Backup if self.prepares => Some(Hindrance::Prepares),
            StateKind::Backup if self.follows => Some(Hindrance::Follows),
            StateKind::Backup => Some(Hindrance::Listens),
        }
    }
}

impl Group {
    /// For whom a group waits that does not rule although a member could, or is in Fault: the place of
    /// the first such member and what is the matter with it. Asked once [`Group::step`] says nothing more.
    pub fn waits_for(&self, members: &[Member]) -> Option<(usize, Hindrance)> {
        let mut hindered =
            members.iter().enumerate().filter_map(|(place, member)| Some((place, member.hindrance()?)));
        if members.iter().any(Member::is_unable) {
            return hindered.find(|(_, hindrance)| matches!(hindrance, Hindrance::Fault(_)));
        }
        let able = members.iter().position(|member| member.would_rule.is_some())?;
        if self.since.is_some() {
            return None;
        }
        hindered.next().or(Some((able, Hindrance::Collided)))
    }
}
