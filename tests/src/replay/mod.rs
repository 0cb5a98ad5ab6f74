//! What real daemons said, read back: capture files, their descriptions, and a machine that listens
//! to a capture in a daemon's place.
//!
//! ```text
//!   NAME.pcap -> pcap -> IPv4 packets -> wire::v2::parse -> receive::check
//!   NAME.json -> sidecar: who is who, what was done when, what was injected
//!                    `-> shadow: a Machine in a node's place; when would it have spoken?
//! ```

pub mod fixture;
pub mod pcap;
pub mod shadow;
pub mod sidecar;

use hacluster_core::vrid::Vrid;
use hacluster_core::wire::Auth;
use hacluster_core::wire::v2::{Advert, Outgoing, Template};
use hacluster_core::{interval::Seconds, wire::ipv4};

/// The VRRP bytes that we would send for `advert`; `None` if it says what we never say.
pub fn emit_again(advert: &Advert<'_>) -> Option<Vec<u8>> {
    let auth = match advert.auth_type {
        0 => Auth::None,
        1 => Auth::Pass(advert.auth_data),
        _ => return None,
    };
    let mut template = Template::new(&Outgoing {
        source: advert.source,
        destination: advert.destination,
        vrid: Vrid::new(advert.vrid.get())?,
        interval: Seconds::new(advert.interval_secs)?,
        auth,
        addresses: advert.addresses().collect(),
    });
    template.with_priority(advert.priority).get(ipv4::HEADER_LEN..).map(<[u8]>::to_vec)
}
