//! A virtual router in words that every daemon can be told.

use hacluster_lab::{peer::FrrRouter, topology::Cidr};
use std::{fmt::Write, net::Ipv4Addr};

/// One node's part in a virtual router; interval 1 s, VRRPv2, on `eth0`.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) state: &'static str,
    /// The words of the `authentication` block; `None` leaves it out.
    pub(crate) auth: Option<(&'static str, &'static str)>,
    pub(crate) group: Option<&'static str>,
    pub(crate) vips: Vec<Ipv4Addr>,
    pub(crate) excluded: Vec<Ipv4Addr>,
    /// More lines of the instance.
    pub(crate) more: &'static str,
}

/// The usual virtual router, at this priority.
pub(crate) fn router(priority: u8) -> Router {
    Router {
        vrid: 51,
        priority,
        state: "BACKUP",
        auth: None,
        group: None,
        vips: vips(1),
        excluded: Vec::new(),
        more: "",
    }
}

/// `count` virtual addresses.
pub(crate) fn vips(count: u8) -> Vec<Ipv4Addr> {
    (0..count).map(|index| Ipv4Addr::new(10, 9, 0, 100 + index)).collect()
}

impl Router {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Every address it holds as a master.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.vips.iter().chain(&self.excluded).copied()
    }

    /// As one `vrrp_instance`, without what is global.
    fn instance(&self) -> String {
        let Self { vrid, priority, state, more, .. } = self;
        let mut text = format!(
            "vrrp_instance VI_{vrid} {{\n state {state}\n interface eth0\n virtual_router_id {vrid}\n \
             priority {priority}\n advert_int 1\n {more}\n"
        );
        if let Some((kind, password)) = self.auth {
            let _ = writeln!(text, " authentication {{\n  auth_type {kind}\n  auth_pass {password}\n }}");
        }
        let mut block = |name: &str, addresses: &[Ipv4Addr]| {
            if !addresses.is_empty() {
                let lines: String = addresses.iter().map(|ip| format!("  {ip}/24\n")).collect();
                let _ = writeln!(text, " {name} {{\n{lines} }}");
            }
        };
        block("virtual_ipaddress", &self.vips);
        block("virtual_ipaddress_excluded", &self.excluded);
        text + "}\n"
    }

    /// As FRR knows it.
    pub(crate) fn frr(&self) -> FrrRouter {
        FrrRouter {
            interface: "eth0".to_owned(),
            vrid: self.vrid,
            version: 2,
            priority: self.priority,
            interval_ms: 1_000,
            addresses: self.vips.iter().map(|ip| Cidr { ip: *ip, prefix_len: 24 }).collect(),
        }
    }
}

/// All of one node's virtual routers as a keepalived.conf.
pub(crate) fn config(routers: &[Router]) -> String {
    let group = routers.iter().find_map(|router| router.group);
    let group = group.map_or(String::new(), |group| format!(" vrrp_mcast_group4 {group}\n"));
    let instances: String = routers.iter().map(Router::instance).collect();
    format!("global_defs {{\n router_id test\n{group}}}\n{instances}")
}
