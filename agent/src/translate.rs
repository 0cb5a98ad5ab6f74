//! From the configuration's words to the core's.

use hacluster_conf::model::{self, Authentication, InitialState, VirtualRouter};
use hacluster_core::machine::{Announce, Parameters, Preemption};
use hacluster_core::receive::Expectation;
use hacluster_core::wire::{Auth, v2::Outgoing};
use std::net::Ipv4Addr;

pub(crate) fn parameters(router: &VirtualRouter, fast_takeover: bool) -> Parameters {
    let garp = &router.garp;
    Parameters {
        priority: router.priority,
        interval: router.advert_interval,
        down_adverts: router.down_timer_adverts,
        start_as_master: router.initial_state == InitialState::Master,
        preemption: match router.preemption {
            model::Preemption::After(delay) => Preemption::After(delay),
            model::Preemption::Never => Preemption::Never,
        },
        fast_takeover,
        lower_prio_no_advert: router.lower_prio_no_advert,
        higher_prio_send_advert: router.higher_prio_send_advert,
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

pub(crate) fn expectation(router: &VirtualRouter) -> Expectation {
    let auth = auth(router.authentication);
    let mut expected = Expectation::new(router.mcast_group, router.advert_interval, auth, advertised(router));
    expected.owner_ignores = router.owner_ignore_adverts && router.priority.is_owner();
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
