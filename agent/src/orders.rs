//! What operators and peers ordered of a virtual router, over its configuration.

use hacluster_core::priority::Priority;

/// Every other node is better.
const RESTING: Priority = Priority::from_wire(1);

/// Standing orders of one virtual router. Kept by the cluster part, obeyed by the protocol thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Take nothing from a living master: after a failover, or while paused.
    pub hold_back: bool,
    /// Rule only where nobody else does: advertise priority 1, because the node is drained.
    pub rest: bool,
    /// As master, advertise this priority until another master is heard.
    pub lead: Option<Priority>,
    /// A peer that is connected could be handed the router.
    pub helped: bool,
}

impl Orders {
    /// The lead that counts: who rests leads nobody.
    pub fn lead_in_force(self) -> Option<Priority> {
        self.lead.filter(|lead| !self.rest && !lead.is_owner() && !lead.is_resign())
    }

    /// The priority in force without a lead, where `base` is configured.
    pub fn priority(self, base: Priority) -> Priority {
        if self.rest { RESTING } else { base }
    }
}
