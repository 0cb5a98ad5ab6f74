//! `haclusterctl lvs realserver`: the virtual address on lo, and silence about it. Needs no agent.
//!
//! ```text
//!   addresses of this host, sysctls --look--> Wrong, Wrong, ... --.--> --check: in words
//!                                                                  +--> --print: as commands
//!                                                                  `--> --apply: done
//! ```

use crate::Outcome;
use crate::args::lvs::RealserverArgs;
use crate::output::{self, safe};
use anyhow::{Context, anyhow, bail};
use nix::ifaddrs::getifaddrs;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const SYSCTLS: &str = "/proc/sys";
const LOOPBACK: &str = "lo";
/// What must be set, and what happens otherwise.
const WANTED: [(&str, &str, u32, &str); 4] = [
    (
        "all",
        "arp_ignore",
        1,
        "this host answers ARP requests for the virtual address: clients bypass the director",
    ),
    ("lo", "arp_ignore", 1, "for lo it counts only where `all` is lower"),
    (
        "all",
        "arp_announce",
        2,
        "this host's ARP requests can carry the virtual address: routers learn it from them",
    ),
    ("lo", "arp_announce", 2, "for lo it counts only where `all` is lower"),
];

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Present {
    interface: String,
    ip: IpAddr,
    prefix_len: u8,
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
    /// A sysctl has another value.
    Sysctl { of: &'static str, name: &'static str, wanted: u32, found: Option<u32>, why: &'static str },
}

pub(super) fn run(args: &RealserverArgs) -> anyhow::Result<Outcome> {
    let label = args.label.as_deref();
    if args.mode.print {
        output::print(&commands(&everything(&args.addresses), label).concat())?;
        return Ok(Outcome::Well);
    }
    let wrong = look(&args.addresses, &present()?, Path::new(SYSCTLS));
    if args.mode.check {
        output::print(&report(&wrong, label))?;
        return Ok(if wrong.is_empty() { Outcome::Well } else { Outcome::Degraded });
    }
    let silent = wrong.iter().filter(|wrong| matches!(wrong, Wrong::Sysctl { .. }));
    let placed = wrong.iter().filter(|wrong| !matches!(wrong, Wrong::Sysctl { .. }));
    silent.chain(placed).try_for_each(|wrong| apply(wrong, label))?;
    let left = look(&args.addresses, &present()?, Path::new(SYSCTLS));
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

/// The addresses of this host.
fn present() -> anyhow::Result<Vec<Present>> {
    let all = getifaddrs().context("cannot list the addresses of this host")?;
    let of = |entry: nix::ifaddrs::InterfaceAddress| {
        let (address, mask) = (entry.address?, entry.netmask);
        let (ip, ones): (IpAddr, u32) = if let Some(v4) = address.as_sockaddr_in() {
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in()).map(|mask| mask.ip());
            (v4.ip().into(), mask.map_or(32, |mask| u32::from(mask).count_ones()))
        } else {
            let v6 = address.as_sockaddr_in6()?;
            let mask = mask.as_ref().and_then(|mask| mask.as_sockaddr_in6()).map(|mask| mask.ip());
            (v6.ip().into(), mask.map_or(128, |mask| u128::from(mask).count_ones()))
        };
        // An alias of old tools is the interface itself.
        let interface = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        Some(Present { interface, ip, prefix_len: u8::try_from(ones).unwrap_or(u8::MAX) })
    };
    Ok(all.filter_map(of).collect())
}

/// What is wrong with `addresses` on a host that has those `present`.
fn look(addresses: &[IpAddr], present: &[Present], sysctls: &Path) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for &ip in addresses {
        let mut here = false;
        for of in present.iter().filter(|of| of.ip == ip) {
            if of.interface != LOOPBACK {
                wrong.push(Wrong::Elsewhere(ip, of.interface.clone()));
            } else if of.prefix_len != host_len(ip) {
                wrong.push(Wrong::Wide(ip, of.prefix_len));
            } else {
                here = true;
            }
        }
        if !here {
            wrong.push(Wrong::Missing(ip));
        }
    }
    if addresses.iter().any(IpAddr::is_ipv4) {
        for (of, name, wanted, why) in WANTED {
            let found = fs::read_to_string(path(sysctls, of, name)).ok();
            let found = found.and_then(|text| text.trim().parse().ok());
            if found != Some(wanted) {
                wrong.push(Wrong::Sysctl { of, name, wanted, found, why });
            }
        }
    }
    wrong
}

/// All that can be missing.
fn everything(addresses: &[IpAddr]) -> Vec<Wrong> {
    look(addresses, &[], Path::new("/nonexistent"))
}

fn path(sysctls: &Path, of: &str, name: &str) -> PathBuf {
    sysctls.join("net/ipv4/conf").join(of).join(name)
}

fn host_len(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Sysctls first: an address that is announced before that is known to the neighbours for minutes.
fn commands(wrong: &[Wrong], label: Option<&str>) -> Vec<String> {
    let is_sysctl = |wrong: &&Wrong| matches!(wrong, Wrong::Sysctl { .. });
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
        Wrong::Sysctl { of, name, wanted, .. } => format!("sysctl -w net.ipv4.conf.{of}.{name}={wanted}\n"),
    }
}

/// What `ip` is told.
fn arguments(wrong: &Wrong, label: Option<&str>) -> Vec<String> {
    let (verb, ip, len) = match wrong {
        Wrong::Missing(ip) => ("add", ip, host_len(*ip)),
        Wrong::Wide(ip, len) => ("del", ip, *len),
        Wrong::Elsewhere(..) | Wrong::Sysctl { .. } => return Vec::new(),
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
        Wrong::Sysctl { of, name, wanted, .. } => {
            let path = path(Path::new(SYSCTLS), of, name);
            let written = fs::write(&path, format!("{wanted}\n"));
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
        Wrong::Sysctl { of, name, wanted, found, why } => {
            let hint = match (*name, found) {
                ("arp_ignore", Some(2)) => {
                    "; 2 is the value of arp_announce: a script that sets arp_ignore twice leaves it so"
                }
                (_, Some(0)) => "; a script that writes to /pro/sys instead of /proc/sys changes nothing",
                _ => "",
            };
            let found = found.map_or_else(|| "cannot be read".to_owned(), |found| format!("is {found}"));
            format!("net.ipv4.conf.{of}.{name} {found}, not {wanted}: {why}{hint}")
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
        Present { interface: interface.into(), ip: ip(text), prefix_len }
    }

    /// A tree with `all` and `lo` as given: ignore, announce.
    fn sysctls(ignore: u32, announce: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for of in ["all", "lo"] {
            for (name, value) in [("arp_ignore", ignore), ("arp_announce", announce)] {
                let path = path(dir.path(), of, name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{value}\n")).unwrap();
            }
        }
        dir
    }

    fn said(addresses: &[&str], present: &[Present], ignore: u32, announce: u32) -> String {
        let addresses: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
        report(&look(&addresses, present, sysctls(ignore, announce).path()), None)
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
        assert!(twice.contains("arp_ignore is 2, not 1") && twice.contains("sets arp_ignore twice"));
        assert!(twice.contains("arp_announce is 0, not 2"));
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
        let present = present().unwrap();
        assert!(present.contains(&on("lo", "127.0.0.1", 8)) || present.is_empty(), "{present:?}");
    }
}
