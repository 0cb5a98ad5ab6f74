//! What nodes tell collectors, and whether these take it: `status -o wide`.

use super::grid::{Cell, Grid, Tone};
use super::safe;
use crate::times::ago;
use crate::view::Status;

/// What collectors are told, one row for each signal and page; none where nobody is told.
pub(crate) fn grid(status: &Status) -> Option<Grid> {
    let mut grid =
        Grid::new(&["NODE", "TELEMETRY", "TO", "STATE", "SINCE", "TAKEN", "GIVEN UP", "FAILURES", "ERROR"]);
    for node in &status.nodes {
        let Some(agent) = &node.agent else { continue };
        let Some(of) = &agent.telemetry else { continue };
        let (to, page) = (of.otlp.as_deref().unwrap_or("-"), of.page_error.as_ref());
        for signal in &of.signals {
            let tone = if signal.state == "failing" { Tone::Odd } else { Tone::Plain };
            grid.rows.push(vec![
                safe(&node.name).into(),
                safe(&signal.name).into(),
                safe(to).into(),
                Cell::new(signal.state, tone),
                ago(signal.since, agent.now).into(),
                signal.exported.to_string().into(),
                signal.dropped.to_string().into(),
                signal.failures.to_string().into(),
                safe(signal.error.as_deref().unwrap_or("-")).into(),
            ]);
        }
        if let Some(at) = &of.prometheus {
            let state = page.map_or(Cell::from("up"), |_| Cell::new("failing", Tone::Odd));
            let mut row = vec![safe(&node.name).into(), "page".into(), safe(at).into(), state];
            row.resize(grid.head.len() - 1, Cell::from("-"));
            row.push(safe(page.map_or("-", |error| error)).into());
            grid.rows.push(row);
        }
    }
    Some(grid).filter(|grid| !grid.rows.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::output::status::{Style, text};
    use crate::view::samples::{Sample, ago, status};
    use hacluster_proto::v1::{self, State::*};

    const PLAIN: Style = Style { wide: false, color: false, columns: 80 };

    fn pair() -> [Sample; 2] {
        let backup = Sample::node("node2").router("VI_1", 191, Backup, 101).hears("192.0.2.11", 201);
        [Sample::node("node1").router("VI_1", 191, Master, 201), backup]
    }

    fn telemetry(error: &str) -> v1::Telemetry {
        let signal = |name: &str, error: &str, since| v1::TelemetrySignal {
            name: name.into(),
            since,
            error: error.into(),
            exported: 1_200,
            dropped: if error.is_empty() { 0 } else { 37 },
            failures: if error.is_empty() { 0 } else { 12 },
        };
        v1::Telemetry {
            otlp: "http://192.0.2.50:4317".into(),
            prometheus: "0.0.0.0:9650".into(),
            signals: vec![signal("traces", error, ago(240)), signal("metrics", "", ago(7_200))],
            ..Default::default()
        }
    }

    #[test]
    fn a_collector_that_refuses_is_noted_and_nothing_is_degraded() {
        let [one, two] = pair();
        let one = one.and(|node| node.telemetry = Some(telemetry("connection refused")));
        let two = two.and(|node| node.telemetry = Some(telemetry("")));
        let status = status(vec![one, two]);
        assert_eq!((status.health, status.notes.len()), ("ok", 1));
        insta::assert_snapshot!(text(&status, PLAIN));
        insta::assert_snapshot!(text(&status, Style { wide: true, ..PLAIN }));
        let told = serde_json::to_value(&status).unwrap();
        let signal = &told["nodes"][0]["agent"]["telemetry"]["signals"][0];
        assert_eq!((signal["state"].as_str(), signal["dropped"].as_u64()), (Some("failing"), Some(37)));
        assert_eq!(told["nodes"][1]["agent"]["telemetry"]["signals"][0]["state"], "up");
    }

    #[test]
    fn a_page_that_does_not_open_is_noted() {
        let [one, two] = pair();
        let closed = v1::Telemetry { page_error: "Address already in use".into(), ..telemetry("") };
        let status = status(vec![one.and(|node| node.telemetry = Some(closed)), two]);
        assert!(status.notes[0].text.contains("0.0.0.0:9650 is not open: Address already in use"));
    }
}
