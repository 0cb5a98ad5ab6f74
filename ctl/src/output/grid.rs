//! The table of virtual routers as cells: printed by `status`, drawn by `watch`.
//!
//! ```text
//!   columns (few nodes)  VIRTUAL ROUTER  MASTER  SHOULD BE  SINCE  node1  node2  ADDRESSES (if they fit)
//!   rows (more nodes)    VIRTUAL ROUTER  MASTER  SHOULD BE  SINCE  ADDRESSES, a line of nodes below each
//!   local (one node)     VIRTUAL ROUTER  DEV  STATE  PRIORITY  MASTER  SINCE  ADDRESSES
//! ```

use super::safe;
use super::text::clip;
use crate::times::ago;
use crate::view::{Group, OnNode, Ruler, Status, router::bare};
use jiff::Timestamp;

/// Longest name in a table that is not wide.
const NAME_COLUMNS: usize = 24;

/// What a cell says at a glance; never by colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// The one that rules.
    Good,
    /// On purpose, but not as usual.
    Odd,
    /// Not as it should be.
    Bad,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Head and rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// Blanks between two columns.
pub(crate) const GAP: usize = 2;

impl Grid {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new() }
    }

    /// The width of every column.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|text| text.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }

    fn remove(&mut self, name: &str) {
        if let Some(column) = self.head.iter().position(|head| head == name) {
            self.head.remove(column);
            self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }

    /// Columns it takes.
    fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }
}

/// One column for each node; the addresses last, where there is room for them.
pub(crate) fn by_columns(status: &Status, with_addresses: bool) -> Grid {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "MASTER", "SHOULD BE", "SINCE"]);
    grid.head.extend(status.nodes.iter().map(|node| safe(&clip(&node.name, NAME_COLUMNS))));
    if with_addresses {
        grid.head.push("ADDRESSES".to_owned());
    }
    for group in &status.routers {
        let mut row = first_cells(group);
        row.extend(status.nodes.iter().map(|node| match group.on(&node.name) {
            Some(on) => standing(on, group),
            None if node.reachable => Cell::from("-"),
            None => Cell::new("?", Tone::Bad),
        }));
        if with_addresses {
            row.push(Cell::from(addresses(group, 1)));
        }
        grid.rows.push(row);
    }
    grid
}

/// The table with a column for each node, if it fits: with the addresses, else without.
pub(crate) fn that_fits(status: &Status, columns: usize) -> Option<Grid> {
    let fits = |grid: &Grid| grid.width() <= columns;
    Some(by_columns(status, true)).filter(fits).or_else(|| Some(by_columns(status, false)).filter(fits))
}

/// Without the nodes: they stand on lines of their own, see [`nodes_of`].
pub(crate) fn by_rows(status: &Status, wide: bool) -> Grid {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "MASTER", "SHOULD BE", "SINCE", "ADDRESSES"]);
    for group in &status.routers {
        let mut row = first_cells(group);
        row.push(Cell::from(addresses(group, if wide { usize::MAX } else { 1 })));
        grid.rows.push(row);
    }
    grid
}

/// `node1 Master 201`, `node2 Backup 101`, one for each node that runs it or does not answer.
pub(crate) fn nodes_of(group: &Group) -> Vec<Cell> {
    let cell = |on: &OnNode| {
        let Cell { text, tone } = standing(on, group);
        Cell::new(format!("{} {text}", safe(&clip(&on.node, NAME_COLUMNS))), tone)
    };
    group.nodes.iter().map(cell).collect()
}

fn first_cells(group: &Group) -> Vec<Cell> {
    let name = format!("{} ({})", safe(&clip(&group.name, NAME_COLUMNS)), group.vrid);
    let as_it_should = group.why_not.is_none() && group.masters.len() == 1;
    let tone = match &group.why_not {
        _ if group.masters.len() != 1 => Tone::Bad,
        Some(why) if why.on_purpose => Tone::Odd,
        Some(_) => Tone::Bad,
        None => Tone::Plain,
    };
    let should = group.should_be.as_ref().map_or("-", |best| best.label());
    let should = Cell::new(safe(&clip(should, NAME_COLUMNS)), if as_it_should { Tone::Plain } else { tone });
    vec![Cell::from(name), masters(&group.masters, tone), should, Cell::from(since(group))]
}

fn masters(masters: &[Ruler], tone: Tone) -> Cell {
    match masters {
        [] => Cell::new("NOBODY", Tone::Bad),
        [one] => Cell::new(safe(&clip(one.label(), NAME_COLUMNS)), tone),
        several => {
            let labels: Vec<_> = several.iter().map(|one| safe(&clip(one.label(), NAME_COLUMNS))).collect();
            Cell::new(labels.join("+"), Tone::Bad)
        }
    }
}

fn since(group: &Group) -> String {
    let now = group.nodes.iter().find(|on| on.router.rules()).and_then(|on| on.now);
    ago(group.since, now)
}

/// State and effective priority, and what is special about it.
pub(crate) fn standing(on: &OnNode, group: &Group) -> Cell {
    let router = &on.router;
    let name = capital(&router.state);
    let priority = router.priority_effective;
    match router.state.as_str() {
        "master" => {
            let tone = if group.masters.len() > 1 { Tone::Bad } else { Tone::Good };
            let leads = if router.lead.is_some() { " leads" } else { "" };
            Cell::new(format!("{name} {priority}{leads}{}", moving(on)), tone)
        }
        "backup" => match &router.hold {
            Some(hold) => {
                let word = match hold.kind.as_str() {
                    "drain" => "drained",
                    "pause" => "paused",
                    _ => "holds",
                };
                Cell::new(format!("{name} {priority} {word}{}", moving(on)), Tone::Odd)
            }
            None => Cell::from(format!("{name} {priority}{}", moving(on))),
        },
        _ => Cell::new(name, Tone::Bad),
    }
}

fn moving(on: &OnNode) -> &'static str {
    if on.router.r#move.is_some() { " moving" } else { "" }
}

pub(crate) fn capital(state: &str) -> String {
    let mut shown = state.to_owned();
    if let Some(first) = shown.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    safe(&shown)
}

/// The first addresses and how many more there are.
pub(crate) fn addresses(group: &Group, shown: usize) -> String {
    let all: Vec<_> = group.addresses.iter().map(|address| safe(bare(&address.address))).collect();
    let more = all.len().saturating_sub(shown);
    match (all.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => all.join(" "),
        (_, more) => format!("{} +{more}", all[..shown].join(" ")),
    }
}

/// Everything about every node, one row each: `-o wide`.
pub(crate) fn nodes(status: &Status) -> Grid {
    let mut grid =
        Grid::new(&["NODE", "ADDRESS", "AGENT", "UP", "CLOCK", "ANSWERED IN", "CONFIGURATION", "PEERS"]);
    for node in &status.nodes {
        let mut row = vec![Cell::from(safe(&node.name)), Cell::from(safe(&node.address))];
        let Some(agent) = &node.agent else {
            row.push(Cell::new("no answer", Tone::Bad));
            row.resize(grid.head.len(), Cell::from("-"));
            grid.rows.push(row);
            continue;
        };
        let ms = |ms: Option<f64>, sign: bool| match ms {
            Some(ms) if sign => format!("{ms:+.1} ms"),
            Some(ms) => format!("{ms:.1} ms"),
            None => "-".to_owned(),
        };
        let connected = agent.peers.iter().filter(|peer| peer.connected).count();
        row.extend(
            [
                safe(&agent.version),
                ago(agent.started, agent.now),
                ms(node.clock_offset_ms, true),
                ms(node.round_trip_ms, false),
                format!("{} ({})", safe(&agent.configuration.path), agent.configuration.file_state),
                if agent.peers.is_empty() {
                    "-".to_owned()
                } else {
                    format!("{connected} of {}", agent.peers.len())
                },
            ]
            .map(Cell::from),
        );
        grid.rows.push(row);
    }
    grid
}

/// Everything about every router on every node, one row each: `-o wide`.
pub(crate) fn everywhere(status: &Status) -> Grid {
    let head = [
        "VIRTUAL ROUTER",
        "NODE",
        "DEV",
        "STATE",
        "PRIORITY",
        "BASE",
        "SOURCE",
        "HEARS",
        "SINCE",
        "SENT",
        "HEARD",
        "DROPPED",
        "REASON",
    ];
    let mut grid = Grid::new(&head);
    for group in &status.routers {
        for on in &group.nodes {
            let router = &on.router;
            let counters = &router.counters;
            let dropped: u64 = counters.adverts_discarded.values().sum();
            let tone = standing(on, group).tone;
            let dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), safe);
            grid.rows.push(vec![
                safe(&router.name).into(),
                safe(&on.node).into(),
                safe(&router.interface).into(),
                Cell::new(capital(&router.state), tone),
                router.priority_effective.to_string().into(),
                router.priority_base.to_string().into(),
                dash(&router.source).into(),
                dash(&router.master_address).into(),
                ago(router.since, on.now).into(),
                counters.adverts_sent.to_string().into(),
                counters.adverts_accepted.to_string().into(),
                dropped.to_string().into(),
                safe(router.reason().unwrap_or("-")).into(),
            ]);
        }
    }
    grid
}

/// The routers of the only node that is known; without what does not fit.
pub(crate) fn local(status: &Status, wide: bool, columns: usize) -> Grid {
    let mut grid = all_local(status, wide);
    for least in ["DEV", "ADDRESSES"] {
        if !wide && grid.width() > columns {
            grid.remove(least);
        }
    }
    grid
}

fn all_local(status: &Status, wide: bool) -> Grid {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "DEV", "STATE", "PRIORITY", "MASTER", "SINCE", "ADDRESSES"]);
    if wide {
        grid.head.extend(["SENT", "HEARD", "DROPPED", "REASON"].map(str::to_owned));
    }
    for group in &status.routers {
        let Some(on) = group.nodes.first() else { continue };
        let (router, now) = (&on.router, on.now);
        let tone = standing(on, group).tone;
        let name = safe(&if wide { group.name.clone() } else { clip(&group.name, NAME_COLUMNS) });
        let mut row = vec![
            format!("{name} ({})", router.vrid).into(),
            safe(&router.interface).into(),
            Cell::new(capital(&router.state), tone),
            priority(on).into(),
            master_of(on).into(),
            ago(router.since, now).into(),
            addresses(group, if wide { usize::MAX } else { 1 }).into(),
        ];
        if wide {
            let counters = &router.counters;
            let dropped: u64 = counters.adverts_discarded.values().sum();
            let counted = [counters.adverts_sent, counters.adverts_accepted, dropped];
            row.extend(counted.map(|count| Cell::from(count.to_string())));
            row.push(safe(router.reason().unwrap_or("-")).into());
        }
        grid.rows.push(row);
    }
    grid
}

fn priority(on: &OnNode) -> String {
    let router = &on.router;
    match router.priority_base == router.priority_effective {
        true => router.priority_base.to_string(),
        false => format!("{} (of {})", router.priority_effective, router.priority_base),
    }
}

fn master_of(on: &OnNode) -> String {
    match &on.router.master_address {
        _ if on.router.rules() => "this node".to_owned(),
        Some(address) => safe(address),
        None => "-".to_owned(),
    }
}

/// How long ago the node's agent said that it started.
pub(crate) fn up(started: Option<Timestamp>, now: Option<Timestamp>) -> String {
    format!("up {}", ago(started, now))
}
