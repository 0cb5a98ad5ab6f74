//! From the configuration's words to the core's.

use crate::orders::Orders;
use hacluster_conf::model::{self, Authentication, InitialState, VirtualRouter};
use hacluster_core::machine::{Announce, Parameters, Preemption};
use hacluster_core::receive::Expectation;
use hacluster_core::time::Duration;
use hacluster_core::wire::{Auth, v2::Outgoing};
use std::net::Ipv4Addr;

/// So long a peer may take to be found and asked before everybody hears that somebody better should rule:
/// an advert heard first would have it, or a neighbour that is no peer, take over by plain VRRP.
const HANDOVER_MAX: Duration = Duration::from_millis(100);

pub(crate) fn parameters(router: &VirtualRouter, fast_takeover: bool, orders: Orders) -> Parameters {
    let garp = &router.garp;
    Parameters {
        priority: orders.priority(router.priority),
        interval: router.advert_interval,
        down_adverts: router.down_timer_adverts,
        // Who rests leaves the first word to the others.
        start_as_master: router.initial_state == InitialState::Master && !orders.rest,
        preemption: match router.preemption {
            model::Preemption::After(delay) if !orders.hold_back => Preemption::After(delay),
            model::Preemption::After(_) | model::Preemption::Never => Preemption::Never,
        },
        fast_takeover,
        lower_prio_no_advert: router.lower_prio_no_advert,
        higher_prio_send_advert: router.higher_prio_send_advert,
        lowered_advert_delay: if orders.helped { HANDOVER_MAX } else { Duration::ZERO },
        phase: Duration::ZERO,
        announce: Announce {
            master_rounds: garp.master_repeat,
            master_delay: garp.master_delay,
            refresh: garp.master_refresh,
            refresh_rounds: garp.master_refresh_repeat,
            lower_prio_rounds: garp.lower_prio_repeat,
            lower_prio_delay: garp.lower_prio_delay,
        },
    }
}

fn auth(authentication: Authentication) -> Auth {
    match authentication {
        Authentication::None => Auth::None,
        Authentication::Pass(password) => Auth::Pass(password),
    }
}

fn advertised(router: &VirtualRouter) -> Vec<Ipv4Addr> {
    router.addresses.iter().map(|address| address.ip).collect()
}

pub(crate) fn expectation(router: &VirtualRouter, orders: Orders) -> Expectation {
    let auth = auth(router.authentication);
    let mut expected = Expectation::new(router.mcast_group, router.advert_interval, auth, advertised(router));
    expected.owner_ignores = router.owner_ignore_adverts && orders.priority(router.priority).is_owner();
    expected
}

pub(crate) fn outgoing(router: &VirtualRouter, source: Ipv4Addr) -> Outgoing {
    Outgoing {
        source,
        destination: router.mcast_group,
        vrid: router.vrid,
        interval: router.advert_interval,
        auth: auth(router.authentication),
        addresses: advertised(router),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hacluster_conf::source::Memory;
    use hacluster_core::priority::Priority;

    /// Read from a file, as all are.
    pub(crate) fn router(priority: Priority) -> VirtualRouter {
        let text = "vrrp_instance VI_1 {\n state MASTER\n interface eth0\n virtual_router_id 1\n \
                    authentication {\n auth_type PASS\n auth_pass secret\n }\n \
                    virtual_ipaddress {\n 192.0.2.80\n 192.0.2.81\n }\n}\n";
        let path = std::path::Path::new("/keepalived.conf");
        let loaded = hacluster_conf::load(path, &Memory::new(path, text));
        let mut router = loaded.config.routers.into_iter().next().unwrap();
        (router.priority, router.owner_ignore_adverts) = (priority, true);
        router
    }

    #[test]
    fn who_holds_back_preempts_nobody() {
        let router = router(Priority::DEFAULT);
        let orders = Orders { hold_back: true, ..Orders::default() };
        assert_eq!(parameters(&router, true, orders).preemption, Preemption::Never);
        let free = parameters(&router, true, Orders::default());
        assert!(matches!(free.preemption, Preemption::After(_)));
        assert_eq!(Parameters { preemption: Preemption::Never, ..free }, parameters(&router, true, orders));
    }

    #[test]
    fn who_rests_is_worse_than_everybody_even_as_owner() {
        let router = router(Priority::OWNER);
        let orders = Orders { rest: true, ..Orders::default() };
        let resting = parameters(&router, true, orders);
        assert_eq!((resting.priority.get(), resting.start_as_master), (1, false));
        assert!(!expectation(&router, orders).owner_ignores, "it must hear who rules instead");
        assert!(expectation(&router, Orders::default()).owner_ignores);
    }

    #[test]
    fn who_rests_leads_nobody() {
        let leads = Orders { lead: Some(Priority::DEFAULT), ..Orders::default() };
        assert_eq!(leads.lead_in_force(), Some(Priority::DEFAULT));
        assert_eq!(Orders { rest: true, ..leads }.lead_in_force(), None);
        assert_eq!(Orders { lead: Some(Priority::OWNER), ..leads }.lead_in_force(), None);
    }
}
