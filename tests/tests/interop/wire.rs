//! Byte for byte: keepalived and the agent in turn on the same host, with the same configuration.

use crate::{
    Trial,
    router::{Router, router, vips},
    stage::{Kind, Stage, play, until},
};
use anyhow::{Result, ensure};
use hacluster_lab::packet::Packet;
use std::{collections::BTreeSet, net::Ipv4Addr, time::Instant};

/// Where the IP header stands in a frame, and in it the fields that may differ: keepalived counts its
/// packets, we let the kernel number ours.
const IP: usize = 14;
const IDENTIFICATION: std::ops::Range<usize> = IP + 4..IP + 6;
const HEADER_CHECKSUM: std::ops::Range<usize> = IP + 10..IP + 12;

type Variant = (&'static str, fn(&mut Router));

const VARIANTS: [Variant; 6] = [
    ("pass", |router| router.auth = Some(("PASS", "1111"))),
    ("no_authentication", |_| ()),
    ("three_addresses", |router| {
        router.auth = Some(("PASS", "hunter2"));
        router.vips = vips(3);
        router.vips.swap(0, 2); // the list's order is the configuration's
    }),
    ("twenty_addresses", |router| router.vips = vips(20)),
    ("custom_group_and_a_long_password", |router| {
        router.group = Some("224.0.100.50");
        router.auth = Some(("PASS", "123456789"));
    }),
    ("excluded", |router| router.excluded = vec![Ipv4Addr::new(10, 9, 0, 200)]),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, change): Variant| Trial::new(format!("same_bytes::{name}"), move || compare(change));
    VARIANTS.into_iter().map(trial).collect()
}

fn compare(change: fn(&mut Router)) -> Result<()> {
    play(|stage| {
        let router = router(150).with(|router| {
            router.state = "MASTER";
            change(router);
        });
        let theirs = frames(stage, Kind::Keepalived, &router)?;
        let ours = frames(stage, Kind::Agent, &router)?;
        ensure!(ours == theirs, "ours:\n{}theirs:\n{}", hex(&ours), hex(&theirs));
        ensure!(theirs.len() == 2 + router.addresses().count(), "an odd set:\n{}", hex(&theirs));
        Ok(())
    })
}

/// The different frames of one rule from start to stop, without what may differ.
fn frames(stage: &Stage<'_>, kind: Kind, router: &Router) -> Result<BTreeSet<Vec<u8>>> {
    let begun = Instant::now();
    let node = stage.start(kind, "one", router)?;
    node.is_master()?;
    let announced = |ip| {
        let arps = stage.capture.arps().into_iter().filter(move |seen| seen.at >= begun);
        arps.filter(|seen| seen.packet.sender_ip == ip && seen.packet.is_gratuitous()).count()
    };
    until("all announced", || Ok(router.addresses().all(|ip| announced(ip) > 0)))?;
    node.stop()?;
    until("the farewell", || Ok(node.adverts(begun).iter().any(|seen| seen.packet.priority == 0)))?;
    let frames = stage.capture.frames().into_iter().filter(|frame| frame.at >= begun && frame.host == "one");
    let frames = frames.map(|frame| {
        let mut bytes = frame.bytes;
        if matches!(frame.packet, Packet::Advert(_)) {
            bytes[IDENTIFICATION].fill(0);
            bytes[HEADER_CHECKSUM].fill(0);
        }
        bytes
    });
    Ok(frames.collect())
}

fn hex(frames: &BTreeSet<Vec<u8>>) -> String {
    frames.iter().map(|frame| format!("  {}\n", hex_of(frame))).collect()
}

fn hex_of(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}
