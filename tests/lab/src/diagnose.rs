//! What a lab looks like: for the moment when a test has failed.

use crate::{capture::Capture, lab::Lab, node::Host};
use std::fmt::Write;

/// Last lines shown of each program's log.
const LINES_SHOWN: usize = 40;
/// Last packets shown of a recording.
const PACKETS_SHOWN: usize = 30;

/// Every host's interfaces, addresses, programs and their last lines. Never fails: what cannot be
/// asked is shown as such.
pub fn report(lab: &Lab) -> String {
    let mut text = format!("What the lab `{}` looked like:\n", lab.topology().name);
    for host in lab.hosts() {
        text += &self::host(host);
    }
    text
}

/// One host's part of [`report`].
pub fn host(host: &Host) -> String {
    let mut text = format!("--- {}\n", host.name());
    match host.links() {
        Ok(links) => {
            for link in links.iter().filter(|link| !link.loopback) {
                let state = if link.running {
                    "up"
                } else if link.up {
                    "up, no carrier"
                } else {
                    "down"
                };
                let _ = writeln!(text, "  {}: {state}", link.name);
            }
        }
        Err(error) => _ = writeln!(text, "  interfaces: {error:#}"),
    }
    match host.addresses() {
        Ok(addresses) => {
            for address in addresses {
                let _ = writeln!(text, "  {} on {}", address.cidr, address.interface);
            }
        }
        Err(error) => _ = writeln!(text, "  addresses: {error:#}"),
    }
    for process in host.processes() {
        let state = match process.status() {
            Ok(None) => "runs".to_owned(),
            Ok(Some(status)) => format!("ended, {status}"),
            Err(error) => format!("{error:#}"),
        };
        let lines = process.lines();
        let first = lines.len().saturating_sub(LINES_SHOWN);
        let _ = writeln!(text, "  {process:?}: {state}; its last lines of {}:", lines.len());
        for line in &lines[first..] {
            let _ = writeln!(text, "    | {}", line.text);
        }
    }
    text
}

/// The last packets of a recording, one line each.
pub fn packets(capture: &Capture) -> String {
    let summary = capture.summary();
    let lines: Vec<_> = summary.lines().collect();
    let first = lines.len().saturating_sub(PACKETS_SHOWN);
    format!("--- the last of {} packets\n{}\n", lines.len(), lines[first..].join("\n"))
}
