//! Virtual routers as configured.

use super::command::Notify;
use super::track::Tracked;
use hacluster_core::{interval::Seconds, priority::Priority, time::Duration, vrid::Vrid};
use std::fmt;
use std::net::Ipv4Addr;

/// One VRRPv2 virtual router on this node (`vrrp_instance`).
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualRouter {
    /// Name as written, unique; front ends warn about names that differ in case only.
    pub name: String,
    /// The interface that adverts leave by.
    pub interface: String,
    /// Number on the network.
    pub vrid: Vrid,
    /// The state to start from; only shortens the first wait, priority decides.
    pub initial_state: InitialState,
    /// Base priority, 1 to 255.
    pub priority: Priority,
    /// Time between adverts; all nodes must agree.
    pub advert_interval: Seconds,
    /// Whether a higher priority takes over from a living master.
    pub preemption: Preemption,
    /// What the packets carry to tell friend from neighbour.
    pub authentication: Authentication,
    /// Addresses in the adverts, in the order written; at most 255.
    pub addresses: Vec<Address>,
    /// Addresses held with the others but not advertised.
    pub excluded: Vec<Address>,
    /// Routes held with the addresses: set after them, removed before them.
    pub routes: Vec<super::Route>,
    /// Policy rules held with the addresses, set after the routes.
    pub rules: Vec<super::Rule>,
    /// Group the adverts go to.
    pub mcast_group: Ipv4Addr,
    /// Source of adverts; `None` is the interface's first address that is not virtual.
    pub source: Option<Ipv4Addr>,
    /// Gratuitous ARP.
    pub garp: Garp,
    /// Adverts that may be missed before the master counts as down (RFC: 3), 1 to 100.
    pub down_timer_adverts: u8,
    /// Do not answer a lower priority with an advert.
    pub lower_prio_no_advert: bool,
    /// One last advert before yielding to a higher priority. On unless switched off: it makes the
    /// winner of a healed split brain announce itself again.
    pub higher_prio_send_advert: bool,
    /// As address owner, ignore adverts of others.
    pub owner_ignore_adverts: bool,
    /// Do not compare the address list of a sender that was already accepted.
    pub skip_check_adv_addr: bool,
    /// RFC behaviour enforced (`vrrp_strict`, `strict_mode`).
    pub strict: bool,
    /// Whether packets to the addresses are served.
    pub accept: Accept,
    /// Keep running when `interface` loses its link.
    pub dont_track_primary: bool,
    /// Whether secondary addresses are promoted when the first one is removed.
    pub promote_secondaries: bool,
    /// What it watches beside its own interface.
    pub tracked: Vec<Tracked>,
    /// What is told when it changes.
    pub notify: Notify,
}

/// Where a virtual router starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialState {
    /// Expect to rule: wait one interval instead of three.
    Master,
    /// Listen first.
    Backup,
}

/// What a higher priority does when it hears a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// Takes over `delay` after it could.
    After(Duration),
    /// Never takes over from a living master.
    Never,
}

/// Authentication of VRRPv2 [RFC 2338 section 5.3.6].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// None.
    None,
    /// A password in clear, zero-padded to 8 bytes.
    Pass([u8; Self::PASSWORD_BYTES]),
}

impl Authentication {
    /// Bytes of a password that reach the wire.
    pub const PASSWORD_BYTES: usize = 8;

    /// `text` as its first 8 bytes, zero-padded; none for an empty one.
    pub fn password(text: &str) -> Self {
        if text.is_empty() {
            return Self::None;
        }
        let mut bytes = [0; Self::PASSWORD_BYTES];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self::Pass(bytes)
    }
}

impl fmt::Debug for Authentication {
    /// The password never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Pass(_) => "Pass(********)",
        })
    }
}

/// Whether a master serves packets sent to its virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// As keepalived does unless told otherwise.
    Yes,
    /// Only the address owner does [RFC 3768 section 6.4.3].
    No,
}

impl VirtualRouter {
    /// Packets to its addresses are dropped on purpose.
    pub fn is_filtered(&self) -> bool {
        self.accept == Accept::No && !self.priority.is_owner()
    }

    /// Why they are, in keepalived's words; `None` when they are served.
    pub fn filtered_because(&self) -> Option<&'static str> {
        let why = if self.strict { "vrrp_strict without accept" } else { "no_accept" };
        self.is_filtered().then_some(why)
    }
}

/// One virtual address and how it is put on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// Prefix length, 0 to 32; 32 when not written.
    pub prefix_len: u8,
    /// Interface; the virtual router's own when `None`.
    pub dev: Option<String>,
    /// Label, at most 15 bytes, for the ifconfig tool.
    pub label: Option<String>,
    /// Scope.
    pub scope: AddressScope,
    /// Broadcast address.
    pub broadcast: Broadcast,
    /// Point-to-point peer, with its prefix length.
    pub peer: Option<(Ipv4Addr, u8)>,
    /// No prefix route (`noprefixroute`).
    pub no_prefix_route: bool,
    /// Do not fall into Fault when `dev` fails.
    pub no_track: bool,
}

impl Address {
    /// `ip/prefix_len` on the virtual router's own interface, nothing else said.
    pub fn new(ip: Ipv4Addr, prefix_len: u8) -> Self {
        Self {
            ip,
            prefix_len,
            dev: None,
            label: None,
            scope: AddressScope::GLOBAL,
            broadcast: Broadcast::None,
            peer: None,
            no_prefix_route: false,
            no_track: false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}

/// Scope of an address as the kernel numbers it (`/etc/iproute2/rt_scopes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressScope(pub u8);

impl AddressScope {
    /// Valid everywhere.
    pub const GLOBAL: Self = Self(0);
    /// Valid within the site.
    pub const SITE: Self = Self(200);
    /// Valid on the link.
    pub const LINK: Self = Self(253);
    /// Valid on this host.
    pub const HOST: Self = Self(254);
    /// Valid nowhere.
    pub const NOWHERE: Self = Self(255);
}

/// Broadcast address of a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broadcast {
    /// None, as keepalived and `ip addr add` without `brd`.
    None,
    /// All host bits set (`brd +`).
    HostBitsSet,
    /// All host bits clear (`brd -`).
    HostBitsClear,
    /// As written.
    Address(Ipv4Addr),
}

/// Gratuitous ARP timing (`garp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garp {
    /// Second burst this long after becoming master; zero for none.
    pub master_delay: Duration,
    /// Rounds over all addresses per burst, at least 1.
    pub master_repeat: u32,
    /// Repeat a burst this often while master; zero for never.
    pub master_refresh: Duration,
    /// Rounds per refresh.
    pub master_refresh_repeat: u32,
    /// Second burst this long after a lower priority was heard as master.
    pub lower_prio_delay: Duration,
    /// Rounds per burst after a lower priority was heard.
    pub lower_prio_repeat: u32,
    /// Gap between two announcements on one interface; zero for none.
    pub interval: Duration,
}

impl Default for Garp {
    fn default() -> Self {
        Self {
            master_delay: Duration::from_secs(5),
            master_repeat: 5,
            master_refresh: Duration::ZERO,
            master_refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            interval: Duration::ZERO,
        }
    }
}
