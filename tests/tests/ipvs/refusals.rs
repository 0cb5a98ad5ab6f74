//! What the kernel refuses: one command, in words, and the others all the same.

use super::stage::{alone, saved, tcp};
use anyhow::{Result, ensure};
use hacluster_lab::{Host, LIMIT, wait_until};
use hacluster_net::{
    Errno,
    netlink::ipvs::{
        Command, DestSpec, Forwarding, Ipvs, ServiceKey, ServiceSpec, SyncDaemon, SyncRole, Tunnel,
    },
};
use hacluster_tests::harness::Suite;

pub(crate) fn trials(suite: &mut Suite) {
    alone(suite, "refusals::each_is_told_in_words", each_is_told_in_words);
    alone(suite, "refusals::one_stops_no_other", one_stops_no_other);
}

fn server(last: u8) -> DestSpec {
    DestSpec::new([10, 0, 0, last].into(), 80, 1, Forwarding::Masquerade)
}

#[track_caller]
fn refused(ipvs: &mut Ipvs, command: Command, errno: Errno, words: &str) -> Result<()> {
    let told = command.clone();
    match ipvs.execute(&[command]).pop() {
        Some(Err(error)) => {
            let text = error.to_string();
            ensure!(error.errno() == errno && text.contains(words), "{told:?}: {text}");
            Ok(())
        }
        other => anyhow::bail!("{told:?} was not refused: {other:?}"),
    }
}

fn each_is_told_in_words(_: &Host, ipvs: &mut Ipvs) -> Result<()> {
    use Command::*;
    let web = ServiceSpec::new(tcp(80), "rr");
    let unknown = ServiceSpec::new(tcp(81), "nosuch");
    refused(ipvs, NewService(unknown), Errno::ENOENT, "no scheduler nosuch (module ip_vs_nosuch)")?;
    let unknown = ServiceSpec { engine: Some("nosuch".into()), ..ServiceSpec::new(tcp(81), "rr") };
    refused(ipvs, NewService(unknown), Errno::ENOENT, "persistence engine nosuch")?;
    refused(ipvs, SetService(web.clone()), Errno::ESRCH, "cannot change virtual server TCP 192.0.2.1:80")?;
    refused(ipvs, DelService(tcp(80)), Errno::ESRCH, "no such virtual server")?;
    refused(ipvs, NewDest(tcp(80), server(2)), Errno::ESRCH, "no such virtual server")?;
    ensure!(ipvs.execute(&[NewService(web.clone()), NewDest(tcp(80), server(2))]) == [Ok(()), Ok(())]);
    refused(ipvs, NewService(web), Errno::EEXIST, "there is one already")?;
    refused(ipvs, NewDest(tcp(80), server(2)), Errno::EEXIST, "it has that server already")?;
    refused(ipvs, SetDest(tcp(80), server(3)), Errno::ENOENT, "it has no such server")?;
    refused(ipvs, DelDest(tcp(80), server(3).key), Errno::ENOENT, "real server 10.0.0.3:80 from")?;
    let heavy = DestSpec { weight: u32::MAX, ..server(4) };
    refused(ipvs, NewDest(tcp(80), heavy), Errno::ERANGE, "a weight is at most 2147483647")?;
    let crossed = DestSpec { upper_threshold: 1, lower_threshold: 2, ..server(4) };
    refused(ipvs, NewDest(tcp(80), crossed), Errno::ERANGE, "lower threshold at most the upper")?;
    let multicast = DestSpec::new([224, 0, 0, 1].into(), 80, 1, Forwarding::Direct);
    refused(ipvs, NewDest(tcp(80), multicast), Errno::EINVAL, "must be a host's")?;
    let mixed = DestSpec::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9].into(), 80, 1, Forwarding::Direct);
    refused(ipvs, NewDest(tcp(80), mixed), Errno::EINVAL, "of the other IP family needs a tunnel")?;
    let ip = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into();
    let key = ServiceKey::Address { protocol: hacluster_net::netlink::ipvs::Protocol::Tcp, ip, port: 80 };
    let wide = ServiceSpec { prefix_len: 0, ..ServiceSpec::new(key, "rr") };
    refused(ipvs, NewService(wide), Errno::EINVAL, "persistence mask")?;
    refused(ipvs, StopDaemon(SyncRole::Master), Errno::ESRCH, "none is running")?;
    let daemon = |interface: &str| SyncDaemon {
        role: SyncRole::Master,
        interface: interface.into(),
        id: 1,
        max_len: None,
        group: None,
        port: None,
        ttl: None,
    };
    refused(ipvs, StartDaemon(daemon("nosuch")), Errno::ENODEV, "(master) on nosuch")?;
    ensure!(ipvs.execute(&[StartDaemon(daemon("eth0"))]) == [Ok(())]);
    refused(ipvs, StartDaemon(daemon("eth0")), Errno::EEXIST, "one is running, stop it first")?;
    let tunnel = DestSpec { forwarding: Forwarding::Tunnel(Tunnel::Ipip), ..mixed };
    refused(ipvs, NewDest(tcp(80), tunnel), Errno::EINVAL, "and no sync daemon")?;
    Ok(())
}

/// Results keep their places across several batches, whoever fails. Not many do: for each the kernel runs a
/// program that looks for a module.
fn one_stops_no_other(host: &Host, ipvs: &mut Ipvs) -> Result<()> {
    let mut commands = Vec::new();
    for port in 1..=300 {
        let scheduler = if port % 70 == 0 { "nosuch" } else { "rr" };
        commands.push(Command::NewService(ServiceSpec::new(tcp(port), scheduler)));
    }
    let results = ipvs.execute(&commands);
    ensure!(results.len() == 300, "{} results", results.len());
    for (port, result) in (1..).zip(&results) {
        let errno = result.as_ref().err().map(|error| error.errno());
        ensure!(errno == (port % 70 == 0).then_some(Errno::ENOENT), "port {port}: {result:?}");
    }
    wait_until("the others", LIMIT, || Ok((saved(host)?.len() == 300 - 300 / 70).then_some(())))
}
