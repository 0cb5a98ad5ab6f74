//! Split brain: two masters that do not hear each other, and what clients are told afterwards.

use anyhow::{Result, anyhow, ensure};
use hacluster_lab::{LIMIT, Lab, diagnose::packets, wait_for};
use hacluster_tests::harness::{Instance, Suite, VIP, Wire, free, hold, pair, settle_first};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Moments within the advert interval at which the partition heals.
const PHASES_MS: [u64; 6] = [0, 170, 340, 510, 680, 850];

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_healed_split_brain_is_announced_by_the_winner", healed);
}

/// Clients must end up with the winner, whoever heard whom first.
fn healed() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        // The second burst after a rival is part of the promise: the loser's own announcements may still
        // be on their way when the first is sent.
        let quiet = |priority| {
            let instance = Instance::new(priority).with("garp_master_delay 60");
            instance.with("garp_lower_prio_delay 2").to_string()
        };
        let master = (left, quiet(150));
        let (winner, loser) = settle_first(master, (right, quiet(100)), VIP)?;
        for phase in PHASES_MS {
            right.isolate()?;
            hold(right, VIP)?;
            // Not a wait for something: it only chooses where in the interval the heal falls.
            thread::sleep(Duration::from_millis(phase));
            let healed = Instant::now();
            right.restore()?;
            free(right, VIP)?;
            wire.announced("left", VIP, healed, 1)?;
            wait_for("the winner's word to be the last", LIMIT, || {
                let of = |host| wire.announcements(host, VIP, healed).pop().map(|seen| seen.at);
                of("left") > of("right")
            })
            .map_err(|error| anyhow!("{error:#}, healed {phase} ms in\n{}", packets(&wire.capture)))?;
            ensure!(left.holds(VIP)?, "the winner lost its address");
        }
        ensure!(winner.lines(&["Master -> "]).is_empty(), "the winner yielded");
        ensure!(
            loser.lines(&["Master -> Backup"]).len() == PHASES_MS.len(),
            "the loser did not yield each time"
        );
        wire.never_resigned("left")?;
        wire.never_resigned("right")
    })
}
