//! `[[virtual_router]]` into a [`VirtualRouter`].

use super::table::Table;
use super::{command, track};
use crate::diag::Severity;
use crate::model::{
    Accept, Address, Authentication, Garp, InitialState, Notify, Preemption, Refused, Tracker, VirtualRouter,
};
use crate::notation::{broadcast, is_host, is_interface_name, is_label, prefixed, scope};
use config::ValueKind;
use hacluster_core::{interval::Seconds, priority::Priority, time::Duration, vrid::Vrid};
use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

/// Keys of `[[virtual_router]]`.
pub(super) const KEYS: [&str; 27] = [
    "name",
    "interface",
    "vrid",
    "state",
    "priority",
    "advert_interval",
    "preempt",
    "preempt_delay",
    "auth_pass",
    "addresses",
    "excluded",
    "routes",
    "rules",
    "mcast_group",
    "source",
    "garp",
    "down_timer_adverts",
    "lower_prio_no_advert",
    "higher_prio_send_advert",
    "owner_ignore_adverts",
    "skip_check_adv_addr",
    "strict",
    "accept",
    "dont_track_primary",
    "promote_secondaries",
    "track",
    "notify",
];
/// Keys of `[virtual_router.garp]`.
pub(super) const GARP_KEYS: [&str; 7] = [
    "master_delay",
    "master_repeat",
    "master_refresh",
    "master_refresh_repeat",
    "lower_prio_delay",
    "lower_prio_repeat",
    "interval",
];
/// Keys of an address written as a table.
const ADDRESS_KEYS: [&str; 8] =
    ["ip", "dev", "label", "scope", "broadcast", "peer", "no_prefix_route", "no_track"];
/// Longest delay of preemption and gratuitous ARP, in seconds.
const DELAY_MAX_SECS: u64 = 1000;
/// Longest period of `master_refresh`, in seconds.
const REFRESH_MAX_SECS: u64 = 86_400;

/// What holds for every virtual router unless it says otherwise.
pub(super) struct Defaults<'a> {
    /// Where adverts go.
    pub(super) group: Ipv4Addr,
    /// Changes are mailed.
    pub(super) mails: bool,
    /// What can be tracked.
    pub(super) trackers: &'a [Tracker],
}

/// Reads one virtual router over `base`.
///
/// # Errors
/// Refused when anything in it is wrong: the diagnostics say what.
pub(super) fn router(
    mut table: Table<'_>,
    base: Option<VirtualRouter>,
    defaults: &Defaults<'_>,
) -> Result<VirtualRouter, Refused> {
    let written = table.any_text("name");
    let name =
        base.as_ref().map(|base| base.name.clone()).or(written).unwrap_or_else(|| table.name().to_owned());
    let missing = |table: &Table<'_>, key| base.is_none() && !table.has(key);
    let missing = [("interface", missing(&table, "interface")), ("vrid", missing(&table, "vrid"))];
    let interface = table.parsed("interface", "the name of an interface, at most 15 bytes", interface_name);
    let vrid = table.integer("vrid", 1..=255).and_then(|vrid| Vrid::new(u8::try_from(vrid).ok()?));
    let identity = (
        interface.or_else(|| base.as_ref().map(|base| base.interface.clone())),
        vrid.or(base.as_ref().map(|base| base.vrid)),
    );
    for (key, _) in missing.into_iter().filter(|(_, missing)| *missing) {
        table.report(
            Severity::Error,
            "missing-key",
            key,
            format!("virtual router `{name}` needs `{key}`"),
            "",
        );
    }
    let is_new = base.is_none();
    // Reading goes on without an identity, so that every other error is reported as well.
    let (interface, vrid) = (identity.0.unwrap_or_default(), identity.1.or(Vrid::new(1)));
    let Some(vrid) = vrid else { return Err(Refused { name, reason: "it has no VRID".into() }) };
    let mut router = base.unwrap_or_else(|| blank(name.clone(), interface.clone(), vrid, defaults));
    (router.interface, router.vrid) = (interface, vrid);
    election(&mut table, &mut router);
    authentication(&mut table, &mut router);
    if let Some(list) = addresses(&mut table, "addresses") {
        router.addresses = list;
    }
    if let Some(list) = addresses(&mut table, "excluded") {
        router.excluded = list;
    }
    super::route::router(&mut table, &mut router);
    if let Some(group) = table.multicast("mcast_group") {
        router.mcast_group = group;
    }
    if let Some(source) = table.host("source") {
        router.source = Some(source);
    }
    if let Some(garp_table) = table.table("garp") {
        garp(garp_table, &mut router.garp, is_new);
    }
    flags(&mut table, &mut router);
    if let Some(tracked) = track::list(&mut table, defaults.trackers) {
        router.tracked = tracked;
    }
    command::notify(&mut table, &mut router.notify);
    table.finish(&KEYS);
    if table.has_errors() {
        return Err(Refused { name, reason: "what is written of it has errors".into() });
    }
    drop_repeated(&table, &mut router);
    Ok(router)
}

fn blank(name: String, interface: String, vrid: Vrid, defaults: &Defaults<'_>) -> VirtualRouter {
    VirtualRouter {
        name,
        interface,
        vrid,
        initial_state: InitialState::Backup,
        priority: Priority::DEFAULT,
        advert_interval: Seconds::ONE,
        preemption: Preemption::After(Duration::ZERO),
        authentication: Authentication::None,
        addresses: Vec::new(),
        excluded: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        mcast_group: defaults.group,
        source: None,
        garp: Garp::default(),
        down_timer_adverts: 3,
        lower_prio_no_advert: false,
        higher_prio_send_advert: true,
        owner_ignore_adverts: false,
        skip_check_adv_addr: false,
        strict: false,
        accept: Accept::Yes,
        dont_track_primary: false,
        promote_secondaries: false,
        tracked: Vec::new(),
        notify: Notify { mail: defaults.mails, ..Notify::default() },
    }
}

/// Who is master, and how soon.
fn election(table: &mut Table<'_>, router: &mut VirtualRouter) {
    let states = [("BACKUP", InitialState::Backup), ("MASTER", InitialState::Master)];
    if let Some(state) = table.choice("state", &states) {
        router.initial_state = state;
    }
    let number = table.integer("priority", 1..=255).and_then(|number| u8::try_from(number).ok());
    if let Some(priority) = number.and_then(Priority::configured) {
        router.priority = priority;
    }
    let number = table.integer("advert_interval", 1..=255).and_then(|number| u8::try_from(number).ok());
    if let Some(interval) = number.and_then(Seconds::new) {
        router.advert_interval = interval;
    }
    if let Some(adverts) = table.integer("down_timer_adverts", 1..=100) {
        router.down_timer_adverts = u8::try_from(adverts).unwrap_or(router.down_timer_adverts);
    }
    let preempt = table.boolean("preempt").unwrap_or(router.preemption != Preemption::Never);
    let delay = table.seconds("preempt_delay", DELAY_MAX_SECS);
    router.preemption = match (preempt, delay, router.preemption) {
        (false, Some(delay), _) if !delay.is_zero() => {
            let message = "`preempt_delay` without preemption".to_owned();
            table.report(
                Severity::Error,
                "contradiction",
                "preempt_delay",
                message,
                "remove it, or set preempt = true",
            );
            Preemption::Never
        }
        (false, ..) => Preemption::Never,
        (true, Some(delay), _) => Preemption::After(delay),
        (true, None, Preemption::After(delay)) => Preemption::After(delay),
        (true, None, Preemption::Never) => Preemption::After(Duration::ZERO),
    };
}

/// The password; no message ever holds it.
fn authentication(table: &mut Table<'_>, router: &mut VirtualRouter) {
    let Some(password) = table.any_text("auth_pass") else { return };
    if password.len() > Authentication::PASSWORD_BYTES {
        let message = "`auth_pass` is longer than 8 bytes: only the first 8 are sent and compared".to_owned();
        table.report(Severity::Warning, "password-cut", "auth_pass", message, "shorten it on all nodes");
    }
    router.authentication = Authentication::password(&password);
}

fn flags(table: &mut Table<'_>, router: &mut VirtualRouter) {
    let was_strict = router.strict;
    table.set_bool("strict", &mut router.strict);
    if router.strict && !was_strict {
        (router.lower_prio_no_advert, router.owner_ignore_adverts) = (true, true);
        router.accept = Accept::No;
    }
    if router.strict && router.authentication != Authentication::None {
        let message = "`strict` forbids authentication, which RFC 3768 removed".to_owned();
        table.report(
            Severity::Error,
            "contradiction",
            "auth_pass",
            message,
            "remove it, or set strict = false",
        );
    }
    table.set_bool("lower_prio_no_advert", &mut router.lower_prio_no_advert);
    table.set_bool("higher_prio_send_advert", &mut router.higher_prio_send_advert);
    table.set_bool("owner_ignore_adverts", &mut router.owner_ignore_adverts);
    table.set_bool("skip_check_adv_addr", &mut router.skip_check_adv_addr);
    table.set_bool("dont_track_primary", &mut router.dont_track_primary);
    table.set_bool("promote_secondaries", &mut router.promote_secondaries);
    if let Some(accept) = table.boolean("accept") {
        router.accept = if accept { Accept::Yes } else { Accept::No };
    }
}

/// In a new router what follows a lower priority is as after becoming master, unless said.
fn garp(mut table: Table<'_>, garp: &mut Garp, is_new: bool) {
    if let Some(delay) = table.seconds("master_delay", DELAY_MAX_SECS) {
        garp.master_delay = delay;
    }
    if let Some(rounds) = table.integer("master_repeat", 1..=255) {
        garp.master_repeat = rounds;
    }
    if is_new {
        (garp.lower_prio_delay, garp.lower_prio_repeat) = (garp.master_delay, garp.master_repeat);
    }
    if let Some(period) = table.seconds("master_refresh", REFRESH_MAX_SECS) {
        garp.master_refresh = period;
    }
    if let Some(rounds) = table.integer("master_refresh_repeat", 1..=255) {
        garp.master_refresh_repeat = rounds;
    }
    if let Some(delay) = table.seconds("lower_prio_delay", DELAY_MAX_SECS) {
        garp.lower_prio_delay = delay;
    }
    if let Some(rounds) = table.integer("lower_prio_repeat", 0..=255) {
        garp.lower_prio_repeat = rounds;
    }
    if let Some(gap) = table.seconds("interval", 1) {
        garp.interval = gap;
    }
    table.finish(&GARP_KEYS);
}

pub(super) fn addresses(table: &mut Table<'_>, key: &str) -> Option<Vec<Address>> {
    let list = table.list(key)?;
    Some(list.into_iter().filter_map(|(key, element)| address(table, &key, element)).collect())
}

fn address(table: &Table<'_>, key: &str, element: ValueKind) -> Option<Address> {
    if let ValueKind::String(text) = &element {
        let address = with_prefix(text.trim());
        if address.is_none() {
            let message = "not an IPv4 address with an optional prefix length".to_owned();
            table.report(Severity::Error, "bad-value", key, message, "write it as \"192.0.2.1/24\"");
        }
        return address.map(|(ip, prefix_len)| Address::new(ip, prefix_len));
    }
    let mut table = table.as_table(key, element)?;
    let ip = table.parsed("ip", "an IPv4 address with an optional prefix length", with_prefix);
    if ip.is_none() && !table.has_errors() {
        table.report(Severity::Error, "missing-key", "ip", "an address needs `ip`".into(), "");
    }
    let (ip, prefix_len) = ip.unwrap_or((Ipv4Addr::UNSPECIFIED, 32));
    let mut address = Address::new(ip, prefix_len);
    address.dev = table.parsed("dev", "the name of an interface, at most 15 bytes", interface_name);
    address.label = table
        .parsed("label", "at most 15 bytes without blanks", |text| is_label(text).then(|| text.to_owned()));
    if let Some(scope) = table.parsed("scope", "global, site, link, host, nowhere or 0 to 255", scope) {
        address.scope = scope;
    }
    if let Some(broadcast) = table.parsed("broadcast", "an IPv4 address, \"+\" or \"-\"", broadcast) {
        address.broadcast = broadcast;
    }
    address.peer = table.parsed("peer", "an IPv4 address with an optional prefix length", with_prefix);
    table.set_bool("no_prefix_route", &mut address.no_prefix_route);
    table.set_bool("no_track", &mut address.no_track);
    table.finish(&ADDRESS_KEYS);
    (!table.has_errors()).then_some(address)
}

/// An address a host can have, with its prefix length.
fn with_prefix(text: &str) -> Option<(Ipv4Addr, u8)> {
    match prefixed(text)? {
        (IpAddr::V4(ip), length) if is_host(&ip) => Some((ip, length)),
        _ => None,
    }
}

fn interface_name(text: &str) -> Option<String> {
    is_interface_name(text).then(|| text.to_owned())
}

/// What is written twice counts once.
fn drop_repeated(table: &Table<'_>, router: &mut VirtualRouter) {
    let mut seen = HashSet::new();
    let VirtualRouter { name, addresses, excluded, .. } = router;
    for list in [addresses, excluded] {
        list.retain(|address| {
            let first = seen.insert((address.ip, address.dev.clone()));
            if !first {
                let message = format!("{} is written twice in virtual router `{name}`", address.ip);
                let label = "the first one counts";
                table.report(Severity::Warning, "duplicate-address", "addresses", message, label);
            }
            first
        });
    }
}
