//! Verbs that change something in a cluster of several nodes, over TLS.
#![allow(clippy::unwrap_used)]

mod common;

use common::cluster::FakeCluster;
use common::fake::{self, Script, always};
use common::samples::willing;
use common::told;
use hacluster_proto::v1::{self, State};

/// node1 follows node2's adverts, node2 rules, node3 is down.
fn three() -> FakeCluster {
    let backup = Script {
        snapshot: fake::snapshot("node1", vec![fake::router("VI_1", 51, State::Backup, 100)]),
        ..Default::default()
    };
    let paused = always(v1::PauseResponse { hold: None, text: "takes nothing".to_owned() });
    let mut router = fake::router("vi_1", 51, State::Master, 90);
    router.name = "WEB".to_owned();
    let ruling =
        Script { snapshot: fake::snapshot("node2", vec![router]), pause: paused.clone(), ..willing() };
    FakeCluster::start(vec![Script { pause: paused, ..backup }, ruling], 1)
}

#[test]
fn of_several_nodes_the_ruling_one_is_asked_over_tls() {
    let cluster = three();
    let (status, out, err) =
        told(&cluster.command(&["failover", "vi_1", "--to", "NODE1", "--dry-run"]).output().unwrap());
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("! node3 does not answer"), "{out}");
    assert_eq!(cluster.nodes[0].seen().len(), 1, "only its snapshot: {:?}", cluster.nodes[0].seen());
    let asked = cluster.nodes[1].seen().pop().unwrap();
    assert!(asked.contains("router: \"WEB\"") && asked.contains("to_node: \"node1\""), "{asked}");
}

#[test]
fn a_pause_reaches_who_can_be_reached_and_ends_with_2() {
    let cluster = three();
    let (status, out, _) = told(&cluster.command(&["pause"]).output().unwrap());
    assert_eq!(status, Some(2), "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..2], ["node1  takes nothing", "node2  takes nothing"]);
    assert!(lines[2].starts_with("node3  ! "), "{out}");
    let (status, out, _) = told(&cluster.command(&["pause", "node2"]).output().unwrap());
    assert_eq!((status, out.as_str()), (Some(0), "node2  takes nothing\n"));
    let (status, _, err) = told(&cluster.command(&["drain", "node4", "--yes"]).output().unwrap());
    assert_eq!(status, Some(3));
    assert!(err.contains("node1, node2, node3") || err.contains("did you mean"), "{err}");
}

#[test]
fn two_masters_are_not_guessed_between() {
    let ruling = |name: &str| Script {
        snapshot: fake::snapshot(name, vec![fake::router("VI_1", 51, State::Master, 90)]),
        ..willing()
    };
    let cluster = FakeCluster::start(vec![ruling("node1"), ruling("node2")], 0);
    let (status, out, err) = told(&cluster.command(&["failover", "vi_1", "--yes"]).output().unwrap());
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("VI_1 has 2 masters: node1 Master (priority 90), node2 Master"), "{err}");
    let asked = |node: usize| cluster.nodes[node].seen().len();
    assert_eq!([asked(0), asked(1)], [1, 1], "snapshots only");
    let (status, _, err) =
        told(&cluster.command(&["failover", "vi_1", "--to", "node1", "--yes"]).output().unwrap());
    assert_eq!(status, Some(0), "{err}");
    assert!(cluster.nodes[1].seen().pop().unwrap().contains("to_node: \"node1\""), "node2 gives way");
}
