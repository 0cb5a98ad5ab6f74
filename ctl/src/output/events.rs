//! Events and changes of state, one a line, for people.

use super::grid::{Cell, Grid, Tone, capital};
use super::safe;
use super::status::lines;
use crate::times::{clock_ms, span};
use crate::view::history::{Change, NodeEvent};
use std::time::Duration;

/// One event on one line; with the node when there are several.
pub(crate) fn event(of: &NodeEvent, nodes: Option<usize>) -> String {
    let mark = if of.event.warning { '!' } else { ' ' };
    let node = nodes.map_or(String::new(), |width| format!("{:width$}  ", safe(&of.node)));
    let router = of.cluster_router.as_ref().map_or(String::new(), |router| format!("{}: ", safe(router)));
    format!("{} {mark} {node}{router}{}\n", clock_ms(of.at_here), safe(&of.event.text))
}

/// Changes of state as a table.
pub(crate) fn history(changes: &[Change], color: bool) -> String {
    if changes.is_empty() {
        return "No change of state is remembered.\n".to_owned();
    }
    let head = ["WHEN", "VIRTUAL ROUTER", "NODE", "FROM", "TO", "NOBODY RULED", "TRACE", "WHY"];
    let mut grid = Grid::new(&head);
    for change in changes {
        let tone = match change.to.as_str() {
            "master" => Tone::Good,
            "fault" => Tone::Bad,
            _ => Tone::Plain,
        };
        grid.rows.push(vec![
            clock_ms(change.at).into(),
            safe(&change.router).into(),
            safe(&change.node).into(),
            capital(&change.from).into(),
            Cell::new(capital(&change.to), tone),
            gap(change).into(),
            change.trace_id.as_deref().map(safe).unwrap_or_default().into(),
            safe(&change.reason).into(),
        ]);
    }
    lines(&grid, color).concat()
}

fn gap(change: &Change) -> String {
    let Some((gap, unsure)) = change.nobody_ruled() else {
        return if change.to == "master" { "?".to_owned() } else { String::new() };
    };
    let shown = span(Duration::from_secs_f64(gap / 1_000.0));
    match () {
        () if gap == 0.0 => "not at all".to_owned(),
        () if unsure * 10.0 > gap => {
            format!("{shown} (+-{})", span(Duration::from_secs_f64(unsure / 1_000.0)))
        }
        () => shown,
    }
}
