//! What gets lost on the way from the kernel: answers, and services that a listing leaves out.

use super::{DOUBT, Hands, Kernel};
use crate::lvs::table::Table;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{ServiceEntry, ServiceKey};
use std::collections::BTreeMap;
use std::time::Instant;

impl<K: Kernel, O: FnMut() -> Result<K, NetError>> Hands<K, O> {
    /// The kernel does not answer as it should: begin again.
    pub(super) fn lost(&mut self, error: &NetError) {
        self.counts.lost.add_one();
        self.say_lost(error);
        self.kernel = None;
        self.known = Table::new();
        self.next = Instant::now() + DOUBT;
    }

    /// Says once that answers are missing, until all is well again.
    pub(super) fn say_lost(&mut self, error: &NetError) {
        self.lost = true;
        self.looked = None; // what differs now is nobody's fault
        if !std::mem::replace(&mut self.deaf, true) {
            let text = format!("answers of the kernel were lost: {error}; its table is read back and mended");
            self.say(true, text);
        }
    }
}

/// All services. A listing in pieces counts those of every network namespace: while some come or go in
/// another one, ours may be left out or be listed twice. Who seems to be gone is looked for again.
pub(super) fn listed<K: Kernel>(
    kernel: &mut K,
    known: &Table,
) -> Result<BTreeMap<ServiceKey, ServiceEntry>, NetError> {
    let keyed = |entry: ServiceEntry| (entry.spec.key, entry);
    let mut found: BTreeMap<_, _> = kernel.services()?.into_iter().map(keyed).collect();
    if known.keys().any(|key| !found.contains_key(key)) {
        found.extend(kernel.services()?.into_iter().map(keyed));
    }
    Ok(found)
}
