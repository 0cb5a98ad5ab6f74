//! The transition table: every state and every event, written out.

use super::state::StateKind::{self, Backup, Fault, Initialize, Master};
use crate::priority::Priority;
use crate::receive::Heard;
use core::net::Ipv4Addr;

/// What happened, as far as the table cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Start with a priority below 255.
    Start,
    /// Start as address owner.
    StartOwner,
    /// Stop for good.
    Stop,
    /// Master_Down_Timer ran out, or a takeover is due.
    MasterDown,
    /// An advert with priority 0.
    HeardResign,
    /// An advert of a higher priority.
    HeardHigher,
    /// Our priority, a higher address.
    HeardEqualHigherAddress,
    /// Our priority, a lower address.
    HeardEqualLowerAddress,
    /// Any advert from our own address.
    HeardOwnAddress,
    /// An advert of a lower priority.
    HeardLower,
    /// An advert of whom we are handing over to, of any priority but 0.
    HeardSuccessor,
    /// The addresses of a takeover on request are in place and announced.
    Claimed,
    /// Leave it to others.
    Resign,
    /// Another member of the sync group gave way.
    GroupYields,
    /// Something needed is missing.
    FaultRaised,
    /// Everything needed is there again.
    FaultCleared,
}

impl Event {
    /// All of them, for the table's test.
    pub const ALL: [Self; 16] = [
        Self::Start,
        Self::StartOwner,
        Self::Stop,
        Self::MasterDown,
        Self::HeardResign,
        Self::HeardHigher,
        Self::HeardEqualHigherAddress,
        Self::HeardEqualLowerAddress,
        Self::HeardOwnAddress,
        Self::HeardLower,
        Self::HeardSuccessor,
        Self::Claimed,
        Self::Resign,
        Self::GroupYields,
        Self::FaultRaised,
        Self::FaultCleared,
    ];

    /// Compares an advert with ourselves: priority first, then the primary addresses as unsigned
    /// numbers in network order [RFC 3768 section 6.4.3].
    pub fn classify(heard: Heard, priority: Priority, source: Ipv4Addr) -> Self {
        use core::cmp::Ordering::{Equal, Greater, Less};
        if heard.sender == source {
            return Self::HeardOwnAddress;
        }
        if heard.priority.is_resign() {
            return Self::HeardResign;
        }
        match (heard.priority.cmp(&priority), heard.sender.cmp(&source)) {
            (Greater, _) => Self::HeardHigher,
            (Less, _) => Self::HeardLower,
            (Equal, Greater) => Self::HeardEqualHigherAddress,
            (Equal, Less) => Self::HeardEqualLowerAddress,
            (Equal, Equal) => Self::HeardOwnAddress,
        }
    }
}

/// What to do about an event beyond changing the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing.
    Nothing,
    /// Take its word: restart Master_Down_Timer.
    Follow,
    /// The master leaves: wait Skew_Time only.
    AwaitSkew,
    /// A lower priority rules: preempt or not, now or later.
    ConsiderTakeover,
    /// Answer a rival: advertise at once and announce again.
    Insist,
    /// Advertise at once, restart Adver_Timer and announce again.
    AdvertiseNow,
    /// Say that somebody uses our address.
    WarnDuplicate,
}

/// Where `event` leads from `from`, and how to respond.
///
/// No pair is left out: RFC 3768 section 6.4 with the Fault state and the prompt answers to a
/// rival that keepalived and RFC 9568 section 6.4.3 have.
pub const fn transition(from: StateKind, event: Event) -> (StateKind, Response) {
    use Response::{AdvertiseNow, AwaitSkew, ConsiderTakeover, Follow, Insist, Nothing, WarnDuplicate};
    match (from, event) {
        (Initialize, Event::Start) => (Backup, Nothing),
        (Initialize, Event::StartOwner) => (Master, Nothing),
        (Initialize, Event::Stop) => (Initialize, Nothing),
        (Initialize, Event::MasterDown) => (Initialize, Nothing),
        (Initialize, Event::HeardResign) => (Initialize, Nothing),
        (Initialize, Event::HeardHigher) => (Initialize, Nothing),
        (Initialize, Event::HeardEqualHigherAddress) => (Initialize, Nothing),
        (Initialize, Event::HeardEqualLowerAddress) => (Initialize, Nothing),
        (Initialize, Event::HeardOwnAddress) => (Initialize, Nothing),
        (Initialize, Event::HeardLower) => (Initialize, Nothing),
        (Initialize, Event::HeardSuccessor) => (Initialize, Nothing),
        (Initialize, Event::Claimed) => (Initialize, Nothing),
        (Initialize, Event::Resign) => (Initialize, Nothing),
        (Initialize, Event::GroupYields) => (Initialize, Nothing),
        (Initialize, Event::FaultRaised) => (Fault, Nothing),
        (Initialize, Event::FaultCleared) => (Initialize, Nothing),

        (Backup, Event::Start) => (Backup, Nothing),
        (Backup, Event::StartOwner) => (Backup, Nothing),
        (Backup, Event::Stop) => (Initialize, Nothing),
        (Backup, Event::MasterDown) => (Master, Nothing),
        (Backup, Event::HeardResign) => (Backup, AwaitSkew),
        (Backup, Event::HeardHigher) => (Backup, Follow),
        (Backup, Event::HeardEqualHigherAddress) => (Backup, Follow),
        (Backup, Event::HeardEqualLowerAddress) => (Backup, Follow),
        (Backup, Event::HeardOwnAddress) => (Backup, WarnDuplicate),
        (Backup, Event::HeardLower) => (Backup, ConsiderTakeover),
        (Backup, Event::HeardSuccessor) => (Backup, Follow),
        (Backup, Event::Claimed) => (Master, Nothing),
        (Backup, Event::Resign) => (Backup, Nothing),
        (Backup, Event::GroupYields) => (Backup, Nothing),
        (Backup, Event::FaultRaised) => (Fault, Nothing),
        (Backup, Event::FaultCleared) => (Backup, Nothing),

        (Master, Event::Start) => (Master, Nothing),
        (Master, Event::StartOwner) => (Master, Nothing),
        (Master, Event::Stop) => (Initialize, Nothing),
        (Master, Event::MasterDown) => (Master, Nothing),
        (Master, Event::HeardResign) => (Master, AdvertiseNow),
        (Master, Event::HeardHigher) => (Backup, Follow),
        (Master, Event::HeardEqualHigherAddress) => (Backup, Follow),
        (Master, Event::HeardEqualLowerAddress) => (Master, Insist),
        (Master, Event::HeardOwnAddress) => (Master, WarnDuplicate),
        (Master, Event::HeardLower) => (Master, Insist),
        (Master, Event::HeardSuccessor) => (Backup, Follow),
        (Master, Event::Claimed) => (Master, Nothing),
        (Master, Event::Resign) => (Backup, Nothing),
        (Master, Event::GroupYields) => (Backup, Nothing),
        (Master, Event::FaultRaised) => (Fault, Nothing),
        (Master, Event::FaultCleared) => (Master, Nothing),

        (Fault, Event::Start) => (Fault, Nothing),
        (Fault, Event::StartOwner) => (Fault, Nothing),
        (Fault, Event::Stop) => (Initialize, Nothing),
        (Fault, Event::MasterDown) => (Fault, Nothing),
        (Fault, Event::HeardResign) => (Fault, Nothing),
        (Fault, Event::HeardHigher) => (Fault, Nothing),
        (Fault, Event::HeardEqualHigherAddress) => (Fault, Nothing),
        (Fault, Event::HeardEqualLowerAddress) => (Fault, Nothing),
        (Fault, Event::HeardOwnAddress) => (Fault, Nothing),
        (Fault, Event::HeardLower) => (Fault, Nothing),
        (Fault, Event::HeardSuccessor) => (Fault, Nothing),
        (Fault, Event::Claimed) => (Fault, Nothing),
        (Fault, Event::Resign) => (Fault, Nothing),
        (Fault, Event::GroupYields) => (Fault, Nothing),
        (Fault, Event::FaultRaised) => (Fault, Nothing),
        (Fault, Event::FaultCleared) => (Backup, Nothing),
    }
}
