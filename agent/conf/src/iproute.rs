//! Routes and rules in the words of `ip route` and `ip rule`: the same in keepalived.conf, agent.toml
//! and records on disk.
//!
//! ```text
//!   [blackhole|unreachable|...] [to] NETWORK [via|gw IP [or IP]] [dev IF] [src IP] [table T] [metric N] ..
//!   [not] [from NETWORK] [to NETWORK] [fwmark M/MASK] [iif IF] [priority N] table T ..
//! ```
//!
//! A line with a word that is not understood is no line: a route that lacks part of what was written
//! could send packets astray.

mod reader;
mod tables;

use crate::model::route::{Network, NextHop, Route, RouteKind, RouteMetric, Rule, RuleAction, Span};
use crate::notation::scope;
use reader::Reader;
pub(crate) use reader::Wrong;

/// What to write into a route.
const NO_WAY: &str = "write `via GATEWAY`, `dev INTERFACE` or both";

/// Reads a route.
///
/// # Errors
/// The first word that makes no sense.
pub(crate) fn route(words: &[&str]) -> Result<Route, Wrong> {
    let mut reader = Reader::new(words);
    let mut draft = RouteDraft::default();
    while let Some(word) = reader.next() {
        draft.word(word, &mut reader)?;
    }
    draft.finish(&reader)
}

/// A route as far as it is read.
struct RouteDraft {
    route: Route,
    destination: Option<Network>,
    /// The way written without `nexthop`.
    hop: NextHop,
    /// Gateways after `or`.
    others: Vec<NextHop>,
}

impl Default for RouteDraft {
    fn default() -> Self {
        let everything = Network { ip: [0; 4].into(), prefix_len: 0 };
        Self { route: Route::new(everything), destination: None, hop: NextHop::default(), others: Vec::new() }
    }
}

impl RouteDraft {
    fn word(&mut self, word: &str, reader: &mut Reader<'_>) -> Result<(), Wrong> {
        let route = &mut self.route;
        match word {
            "to" => self.destination = Some(reader.network()?),
            "via" | "gw" => self.hop.gateway = Some(reader.ip()?),
            "or" => self.others.push(NextHop { gateway: Some(reader.ip()?), ..NextHop::default() }),
            "dev" | "oif" => self.hop.dev = Some(reader.interface()?),
            "onlink" => self.hop.onlink = true,
            "nexthop" => route.next_hops.push(next_hop(reader)?),
            "src" | "from" => route.source = Some(reader.ip()?),
            "scope" => {
                route.scope =
                    Some(reader.value("`global`, `site`, `link`, `host`, `nowhere` or a number", scope)?);
            }
            "table" => route.table = reader.table()?,
            "metric" | "priority" | "preference" => route.metric = reader.number(u32::MAX)?,
            "tos" | "dsfield" => route.tos = reader.byte()?,
            "no_track" => route.no_track = true,
            "inet" => {}
            _ => return self.other(word, reader),
        }
        Ok(())
    }

    /// A kind, a setting for TCP, or the destination itself.
    fn other(&mut self, word: &str, reader: &mut Reader<'_>) -> Result<(), Wrong> {
        if let Some((_, kind)) = RouteKind::NAMES.iter().find(|(name, _)| *name == word) {
            self.route.kind = *kind;
        } else if let Some((_, number)) = RouteMetric::NAMES.iter().find(|(name, _)| *name == word) {
            let lock = reader.skip("lock");
            let value = reader.number(u32::MAX)?;
            self.route.metrics.push(RouteMetric { number: *number, value, lock });
        } else if self.destination.is_none() {
            self.destination = Some(reader.as_network(word)?);
        } else {
            return Err(reader.unknown(word, "a route"));
        }
        Ok(())
    }

    fn finish(self, reader: &Reader<'_>) -> Result<Route, Wrong> {
        let Self { mut route, destination, hop, others } = self;
        route.destination = destination.ok_or_else(|| {
            reader.lacking("the route has no destination", "write `NETWORK/LENGTH` or `default`")
        })?;
        if hop != NextHop::default() {
            let dev = hop.dev.clone();
            let others = others.into_iter().map(|other| NextHop { dev: dev.clone(), ..other });
            route.next_hops.splice(0..0, std::iter::once(hop).chain(others));
        } else if !others.is_empty() {
            return Err(reader.lacking("`or` without `via` before it", NO_WAY));
        }
        match (route.kind, route.next_hops.is_empty()) {
            (RouteKind::Unicast, true) => Err(reader.lacking("the route leads nowhere", NO_WAY)),
            (RouteKind::Unicast, false) | (_, true) => Ok(route),
            (_, false) => Err(reader.lacking(
                "a route that sends nothing has no `via` or `dev`",
                "remove these words, or the kind",
            )),
        }
    }
}

/// `via IP dev IF weight N onlink`, in any order, until a word that is none of these.
fn next_hop(reader: &mut Reader<'_>) -> Result<NextHop, Wrong> {
    let mut hop = NextHop::default();
    loop {
        match reader.peek() {
            Some("via" | "gw") => {
                reader.next();
                reader.skip("inet");
                hop.gateway = Some(reader.ip()?);
            }
            Some("dev" | "oif") => {
                reader.next();
                hop.dev = Some(reader.interface()?);
            }
            Some("weight") => {
                reader.next();
                hop.weight = reader.number(256)?.max(1) as u16;
            }
            Some("onlink") => {
                reader.next();
                hop.onlink = true;
            }
            _ if hop.gateway.is_none() && hop.dev.is_none() => {
                return Err(reader.lacking("`nexthop` leads nowhere", NO_WAY));
            }
            _ => return Ok(hop),
        }
    }
}

/// Reads a rule.
///
/// # Errors
/// The first word that makes no sense.
pub(crate) fn rule(words: &[&str]) -> Result<Rule, Wrong> {
    let mut reader = Reader::new(words);
    let mut rule = Rule::new(RuleAction::Blackhole);
    let mut action = None;
    while let Some(word) = reader.next() {
        match word {
            "not" => rule.not = true,
            "from" => rule.from = Some(reader.network()?).filter(|from| from.prefix_len > 0),
            "to" => rule.to = Some(reader.network()?).filter(|to| to.prefix_len > 0),
            "tos" | "dsfield" => rule.tos = reader.byte()?,
            "fwmark" => {
                rule.mark = Some(reader.value("MARK or MARK/MASK", mark)?);
            }
            "iif" | "dev" => rule.iif = Some(reader.interface()?),
            "oif" => rule.oif = Some(reader.interface()?),
            "ipproto" => rule.ip_protocol = Some(reader.value("tcp, udp, icmp, sctp or a number", protocol)?),
            "sport" => rule.sport = Some(reader.value("PORT or FIRST-LAST", span)?),
            "dport" => rule.dport = Some(reader.value("PORT or FIRST-LAST", span)?),
            "uidrange" => rule.uids = Some(reader.value("FIRST-LAST", span)?),
            "suppress_prefixlength" | "suppress_prefixlen" | "sup_pl" => {
                rule.suppress_prefix_len = Some(reader.number(32)? as u8);
            }
            "priority" | "preference" | "order" | "pref" => rule.priority = Some(reader.number(u32::MAX)?),
            "table" | "lookup" => action = Some(RuleAction::Table(reader.table()?)),
            "type" | "inet" | "unicast" => {}
            "blackhole" => action = Some(RuleAction::Blackhole),
            "unreachable" => action = Some(RuleAction::Unreachable),
            "prohibit" => action = Some(RuleAction::Prohibit),
            "no_track" => rule.no_track = true,
            _ => return Err(reader.unknown(word, "a rule")),
        }
    }
    let lacking = || reader.lacking("the rule does nothing", "write `table TABLE`");
    rule.action = action.ok_or_else(lacking)?;
    Ok(rule)
}

fn mark(text: &str) -> Option<(u32, u32)> {
    match text.split_once('/') {
        Some((mark, mask)) => Some((reader::number(mark)?, reader::number(mask)?)),
        None => Some((reader::number(text)?, u32::MAX)),
    }
}

fn protocol(text: &str) -> Option<u8> {
    Some(match text {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        number => number.parse().ok().filter(|number| *number > 0)?,
    })
}

fn span<T: std::str::FromStr + PartialOrd + Copy>(text: &str) -> Option<Span<T>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let span = Span { first: first.parse().ok()?, last: last.parse().ok()? };
    (span.first <= span.last).then_some(span)
}

#[cfg(test)]
mod tests;
