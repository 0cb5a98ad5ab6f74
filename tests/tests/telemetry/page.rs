//! The Prometheus page of a running agent.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Running, Suite, VIP, hold, trio};
use hacluster_tests::page::{get, samples, value};
use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) const PAGE: &str =
    "\n[telemetry]\nprometheus = \"127.0.0.1:9650\"\nkeepalived_names = true\ncluster = \"lab\"\n";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_page_parses_and_says_what_is", says_what_is);
    suite.trial("a_backup_tells_whether_it_hears_a_master_and_who_resigned", hears);
    suite.trial("promtool_has_nothing_against_the_page", promtool);
}

fn says_what_is() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let router = Instance::new(100).master().with("track_script {\n        chk\n    }");
        let script = "vrrp_script chk {\n    script /bin/true\n    interval 1\n}\n";
        let left = cluster.start_with("left", format!("{script}{router}"), PAGE)?;
        hold(left.host, VIP)?;
        wait_until("adverts and the state on the page", LIMIT, || {
            let (_, samples) = samples(left.host)?;
            let rules = value(&samples, "hacluster_vrrp_state", &["vrrp_state=\"master\""])? == 1.0;
            let sent = value(&samples, "hacluster_vrrp_adverts_sent_total", &[])? >= 2.0;
            Ok((rules && sent).then_some(()))
        })?;
        let (text, samples) = samples(left.host)?;
        for (name, labels, is) in [
            ("hacluster_vrrp_state", &["vrrp_state=\"backup\"", "vrrp_router=\"VI_1\""][..], 0.0),
            ("hacluster_vrrp_priority", &["vrrp_vrid=\"51\"", "network_interface_name=\"eth0\""], 100.0),
            ("hacluster_vrrp_state", &["vrrp_state=\"fault\"", "service_namespace=\"lab\""], 0.0),
            ("hacluster_vrrp_master_heard", &[], 0.0),
            ("hacluster_vip_wanted", &[], 1.0),
            ("hacluster_vip_present", &[], 1.0),
            (
                "hacluster_vrrp_transitions_total",
                &["vrrp_state=\"master\"", "vrrp_reason_kind=\"silence\""],
                1.0,
            ),
            ("hacluster_vrrp_adverts_discarded_total", &["vrrp_discard_cause=\"auth_failure\""], 0.0),
            ("hacluster_telemetry_dropped_total", &["hacluster_telemetry_signal=\"traces\""], 0.0),
            ("keepalived_vrrp_state", &["iname=\"VI_1\"", "ip_address=\"10.9.0.100/24\""], 2.0),
            ("keepalived_script_status", &["name=\"chk\""], 1.0),
            ("keepalived_release_master_total", &[], 0.0),
            ("keepalived_up", &[], 1.0),
        ] {
            let found = value(&samples, name, labels)?;
            ensure!((found - is).abs() < f64::EPSILON, "{name} {labels:?} is {found}");
        }
        ensure!(value(&samples, "hacluster_vrrp_timer_lateness_seconds_count", &[])? >= 1.0, "{text}");
        let ends = |file| value(&samples, "hacluster_tls_expiry_timestamp_seconds", &[file]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let [own, authority, list] = ["\"certificate\"", "\"authority\"", "\"revoked\""].map(ends);
        let (own, authority, list) = (own?, authority?, list?);
        // The list of `haclusterctl pki` ends with its authority.
        ensure!(now < own && own < authority && list == authority, "{own}, {authority}, {list}; now {now}");
        // A label that changes while a counter lives would break its rate.
        let changing: BTreeSet<_> = samples
            .keys()
            .filter(|series| series.starts_with("keepalived_") && series.contains("_total{"))
            .filter(|series| series.contains("state="))
            .collect();
        ensure!(changing.is_empty(), "{changing:?}");
        ensure!(get(left.host, "/")?.starts_with("HTTP/1.1 404"), "only /metrics");
        // Off by default: no page without a word about it.
        let right = cluster.start("right", Instance::new(98))?;
        right.logged(&["-> Backup"])?;
        ensure!(get(right.host, "/metrics").is_err(), "a page that nobody asked for");
        Ok(())
    })
}

/// A neighbour that is known by its adverts alone, as keepalived is.
fn hears() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let right = cluster.start_with("right", Instance::new(98), PAGE)?;
        hold(right.host, VIP)?;
        let is = |name: &'static str, labels: &'static [&str], wanted: f64| {
            wait_until(name, LIMIT, || {
                let (_, samples) = samples(right.host)?;
                Ok(((value(&samples, name, labels)? - wanted).abs() < f64::EPSILON).then_some(()))
            })
        };
        is("hacluster_vrrp_master_heard", &[], 0.0)?;
        let left = Running::start(lab.host("left")?, Instance::new(150).master())?;
        hold(left.host, VIP)?;
        is("hacluster_vrrp_master_heard", &[], 1.0)?;
        is("keepalived_release_master_total", &[], 1.0)?;
        left.stop()?;
        hold(right.host, VIP)?;
        is("hacluster_vrrp_master_heard", &[], 0.0)?;
        is("hacluster_vrrp_adverts_priority_zero_total", &["direction=\"receive\""], 1.0)?;
        is("hacluster_vrrp_adverts_priority_zero_total", &["direction=\"transmit\""], 0.0)?;
        is("keepalived_priority_zero_received_total", &[], 1.0)
    })
}

fn promtool() -> Result<()> {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        return Err(hacluster_lab::Absent("promtool is not here: apt install prometheus".to_owned()).into());
    }
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let left = cluster.start_with("left", Instance::new(100).master(), PAGE)?;
        hold(left.host, VIP)?;
        let (text, _) = samples(left.host)?;
        let mut command = Command::new("promtool");
        let command = command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("no input")?.write_all(text.as_bytes())?;
        let said = child.wait_with_output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        // The exporter's names are as they are.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("hacluster")).collect();
        ensure!(ours.is_empty(), "{said}");
        Ok(())
    })
}
