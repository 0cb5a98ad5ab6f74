//! The interfaces that virtual routers use, as the kernel last described them. Pure.

use super::InterfaceNow;
use hacluster_net::netlink::{AddressEntry, Link};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What is known of the watched interfaces, by name.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    watched: BTreeMap<String, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    link: Option<Link>,
    /// Addresses that are not virtual, in the kernel's order.
    own: Vec<AddressEntry>,
    /// What was last reported.
    reported: Option<Option<InterfaceNow>>,
}

impl Watched {
    /// The first address of a network goes before secondary ones, as for the kernel.
    fn source(&self) -> Option<Ipv4Addr> {
        self.own.iter().min_by_key(|address| address.secondary).map(|address| address.ip)
    }

    fn now(&self) -> Option<InterfaceNow> {
        self.link.as_ref().map(|link| InterfaceNow {
            index: link.index,
            running: link.up && link.running,
            source: self.source(),
        })
    }
}

impl Interfaces {
    /// Begins to watch `name`; false when that was done already.
    pub(super) fn watch(&mut self, name: &str) -> bool {
        if self.watched.contains_key(name) {
            return false;
        }
        self.watched.insert(name.to_owned(), Watched::default());
        true
    }

    /// The interface called `name`, while it exists.
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.watched.get(name)?.link.as_ref()
    }

    /// Ethernet address of interface `index`; none where nobody would listen to ARP.
    pub(super) fn mac(&self, index: u32) -> Option<[u8; 6]> {
        let link = self.by_index(index)?.link.as_ref()?;
        (link.ethernet && !link.loopback && !link.point_to_point).then_some(link.mac)
    }

    /// Whether packets can go by `name`.
    pub(super) fn usable(&self, name: &str) -> bool {
        self.link(name).is_some_and(|link| link.up && link.running)
    }

    fn by_index(&self, index: u32) -> Option<&Watched> {
        self.watched.values().find(|watched| watched.link.as_ref().is_some_and(|link| link.index == index))
    }

    fn by_index_mut(&mut self, index: u32) -> Option<&mut Watched> {
        self.watched
            .values_mut()
            .find(|watched| watched.link.as_ref().is_some_and(|link| link.index == index))
    }

    /// An interface changed, appeared or was renamed. Returns the index that is not watched any
    /// more, if that is what it means.
    pub(super) fn link_changed(&mut self, link: Link) -> Option<u32> {
        let mut lost = None;
        for (name, watched) in &mut self.watched {
            let known = watched.link.as_ref().map(|known| known.index);
            if *name == link.name {
                if known.is_some_and(|known| known != link.index) {
                    lost = known;
                    watched.own.clear();
                }
                watched.link = Some(link.clone());
            } else if known == Some(link.index) {
                lost = known;
                *watched = Watched { reported: watched.reported.take(), ..Watched::default() };
            }
        }
        lost
    }

    /// Interface `index` does not exist any more.
    pub(super) fn link_gone(&mut self, index: u32) {
        if let Some(watched) = self.by_index_mut(index) {
            *watched = Watched { reported: watched.reported.take(), ..Watched::default() };
        }
    }

    /// An address that is not virtual was added or changed.
    pub(super) fn address_added(&mut self, address: AddressEntry) {
        if let Some(watched) = self.by_index_mut(address.index) {
            match watched.own.iter_mut().find(|known| known.ip == address.ip) {
                Some(known) => *known = address,
                None => watched.own.push(address),
            }
        }
    }

    /// An address that is not virtual was removed.
    pub(super) fn address_removed(&mut self, index: u32, ip: Ipv4Addr) {
        if let Some(watched) = self.by_index_mut(index) {
            watched.own.retain(|known| known.ip != ip);
        }
    }

    /// Forgets every address and link, before a new listing.
    pub(super) fn clear(&mut self) {
        for watched in self.watched.values_mut() {
            watched.link = None;
            watched.own.clear();
        }
    }

    /// What changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<InterfaceNow>)> {
        let mut changes = Vec::new();
        for (name, watched) in &mut self.watched {
            let now = watched.now();
            if watched.reported != Some(now) {
                watched.reported = Some(now);
                changes.push((name.clone(), now));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, running: bool) -> Link {
        Link {
            index,
            name: name.into(),
            up: true,
            running,
            mac: [2, 0, 0, 0, 0, index as u8],
            ethernet: true,
            multicast: true,
            loopback: false,
            point_to_point: false,
            mtu: 1500,
            master: None,
        }
    }

    fn address(index: u32, last: u8, secondary: bool) -> AddressEntry {
        AddressEntry {
            index,
            ip: Ipv4Addr::new(192, 0, 2, last),
            prefix_len: 24,
            label: "eth0".into(),
            scope: 0,
            protocol: 0,
            secondary,
            broadcast: None,
            peer: None,
        }
    }

    fn eth0() -> Interfaces {
        let mut interfaces = Interfaces::default();
        interfaces.watch("eth0");
        interfaces.link_changed(link(3, "eth0", true));
        interfaces.take_changes();
        interfaces
    }

    #[test]
    fn nothing_is_announced_where_nobody_listens_to_arp() {
        let mut interfaces = eth0();
        assert!(interfaces.mac(3).is_some());
        interfaces.link_changed(Link { loopback: true, ..link(3, "eth0", true) });
        assert_eq!(interfaces.mac(3), None);
    }

    #[test]
    fn only_changes_are_reported() {
        let mut interfaces = eth0();
        assert_eq!(interfaces.take_changes(), []);
        interfaces.link_changed(link(3, "eth0", false));
        let now = InterfaceNow { index: 3, running: false, source: None };
        assert_eq!(interfaces.take_changes(), [("eth0".into(), Some(now))]);
    }

    #[test]
    fn the_first_address_of_its_network_is_the_source() {
        let mut interfaces = eth0();
        interfaces.address_added(address(3, 20, true));
        interfaces.address_added(address(3, 9, false));
        assert_eq!(interfaces.take_changes()[0].1.unwrap().source, Some(Ipv4Addr::new(192, 0, 2, 9)));
        interfaces.address_removed(3, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(interfaces.take_changes()[0].1.unwrap().source, Some(Ipv4Addr::new(192, 0, 2, 20)));
    }

    #[test]
    fn a_renamed_interface_is_gone_until_its_name_returns() {
        let mut interfaces = eth0();
        assert_eq!(interfaces.link_changed(link(3, "lan0", true)), Some(3));
        assert_eq!(interfaces.take_changes(), [("eth0".into(), None)]);
        interfaces.link_changed(link(7, "eth0", true));
        assert_eq!(interfaces.take_changes()[0].1.unwrap().index, 7);
    }

    #[test]
    fn an_interface_made_anew_under_the_same_name_loses_its_addresses() {
        let mut interfaces = eth0();
        interfaces.address_added(address(3, 9, false));
        assert_eq!(interfaces.link_changed(link(8, "eth0", true)), Some(3));
        assert_eq!(interfaces.take_changes()[0].1.unwrap().source, None);
    }
}
