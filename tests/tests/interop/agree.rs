//! The same configuration on both sides, in every variant: the better one rules, the other follows.

use crate::{
    Trial,
    router::{Router, router, vips},
    stage::{Kind, play},
};
use anyhow::{Result, ensure};
use std::{net::Ipv4Addr, time::Instant};

/// A name for the variant, and what makes it one.
type Variant = (&'static str, fn(&mut Router));

const VARIANTS: [Variant; 8] = [
    ("pass_1_vip", |router| router.auth = Some(("PASS", "1111"))),
    ("pass_3_vips", |router| {
        router.auth = Some(("PASS", "hunter2"));
        router.vips = vips(3);
    }),
    ("pass_20_vips", |router| {
        router.auth = Some(("PASS", "12345678"));
        router.vips = vips(20);
    }),
    ("long_password_cut", |router| router.auth = Some(("PASS", "123456789abc"))),
    ("none_3_vips", |router| router.vips = vips(3)),
    ("none_20_vips", |router| router.vips = vips(20)),
    ("excluded", |router| {
        router.excluded = vec![Ipv4Addr::new(10, 9, 0, 200), Ipv4Addr::new(10, 9, 0, 201)];
    }),
    ("custom_group", |router| {
        router.auth = Some(("PASS", "123456"));
        router.group = Some("224.0.100.50");
    }),
];

/// What FRR can be told, too: no authentication, no excluded addresses, no other group.
const VARIANTS_OF_FRR: [&str; 2] = ["none_3_vips", "none_20_vips"];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, change) in VARIANTS {
        let of_frr = VARIANTS_OF_FRR.contains(&name).then_some(Kind::Frr);
        for peer in [Kind::Keepalived].into_iter().chain(of_frr) {
            for (better, worse) in [(Kind::Agent, peer), (peer, Kind::Agent)] {
                trials.push(Trial {
                    name: format!("{better}_over_{worse}::agree_{name}"),
                    cast: vec![Kind::Agent, peer],
                    body: Box::new(move || agree(change, better, worse)),
                });
            }
        }
    }
    trials
}

/// Both start at once, as the usual MASTER and BACKUP; then the better one leaves.
fn agree(change: fn(&mut Router), better: Kind, worse: Kind) -> Result<()> {
    play(|stage| {
        let begun = Instant::now();
        let router = |priority, state| {
            router(priority).with(|router| {
                router.state = state;
                change(router);
            })
        };
        let better = stage.start(better, "one", &router(150, "MASTER"))?;
        let worse = stage.start(worse, "two", &router(100, "BACKUP"))?;
        worse.listens()?;
        better.is_master()?;
        better.rules_alone_over(&[&worse])?;
        let stopped = Instant::now();
        better.stop()?;
        worse.is_master()?;
        better.is_backup()?;
        let (old, new) = (better.adverts(begun), worse.adverts(stopped));
        let (old, new) = (&old[0].packet, &new[0].packet);
        let alike = (old.auth_type, old.auth_data, old.destination, &old.addresses)
            == (new.auth_type, new.auth_data, new.destination, &new.addresses);
        ensure!(alike, "they speak differently:\n{old:?}\n{new:?}");
        ensure!(new.addresses == worse.router().vips, "not the configured addresses: {new:?}");
        Ok(())
    })
}
