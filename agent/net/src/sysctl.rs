//! Per-interface IPv4 settings under `/proc/sys/net/ipv4/conf`, of the calling thread's namespace.

use crate::NetError;
use nix::errno::Errno;
use std::{fs, path::PathBuf};

/// Reads a number such as `arp_ignore` of `interface`; "all" and "default" are interfaces here.
pub fn read(interface: &str, setting: &str) -> Result<i32, NetError> {
    let attempt = || format!("read the setting {setting} of {interface}");
    let path = path(interface, setting).ok_or_else(|| NetError::new(attempt(), Errno::EINVAL))?;
    let text = fs::read_to_string(path).map_err(|error| NetError::from_io(attempt(), &error))?;
    text.trim().parse().map_err(|_| NetError::new(attempt(), Errno::EBADMSG))
}

/// Writes a number such as `promote_secondaries` of `interface`.
pub fn write(interface: &str, setting: &str, value: i32) -> Result<(), NetError> {
    let attempt = || format!("set {setting} of {interface} to {value}");
    let path = path(interface, setting).ok_or_else(|| NetError::new(attempt(), Errno::EINVAL))?;
    fs::write(path, value.to_string()).map_err(|error| NetError::from_io(attempt(), &error))
}

/// `None` for names that would lead out of the folder. Dots are fine: `eth0.5` is a folder of its own.
fn path(interface: &str, setting: &str) -> Option<PathBuf> {
    let odd = |name: &str| name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    (!odd(interface) && !odd(setting))
        .then(|| ["/proc/sys/net/ipv4/conf", interface, setting].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_elsewhere() {
        for name in ["", ".", "..", "../../../kernel", "a/b"] {
            assert_eq!(read(name, "arp_ignore").unwrap_err().errno(), Errno::EINVAL);
            assert_eq!(write("lo", name, 1).unwrap_err().errno(), Errno::EINVAL);
        }
        assert!(path("eth0.5", "arp_ignore").unwrap().ends_with("eth0.5/arp_ignore"));
    }
}
