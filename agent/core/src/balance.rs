//! Which servers of a virtual server take connections, with which weight, and who answers when too few do.
//!
//! ```text
//!   looks of all checks --> server up? --.
//!   configured weight, dynamic one,       +--> sum of weights --> quorum? --> who is in the kernel's table
//!   operator's order ---> weight --------'                                    and with which weight
//! ```
//!
//! keepalived's rules: all checks of a server must be good; the quorum is reached at `quorum +
//! hysteresis` and lost below `quorum - hysteresis`, or when nothing is left; while it is lost the sorry
//! server, if there is one, replaces whoever is left.
//!
//! Contract: pure. [`Service::look`], [`Service::order`] and [`Service::suspend`] only write down;
//! [`Service::settle`] decides once for all of them and says what changed. Out of range positions are
//! ignored.

use alloc::vec::Vec;

/// What a check asks of a server's weight beside up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjust {
    /// Exactly this (`misc_dynamic`). Of several the differences to the configured weight add up.
    Set(u16),
    /// So much more or less than it would be (`FILE_CHECK`). Of several the sum counts.
    Add(i32),
}

/// What one check says of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// As far as this check goes, it can take connections.
    pub up: bool,
    /// What it says of the weight.
    pub adjust: Option<Adjust>,
}

/// What a server is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerRules {
    /// The configured one.
    pub weight: u16,
    /// Weight 0 instead of removal when it is down.
    pub inhibit: bool,
}

/// What a virtual server is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least sum of weights.
    pub quorum: u32,
    /// How far above to reach it and below to lose it.
    pub hysteresis: u32,
    /// Whether somebody answers while the quorum is lost.
    pub sorry: Option<Sorry>,
}

/// Where a sorry server is while it is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorry {
    /// Not in the table.
    Absent,
    /// In the table with weight 0.
    Inhibited,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    rules: ServerRules,
    /// The latest of each check.
    looks: Vec<Look>,
    /// Those that count: the latest, or those from before the rest.
    counted: Vec<Look>,
    operator: Option<u16>,
    up: bool,
    weight: u16,
}

impl Server {
    /// One of which its checks say `looks`; the operator wants weight `operator`, if anything.
    pub fn new(rules: ServerRules, looks: Vec<Look>, operator: Option<u16>) -> Self {
        let counted = looks.clone();
        let mut server = Self { rules, looks, counted, operator, up: false, weight: 0 };
        (server.up, server.weight) = server.now();
        server
    }

    /// The same, settled before as `up` and with `weight`: [`Service::settle`] says what is different.
    #[must_use]
    pub fn settled(self, up: bool, weight: u16) -> Self {
        Self { up, weight, ..self }
    }

    /// Whether it can take connections, as last settled.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// The weight in force, as last settled: the operator's, or a dynamic one, or the configured one.
    pub fn weight(&self) -> u16 {
        self.weight
    }

    /// The operator's order.
    pub fn operator(&self) -> Option<u16> {
        self.operator
    }

    /// Positions of checks that keep it down.
    pub fn failing(&self) -> impl Iterator<Item = usize> + '_ {
        self.counted.iter().enumerate().filter(|(_, look)| !look.up).map(|(position, _)| position)
    }

    /// What counts of each check, in their order.
    pub fn counted(&self) -> &[Look] {
        &self.counted
    }

    /// Up, and weight, by what counts now.
    fn now(&self) -> (bool, u16) {
        (self.counted.iter().all(|look| look.up), self.operator.unwrap_or_else(|| self.dynamic()))
    }

    fn dynamic(&self) -> u16 {
        let base = i64::from(self.rules.weight);
        let adjusts = self.counted.iter().filter_map(|look| look.adjust);
        let more = adjusts.map(|adjust| match adjust {
            Adjust::Set(weight) => i64::from(weight) - base,
            Adjust::Add(more) => i64::from(more),
        });
        more.fold(base, i64::saturating_add).clamp(0, u16::MAX.into()) as u16
    }
}

/// What [`Service::settle`] found to be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server at this position came or went.
    Server {
        /// Position.
        server: usize,
        /// It came.
        up: bool,
    },
    /// The weight in force of the server at this position is another one.
    Weight {
        /// Position.
        server: usize,
        /// Before.
        from: u16,
        /// Now.
        to: u16,
    },
    /// The quorum was reached or lost.
    Quorum {
        /// It was reached.
        up: bool,
    },
}

/// A virtual server with its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    rules: Rules,
    servers: Vec<Server>,
    quorum: bool,
    suspended: bool,
}

impl Service {
    /// One of which nothing is known but `servers`. Where there was one before, `quorum` is whether that
    /// one had it: [`Self::settle`] then says what is different. Without, the quorum itself decides and
    /// the hysteresis counts from then on.
    pub fn new(rules: Rules, servers: Vec<Server>, quorum: Option<bool>) -> Self {
        let mut service = Self { rules, servers, quorum: false, suspended: false };
        service.quorum = quorum.unwrap_or_else(|| service.sum() >= u64::from(rules.quorum.max(1)));
        service
    }

    /// The servers, in their order.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether the service is up, as last settled.
    pub fn has_quorum(&self) -> bool {
        self.quorum
    }

    /// Whether its checks rest.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Sum of the weights of all servers that are up.
    pub fn sum(&self) -> u64 {
        self.servers.iter().filter(|server| server.up).map(|server| u64::from(server.weight)).sum()
    }

    /// The sum at which the quorum is reached while it is lost, or below which it is lost while it is
    /// there.
    pub fn threshold(&self) -> u64 {
        let Rules { quorum, hysteresis, .. } = self.rules;
        let (quorum, hysteresis) = (u64::from(quorum), u64::from(hysteresis));
        let threshold = if self.quorum { quorum.saturating_sub(hysteresis) } else { quorum + hysteresis };
        threshold.max(1)
    }

    /// What check number `check` of server number `server` says.
    pub fn look(&mut self, server: usize, check: usize, look: Look) {
        let suspended = self.suspended;
        let Some(server) = self.servers.get_mut(server) else { return };
        if let Some(latest) = server.looks.get_mut(check) {
            *latest = look;
        }
        if !suspended && let Some(counted) = server.counted.get_mut(check) {
            *counted = look;
        }
    }

    /// What the operator wants of server number `server`: a weight (0 drains it), or nothing any more.
    pub fn order(&mut self, server: usize, weight: Option<u16>) {
        if let Some(server) = self.servers.get_mut(server) {
            server.operator = weight;
        }
    }

    /// Whether what checks say counts. While suspended, what counted last goes on to count; then the latest.
    pub fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
        if !suspended {
            self.servers.iter_mut().for_each(|server| server.counted.clone_from(&server.looks));
        }
    }

    /// Decides, and says what is different from before: servers in their order, then the quorum.
    pub fn settle(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (position, server) in self.servers.iter_mut().enumerate() {
            let (up, weight) = server.now();
            if core::mem::replace(&mut server.up, up) != up {
                changes.push(Change::Server { server: position, up });
            }
            let from = core::mem::replace(&mut server.weight, weight);
            if from != weight {
                changes.push(Change::Weight { server: position, from, to: weight });
            }
        }
        let up = self.sum() >= self.threshold();
        if core::mem::replace(&mut self.quorum, up) != up {
            changes.push(Change::Quorum { up });
        }
        changes
    }

    /// Weight of server number `server` in the kernel's table; `None` when it is not in there.
    pub fn destination(&self, server: usize) -> Option<u16> {
        let server = self.servers.get(server)?;
        let replaced = !self.quorum && self.rules.sorry.is_some();
        if server.up && !replaced {
            return Some(server.weight);
        }
        // Who takes nothing new anyway keeps the connections it has: a drain must not cut them.
        let drained = server.up && server.weight == 0;
        (drained || server.rules.inhibit).then_some(0)
    }

    /// Weight of the sorry server in the kernel's table; `None` when it is not in there.
    pub fn sorry(&self) -> Option<u16> {
        match (self.rules.sorry?, self.quorum) {
            (_, false) => Some(1),
            (Sorry::Inhibited, true) => Some(0),
            (Sorry::Absent, true) => None,
        }
    }
}

#[cfg(test)]
mod tests;
