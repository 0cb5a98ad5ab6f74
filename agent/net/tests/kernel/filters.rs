//! The packet filter: what it drops and lets pass, whose it is, and hearing of others.

use super::{
    Body,
    world::{World, plain, wait_until},
};
use hacluster_net::{
    Errno,
    netlink::nft::{Nft, NftMonitor, Owner, Table},
};
use libtest_mimic::Failed;
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    time::Duration,
};

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("filters::what_is_sent_to_an_element_is_dropped", dropped),
    ("filters::a_table_without_our_comment_is_anothers", owners),
    ("filters::every_damage_is_seen", damage),
    ("filters::others_are_heard_and_named", heard),
    ("filters::thousands_of_elements", thousands),
    ("filters::the_nft_tool_reads_the_table", readable),
];

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn table() -> Table {
    Table { name: "ours".into(), owner: "trial /run/trial".into(), priority: -1, counters: true }
}

fn of(addresses: &[Ipv4Addr]) -> BTreeSet<Ipv4Addr> {
    addresses.iter().copied().collect()
}

fn dropped(world: &mut World) -> Result<(), Failed> {
    world.requests.set_up("lo")?;
    world.requests.add_addresses([&plain(world.a.index, 1), &plain(world.a.index, 2)]);
    let (service, client) = (UdpSocket::bind((VIP, 7777))?, UdpSocket::bind((OWN, 0))?);
    service.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut nft = Nft::open()?;
    nft.build(&table(), false, &of(&[]))?;
    client.send_to(b"open", (VIP, 7777))?;
    nft.add("ours", &[VIP])?;
    nft.add("ours", &[VIP])?; // twice is no error
    client.send_to(b"shut", (VIP, 7777))?;
    let answer = service.send_to(b"answer", (OWN, 9));
    assert!(answer.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied), "an answer left");
    nft.remove("ours", &[VIP])?;
    assert_eq!(nft.remove("ours", &[VIP]).map_err(|error| error.errno()), Err(Errno::ENOENT));
    client.send_to(b"open again", (VIP, 7777))?;
    let mut seen = [0; 32];
    for expected in [&b"open"[..], b"open again"] {
        let length = service.recv(&mut seen)?;
        assert_eq!(&seen[..length], expected);
    }
    nft.delete("ours")?;
    assert_eq!(nft.owner("ours", &table().owner)?, Owner::Nobody);
    Ok(())
}

fn owners(_: &mut World) -> Result<(), Failed> {
    let mut nft = Nft::open()?;
    nft.build(&table(), false, &of(&[VIP]))?;
    assert_eq!(nft.owner("ours", &table().owner)?, Owner::Us);
    assert_eq!(nft.owner("ours", "trial /run/other")?, Owner::Other);
    let again = nft.build(&table(), false, &of(&[VIP]));
    assert_eq!(again.map_err(|error| error.errno()), Err(Errno::EEXIST));
    nft.build(&table(), true, &of(&[OWN]))?;
    assert!(nft.intact(&table(), &of(&[OWN]))?);
    nft.delete("ours")?;
    let gone = nft.build(&table(), true, &of(&[]));
    assert_eq!(gone.map_err(|error| error.errno()), Err(Errno::ENOENT));
    Ok(())
}

fn damage(_: &mut World) -> Result<(), Failed> {
    let mut nft = Nft::open()?;
    let elements = of(&[VIP, OWN]);
    nft.build(&table(), false, &elements)?;
    assert!(nft.intact(&table(), &elements)?);
    nft.remove("ours", &[OWN])?;
    assert!(!nft.intact(&table(), &elements)?, "an element is missing");
    nft.delete("ours")?;
    assert!(!nft.intact(&table(), &elements)?, "the table is missing");
    if Command::new("nft").arg("--version").output().is_err() {
        return Ok(()); // the rest needs the tool
    }
    for command in ["flush chain ip ours in", "flush ruleset", "add table ip ours { flags dormant; }"] {
        let replace = nft.owner("ours", &table().owner)? == Owner::Us;
        nft.build(&table(), replace, &elements)?;
        assert!(nft.intact(&table(), &elements)?);
        tool(&[command])?;
        assert!(!nft.intact(&table(), &elements)?, "{command}");
    }
    Ok(())
}

fn heard(_: &mut World) -> Result<(), Failed> {
    let (mut nft, mut other) = (Nft::open()?, Nft::open()?);
    let mut monitor = NftMonitor::open(nft.port_id())?;
    nft.build(&table(), false, &of(&[VIP]))?;
    assert_eq!(monitor.read(100)?, None, "our own change");
    other.remove("ours", &[VIP])?;
    let mut author = None;
    wait_until("the other's change is heard", || {
        author = monitor.read(100)?;
        Ok(author.is_some())
    })?;
    let author = author.flatten().ok_or("by nobody known")?;
    assert!(author.contains("(pid "), "{author}");
    assert_eq!(monitor.read(100)?, None);
    Ok(())
}

fn thousands(_: &mut World) -> Result<(), Failed> {
    let elements: BTreeSet<_> = (0..10_000u32).map(|n| Ipv4Addr::from(0x0a00_0000 + n)).collect();
    let all: Vec<_> = elements.iter().copied().collect();
    let mut nft = Nft::open()?;
    nft.build(&table(), false, &elements)?;
    assert!(nft.intact(&table(), &elements)?);
    let begin = std::time::Instant::now();
    for n in 0..100u8 {
        nft.add("ours", &[Ipv4Addr::new(192, 0, 2, n)])?;
    }
    eprintln!("100 additions one by one in {:?}", begin.elapsed());
    let added: Vec<_> = (0..100).map(|n| Ipv4Addr::new(192, 0, 2, n)).collect();
    nft.remove("ours", &added)?;
    nft.remove("ours", &all)?;
    assert!(nft.intact(&table(), &of(&[]))?);
    Ok(())
}

fn readable(_: &mut World) -> Result<(), Failed> {
    if Command::new("nft").arg("--version").output().is_err() {
        eprintln!("filters::the_nft_tool_reads_the_table: skipped, no nft here (package nftables)");
        return Ok(());
    }
    Nft::open()?.build(&table(), false, &of(&[VIP]))?;
    let text = tool(&["list", "ruleset"])?;
    for part in [
        "table ip ours {",
        "comment \"trial /run/trial\"",
        "elements = { 10.0.0.1 }",
        "type filter hook input priority filter - 1; policy accept;",
        "ip daddr @vips counter packets 0 bytes 0 drop",
        "type filter hook output priority filter - 1; policy accept;",
        "ip saddr != @vips accept",
        "ip protocol vrrp accept",
        "icmp type destination-unreachable accept",
        "icmp type time-exceeded accept",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    Ok(())
}

fn tool(arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new("nft").args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
