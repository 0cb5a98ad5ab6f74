//! What people see, as texts.

use super::{table, yaml};
use crate::view::{Event, Status};
use hacluster_proto::v1;
use prost_types::Timestamp;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn router(name: &str, vrid: u32, state: v1::State) -> v1::VirtualRouter {
    let ruling = state == v1::State::Master;
    let reason = v1::Reason { kind: v1::ReasonKind::Fault.into(), text: "the interface has no link".into() };
    v1::VirtualRouter {
        name: name.into(),
        vrid,
        interface: "eth0".into(),
        state: state.into(),
        since: at(1_000_000),
        last_transition: Some(v1::Transition {
            from: v1::State::Initialize.into(),
            to: state.into(),
            reason: Some(reason),
            priority: 100,
            at: at(1_000_000),
        }),
        priority_base: 100,
        priority_effective: 100,
        master_address: if state == v1::State::Backup { "192.168.4.200".into() } else { String::new() },
        addresses: vec![v1::Address {
            address: format!("192.168.4.{vrid}/24"),
            interface: "eth0".into(),
            present: ruling,
            advertised: true,
        }],
        ..Default::default()
    }
}

fn answer(routers: Vec<v1::VirtualRouter>, file_state: v1::FileState) -> v1::GetSnapshotResponse {
    let configuration = v1::ConfigurationState {
        path: "/etc/keepalived/keepalived.conf".into(),
        file_state: file_state.into(),
        ..Default::default()
    };
    let node = v1::Node {
        name: "node1".into(),
        agent_version: "0.1.0".into(),
        started: at(999_900),
        now: at(1_000_180),
        configuration: Some(configuration),
        ..Default::default()
    };
    v1::GetSnapshotResponse { node: Some(node), routers, refused: vec![], sequence: 7 }
}

#[test]
fn as_it_should_be() {
    let routers = vec![router("VI_1", 51, v1::State::Master), router("VI_2", 52, v1::State::Backup)];
    let status = Status::of(answer(routers, v1::FileState::Loaded), &[]).unwrap();
    assert!(!status.degraded);
    insta::assert_snapshot!(table::status(&status, false, false));
}

#[test]
fn degraded() {
    let mut answer = answer(vec![router("VI_1", 51, v1::State::Fault)], v1::FileState::Changed);
    answer.refused = vec![v1::RefusedRouter { name: "VI_6".into(), reason: "IPv6 is not supported".into() }];
    let status = Status::of(answer, &[]).unwrap();
    assert!(status.degraded);
    insta::assert_snapshot!(table::status(&status, true, false));
}

#[test]
fn one_router_for_programs() {
    let routers = vec![router("VI_1", 51, v1::State::Master), router("VI_2", 52, v1::State::Backup)];
    let status = Status::of(answer(routers, v1::FileState::Loaded), &["vi_2".to_owned()]).unwrap();
    insta::assert_snapshot!(yaml::text(&serde_json::to_value(&status).unwrap()));
}

#[test]
fn an_event_moves_no_cursor() {
    let event =
        v1::Event { router: "VI_1".into(), warning: true, text: "a\x1b[2J\nb".into(), ..Default::default() };
    assert_eq!(table::event(&Event::from(event)), "- ! VI_1: a\u{fffd}[2J\u{fffd}b\n");
}
