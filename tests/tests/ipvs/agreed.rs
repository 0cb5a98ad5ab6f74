//! One configuration, read by the agent on one director and by keepalived on the other: the tables are the
//! same, as ipvsadm prints them.

use crate::{
    scene::{Daemon, LIMIT, Scene, flat, ours},
    stage::{ipvsadm, saved},
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, peer::Keepalived, wait_until};
use hacluster_tests::harness::Suite;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("both::every_word_of_a_service_reaches_the_kernel", || {
        drop(Keepalived::find()?); // a reason to skip, outside of the lab
        crate::scene::stage(Daemon::Agent, flat, &[], every_word)
    });
    ours(suite, "without_real_servers_and_written_twice", flat, &[], odd);
}

const SCHEDULERS: [&str; 13] =
    ["rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"];

/// Beside the schedulers. What a table cannot show (checks, quorum) is not here.
const SERVICES: &str = "
global_defs {
 lvs_timeouts tcp 7200 tcpfin 60 udp 15
}
virtual_server_group web {
 10.0.1.1 80
 10.0.1.4-6 80
 10.0.2.0-10.0.2.3 443
 fwmark 7
}
virtual_server group web {
 lb_algo wrr
 lb_kind DR
 protocol TCP
 real_server 10.0.0.21 80 {
  weight 3
 }
 real_server 10.0.0.22 80 {
  weight 0
 }
}
virtual_server 10.0.0.100 53 {
 lb_algo sh
 sh-port
 sh-fallback
 lb_kind NAT
 protocol UDP
 ops
 real_server 10.0.0.21 5353 {
  weight 65535
  uthreshold 1000
  lthreshold 500
 }
}
virtual_server 10.0.0.100 443 {
 lb_algo mh
 mh-port
 mh-fallback
 lb_kind DR
 protocol TCP
 persistence_timeout 120
 persistence_granularity 255.255.255.0
 real_server 10.0.0.21 443 {
 }
 real_server 10.0.0.22 443 {
  lvs_method NAT
 }
}
virtual_server 10.0.0.100 5060 {
 lb_algo rr
 lb_kind DR
 protocol UDP
 persistence_timeout 60
 persistence_engine sip
 real_server 10.0.0.21 5060 {
 }
}
virtual_server 10.0.0.100 3868 {
 lb_algo wlc
 lb_kind NAT
 protocol SCTP
 real_server 10.0.0.21 3868 {
 }
}
virtual_server 10.0.0.100 81 {
 lb_algo wlc
 lb_kind TUN
 protocol TCP
 real_server 10.0.0.21 81 {
 }
 real_server 10.0.0.22 81 {
  lvs_method TUN type gue port 6080
 }
 real_server 10.0.0.23 81 {
  lvs_method TUN type gre csum
 }
}
virtual_server 2001:db8::100 80 {
 lb_algo rr
 lb_kind DR
 protocol TCP
 persistence_timeout 300
 persistence_granularity 64
 real_server 2001:db8::21 80 {
  weight 2
 }
}
virtual_server fwmark 9 {
 lb_algo rr
 lb_kind NAT
 protocol TCP
 ip_family inet6
 real_server 2001:db8::21 80 {
 }
}
virtual_server 10.0.0.100 83 {
 lb_algo rr
 lb_kind DR
 protocol TCP
 real_server 10.0.0.21 8083 {
 }
}
virtual_server 10.0.0.100 84 {
 lb_algo rr
 lb_kind TUN
 protocol TCP
 real_server 10.0.0.21 8084 {
 }
}
virtual_server 10.0.0.100 {
 lb_algo rr
 lb_kind DR
 protocol TCP
 persistence_timeout 50
 real_server 10.0.0.21 80 {
 }
 real_server 10.0.0.22 80 {
  lvs_method NAT
 }
 real_server 10.0.0.23 {
 }
}
virtual_server 10.0.0.100 82 {
 lb_algo rr
 lb_kind DR
 protocol TCP
 alpha
 sorry_server 10.0.0.9 82
 real_server 10.0.0.21 82 {
  TCP_CHECK {
   connect_timeout 2
  }
 }
 real_server 10.0.0.22 82 {
  inhibit_on_failure
  TCP_CHECK {
   connect_timeout 2
  }
 }
}
";

fn schedulers() -> String {
    let service = |(port, name): (u16, &&str)| {
        format!(
            "virtual_server 10.0.3.1 {port} {{\n lb_algo {name}\n lb_kind DR\n protocol TCP\n real_server 10.0.0.21 \
             {port} {{\n }}\n}}\n"
        )
    };
    (1..).zip(&SCHEDULERS).map(service).collect()
}

/// The table in the form of `-S`, and what that leaves out.
fn seen(host: &Host) -> Result<[Vec<String>; 3]> {
    let mut limits = ipvsadm(host, &["-Ln", "--thresholds"])?;
    let mut lines = saved(host)?;
    lines.sort_unstable(); // in the order in which they came
    limits.sort_unstable();
    Ok([lines, limits, ipvsadm(host, &["-L", "--timeout"])?])
}

fn every_word(scene: &Scene<'_>) -> Result<()> {
    let (director, other) = (scene.host("director1")?, scene.host("director2")?);
    let config = SERVICES.to_owned() + &schedulers();
    let theirs = Keepalived::find()?.start_whole(other, &config)?;
    let agent = scene.start("director1", &config)?;
    // Services and servers: one that is left out by both would be no agreement.
    const LINES: usize = 9 * 3 + 2 + 3 + 2 + 2 + 4 + 2 + 2 + 2 + 2 + 4 + 3 + 2 * SCHEDULERS.len();
    let mut last = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
    let waited = wait_until("the same tables", LIMIT, || {
        last = [seen(director)?, seen(other)?];
        Ok((last[0] == last[1] && last[0][0].len() == LINES).then_some(()))
    });
    waited.with_context(|| {
        let differ = |own: &[String], other: &[String]| {
            own.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>()
        };
        let [own, other] = [last[0].concat(), last[1].concat()];
        let lines = (last[0][0].len(), last[1][0].len());
        format!(
            "{lines:?} of {LINES} lines; ours {:#?}\ntheirs {:#?}",
            differ(&own, &other),
            differ(&other, &own)
        )
    })?;
    ensure!(last[0][2].iter().any(|line| line.ends_with("7200 60 15")), "{:?}", last[0][2]);
    agent.stop()?;
    theirs.stop().map(drop)
}

/// A service without servers is there and refuses; of two with one address the first counts.
fn odd(scene: &Scene<'_>) -> Result<()> {
    let service = |address: &str, servers: &str| {
        format!("virtual_server {address} {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n{servers}}}\n")
    };
    let server = |last: u8| format!(" real_server 10.0.0.{last} 80 {{\n }}\n");
    let group = "virtual_server_group web {\n 10.0.0.101-102 80\n 10.0.0.100 80\n}\n";
    let config = [
        service("10.0.0.100 80", &server(21)),
        service("10.0.0.100 80", &server(22)),
        group.to_owned(),
        service("group web", &server(23)),
        service("10.0.0.103 80", ""),
        service("10.0.0.104 80", " sorry_server 10.0.0.9 80\n"),
        service("10.0.0.105 80", &(server(21) + &server(21) + &server(22))),
    ]
    .concat();
    let agent = scene.start("director1", &config)?;
    scene.table(
        "director1",
        &[
            "-A -t 10.0.0.100:80 -s rr",
            "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1",
            "-A -t 10.0.0.101:80 -s rr",
            "-a -t 10.0.0.101:80 -r 10.0.0.23:80 -g -w 1",
            "-A -t 10.0.0.102:80 -s rr",
            "-a -t 10.0.0.102:80 -r 10.0.0.23:80 -g -w 1",
            "-A -t 10.0.0.103:80 -s rr",
            "-A -t 10.0.0.104:80 -s rr",
            "-a -t 10.0.0.104:80 -r 10.0.0.9:80 -g -w 1",
            "-A -t 10.0.0.105:80 -s rr",
            "-a -t 10.0.0.105:80 -r 10.0.0.21:80 -g -w 1",
            "-a -t 10.0.0.105:80 -r 10.0.0.22:80 -g -w 1",
        ],
    )?;
    for words in [
        "virtual server `10.0.0.100 80` is written twice",
        "TCP 10.0.0.100:80 of virtual server `group web` belongs to `10.0.0.100 80` already",
        "`real_server 10.0.0.21 80` is a real server of this virtual server already",
        "virtual server `10.0.0.103 80` has no real server",
    ] {
        ensure!(agent.logged(words), "nobody says: {words}");
    }
    agent.stop().map(drop)
}
