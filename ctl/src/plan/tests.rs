//! Whom to ask, by what the nodes answered.

use super::*;
use v1::State;

fn router(name: &str, vrid: u32, state: State, priority: u32) -> v1::VirtualRouter {
    let address =
        v1::Address { address: format!("192.0.2.{vrid}/24"), advertised: true, ..Default::default() };
    v1::VirtualRouter {
        name: name.to_owned(),
        vrid,
        state: state.into(),
        priority_effective: priority,
        source: format!("198.51.100.{priority}"),
        addresses: vec![address],
        ..Default::default()
    }
}

fn node(member: usize, routers: Vec<v1::VirtualRouter>) -> Known {
    let name = format!("node{}", member + 1);
    let node = v1::Node { name: name.clone(), ..Default::default() };
    let snapshot = v1::GetSnapshotResponse { node: Some(node), routers, ..Default::default() };
    Known { member, alias: name, snapshot: Ok(snapshot) }
}

fn dead(member: usize) -> Known {
    let snapshot = Err(NodeError::Unreachable("no answer within 3 s".to_owned()));
    Known { member, alias: format!("node{}", member + 1), snapshot }
}

fn pair(first: State, second: State) -> Vec<Known> {
    vec![node(0, vec![router("VI_1", 51, first, 100)]), node(1, vec![router("vi_1", 51, second, 90)])]
}

fn failover(nodes: &[Known], to_node: &str) -> Result<(String, String, String), String> {
    let asked = cast("vi_1", nodes).unwrap().failover(to_node);
    asked.map(|ask| (ask.node, ask.router, ask.to_node)).map_err(|declined| declined.0)
}

fn asks(node: &str, router: &str, to_node: &str) -> Result<(String, String, String), String> {
    Ok((node.to_owned(), router.to_owned(), to_node.to_owned()))
}

#[test]
fn the_ruling_node_is_asked_by_its_own_name_for_the_router() {
    assert_eq!(failover(&pair(State::Master, State::Backup), ""), asks("node1", "VI_1", ""));
    assert_eq!(failover(&pair(State::Backup, State::Master), "node1"), asks("node2", "vi_1", "node1"));
    let mut renamed = pair(State::Backup, State::Master);
    renamed[1] = node(1, vec![router("WEB", 51, State::Master, 90)]);
    assert_eq!(failover(&renamed, ""), asks("node2", "WEB", ""), "same VRID and addresses: the same router");
}

#[test]
fn a_master_without_an_agent_is_left_to_the_target() {
    let mut nodes = pair(State::Backup, State::Backup);
    nodes.push(dead(2));
    assert_eq!(failover(&nodes, "node2"), asks("node2", "vi_1", "node2"));
    assert_eq!(failover(&nodes, ""), asks("node1", "VI_1", ""), "the best backup");
    assert_eq!(failover(&nodes, "198.51.100.7"), asks("node1", "VI_1", "198.51.100.7"));
}

#[test]
fn two_masters_are_said_and_moved_only_to_a_named_node() {
    let nodes = pair(State::Master, State::Master);
    let declined = failover(&nodes, "").unwrap_err();
    assert!(declined.contains("VI_1 has 2 masters: node1 Master (priority 100), node2 Master (priority 90)"));
    assert!(declined.contains("--to NODE"), "{declined}");
    assert_eq!(failover(&nodes, "node1"), asks("node2", "vi_1", "node1"), "the other one has to give way");
}

#[test]
fn nobody_who_could_is_said_with_the_states_and_the_silent() {
    let mut nodes = pair(State::Fault, State::Initialize);
    nodes.push(dead(2));
    let declined = failover(&nodes, "").unwrap_err();
    for part in ["node1 in Fault", "node2 not running yet", "node3 does not answer (no answer within 3 s)"] {
        assert!(declined.contains(part), "{part} in {declined}");
    }
}

#[test]
fn a_name_that_means_several_lists_them() {
    let ambiguous = |routers: Vec<v1::VirtualRouter>, typed: &str| {
        let nodes = [node(0, routers)];
        cast(typed, &nodes).unwrap_err().to_string()
    };
    let two = || vec![router("VI_1", 51, State::Master, 1), router("Vi_1", 52, State::Backup, 1)];
    let text = ambiguous(two(), "vi_1");
    assert!(text.contains("VI_1 (VRID 51) on node1, Vi_1 (VRID 52) on node1"), "{text}");
    let nodes = [node(0, two())];
    assert_eq!(cast("Vi_1", &nodes).unwrap().parts[0].router.vrid, 52, "as written");
    let nodes = [
        node(0, vec![router("VI_1", 51, State::Master, 1)]),
        node(1, vec![router("VI_1", 52, State::Master, 1)]),
    ];
    assert!(cast("VI_1", &nodes).unwrap_err().is::<Usage>());
}

#[test]
fn the_same_number_on_another_network_is_another_router() {
    let mut elsewhere = router("MAIL", 51, State::Master, 100);
    elsewhere.addresses[0].address = "203.0.113.1/24".to_owned();
    let nodes = [node(0, vec![router("VI_1", 51, State::Master, 100)]), node(1, vec![elsewhere])];
    assert_eq!(cast("vi_1", &nodes).unwrap().parts.len(), 1);
}

#[test]
fn an_unknown_name_is_usage_unless_somebody_is_silent() {
    let mut nodes = pair(State::Master, State::Backup);
    let error = cast("VI_2", &nodes).unwrap_err();
    assert!(error.is::<Usage>() && error.to_string().contains("did you mean"), "{error}");
    nodes.push(dead(2));
    let error = cast("VI_2", &nodes).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(NodeError::Unreachable(_))), "{error}");
    assert!(error.to_string().contains("node3 does not answer"), "{error}");
    let error = cast("VI_1", &[dead(0), dead(1)]).unwrap_err();
    let both = "no node answers:\n  node1: no answer within 3 s\n  node2: no answer within 3 s";
    assert_eq!(error.to_string(), both);
    let error = cast("VI_1", &[dead(0)]).unwrap_err();
    assert_eq!(error.to_string(), "no answer within 3 s", "the only node's own words");
}

#[test]
fn targets_are_named_by_context_agent_peer_or_address() {
    let mut nodes = pair(State::Master, State::Backup);
    nodes[1].alias = "west".to_owned();
    if let Ok(snapshot) = &mut nodes[0].snapshot {
        let peer = v1::PeerLink { name: "node9".to_owned(), ..Default::default() };
        snapshot.node.get_or_insert_default().peers.push(peer);
    }
    let cast = cast("vi_1", &nodes).unwrap();
    let to = |typed| target(typed, &nodes, &cast).map_err(|usage| usage.0);
    for (typed, name) in
        [("NODE2", "node2"), ("west", "node2"), ("node9", "node9"), ("198.51.100.90", "node2")]
    {
        assert_eq!(to(typed), Ok(name.to_owned()), "{typed}");
    }
    assert_eq!(to("192.0.2.77"), Ok("192.0.2.77".to_owned()), "a node without an agent");
    assert!(to("nod2").unwrap_err().contains("there are: node1, node2, node9."));
}

#[test]
fn the_way_back_is_asked_of_who_holds_in_favour_of_the_master() {
    let hold = |to: &str| {
        Some(v1::Hold { kind: v1::HoldKind::Failover.into(), to_node: to.to_owned(), ..Default::default() })
    };
    let held = |state, priority, to: &str| v1::VirtualRouter {
        hold: hold(to),
        ..router("VI_1", 51, state, priority)
    };
    let nodes = [
        node(0, vec![held(State::Backup, 100, "node2")]),
        node(1, vec![held(State::Backup, 90, "node3")]),
        node(2, vec![router("VI_1", 51, State::Master, 80)]),
    ];
    assert_eq!(cast("vi_1", &nodes).unwrap().failback().unwrap().node, "node2");
    assert_eq!(
        cast("vi_1", &nodes[..1]).unwrap().failback().unwrap().node,
        "node1",
        "the master does not answer"
    );
    let plain = pair(State::Backup, State::Master);
    assert_eq!(
        cast("vi_1", &plain).unwrap().failback().unwrap().node,
        "node2",
        "it says that nothing is held"
    );
}
