//! A small authority in a directory: who may be a node, an operator or a viewer of one cluster.
//!
//! ```text
//!   DIR (0700)
//!     ca.crt  ca.key (0600)  ca.crl     the authority, and what it revoked
//!     index.json                        every certificate that counts
//!     node1/  node1.crt  node1.key (0600)  ca.crt  ca.crl     complete: copy it to node1
//!     node1.crt -> node1/node1.crt      node1.key -> node1/node1.key
//! ```
//!
//! A holder's directory is replaced as a whole, so its certificate and its key belong together at
//! every instant. The index is written before the certificate is: nothing is signed that cannot be
//! revoked. Commands that change the directory wait for each other.

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod index;
pub(crate) mod store;

pub(crate) use store::{Issued, Store};

use crate::Usage;
use hacluster_proto::identity::{Role, check_node_name};

/// Seconds of a day.
const DAY_SECS: i64 = 24 * 60 * 60;
/// Fewer days than this before its end a certificate is warned about.
pub(crate) const WARN_DAYS: i64 = 30;
/// Where agents listen unless told otherwise.
pub(crate) const PORT: u16 = 9443;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Who is to hold it.
    pub(crate) name: String,
    /// What the holder may do.
    pub(crate) role: Role,
    /// Hosts beside the name under which a node is reached: names or IP addresses.
    pub(crate) addresses: Vec<String>,
    /// How long it counts, in days; at least 1.
    pub(crate) days: u32,
}

/// Whether somebody may be called so: names are file names, and nodes' names are host names.
///
/// # Errors
/// [`Usage`], with what is allowed.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let lower = name.to_ascii_lowercase();
    let is_ours = ["ca", "index.json"].contains(&lower.as_str())
        || [".crt", ".key", ".crl"].iter().any(|end| lower.ends_with(end));
    if is_ours {
        return Err(Usage(format!("`{name}` is the name of a file here: choose another")).into());
    }
    check_node_name(name).map_err(|_| {
        Usage(format!(
            "{name:?} cannot be a name: it has 1 to 63 letters, digits, `-`, `_` or `.`, as a host name"
        ))
        .into()
    })
}

/// Whether a node may be reached under `host`.
///
/// # Errors
/// [`Usage`], with what is allowed.
pub(crate) fn check_host(host: &str) -> anyhow::Result<()> {
    if host.parse::<std::net::IpAddr>().is_ok() || (host.contains(|c| c != '.') && is_host_name(host)) {
        return Ok(());
    }
    Err(Usage(format!(
        "{host:?} is neither an IP address nor a host name (give no port and no brackets here)"
    ))
    .into())
}

fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last_is_number =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_and_host_names() {
        for (name, good) in [
            ("node1", true),
            ("web_2.example", true),
            ("", false),
            ("a/b", false),
            ("..", false),
            (".hidden", false),
            ("a b", false),
            ("-x", false),
            ("CA", false),
            ("index.json", false),
            ("node1.key", false),
            ("n\u{f6}de", false),
            ("a\nb", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
        assert!(check_name(&"a".repeat(63)).is_ok() && check_name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        for (host, good) in [
            ("192.0.2.11", true),
            ("2001:db8::1", true),
            ("node1.example", true),
            ("localhost", true),
            ("192.0.2.300", false),
            ("192.0.2.11:9443", false),
            ("[2001:db8::1]", false),
            ("", false),
            ("a..b", false),
            ("*.example", false),
        ] {
            assert_eq!(check_host(host).is_ok(), good, "{host:?}");
        }
    }
}
