//! What the machine can be told.

use super::reason::Fault;
use crate::interval::Seconds;
use crate::priority::Priority;
use crate::receive::Heard;
use crate::time::Duration;
use core::net::Ipv4Addr;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input {
    /// Begin to run.
    Start {
        /// Addresses of the router are already on the interface: leave them until it is decided
        /// who rules, so that an agent that was killed and started again causes no outage.
        adopt: bool,
    },
    /// Stop for good.
    Stop,
    /// The deadline has come.
    Tick,
    /// A neighbour's advert passed [`receive::check`](crate::receive::check).
    Heard(Heard),
    /// Something the router needs is missing.
    Fault(Fault),
    /// It is back.
    FaultCleared(Fault),
    /// The kernel refused the claim of the addresses.
    ClaimRefused,
    /// The configuration changed.
    Parameters(Parameters),
    /// Our primary address changed.
    Source(Ipv4Addr),
    /// A backup shall rule in place of `from`: claim first, advertise when the claim is announced.
    /// Ignored in other states and by an owner; a second one while the first is under way too.
    TakeOver {
        /// Who rules and will yield to us.
        from: Ipv4Addr,
        /// See [`Input::Lead`].
        lead: Option<Priority>,
    },
    /// The addresses of the last [`Action::Claim`](super::Action::Claim) are in place and were
    /// announced once.
    Claimed,
    /// A master shall let go as soon as it hears this node, whatever priority that has; `None`
    /// takes it back and announces the addresses anew. Forgotten when it stops ruling, or after
    /// [`YIELD_TO_MAX`](super::YIELD_TO_MAX). Ignored in other states and by an owner.
    YieldTo(Option<Ipv4Addr>),
    /// A master shall say priority 0 and become backup. Ignored in other states and by an owner.
    Resign,
    /// As master, advertise at least this priority, 1 to 254 (anything else means `None`). Ends by
    /// itself when the router stops ruling or, as backup, hears another master.
    Lead(Option<Priority>),
    /// It belongs to a sync group from now on, or to none: a member that could rule stands by until
    /// [`Input::GroupRules`]. See [`crate::group`].
    Bind(bool),
    /// Every member of its sync group could rule: so rule. Ignored by a member that cannot.
    GroupRules,
    /// Another member of its sync group gave way. Ignored unless master.
    GroupYields,
    /// The master of another member of its sync group said that it leaves: do not wait for more than
    /// one advert of this one's. Ignored unless it waits for the adverts of a master.
    GroupHastens,
}

/// What a router was told to be. Everything here can change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Parameters {
    /// The priority in force (base and, later, what trackers make of it), 1 to 255.
    pub priority: Priority,
    /// Time between adverts.
    pub interval: Seconds,
    /// Adverts that may be missed before the master counts as down; the RFC's 3.
    pub down_adverts: u8,
    /// `state MASTER`: wait one interval at start, not three.
    pub start_as_master: bool,
    /// What to do about a living master of lower priority.
    pub preemption: Preemption,
    /// Take over from a lower priority at once instead of letting the timer run out.
    pub fast_takeover: bool,
    /// As master, leave a lower priority unanswered.
    pub lower_prio_no_advert: bool,
    /// One last advert when yielding.
    pub higher_prio_send_advert: bool,
    /// As master whose priority fell, keep that to oneself for so long: somebody can be handed the router
    /// meanwhile. Zero where nobody can: whoever is better then learns of it at once.
    pub lowered_advert_delay: Duration,
    /// Where in the interval it advertises: whenever the schedule begins anew, the first interval is so much
    /// shorter, by a quarter at most. Many routers that become master together, with different phases, do not
    /// advertise in one burst for ever.
    pub phase: Duration,
    /// Announcements.
    pub announce: Announce,
}

/// What to do about a living master of lower priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Preemption {
    /// Take over this long after it was first heard.
    After(Duration),
    /// Let it rule.
    Never,
}

/// When to announce the addresses, in rounds over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Announce {
    /// Rounds on becoming master.
    pub master_rounds: u32,
    /// A second burst this long after; zero for none.
    pub master_delay: Duration,
    /// Repeat this often while master; zero for never.
    pub refresh: Duration,
    /// Rounds per repetition.
    pub refresh_rounds: u32,
    /// Rounds when a lower priority was heard.
    pub lower_prio_rounds: u32,
    /// And again this long after; zero for not again.
    pub lower_prio_delay: Duration,
}
