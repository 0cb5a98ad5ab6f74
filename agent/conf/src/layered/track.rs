//! `[[tracker]]`, and the lists `track` that use them.

use super::command;
use super::read::{Layers, List};
use super::table::Table;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::track::{ArgumentMatch, Pace, Probe, ProcessProbe};
use crate::model::{Config, Tracked, Tracker, TrackerId, TrackerKind};
use crate::notation::is_interface_name;
use crate::suggest::nearest;
use config::ValueKind;
use hacluster_core::time::Duration;
use hacluster_core::track::Weight;

/// Keys of every tracker.
const COMMON_KEYS: [&str; 4] = ["name", "kind", "weight", "reverse"];
/// Keys of what is tried again and again.
const PACE_KEYS: [&str; 5] = ["interval", "timeout", "rise", "fall", "init_fail"];
const SCRIPT_KEYS: [&str; 3] = ["command", "user", "group"];
const FILE_KEYS: [&str; 3] = ["path", "init", "overwrite"];
const PROCESS_KEYS: [&str; 8] =
    ["process", "arguments", "match", "full_command", "quorum", "quorum_max", "rise_delay", "fall_delay"];
/// Keys that the environment may override: those with one value.
pub(super) const PLAIN_KEYS: [&str; 22] = [
    "weight",
    "reverse",
    "interval",
    "timeout",
    "rise",
    "fall",
    "init_fail",
    "command",
    "user",
    "group",
    "path",
    "init",
    "overwrite",
    "process",
    "match",
    "full_command",
    "quorum",
    "quorum_max",
    "rise_delay",
    "fall_delay",
    "address",
    "url",
];
const KINDS: [(&str, TrackerKind); 5] = [
    ("script", TrackerKind::Script),
    ("file", TrackerKind::File),
    ("process", TrackerKind::Process),
    ("tcp", TrackerKind::Tcp),
    ("http", TrackerKind::Http),
];
/// Longest interval and timeout, in seconds.
const PACE_MAX_SECS: u64 = 1_000_000;
const DELAY_MAX_SECS: u64 = 3_600;
/// Answers of a web server that are good unless said.
const GOOD_STATUS: (u16, u16) = (200, 399);
const COUNT_MAX: u32 = i32::MAX as u32;

/// Reads every tracker over the one of the same kind and name.
pub(super) fn lower(config: &mut Config, root: &mut Table<'_>, layers: &Layers) {
    let Some(mut tables) = root.table("tracker") else { return };
    for key in layers.keys(List::Trackers) {
        let Some(fresh) = tables.table(key).and_then(|table| tracker(table, &config.trackers)) else {
            continue;
        };
        match config.trackers.iter_mut().find(|known| known.id == fresh.id) {
            Some(known) => *known = fresh,
            None => config.trackers.push(fresh),
        }
    }
}

/// One tracker; none when anything in it is wrong.
fn tracker(mut table: Table<'_>, known: &[Tracker]) -> Option<Tracker> {
    let name = table.any_text("name").unwrap_or_else(|| table.name().to_owned());
    if !table.has("kind") {
        let label = "write kind = \"script\", \"file\", \"process\", \"tcp\" or \"http\"";
        table.report(
            Severity::Error,
            "missing-key",
            "",
            format!("tracker `{}` needs `kind`", show(&name)),
            label,
        );
    }
    let kind = table.choice("kind", &KINDS)?;
    let base = known.iter().find(|known| known.id.kind == kind && known.id.name.eq_ignore_ascii_case(&name));
    let of_base = base.map(|base| &base.probe);
    let name = base.map_or(name, |base| base.id.name.clone());
    let probe = match kind {
        TrackerKind::Script => script(&mut table, of_base),
        TrackerKind::File => file(&mut table, of_base),
        TrackerKind::Process => process(&mut table, of_base),
        TrackerKind::Tcp => tcp(&mut table),
        TrackerKind::Http => http(&mut table),
        TrackerKind::Interface | TrackerKind::VirtualServer => None,
    };
    let default = if kind == TrackerKind::File { Weight::new(1) } else { Weight::default() };
    let weight = weight(&mut table, kind, base.map_or(default, |base| base.weight));
    let own: &[&str] = match kind {
        TrackerKind::Script => &SCRIPT_KEYS,
        TrackerKind::File => &FILE_KEYS,
        TrackerKind::Process => &PROCESS_KEYS,
        TrackerKind::Tcp => &["address"],
        TrackerKind::Http => &["url", "status"],
        TrackerKind::Interface | TrackerKind::VirtualServer => &[],
    };
    let paced: &[&str] =
        if matches!(kind, TrackerKind::File | TrackerKind::Process) { &[] } else { &PACE_KEYS };
    table.finish(&[&COMMON_KEYS[..], paced, own].concat());
    if table.has_errors() {
        return None;
    }
    Some(Tracker { id: TrackerId { kind, name }, probe: probe?, weight })
}

fn missing<T>(table: &Table<'_>, key: &str, example: &str) -> Option<T> {
    if !table.has_errors() {
        let message = format!("the tracker needs `{key}`");
        table.report(Severity::Error, "missing-key", "", message, &format!("write {key} = {example}"));
    }
    None
}

/// `weight` and `reverse`; 0 makes a failure a fault.
fn weight(table: &mut Table<'_>, kind: TrackerKind, base: Weight) -> Weight {
    let most = match kind {
        TrackerKind::File => i32::MAX,
        TrackerKind::Process => 254,
        _ => 253,
    };
    let mut weight = base;
    if let Some(points) = table.signed("weight", -most..=most) {
        weight.points = points;
    }
    table.set_bool("reverse", &mut weight.reverse);
    weight
}

fn pace(table: &mut Table<'_>, base: Option<Pace>) -> Pace {
    let mut pace = base.unwrap_or_default();
    let followed = pace.timeout == pace.interval;
    let mut span =
        |key: &str| table.seconds(key, PACE_MAX_SECS).map(|span| span.max(Duration::from_millis(1)));
    let (interval, timeout) = (span("interval"), span("timeout"));
    pace.interval = interval.unwrap_or(pace.interval);
    pace.timeout = timeout.unwrap_or(if followed { pace.interval } else { pace.timeout });
    pace.rise = table.integer("rise", 1..=COUNT_MAX).unwrap_or(pace.rise);
    pace.fall = table.integer("fall", 1..=COUNT_MAX).unwrap_or(pace.fall);
    table.set_bool("init_fail", &mut pace.starts_bad);
    pace
}

fn script(table: &mut Table<'_>, base: Option<&Probe>) -> Option<Probe> {
    let (mut command, before) = match base {
        Some(Probe::Script { command, pace }) => (Some(command.clone()), Some(*pace)),
        _ => (None, None),
    };
    let user_before = command.as_ref().and_then(|command| command.user.clone());
    command::set(table, "command", &mut command);
    let user = command::user(table).or(user_before);
    let pace = pace(table, before);
    let Some(command) = command else {
        return missing(table, "command", "[\"/usr/local/bin/check\", \"argument\"]");
    };
    let user = command.user.clone().or(user);
    Some(Probe::Script { command: crate::model::Command { user, ..command }, pace })
}

fn file(table: &mut Table<'_>, base: Option<&Probe>) -> Option<Probe> {
    let (mut path, mut init) = match base {
        Some(Probe::File { path, init }) => (Some(path.clone()), *init),
        _ => (None, None),
    };
    path = table.text("path").map(Into::into).or(path);
    let (number, overwrite) = (table.signed("init", i32::MIN..=i32::MAX), table.boolean("overwrite"));
    if number.is_some() || overwrite.is_some() {
        let (before, over) = init.unwrap_or_default();
        init = Some((number.map_or(before, i64::from), overwrite.unwrap_or(over)));
    }
    let Some(path) = path else { return missing(table, "path", "\"/etc/hacluster/down\"") };
    Some(Probe::File { path, init })
}

fn process(table: &mut Table<'_>, base: Option<&Probe>) -> Option<Probe> {
    let base = base.and_then(|base| match base {
        Probe::Process(probe) => Some(probe.clone()),
        _ => None,
    });
    let name = table.text("process").or_else(|| base.as_ref().map(|base| base.name.clone()));
    let Some(name) = name else { return missing(table, "process", "\"nginx\"") };
    let mut probe = base.unwrap_or(ProcessProbe {
        name: String::new(),
        arguments: None,
        full_command: false,
        quorum: 1,
        quorum_max: None,
        rise_delay: Duration::ZERO,
        fall_delay: Duration::ZERO,
    });
    probe.name = name;
    let ways = [
        ("exact", ArgumentMatch::Exact),
        ("initial", ArgumentMatch::Initial),
        ("partial", ArgumentMatch::Partial),
    ];
    let (arguments, how) = (table.texts("arguments"), table.choice("match", &ways));
    if arguments.is_some() || how.is_some() {
        let (how_before, before) = probe.arguments.unwrap_or((ArgumentMatch::Exact, Vec::new()));
        probe.arguments = Some((how.unwrap_or(how_before), arguments.unwrap_or(before)));
    }
    table.set_bool("full_command", &mut probe.full_command);
    let (least, most) = (table.integer("quorum", 0..=65_535), table.integer("quorum_max", 0..=65_535));
    probe.quorum_max = most.or(probe.quorum_max);
    // With an upper limit alone, none at all is fine.
    probe.quorum = least.unwrap_or(if most.is_some() { 0 } else { probe.quorum });
    if probe.quorum_max.is_some_and(|most| most < probe.quorum) {
        let message = "`quorum_max` is below `quorum`: the tracker would always be bad".to_owned();
        table.report(Severity::Error, "contradiction", "quorum_max", message, "");
    }
    probe.rise_delay = table.seconds("rise_delay", DELAY_MAX_SECS).unwrap_or(probe.rise_delay);
    probe.fall_delay = table.seconds("fall_delay", DELAY_MAX_SECS).unwrap_or(probe.fall_delay);
    Some(Probe::Process(probe))
}

fn tcp(table: &mut Table<'_>) -> Option<Probe> {
    let to = table.parsed("address", "an address and a port: 127.0.0.1:80", |text| text.parse().ok());
    let pace = pace(table, None);
    let Some(to) = to else { return missing(table, "address", "\"127.0.0.1:80\"") };
    Some(Probe::Tcp { to, pace })
}

fn http(table: &mut Table<'_>) -> Option<Probe> {
    let expected = "http://HOST[:PORT]/PATH without a name and password (for https a script is needed)";
    let url = table.parsed("url", expected, |text| {
        let rest = text.strip_prefix("http://")?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let plain = |text: &str| text.chars().all(|char| char.is_ascii_graphic());
        (!host.is_empty() && !host.contains('@') && plain(rest)).then(|| text.to_owned())
    });
    let status = table.text_or_number("status").map(|text| {
        let range = status_range(&text);
        if range.is_none() {
            let message = "`status` must be a status or a range: 200, or \"200-399\"".to_owned();
            table.report(Severity::Error, "bad-value", "status", message, "");
        }
        range.unwrap_or(GOOD_STATUS)
    });
    let pace = pace(table, None);
    let Some(url) = url else { return missing(table, "url", "\"http://127.0.0.1/health\"") };
    Some(Probe::Http { url, status: status.unwrap_or(GOOD_STATUS), pace })
}

/// `200` or `200-399`.
fn status_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (100 <= first && first <= last && last <= 599).then_some((first, last))
}

/// The list under `track`: `{ script = "chk", weight = -20 }`, `{ interface = "eth1" }`, or the name of a
/// tracker alone. What is not known is left out, with a warning.
pub(super) fn list(table: &mut Table<'_>, trackers: &[Tracker]) -> Option<Vec<Tracked>> {
    let mut list: Vec<Tracked> = Vec::new();
    for (key, element) in table.list("track")? {
        let Some(entry) = entry(table, &key, element, trackers) else { continue };
        match list.iter_mut().find(|known| known.tracker == entry.tracker) {
            Some(known) => known.weight = entry.weight, // written twice: the last one counts
            None => list.push(entry),
        }
    }
    Some(list)
}

fn entry(table: &Table<'_>, key: &str, element: ValueKind, trackers: &[Tracker]) -> Option<Tracked> {
    if let ValueKind::String(name) = &element {
        let found = trackers.iter().find(|tracker| tracker.id.name.eq_ignore_ascii_case(name));
        let Some(found) = found else {
            unknown(table, key, "tracker", name, trackers.iter().map(|tracker| tracker.id.name.as_str()));
            return None;
        };
        return Some(Tracked { tracker: found.id.clone(), weight: None });
    }
    let mut table = table.as_table(key, element)?;
    let undefined = [("interface", TrackerKind::Interface), ("virtual_server", TrackerKind::VirtualServer)];
    let kinds = KINDS.iter().copied().chain(undefined);
    let written: Vec<_> = kinds.filter(|(word, _)| table.has(word)).collect();
    let [(word, kind)] = written[..] else {
        let message = "name one thing that is tracked".to_owned();
        let label = "write { script = \"NAME\" }, or file, process, tcp, http, interface or virtual_server";
        table.report(Severity::Error, "bad-value", "", message, label);
        return None;
    };
    let name = table.text(word)?;
    let weighted = table.has("weight") || table.has("reverse");
    let of = |tracker: &&Tracker| tracker.id.kind == kind && tracker.id.name.eq_ignore_ascii_case(&name);
    let defined = trackers.iter().find(of);
    let own = weight(&mut table, kind, defined.map_or(Weight::default(), |tracker| tracker.weight));
    table.finish(&[word, "weight", "reverse"]);
    let id = match (kind, defined) {
        (TrackerKind::Interface, _) if is_interface_name(&name) => TrackerId { kind, name },
        (TrackerKind::VirtualServer, _) => TrackerId { kind, name },
        (TrackerKind::Interface, _) => {
            let message = "this is no name of an interface, at most 15 bytes".to_owned();
            table.report(Severity::Error, "bad-value", word, message, "");
            return None;
        }
        (_, Some(defined)) => defined.id.clone(),
        (_, None) => {
            let of_kind = trackers.iter().filter(|tracker| tracker.id.kind == kind);
            unknown(&table, word, word, &name, of_kind.map(|tracker| tracker.id.name.as_str()));
            return None;
        }
    };
    Some(Tracked { tracker: id, weight: weighted.then_some(own) })
}

fn unknown<'a>(table: &Table<'_>, key: &str, word: &str, name: &str, known: impl Iterator<Item = &'a str>) {
    let near = nearest(name, known).map_or(String::new(), |near| format!("did you mean `{near}`?"));
    let message = format!("no {word} tracker `{}` is defined: it is not tracked", show(name));
    let message = message.replace("tracker tracker", "tracker");
    table.left_out("unknown-tracker", key, message, &near);
}
