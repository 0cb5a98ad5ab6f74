//! Every keyword of keepalived.conf as data: what it takes and what becomes of it.
//!
//! The tables are long because the language is: one row per keyword, nothing hidden in code. A row's
//! status is the promise made to the reader of a configuration:
//!
//! ```text
//!   Now      in force                                   lower/
//!   Later    understood, named as not in force yet      exit 1
//!   Moot     nothing to do here, the agent needs none   hint
//!   Old      in force under its old name                hint
//!   Gone     outdated; the reason says what to write    warning
//! ```

pub(super) mod global;
pub(super) mod server;
pub(super) mod vrrp;

pub(super) use vrrp::TOP;

/// A block's keywords.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) name: &'static str,
    pub(super) keywords: &'static [&'static [Keyword]],
}

impl Block {
    pub(super) fn find(&self, name: &str) -> Option<&'static Keyword> {
        self.all().find(|keyword| keyword.name == name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'static Keyword> {
        self.keywords.iter().flat_map(|part| part.iter())
    }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) status: Status,
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// Nothing: being there switches it on.
    Flag,
    /// Nothing or a truth value.
    Bool,
    /// Exactly one word.
    Word,
    /// One word or more.
    Words,
    /// Anything or nothing.
    Maybe,
    /// A whole number within bounds.
    Number(i64, i64),
    /// A number within bounds, then perhaps `reverse` and the like.
    Weight(i64, i64),
    /// Seconds, fractions allowed, within bounds in milliseconds.
    Seconds(u64, u64),
    /// An IP address, then perhaps more words.
    Ip,
    /// One of these words, then perhaps more.
    OneOf(&'static [&'static str]),
    /// A block with one entry on each line.
    List,
    /// A block of keywords.
    Block(&'static Block),
}

impl Takes {
    pub(super) fn opens_block(self) -> bool {
        matches!(self, Self::List | Self::Block(_))
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug)]
pub(super) enum Status {
    /// In force, or refused with a reason, by `lower`.
    Now,
    /// Understood, but not in force yet.
    Later(Topic),
    /// Without meaning for this agent, and why.
    Moot(&'static str),
    /// In force under a name that is not used any more, and which is.
    Old(&'static str),
    /// Outdated, and what to do about it.
    Gone(&'static str),
}

/// What is not in force yet, by what a user misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Script,
    Track,
    Ipvs,
    Balancing,
    Bfd,
    Namespace,
    Version3,
    Unicast,
    Vmac,
    Garp,
    Files,
    Reload,
    Link,
    Include,
    Scheduling,
    Timers,
}

impl Topic {
    /// What follows from it on the machine or the network.
    pub(super) fn consequence(self) -> &'static str {
        match self {
            Self::Script => {
                "programs have their user's one group and no further ones: what they may read or write by those they \
                 cannot; name the group that matters, `script_user USER GROUP`"
            }
            Self::Track => "what is tracked changes neither priority nor state",
            Self::Ipvs => {
                "each address of a group is a service of its own in the kernel: the same servers answer, but a \
                 client is kept at one of them (persistence) for each address by itself; for one service over \
                 all addresses mark their packets in your own nftables rules and write `virtual_server fwmark`"
            }
            Self::Bfd => "no BFD session is run",
            Self::Balancing => {
                "no BFD session is run: the other checks of this server decide; write `PING_CHECK` or \
                 `TCP_CHECK` with a short `delay_loop`, or let `MISC_CHECK` ask your BFD daemon"
            }
            Self::Namespace => "the agent stays in the network namespace it is started in",
            Self::Version3 => "virtual routers of version 2 are not concerned",
            Self::Unicast => "only multicast adverts are sent and accepted",
            Self::Vmac => "virtual addresses stay on the interface itself, with its own MAC address",
            Self::Garp => "gratuitous ARP is sent on each address's interface by the other garp settings",
            Self::Files => "this file or name is not used",
            Self::Reload => "a reload happens on SIGHUP only",
            Self::Link => "link state is taken as the kernel reports it, at once",
            Self::Include => "each `include` is checked as it is written",
            Self::Scheduling => "the process keeps its scheduling as it is started with",
            Self::Timers => "timers stay as the protocol has them",
        }
    }
}

const fn row(name: &'static str, takes: Takes, status: Status) -> Keyword {
    Keyword { name, takes, status }
}

const fn now(name: &'static str, takes: Takes) -> Keyword {
    row(name, takes, Status::Now)
}

const fn later(topic: Topic, name: &'static str, takes: Takes) -> Keyword {
    row(name, takes, Status::Later(topic))
}

const fn moot(name: &'static str, takes: Takes, why: &'static str) -> Keyword {
    row(name, takes, Status::Moot(why))
}

const fn old(name: &'static str, takes: Takes, why: &'static str) -> Keyword {
    row(name, takes, Status::Old(why))
}

const fn gone(name: &'static str, takes: Takes, why: &'static str) -> Keyword {
    row(name, takes, Status::Gone(why))
}

/// Greatest value of settings that have no other bound.
const ANY: i64 = u32::MAX as i64;
/// A day, the bound of spans that have no other, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Every block there is, for "this belongs in ...".
pub(super) const ALL: &[&Block] = &[
    &TOP,
    &global::GLOBAL,
    &vrrp::INSTANCE,
    &vrrp::SYNC_GROUP,
    &vrrp::SCRIPT,
    &vrrp::AUTHENTICATION,
    &vrrp::AUTH_HMAC,
    &vrrp::TRACK_FILE,
    &vrrp::TRACK_GROUP,
    &vrrp::TRACK_PROCESS,
    &vrrp::GARP_GROUP,
    &vrrp::BFD,
    &server::VIRTUAL_SERVER,
    &server::REAL_SERVER,
    &server::HTTP_GET,
    &server::SSL_GET,
    &server::URL,
    &server::TCP_CHECK,
    &server::SMTP_CHECK,
    &server::HOST,
    &server::DNS_CHECK,
    &server::MISC_CHECK,
    &server::BFD_CHECK,
    &server::PING_CHECK,
    &server::UDP_CHECK,
    &server::FILE_CHECK,
    &server::SSL,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_stands_twice_in_a_block() {
        for block in ALL {
            let mut names: Vec<_> = block.all().map(|keyword| keyword.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", block.name);
        }
    }

    #[test]
    fn every_block_in_a_table_is_listed() {
        for keyword in ALL.iter().flat_map(|block| block.all()) {
            if let Takes::Block(block) = keyword.takes {
                assert!(ALL.iter().any(|listed| listed.name == block.name), "{}", block.name);
            }
        }
    }
}
