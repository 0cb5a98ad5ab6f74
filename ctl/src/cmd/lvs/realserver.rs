//! `haclusterctl lvs realserver`: the virtual address on lo, and silence about it. Needs no agent.
//!
//! ```text
//!   addresses of this host, sysctls --look--> Wrong, Wrong, ... --.--> --check: in words
//!                                                                  +--> --print: as commands
//!                                                                  `--> --apply: done
//! ```

mod arp;

use crate::Outcome;
use crate::args::lvs::RealserverArgs;
use crate::output::{self, safe};
use anyhow::{Context, anyhow, bail};
use arp::{Loud, Setting};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

const SYSCTLS: &str = "/proc/sys";
const LOOPBACK: &str = "lo";
/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Present {
    interface: String,
    ip: IpAddr,
    prefix_len: u8,
    /// Of scope host.
    host_only: bool,
}

/// This host, as far as it matters.
#[derive(Clone, Debug, Default)]
struct Here {
    addresses: Vec<Present>,
    /// Interfaces that speak ARP.
    speaking: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    /// The address is not on lo.
    Missing(IpAddr),
    /// It is on lo with a network around it, all of which this host takes for its own.
    Wide(IpAddr, u8),
    /// It is on another interface, where ARP is answered.
    Elsewhere(IpAddr, String),
    /// A sysctl lets it out.
    Sysctl(Loud),
}

pub(super) fn run(args: &RealserverArgs) -> anyhow::Result<Outcome> {
    let label = args.label.as_deref();
    if args.mode.print {
        output::print(&commands(&everything(&args.addresses), label).concat())?;
        return Ok(Outcome::Well);
    }
    let wrong = look(&args.addresses, &here()?, Path::new(SYSCTLS));
    if args.mode.check {
        output::print(&report(&wrong, label))?;
        return Ok(if wrong.is_empty() { Outcome::Well } else { Outcome::Degraded });
    }
    let silent = wrong.iter().filter(|wrong| matches!(wrong, Wrong::Sysctl(_)));
    let placed = wrong.iter().filter(|wrong| !matches!(wrong, Wrong::Sysctl(_)));
    silent.chain(placed).try_for_each(|wrong| apply(wrong, label))?;
    let left = look(&args.addresses, &here()?, Path::new(SYSCTLS));
    let done = commands(&wrong, label).concat();
    let text = match (wrong.is_empty(), left.is_empty()) {
        (true, _) => "as it should be already; nothing was changed\n".to_owned(),
        (false, true) => format!(
            "{done}done; until the next boot. To keep it, put these into the host's own configuration\n"
        ),
        (false, false) => format!("{done}{}", report(&left, label)),
    };
    output::print(&text)?;
    Ok(if left.is_empty() { Outcome::Well } else { Outcome::Degraded })
}

/// This host's addresses and interfaces.
fn here() -> anyhow::Result<Here> {
    let hidden = host_only();
    let mut here = Here::default();
    for entry in getifaddrs().context("cannot list the addresses of this host")? {
        // An alias of old tools is the interface itself.
        let interface = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        let silent = InterfaceFlags::IFF_NOARP | InterfaceFlags::IFF_LOOPBACK;
        if !entry.flags.intersects(silent) && !here.speaking.contains(&interface) {
            here.speaking.push(interface.clone());
        }
        let Some(address) = entry.address else { continue };
        let mask = entry.netmask;
        let (ip, ones): (IpAddr, u32) = if let Some(v4) = address.as_sockaddr_in() {
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in()).map(|mask| mask.ip());
            (v4.ip().into(), mask.map_or(32, |mask| u32::from(mask).count_ones()))
        } else if let Some(v6) = address.as_sockaddr_in6() {
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in6()).map(|mask| mask.ip());
            (v6.ip().into(), mask.map_or(128, |mask| u128::from(mask).count_ones()))
        } else {
            continue;
        };
        let prefix_len = u8::try_from(ones).unwrap_or(u8::MAX);
        here.addresses.push(Present { interface, ip, prefix_len, host_only: hidden.contains(&ip) });
    }
    Ok(here)
}

/// IPv4 addresses of lo that have the scope host; none where `ip` does not tell.
fn host_only() -> Vec<IpAddr> {
    let words = ["-4", "-o", "address", "show", "dev", LOOPBACK, "scope", "host"];
    let said = Command::new("ip").args(words).output().map(|done| done.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let address = |line: &str| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok();
    said.lines().filter_map(address).collect()
}

/// What is wrong with `addresses` on the host that is `here`.
fn look(addresses: &[IpAddr], here: &Here, sysctls: &Path) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for &ip in addresses {
        let mut placed = false;
        for of in here.addresses.iter().filter(|of| of.ip == ip) {
            if of.interface != LOOPBACK {
                wrong.push(Wrong::Elsewhere(ip, of.interface.clone()));
            } else if of.prefix_len != host_len(ip) {
                wrong.push(Wrong::Wide(ip, of.prefix_len));
            } else {
                placed = true;
            }
        }
        if !placed {
            wrong.push(Wrong::Missing(ip));
        }
    }
    let mut resolved = addresses.iter().filter(|ip| ip.is_ipv4()).peekable();
    if resolved.peek().is_some() {
        let hidden = |ip: &IpAddr| here.addresses.iter().any(|of| of.ip == *ip && of.host_only);
        let loud = arp::loud(sysctls, &here.speaking, resolved.all(hidden));
        wrong.extend(loud.into_iter().map(Wrong::Sysctl));
    }
    wrong
}

/// All that a host can lack.
fn everything(addresses: &[IpAddr]) -> Vec<Wrong> {
    let unset = |(of, setting): (&str, Setting)| {
        Wrong::Sysctl(Loud { of: of.to_owned(), setting, found: None, why: "" })
    };
    let by_arp = if addresses.iter().any(IpAddr::is_ipv4) { &arp::BOOK[..] } else { &[] };
    by_arp.iter().copied().map(unset).chain(addresses.iter().map(|ip| Wrong::Missing(*ip))).collect()
}

fn host_len(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Sysctls first: an address that is announced before that is known to the neighbours for minutes.
fn commands(wrong: &[Wrong], label: Option<&str>) -> Vec<String> {
    let is_sysctl = |wrong: &&Wrong| matches!(wrong, Wrong::Sysctl(_));
    let sysctls = wrong.iter().filter(is_sysctl);
    let others = wrong.iter().filter(|wrong| !is_sysctl(wrong));
    sysctls.chain(others).map(|wrong| command(wrong, label)).collect()
}

fn command(wrong: &Wrong, label: Option<&str>) -> String {
    match wrong {
        Wrong::Missing(_) => format!("ip {}\n", arguments(wrong, label).join(" ")),
        Wrong::Wide(..) => format!("ip {}\n", arguments(wrong, label).join(" ")),
        Wrong::Elsewhere(ip, interface) => {
            format!("# remove {ip} from {interface} by hand: who put it there?\n")
        }
        Wrong::Sysctl(Loud { of, setting, .. }) => {
            format!("sysctl -w {}={}\n", arp::name(of, *setting), setting.wanted())
        }
    }
}

/// What `ip` is told.
fn arguments(wrong: &Wrong, label: Option<&str>) -> Vec<String> {
    let (verb, ip, len) = match wrong {
        Wrong::Missing(ip) => ("add", ip, host_len(*ip)),
        Wrong::Wide(ip, len) => ("del", ip, *len),
        Wrong::Elsewhere(..) | Wrong::Sysctl(_) => return Vec::new(),
    };
    let mut words = vec!["address".to_owned(), verb.to_owned(), format!("{ip}/{len}")];
    words.extend(["dev".to_owned(), LOOPBACK.to_owned()]);
    if let Some(label) = label.filter(|_| verb == "add" && ip.is_ipv4()) {
        words.extend(["label".to_owned(), label.to_owned()]);
    }
    words
}

fn apply(wrong: &Wrong, label: Option<&str>) -> anyhow::Result<()> {
    match wrong {
        Wrong::Elsewhere(..) => Ok(()), // somebody else's; it is said
        Wrong::Sysctl(Loud { of, setting, .. }) => {
            let path = arp::path(Path::new(SYSCTLS), of, *setting);
            let written = fs::write(&path, format!("{}\n", setting.wanted()));
            written.map_err(|error| {
                let mend = mend(error.kind() == io::ErrorKind::ReadOnlyFilesystem);
                anyhow!("cannot write {}: {error}; {mend}", path.display())
            })
        }
        Wrong::Missing(_) | Wrong::Wide(..) => {
            let arguments = arguments(wrong, label);
            let ran = Command::new("ip").args(&arguments).output();
            let words = arguments.join(" ");
            match ran {
                Ok(done) if done.status.success() => Ok(()),
                Ok(done) => {
                    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                    bail!("`ip {words}`: {}; {}", safe(&said), mend(false))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    bail!("cannot run `ip {words}`: there is no `ip` here; install iproute2")
                }
                Err(error) => bail!("cannot run `ip {words}`: {error}"),
            }
        }
    }
}

/// What helps who may not.
fn mend(read_only: bool) -> &'static str {
    if read_only {
        "it is mounted read-only: in a container, set it on the host or give the container a /proc/sys of its own"
    } else {
        "run it as root (CAP_NET_ADMIN in this network namespace)"
    }
}

fn report(wrong: &[Wrong], label: Option<&str>) -> String {
    if wrong.is_empty() {
        return "as it should be: the address is on lo, and nothing answers for it\n".to_owned();
    }
    let line = |wrong: &Wrong| format!("! {}\n  mend: {}", words(wrong), command(wrong, label));
    wrong.iter().map(line).collect()
}

fn words(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Missing(ip) => format!("{ip} is not on lo: packets to it are not taken"),
        Wrong::Wide(ip, len) => format!(
            "{ip} is on lo as /{len}: this host takes that whole network for its own, write it as /{}",
            host_len(*ip)
        ),
        Wrong::Elsewhere(ip, interface) => {
            format!("{ip} is on {interface}: there it is answered for, and the director is bypassed")
        }
        Wrong::Sysctl(Loud { of, setting, found, why }) => {
            let hint = match found {
                Some(0) => "; a script that writes to /pro/sys instead of /proc/sys changes nothing",
                _ => "",
            };
            let over =
                if of == "all" { "" } else { ", which is in force where it is higher than that of `all`" };
            let found =
                found.map_or_else(|| "cannot be read".to_owned(), |found| format!("is {found}{over}"));
            format!("{} {found}, not {}: {why}{hint}", arp::name(of, *setting), setting.wanted())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn on(interface: &str, text: &str, prefix_len: u8) -> Present {
        Present { interface: interface.into(), ip: ip(text), prefix_len, host_only: false }
    }

    /// A tree with `all` as given: ignore, announce.
    fn sysctls(ignore: u32, announce: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (setting, value) in [(Setting::Ignore, ignore), (Setting::Announce, announce)] {
            let path = arp::path(dir.path(), "all", setting);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        dir
    }

    fn said(addresses: &[&str], present: &[Present], ignore: u32, announce: u32) -> String {
        let addresses: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
        let here = Here { addresses: present.to_vec(), speaking: vec!["eth0".to_owned()] };
        report(&look(&addresses, &here, sysctls(ignore, announce).path()), None)
    }

    #[test]
    fn a_host_that_is_set_up_has_nothing_to_say() {
        let vip = [on("lo", "127.0.0.1", 8), on("lo", "10.0.0.1", 32), on("lo", "2001:db8::1", 128)];
        assert!(said(&["10.0.0.1", "2001:db8::1"], &vip, 1, 2).starts_with("as it should be"));
        assert!(said(&["2001:db8::1"], &vip, 0, 0).starts_with("as it should be"), "IPv6 knows no ARP");
    }

    /// The mistakes found in the field: a path that does not exist, one name twice, the address beside lo.
    #[test]
    fn mistakes_of_the_field_are_explained() {
        let vip = [on("lo", "10.0.0.1", 32)];
        let nothing_set = said(&["10.0.0.1"], &vip, 0, 0);
        assert!(nothing_set.contains("arp_ignore is 0, not 1") && nothing_set.contains("/pro/sys"));
        let twice = said(&["10.0.0.1"], &vip, 2, 0);
        assert!(twice.contains("arp_announce is 0, not 2") && twice.contains("sets arp_ignore twice"));
        assert!(!twice.contains("arp_ignore is 2, not"), "2 is silent, too: {twice}");
        let on_eth0 = said(&["10.0.0.1"], &[on("eth0", "10.0.0.1", 24)], 1, 2);
        assert!(on_eth0.contains("is on eth0") && on_eth0.contains("is not on lo"), "{on_eth0}");
        let wide = said(&["10.0.0.1"], &[on("lo", "10.0.0.1", 24)], 1, 2);
        assert!(wide.contains("as /24") && wide.contains("ip address del 10.0.0.1/24 dev lo"), "{wide}");
    }

    #[test]
    fn what_is_printed_sets_it_all_up_silence_first() {
        let text = commands(&everything(&[ip("10.0.0.1"), ip("2001:db8::1")]), Some("lo:0")).concat();
        assert_eq!(
            text,
            "sysctl -w net.ipv4.conf.all.arp_ignore=1\n\
             sysctl -w net.ipv4.conf.lo.arp_ignore=1\n\
             sysctl -w net.ipv4.conf.all.arp_announce=2\n\
             sysctl -w net.ipv4.conf.lo.arp_announce=2\n\
             ip address add 10.0.0.1/32 dev lo label lo:0\n\
             ip address add 2001:db8::1/128 dev lo\n"
        );
    }

    #[test]
    fn the_addresses_of_this_host_are_found() {
        let here = here().unwrap();
        let lo = here.addresses.iter().find(|of| of.ip == ip("127.0.0.1"));
        assert!(lo.is_none_or(|lo| (lo.interface.as_str(), lo.prefix_len) == ("lo", 8)), "{here:?}");
        assert!(!here.speaking.iter().any(|name| name == "lo"), "{here:?}");
    }
}
