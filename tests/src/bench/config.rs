//! keepalived.conf texts: the same for both daemons.

use std::{fmt::Write as _, net::Ipv4Addr};

/// VRIDs used per interface.
pub(super) const PER_INTERFACE: usize = 250;
/// Addresses a VRRPv2 packet takes along here; further ones are `virtual_ipaddress_excluded`.
const ADVERTISED_MAX: usize = 200;

/// A virtual router to be written.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) interface: usize,
    pub(super) vrid: u8,
    pub(super) priority: u8,
    pub(super) addresses: Vec<String>,
}

impl Router {
    /// VRID 1 on the first interface with `count` addresses.
    pub(super) fn single(priority: u8, count: usize) -> Self {
        Self { interface: 0, vrid: 1, priority, addresses: (0..count).map(vip).collect() }
    }

    /// As [`single`](Self::single), its one address being a neighbour of the interface's own.
    pub(super) fn local(priority: u8) -> Self {
        Self { addresses: vec![format!("{LOCAL_VIP}/24")], ..Self::single(priority, 0) }
    }
}

/// The address of [`Router::local`].
pub(super) const LOCAL_VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);

/// `count` virtual routers of one address each, spread over interfaces.
pub(super) fn many(count: usize, priority: u8) -> Vec<Router> {
    let router = |number: usize| Router {
        interface: number / PER_INTERFACE,
        vrid: (number % PER_INTERFACE + 1) as u8,
        priority,
        addresses: vec![vip(number)],
    };
    (0..count).map(router).collect()
}

/// Interfaces that `count` virtual routers need.
pub(super) fn interfaces(count: usize) -> usize {
    count.div_ceil(PER_INTERFACE)
}

/// The address number `number` of all virtual ones.
pub(super) fn vip(number: usize) -> String {
    format!("{}/32", vip_address(number))
}

/// See [`vip`].
pub(super) fn vip_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 128, 0, 1)) + number as u32)
}

/// All of `routers`, starting as backups.
pub(super) fn text(routers: &[Router]) -> String {
    let mut text = String::new();
    for router in routers {
        let Router { interface, vrid, priority, addresses } = router;
        let _ = write!(
            text,
            "vrrp_instance VI_{interface}_{vrid} {{\n state BACKUP\n interface eth{interface}\n \
             virtual_router_id {vrid}\n priority {priority}\n advert_int 1\n garp_master_delay 1\n \
             authentication {{\n  auth_type PASS\n  auth_pass bench\n }}\n"
        );
        let (advertised, excluded) = addresses.split_at(addresses.len().min(ADVERTISED_MAX));
        for (block, addresses) in
            [("virtual_ipaddress", advertised), ("virtual_ipaddress_excluded", excluded)]
        {
            if !addresses.is_empty() {
                let _ = write!(text, " {block} {{\n  {}\n }}\n", addresses.join("\n  "));
            }
        }
        text += "}\n";
    }
    text
}
