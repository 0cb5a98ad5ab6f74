//! What the tests of keepalived.conf share: files in, everything a reader should see out.

use hacluster_conf::diag::Diagnostic;
use hacluster_conf::model::lvs::{Check, Lvs, RealServer};
use hacluster_conf::model::{Address, Config, VirtualRouter};
use hacluster_conf::source::Disk;
use hacluster_conf::{Loaded, load_keepalived};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A folder below the repository's root.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Loads one file from the disk, on a node called `nodea`.
pub(crate) fn load_file(path: &Path) -> Loaded {
    load_keepalived(path, &Disk { config_id: Some("nodea".to_owned()) })
}

/// Everything a reader should see at once.
pub(crate) fn summary(loaded: &Loaded) -> String {
    let mut text = format!("exit {}\n", loaded.exit_status());
    model(&loaded.config, &mut text);
    for found in &loaded.diagnostics {
        finding(loaded, found, &mut text);
    }
    text
}

fn model(config: &Config, text: &mut String) {
    let standard = Config::default();
    if config.agent != standard.agent {
        writeln!(text, "{:?}", config.agent).unwrap();
    }
    if config.global != standard.global {
        writeln!(text, "{:?}", config.global).unwrap();
    }
    for router in &config.routers {
        let VirtualRouter { name, interface, vrid, initial_state, priority, advert_interval, .. } = router;
        writeln!(text, "router {name} {interface} vrid {vrid} {initial_state:?} priority {priority} every {advert_interval}").unwrap();
        writeln!(
            text,
            "  {:?} {:?} group {} source {:?}",
            router.authentication, router.preemption, router.mcast_group, router.source
        )
        .unwrap();
        let garp = &router.garp;
        let lower = (garp.lower_prio_delay.as_secs_f64(), garp.lower_prio_repeat);
        let refresh = (garp.master_refresh.as_secs_f64(), garp.master_refresh_repeat);
        let master = (garp.master_delay.as_secs_f64(), garp.master_repeat);
        writeln!(
            text,
            "  garp master {master:?} lower {lower:?} refresh {refresh:?} gap {}",
            garp.interval.as_secs_f64()
        )
        .unwrap();
        let switches = [
            ("lower_prio_no_advert", router.lower_prio_no_advert),
            ("higher_prio_send_advert", router.higher_prio_send_advert),
            ("owner_ignore_adverts", router.owner_ignore_adverts),
            ("skip_check_adv_addr", router.skip_check_adv_addr),
            ("strict", router.strict),
            ("dont_track_primary", router.dont_track_primary),
            ("promote_secondaries", router.promote_secondaries),
        ];
        let on: Vec<&str> = switches.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        writeln!(
            text,
            "  down after {} adverts, accept {:?}, {}",
            router.down_timer_adverts,
            router.accept,
            on.join(" ")
        )
        .unwrap();
        for address in &router.addresses {
            writeln!(text, "  address {}", line(address)).unwrap();
        }
        for address in &router.excluded {
            writeln!(text, "  excluded {}", line(address)).unwrap();
        }
        router.routes.iter().for_each(|route| writeln!(text, "  route {route}").unwrap());
        router.rules.iter().for_each(|rule| writeln!(text, "  rule {rule}").unwrap());
    }
    for address in &config.statics.addresses {
        writeln!(text, "static address {}", line(address)).unwrap();
    }
    config.statics.routes.iter().for_each(|route| writeln!(text, "static route {route}").unwrap());
    config.statics.rules.iter().for_each(|rule| writeln!(text, "static rule {rule}").unwrap());
    lvs(&config.lvs, text);
    for refused in &config.refused {
        writeln!(text, "refused {}: {}", refused.name, refused.reason).unwrap();
    }
}

fn lvs(lvs: &Lvs, text: &mut String) {
    let rest = Lvs { services: Vec::new(), ..lvs.clone() };
    if rest != Lvs::default() {
        writeln!(text, "{rest:?}").unwrap();
    }
    for service in &lvs.services {
        let frontends: Vec<String> = service.frontends.iter().take(12).map(ToString::to_string).collect();
        writeln!(text, "service {}: {}", service.name, frontends.join(", ")).unwrap();
        let quorum = (service.quorum, service.hysteresis);
        let scheduler = (&service.scheduler.name, service.scheduler.flags);
        writeln!(text, "  {scheduler:?} {:?} quorum {quorum:?}", service.forwarding).unwrap();
        let switches = [
            ("ops", service.one_packet),
            ("ha_suspend", service.ha_suspend),
            ("omega", service.omega),
            ("mail", service.mail),
        ];
        let on: Vec<&str> = switches.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        if let Some(persistence) = &service.persistence {
            writeln!(text, "  {persistence:?}").unwrap();
        }
        writeln!(text, "  {} up {:?} down {:?}", on.join(" "), service.quorum_up, service.quorum_down)
            .unwrap();
        if let Some(sorry) = &service.sorry {
            writeln!(text, "  {sorry:?}").unwrap();
        }
        service.servers.iter().for_each(|server| back_end(server, text));
    }
}

fn back_end(server: &RealServer, text: &mut String) {
    let RealServer { to, weight, forwarding, upper_threshold, lower_threshold, .. } = server;
    let limits = (upper_threshold, lower_threshold);
    let switches = (server.inhibit_on_failure, server.mail);
    writeln!(
        text,
        "  server {to} weight {weight} {forwarding:?} limits {limits:?} inhibit, mail {switches:?}"
    )
    .unwrap();
    if server.notify_up.is_some() || server.notify_down.is_some() {
        writeln!(text, "    up {:?} down {:?}", server.notify_up, server.notify_down).unwrap();
    }
    for Check { kind, route, pace } in &server.checks {
        writeln!(text, "    {kind:?}").unwrap();
        writeln!(text, "      {route:?}").unwrap();
        writeln!(text, "      {pace:?}").unwrap();
    }
}

fn line(address: &Address) -> String {
    let mut text = format!("{address} scope {} {:?}", address.scope.0, address.broadcast);
    for (name, value) in [("dev", &address.dev), ("label", &address.label)] {
        if let Some(value) = value {
            write!(text, " {name} {value}").unwrap();
        }
    }
    if let Some((peer, length)) = address.peer {
        write!(text, " peer {peer}/{length}").unwrap();
    }
    for (name, on) in [("noprefixroute", address.no_prefix_route), ("no_track", address.no_track)] {
        if on {
            write!(text, " {name}").unwrap();
        }
    }
    text
}

fn finding(loaded: &Loaded, found: &Diagnostic, text: &mut String) {
    let place = found.span.as_ref().map_or("-".to_owned(), |span| {
        let (row, column) = loaded.sources.line_column(span);
        let marked: String = loaded.sources.text(span.file)[span.range.clone()].chars().take(30).collect();
        format!("{row}:{column} [{marked}]")
    });
    let lost = if found.not_in_force { "!" } else { "" };
    writeln!(text, "{:?}{lost} {} {place} {}", found.severity, found.code, found.message).unwrap();
    if let Some(label) = &found.label {
        writeln!(text, "    ^ {label}").unwrap();
    }
    for note in &found.notes {
        writeln!(text, "    = {note}").unwrap();
    }
}
