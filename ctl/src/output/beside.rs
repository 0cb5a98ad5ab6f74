//! What goes with virtual routers beside their addresses: `status -o wide`.

use super::grid::{Cell, Grid, Tone};
use super::safe;
use crate::times::ago;
use crate::view::Status;

/// Routes and rules that go with addresses, one row each; none where there are none.
pub(crate) fn routes(status: &Status) -> Option<Grid> {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "NODE", "ROUTE OR RULE", "IN PLACE"]);
    for on in status.routers.iter().flat_map(|group| &group.nodes) {
        let router = &on.router;
        for route in &router.routes {
            let (word, tone) = match (route.present, router.rules()) {
                (true, true) => ("yes", Tone::Good),
                (true, false) => ("YES, IN SPITE OF ITS STATE", Tone::Odd),
                (false, true) => ("NO", Tone::Bad),
                (false, false) => ("no", Tone::Plain),
            };
            let row = [safe(&router.name), safe(&on.node), safe(&route.text)].map(Cell::from);
            grid.rows.push(row.into_iter().chain([Cell::new(word, tone)]).collect());
        }
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}

/// The latest program that was told of each router, one row each; none where none was.
pub(crate) fn hooks(status: &Status) -> Option<Grid> {
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "NODE", "LAST HOOK", "TOLD", "AGO", "RESULT"]);
    for on in status.routers.iter().flat_map(|group| &group.nodes) {
        let Some(hook) = &on.router.last_hook else { continue };
        grid.rows.push(vec![
            safe(&on.router.name).into(),
            safe(&on.node).into(),
            safe(&hook.hook).into(),
            safe(&hook.state).into(),
            ago(hook.at, on.now).into(),
            Cell::new(safe(&hook.text), if hook.success { Tone::Plain } else { Tone::Bad }),
        ]);
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}
