//! A real server that leaves, as everybody is told of it. Needs no kernel that balances.

use crate::rotel::{PORT, Rotel, Span};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Suite, VIP, hold, trio};
use hacluster_tests::page::{samples, value};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_real_server_that_leaves_has_one_reason_everywhere_and_one_trace", one_reason);
}

/// A mail server that takes everything and keeps nothing: a stand-in.
fn take_mail(host: &Host) -> Result<()> {
    let listener = host.namespace().run(|| Ok(TcpListener::bind("127.0.0.1:2525")?))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = converse(&stream);
        }
    });
    Ok(())
}

fn converse(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 here\r\n")?;
    let mut within = false;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let answer: &[u8] = match line.get(..4) {
            _ if within && line != "." => continue,
            Some("DATA") => b"354 go on\r\n",
            Some("QUIT") => b"221 bye\r\n",
            _ => b"250 well\r\n",
        };
        within = line.starts_with("DATA");
        stream.write_all(answer)?;
    }
    Ok(())
}

/// Nobody listens at its only real server.
fn config() -> String {
    let globals = "global_defs {\n    notification_email {\n        one@example.org\n    }\n    \
                   notification_email_from ha@example.org\n    smtp_server 127.0.0.1 2525\n    router_id left\n}\n";
    let balanced = format!(
        "virtual_server {VIP} 8080 {{\n    delay_loop 1\n    lb_algo rr\n    lb_kind DR\n    protocol TCP\n    \
         real_server 10.8.0.9 8080 {{\n        weight 1\n        smtp_alert\n        notify_down /bin/true\n        \
         TCP_CHECK {{\n            connect_timeout 2\n            retry 0\n        }}\n    }}\n}}\n"
    );
    format!("{globals}{}{balanced}", Instance::new(100).master())
}

fn parsed(cluster: &Cluster<'_>, arguments: &[&str]) -> Result<Value> {
    let said = cluster.ctl(arguments)?;
    serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))
}

fn only<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    ensure!(found.len() == 1, "{} times {name} in {spans:#?}", found.len());
    Ok(found[0])
}

fn one_reason() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        take_mail(cluster.host("left")?)?;
        let toml = format!(
            "\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ninterval = 1\nprometheus = \"127.0.0.1:9650\"\n"
        );
        let left = cluster.start_with("left", config(), &toml)?;
        let _right = cluster.start("right", Instance::new(98))?;
        hold(left.host, VIP)?;
        let reason = "TCP check of 10.8.0.9:8080: connection refused";
        left.logged(&["real server 10.8.0.9:8080 is down", reason])?;
        // What haclusterctl shows of it, and what it tells of it.
        let shown = wait_until("the server to be down", LIMIT, || {
            let view = parsed(&cluster, &["lvs", "-o", "json"])?;
            let nodes = view["nodes"].as_array().cloned().unwrap_or_default();
            let mut servers = nodes.iter().map(|node| &node["services"][0]["servers"][0]);
            Ok(servers.find(|server| server["state"] == "down").cloned())
        })?;
        ensure!(shown["text"] == reason, "{shown:#}");
        let said = cluster.ctl(&["events", "-o", "json"])?.well()?;
        let events = said.out.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        let text = |event: &&Value| event["text"].as_str().is_some_and(|text| text.contains("is down: TCP"));
        let event = events.iter().find(text).with_context(|| format!("no such event: {events:#?}"))?;
        ensure!(event["text"].as_str().is_some_and(|text| text.ends_with(reason)), "{event:#}");
        let trace = event["trace_id"].as_str().context("no trace")?;
        let names = [
            "lvs.change",
            "lvs.server",
            "lvs.quorum",
            "lvs.check",
            "ipvs.table",
            "notify.script",
            "notify.mail",
        ];
        let spans = rotel
            .story(trace, |spans| names.iter().all(|name| spans.iter().any(|span| span.name == *name)))?;
        let (root, gone) = (only(&spans, "lvs.change")?, only(&spans, "lvs.server")?);
        ensure!(
            root.parent.is_empty() && root.attributes["lvs.service"] == format!("{VIP} 8080"),
            "{root:#?}"
        );
        ensure!(gone.attributes["lvs.reason.text"] == reason, "{gone:#?}");
        ensure!(gone.attributes["lvs.server"] == "10.8.0.9:8080" && gone.attributes["lvs.state"] == "down");
        for (name, parent) in [
            ("lvs.server", root),
            ("lvs.quorum", root),
            ("ipvs.table", root),
            ("lvs.check", gone),
            ("notify.script", gone),
            ("notify.mail", gone),
        ] {
            let span = only(&spans, name)?;
            ensure!(span.parent == parent.id && span.start <= span.end, "{name}: {spans:#?}");
        }
        // The kernel thread may have its table before the rest is told.
        let (check, table) = (only(&spans, "lvs.check")?, only(&spans, "ipvs.table")?);
        ensure!(root.start <= check.start && check.end <= gone.end, "{spans:#?}");
        ensure!(check.end <= table.end && table.end <= root.end, "{spans:#?}");
        counted(left.host)
    })
}

/// The metrics say the same.
fn counted(host: &Host) -> Result<()> {
    let served = |samples: &_, name: &str, labels: &[&str]| value(samples, name, labels).unwrap_or(-1.0);
    let told = wait_until("metrics of it", LIMIT, || {
        let (_, samples) = samples(host)?;
        let well = [
            ("hacluster_lvs_server_up", &["lvs_server=\"10.8.0.9:8080\""][..], 0.0),
            ("hacluster_lvs_service_up", &[], 0.0),
            ("hacluster_lvs_service_servers", &["lvs_state=\"down\""], 1.0),
            ("hacluster_lvs_transitions_total", &["lvs_subject=\"server\"", "lvs_state=\"down\""], 1.0),
            ("hacluster_lvs_transitions_total", &["lvs_subject=\"server\"", "lvs_state=\"up\""], 0.0),
            ("hacluster_notify_mails_total", &["hacluster_outcome=\"sent\""], 1.0),
            ("hacluster_notify_mails_total", &["hacluster_outcome=\"dropped\""], 0.0),
        ];
        let all = well.iter().all(|(name, labels, is)| served(&samples, name, labels) == *is);
        let tries = served(
            &samples,
            "hacluster_lvs_checks_total",
            &["lvs_check_kind=\"tcp\"", "hacluster_outcome=\"bad\""],
        );
        let count = served(&samples, "hacluster_lvs_check_lateness_seconds_count", &[]);
        Ok((all && tries >= 1.0 && count >= 1.0).then_some(()))
    });
    told.with_context(|| samples(host).map(|(text, _)| text).unwrap_or_default())
}
