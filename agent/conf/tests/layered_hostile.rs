//! `agent.toml` that is large, or nonsense: read in bounded time, and never a panic.

use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered, render};
use proptest::prelude::*;
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";

fn files(main: &str) -> Memory {
    Memory::new(MAIN, main)
}

fn load(source: &Memory) -> Loaded {
    layered::load(Path::new(MAIN), source)
}

#[test]
fn many_virtual_routers_are_read_in_linear_time() {
    let time = |routers: usize| {
        let one = |n: usize| {
            let list: Vec<String> = (0..5)
                .map(|k| n * 5 + k)
                .map(|k| format!("\"10.{}.{}.{}\"", k / 60_000, k / 250 % 240, k % 250 + 1))
                .collect();
            let (dev, vrid) = (n / 255, n % 255 + 1);
            format!(
                "[[virtual_router]]\nname = \"r{n}\"\ninterface = \"e{dev}\"\nvrid = {vrid}\naddresses = [{}]\n",
                list.join(",")
            )
        };
        let source = files(&(0..routers).map(one).collect::<String>());
        let start = std::time::Instant::now();
        let loaded = load(&source);
        let took = start.elapsed();
        assert!(loaded.diagnostics.is_empty());
        assert_eq!(loaded.config.routers.len(), routers);
        took
    };
    // Twenty times the text; a reader that is quadratic takes 400 times as long, every time.
    let times: Vec<_> = (0..3).map(|_| (time(200), time(4000))).collect();
    assert!(times.iter().any(|(small, large)| *large < *small * 150), "200 and 4000 routers: {times:?}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}", value in ".{0,20}") {
        load(&files(&text).with_env("HACLUSTER_GLOBAL__STARTUP_DELAY", &value));
        load(&files(&format!("[[virtual_router]]\nname=\"A\"\n{text}")));
    }

    #[test]
    fn no_combination_of_keys_and_values_panics(
        lines in proptest::collection::vec((
            prop_oneof![
                Just("[agent]\n"), Just("[global]\n"), Just("[[virtual_router]]\nname='a'\n"), Just("[virtual_router.garp]\n"),
                Just("priority="), Just("addresses="), Just("auth_pass="), Just("preempt_delay="), Just("vrid="), Just("a.b.c="),
            ],
            prop_oneof![Just("1"), Just("'x'"), Just("[[]]"), Just("[{}]"), Just("{ip='1.2.3.4'}"), Just("1e300"), Just("inf"), Just("07:32:00"), Just("")],
        ), 0..12),
    ) {
        let text: String = lines
            .iter()
            .map(|(key, value)| if key.ends_with('\n') { (*key).to_owned() } else { format!("{key}{value}\n") })
            .collect();
        let loaded = load(&files(&text));
        render::text(&loaded.diagnostics, &loaded.sources, false);
    }

    #[test]
    fn no_combination_of_keys_of_virtual_servers_panics(
        lines in proptest::collection::vec((
            prop_oneof![
                Just("[lvs]\n"), Just("[lvs.sync]\n"), Just("[[virtual_server]]\nname='a'\n"), Just("[[virtual_server]]\nname='b'\n"),
                Just("[[virtual_server.real_server]]\n"), Just("[[virtual_server.real_server.check]]\n"),
                Just("addresses="), Just("marks="), Just("scheduler="), Just("persistence="), Just("quorum="), Just("sorry_server="),
                Just("address="), Just("weight="), Just("check="), Just("kind="), Just("urls="), Just("to="), Just("payload="),
                Just("delay_loop="), Just("real_server="), Just("protocol="),
            ],
            prop_oneof![
                Just("1"), Just("0"), Just("'10.0.0.1:80'"), Just("['10.0.0.1-9:80']"), Just("[7]"), Just("'http'"), Just("'dns'"),
                Just("[{kind='tcp'}]"), Just("[{path='/', regex='(?=x)'}]"), Just("[{}]"), Just("{}"), Just("1e300"), Just("'rr'"), Just("true"),
            ],
        ), 0..16),
    ) {
        let text: String = lines
            .iter()
            .map(|(key, value)| if key.ends_with('\n') { (*key).to_owned() } else { format!("{key}{value}\n") })
            .collect();
        let loaded = load(&files(&text));
        assert!(loaded.diagnostics.iter().all(|found| found.span.is_some()), "{:?}", loaded.diagnostics);
        render::text(&loaded.diagnostics, &loaded.sources, false);
    }
}
