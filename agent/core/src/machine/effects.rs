//! The effect table: what is owed for going from one state to another.

use super::state::StateKind::{self, Backup, Fault, Initialize, Master};
use super::transition::Event;

/// Something owed to the network or the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// One advert with the priority in force.
    Advertise,
    /// One advert with priority 0.
    Resign,
    /// What a master says that becomes backup; see [`last_word`].
    LastWord,
    /// Put the addresses in place and announce them.
    Claim,
    /// Take the addresses away.
    Release,
}

/// What is owed, in order. The advert comes before the addresses: it wins the election.
pub const fn effects(from: StateKind, to: StateKind) -> &'static [Effect] {
    use Effect::{Advertise, Claim, LastWord, Release, Resign};
    match (from, to) {
        (Initialize, Initialize) => &[],
        (Initialize, Backup) => &[],
        (Initialize, Master) => &[Advertise, Claim],
        (Initialize, Fault) => &[Release],

        (Backup, Initialize) => &[Release],
        (Backup, Backup) => &[],
        (Backup, Master) => &[Advertise, Claim],
        (Backup, Fault) => &[Release],

        (Master, Initialize) => &[Resign, Release],
        (Master, Backup) => &[LastWord, Release],
        (Master, Master) => &[],
        (Master, Fault) => &[Resign, Release],

        (Fault, Initialize) => &[],
        (Fault, Backup) => &[],
        (Fault, Master) => &[Advertise, Claim],
        (Fault, Fault) => &[],
    }
}

/// What a master says last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// One advert with the priority it ruled with: the winner of a healed split brain hears by it
    /// that there was a rival, and announces the addresses again.
    Advertise,
    /// One advert with priority 0.
    Resign,
    /// Nothing: an advert could out-argue a successor of lower priority.
    Nothing,
}

/// What a master says that becomes backup by `event`.
pub const fn last_word(event: Event) -> LastWord {
    match event {
        Event::HeardHigher
        | Event::HeardEqualHigherAddress
        | Event::HeardEqualLowerAddress
        | Event::HeardOwnAddress
        | Event::HeardLower
        | Event::HeardResign => LastWord::Advertise,
        Event::Resign | Event::GroupYields => LastWord::Resign,
        Event::HeardSuccessor
        | Event::Claimed
        | Event::Start
        | Event::StartOwner
        | Event::Stop
        | Event::MasterDown
        | Event::FaultRaised
        | Event::FaultCleared => LastWord::Nothing,
    }
}
