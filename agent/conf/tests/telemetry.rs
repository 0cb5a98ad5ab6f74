//! `[telemetry]`: what it means, and what is refused.

use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered};
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";

fn load(text: &str) -> Loaded {
    layered::load(Path::new(MAIN), &Memory::new(MAIN, text))
}

fn findings(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(|found| format!("{} {}", found.code, found.message)).collect()
}

#[test]
fn telemetry() {
    let loaded = load(
        "[telemetry]\notlp = \"http://127.0.0.1:4317/\"\nprotocol = \"http\"\nlogs = false\ninterval = 5\n\
         prometheus = \"[::1]:9650\"\nkeepalived_names = true\nauthority = \"ca.crt\"\ncluster = \"edge-1\"",
    );
    assert_eq!(findings(&loaded), Vec::<String>::new());
    let telemetry = &loaded.config.telemetry;
    assert_eq!(telemetry.otlp.as_deref(), Some("http://127.0.0.1:4317"));
    assert_eq!(telemetry.cluster.as_deref(), Some("edge-1"));
    assert_eq!((telemetry.traces, telemetry.logs, telemetry.interval_ms), (true, false, 5_000));
    assert_eq!((telemetry.timeout_ms, &telemetry.headers_file), (10_000, &None));
    assert!(telemetry.keepalived_names && telemetry.prometheus.is_some() && telemetry.is_on());
    assert!(!load("[telemetry]\nmetrics = true").config.telemetry.is_on(), "off unless told where to");
    for wrong in [
        "otlp = \"127.0.0.1:4317\"",
        "otlp = \"http://user:secret@127.0.0.1:4317\"",
        "otlp = \"http://127.0.0.1:4317/v1\"",
        "protocol = \"smoke\"",
        "prometheus = \"224.0.0.1:9650\"",
        "interval = 0",
        "timeout = 0",
        "timeout = 61",
        "headers_file = \"\"",
        "cluster = \"\"",
        "cluster = \"a \\\"b\"",
        "nonsense = 1",
    ] {
        let loaded = load(&format!("[telemetry]\n{wrong}"));
        assert_eq!(findings(&loaded).len(), 1, "{wrong}: {:?}", findings(&loaded));
        assert!(!loaded.config.telemetry.is_on(), "{wrong}");
    }
}

#[test]
fn headers_that_everybody_on_the_way_could_read_are_warned_of() {
    for (place, told) in [
        ("http://127.0.0.1:4317", 0),
        ("http://[::1]:4317", 0),
        ("http://localhost:4318", 0),
        ("https://collector.example:4318", 0),
        ("http://collector.example:4318", 1),
        ("http://192.0.2.7:4317", 1),
    ] {
        let loaded =
            load(&format!("[telemetry]\notlp = {place:?}\nheaders_file = \"otlp.headers\"\ntimeout = 3"));
        assert_eq!(findings(&loaded).len(), told, "{place}: {:?}", findings(&loaded));
        assert!(findings(&loaded).iter().all(|found| found.starts_with("headers-in-clear ")));
        let telemetry = &loaded.config.telemetry;
        assert_eq!(telemetry.headers_file.as_deref(), Some(Path::new("/etc/hacluster/otlp.headers")));
        assert_eq!((telemetry.timeout_ms, telemetry.is_on()), (3_000, true));
    }
}
