//! Tables for people: one line per virtual router, what is wrong last, nearest to the prompt.

use super::safe;
use crate::times::{ago, clock};
use crate::view::{Event, Router, Status};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};

/// The whole answer of `status`.
pub(crate) fn status(status: &Status, wide: bool, color: bool) -> String {
    let node = &status.node;
    let mut out = format!(
        "{}   agent {}   up {}   ",
        safe(&node.name),
        node.agent_version,
        ago(node.started, node.now)
    );
    let configuration = &node.configuration;
    let disk = match configuration.file_state {
        "loaded" => "unchanged",
        "changed" => "CHANGED since, not loaded",
        "unreadable" => "now UNREADABLE",
        _ => "disk not compared",
    };
    let loaded = clock(configuration.loaded);
    out.push_str(&format!("config {} (loaded {loaded}, {disk})\n\n", safe(&configuration.path)));
    if status.routers.is_empty() {
        out.push_str("No virtual router runs here.\n");
    } else {
        out.push_str(&routers(status, wide, color));
    }
    for warning in &status.warnings {
        let of = warning.router.as_ref().map_or(String::new(), |router| format!("{}: ", safe(router)));
        out.push_str(&format!("\n! {of}{}\n  mend: {}\n", safe(&warning.text), safe(&warning.mend)));
    }
    if configuration.not_in_force > 0 && configuration.errors == 0 {
        let (count, path) = (configuration.not_in_force, safe(&configuration.path));
        out.push_str(&format!(
            "\nNote: {count} thing(s) written are not in force; see haclusterctl config check {path}\n"
        ));
    }
    out
}

fn routers(status: &Status, wide: bool, color: bool) -> String {
    let mut head = vec!["VIRTUAL ROUTER", "VRID", "DEV", "STATE", "PRIORITY", "MASTER", "SINCE", "ADDRESSES"];
    if wide {
        head.extend(["SENT", "HEARD", "DROPPED", "REASON"]);
    }
    let mut table = plain(head);
    for router in &status.routers {
        let mut row = vec![
            Cell::new(safe(&router.name)),
            Cell::new(router.vrid).set_alignment(CellAlignment::Right),
            Cell::new(safe(&router.interface)),
            state(&router.state, color),
            Cell::new(router.priority_effective).set_alignment(CellAlignment::Right),
            Cell::new(master(router)),
            Cell::new(ago(router.since, status.node.now)),
            Cell::new(addresses(router, wide)),
        ];
        if wide {
            let counters = &router.counters;
            let dropped: u64 = counters.adverts_discarded.values().sum();
            row.extend([counters.adverts_sent, counters.adverts_accepted, dropped].map(Cell::new));
            let reason = router.last_transition.as_ref().map_or("-", |last| last.reason.as_str());
            row.push(Cell::new(safe(reason)));
        }
        table.add_row(row);
    }
    trimmed(&table)
}

/// A table without lines.
pub(crate) fn plain(head: Vec<&str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Its text, without blanks at the ends of lines.
pub(crate) fn trimmed(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn state(state: &str, color: bool) -> Cell {
    let mut shown = state.to_owned();
    if let Some(first) = shown.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let cell = Cell::new(shown);
    match state {
        "master" if color => cell.fg(Color::Green),
        "fault" if color => cell.fg(Color::Red),
        _ => cell,
    }
}

fn master(router: &Router) -> String {
    match (router.state.as_str(), &router.master_address) {
        ("master", _) => "this node".to_owned(),
        (_, Some(address)) => address.clone(),
        _ => "-".to_owned(),
    }
}

/// The first address and how many more; all of them when there is room.
fn addresses(router: &Router, wide: bool) -> String {
    let shown = if wide { router.addresses.len() } else { 2 };
    let mut text: Vec<_> =
        router.addresses.iter().take(shown).map(|address| safe(&address.address)).collect();
    match router.addresses.len().saturating_sub(shown) {
        0 if text.is_empty() => "-".to_owned(),
        0 => text.join(" "),
        more => {
            text.push(format!("+{more}"));
            text.join(" ")
        }
    }
}

/// One event on one line.
pub(crate) fn event(event: &Event) -> String {
    let mark = if event.warning { '!' } else { ' ' };
    let of = event.router.as_ref().map_or(String::new(), |router| format!("{}: ", safe(router)));
    format!("{} {mark} {of}{}\n", clock(event.at), safe(&event.text))
}
