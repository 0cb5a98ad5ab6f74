//! What is known of a check that begins: from whoever looked before.
//!
//! ```text
//!   the same try at other times -> what is known of that one goes on
//!   another one of a server     -> good where that server was up, bad where it was down
//!   a predecessor's table       -> good where the server is in it, bad where it was taken out
//!   nothing                     -> unknown: `alpha` decides
//! ```
//!
//! Contract: a check that several servers use is judged by all of them. Up at any of them is good: nobody
//! loses connections because of a reload. Nobody who was down is back because of one, either.

use super::desk::{Watched, is_up};
use super::orders::{Orders, Place};
use super::service::Live;
use super::table::{self, Table};
use hacluster_conf::model::lvs::{Check, CheckKind, CheckRoute, RealServer, VirtualServer};
use hacluster_core::balance::{Adjust, Look};
use hacluster_core::health::Verdict;
use std::collections::HashMap;
use std::sync::Arc;

/// Which server of which service, and the position among its checks.
pub(super) type User = (usize, usize, usize);

/// Everything that was known before another configuration.
pub(super) struct Before<'a> {
    services: HashMap<&'a str, &'a Live>,
    checks: &'a HashMap<Arc<Check>, Watched>,
    /// One for each try, whatever its times.
    tries: HashMap<(&'a CheckKind, &'a CheckRoute), &'a Arc<Check>>,
    orders: &'a Orders,
    inherited: &'a Table,
}

impl<'a> Before<'a> {
    pub(super) fn new(
        services: &'a [Live],
        checks: &'a HashMap<Arc<Check>, Watched>,
        orders: &'a Orders,
        inherited: &'a Table,
    ) -> Self {
        let services = services.iter().map(|live| (live.config.name.as_str(), live)).collect();
        let tries = checks.keys().map(|check| ((&check.kind, &check.route), check)).collect();
        Self { services, checks, tries, orders, inherited }
    }

    /// A check as it goes on, or begins, for `users` of `services`.
    pub(super) fn watched(
        &self,
        check: &Check,
        users: Vec<User>,
        services: &[Arc<VirtualServer>],
    ) -> (Arc<Check>, Watched) {
        if let Some((key, known)) = self.checks.get_key_value(check) {
            return (key.clone(), Watched { users, before: None, ..known.clone() });
        }
        let key = Arc::new(check.clone());
        if let Some(before) = self.at_other_times(check, &users, services) {
            let known = &self.checks[before];
            let verdict = match known.verdict {
                Verdict::Unknown if is_up(check, Verdict::Unknown) != known.look.up => said(known.look.up),
                verdict => verdict,
            };
            return (key, Watched { users, verdict, before: Some(before.clone()), ..known.clone() });
        }
        let (mut up, mut adjust) = (None, None);
        for (service, server, _) in &users {
            let (of, real) = (&services[*service], &services[*service].servers[*server]);
            let (was, asked) =
                self.of_server(check, of, real).unwrap_or_else(|| self.of_table(check, of, real));
            up = up.max(was);
            adjust = adjust.or(asked);
        }
        let verdict = up.map_or(Verdict::Unknown, said);
        let look = Look { up: is_up(check, verdict), adjust };
        (key, Watched { users, verdict, look, seen: None, before: None })
    }

    /// The same try with other times: first of the servers that use it, then of anybody.
    fn at_other_times(
        &self,
        check: &Check,
        users: &[User],
        services: &[Arc<VirtualServer>],
    ) -> Option<&'a Arc<Check>> {
        let theirs = users.iter().find_map(|(service, server, _)| {
            let of = &services[*service];
            let (former, number) = self.former(of, &of.servers[*server])?;
            let like = former.config.servers.get(number)?.checks.iter().find(|known| known.is_like(check))?;
            Some(self.checks.get_key_value(like)?.0)
        });
        theirs.or_else(|| self.tries.get(&(&check.kind, &check.route)).copied())
    }

    fn former(&self, of: &VirtualServer, real: &RealServer) -> Option<(&'a Live, usize)> {
        let former = self.services.get(of.name.as_str())?;
        Some((former, former.config.servers.iter().position(|known| known.to == real.to)?))
    }

    /// Whether the server was up, and what weight its checks asked for; `None` when it is a new one.
    fn of_server(
        &self,
        check: &Check,
        of: &VirtualServer,
        real: &RealServer,
    ) -> Option<(Option<bool>, Option<Adjust>)> {
        let (former, number) = self.former(of, real)?;
        let state = former.state.servers().get(number)?;
        let set = |look: &Look| look.adjust.filter(|adjust| matches!(adjust, Adjust::Set(_)));
        let adjust = state.counted().iter().find_map(set).filter(|_| is_dynamic(check));
        Some((Some(state.is_up()), adjust))
    }

    /// The same, as a predecessor's table says: in any of its rows is up.
    fn of_table(
        &self,
        check: &Check,
        of: &VirtualServer,
        real: &RealServer,
    ) -> (Option<bool>, Option<Adjust>) {
        let place = Place { service: of.name.clone(), server: real.to };
        let is_ordered = self.orders.of(&place).is_some();
        let (mut up, mut adjust) = (None, None);
        for frontend in &of.frontends {
            let Some(row) = self.inherited.get(&table::service_key(frontend)) else { continue };
            let found = row.servers.get(&table::server_key(frontend, real.to, real.forwarding));
            let inhibited = real.inhibit_on_failure && real.weight > 0 && !is_ordered;
            let is_in = found.is_some_and(|found| found.weight > 0 || !inhibited);
            up = up.max(Some(is_in));
            // Differences of several add up: all of it is the first one's.
            let first = real.checks.iter().find(|check| is_dynamic(check)) == Some(check);
            let odd = |weight: &u32| *weight != u32::from(real.weight) && first && !is_ordered;
            let weight = found.map(|found| found.weight).filter(odd);
            adjust = adjust.or(weight.map(|weight| Adjust::Set(u16::try_from(weight).unwrap_or(u16::MAX))));
        }
        (up, adjust)
    }
}

fn said(up: bool) -> Verdict {
    if up { Verdict::Good } else { Verdict::Bad }
}

fn is_dynamic(check: &Check) -> bool {
    matches!(check.kind, CheckKind::Misc { dynamic: true, .. })
}
