//! Adverts by the time at which the kernel received them: that is when what they lead to began.
//!
//! Told, never decided by: every timer of the protocol counts from when an advert was read.

use hacluster_core::machine::{Reason, TakeoverCause};
use hacluster_core::receive::Heard;
use hacluster_core::time::{Duration, Instant};
use std::net::Ipv4Addr;

/// Nothing waits longer: the wall clock was set meanwhile.
const WAITED_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// How long a packet waited, if that can be.
pub(super) fn plausible(waited: Option<std::time::Duration>) -> Option<Duration> {
    let waited = waited.filter(|waited| *waited <= WAITED_MAX)?;
    u64::try_from(waited.as_micros()).ok().map(Duration::from_micros)
}

/// An advert that was believed.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sender: Ipv4Addr,
    read: Instant,
    /// From the kernel to us, where it says so.
    waited: Option<Duration>,
}

/// When that began which leads to a change, and how long the advert that did waited to be read.
pub(super) type Lead = (Option<Instant>, Option<Duration>);

/// The adverts that may have led to a change.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    latest: Option<Arrival>,
    /// The latest with which somebody left.
    farewell: Option<Arrival>,
}

impl Arrivals {
    /// `heard` was read at `read` after it had waited so long.
    pub(super) fn take(&mut self, heard: Heard, read: Instant, waited: Option<Duration>) {
        let arrival = Some(Arrival { sender: heard.sender, read, waited });
        self.latest = arrival;
        if heard.priority.is_resign() {
            self.farewell = arrival;
        }
    }

    /// What led to a change for `reason` when the last word of the master was read at `last_word`.
    pub(super) fn lead(&self, reason: &Reason, last_word: Option<Instant>) -> Lead {
        let from = |arrival: Option<Arrival>, sender| arrival.filter(|arrival| arrival.sender == sender);
        let arrival = match reason {
            Reason::TookOver(TakeoverCause::Resigned(sender)) => from(self.farewell, *sender),
            Reason::TookOver(TakeoverCause::LowerPriority(heard)) | Reason::Yielded(heard) => {
                from(self.latest, heard.sender)
            }
            Reason::TookOver(
                TakeoverCause::Silence | TakeoverCause::MasterSilent(_) | TakeoverCause::HandedOver(_),
            )
            | Reason::GaveAway(_)
            | Reason::ResignedOnRequest
            | Reason::Started
            | Reason::OwnerStarted
            | Reason::Stopped => {
                let said = self.latest.filter(|arrival| Some(arrival.read) == last_word);
                return (said.map(Arrival::came).or(last_word), said.and_then(|said| said.waited));
            }
            Reason::GroupYielded | Reason::Fault(_) | Reason::Recovered(_) => None, // of no advert
        };
        (arrival.map(Arrival::came), arrival.and_then(|arrival| arrival.waited))
    }
}

impl Arrival {
    fn came(self) -> Instant {
        let micros = self.waited.unwrap_or(Duration::ZERO).as_micros();
        Instant::from_micros(self.read.as_micros().saturating_sub(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::priority::Priority;

    const MASTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn heard(last: u8, priority: u8) -> Heard {
        Heard { sender: Ipv4Addr::new(10, 9, 0, last), priority: Priority::from_wire(priority) }
    }

    #[test]
    fn what_an_advert_leads_to_began_when_the_kernel_received_it() {
        let mut arrivals = Arrivals::default();
        let waited = Some(Duration::from_millis(3));
        arrivals.take(heard(1, 100), at(1_000), waited);
        let silent = Reason::TookOver(TakeoverCause::MasterSilent(MASTER));
        assert_eq!(arrivals.lead(&silent, Some(at(1_000))), (Some(at(997)), waited));
        // Another one spoke since: of the last word only that is known when it was read.
        arrivals.take(heard(2, 90), at(1_500), waited);
        assert_eq!(arrivals.lead(&silent, Some(at(1_000))), (Some(at(1_000)), None));
        arrivals.take(heard(1, 0), at(2_000), None);
        arrivals.take(heard(2, 90), at(2_001), waited);
        let resigned = Reason::TookOver(TakeoverCause::Resigned(MASTER));
        assert_eq!(arrivals.lead(&resigned, None), (Some(at(2_000)), None));
        assert_eq!(arrivals.lead(&Reason::Yielded(heard(2, 90)), None), (Some(at(1_998)), waited));
        assert_eq!(arrivals.lead(&Reason::Yielded(heard(1, 90)), None), (None, None));
    }

    #[test]
    fn a_clock_that_was_set_says_nothing() {
        let seconds = std::time::Duration::from_secs;
        assert_eq!(plausible(Some(seconds(1))), Some(Duration::from_secs(1)));
        assert_eq!(plausible(Some(seconds(3_600))), None);
        assert_eq!(plausible(None), None);
    }
}
