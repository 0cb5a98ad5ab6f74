//! What is shown: the agent's answer in the names that JSON and YAML promise, and what is not as it
//! should be.

use crate::Usage;
use crate::times::timestamp;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// A node and its virtual routers.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) node: Node,
    pub(crate) routers: Vec<Router>,
    pub(crate) refused: Vec<Refused>,
    /// What is not as it should be; `degraded` when there is any.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) degraded: bool,
    pub(crate) sequence: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) agent_version: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) configuration: Configuration,
}

#[derive(Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) path: String,
    pub(crate) loaded: Option<Timestamp>,
    pub(crate) hash: String,
    pub(crate) file_state: &'static str,
    pub(crate) errors: u32,
    pub(crate) warnings: u32,
    pub(crate) not_in_force: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Router {
    pub(crate) name: String,
    pub(crate) vrid: u32,
    pub(crate) interface: String,
    pub(crate) state: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) last_transition: Option<Transition>,
    pub(crate) priority_base: u32,
    pub(crate) priority_effective: u32,
    pub(crate) faults: Vec<String>,
    pub(crate) master_address: Option<String>,
    pub(crate) master_priority: Option<u32>,
    pub(crate) source: Option<String>,
    pub(crate) advert_interval_ms: i64,
    pub(crate) addresses: Vec<Address>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Serialize)]
pub(crate) struct Transition {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason_kind: String,
    pub(crate) reason: String,
    pub(crate) priority: u32,
    pub(crate) at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Address {
    pub(crate) address: String,
    pub(crate) interface: String,
    pub(crate) present: bool,
    pub(crate) advertised: bool,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Counters {
    pub(crate) adverts_sent: u64,
    pub(crate) adverts_accepted: u64,
    pub(crate) adverts_discarded: BTreeMap<String, u64>,
    pub(crate) send_failures: u64,
    pub(crate) became_master: u64,
    pub(crate) restorations: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) reason: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Warning {
    /// Virtual router, or nothing for the node.
    pub(crate) router: Option<String>,
    pub(crate) text: String,
    pub(crate) mend: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) at: Option<Timestamp>,
    pub(crate) router: Option<String>,
    pub(crate) warning: bool,
    pub(crate) text: String,
    pub(crate) transition: Option<Transition>,
}

/// `STATE_MASTER` of enumeration `State` as `master`.
fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn known(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<v1::Transition> for Transition {
    fn from(of: v1::Transition) -> Self {
        let reason = of.reason.clone().unwrap_or_default();
        Self {
            from: short(of.from().as_str_name(), "STATE_"),
            to: short(of.to().as_str_name(), "STATE_"),
            reason_kind: short(reason.kind().as_str_name(), "REASON_KIND_"),
            reason: reason.text,
            priority: of.priority,
            at: timestamp(of.at.as_ref()),
        }
    }
}

impl From<v1::Event> for Event {
    fn from(of: v1::Event) -> Self {
        Self {
            sequence: of.sequence,
            at: timestamp(of.at.as_ref()),
            router: known(of.router),
            warning: of.warning,
            text: of.text,
            transition: of.transition.map(Transition::from),
        }
    }
}

impl From<v1::VirtualRouter> for Router {
    fn from(of: v1::VirtualRouter) -> Self {
        let state = short(of.state().as_str_name(), "STATE_");
        let faults = of.faults().map(|fault| short(fault.as_str_name(), "FAULT_")).collect();
        let interval = of.advert_interval.unwrap_or_default();
        let address = |of: v1::Address| Address {
            address: of.address,
            interface: of.interface,
            present: of.present,
            advertised: of.advertised,
        };
        let counters = of.counters.unwrap_or_default();
        Self {
            name: of.name,
            vrid: of.vrid,
            interface: of.interface,
            state,
            since: timestamp(of.since.as_ref()),
            last_transition: of.last_transition.map(Transition::from),
            priority_base: of.priority_base,
            priority_effective: of.priority_effective,
            faults,
            master_address: known(of.master_address),
            master_priority: Some(of.master_priority).filter(|priority| *priority > 0),
            source: known(of.source),
            advert_interval_ms: interval.seconds * 1_000 + i64::from(interval.nanos) / 1_000_000,
            addresses: of.addresses.into_iter().map(address).collect(),
            counters: Counters {
                adverts_sent: counters.adverts_sent,
                adverts_accepted: counters.adverts_accepted,
                adverts_discarded: counters.adverts_discarded.into_iter().collect(),
                send_failures: counters.send_failures,
                became_master: counters.became_master,
                restorations: counters.restorations,
            },
        }
    }
}

impl From<v1::Node> for Node {
    fn from(of: v1::Node) -> Self {
        let configuration = of.configuration.unwrap_or_default();
        Self {
            name: of.name,
            agent_version: of.agent_version,
            started: timestamp(of.started.as_ref()),
            now: timestamp(of.now.as_ref()),
            configuration: configuration.into(),
        }
    }
}

impl From<v1::ConfigurationState> for Configuration {
    fn from(of: v1::ConfigurationState) -> Self {
        Self {
            file_state: match of.file_state() {
                v1::FileState::Unspecified => "unknown",
                v1::FileState::Loaded => "loaded",
                v1::FileState::Changed => "changed",
                v1::FileState::Unreadable => "unreadable",
            },
            loaded: timestamp(of.loaded.as_ref()),
            path: of.path,
            hash: of.hash,
            errors: of.errors,
            warnings: of.warnings,
            not_in_force: of.not_in_force,
        }
    }
}

impl Status {
    /// Of an agent's answer, narrowed to the routers `named`.
    pub(crate) fn of(answer: v1::GetSnapshotResponse, named: &[String]) -> Result<Self, Usage> {
        let mut routers: Vec<Router> = answer.routers.into_iter().map(Router::from).collect();
        if !named.is_empty() {
            let names: Vec<_> = routers.iter().map(|router| router.name.clone()).collect();
            let wanted = named.iter().map(|name| find(name, &names)).collect::<Result<Vec<_>, _>>()?;
            routers.retain(|router| wanted.contains(&router.name.as_str()));
        }
        let refused = answer.refused.into_iter();
        let mut status = Self {
            node: answer.node.unwrap_or_default().into(),
            routers,
            refused: refused.map(|of| Refused { name: of.name, reason: of.reason }).collect(),
            warnings: Vec::new(),
            degraded: false,
            sequence: answer.sequence,
        };
        status.warnings = warnings(&status);
        status.degraded = !status.warnings.is_empty();
        Ok(status)
    }
}

fn warnings(status: &Status) -> Vec<Warning> {
    let configuration = &status.node.configuration;
    let path = &configuration.path;
    let node = |text: String, mend: String| Warning { router: None, text, mend };
    let mut found: Vec<Warning> = status.routers.iter().filter_map(router_warning).collect();
    found.extend(status.refused.iter().map(|refused| Warning {
        router: Some(refused.name.clone()),
        text: format!("refused: {}", refused.reason),
        mend: format!("haclusterctl config check {path}"),
    }));
    match configuration.file_state {
        "changed" => found.push(node(
            format!("{path} changed and is not loaded"),
            format!("haclusterctl config check {path}, then send hacluster-agent a HUP"),
        )),
        "unreadable" => found.push(node(
            format!("{path} cannot be read any more; the agent goes on with what it loaded"),
            "put the file back before the next start".to_owned(),
        )),
        _ => {}
    }
    if configuration.errors > 0 && status.refused.is_empty() {
        found.push(node(
            format!("{} error(s) in the configuration in force", configuration.errors),
            format!("haclusterctl config check {path}"),
        ));
    }
    found
}

fn router_warning(router: &Router) -> Option<Warning> {
    let absent = router.addresses.iter().filter(|address| !address.present).count();
    let reason = router.last_transition.as_ref().map_or("", |last| last.reason.as_str());
    let (text, mend) = match router.state.as_str() {
        "fault" => (format!("in Fault: {reason}"), format!("haclusterctl events {}", router.name)),
        "initialize" => ("does not run yet".to_owned(), format!("haclusterctl events {}", router.name)),
        "master" if absent > 0 => (
            format!("master, but {absent} of {} addresses are not in place", router.addresses.len()),
            format!("haclusterctl events {}", router.name),
        ),
        _ => return None,
    };
    Some(Warning { router: Some(router.name.clone()), text, mend })
}

/// The one of `names` that `typed` means: itself, else the only one that differs in case alone.
pub(crate) fn find<'a>(typed: &str, names: &'a [String]) -> Result<&'a str, Usage> {
    if let Some(name) = names.iter().find(|name| *name == typed) {
        return Ok(name);
    }
    let alike: Vec<_> = names.iter().filter(|name| name.eq_ignore_ascii_case(typed)).collect();
    match alike[..] {
        [one] => Ok(one),
        [] => {
            let nearest = names.iter().min_by_key(|name| distance(typed, name));
            let near = nearest.filter(|name| distance(typed, name) <= typed.chars().count().div_ceil(2));
            let hint = match near {
                Some(name) => format!("did you mean `{name}`?"),
                None if names.is_empty() => "this node has none".to_owned(),
                None => format!("there are: {}", names.join(", ")),
            };
            Err(Usage(format!("no virtual router is called `{typed}`; {hint}")))
        }
        _ => {
            let alike: Vec<_> = alike.into_iter().map(String::as_str).collect();
            Err(Usage(format!(
                "`{typed}` could be any of: {}; write it as it stands there",
                alike.join(", ")
            )))
        }
    }
}

/// Letters to insert, remove or replace, case aside.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, char) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(other[column] != char);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_found_regardless_of_case() {
        let there = names(&["VI_1", "vi_1", "WEB"]);
        assert_eq!(find("vi_1", &there).unwrap(), "vi_1");
        assert_eq!(find("web", &there).unwrap(), "WEB");
        let ambiguous = find("Vi_1", &there).unwrap_err().0;
        assert!(ambiguous.contains("VI_1, vi_1"), "{ambiguous}");
        assert!(find("VI_2", &there).unwrap_err().0.contains("did you mean `VI_1`?"));
        assert!(find("mail", &there).unwrap_err().0.contains("there are: VI_1, vi_1, WEB"));
        assert!(find("x", &[]).unwrap_err().0.contains("has none"));
    }

    #[test]
    fn distances() {
        assert_eq!([distance("", "abc"), distance("VI_1", "vi_2"), distance("abc", "acb")], [3, 1, 2]);
    }
}
