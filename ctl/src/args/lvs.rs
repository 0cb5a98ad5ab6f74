//! `haclusterctl lvs`.

use super::Format;
use super::moves::{Consent, Limit, Manner};
use super::slip::slips;
use clap::{Args as Arguments, Subcommand};
use std::net::IpAddr;

#[derive(Debug, Arguments)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        haclusterctl lvs\n  \
        haclusterctl lvs 10.0.0.1:80 -o wide\n  \
        haclusterctl lvs drain 10.0.0.2 --for 2h --reason 'new disk'\n\n\
        Exit status: 0 every virtual server has its quorum, 1 degraded, 2 a node cannot be reached, 3 wrong usage."
)]
pub(crate) struct LvsArgs {
    /// Only these virtual servers, as configured, or by what they balance: 10.0.0.1:80, web
    #[arg(value_name = "SERVICE", value_parser = service)]
    pub(crate) services: Vec<String>,
    /// How to answer: table, wide, json or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) verb: Option<LvsVerb>,
}

/// A virtual server's name. A slip in one of the verbs would read as one, and show nothing.
fn service(typed: &str) -> Result<String, String> {
    let verbs = LvsVerb::augment_subcommands(clap::Command::new("lvs"));
    let verbs: Vec<&str> = verbs.get_subcommands().map(clap::Command::get_name).collect();
    match verbs.iter().find(|verb| slips(typed, verb)) {
        Some(verb) => Err(format!("did you mean `{verb}`? A group of that name is `'group {typed}'`")),
        None => Ok(typed.to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum LvsVerb {
    /// Give a real server no new connections; those it has go on
    Drain(ServerArgs),
    /// End a drain or an ordered weight: as configured again
    Enable(EnableArgs),
    /// Give a real server another weight
    Weight(WeightArgs),
    /// The real server's side: the virtual address on lo, and silence about it
    Realserver(RealserverArgs),
}

/// Of which virtual server, on which nodes.
#[derive(Clone, Debug, Arguments)]
pub(crate) struct Where {
    /// Only of this virtual server [default: of all that have it]
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Only on this node; may be repeated [default: all]
    #[arg(long = "node", value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl lvs drain 10.0.0.2 --dry-run\n  \
    haclusterctl lvs drain 10.0.0.2:80 --service web --for 2h --reason 'new disk'\n\n\
    It asks only where a virtual server would lose its quorum.\n\
    Exit status: 0 done on every node, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct ServerArgs {
    /// Real server: its address, with or without port
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl lvs enable 10.0.0.2\n  \
    haclusterctl lvs enable 10.0.0.2:80 --service web\n\n\
    Exit status: 0 done on every node, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct EnableArgs {
    /// Real server: its address, with or without port
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl lvs weight 10.0.0.2 5\n  \
    haclusterctl lvs weight 10.0.0.2:80 1 --for 30m --reason 'warming up'\n\n\
    It asks only where a virtual server would lose its quorum.\n\
    Exit status: 0 done on every node, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct WeightArgs {
    /// Real server: its address, with or without port
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
    /// 0 to 65535; 0 drains it
    #[arg(value_name = "WEIGHT")]
    pub(crate) weight: u16,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Arguments)]
#[command(
    long_about = "The real server's side of direct routing.\n\n\
        A real server must have the virtual address, and must not answer ARP for it. That is: the address \
        on lo as /32 (IPv6: /128), and the sysctls arp_ignore = 1 and arp_announce = 2 for `all` and `lo`. \
        Run it on the real server itself; it needs no agent.\n\n\
        Behind a tunnel (lb_kind TUN) it needs the same, and an interface that unpacks, which is not looked \
        at: for ipip `modprobe ipip`, `ip link set tunl0 up`, and rp_filter = 0 for `all` and tunl0.",
    after_help = "Examples:\n  \
        haclusterctl lvs realserver 10.0.0.1 --check\n  \
        haclusterctl lvs realserver 10.0.0.1 --apply\n\n\
        Exit status: 0 as it should be (--apply: now it is), 1 it is not, 3 wrong usage."
)]
pub(crate) struct RealserverArgs {
    /// Virtual addresses
    #[arg(value_name = "VIP", required = true)]
    pub(crate) addresses: Vec<IpAddr>,
    /// Label of the addresses, such as lo:0 [default: none]
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    #[command(flatten)]
    pub(crate) mode: RealserverMode,
}

#[derive(Clone, Copy, Debug, Arguments)]
#[group(required = true, multiple = false)]
pub(crate) struct RealserverMode {
    /// Print the commands that set it up
    #[arg(long)]
    pub(crate) print: bool,
    /// Set it up; what is as it should be is not touched
    #[arg(long)]
    pub(crate) apply: bool,
    /// Say what is wrong
    #[arg(long)]
    pub(crate) check: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_a_verb_are_no_virtual_servers() {
        for typed in ["drian", "drai", "drainn", "drein", "DRIAN", "wieght", "enalbe", "realsever"] {
            assert!(service(typed).is_err(), "{typed}");
        }
        for typed in ["web", "train-1", "group drian", "10.0.0.1:80", "brian2", "d", ""] {
            assert_eq!(service(typed).as_deref(), Ok(typed));
        }
    }
}
