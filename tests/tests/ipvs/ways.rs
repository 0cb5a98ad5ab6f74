//! Every way to a real server, every kind of service, in a pair of directors with clients.

use crate::{
    scene::{LIMIT, SERVERS, Scene, VIP, behind, both, flat},
    web::{Server, ask},
};
use anyhow::{Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::Suite;
use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "direct_routing", flat, &[], direct_routing);
    both(suite, "masquerading", behind, &["ip"], masquerading);
    both(suite, "tunnelling", flat, &["ip", "modprobe"], tunnelling);
    both(suite, "marks", flat, &["iptables-legacy"], marks);
    both(suite, "ports", flat, &[], ports);
    both(suite, "marks_with_other_ports", behind, &["ip", "iptables-legacy"], marks_with_other_ports);
    both(suite, "datagrams_one_by_one", flat, &[], datagrams);
    both(suite, "groups", flat, &[], groups);
    both(suite, "persistence", flat, &[], persistence);
}

/// A real server that is asked every second and given up at its first failure.
fn server(ip: &str, weight: u32) -> String {
    format!(
        " real_server {ip} 80 {{\n  weight {weight}\n  HTTP_GET {{\n   url {{\n    path /\n    status_code 200\n   }}\n   \
         connect_timeout 30\n   retry 0\n   delay_before_retry 1\n  }}\n }}\n"
    )
}

fn service(head: &str, settings: &str, servers: &[(&str, u32)]) -> String {
    let servers: String = servers.iter().map(|(ip, weight)| server(ip, *weight)).collect();
    format!("{head} {{\n delay_loop 1\n protocol TCP\n {settings}\n{servers}}}\n")
}

fn everybody_serves(scene: &Scene<'_>) -> Result<()> {
    SERVERS.into_iter().try_for_each(|name| scene.serve(name))
}

/// The whole life of a service, too.
fn direct_routing(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    everybody_serves(scene)?;
    for director in ["director1", "director2"] {
        scene.serve(director)?; // the sorry server is the director itself
    }
    let settings = "lb_algo wrr\n lb_kind DR\n sorry_server 127.0.0.1 80";
    let servers = [("10.0.0.21", 2), ("10.0.0.22", 1)];
    scene.direct("10.0.0.100/32", &service("virtual_server 10.0.0.100 80", settings, &servers))?;
    let [head, one, two, sorry] = [
        "-A -t 10.0.0.100:80 -s wrr",
        "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 2",
        "-a -t 10.0.0.100:80 -r 10.0.0.22:80 -g -w 1",
        "-a -t 10.0.0.100:80 -r 127.0.0.1:80 -g -w 1",
    ];
    scene.tables(&[head, one, two])?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 6), ("two", 3)])?;
    scene.close("one");
    scene.tables(&[head, two])?;
    scene.shares(VIP, &[("two", 3)])?;
    scene.close("two");
    scene.tables(&[head, sorry])?;
    scene.answered_by(VIP, "director1")?;
    everybody_serves(scene)?;
    scene.tables(&[head, one, two])?;
    scene.shares(VIP, &[("one", 6), ("two", 3)])?;
    scene.lose_the_master(VIP)?;
    scene.shares(VIP, &[("one", 6), ("two", 3)])
}

fn masquerading(scene: &Scene<'_>) -> Result<()> {
    everybody_serves(scene)?;
    for server in SERVERS {
        scene.run(server, "ip route add default via 10.1.0.1")?;
    }
    for director in ["director1", "director2"] {
        scene.host(director)?.set_sysctl("net/ipv4/ip_forward", "1")?;
    }
    let servers = [("10.1.0.21", 1), ("10.1.0.22", 1)];
    let servers = service("virtual_server 10.0.0.100 80", "lb_algo rr\n lb_kind NAT", &servers);
    scene.direct("10.0.0.100/32\n 10.1.0.1/24 dev eth1", &servers)?;
    scene.tables(&[
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 10.1.0.21:80 -m -w 1",
        "-a -t 10.0.0.100:80 -r 10.1.0.22:80 -m -w 1",
    ])?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 3), ("two", 3)])?;
    scene.lose_the_master(VIP)?;
    scene.shares(VIP, &[("one", 3), ("two", 3)])
}

fn tunnelling(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    everybody_serves(scene)?;
    scene.run("one", "modprobe ipip")?; // brings tunl0 to every host
    for server in SERVERS {
        for setting in ["all", "tunl0"] {
            scene.host(server)?.set_sysctl(&format!("net/ipv4/conf/{setting}/rp_filter"), "0")?;
        }
        scene.run(server, "ip link set tunl0 up")?;
    }
    let servers = [("10.0.0.21", 1), ("10.0.0.22", 3)];
    let servers = service("virtual_server 10.0.0.100 80", "lb_algo wrr\n lb_kind TUN", &servers);
    scene.direct("10.0.0.100/32", &servers)?;
    scene.tables(&[
        "-A -t 10.0.0.100:80 -s wrr",
        "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -i -w 1 --tun-type ipip",
        "-a -t 10.0.0.100:80 -r 10.0.0.22:80 -i -w 3 --tun-type ipip",
    ])?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 6)])?;
    scene.lose_the_master(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 6)])
}

fn marks(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    everybody_serves(scene)?;
    for director in ["director1", "director2"] {
        let rule = "iptables-legacy -w -t mangle -A PREROUTING -d 10.0.0.100 -p tcp -j MARK --set-mark 3";
        scene.run(director, rule)?;
    }
    let servers = [("10.0.0.21", 1), ("10.0.0.22", 1)];
    scene
        .direct("10.0.0.100/32", &service("virtual_server fwmark 3", "lb_algo rr\n lb_kind DR", &servers))?;
    scene.tables(&["-A -f 3 -s rr", "-a -f 3 -r 10.0.0.21:0 -g -w 1", "-a -f 3 -r 10.0.0.22:0 -g -w 1"])?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 3), ("two", 3)])?;
    scene.lose_the_master(VIP)?;
    scene.shares(VIP, &[("one", 3), ("two", 3)])
}

/// A table of keepalived's is taken over as it is: no server of it has another port.
fn ports(scene: &Scene<'_>) -> Result<()> {
    let server = |last: u8, settings: &str| format!(" real_server 10.0.0.{last} 8080 {{\n {settings}\n }}\n");
    let service = |head: &str, kind: &str, other: &str| {
        let servers = server(21, "") + &server(22, &format!("lvs_method {other}"));
        format!("virtual_server {head} {{\n lb_algo rr\n lb_kind {kind}\n protocol TCP\n{servers}}}\n")
    };
    let config = service("10.0.0.100 80", "DR", "NAT")
        + &service("10.0.0.101 80", "TUN", "DR")
        + &service("fwmark 3", "NAT", "DR")
        + &service("fwmark 4", "NAT", "TUN");
    let daemon = scene.start("director1", &config)?;
    scene.table(
        "director1",
        &[
            "-A -t 10.0.0.100:80 -s rr",
            "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1",
            "-a -t 10.0.0.100:80 -r 10.0.0.22:8080 -m -w 1",
            "-A -t 10.0.0.101:80 -s rr",
            "-a -t 10.0.0.101:80 -r 10.0.0.21:80 -i -w 1 --tun-type ipip",
            "-a -t 10.0.0.101:80 -r 10.0.0.22:80 -g -w 1",
            "-A -f 3 -s rr",
            "-a -f 3 -r 10.0.0.21:8080 -m -w 1",
            "-a -f 3 -r 10.0.0.22:0 -g -w 1",
            "-A -f 4 -s rr",
            "-a -f 4 -r 10.0.0.21:8080 -m -w 1",
            "-a -f 4 -r 10.0.0.22:0 -i -w 1 --tun-type ipip",
        ],
    )?;
    daemon.stop().map(drop)
}

/// With masquerading packets go to the port that is written, whatever port they came for.
fn marks_with_other_ports(scene: &Scene<'_>) -> Result<()> {
    let _webs: Vec<Server> =
        SERVERS.into_iter().map(|name| Server::web(scene.host(name)?, 8080)).collect::<Result<_>>()?;
    for server in SERVERS {
        scene.run(server, "ip route add default via 10.1.0.1")?;
    }
    for director in ["director1", "director2"] {
        scene.host(director)?.set_sysctl("net/ipv4/ip_forward", "1")?;
        let rule = "iptables-legacy -w -t mangle -A PREROUTING -d 10.0.0.100 -p tcp -j MARK --set-mark 3";
        scene.run(director, rule)?;
    }
    let server = |last: u8| {
        let check = "TCP_CHECK {\n   connect_timeout 30\n  }";
        format!(" real_server 10.1.0.{last} 8080 {{\n  {check}\n }}\n")
    };
    let servers = format!(
        "virtual_server fwmark 3 {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n{}{}}}\n",
        server(21),
        server(22)
    );
    scene.direct("10.0.0.100/32\n 10.1.0.1/24 dev eth1", &servers)?;
    scene.tables(&[
        "-A -f 3 -s rr",
        "-a -f 3 -r 10.1.0.21:8080 -m -w 1",
        "-a -f 3 -r 10.1.0.22:8080 -m -w 1",
    ])?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 2)])?;
    ensure!(SERVERS.contains(&ask(scene.host("client")?, VIP, 81)?.as_str()), "port 81");
    Ok(())
}

/// `ops`: each datagram finds a server of its own, also those of one socket.
fn datagrams(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    let playing = Arc::new(());
    for name in SERVERS {
        let socket = scene.host(name)?.namespace().run(|| Ok(UdpSocket::bind((VIP, 53))?))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let playing = Arc::downgrade(&playing); // a socket keeps its namespace
        thread::spawn(move || {
            while playing.strong_count() > 0 {
                if let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
                    let _ = socket.send_to(name.as_bytes(), from);
                }
            }
        });
    }
    let service = "virtual_server 10.0.0.100 53 {\n lb_algo rr\n lb_kind DR\n protocol UDP\n ops\n real_server \
                   10.0.0.21 53 {\n }\n real_server 10.0.0.22 53 {\n }\n}\n";
    scene.direct("10.0.0.100/32", service)?;
    scene.tables(&[
        "-A -u 10.0.0.100:53 -s rr -o",
        "-a -u 10.0.0.100:53 -r 10.0.0.21:53 -g -w 1",
        "-a -u 10.0.0.100:53 -r 10.0.0.22:53 -g -w 1",
    ])?;
    let socket = scene.host("client")?.namespace().run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((VIP, 53))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket)
    })?;
    let who = || -> Result<String> {
        socket.send(b"who?")?;
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    wait_until("two answers, of either server", LIMIT, || {
        Ok(who().and_then(|first| Ok(first != who()?)).unwrap_or(false).then_some(()))
    })
}

fn groups(scene: &Scene<'_>) -> Result<()> {
    let vips = [100, 101, 102].map(|last| Ipv4Addr::new(10, 0, 0, last));
    vips.into_iter().try_for_each(|vip| scene.take(vip))?;
    everybody_serves(scene)?;
    let group = "virtual_server_group web {\n 10.0.0.100 80\n 10.0.0.101-102 80\n}\n";
    let servers = [("10.0.0.21", 1), ("10.0.0.22", 1)];
    let servers = service("virtual_server group web", "lb_algo rr\n lb_kind DR", &servers);
    scene.direct("10.0.0.100/32\n 10.0.0.101/32\n 10.0.0.102/32", &(group.to_owned() + &servers))?;
    let lines = vips.into_iter().flat_map(|vip| {
        let server = |last: u8| format!("-a -t {vip}:80 -r 10.0.0.{last}:80 -g -w 1");
        [format!("-A -t {vip}:80 -s rr"), server(21), server(22)]
    });
    let lines: Vec<_> = lines.collect();
    scene.tables(&lines)?;
    for vip in vips {
        scene.answered(vip)?;
        scene.shares(vip, &[("one", 2), ("two", 2)])?;
    }
    // They share their servers, and the fate of these.
    scene.close("two");
    let left: Vec<_> = lines.iter().filter(|line| !line.contains(".22:80")).collect();
    scene.tables(&left)
}

fn persistence(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    everybody_serves(scene)?;
    let settings =
        "lb_algo rr\n lb_kind DR\n persistence_timeout 300\n persistence_granularity 255.255.255.0";
    let servers = [("10.0.0.21", 1), ("10.0.0.22", 1)];
    scene.direct("10.0.0.100/32", &service("virtual_server 10.0.0.100 80", settings, &servers))?;
    scene.tables(&[
        "-A -t 10.0.0.100:80 -s rr -p 300 -M 255.255.255.0",
        "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1",
        "-a -t 10.0.0.100:80 -r 10.0.0.22:80 -g -w 1",
    ])?;
    let first = scene.answered(VIP)?;
    ensure!(SERVERS.contains(&first.as_str()), "{first}");
    scene.shares(VIP, &[(&first, 5)])
}
