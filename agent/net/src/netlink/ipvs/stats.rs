//! What a service or real server did: totals, and rates as the kernel estimates them.

use crate::netlink::frame::attributes;

/// Counters since the service or server was added or zeroed, and rates over the last seconds.
///
/// On kernels before 4.1 counters of connections and packets, and all rates, start again at 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients, as far as they come back through here.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients, as far as they come back through here.
    pub bytes_out: u64,
    /// Connections per second.
    pub connections_per_s: u64,
    /// Packets from clients per second.
    pub packets_in_per_s: u64,
    /// Packets to clients per second.
    pub packets_out_per_s: u64,
    /// Bytes from clients per second.
    pub bytes_in_per_s: u64,
    /// Bytes to clients per second.
    pub bytes_out_per_s: u64,
}

impl Stats {
    /// From the content of a `STATS` or `STATS64` attribute; what is missing is zero.
    pub(super) fn parse(stats: &[u8]) -> Self {
        let mut found = Self::default();
        attributes(stats, &mut |kind, value| {
            let field = match kind {
                1 => &mut found.connections,
                2 => &mut found.packets_in,
                3 => &mut found.packets_out,
                4 => &mut found.bytes_in,
                5 => &mut found.bytes_out,
                6 => &mut found.connections_per_s,
                7 => &mut found.packets_in_per_s,
                8 => &mut found.packets_out_per_s,
                9 => &mut found.bytes_in_per_s,
                10 => &mut found.bytes_out_per_s,
                _ => return,
            };
            *field = counter(value).unwrap_or_default();
        });
        found
    }
}

/// Native, 64 bits or, in the older attribute, mostly 32.
fn counter(value: &[u8]) -> Option<u64> {
    if let Ok(long) = value.try_into() {
        return Some(u64::from_ne_bytes(long));
    }
    Some(u32::from_ne_bytes(value.try_into().ok()?).into())
}
