//! What nodes watch, and what lowers or raises priorities: `status -o wide`.

use super::grid::{Cell, Grid, Tone};
use super::safe;
use crate::times::ago;
use crate::view::Status;

/// Every tracker of every node, one row each; none where nothing is watched.
pub(crate) fn watched(status: &Status) -> Option<Grid> {
    let mut grid =
        Grid::new(&["NODE", "TRACKER", "READING", "SINCE", "LOOKED", "TOOK", "AGAINST", "LAST RESULT"]);
    for node in &status.nodes {
        let Some(agent) = &node.agent else { continue };
        for of in &agent.trackers {
            let tone = match of.reading {
                _ if !of.as_wanted => Tone::Bad,
                "unknown" => Tone::Odd,
                _ => Tone::Plain,
            };
            grid.rows.push(vec![
                safe(&node.name).into(),
                safe(&of.name).into(),
                Cell::new(of.reading, tone),
                ago(of.since, agent.now).into(),
                ago(of.looked, agent.now).into(),
                of.took_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms")).into(),
                if of.against > 0 { format!("{} of {}", of.against, of.needed) } else { "-".to_owned() }
                    .into(),
                safe(&of.text).into(),
            ]);
        }
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}

/// What makes a priority differ from the configured one, one row each; none where nothing does.
pub(crate) fn causes(status: &Status) -> Option<Grid> {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "NODE", "PRIORITY", "POINTS", "BY", "BECAUSE"]);
    for on in status.routers.iter().flat_map(|group| &group.nodes) {
        let router = &on.router;
        for cause in &router.priority_causes {
            grid.rows.push(vec![
                safe(&router.name).into(),
                safe(&on.node).into(),
                format!("{} of {}", router.priority_effective, router.priority_base).into(),
                format!("{:+}", cause.difference).into(),
                safe(&cause.name).into(),
                safe(&cause.text).into(),
            ]);
        }
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}
