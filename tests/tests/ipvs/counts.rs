//! What the kernel counts of virtual servers, on the Prometheus page.

use crate::scene::{Daemon, SERVERS, VIP, flat, stage};
use anyhow::{Result, ensure};
use hacluster_lab::{Agent, wait_until};
use hacluster_tests::harness::Suite;
use hacluster_tests::page::{has_all, is_of_the_kernel, samples, value, wanted};
use std::fs;

/// Requests of the client.
const REQUESTS: usize = 6;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("counts::what_dashboards_ask_of_the_kernel_is_on_a_real_page", on_the_page);
}

fn on_the_page() -> Result<()> {
    let wanted = wanted()?.into_iter().filter(|name| is_of_the_kernel(name)).collect();
    stage(Daemon::Agent, flat, &[], |scene| {
        scene.take(VIP)?;
        SERVERS.into_iter().try_for_each(|name| scene.serve(name))?;
        let director = scene.host("director1")?;
        let file = director.directory().join("agent.toml");
        fs::write(&file, "[telemetry]\nprometheus = \"127.0.0.1:9650\"\n")?;
        let server = |ip: &str| format!(" real_server {ip} 80 {{\n  weight 1\n  TCP_CHECK {{\n  }}\n }}\n");
        let config = format!(
            "vrrp_instance VI {{\n state MASTER\n interface eth0\n virtual_router_id 51\n priority 100\n \
             virtual_ipaddress {{\n  {VIP}/32\n }}\n}}\nvirtual_server {VIP} 80 {{\n delay_loop 1\n lb_algo rr\n \
             lb_kind DR\n protocol TCP\n{}{}}}\n",
            server("10.0.0.21"),
            server("10.0.0.22")
        );
        let toml = file.to_string_lossy().into_owned();
        let _agent = Agent::find()?.start_with(director, &config, &["--agent-config", &toml])?;
        scene.holds("director1", VIP)?;
        scene.answered(VIP)?;
        scene.shares(VIP, &[("one", REQUESTS / 2), ("two", REQUESTS / 2)])?;
        has_all(director, &wanted)?;
        let connections = || -> Result<f64> {
            let (_, samples) = samples(director)?;
            value(&samples, "hacluster_lvs_service_connections_total", &[])
        };
        let many = wait_until("the kernel's count", hacluster_lab::LIMIT, || {
            let count = connections()?;
            Ok((count >= REQUESTS as f64).then_some(count))
        })?;
        ensure!(many < 10.0 * REQUESTS as f64, "{many} connections");
        Ok(())
    })
}
