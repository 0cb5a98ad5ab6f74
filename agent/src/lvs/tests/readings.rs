//! What trackers read of virtual servers.

use super::*;

#[test]
fn a_virtual_server_that_the_kernel_refuses_is_down_with_the_refusal_as_reason_and_up_again_after_it() {
    let stage = Stage::open();
    stage.kernel.refuse_servers(vec![80]);
    stage.configure(vec![web()]);
    let mut readings = stage.readings.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut reads = |up: bool| {
        let is = |all: &Option<Arc<super::super::Readings>>| {
            all.as_ref().and_then(|all| all.get("10.0.0.1 80")).is_some_and(|reading| reading.up == up)
        };
        let waited = async {
            tokio::time::timeout(Duration::from_secs(20), readings.wait_for(is))
                .await
                .unwrap()
                .unwrap()
                .clone()
        };
        let all = runtime.block_on(waited);
        all.unwrap()["10.0.0.1 80"].why.clone()
    };
    let why = reads(false);
    assert!(why.contains("do it"), "{why}");
    stage.kernel.refuse_servers(Vec::new());
    reads(true);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.stop();
}

#[test]
fn timeouts_alone_are_something_to_do() {
    let mut config = config(Vec::new());
    assert!(super::super::is_idle(&config.lvs));
    config.lvs.timeouts.udp = Some(Span::from_secs(5));
    assert!(!super::super::is_idle(&config.lvs));
}
