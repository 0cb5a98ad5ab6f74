//! Whom to ask for a move: the virtual router as all nodes see it, and the node that decides.
//!
//! ```text
//!   typed name --> cast: every node that runs it --> ruling node       --> ask it
//!                                                \-> master without an agent --> ask the target
//!                                                \-> two masters, none --> only words
//! ```
//!
//! Contract: pure; goes by what the nodes answered. Whether a move is right, the agents decide.

use crate::Usage;
use crate::client::NodeError;
use hacluster_proto::v1;
use std::fmt;
use std::net::IpAddr;

/// One node as it answered.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its place among the members of the cluster.
    pub(crate) member: usize,
    /// Name in the context.
    pub(crate) alias: String,
    pub(crate) snapshot: Result<v1::GetSnapshotResponse, NodeError>,
}

impl Known {
    /// What the node calls itself; the name in the context while it does not answer.
    pub(crate) fn name(&self) -> &str {
        let own = self.snapshot.as_ref().ok().and_then(|snapshot| snapshot.node.as_ref());
        own.map(|node| node.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(&self.alias)
    }

    fn routers(&self) -> &[v1::VirtualRouter] {
        self.snapshot.as_ref().map_or(&[], |snapshot| &snapshot.routers)
    }

    fn peers(&self) -> impl Iterator<Item = &v1::PeerLink> {
        self.snapshot.iter().filter_map(|snapshot| snapshot.node.as_ref()).flat_map(|node| &node.peers)
    }
}

/// A virtual router on one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) member: usize,
    pub(crate) node: &'a str,
    pub(crate) router: &'a v1::VirtualRouter,
}

impl Part<'_> {
    fn holds_to(&self) -> Option<&str> {
        let hold = self.router.hold.as_ref()?;
        (hold.kind() == v1::HoldKind::Failover).then_some(hold.to_node.as_str())
    }
}

/// `node1 Master (priority 100)`.
impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.router.state() {
            v1::State::Unspecified => "in an unknown state",
            v1::State::Initialize => "not running yet",
            v1::State::Backup => "Backup",
            v1::State::Master => "Master",
            v1::State::Fault => "in Fault",
        };
        write!(f, "{} {state} (priority {})", self.node, self.router.priority_effective)
    }
}

/// A virtual router on all nodes that answered; at least one part.
#[derive(Debug)]
pub(crate) struct Cast<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    /// Nodes that did not answer, and why.
    pub(crate) silent: Vec<(&'a str, &'a NodeError)>,
}

/// Whom to ask, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) member: usize,
    /// Name of the node asked.
    pub(crate) node: String,
    /// The router's name there.
    pub(crate) router: String,
    /// Empty for the best.
    pub(crate) to_node: String,
}

/// Why nobody is asked, in words with the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declined(pub(crate) String);

/// The router that `typed` means, on every node.
///
/// # Errors
/// [`Usage`]: no such router, or several; [`NodeError::Unreachable`] when a node that did not answer
/// may have it.
pub(crate) fn cast<'a>(typed: &str, nodes: &'a [Known]) -> anyhow::Result<Cast<'a>> {
    let silent: Vec<_> =
        nodes.iter().filter_map(|node| Some((node.name(), node.snapshot.as_ref().err()?))).collect();
    if silent.len() == nodes.len() {
        return Err(nobody(&silent).into());
    }
    let all = || {
        nodes.iter().flat_map(|node| {
            let part = |router| Part { member: node.member, node: node.name(), router };
            node.routers().iter().map(part)
        })
    };
    let mut named: Vec<_> = all().filter(|part| part.router.name == typed).collect();
    if named.is_empty() {
        named = all().filter(|part| part.router.name.eq_ignore_ascii_case(typed)).collect();
    }
    let Some(first) = named.first().copied() else {
        let mut names: Vec<String> = all().map(|part| part.router.name.clone()).collect();
        names.sort();
        names.dedup();
        let usage =
            crate::view::find("virtual router", typed, &names).err().map(|usage| usage.0).unwrap_or_default();
        if silent.is_empty() {
            return Err(Usage(usage).into());
        }
        return Err(
            NodeError::Unreachable(format!("{usage}; it may run where {}", no_answer(&silent))).into()
        );
    };
    let mut on_one_node = named.windows(2).filter(|pair| pair[0].member == pair[1].member);
    if named.iter().any(|part| part.router.vrid != first.router.vrid) || on_one_node.next().is_some() {
        return Err(ambiguous(typed, &named).into());
    }
    let same = |part: &Part<'_>| {
        part.router.vrid == first.router.vrid
            && (part.router.name.eq_ignore_ascii_case(typed)
                || advertised(part.router) == advertised(first.router))
    };
    Ok(Cast { parts: all().filter(same).collect(), silent })
}

fn ambiguous(typed: &str, named: &[Part<'_>]) -> Usage {
    let of = |part: &Part<'_>| format!("{} (VRID {}) on {}", part.router.name, part.router.vrid, part.node);
    let list: Vec<_> = named.iter().map(of).collect();
    Usage(format!(
        "`{typed}` could be any of: {}; write it as it stands there, or name one node with --socket",
        list.join(", ")
    ))
}

fn advertised(router: &v1::VirtualRouter) -> Vec<&str> {
    let mut all: Vec<_> = router.addresses.iter().filter(|of| of.advertised).map(|of| &*of.address).collect();
    all.sort_unstable();
    all
}

/// Why there is nobody to ask: in the words of the only node there is, else a line for each.
fn nobody(silent: &[(&str, &NodeError)]) -> NodeError {
    if let [(_, error)] = silent {
        return (*error).clone();
    }
    let lines: String = silent.iter().map(|(node, error)| format!("\n  {node}: {error}")).collect();
    NodeError::Unreachable(format!("no node answers:{lines}"))
}

/// `node2 does not answer (...), node3 does not answer (...)`.
pub(crate) fn no_answer(silent: &[(&str, &NodeError)]) -> String {
    let one = |(node, error): &(&str, &NodeError)| format!("{node} does not answer ({error})");
    silent.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The node that `typed` means, as agents call it; an address of a node without an agent stays one.
///
/// # Errors
/// [`Usage`]: nobody knows such a node.
pub(crate) fn target(typed: &str, nodes: &[Known], cast: &Cast<'_>) -> Result<String, Usage> {
    if let Ok(address) = typed.parse::<IpAddr>() {
        let has_it = |part: &&Part<'_>| part.router.source.parse() == Ok(address);
        let agent = cast.parts.iter().find(has_it).map(|part| part.node.to_owned());
        return Ok(agent.unwrap_or_else(|| address.to_string()));
    }
    let own = nodes.iter().flat_map(|node| [(node.name(), node.name()), (&*node.alias, node.name())]);
    let peers = nodes.iter().flat_map(Known::peers).map(|peer| (&*peer.name, &*peer.name));
    let all: Vec<_> = own.chain(peers).collect();
    let exact = all.iter().find(|(called, _)| *called == typed);
    let alike = || all.iter().find(|(called, _)| called.eq_ignore_ascii_case(typed));
    if let Some((_, name)) = exact.or_else(alike) {
        return Ok((*name).to_owned());
    }
    let mut names: Vec<_> = all.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    Err(Usage(format!(
        "no node is called `{typed}`; there are: {}. A node without an agent is named by its address",
        names.join(", ")
    )))
}

/// Those of `called` that `names` mean, regardless of case.
///
/// # Errors
/// [`Usage`]: no such node.
pub(crate) fn pick<'a>(names: &[String], called: &'a [String], local: bool) -> Result<Vec<&'a str>, Usage> {
    let find = |typed: &String| {
        let exact = called.iter().find(|name| *name == typed);
        let found = exact.or_else(|| called.iter().find(|name| name.eq_ignore_ascii_case(typed)));
        found.map(String::as_str).ok_or_else(|| {
            let there = called.join(", ");
            Usage(if local {
                format!(
                    "no node is called `{typed}`: only this one, {there}, is known here. The others need a context: \
                     haclusterctl context --help"
                )
            } else {
                format!("no node is called `{typed}`; there are: {there}")
            })
        })
    };
    names.iter().map(find).collect()
}

impl<'a> Cast<'a> {
    fn masters(&self) -> Vec<Part<'a>> {
        let masters = self.parts.iter().filter(|part| part.router.state() == v1::State::Master);
        masters.copied().collect()
    }

    pub(crate) fn part(&self, node: &str) -> Option<&Part<'a>> {
        self.parts.iter().find(|part| part.node == node)
    }

    /// As most nodes call it.
    pub(crate) fn name(&self) -> &str {
        self.parts.first().map_or("", |part| &part.router.name)
    }

    /// Addresses for words: `192.0.2.1`, `192.0.2.1 and 192.0.2.2`, `all 4 addresses`; and whether they
    /// are several.
    pub(crate) fn addresses(&self) -> (String, bool) {
        let of = self.parts.first().map(|part| advertised(part.router)).unwrap_or_default();
        let bare: Vec<_> = of.iter().map(|address| address.split('/').next().unwrap_or(address)).collect();
        match bare[..] {
            [] => ("its address".to_owned(), false),
            [one] => (one.to_owned(), false),
            [one, other] => (format!("{one} and {other}"), true),
            _ => (format!("all {} addresses", bare.len()), true),
        }
    }

    fn ask(part: &Part<'_>, to_node: &str) -> Ask {
        Ask {
            member: part.member,
            node: part.node.to_owned(),
            router: part.router.name.clone(),
            to_node: to_node.to_owned(),
        }
    }

    /// Whom to ask for a failover to `to_node`, which is empty for the best.
    pub(crate) fn failover(&self, to_node: &str) -> Result<Ask, Declined> {
        match self.masters()[..] {
            [] => self.without_master(to_node),
            [master] => Ok(Self::ask(&master, to_node)),
            [..] if to_node.is_empty() => Err(self.two_masters()),
            [first, ..] => {
                // Whoever is to keep it cannot be the one that gives it away.
                let other = self.masters().into_iter().find(|master| master.node != to_node);
                Ok(Self::ask(&other.unwrap_or(first), to_node))
            }
        }
    }

    fn two_masters(&self) -> Declined {
        let name = self.name();
        let list: Vec<_> = self.masters().iter().map(Part::to_string).collect();
        Declined(format!(
            "{name} has {} masters: {}. They do not hear each other: mend the network between them, or say who \
             shall rule with --to NODE. More: haclusterctl status {name}",
            list.len(),
            list.join(", ")
        ))
    }

    /// The master runs no agent, or its agent does not answer; or there is none.
    fn without_master(&self, to_node: &str) -> Result<Ask, Declined> {
        let backups = || self.parts.iter().filter(|part| part.router.state() == v1::State::Backup);
        let best = backups().max_by_key(|part| {
            let hears = !part.router.master_address.is_empty();
            (hears, part.router.hold.is_none(), part.router.priority_effective)
        });
        if let Some(part) = self.part(to_node).or(best) {
            return Ok(Self::ask(part, to_node));
        }
        let name = self.name();
        let list: Vec<_> = self.parts.iter().map(Part::to_string).collect();
        let silent =
            if self.silent.is_empty() { String::new() } else { format!("; {}", no_answer(&self.silent)) };
        Err(Declined(format!(
            "nobody that answers rules {name} or could: {}{silent}. Why: haclusterctl events {name}",
            list.join(", ")
        )))
    }

    /// Whom to ask for the way back: who holds back in favour of the master, else who holds back, else
    /// who rules.
    pub(crate) fn failback(&self) -> Result<Ask, Declined> {
        let masters = self.masters();
        let rules = |node: &str| masters.iter().any(|master| master.node == node);
        let holders = || self.parts.iter().filter(|part| part.holds_to().is_some());
        let holder = holders().find(|part| part.holds_to().is_some_and(rules)).or_else(|| holders().next());
        match (holder, &masters[..]) {
            (Some(holder), _) => Ok(Self::ask(holder, "")),
            (None, [master]) => Ok(Self::ask(master, "")),
            (None, []) => self.without_master(""),
            (None, _) => Err(self.two_masters()),
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
