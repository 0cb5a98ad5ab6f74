//! What is watched: `vrrp_script`, `track_file`, `vrrp_track_process`, and the lists that use them.

use super::super::check::seconds;
use super::super::parser::{Statement, Word};
use super::command;
use super::values::{number, wrong};
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::model::track::{
    ArgumentMatch, Pace, Probe, ProcessProbe, Tracked, Tracker, TrackerId, TrackerKind,
};
use crate::notation::is_interface_name;
use hacluster_core::time::Duration;
use hacluster_core::track::Weight;
use std::collections::HashSet;

/// Greatest weights as keepalived has them.
const SCRIPT_WEIGHT: i32 = 253;
const PROCESS_WEIGHT: i32 = 254;
pub(super) const FILE_WEIGHT: i32 = 2_147_483_647;
/// keepalived's longest interval and timeout, in seconds.
const MAX_PACE: u64 = 1_000_000;
const MAX_COUNT: u32 = i32::MAX as u32;
/// Longest name of a process that the kernel keeps, in bytes.
const COMM_MAX: usize = 15;

/// Every tracker of the file, in the order written. Of several with one name the first counts.
pub(super) fn read(top: &[Statement], findings: &Findings) -> Vec<Tracker> {
    let mut seen = HashSet::new();
    let mut trackers = Vec::new();
    for statement in top {
        let kind = match statement.keyword() {
            "vrrp_script" => TrackerKind::Script,
            "track_file" | "vrrp_track_file" => TrackerKind::File,
            "vrrp_track_process" => TrackerKind::Process,
            _ => continue,
        };
        let Some(name) = statement.params().first() else {
            error(findings, "missing-parameter", "it has no name: the block is ignored", &statement.words[0]);
            continue;
        };
        let id = TrackerId { kind, name: name.text.clone() };
        if !seen.insert(id.clone()) {
            error(
                findings,
                "duplicate-name",
                "another one above has the same name: the first one counts",
                name,
            );
            continue;
        }
        let made = match kind {
            TrackerKind::Script => script(statement, name, findings),
            TrackerKind::File => file(statement, name, findings),
            _ => process(statement, name, findings),
        };
        trackers.extend(made.map(|(probe, weight)| Tracker { id, probe, weight }));
    }
    trackers
}

fn error(findings: &Findings, code: &'static str, message: &str, at: &Word) {
    findings.push(Diagnostic::new(Severity::Error, code, message).at(&at.span));
}

fn lines(statement: &Statement) -> impl Iterator<Item = &Statement> {
    statement.block.iter().flatten()
}

fn script(statement: &Statement, name: &Word, findings: &Findings) -> Option<(Probe, Weight)> {
    let (mut run, mut user, mut weight) = (None, None, Weight::default());
    let (mut pace, mut timeout) = (Pace::default(), None);
    for line in lines(statement) {
        match line.keyword() {
            "script" => run = command::whole_line(line, findings).or(run),
            "user" => user = command::user(line.params(), findings),
            "interval" => pace.interval = span(line, findings).unwrap_or(pace.interval),
            "timeout" => timeout = span(line, findings),
            "weight" => weight = weight_of(line.params(), SCRIPT_WEIGHT, findings).unwrap_or(weight),
            "rise" => pace.rise = count(line, findings).unwrap_or(pace.rise),
            "fall" => pace.fall = count(line, findings).unwrap_or(pace.fall),
            "init_fail" => pace.starts_bad = true,
            _ => {}
        }
    }
    pace.timeout = timeout.unwrap_or(pace.interval);
    let Some(mut command) = run else {
        error(findings, "no-program", "it has no `script`: it changes neither priority nor state", name);
        return None;
    };
    command.user = user;
    Some((Probe::Script { command, pace }, weight))
}

/// 0 becomes a second, as with keepalived.
fn span(line: &Statement, findings: &Findings) -> Option<Duration> {
    let word = line.params().first()?;
    match seconds(&word.text).filter(|micros| (1_000..=MAX_PACE * 1_000_000).contains(micros)) {
        Some(micros) => Some(Duration::from_micros(micros)),
        None => {
            wrong(findings, line.keyword(), word, "seconds from 0.001 to 1000000", "1 second is used");
            Some(Duration::from_secs(1))
        }
    }
}

/// 0 becomes 1, as with keepalived.
fn count(line: &Statement, findings: &Findings) -> Option<u32> {
    number(findings, line, 1..=MAX_COUNT, "1 is used").or(Some(1))
}

/// `NUMBER [reverse|noreverse]`; a wrong one is reported and gives `None`.
pub(super) fn weight_of(words: &[Word], most: i32, findings: &Findings) -> Option<Weight> {
    let first = words.first()?;
    let points = first.text.parse::<i32>().ok().filter(|points| points.unsigned_abs() <= most.unsigned_abs());
    let Some(points) = points else {
        let expected = format!("a whole number from -{most} to {most}");
        wrong(findings, "weight", first, &expected, "it is ignored");
        return None;
    };
    let reverse = match words.get(1) {
        None => false,
        Some(word) if word.text == "reverse" => true,
        Some(word) if word.text == "noreverse" => false,
        Some(word) => {
            wrong(findings, "weight", word, "`reverse` or `noreverse`", "it is ignored");
            false
        }
    };
    Some(Weight { points, reverse })
}

fn file(statement: &Statement, name: &Word, findings: &Findings) -> Option<(Probe, Weight)> {
    let (mut path, mut weight, mut init) = (None, Weight::new(1), None);
    for line in lines(statement) {
        match line.keyword() {
            "file" => path = line.params().first(),
            "weight" => weight = weight_of(line.params(), FILE_WEIGHT, findings).unwrap_or(weight),
            "init_file" => init = Some(init_file(line, findings)),
            _ => {}
        }
    }
    let Some(path) = path else {
        error(findings, "no-file", "it has no `file`: it changes neither priority nor state", name);
        return None;
    };
    Some((Probe::File { path: path.text.clone().into(), init }, weight))
}

/// `[VALUE] [overwrite]`.
fn init_file(line: &Statement, findings: &Findings) -> (i64, bool) {
    let (mut value, mut overwrite) = (0, false);
    for word in line.params() {
        match word.text.parse() {
            Ok(number) => value = number,
            Err(_) if word.text == "overwrite" => overwrite = true,
            Err(_) => wrong(findings, "init_file", word, "a number or `overwrite`", "it is ignored"),
        }
    }
    (value, overwrite)
}

fn process(statement: &Statement, name: &Word, findings: &Findings) -> Option<(Probe, Weight)> {
    let (mut what, mut how, mut weight) = (None, None, Weight::default());
    let (mut full_command, mut quorum, mut quorum_max) = (false, None, None);
    let (mut rise_delay, mut fall_delay) = (Duration::ZERO, Duration::ZERO);
    for line in lines(statement) {
        let delay = || super::values::span_of_time(findings, line, 3_600, "no delay is used");
        match line.keyword() {
            "process" => what = Some(line.params()),
            "param_match" => how = line.params().first(),
            "weight" => weight = weight_of(line.params(), PROCESS_WEIGHT, findings).unwrap_or(weight),
            "quorum" => quorum = number(findings, line, 1..=65_535, "1 is used"),
            "quorum_max" => quorum_max = number(findings, line, 0..=65_535, "no limit is used"),
            "delay" => (rise_delay, fall_delay) = (delay()?, delay()?),
            "fork_delay" => rise_delay = delay().unwrap_or(rise_delay),
            "terminate_delay" => fall_delay = delay().unwrap_or(fall_delay),
            "full_command" => full_command = true,
            _ => {}
        }
    }
    let Some([program, arguments @ ..]) = what else {
        error(findings, "no-process", "it has no `process`: it changes neither priority nor state", name);
        return None;
    };
    if !full_command && program.text.len() > COMM_MAX {
        let message =
            format!("the kernel keeps {COMM_MAX} bytes of a process' name: the rest is not compared");
        findings.push(
            Diagnostic::new(Severity::Warning, "long-name", message)
                .at(&program.span)
                .note("write `full_command` to compare the whole command line"),
        );
    }
    let how = match how.map(|word| word.text.as_str()) {
        Some("initial") => ArgumentMatch::Initial,
        Some("partial") => ArgumentMatch::Partial,
        _ => ArgumentMatch::Exact,
    };
    let arguments: Vec<String> = arguments.iter().map(|word| word.text.clone()).collect();
    let compared = !arguments.is_empty() || how != ArgumentMatch::Exact;
    let probe = ProcessProbe {
        name: program.text.clone(),
        arguments: compared.then_some((how, arguments)),
        full_command,
        // With an upper limit alone, none at all is fine.
        quorum: quorum.unwrap_or(u32::from(quorum_max.is_none())),
        quorum_max,
        rise_delay,
        fall_delay,
    };
    Some((Probe::Process(probe), weight))
}

/// One of the `track_*` lists; `false` when the line is none.
pub(super) fn list(line: &Statement, to: &mut Vec<Tracked>, findings: &Findings) -> bool {
    let (kind, most) = match line.keyword() {
        "track_interface" => (TrackerKind::Interface, SCRIPT_WEIGHT),
        "track_script" => (TrackerKind::Script, SCRIPT_WEIGHT),
        "track_file" => (TrackerKind::File, FILE_WEIGHT),
        "track_process" => (TrackerKind::Process, PROCESS_WEIGHT),
        _ => return false,
    };
    for entry in lines(line) {
        let Some(name) = entry.words.first() else { continue };
        if kind == TrackerKind::Interface && !is_interface_name(&name.text) {
            continue; // reported with the references
        }
        let weight = match entry.words.get(1) {
            None => None,
            Some(word) if word.text == "weight" => weight_of(&entry.words[2..], most, findings),
            Some(word) => {
                wrong(findings, &show(&name.text), word, "`weight NUMBER`", "it is ignored");
                None
            }
        };
        let tracker = TrackerId { kind, name: name.text.clone() };
        match to.iter_mut().find(|known| known.tracker == tracker) {
            Some(known) => known.weight = weight, // written twice: the last one counts
            None => to.push(Tracked { tracker, weight }),
        }
    }
    true
}
