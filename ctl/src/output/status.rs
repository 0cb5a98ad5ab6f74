//! The answer of `status` for people: one table; what is wrong last, nearest to the prompt.

use super::grid::{self, Cell, GAP, Grid, Tone};
use super::safe;
use super::sync_groups;
use super::text::wrap;
use super::{beside, collectors, trackers};
use crate::times::{ago, clock};
use crate::view::{Finding, Status};

/// How to write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Everything, however long the lines are.
    pub(crate) wide: bool,
    /// With colours.
    pub(crate) color: bool,
    /// Columns there are.
    pub(crate) columns: usize,
}

/// The whole answer.
pub(crate) fn text(status: &Status, style: Style) -> String {
    let mut out = if status.is_local() { local(status, style) } else { cluster(status, style) };
    for note in &status.notes {
        out.push_str(&finding(note, "- ", style.columns));
    }
    for warning in &status.warnings {
        out.push_str(&finding(warning, "! ", style.columns));
    }
    if status.is_local() && status.warnings.is_empty() {
        out.push_str(&hint(status, style.columns));
    }
    out
}

fn cluster(status: &Status, style: Style) -> String {
    let mut out = format!("{}\n\n", headline(status));
    if status.routers.is_empty() {
        out.push_str("No virtual router runs on any node that answers.\n");
    } else if style.wide {
        out.push_str(&lines(&grid::by_columns(status, true), style.color).concat());
        out.push_str(&format!("\n{}", lines(&grid::everywhere(status), style.color).concat()));
    } else if let Some(grid) = grid::that_fits(status, style.columns) {
        out.push_str(&lines(&grid, style.color).concat());
    } else {
        out.push_str(&by_rows(status, style));
    }
    out.push_str(&balancing(status, style.columns));
    if style.wide {
        out.push_str(&format!("\n{}", lines(&grid::nodes(status), style.color).concat()));
        out.push_str(&tracked(status, style));
    }
    out
}

/// `CLUSTER web   3 nodes, 3 virtual routers   DEGRADED: 1 warning`.
pub(crate) fn headline(status: &Status) -> String {
    let here = || status.nodes.first().map_or_else(String::new, |node| format!("NODE {}", safe(&node.name)));
    let name = status.context.as_deref().map_or_else(here, |name| format!("CLUSTER {}", safe(name)));
    let dead = status.nodes.iter().filter(|node| !node.reachable).count();
    let silent = if dead > 0 { format!(" ({dead} not answering)") } else { String::new() };
    let health = match status.warnings.len() {
        0 => "as it should be".to_owned(),
        count => format!("DEGRADED: {}", several(count, "warning")),
    };
    let (nodes, routers) = (status.nodes.len(), status.routers.len());
    format!("{name}   {}{silent}, {}   {health}", several(nodes, "node"), several(routers, "virtual router"))
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Each router's nodes on lines below it.
fn by_rows(status: &Status, style: Style) -> String {
    let grid = grid::by_rows(status, style.wide);
    let mut lines = lines(&grid, style.color).into_iter();
    let mut out = lines.next().unwrap_or_default();
    for (line, group) in lines.zip(&status.routers) {
        out.push_str(&line);
        let mut width = 0;
        for cell in grid::nodes_of(group) {
            let needed = cell.text.chars().count();
            if width == 0 || width + 3 + needed > style.columns {
                out.push_str(if width == 0 { "    " } else { "\n    " });
                width = 4;
            } else {
                out.push_str("   ");
                width += 3;
            }
            out.push_str(&painted(&cell, style.color));
            width += needed;
        }
        out.push('\n');
    }
    out
}

fn local(status: &Status, style: Style) -> String {
    let Some(node) = status.nodes.first() else { return String::new() };
    let Some(agent) = &node.agent else { return String::new() };
    let configuration = &agent.configuration;
    let disk = match configuration.file_state {
        "loaded" => "unchanged",
        "changed" => "CHANGED since, not loaded",
        "unreadable" => "now UNREADABLE",
        _ => "disk not compared",
    };
    let up = grid::up(agent.started, agent.now);
    let mut out = format!("{}   agent {}   {up}", safe(&node.name), safe(&agent.version));
    let config =
        format!("config {} (loaded {}, {disk})", safe(&configuration.path), clock(configuration.loaded));
    let fits = out.len() + 3 + config.len() <= style.columns;
    out.push_str(&format!("{}{config}\n\n", if fits { "   " } else { "\n" }));
    if status.routers.is_empty() {
        out.push_str("No virtual router runs here.\n");
    } else {
        out.push_str(&lines(&grid::local(status, style.wide, style.columns), style.color).concat());
    }
    out.push_str(&balancing(status, style.columns));
    if style.wide {
        out.push_str(&tracked(status, style));
    }
    for peer in agent.peers.iter().filter(|peer| peer.connected) {
        out.push_str(&format!(
            "\npeer {} ({}) connected for {}",
            safe(&peer.name),
            safe(&peer.address),
            ago(peer.since, agent.now)
        ));
    }
    if agent.peers.iter().any(|peer| peer.connected) {
        out.push('\n');
    }
    out
}

/// `Load balancing on node1: 3 of 3 virtual servers, 9 of 10 real servers up, 1 drained`.
fn balancing(status: &Status, columns: usize) -> String {
    let mut out = String::new();
    for node in &status.nodes {
        let Some(of) = &node.lvs else { continue };
        let on = if status.is_local() { String::new() } else { format!(" on {}", safe(&node.name)) };
        let drained = match of.servers_drained {
            0 => String::new(),
            count => format!(", {count} drained"),
        };
        let (up, all) = (of.services_up, of.services as usize);
        let text = format!(
            "Load balancing{on}: {up} of {}, {} of {} up{drained}",
            several(all, "virtual server"),
            of.servers_up,
            several(of.servers as usize, "real server")
        );
        out.push_str(&wrap(&text, "", "  ", columns));
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// Sync groups, what is watched and what it does to priorities, routes, hooks; nothing where nothing is.
fn tracked(status: &Status, style: Style) -> String {
    let tables = [
        sync_groups::grid(status),
        trackers::watched(status),
        trackers::causes(status),
        beside::routes(status),
        beside::hooks(status),
        collectors::grid(status),
    ];
    let tables = tables.into_iter().flatten();
    tables.map(|grid| format!("\n{}", lines(&grid, style.color).concat())).collect()
}

/// How to see more than this node.
fn hint(status: &Status, columns: usize) -> String {
    let peers = status.nodes.iter().filter_map(|node| node.agent.as_ref()).flat_map(|agent| &agent.peers);
    let peers: Vec<_> = peers.map(|peer| safe(&peer.name)).collect();
    let text = if peers.is_empty() {
        "Only this node is known. To see the others: haclusterctl pki init, then `haclusterctl help context`."
            .to_owned()
    } else {
        format!("Only this node was asked. To see {} too: `haclusterctl help context`.", peers.join(", "))
    };
    format!("\n{}", wrap(&text, "", "", columns))
}

/// One finding in words, with its mend.
pub(crate) fn finding(finding: &Finding, mark: &str, columns: usize) -> String {
    let of = finding.router.as_ref().map_or(String::new(), |router| format!("{}: ", safe(router)));
    let mut out = format!("\n{}", wrap(&format!("{of}{}", safe(&finding.text)), mark, "  ", columns));
    if !finding.mend.is_empty() {
        let label = if finding.mend.starts_with("haclusterctl") { "  next: " } else { "  mend: " };
        out.push_str(&wrap(&safe(&finding.mend), label, "        ", columns));
    }
    out
}

/// Head and rows as lines.
pub(crate) fn lines(grid: &Grid, color: bool) -> Vec<String> {
    let widths = grid.widths();
    let head: Vec<Cell> = grid.head.iter().map(|text| Cell::from(text.as_str())).collect();
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (number, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&painted(cell, color));
            if number + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', width - cell.text.chars().count() + GAP));
            }
        }
        format!("{}\n", line.trim_end())
    };
    std::iter::once(&head).chain(&grid.rows).map(line).collect()
}

fn painted(cell: &Cell, color: bool) -> String {
    let code = match cell.tone {
        Tone::Good => "32",
        Tone::Odd => "33",
        Tone::Bad => "1;31",
        Tone::Plain => return cell.text.clone(),
    };
    if color { format!("\x1b[{code}m{}\x1b[0m", cell.text) } else { cell.text.clone() }
}
