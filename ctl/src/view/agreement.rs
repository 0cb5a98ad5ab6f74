//! What all nodes must agree on, compared between two configurations: of a virtual router interval,
//! authentication, group and addresses; priorities and interfaces differ as they should. Virtual servers
//! must be equal: only the address moves between directors, so a difference shows after a failover.

use hacluster_conf::diff::{Change, diff};
use hacluster_conf::model::lvs::VirtualServer;
use hacluster_conf::model::{Authentication, Config, VirtualRouter};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// One of two configurations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party<'a> {
    /// Whose.
    pub(crate) name: &'a str,
    pub(crate) config: &'a Config,
}

/// What differs, in words, one line each.
pub(crate) fn compare(one: &Party<'_>, other: &Party<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<&VirtualRouter> = other.config.routers.iter().collect();
    for router in &one.config.routers {
        match partner(router, &left) {
            Some(at) => routers((one.name, router), (other.name, left.remove(at)), &mut found),
            None => found.push(only_on(router, one.name)),
        }
    }
    found.extend(left.into_iter().map(|router| only_on(router, other.name)));
    found.extend(services(one, other));
    found
}

fn only_on(router: &VirtualRouter, name: &str) -> String {
    format!("{} (VRID {}): only on {name}", router.name, router.vrid)
}

/// The changes from one to the other, as a reload would tell them; the connection of the sync daemon and
/// what is run belong to the node.
fn services(one: &Party<'_>, other: &Party<'_>) -> Vec<String> {
    let (from, to) = (one.name, other.name);
    let line = |change: Change| match change {
        Change::Service { name, what } => {
            let only = |word| what.iter().any(|field| field.field == word);
            if only("added") {
                return Some(format!("virtual_server {name}: only on {to}"));
            } else if only("removed") {
                return Some(format!("virtual_server {name}: only on {from}"));
            }
            let what: Vec<String> = what.iter().map(ToString::to_string).collect();
            Some(format!("virtual_server {name}, {from} -> {to}: {}", what.join(", ")))
        }
        _ => None,
    };
    let balanced = |party: &Party<'_>| {
        let mut config = Config { lvs: party.config.lvs.clone(), ..Config::default() };
        config.lvs.services = config.lvs.services.iter().map(VirtualServer::shared).collect();
        config
    };
    diff(&balanced(one), &balanced(other)).into_iter().filter_map(line).collect()
}

/// Which of `others` is the same virtual router: by VRID; of several, by addresses, then by name.
fn partner(router: &VirtualRouter, others: &[&VirtualRouter]) -> Option<usize> {
    let likeness = |other: &VirtualRouter| {
        let (a, b) = (addresses(router), addresses(other));
        (a == b, !a.is_disjoint(&b), other.name.eq_ignore_ascii_case(&router.name))
    };
    let same = others.iter().enumerate().filter(|(_, other)| other.vrid == router.vrid);
    same.max_by_key(|(_, other)| likeness(other)).map(|(at, _)| at)
}

fn addresses(of: &VirtualRouter) -> BTreeSet<Ipv4Addr> {
    of.addresses.iter().map(|address| address.ip).collect()
}

fn routers(one: (&str, &VirtualRouter), other: (&str, &VirtualRouter), found: &mut Vec<String>) {
    let ((name, a), (other_name, b)) = (one, other);
    let head = format!("{} (VRID {})", a.name, a.vrid);
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{head}: {what} is {a} on {name}, {b} on {other_name}"));
        }
    };
    differ("the interval", a.advert_interval.to_string(), b.advert_interval.to_string());
    let kind = |of: &VirtualRouter| match of.authentication {
        Authentication::None => "none".to_owned(),
        Authentication::Pass(_) => "PASS".to_owned(),
    };
    differ("authentication", kind(a), kind(b));
    differ("the multicast group", a.mcast_group.to_string(), b.mcast_group.to_string());
    let (of_a, of_b) = (addresses(a), addresses(b));
    for (mine, theirs, name) in [(&of_a, &of_b, name), (&of_b, &of_a, other_name)] {
        let only: Vec<_> = mine.difference(theirs).map(ToString::to_string).collect();
        if !only.is_empty() {
            found.push(format!("{head}: only on {name}: {}", only.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_conf::source::Memory;

    fn config(text: &str) -> Config {
        hacluster_conf::load("k.conf".as_ref(), &Memory::new("k.conf", text)).config
    }

    fn router(name: &str, vrid: u8, priority: u8, rest: &str, addresses: &str) -> String {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n priority {priority}\n {rest}\n \
             virtual_ipaddress {{\n{addresses}\n}}\n}}\n"
        )
    }

    #[test]
    fn directors_balance_alike() {
        let director = |weight: u8, rest: &str| {
            config(&format!(
                "virtual_server 192.0.2.1 80 {{\n lb_algo wrr\n real_server 192.0.2.8 80 {{\n weight 1\n TCP_CHECK {{\n}}\n}}\n \
                 real_server 192.0.2.9 80 {{\n weight {weight}\n TCP_CHECK {{\n}}\n}}\n}}\n{rest}"
            ))
        };
        let (one, other) = (director(2, ""), director(1, "virtual_server fwmark 3 {\n}\n"));
        let found = compare(&Party { name: "a", config: &one }, &Party { name: "b", config: &other });
        let expected = [
            "virtual_server 192.0.2.1 80, a -> b: real_server 192.0.2.9 80 weight 2 -> 1",
            "virtual_server fwmark 3: only on b",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_directors_own_scripts_and_source_address_are_no_difference() {
        let director = |own: u8| {
            config(&format!(
                "virtual_server 192.0.2.1 80 {{\n quorum_up /bin/up{own}\n real_server 192.0.2.8 80 {{\n notify_up \
                 /bin/rs{own}\n TCP_CHECK {{\n bindto 192.0.2.{own}\n}}\n}}\n}}\n"
            ))
        };
        let (one, other) = (director(3), director(4));
        assert_ne!(one.lvs.services, other.lvs.services);
        assert_eq!(
            compare(&Party { name: "a", config: &one }, &Party { name: "b", config: &other }),
            [""; 0]
        );
    }

    #[test]
    fn only_what_must_agree_is_compared() {
        let auth = "authentication {\n auth_type PASS\n auth_pass secret\n }";
        let one = config(
            &(router("VI_1", 51, 150, auth, "192.0.2.1/24") + &router("VI_2", 52, 1, "", "192.0.2.2")),
        );
        let same =
            config(&(router("WEB", 51, 100, auth, "192.0.2.1/25") + &router("VI_2", 52, 9, "", "192.0.2.2")));
        let party = |name, config| Party { name, config };
        assert_eq!(compare(&party("node1", &one), &party("node2", &same)), [""; 0]);
        let other = config(&router("VI_1", 51, 100, "advert_int 2", "192.0.2.1\n192.0.2.3"));
        let found = compare(&party("node1", &one), &party("node2", &other));
        assert_eq!(found.len(), 4, "{found:#?}");
        for part in [
            "1s on node1, 2s on node2",
            "PASS on node1, none on node2",
            "only on node2: 192.0.2.3",
            "VI_2 (VRID 52): only on node1",
        ] {
            assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
        }
        assert!(!found.concat().contains("secret"));
    }
}
