//! Changes of virtual servers: all in place, no connection is cut that need not be.

use super::{Change, Effect, FieldChange, Fields, or, seconds};
use crate::model::lvs::{
    Check, CheckPace, Forwarding, Frontend, Lvs, Persistence, RealServer, Scheduler, SorryServer, Timeouts,
    VirtualServer, written,
};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Real servers that a line names; of more it says how many.
const NAMED_MAX: usize = 3;

/// What concerns all of them, then removed, modified, added ones.
pub(super) fn changes(old: &Lvs, new: &Lvs) -> Vec<Change> {
    let mut changes: Vec<Change> = process(old, new).into_iter().map(Change::Balance).collect();
    let named = |lvs: &'_ Lvs| -> HashMap<String, usize> {
        lvs.services.iter().enumerate().map(|(at, service)| (service.name.clone(), at)).collect()
    };
    let (before, after) = (named(old), named(new));
    let whole = |service: &VirtualServer, word| Change::Service {
        name: service.name.clone(),
        what: vec![FieldChange { field: word, text: outline(service), effect: Effect::Live }],
    };
    let gone = old.services.iter().filter(|service| !after.contains_key(&service.name));
    changes.extend(gone.map(|service| whole(service, "removed")));
    let mut added = Vec::new();
    for service in &new.services {
        let Some(former) = before.get(&service.name).map(|at| &old.services[*at]) else {
            added.push(whole(service, "added"));
            continue;
        };
        let what = modified(former, service);
        if !what.is_empty() {
            changes.push(Change::Service { name: service.name.clone(), what });
        }
    }
    changes.extend(added);
    changes
}

/// `(wrr, DR, 2 real servers)`.
fn outline(service: &VirtualServer) -> String {
    let count = service.servers.len();
    let servers = if count == 1 { "1 real server".to_owned() } else { format!("{count} real servers") };
    format!("({}, {}, {servers})", service.scheduler.name, service.forwarding)
}

fn process(old: &Lvs, new: &Lvs) -> Vec<FieldChange> {
    let Lvs {
        services: _,
        sync,
        timeouts,
        flush,
        flush_on_stop,
        fifo,
        client,
        authorities,
        fewer_mails,
        tell_at_start,
    } = old;
    let mut fields = Fields::default();
    fields.compare("sync_daemon", Effect::Live, (sync, &new.sync), |sync| {
        let follows = |router: &String| format!(" with {router}");
        let text = sync.as_ref().map(|sync| {
            let router = sync.router.as_ref().map_or(String::new(), follows);
            format!("{} id {}{router}", sync.interface, sync.id)
        });
        or(text.as_ref(), "none")
    });
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    for (field, old, new) in [
        ("timeout.tcp", tcp, &new.timeouts.tcp),
        ("timeout.tcp_fin", tcp_fin, &new.timeouts.tcp_fin),
        ("timeout.udp", udp, &new.timeouts.udp),
    ] {
        fields.compare(field, Effect::Live, (old, new), |span| {
            or(span.as_ref().map(seconds).as_ref(), "the kernel's")
        });
    }
    fields.live("flush", flush, &new.flush);
    fields.compare("flush_on_stop", Effect::Live, (flush_on_stop, &new.flush_on_stop), |how| {
        format!("{how:?}")
    });
    fields.compare("fifo", Effect::Live, (fifo, &new.fifo), |_| String::new());
    fields.compare("client_certificate", Effect::Live, (client, &new.client), |_| String::new());
    fields.compare("authorities", Effect::Live, (authorities, &new.authorities), |file| {
        or(file.as_ref().map(|file| file.display()).as_ref(), "none")
    });
    fields.live("fewer_mails", fewer_mails, &new.fewer_mails);
    fields.live("tell_at_start", tell_at_start, &new.tell_at_start);
    fields.0
}

fn modified(old: &VirtualServer, new: &VirtualServer) -> Vec<FieldChange> {
    // Written out without `..`: a new setting does not compile until it is considered here.
    let VirtualServer {
        name: _,
        frontends,
        scheduler,
        persistence,
        one_packet,
        forwarding,
        ha_suspend,
        omega,
        quorum,
        hysteresis,
        quorum_up,
        quorum_down,
        mail,
        sorry,
        servers,
    } = old;
    let mut fields = Fields::default();
    if frontends != &new.frontends {
        let holds = |list: &[Frontend]| list.iter().copied().collect::<std::collections::HashSet<_>>();
        let (before, after) = (holds(frontends), holds(&new.frontends));
        let added = new.frontends.iter().filter(|frontend| !before.contains(frontend));
        let removed = frontends.iter().filter(|frontend| !after.contains(frontend));
        let words = added.map(|one| format!("+({one})")).chain(removed.map(|one| format!("-({one})")));
        fields.push("frontends", Effect::Live, some(&words.collect::<Vec<_>>(), "reordered"));
    }
    fields.compare("scheduler", Effect::Live, (scheduler, &new.scheduler), scheduling);
    fields.compare("persistence", Effect::Live, (persistence, &new.persistence), persistent);
    fields.live("one_packet", one_packet, &new.one_packet);
    fields.live("forwarding", forwarding, &new.forwarding);
    fields.live("ha_suspend", ha_suspend, &new.ha_suspend);
    fields.live("omega", omega, &new.omega);
    fields.live("quorum", quorum, &new.quorum);
    fields.live("hysteresis", hysteresis, &new.hysteresis);
    fields.compare("quorum_up", Effect::Live, (quorum_up, &new.quorum_up), |_| String::new());
    fields.compare("quorum_down", Effect::Live, (quorum_down, &new.quorum_down), |_| String::new());
    fields.live("mail", mail, &new.mail);
    fields.compare("sorry_server", Effect::Live, (sorry, &new.sorry), sorry_server);
    real_servers(&mut fields, servers, &new.servers);
    fields.0
}

fn scheduling(scheduler: &Scheduler) -> String {
    let flags = ["flag-1", "flag-2", "flag-3"].into_iter().zip(scheduler.flags);
    let on = flags.filter(|(_, on)| *on).map(|(name, _)| format!(" {name}"));
    format!("{}{}", scheduler.name, on.collect::<String>())
}

fn persistent(persistence: &Option<Persistence>) -> String {
    let Some(Persistence { timeout, prefix_len, engine }) = persistence else { return "off".to_owned() };
    let engine = engine.as_ref().map_or(String::new(), |engine| format!(" by {engine}"));
    format!("{} /{prefix_len}{engine}", seconds(timeout))
}

fn sorry_server(sorry: &Option<SorryServer>) -> String {
    let Some(SorryServer { to, forwarding, inhibit }) = sorry else { return "none".to_owned() };
    let inhibit = if *inhibit { " inhibited" } else { "" };
    format!("{} {forwarding}{inhibit}", written(to))
}

/// The first few words, and how many more.
fn some(words: &[String], none: &str) -> String {
    match words.len() {
        0 => none.to_owned(),
        count if count <= NAMED_MAX => words.join(", "),
        count => format!("{} and {} more", words[..NAMED_MAX].join(", "), count - NAMED_MAX),
    }
}

/// Servers that change in the same way share a line.
fn real_servers(fields: &mut Fields, old: &[RealServer], new: &[RealServer]) {
    let place_of = |list: &[RealServer]| -> HashMap<SocketAddr, usize> {
        list.iter().enumerate().map(|(at, server)| (server.to, at)).collect()
    };
    let (before, after) = (place_of(old), place_of(new));
    let added = new.iter().filter(|server| !before.contains_key(&server.to));
    let removed = old.iter().filter(|server| !after.contains_key(&server.to));
    let words = added.map(|server| format!("+{} (weight {})", written(&server.to), server.weight));
    let words = words.chain(removed.map(|server| format!("-{}", written(&server.to))));
    let words: Vec<String> = words.collect();
    if !words.is_empty() {
        fields.push("real_server", Effect::Live, some(&words, ""));
    }
    let mut alike: Vec<(String, Vec<String>)> = Vec::new();
    let mut by_text: HashMap<String, usize> = HashMap::new();
    for server in new {
        let Some(former) = before.get(&server.to).map(|at| &old[*at]) else { continue };
        for text in changed(former, server) {
            let at = *by_text.entry(text.clone()).or_insert_with(|| {
                alike.push((text, Vec::new()));
                alike.len() - 1
            });
            alike[at].1.push(written(&server.to));
        }
    }
    for (text, places) in alike {
        if places.len() > 1 && places.len() == new.len() {
            fields.push("every real_server", Effect::Live, text);
        } else {
            fields.push("real_server", Effect::Live, format!("{} {text}", some(&places, "")));
        }
    }
    let order = |list: &[RealServer]| list.iter().map(|server| server.to).collect::<Vec<_>>();
    if words.is_empty() && order(old) != order(new) {
        fields.push("real_server", Effect::Live, "reordered".to_owned());
    }
}

/// What differs between a real server and itself, each in words.
fn changed(old: &RealServer, new: &RealServer) -> Vec<String> {
    let RealServer {
        to: _,
        weight,
        forwarding,
        upper_threshold,
        lower_threshold,
        inhibit_on_failure,
        notify_up,
        notify_down,
        mail,
        checks,
    } = old;
    let mut fields = Fields::default();
    fields.live("weight", weight, &new.weight);
    fields.live::<Forwarding>("forwarding", forwarding, &new.forwarding);
    fields.live("upper_threshold", upper_threshold, &new.upper_threshold);
    fields.live("lower_threshold", lower_threshold, &new.lower_threshold);
    fields.live("inhibit_on_failure", inhibit_on_failure, &new.inhibit_on_failure);
    fields.compare("notify_up", Effect::Live, (notify_up, &new.notify_up), |_| String::new());
    fields.compare("notify_down", Effect::Live, (notify_down, &new.notify_down), |_| String::new());
    fields.live("mail", mail, &new.mail);
    checking(&mut fields, checks, &new.checks);
    fields.0.iter().map(ToString::to_string).collect()
}

fn checking(fields: &mut Fields, old: &[Check], new: &[Check]) {
    let kinds = |list: &[Check]| list.iter().map(|check| check.kind.keyword()).collect::<Vec<_>>();
    let (before, after) = (kinds(old), kinds(new));
    if before != after {
        let text = |kinds: &[&str]| if kinds.is_empty() { "none".to_owned() } else { kinds.join(" ") };
        return fields.push("checks", Effect::Live, format!("{} -> {}", text(&before), text(&after)));
    }
    let mut said: Vec<FieldChange> = Vec::new();
    for (old, new) in old.iter().zip(new) {
        let mut own = Fields::default();
        if old.kind != new.kind {
            own.push("checks", Effect::Live, format!("{} changed", new.kind.keyword()));
        }
        own.compare("check_to", Effect::Live, (&old.route.to, &new.route.to), written);
        let rest = |check: &Check| (check.route.from, check.route.interface.clone(), check.route.fwmark);
        if rest(old) != rest(new) {
            own.push("check_from", Effect::Live, "changed".to_owned());
        }
        pace(&mut own, &old.pace, &new.pace);
        said.extend(own.0.into_iter().filter(|field| !said.contains(field)).collect::<Vec<_>>());
    }
    fields.0.extend(said);
}

fn pace(fields: &mut Fields, old: &CheckPace, new: &CheckPace) {
    let CheckPace { delay_loop, timeout, retry, delay_before_retry, warmup, alpha, log_all_failures } = old;
    fields.span("delay_loop", delay_loop, &new.delay_loop);
    fields.span("timeout", timeout, &new.timeout);
    fields.live("retry", retry, &new.retry);
    fields.span("delay_before_retry", delay_before_retry, &new.delay_before_retry);
    fields.span("warmup", warmup, &new.warmup);
    fields.live("alpha", alpha, &new.alpha);
    fields.live("log_all_failures", log_all_failures, &new.log_all_failures);
}
