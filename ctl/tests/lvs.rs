//! `haclusterctl lvs` as its users meet it, with scripted agents.
#![allow(clippy::unwrap_used)]

mod common;

use common::cluster::FakeCluster;
use common::fake::{Fake, Script, snapshot};
use common::{command, told};
use hacluster_proto::v1;
use std::sync::Arc;
use tonic::Status;

fn run(agent: &Fake, arguments: &[&str]) -> (Option<i32>, String, String) {
    let at = ["--run-dir", agent.run_dir().to_str().unwrap()];
    told(&command(&[&at, arguments].concat()).output().unwrap())
}

fn server(address: &str, up: bool, weight: u32) -> v1::LvsServer {
    let check = v1::LvsCheck {
        name: format!("TCP check of {address}"),
        verdict: if up { v1::LvsVerdict::Good } else { v1::LvsVerdict::Bad }.into(),
        up,
        text: if up { "takes connections" } else { "connection refused" }.to_owned(),
        ..Default::default()
    };
    v1::LvsServer {
        address: address.to_owned(),
        forwarding: "DR".to_owned(),
        up,
        text: if up { String::new() } else { format!("TCP check of {address}: connection refused") },
        weight_configured: weight,
        weight,
        placed: up,
        checks: vec![check],
        connections_active: 7 * weight,
        ..Default::default()
    }
}

fn service(up: bool, servers: Vec<v1::LvsServer>) -> v1::LvsService {
    v1::LvsService {
        name: "10.0.0.1 80".to_owned(),
        frontends: vec!["TCP 10.0.0.1:80".to_owned()],
        scheduler: "wrr".to_owned(),
        up,
        text: if up { String::new() } else { "weight 0 up of 1 needed; nobody answers".to_owned() },
        weight_up: servers.iter().filter(|server| server.up).map(|server| u64::from(server.weight)).sum(),
        weight_needed: 1,
        servers,
        ..Default::default()
    }
}

fn agent(services: Vec<v1::LvsService>) -> Script {
    let lvs = v1::ListLvsResponse { services, ..Default::default() };
    Script { snapshot: snapshot("node1", vec![]), lvs, ..Script::default() }
}

#[test]
fn what_is_balanced_is_shown_with_what_is_wrong_and_the_exit_status_says_so() {
    let well = Fake::start(agent(vec![service(true, vec![server("10.0.0.2:80", true, 3)])]));
    let (status, out, _) = run(&well, &["lvs"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.starts_with("NODE node1   1 virtual server   as it should be\n"), "{out}");
    assert!(out.contains("TCP 10.0.0.1:80 (wrr)   up for"), "{out}");
    assert!(out.contains("10.0.0.2:80  DR   3       up"), "{out}");
    let servers = vec![server("10.0.0.2:80", false, 3), server("10.0.0.3:80", false, 1)];
    let ill = Fake::start(agent(vec![service(false, servers)]));
    let (status, out, _) = run(&ill, &["lvs"]);
    assert_eq!(status, Some(1), "{out}");
    for words in ["NO QUORUM", "DOWN", "connection refused", "nobody answers", "DEGRADED: 1 warning"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (_, out, _) = run(&ill, &["lvs", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["health"], "degraded");
    assert_eq!(json["nodes"][0]["services"][0]["servers"][0]["state"], "down");
    assert_eq!(json["warnings"][0]["kind"], "no_quorum");
}

#[test]
fn a_kernel_that_does_not_balance_is_a_warning_with_its_mend() {
    let mut script = agent(vec![service(true, vec![server("10.0.0.2:80", true, 1)])]);
    script.lvs.absent = "cannot reach IPVS in the kernel: no ip_vs; load it with `modprobe ip_vs`".to_owned();
    let agent = Fake::start(script);
    let (status, out, _) = run(&agent, &["lvs"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(
        out.contains("node1 balances nothing") && out.contains("mend: load it with `modprobe ip_vs`"),
        "{out}"
    );
}

#[test]
fn a_virtual_server_that_nobody_has_is_named_with_those_there_are() {
    let agent = Fake::start(agent(vec![service(true, vec![server("10.0.0.2:80", true, 1)])]));
    let (status, out, err) = run(&agent, &["lvs", "10.0.0.1:81"]);
    assert_eq!((status, out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("no virtual server is called `10.0.0.1:81`; did you mean `10.0.0.1 80`?"), "{err}");
    for typed in ["10.0.0.1 80", "10.0.0.1:80", "TCP 10.0.0.1:80"] {
        assert_eq!(run(&agent, &["lvs", typed]).0, Some(0), "{typed}");
    }
}

/// Whoever takes over would answer differently: what is configured, and whom the nodes reach.
#[test]
fn nodes_that_balance_differently_are_told_apart() {
    let [one, two] = ["10.0.0.2:80", "10.0.0.3:80"];
    let usual = || service(true, vec![server(one, true, 1), server(two, true, 1)]);
    let other = |name: &str| v1::LvsService { name: name.to_owned(), ..usual() };
    let table = [
        (vec![usual()], None),
        (
            vec![service(true, vec![server(one, true, 1)])],
            Some("is not configured the same on node1 and node2"),
        ),
        (
            vec![v1::LvsService { scheduler: "rr".to_owned(), ..usual() }],
            Some("is not configured the same on node1 and node2"),
        ),
        (
            vec![service(true, vec![server(one, true, 1), server(two, false, 1)])],
            Some("10.0.0.3:80 is up on node1 and down on node2"),
        ),
        (vec![], Some("is on node1, not on node2")),
        (vec![usual(), other("10.0.0.9 80")], Some("is on node2, not on node1")),
    ];
    for (theirs, told_as) in table {
        let second = Script { snapshot: snapshot("node2", vec![]), ..agent(theirs) };
        let cluster = FakeCluster::start(vec![agent(vec![usual()]), second], 0);
        let (status, out, err) = told(&cluster.command(&["lvs", "-o", "json"]).output().unwrap());
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let odd: Vec<_> = json["warnings"].as_array().unwrap().iter().collect();
        let odd: Vec<_> = odd.into_iter().filter(|warning| warning["kind"] == "differs").collect();
        assert_eq!(odd.len(), usize::from(told_as.is_some()), "{told_as:?}: {out}{err}");
        let Some(words) = told_as else { continue };
        assert_eq!(status, Some(1), "{words}: {out}{err}");
        assert!(odd[0]["text"].as_str().unwrap().contains(words), "{words}: {out}");
        assert!(odd[0]["mend"].as_str().unwrap().starts_with("haclusterctl config diff node1"), "{out}");
    }
}

/// Answers as an agent whose only virtual server loses its quorum by it, or not.
fn obeys(keeps_quorum: bool) -> Script {
    let answer = move |request: v1::SetServerRequest| {
        if request.server == "10.9.9.9" {
            return Err(Status::not_found("no real server is at 10.9.9.9; there are 10.0.0.2:80"));
        }
        let change = v1::ServerChange {
            service: "10.0.0.1 80".to_owned(),
            server: "10.0.0.2:80".to_owned(),
            weight_before: 3,
            weight_now: request.weight.unwrap_or(3),
            up: true,
            had_quorum: true,
            quorum: keeps_quorum,
        };
        let text = if request.dry_run { "would be drained" } else { "drained" }.to_owned();
        Ok(v1::SetServerResponse { changes: vec![change], text })
    };
    Script { set_server: Some(Arc::new(answer)), ..agent(vec![]) }
}

#[test]
fn a_drain_says_who_why_and_for_how_long() {
    let agent = Fake::start(obeys(true));
    let (status, out, err) =
        run(&agent, &["lvs", "drain", "10.0.0.2", "--service", "web", "--for", "2h", "--reason", "disk"]);
    assert_eq!((status, out.as_str()), (Some(0), "node1  drained\n"), "{err}");
    let seen = agent.seen();
    let last = seen.last().unwrap();
    for part in [
        "server: \"10.0.0.2\"",
        "service: \"web\"",
        "weight: Some(0)",
        "reason: \"disk\"",
        "seconds: 7200",
        "dry_run: false",
    ] {
        assert!(last.contains(part), "{part} in {last}");
    }
    let (status, ..) = run(&agent, &["lvs", "weight", "10.0.0.2", "5"]);
    assert_eq!(status, Some(0));
    assert!(agent.seen().last().unwrap().contains("weight: Some(5)"));
    let (status, ..) = run(&agent, &["lvs", "enable", "10.0.0.2"]);
    assert_eq!(status, Some(0));
    assert!(agent.seen().last().unwrap().contains("weight: None"));
}

#[test]
fn what_costs_a_quorum_is_asked_for() {
    let agent = Fake::start(obeys(false));
    let (status, _, err) = run(&agent, &["lvs", "drain", "10.0.0.2"]);
    assert_eq!(status, Some(3), "{err}");
    assert!(err.contains("would be drained") && err.contains("--yes"), "{err}");
    assert!(!agent.seen().last().unwrap().contains("dry_run: false"), "{:?}", agent.seen());
    let (status, out, _) = run(&agent, &["lvs", "drain", "10.0.0.2", "--yes"]);
    assert_eq!((status, out.as_str()), (Some(0), "node1  drained\n"));
}

#[test]
fn a_real_server_that_nobody_has_is_an_error_with_those_there_are() {
    let agent = Fake::start(obeys(true));
    let (status, out, err) = run(&agent, &["lvs", "drain", "10.9.9.9"]);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(format!("{out}{err}").contains("there are 10.0.0.2:80"), "{out}{err}");
}

#[test]
fn the_real_servers_side_needs_no_agent() {
    let print = ["lvs", "realserver", "10.0.0.1", "--print"];
    let (status, out, _) = told(&command(&print).output().unwrap());
    assert_eq!(status, Some(0));
    assert!(out.contains("arp_announce=2") && out.ends_with("ip address add 10.0.0.1/32 dev lo\n"), "{out}");
    let (status, out, _) =
        told(&command(&["lvs", "realserver", "203.0.113.77", "--check"]).output().unwrap());
    assert_eq!(status, Some(1));
    assert!(out.contains("203.0.113.77 is not on lo"), "{out}");
    let (status, ..) = told(&command(&["lvs", "realserver", "203.0.113.77"]).output().unwrap());
    assert_eq!(status, Some(3), "what to do must be said");
}
