//! Lines as people write them.

use super::*;

fn read_route(text: &str) -> Result<String, (usize, &'static str, String)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let route = route(&words).map_err(|wrong| (wrong.at, wrong.code, wrong.message))?;
    let shown = route.to_string();
    assert_eq!(shown.parse(), Ok(route), "{shown} does not read back");
    Ok(shown)
}

fn read_rule(text: &str) -> Result<String, (usize, &'static str, String)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let rule = rule(&words).map_err(|wrong| (wrong.at, wrong.code, wrong.message))?;
    let shown = rule.to_string();
    assert_eq!(shown.parse(), Ok(rule), "{shown} does not read back");
    Ok(shown)
}

#[test]
fn routes() {
    for (text, shown) in [
        (
            "src 192.168.100.1 to 192.168.109.0/24 via 192.168.200.254 dev eth1",
            "192.168.109.0/24 via 192.168.200.254 dev eth1 src 192.168.100.1",
        ),
        ("192.168.110.0/24 via 192.168.200.254 dev eth1", "192.168.110.0/24 via 192.168.200.254 dev eth1"),
        ("192.168.111.0/24 dev eth2", "192.168.111.0/24 dev eth2"),
        ("192.168.112.0/24 gw 192.168.100.254", "192.168.112.0/24 via 192.168.100.254"),
        ("10.1.2.3/8 dev a", "10.0.0.0/8 dev a"),
        ("10.1.2.3 dev a", "10.1.2.3/32 dev a"),
        ("default via 10.0.0.1", "default via 10.0.0.1"),
        ("to 0.0.0.0/0 via inet 10.0.0.1", "default via 10.0.0.1"),
        (
            "10.2.0.0/16 via 10.0.0.1 or 10.0.0.2 dev a",
            "10.2.0.0/16 nexthop via 10.0.0.1 dev a nexthop via 10.0.0.2 dev a",
        ),
        (
            "10.2.0.0/16 nexthop via 10.0.0.1 weight 2 nexthop dev b onlink table 100",
            "10.2.0.0/16 nexthop via 10.0.0.1 weight 2 nexthop dev b onlink table 100",
        ),
        ("10.2.0.0/16 nexthop dev b weight 3", "10.2.0.0/16 nexthop dev b weight 3"),
        ("blackhole 10.3.0.0/16", "blackhole 10.3.0.0/16"),
        ("10.3.0.0/16 unreachable metric 5 table 0x10", "unreachable 10.3.0.0/16 table 16 metric 5"),
        (
            "10.4.0.0/16 dev a scope link tos 0x10 mtu lock 1400 advmss 1000 priority 7 table main no_track",
            "10.4.0.0/16 dev a scope 253 metric 7 tos 16 mtu lock 1400 advmss 1000 no_track",
        ),
    ] {
        assert_eq!(read_route(text).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn lines_that_are_no_routes() {
    for (text, at, code, part) in [
        ("", 0, "missing-parameter", "no destination"),
        ("via 10.0.0.1", 0, "missing-parameter", "no destination"),
        ("10.1.0.0/16", 0, "missing-parameter", "nowhere"),
        ("10.1.0.0/16 or 10.0.0.1", 0, "missing-parameter", "`or`"),
        ("10.1.0.0/16 nexthop weight 3", 0, "missing-parameter", "nexthop"),
        ("blackhole 10.1.0.0/16 dev a", 0, "missing-parameter", "sends nothing"),
        ("src $SRC_IP to $DST_IP dev $SRC_DEVICE", 1, "bad-value", "`$SRC_IP` is not an IPv4 address"),
        ("to $DST_IP dev a", 1, "bad-address", "`$DST_IP`"),
        ("10.1.0.0/33 dev a", 0, "bad-address", "`10.1.0.0/33`"),
        ("10.1.0.0/16 dev", 1, "missing-parameter", "`dev` needs a value"),
        ("10.1.0.0/16 dev a/b", 2, "bad-value", "interface"),
        ("10.1.0.0/16 dev a metric -1", 4, "bad-value", "`-1`"),
        ("10.1.0.0/16 dev a mtu lock", 4, "missing-parameter", "lock"),
        ("10.1.0.0/16 dev a table no_such_table", 4, "bad-value", "table"),
        ("10.1.0.0/16 dev a proto 5", 3, "bad-option", "`proto`"),
        ("10.1.0.0/16 10.2.0.0/16 dev a", 1, "bad-option", "`10.2.0.0/16`"),
        ("2001:db8::/32 dev a", 0, "refused-ipv6", "IPv6"),
        ("10.1.0.0/16 via 2001:db8::1", 2, "refused-ipv6", "IPv6"),
    ] {
        let (found_at, found_code, message) = read_route(text).unwrap_err();
        assert_eq!((found_at, found_code), (at, code), "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn rules() {
    for (text, shown) in [
        ("from 10.1.0.0/16 table 100", "from 10.1.0.0/16 table 100"),
        ("to 10.1.2.3 lookup main priority 50", "from all to 10.1.2.3/32 priority 50 table 254"),
        (
            "not from all fwmark 0x10/0xff iif eth0 oif eth1 tos 8 prohibit",
            "not from all tos 8 fwmark 0x10/0xff iif eth0 oif eth1 prohibit",
        ),
        (
            "ipproto tcp sport 80 dport 1000-2000 uidrange 0-99 pref 7 table 9 suppress_prefixlength 0 no_track",
            "from all ipproto 6 sport 80 dport 1000-2000 uidrange 0-99 priority 7 table 9 suppress_prefixlength 0 no_track",
        ),
        ("fwmark 5 blackhole", "from all fwmark 0x5 blackhole"),
    ] {
        assert_eq!(read_rule(text).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn lines_that_are_no_rules() {
    for (text, at, code) in [
        ("", 0, "missing-parameter"),
        ("from 10.0.0.0/8", 0, "missing-parameter"),
        ("from table 7", 1, "bad-address"),
        ("from all table", 2, "missing-parameter"),
        ("fwmark 1/2/3 table 7", 1, "bad-value"),
        ("dport 20-10 table 7", 1, "bad-value"),
        ("goto 5", 0, "bad-option"),
        ("from 2001:db8::/32 table 7", 1, "refused-ipv6"),
    ] {
        let (found_at, found_code, message) = read_rule(text).unwrap_err();
        assert_eq!((found_at, found_code), (at, code), "{text}: {message}");
    }
}
