//! What is put in place reads back as it was meant, and ipvsadm sees the same.

use super::stage::{alone, done, ipvsadm, saved, tcp};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, wait_until};
use hacluster_net::netlink::ipvs::{
    Checksum, Command, DestSpec, Family, Forwarding, Ipvs, Protocol, ServiceFlags, ServiceKey, ServiceSpec,
    SyncDaemon, SyncRole, Timeouts, Tunnel,
};
use hacluster_tests::harness::Suite;
use std::{collections::BTreeMap, net::IpAddr};

pub(crate) fn trials(suite: &mut Suite) {
    alone(suite, "tables::services_of_every_kind", services_of_every_kind);
    alone(suite, "tables::servers_of_every_kind", servers_of_every_kind);
    alone(suite, "tables::every_scheduler", every_scheduler);
    alone(suite, "tables::changes_keep_the_rest", changes_keep_the_rest);
    alone(suite, "tables::timeouts", timeouts);
    alone(suite, "tables::daemons", daemons);
    alone(suite, "tables::the_listing_people_know", the_listing_people_know);
    alone(suite, "tables::removal_zero_and_flush", removal_zero_and_flush);
    alone(suite, "tables::two_thousand_services", two_thousand_services);
}

fn ip(text: &str) -> Result<IpAddr> {
    text.parse().context(text.to_owned())
}

/// The services in place, by key.
fn services(ipvs: &mut Ipvs) -> Result<BTreeMap<ServiceKey, ServiceSpec>> {
    Ok(ipvs.services()?.into_iter().map(|entry| (entry.spec.key, entry.spec)).collect())
}

fn services_of_every_kind(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let info = ipvs.info()?;
    ensure!(info.version[0] >= 1 && info.table_size > 0, "{info:?}");
    let of = |protocol, address: &str, port| {
        Ok::<_, anyhow::Error>(ServiceKey::Address { protocol, ip: ip(address)?, port })
    };
    let persistent = |spec: ServiceSpec, timeout_s, prefix_len| ServiceSpec {
        flags: spec.flags | ServiceFlags::PERSISTENT,
        timeout_s,
        prefix_len,
        ..spec
    };
    let flagged = |spec: ServiceSpec, flags| ServiceSpec { flags, ..spec };
    let sip = ServiceSpec {
        engine: Some("sip".into()),
        ..ServiceSpec::new(of(Protocol::Udp, "192.0.2.1", 5060)?, "rr")
    };
    let both = ServiceFlags::SCHEDULER_1 | ServiceFlags::SCHEDULER_2;
    let mark = |mark, family| ServiceKey::Mark { mark, family };
    let wanted = [
        (ServiceSpec::new(tcp(80), "rr"), "-A -t 192.0.2.1:80 -s rr"),
        (persistent(ServiceSpec::new(tcp(443), "wlc"), 50, 32), "-A -t 192.0.2.1:443 -s wlc -p 50"),
        (
            persistent(ServiceSpec::new(tcp(0), "wrr"), 3600, 24),
            "-A -t 192.0.2.1:0 -s wrr -p 3600 -M 255.255.255.0",
        ),
        (persistent(sip, 60, 32), "-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip"),
        (
            flagged(ServiceSpec::new(of(Protocol::Udp, "192.0.2.1", 53)?, "rr"), ServiceFlags::ONE_PACKET),
            "-A -u 192.0.2.1:53 -s rr -o",
        ),
        (
            ServiceSpec::new(of(Protocol::Sctp, "192.0.2.1", 3868)?, "rr"),
            "-A --sctp-service 192.0.2.1:3868 -s rr",
        ),
        (
            flagged(ServiceSpec::new(of(Protocol::Tcp, "2001:db8::1", 80)?, "sh"), both),
            "-A -t [2001:db8::1]:80 -s sh -b sh-fallback,sh-port",
        ),
        (
            persistent(ServiceSpec::new(of(Protocol::Udp, "2001:db8::1", 500)?, "rr"), 300, 64),
            "-A -u [2001:db8::1]:500 -s rr -p 300 -M 64",
        ),
        (
            flagged(ServiceSpec::new(mark(7, Family::V4), "lc"), ServiceFlags::SCHEDULER_3),
            "-A -f 7 -s lc -b flag-3",
        ),
        (ServiceSpec::new(mark(0x7fff_ffff, Family::V6), "rr"), "-A -f 2147483647 -6 -s rr"),
    ];
    let commands: Vec<_> = wanted.iter().map(|(spec, _)| Command::NewService(spec.clone())).collect();
    done(ipvs, &commands)?;
    let found = services(ipvs)?;
    let lines = saved(host)?;
    for (spec, line) in &wanted {
        ensure!(found.get(&spec.key) == Some(spec), "{:?} instead of {spec:?}", found.get(&spec.key));
        ensure!(lines.iter().any(|there| there == line), "`{line}` is not in {lines:#?}");
    }
    ensure!(found.len() == wanted.len() && lines.len() == wanted.len(), "{found:#?} {lines:#?}");
    Ok(())
}

fn servers_of_every_kind(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let dest = |address: &str, port, weight, forwarding| {
        Ok::<_, anyhow::Error>(DestSpec::new(ip(address)?, port, weight, forwarding))
    };
    let gue = Tunnel::Gue { port: 6080, checksum: Checksum::Remote };
    let wanted = [
        (
            DestSpec {
                upper_threshold: 100,
                lower_threshold: 50,
                ..dest("10.0.0.2", 8080, 3, Forwarding::Masquerade)?
            },
            "-r 10.0.0.2:8080 -m -w 3",
        ),
        (dest("10.0.0.3", 80, 0, Forwarding::Direct)?, "-r 10.0.0.3:80 -g -w 0"),
        (
            dest("10.0.0.4", 80, 65535, Forwarding::Tunnel(Tunnel::Ipip))?,
            "-r 10.0.0.4:80 -i -w 65535 --tun-type ipip",
        ),
        (
            dest("10.0.0.5", 80, 1, Forwarding::Tunnel(gue))?,
            "-r 10.0.0.5:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
        ),
        (
            dest("10.0.0.6", 80, 1, Forwarding::Tunnel(Tunnel::Gre { checksum: Checksum::Full }))?,
            "-r 10.0.0.6:80 -i -w 1 --tun-type gre --tun-csum",
        ),
        (
            dest("2001:db8::7", 80, 1, Forwarding::Tunnel(Tunnel::Ipip))?,
            "-r [2001:db8::7]:80 -i -w 1 --tun-type ipip",
        ),
    ];
    done(ipvs, &[Command::NewService(ServiceSpec::new(tcp(80), "wrr"))])?;
    host.add_address("eth0", "10.0.0.3/24")?; // one of them is this host
    let commands: Vec<_> = wanted.iter().map(|(spec, _)| Command::NewDest(tcp(80), *spec)).collect();
    done(ipvs, &commands)?;
    let entries = ipvs.destinations(&tcp(80))?;
    let lines = saved(host)?;
    for (spec, line) in &wanted {
        let found = entries.iter().find(|entry| entry.spec.key == spec.key);
        ensure!(found.is_some_and(|entry| entry.spec == *spec), "{found:?} instead of {spec:?}");
        let line = format!("-a -t 192.0.2.1:80 {line}");
        ensure!(lines.contains(&line), "`{line}` is not in {lines:#?}");
    }
    ensure!(entries.len() == wanted.len(), "{entries:#?}");
    let lines = ipvsadm(host, &["-ln", "--thresholds"])?; // left out of the saved form
    let limited = lines.iter().find(|line| line.contains("10.0.0.2:8080")).context("no limits")?;
    ensure!(limited.split_whitespace().skip(2).take(2).eq(["100", "50"]), "{limited}");
    ensure!(ipvs.destinations(&tcp(81))?.is_empty(), "servers of no service");
    Ok(())
}

fn every_scheduler(_: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let names = ["rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"];
    let specs = names.iter().zip(1..).map(|(name, port)| ServiceSpec::new(tcp(port), *name));
    let specs: BTreeMap<_, _> = specs.map(|spec| (spec.key, spec)).collect();
    let commands: Vec<_> = specs.values().cloned().map(Command::NewService).collect();
    done(ipvs, &commands)?;
    ensure!(services(ipvs)? == specs, "{:#?}", services(ipvs)?);
    Ok(())
}

fn changes_keep_the_rest(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let plain = ServiceSpec::new(tcp(80), "rr");
    let server = DestSpec::new(ip("10.0.0.2")?, 80, 1, Forwarding::Masquerade);
    let flags = ServiceFlags::PERSISTENT | ServiceFlags::SCHEDULER_1;
    let changed =
        ServiceSpec { scheduler: "sh".into(), flags, timeout_s: 9, prefix_len: 16, ..plain.clone() };
    let commands = [
        Command::NewService(plain.clone()),
        Command::NewDest(tcp(80), server),
        Command::SetService(changed.clone()),
        Command::SetDest(tcp(80), DestSpec { weight: 7, forwarding: Forwarding::Direct, ..server }),
    ];
    done(ipvs, &commands)?;
    ensure!(services(ipvs)?.into_values().eq([changed]), "{:?}", services(ipvs)?);
    let expected = [
        "-A -t 192.0.2.1:80 -s sh -p 9 -M 255.255.0.0 -b sh-fallback",
        "-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 7",
    ];
    ensure!(saved(host)? == expected, "{:?}", saved(host)?);
    // And every flag goes again.
    done(ipvs, &[Command::SetService(plain.clone())])?;
    ensure!(services(ipvs)?.into_values().eq([plain]), "{:?}", services(ipvs)?);
    Ok(())
}

fn timeouts(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let before = ipvs.timeouts()?;
    ensure!(before == Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 }, "{before:?}");
    done(ipvs, &[Command::SetTimeouts(Timeouts { tcp_s: 7200, tcp_fin_s: 0, udp_s: 15 })])?;
    let after = ipvs.timeouts()?;
    ensure!(after == Timeouts { tcp_s: 7200, tcp_fin_s: 120, udp_s: 15 }, "{after:?}");
    let lines = ipvsadm(host, &["-ln", "--timeout"])?;
    ensure!(lines == ["Timeout (tcp tcpfin udp): 7200 120 15"], "{lines:?}");
    Ok(())
}

fn daemons(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let brief = SyncDaemon {
        role: SyncRole::Master,
        interface: "eth0".into(),
        id: 51,
        max_len: None,
        group: None,
        port: None,
        ttl: None,
    };
    let full = SyncDaemon {
        role: SyncRole::Backup,
        id: 255,
        max_len: Some(1300),
        group: Some(ip("ff02::81")?),
        port: Some(9000),
        ttl: Some(3),
        ..brief.clone()
    };
    done(ipvs, &[Command::StartDaemon(brief.clone()), Command::StartDaemon(full.clone())])?;
    let found = ipvs.daemons()?;
    let filled = SyncDaemon {
        max_len: Some(1472),
        group: Some(ip("224.0.0.81")?),
        port: Some(8848),
        ttl: Some(1),
        ..brief
    };
    ensure!(found == [filled, full], "{found:#?}");
    let lines = ipvsadm(host, &["-ln", "--daemon"])?;
    let expected = [
        "master sync daemon (mcast=eth0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)",
        "backup sync daemon (mcast=eth0, syncid=255, maxlen=1300, group=ff02::81, port=9000, ttl=3)",
    ];
    ensure!(lines == expected, "{lines:#?}");
    done(ipvs, &[Command::StopDaemon(SyncRole::Master), Command::StopDaemon(SyncRole::Backup)])?;
    ensure!(ipvs.daemons()?.is_empty(), "a daemon stayed");
    Ok(())
}

fn the_listing_people_know(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let persistent =
        ServiceSpec { flags: ServiceFlags::PERSISTENT, timeout_s: 50, ..ServiceSpec::new(tcp(80), "wrr") };
    let mark = ServiceKey::Mark { mark: 3, family: Family::V4 };
    let server = |last: u8, weight, way| DestSpec::new([10, 0, 0, last].into(), 80, weight, way);
    done(
        ipvs,
        &[
            Command::NewService(persistent),
            Command::NewDest(tcp(80), server(2, 1, Forwarding::Direct)),
            Command::NewDest(tcp(80), server(3, 2, Forwarding::Masquerade)),
            Command::NewService(ServiceSpec::new(mark, "rr")),
            Command::NewDest(mark, server(2, 1, Forwarding::Tunnel(Tunnel::Ipip))),
        ],
    )?;
    let lines = ipvsadm(host, &["-ln"])?;
    let expected = [
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
        "TCP  192.0.2.1:80 wrr persistent 50",
        "  -> 10.0.0.2:80                  Route   1      0          0",
        "  -> 10.0.0.3:80                  Masq    2      0          0",
        "FWM  3 rr",
        "  -> 10.0.0.2:80                  Tunnel  1      0          0",
    ];
    ensure!(lines[1..] == expected, "{lines:#?}");
    Ok(())
}

fn removal_zero_and_flush(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let server = DestSpec::new(ip("10.0.0.2")?, 80, 1, Forwarding::Masquerade);
    let mut commands = Vec::new();
    for port in 1..=3 {
        commands.push(Command::NewService(ServiceSpec::new(tcp(port), "rr")));
        commands.push(Command::NewDest(tcp(port), server));
    }
    done(ipvs, &commands)?;
    done(ipvs, &[Command::Zero(Some(tcp(1))), Command::Zero(None)])?;
    done(ipvs, &[Command::DelDest(tcp(1), server.key), Command::DelService(tcp(2))])?;
    let expected =
        ["-A -t 192.0.2.1:1 -s rr", "-A -t 192.0.2.1:3 -s rr", "-a -t 192.0.2.1:3 -r 10.0.0.2:80 -m -w 1"];
    ensure!(saved(host)? == expected, "{:?}", saved(host)?);
    done(ipvs, &[Command::Flush])?;
    ensure!(saved(host)?.is_empty() && ipvs.services()?.is_empty(), "{:?}", saved(host)?);
    Ok(())
}

/// More than a socket takes at once, in and out.
fn two_thousand_services(_: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let key = |number: u16| {
        let [high, low] = number.to_be_bytes();
        ServiceKey::Address { protocol: Protocol::Tcp, ip: [10, 1, high, low].into(), port: 80 }
    };
    let dests = |number: u16| {
        (1..=5).map(move |last: u8| {
            DestSpec::new([10, 2, (number >> 8) as u8, last].into(), 80, last.into(), Forwarding::Direct)
        })
    };
    let mut commands = Vec::new();
    for number in 0..2000 {
        commands.push(Command::NewService(ServiceSpec::new(key(number), "wrr")));
        commands.extend(dests(number).map(|dest| Command::NewDest(key(number), dest)));
    }
    done(ipvs, &commands)?;
    // A listing counts the services of all namespaces: what comes or goes elsewhere makes it miss one.
    wait_until("two thousand services", LIMIT, || {
        Ok(services(ipvs)?.keys().copied().eq((0..2000).map(key)).then_some(()))
    })?;
    for number in [0, 1, 999, 1999] {
        let mut there: Vec<_> =
            ipvs.destinations(&key(number))?.into_iter().map(|entry| entry.spec).collect();
        there.sort_by_key(|spec| spec.key);
        ensure!(there.iter().copied().eq(dests(number)), "{there:#?}");
    }
    Ok(())
}
