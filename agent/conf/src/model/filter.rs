//! The packet filter that keeps virtual addresses from being served.

/// How the filter's table is set up; whether there is one follows from the virtual routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketFilter {
    /// Name of the nftables table; one of the agent's own choice when `None`.
    pub table: Option<String>,
    /// Priority of its chains: lower sees packets earlier, 0 is where firewalls usually are.
    pub priority: i32,
    /// Count what is dropped.
    pub counters: bool,
}

impl PacketFilter {
    /// Longest name of a table, in bytes: room is left for what tells two agents apart.
    pub const NAME_MAX: usize = 64;

    /// Whether nftables, and its users' shells, take `name` for a table.
    pub fn is_table_name(name: &str) -> bool {
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let known = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
        begins && name.len() <= Self::NAME_MAX && name.chars().all(known)
    }
}

impl Default for PacketFilter {
    fn default() -> Self {
        Self { table: None, priority: -1, counters: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_would_misread_are_none() {
        for good in ["keepalived", "vrrp_1", "a-b.c"] {
            assert!(PacketFilter::is_table_name(good), "{good}");
        }
        for bad in ["", "1a", "a b", "a;b", "ä", &"x".repeat(65)] {
            assert!(!PacketFilter::is_table_name(bad), "{bad}");
        }
    }
}
