//! Routes, rules and what is static, as written in agent.toml.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered};
use std::path::Path;

fn load(text: &str) -> Loaded {
    const MAIN: &str = "/etc/hacluster/agent.toml";
    layered::load(Path::new(MAIN), &Memory::new(MAIN, text))
}

#[test]
fn they_are_lists_of_lines() {
    let loaded = load(
        r#"
[global]
static_addresses = [{ ip = "10.0.0.1/24", dev = "eth2" }]
static_routes = ["default via 10.0.0.254 table 100"]
static_rules = ["from 10.0.0.0/24 table 100"]
[[virtual_router]]
name = "VI_1"
interface = "eth0"
vrid = 51
addresses = ["192.0.2.80/24"]
routes = ["198.51.100.0/24 gw 192.0.2.254 dev eth1 metric 5", "blackhole 203.0.113.0/24"]
rules = ["from 192.0.2.1 table 100"]
"#,
    );
    assert_eq!(loaded.diagnostics, []);
    let router = &loaded.config.routers[0];
    assert_eq!(router.routes[0].to_string(), "198.51.100.0/24 via 192.0.2.254 dev eth1 metric 5");
    assert_eq!(router.routes[1..], ["blackhole 203.0.113.0/24".parse().unwrap()]);
    assert_eq!(router.rules, ["from 192.0.2.1/32 table 100".parse().unwrap()]);
    let statics = &loaded.config.statics;
    assert_eq!(statics.addresses[0].dev.as_deref(), Some("eth2"));
    assert_eq!(statics.routes, ["default via 10.0.0.254 table 100".parse().unwrap()]);
    assert_eq!(statics.rules, ["from 10.0.0.0/24 table 100".parse().unwrap()]);
}

#[test]
fn a_line_that_makes_no_sense_is_named() {
    let loaded = load(
        "[global]\nstatic_addresses = [\"10.0.0.1/24\"]\nstatic_routes = [\"10.0.0.0/8\", 7]\n\
         static_rules = [\"from 10.0.0.0/8\"]\n",
    );
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|found| {
            let at = loaded.sources.line_column(found.span.as_ref().unwrap());
            (at, found.message.as_str())
        })
        .collect();
    let expected = [
        ((2, 20), "the static address 10.0.0.1/24 names no interface: it is not set"),
        ((3, 18), "`10.0.0.0/8` cannot be set: the route leads nowhere"),
        ((3, 32), "`` cannot be set: the route has no destination"),
        ((4, 17), "`from 10.0.0.0/8` cannot be set: the rule does nothing"),
    ];
    assert_eq!(found, expected);
}
