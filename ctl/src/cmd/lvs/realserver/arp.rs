//! Whether a host keeps silent about an address on lo, by the sysctls of ARP.
//!
//! The kernel takes the higher of `all` and the interface's own value, and higher is not stricter: 3 of
//! `arp_ignore` answers for more than 1 does, 8 for nothing, and what it does not know counts as 0.

use std::fs;
use std::path::{Path, PathBuf};

/// What a host sets that is set up by the book. lo is no interface that ARP comes in by; it is set because
/// every other instruction sets it.
pub(super) const BOOK: [(&str, Setting); 4] = [
    ("all", Setting::Ignore),
    ("lo", Setting::Ignore),
    ("all", Setting::Announce),
    ("lo", Setting::Announce),
];

/// One of the two that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Which requests are answered.
    Ignore,
    /// Which address own requests come from.
    Announce,
}

/// A value that lets the virtual address out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loud {
    /// `all`, or an interface.
    pub(super) of: String,
    pub(super) setting: Setting,
    /// `None`: it cannot be read.
    pub(super) found: Option<u32>,
    pub(super) why: &'static str,
}

/// Found in the field: the value of one setting in the other.
const SWAPPED: &str = "this host's ARP requests can carry the virtual address; arp_ignore is 2, the value meant for \
                       this: a script that sets arp_ignore twice leaves it so";

impl Setting {
    const BOTH: [Self; 2] = [Self::Ignore, Self::Announce];

    /// Its name below an interface.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ignore => "arp_ignore",
            Self::Announce => "arp_announce",
        }
    }

    /// What to set it to.
    pub(super) fn wanted(self) -> u32 {
        match self {
            Self::Ignore => 1,
            Self::Announce => 2,
        }
    }

    /// What is wrong with a value in force; `host_only` addresses have the scope `host`.
    fn judge(self, value: u32, host_only: bool) -> Option<&'static str> {
        match (self, value) {
            // With 2 a request from outside the interface's network goes unanswered as well, no more.
            (Self::Ignore, 1 | 2) | (Self::Announce, 2) => None,
            (Self::Ignore, 3) if host_only => None,
            (Self::Ignore, 3) => Some(
                "3 is silent about addresses of scope host alone, and this one is global: clients bypass the director",
            ),
            (Self::Ignore, 8) => Some(
                "8 answers ARP requests for no address at all: neighbours do not find this host, nor does the director",
            ),
            (Self::Ignore, 0) => {
                Some("this host answers ARP requests for the virtual address: clients bypass the director")
            }
            (Self::Ignore, _) => Some(
                "the kernel knows no such value and takes it as 0: this host answers for the virtual address",
            ),
            (Self::Announce, 0) => {
                Some("this host's ARP requests can carry the virtual address: routers learn it from them")
            }
            (Self::Announce, 1) => Some(
                "1 still lets ARP requests carry the virtual address into its own network: routers learn it",
            ),
            (Self::Announce, _) => Some(
                "the kernel knows no such value and takes it as 0: ARP requests can carry the virtual address",
            ),
        }
    }
}

/// The file of a setting.
pub(super) fn path(sysctls: &Path, of: &str, setting: Setting) -> PathBuf {
    sysctls.join("net/ipv4/conf").join(of).join(setting.name())
}

/// As `sysctl` is told. A dot in an interface's name would be taken for the end of it.
pub(super) fn name(of: &str, setting: Setting) -> String {
    let dot = if of.contains('.') { '/' } else { '.' };
    ["net", "ipv4", "conf", of, setting.name()].join(dot.encode_utf8(&mut [0; 4]))
}

/// What to set so that nothing answers for the address by any of these `interfaces`, which all speak ARP.
pub(super) fn loud(sysctls: &Path, interfaces: &[String], host_only: bool) -> Vec<Loud> {
    Setting::BOTH.into_iter().flat_map(|setting| loud_of(setting, sysctls, interfaces, host_only)).collect()
}

fn loud_of(setting: Setting, sysctls: &Path, interfaces: &[String], host_only: bool) -> Vec<Loud> {
    let read = |of: &str| fs::read_to_string(path(sysctls, of, setting)).ok()?.trim().parse::<u32>().ok();
    let Some(all) = read("all") else {
        let why = "whether this host answers for the virtual address is not known";
        return vec![Loud { of: "all".to_owned(), setting, found: None, why }];
    };
    // Values that setting `all` cannot cure, because theirs is higher.
    let mut own = Vec::new();
    let mut cured = Vec::new();
    for interface in interfaces {
        let value = read(interface).unwrap_or(0); // it went meanwhile
        match setting.judge(value, host_only) {
            Some(why) if value > setting.wanted() => {
                own.push(Loud { of: interface.clone(), setting, found: Some(value), why });
                cured.push(setting.wanted());
            }
            _ => cured.push(value),
        }
    }
    let in_force = cured.iter().map(|value| all.max(*value));
    let in_force = if interfaces.is_empty() { vec![all] } else { in_force.collect() };
    let why = in_force.into_iter().find_map(|value| setting.judge(value, host_only));
    let swapped = setting == Setting::Announce && all == 0 && {
        let other = fs::read_to_string(path(sysctls, "all", Setting::Ignore));
        other.is_ok_and(|text| text.trim() == "2")
    };
    let why = why.map(|why| if swapped { SWAPPED } else { why });
    let shared = why.map(|why| Loud { of: "all".to_owned(), setting, found: Some(all), why });
    shared.into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is loud with these values of `all`, `eth0` and `eth1.7`.
    fn loud_with(setting: Setting, values: [u32; 3], host_only: bool) -> Vec<(String, Option<u32>)> {
        let dir = tempfile::tempdir().unwrap();
        for (of, value) in ["all", "eth0", "eth1.7"].into_iter().zip(values) {
            let path = path(dir.path(), of, setting);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let interfaces = ["eth0".to_owned(), "eth1.7".to_owned()];
        let found = loud_of(setting, dir.path(), &interfaces, host_only);
        found.into_iter().map(|loud| (loud.of, loud.found)).collect()
    }

    /// Values, of scope host, what is to blame.
    type Case = ([u32; 3], bool, &'static [(&'static str, u32)]);

    fn check(setting: Setting, cases: &[Case]) {
        for (values, host_only, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(of, found)| ((*of).to_owned(), Some(*found))).collect();
            assert_eq!(
                loud_with(setting, *values, *host_only),
                expected,
                "{setting:?} {values:?} {host_only}"
            );
        }
    }

    #[test]
    fn the_higher_of_all_and_the_interface_answers() {
        check(
            Setting::Ignore,
            &[
                ([1, 0, 0], false, &[]),
                ([0, 1, 2], false, &[]),
                ([2, 0, 1], false, &[]),
                ([0, 0, 0], false, &[("all", 0)]),
                ([0, 1, 0], false, &[("all", 0)]),
                ([1, 3, 0], false, &[("eth0", 3)]),
                ([1, 3, 0], true, &[]),
                ([3, 1, 1], false, &[("all", 3)]),
                ([1, 0, 8], false, &[("eth1.7", 8)]),
                ([1, 5, 0], false, &[("eth0", 5)]),
                ([3, 8, 0], false, &[("all", 3), ("eth0", 8)]),
                ([0, 8, 1], false, &[("eth0", 8)]),
            ],
        );
    }

    #[test]
    fn the_higher_of_all_and_the_interface_announces() {
        check(
            Setting::Announce,
            &[
                ([2, 0, 1], false, &[]),
                ([0, 2, 2], false, &[]),
                ([0, 0, 2], false, &[("all", 0)]),
                ([1, 0, 2], false, &[("all", 1)]),
                ([2, 3, 0], false, &[("eth0", 3)]),
                ([3, 0, 0], false, &[("all", 3)]),
            ],
        );
    }

    #[test]
    fn an_interface_with_a_dot_is_written_so_that_sysctl_finds_it() {
        assert_eq!(name("eth0", Setting::Ignore), "net.ipv4.conf.eth0.arp_ignore");
        assert_eq!(name("eth1.7", Setting::Announce), "net/ipv4/conf/eth1.7/arp_announce");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_silence() {
        let found = loud(Path::new("/nonexistent"), &[], false);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|loud| loud.found.is_none() && loud.of == "all"), "{found:?}");
    }
}
