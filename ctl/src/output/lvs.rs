//! `haclusterctl lvs` for people: a block for each virtual server, a line for each real server, a column
//! for each node.

use super::grid::{Cell, Grid, Tone};
use super::safe;
use super::status::{Style, lines};
use super::text::wrap;
use crate::times::ago;
use crate::view::lvs::{Lvs, LvsFinding, LvsNode, Server, Service};
use jiff::Timestamp;

/// The whole answer.
pub(crate) fn text(lvs: &Lvs, now: Timestamp, style: Style) -> String {
    let mut out = format!("{}\n", headline(lvs));
    let names = lvs.names();
    if names.is_empty() && lvs.nodes.iter().any(|node| node.error.is_none()) {
        out.push_str("\nNo virtual server is configured.\n");
    }
    for name in names {
        let on: Vec<(&LvsNode, &Service)> =
            lvs.nodes.iter().filter_map(|node| Some((node, node.service(name)?))).collect();
        out.push_str(&block(&on, lvs, now, style));
    }
    if style.wide {
        for node in lvs.nodes.iter().filter(|node| !node.sync_daemons.is_empty()) {
            let daemons = node.sync_daemons.join("; ");
            out.push_str(&format!("\n{}: connections synchronised: {}\n", safe(&node.name), safe(&daemons)));
        }
    }
    for note in &lvs.notes {
        out.push_str(&finding(note, "- ", style.columns));
    }
    for warning in &lvs.warnings {
        out.push_str(&finding(warning, "! ", style.columns));
    }
    out
}

fn headline(lvs: &Lvs) -> String {
    let name = match &lvs.context {
        Some(context) => format!("CLUSTER {}", safe(context)),
        None => lvs.nodes.first().map_or_else(String::new, |node| format!("NODE {}", safe(&node.name))),
    };
    let health = match lvs.warnings.len() {
        0 => "as it should be".to_owned(),
        1 => "DEGRADED: 1 warning".to_owned(),
        count => format!("DEGRADED: {count} warnings"),
    };
    let count = lvs.names().len();
    format!("{name}   {count} virtual server{}   {health}", if count == 1 { "" } else { "s" })
}

/// One virtual server on all nodes that have it.
fn block(on: &[(&LvsNode, &Service)], lvs: &Lvs, now: Timestamp, style: Style) -> String {
    let Some((_, first)) = on.first() else { return String::new() };
    let persistence =
        first.persistence_s.map_or_else(String::new, |secs| format!(", persistent for {secs} s"));
    let balances = first.frontends.join(", ");
    let mut out = format!("\n{} ({}{persistence})", safe(&balances), safe(&first.scheduler));
    if first.name.starts_with("group ") {
        out.push_str(&format!(" {}", safe(&first.name)));
    }
    out.push_str(if lvs.is_local() { "   " } else { "\n" });
    for (node, service) in on {
        let who = if lvs.is_local() { String::new() } else { format!("  {}: ", safe(&node.name)) };
        out.push_str(&format!("{who}{}\n", standing(service, now)));
    }
    let grid = if lvs.is_local() { local(first, now, style) } else { everywhere(on, style) };
    for line in lines(&grid, style.color) {
        out.push_str(&format!("  {line}"));
    }
    if style.wide {
        for (node, service) in on {
            out.push_str(&checks(node, service, lvs.is_local(), now));
        }
    }
    out
}

/// `up for 2 h, weight 4 of 1 needed`.
fn standing(of: &Service, now: Timestamp) -> String {
    let state = if of.up { "up" } else { "NO QUORUM" };
    let rests = if of.suspended { ", checks rest (address not on this node)" } else { "" };
    let sorry = match &of.sorry {
        Some(sorry) if sorry.serving => format!(", sorry server {} answers", safe(&sorry.address)),
        _ => String::new(),
    };
    format!(
        "{state} for {}, weight {} up, {} needed{sorry}{rests}",
        ago(of.since, Some(now)),
        of.weight_up,
        of.weight_needed
    )
}

fn tone(server: &Server) -> Tone {
    match server.state {
        "up" => Tone::Good,
        "drained" => Tone::Odd,
        _ => Tone::Bad,
    }
}

fn weight(server: &Server) -> String {
    if server.weight == server.weight_configured {
        server.weight.to_string()
    } else {
        format!("{} (of {})", server.weight, server.weight_configured)
    }
}

fn state(server: &Server) -> String {
    if server.state == "down" { "DOWN".to_owned() } else { server.state.to_owned() }
}

fn local(of: &Service, now: Timestamp, style: Style) -> Grid {
    let mut grid = Grid::new(&["SERVER", "WAY", "WEIGHT", "STATE", "SINCE", "ACTIVE", "INACTIVE", "CONN/S"]);
    if style.wide {
        grid.head.extend(["IN B/S", "OUT B/S", "CONNECTIONS", "IN TABLE"].map(str::to_owned));
    }
    for server in &of.servers {
        let mut row = vec![
            safe(&server.address).into(),
            safe(&server.forwarding).into(),
            weight(server).into(),
            Cell::new(state(server), tone(server)),
            ago(server.since, Some(now)).into(),
            server.connections_active.to_string().into(),
            server.connections_inactive.to_string().into(),
            server.traffic.connections_per_second.to_string().into(),
        ];
        if style.wide {
            row.push(server.traffic.bytes_in_per_second.to_string().into());
            row.push(server.traffic.bytes_out_per_second.to_string().into());
            row.push(server.traffic.connections.to_string().into());
            row.push(if server.placed { "yes" } else { "no" }.into());
        }
        grid.rows.push(row);
    }
    grid
}

/// A column for each node: state, weight and connections.
fn everywhere(on: &[(&LvsNode, &Service)], style: Style) -> Grid {
    let mut grid = Grid::new(&["SERVER", "WAY"]);
    grid.head.extend(on.iter().map(|(node, _)| safe(&node.name)));
    grid.head.push(String::new());
    let mut addresses: Vec<&str> = Vec::new();
    for server in on.iter().flat_map(|(_, service)| &service.servers) {
        if !addresses.contains(&server.address.as_str()) {
            addresses.push(&server.address);
        }
    }
    for address in addresses {
        let servers: Vec<Option<&Server>> = on.iter().map(|(_, service)| service.server(address)).collect();
        let Some(known) = servers.iter().flatten().next() else { continue };
        let mut row = vec![Cell::from(safe(address)), Cell::from(safe(&known.forwarding))];
        row.extend(servers.iter().map(|server| match server {
            None => Cell::new("-", Tone::Odd),
            Some(of) => {
                let traffic = if style.wide {
                    format!(", {}+{} conn", of.connections_active, of.connections_inactive)
                } else {
                    format!(" {}", of.connections_active)
                };
                Cell::new(format!("{} {}{traffic}", state(of), weight(of)), tone(of))
            }
        }));
        let key = |of: &Option<&Server>| of.map(|of| (of.state, of.weight));
        let differs = servers.iter().any(|of| key(of) != key(&servers[0]));
        row.push(Cell::new(if differs { "<- differs" } else { "" }, Tone::Odd));
        grid.rows.push(row);
    }
    grid
}

/// Every check with its latest remarkable result.
fn checks(node: &LvsNode, of: &Service, is_local: bool, now: Timestamp) -> String {
    let mut out = String::new();
    for server in &of.servers {
        for check in &server.checks {
            let who = if is_local { String::new() } else { format!("{}: ", safe(&node.name)) };
            let when = check.at.map_or_else(String::new, |at| format!(", {} ago", ago(Some(at), Some(now))));
            let took = check.took_ms.map_or_else(String::new, |ms| format!(", took {ms:.1} ms"));
            let said = if check.text.is_empty() { "nothing remarkable yet" } else { &check.text };
            out.push_str(&format!(
                "    {who}{} {}: {}{when}{took}\n",
                safe(&check.name),
                check.verdict,
                safe(said)
            ));
        }
    }
    out
}

fn finding(of: &LvsFinding, mark: &str, columns: usize) -> String {
    let service = of.service.as_ref().map_or_else(String::new, |service| format!("{}: ", safe(service)));
    let mut out = format!("\n{}", wrap(&format!("{service}{}", safe(&of.text)), mark, "  ", columns));
    if !of.mend.is_empty() {
        let label = if of.mend.starts_with("haclusterctl") { "  next: " } else { "  mend: " };
        out.push_str(&wrap(&safe(&of.mend), label, "        ", columns));
    }
    out
}
