//! Sync daemons: which shall run, and what has to be done for that. Pure.
//!
//! ```text
//!   its virtual router rules -> one that tells (master)
//!   it does not              -> one that hears (backup)
//!   it follows no router     -> both
//! ```

use hacluster_conf::model::lvs::SyncDaemon as Configured;
use hacluster_net::netlink::ipvs::{Command, SyncDaemon, SyncRole};
use std::net::IpAddr;

/// Headers of a datagram of IPv4, and of IPv6, in bytes.
const HEADERS: (u16, u16) = (20 + 8, 40 + 8);

/// The daemons that shall run while the router they follow rules, or does not.
pub(super) fn wanted(configured: &Configured, rules: bool) -> Vec<SyncDaemon> {
    let roles: &[SyncRole] = match (&configured.router, rules) {
        (None, _) => &[SyncRole::Master, SyncRole::Backup],
        (Some(_), true) => &[SyncRole::Master],
        (Some(_), false) => &[SyncRole::Backup],
    };
    let daemon = |role: &SyncRole| SyncDaemon {
        role: *role,
        interface: configured.interface.clone(),
        id: configured.id,
        max_len: configured.max_len.map(|len| taken(len, *role, configured.group)),
        group: configured.group,
        port: configured.port,
        ttl: configured.ttl,
    };
    roles.iter().map(daemon).collect()
}

/// The length that the kernel takes for `len`, and reports: it never refuses one.
fn taken(len: u16, role: SyncRole, group: Option<IpAddr>) -> u16 {
    let headers = if group.is_some_and(|group| group.is_ipv6()) { HEADERS.1 } else { HEADERS.0 };
    let least = match role {
        SyncRole::Master => 1,
        SyncRole::Backup => Configured::HEARS_LEAST,
    };
    len.clamp(least, u16::MAX - headers)
}

/// Whether what runs is as wanted, where something is wanted.
fn is_as_wanted(running: &SyncDaemon, wanted: &SyncDaemon) -> bool {
    fn agrees<T: PartialEq>(running: &Option<T>, wanted: &Option<T>) -> bool {
        wanted.is_none() || running == wanted
    }
    running.role == wanted.role
        && running.interface == wanted.interface
        && running.id == wanted.id
        && agrees(&running.max_len, &wanted.max_len)
        && agrees(&running.group, &wanted.group)
        && agrees(&running.port, &wanted.port)
        && agrees(&running.ttl, &wanted.ttl)
}

/// Stops before it starts: the kernel runs one of each role.
pub(super) fn difference(wanted: &[SyncDaemon], running: &[SyncDaemon]) -> Vec<Command> {
    let odd = running.iter().filter(|daemon| !wanted.iter().any(|wanted| is_as_wanted(daemon, wanted)));
    let missing = wanted.iter().filter(|wanted| !running.iter().any(|daemon| is_as_wanted(daemon, wanted)));
    let stop = odd.map(|daemon| Command::StopDaemon(daemon.role));
    stop.chain(missing.cloned().map(Command::StartDaemon)).collect()
}

/// What `command` did, for the log.
pub(super) fn describe(command: &Command) -> String {
    match command {
        Command::StartDaemon(daemon) => format!("IPVS sync daemon started: {}", words(daemon)),
        Command::StopDaemon(role) => format!("IPVS sync daemon stopped: {role}"),
        _ => String::new(),
    }
}

/// `master on eth0, id 1`.
pub(super) fn words(daemon: &SyncDaemon) -> String {
    format!("{} on {}, id {}", daemon.role, daemon.interface, daemon.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(router: Option<&str>) -> Configured {
        Configured {
            interface: "eth0".into(),
            router: router.map(str::to_owned),
            id: 7,
            max_len: None,
            port: None,
            ttl: None,
            group: None,
        }
    }

    /// As the kernel reports it: with everything filled in.
    fn running(role: SyncRole) -> SyncDaemon {
        SyncDaemon {
            role,
            interface: "eth0".into(),
            id: 7,
            max_len: Some(1_472),
            group: Some([224, 0, 0, 81].into()),
            port: Some(8_848),
            ttl: Some(1),
        }
    }

    #[test]
    fn who_tells_and_who_hears_follows_the_router() {
        let roles = |router, rules| -> Vec<SyncRole> {
            wanted(&configured(router), rules).iter().map(|daemon| daemon.role).collect()
        };
        assert_eq!(roles(Some("VI_1"), true), [SyncRole::Master]);
        assert_eq!(roles(Some("VI_1"), false), [SyncRole::Backup]);
        assert_eq!(roles(None, false), [SyncRole::Master, SyncRole::Backup]);
    }

    /// Otherwise it would be stopped and started at every look.
    #[test]
    fn a_length_is_wanted_as_the_kernel_takes_it() {
        let len = |len: u16, group: Option<&str>, rules| {
            let group = group.map(|group| group.parse().unwrap());
            let configured = Configured { max_len: Some(len), group, ..configured(Some("VI_1")) };
            wanted(&configured, rules)[0].max_len
        };
        for (length, group, master, backup) in [
            (500, None, 500, 1_024),
            (1_024, None, 1_024, 1_024),
            (65_535, Some("224.0.0.82"), 65_507, 65_507),
            (65_507, Some("ff02::81"), 65_487, 65_487),
        ] {
            assert_eq!(len(length, group, true), Some(master), "{length}");
            assert_eq!(len(length, group, false), Some(backup), "{length}");
        }
    }

    #[test]
    fn a_change_of_role_stops_one_and_starts_the_other_and_what_runs_as_wanted_stays() {
        let hears = wanted(&configured(Some("VI_1")), false);
        let tells = wanted(&configured(Some("VI_1")), true);
        assert!(difference(&hears, &[running(SyncRole::Backup)]).is_empty());
        assert_eq!(
            difference(&tells, &[running(SyncRole::Backup)]),
            [Command::StopDaemon(SyncRole::Backup), Command::StartDaemon(tells[0].clone())]
        );
        let mut other = running(SyncRole::Master);
        other.id = 8;
        assert_eq!(difference(&tells, &[other]).len(), 2, "another id is another daemon");
        let short = SyncDaemon { max_len: Some(500), ..tells[0].clone() };
        assert_eq!(difference(&[short], &[running(SyncRole::Master)]).len(), 2);
        assert_eq!(difference(&[], &[running(SyncRole::Master)]), [Command::StopDaemon(SyncRole::Master)]);
    }
}
