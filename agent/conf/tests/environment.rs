//! Variables of the environment that were meant to override something and do not.

use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered, render};
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";
const VI_1: &str =
    "[[virtual_router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.80/24\"]\n";

#[test]
fn a_misspelt_variable_is_told_with_the_nearest_and_without_its_value() {
    let source = Memory::new(MAIN, VI_1)
        .with_env("HACLUSTER_AGENT__FAST_TAKEOVR", "secret")
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__PRIORTY", "secret")
        .with_env("HACLUSTER_GLOBAL_ROUTER_ID", "secret")
        .with_env("HACLUSTER_TELEMETRY__OTLP", "secret")
        .with_env("HACLUSTER_OPTIONS", "--agent-config x")
        .with_env("HACLUSTER_SOCKET", "/x");
    let loaded = layered::load(Path::new(MAIN), &source);
    assert_eq!(loaded.exit_status(), 1, "what was meant is not in force");
    insta::assert_snapshot!(render::report(&loaded, Path::new(MAIN), false));
}

#[test]
fn a_variable_that_would_count_beside_an_agent_toml_is_told() {
    let conf = "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.9/24\n }\n}\n";
    let source = Memory::new("/k.conf", conf).with_env("HACLUSTER_GLOBAL__ROUTER_ID", "a");
    let source = source.with("/agent.toml", "").with_env("HACLUSTER_OPTIONS", "");
    let of = |agent_config| hacluster_conf::load_with(Path::new("/k.conf"), agent_config, &source);
    let told = |loaded: &Loaded| loaded.diagnostics.iter().filter(|of| of.code == "unknown-variable").count();
    assert_eq!((told(&of(None)), of(None).config.global.router_id), (1, None));
    let both = of(Some(Path::new("/agent.toml")));
    assert_eq!((told(&both), both.config.global.router_id.as_deref()), (0, Some("a")));
}
