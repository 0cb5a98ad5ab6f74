//! `agent.toml`, its drop-ins and the environment: one model out of layers.
//!
//! ```text
//!   agent.toml -> agent.toml.d/*.toml (sorted) -> environment      later layers win, key by key
//!        `-------------- read (spans kept) ---------'
//!                              |  config crate merges values, Places remembers where each stands
//!                              v
//!   keepalived.conf model (optional base) -> router, table -> the same model::Config
//! ```
//!
//! - Virtual routers of all layers are one by name, regardless of case; lists replace each other.
//! - `HACLUSTER_AGENT__FAST_TAKEOVER=false`, `HACLUSTER_GLOBAL__ROUTER_ID=n1` and
//!   `HACLUSTER_VIRTUAL_ROUTER__VI_1__PRIORITY=90` override a key. Only routers that some file names
//!   are asked for; lists are separated by commas. A `HACLUSTER_` variable that overrides nothing is told,
//!   with the nearest name.
//! - `HACLUSTER_TRACKER__CHK_NGINX__INTERVAL=5` works for trackers that some file names, and so does
//!   `HACLUSTER_MAIL__SERVER=...`.
//! - Virtual servers are known by their names, too; no variable overrides them.
//! - `[api]`, `[telemetry]` and `[[peer]]` stand only here: keepalived.conf has no words for them.
//! - A virtual router with any error in what is written of it is refused: a wrong priority or password
//!   makes two masters. With a syntax error in any file nothing of the layers is used.

mod check;
mod cluster;
mod command;
mod lvs;
mod read;
mod route;
mod router;
mod rules;
mod service;
mod stray;
mod table;
mod telemetry;
mod track;
mod tracked;

use crate::diag::{Diagnostic, Severity};
use crate::findings::Findings;
use crate::model::{Agent, Config, Global, PacketFilter, Statics, Urgency};
use crate::{Loaded, source::Source};
use read::{Layers, List};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use table::Table;

/// Keys of `[agent]`.
const AGENT_KEYS: [&str; 8] = [
    "realtime_priority",
    "realtime_priority_max",
    "realtime_after",
    "lock_memory",
    "cpu_affinity",
    "fast_takeover",
    "run_dir",
    "state_dir",
];
/// Keys of `[global]`.
const GLOBAL_KEYS: [&str; 9] = [
    "router_id",
    "mcast_group",
    "startup_delay",
    "delay_after_boot",
    "log_unknown_vrids",
    "keepalived_conf",
    "static_addresses",
    "static_routes",
    "static_rules",
];
/// Keys of `[packet_filter]`.
const FILTER_KEYS: [&str; 3] = ["table", "priority", "counters"];
/// Longest `startup_delay`, in seconds.
const STARTUP_DELAY_MAX_SECS: u64 = 3600;

/// What `path` and its layers say. A `[global] keepalived_conf` is the base they are laid over; a
/// relative one is looked for beside `path`.
pub fn load(path: &Path, source: &dyn Source) -> Loaded {
    let empty = Loaded { config: Config::default(), diagnostics: Vec::new(), sources: Default::default() };
    apply(empty, path, source, true)
}

/// Lays `toml` and its layers over what was loaded from elsewhere, usually keepalived.conf.
pub fn overlay(loaded: Loaded, toml: &Path, source: &dyn Source) -> Loaded {
    apply(loaded, toml, source, false)
}

/// Says which variables of the environment are not used because there are no layers.
pub(crate) fn without(mut loaded: Loaded, source: &dyn Source) -> Loaded {
    loaded.diagnostics.extend(stray::tell_unread(source, &mut loaded.sources));
    loaded
}

fn apply(mut loaded: Loaded, path: &Path, source: &dyn Source, may_name_base: bool) -> Loaded {
    let mut layers = Layers::default();
    let findings = Findings::default();
    layers.read_files(path, source, &mut loaded.sources, &findings);
    layers.read_environment(&[], source, &mut loaded.sources);
    if findings.worst() != Some(Severity::Fatal) {
        if let Some(base) = layers.base() {
            take_base(&mut loaded, path, &base, source, may_name_base, &findings);
        }
        let names: Vec<String> = loaded.config.routers.iter().map(|router| router.name.clone()).collect();
        layers.read_environment(&names, source, &mut loaded.sources);
        stray::tell(&layers.variables(&names), source, &mut loaded.sources, &findings);
        lower(&mut loaded.config, &layers, &findings, path, source);
    }
    loaded.diagnostics.extend(findings.finish());
    loaded
}

/// Loads the keepalived.conf that the layers name and puts it where the layers are laid over.
fn take_base(
    loaded: &mut Loaded,
    toml: &Path,
    base: &str,
    source: &dyn Source,
    allowed: bool,
    findings: &Findings,
) {
    if !allowed {
        let message = "`keepalived_conf` is not used: a keepalived.conf is already given";
        findings.push(Diagnostic::new(Severity::Warning, "base-not-used", message).not_in_force());
        return;
    }
    let path: PathBuf = toml.parent().unwrap_or(Path::new("")).join(base);
    let base = crate::load_keepalived(&path, source);
    let shift = loaded.sources.paths().count() as u32;
    for file in 0..base.sources.paths().count() as u32 {
        let file = crate::diag::FileId(file);
        loaded.sources.add(base.sources.path(file), base.sources.text(file));
    }
    for mut diagnostic in base.diagnostics {
        if let Some(span) = &mut diagnostic.span {
            span.file.0 += shift;
        }
        loaded.diagnostics.push(diagnostic);
    }
    loaded.config = base.config;
}

fn lower(config: &mut Config, layers: &Layers, findings: &Findings, path: &Path, source: &dyn Source) {
    let host_name = &source.host_name();
    let known = rules::known(&config.routers);
    let mut root = layers.merged(findings);
    if let Some(table) = root.table("agent") {
        agent(table, &mut config.agent);
    }
    if let Some(table) = root.table("global") {
        let before = config.global.mcast_group;
        global(table, &mut config.global, &mut config.statics);
        for router in config.routers.iter_mut().filter(|router| router.mcast_group == before) {
            router.mcast_group = config.global.mcast_group;
        }
    }
    if let Some(table) = root.table("telemetry") {
        telemetry::telemetry(table, &mut config.telemetry, path.parent().unwrap_or(Path::new("")));
    }
    if let Some(table) = root.table("packet_filter") {
        packet_filter(table, &mut config.filter);
    }
    track::lower(config, &mut root, layers);
    let mails = service::lower(config, &mut root, host_name);
    if let Some(mut routers) = root.table("virtual_router") {
        // One after the other: a table knows the errors since it was begun.
        let keys = layers.keys(List::Routers);
        lay_over(keys.iter().filter_map(|key| routers.table(key)), keys, config, mails);
    }
    service::groups(config, &mut root, layers, mails);
    config.share_trackers();
    cluster::lower(config, &mut root, layers, path, host_name);
    rules::check(config, &known, layers, findings);
    lvs::lower(config, &mut root, layers, (path, host_name, &source.own_addresses()), findings);
    tracked::virtual_servers(config, layers, findings);
}

/// Reads each virtual router over the one of the same name, or as a new one.
fn lay_over<'a>(tables: impl Iterator<Item = Table<'a>>, keys: &[String], config: &mut Config, mails: bool) {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, router) in config.routers.iter().enumerate() {
        places.entry(router.name.to_ascii_lowercase()).or_insert(place);
    }
    let written: HashSet<&str> = keys.iter().map(String::as_str).collect();
    config.refused.retain(|refused| !written.contains(refused.name.to_ascii_lowercase().as_str()));
    let mut broken = HashSet::new();
    for table in tables {
        let place = places.get(&table.name().to_ascii_lowercase()).copied();
        let base = place.map(|place| config.routers[place].clone());
        let defaults =
            router::Defaults { group: config.global.mcast_group, mails, trackers: &config.trackers };
        match (router::router(table, base, &defaults), place) {
            (Ok(router), Some(place)) => config.routers[place] = router,
            (Ok(router), None) => config.routers.push(router),
            (Err(refused), place) => {
                broken.extend(place);
                config.refused.push(refused);
            }
        }
    }
    let mut at = 0..;
    config.routers.retain(|_| at.next().is_none_or(|at| !broken.contains(&at)));
}

fn agent(mut table: Table<'_>, agent: &mut Agent) {
    // 0 says "off", so that a layer can take back what a lower one set.
    if let Some(priority) = table.integer("realtime_priority", 0..=99) {
        agent.realtime_priority = u8::try_from(priority).ok().filter(|priority| *priority > 0);
    }
    let late = table.seconds("realtime_after", 10);
    if let Some(most) = table.integer("realtime_priority_max", 0..=99) {
        let late = late.unwrap_or(Urgency::USUAL);
        agent.urgency = u8::try_from(most).ok().filter(|most| *most > 0).map(|most| Urgency { most, late });
    } else if let (Some(urgency), Some(late)) = (&mut agent.urgency, late) {
        urgency.late = late;
    }
    table.set_bool("lock_memory", &mut agent.lock_memory);
    if let Some(cpus) = table.integers("cpu_affinity", 0..=1023) {
        agent.cpu_affinity = cpus.into_iter().filter_map(|cpu| usize::try_from(cpu).ok()).collect();
    }
    table.set_bool("fast_takeover", &mut agent.fast_takeover);
    if let Some(dir) = table.text("run_dir") {
        agent.run_dir = Some(dir.into());
    }
    if let Some(dir) = table.text("state_dir") {
        agent.state_dir = Some(dir.into());
    }
    table.finish(&AGENT_KEYS);
}

fn global(mut table: Table<'_>, global: &mut Global, statics: &mut Statics) {
    if let Some(id) = table.text("router_id") {
        global.router_id = Some(id);
    }
    if let Some(group) = table.multicast("mcast_group") {
        global.mcast_group = group;
    }
    if let Some(delay) = table.seconds("startup_delay", STARTUP_DELAY_MAX_SECS) {
        global.startup_delay_ms = delay.as_micros() / 1000;
    }
    if let Some(delay) = table.seconds("delay_after_boot", STARTUP_DELAY_MAX_SECS) {
        global.delay_after_boot_ms = delay.as_micros() / 1000;
    }
    table.set_bool("log_unknown_vrids", &mut global.log_unknown_vrids);
    route::statics(&mut table, statics);
    table.text("keepalived_conf");
    table.finish(&GLOBAL_KEYS);
}

fn packet_filter(mut table: Table<'_>, filter: &mut PacketFilter) {
    let expected = "a letter, then letters, digits, `_`, `-` and `.`, 64 at most";
    let name = |text: &str| PacketFilter::is_table_name(text).then(|| text.to_owned());
    if let Some(name) = table.parsed("table", expected, name) {
        filter.table = Some(name);
    }
    if let Some(priority) = table.signed("priority", i32::MIN..=i32::MAX) {
        filter.priority = priority;
    }
    table.set_bool("counters", &mut filter.counters);
    table.finish(&FILTER_KEYS);
}
