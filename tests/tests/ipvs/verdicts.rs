//! What checks say stands in the kernel's table: weights, weight zero, absence, the sorry server; and what a
//! real server needs to take packets that are not for its address.

use crate::{
    scene::{Daemon, LIMIT, SERVERS, Scene, VIP, both, flat, ours},
    stage::ctl,
    web::ask,
};
use anyhow::{Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::Suite;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "exit_codes_are_weights_and_inhibited_servers_stay", flat, &[], weights);
    ours(suite, "real_servers_are_told_how_to_take_the_address", flat, &[], real_servers);
}

fn weights(scene: &Scene<'_>) -> Result<()> {
    let folder = scene.host("director1")?.directory();
    let (script, code) = (folder.join("check.sh"), folder.join("code"));
    // Whole or not at all: it is read all the time.
    let exits = |status: u8| {
        let fresh = folder.join("code.new");
        fs::write(&fresh, status.to_string()).and_then(|()| fs::rename(&fresh, &code))
    };
    fs::write(&script, format!("#!/bin/sh\nread code < {}\nexit $code\n", code.display()))?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    exits(0)?;
    scene.serve("two")?;
    let config = format!(
        "global_defs {{\n script_user root\n}}\nvirtual_server 10.0.0.100 80 {{\n delay_loop 1\n lb_algo wrr\n \
         lb_kind DR\n protocol TCP\n sorry_server 10.0.0.9 80\n real_server 10.0.0.21 80 {{\n  weight 10\n  \
         MISC_CHECK {{\n   misc_path \"{}\"\n   misc_timeout 20\n   misc_dynamic\n   retry 0\n  }}\n }}\n real_server \
         10.0.0.22 80 {{\n  weight 3\n  inhibit_on_failure\n  TCP_CHECK {{\n   connect_timeout 30\n   retry 0\n  }}\n \
         }}\n}}\n",
        script.display()
    );
    scene.start("director1", &config)?;
    let server = |last: u8, weight: u32| format!("-a -t 10.0.0.100:80 -r 10.0.0.{last}:80 -g -w {weight}");
    let table = |servers: &[(u8, u32)]| {
        let servers = servers.iter().map(|(last, weight)| server(*last, *weight));
        let lines: Vec<_> = ["-A -t 10.0.0.100:80 -s wrr".to_owned()].into_iter().chain(servers).collect();
        scene.table("director1", &lines)
    };
    table(&[(21, 10), (22, 3)])?;
    exits(200)?;
    table(&[(21, 198), (22, 3)])?;
    exits(1)?;
    table(&[(22, 3)])?;
    scene.close("two");
    table(&[(22, 0), (9, 1)])?;
    if scene.daemon == Daemon::Agent {
        exits(2)?; // who takes nothing new keeps its connections; keepalived takes it out all the same
        table(&[(21, 0), (22, 0), (9, 1)])?;
    }
    exits(7)?;
    table(&[(21, 5), (22, 0)])?;
    scene.serve("two")?;
    table(&[(21, 5), (22, 3)])
}

/// Without the address on it a real server does not take the packets; with one that answers ARP, clients
/// ask it and not the director.
fn real_servers(scene: &Scene<'_>) -> Result<()> {
    for name in SERVERS {
        let host = scene.host(name)?;
        let (text, status) = ctl(host, &["lvs", "realserver", "10.0.0.100", "--check"])?;
        ensure!(status == Some(1) && text.contains("10.0.0.100"), "{status:?}: {text}");
        let (text, status) = ctl(host, &["lvs", "realserver", "10.0.0.100", "--apply"])?;
        ensure!(status == Some(0), "{status:?}: {text}");
        let (text, status) = ctl(host, &["lvs", "realserver", "10.0.0.100", "--check"])?;
        ensure!(status == Some(0), "{status:?}: {text}");
        scene.serve(name)?;
    }
    let service = "virtual_server 10.0.0.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.21 \
                   80 {\n }\n real_server 10.0.0.22 80 {\n }\n}\n";
    scene.direct("10.0.0.100/32", service)?;
    let client = scene.host("client")?;
    wait_until("an answer", LIMIT, || Ok(ask(client, VIP, 80).ok()))?;
    scene.shares(VIP, &[("one", 2), ("two", 2)])
}
