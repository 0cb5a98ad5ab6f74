//! Directors whose virtual servers are not the same: told before an address moves, with what differs.
//!
//! A kernel that balances nothing is enough: what is compared is what each agent was told to balance.

use anyhow::Result;
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, Suite, trio};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("virtual_servers_that_differ_between_directors_are_told_until_they_agree", differ);
}

/// A director of this priority, its only real server of this weight, and more.
fn director(priority: u8, weight: u8, more: &str) -> String {
    let instance = Instance::new(priority);
    format!(
        "{instance}\nvirtual_server 10.9.0.100 80 {{\n lb_algo wrr\n real_server 10.7.0.9 80 {{\n weight {weight}\n \
         notify_up /bin/true\n TCP_CHECK {{\n bindto 10.7.0.{}\n}}\n}}\n}}\n{more}",
        if priority == 100 { 1 } else { 2 }
    )
}

fn differ() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _left = cluster.start("left", director(100, 3, "virtual_server fwmark 7 {\n lb_algo rr\n}\n"))?;
        let right = cluster.start("right", director(98, 1, ""))?;
        cluster.shows("the difference in the status", |status| status.contains(r#""kind":"lvs_drift""#))?;
        let next = "haclusterctl config diff left right";
        let status = cluster.ctl(&["status"])?;
        status.refused(&["! virtual servers are not the same on left and right", next])?;
        cluster.ctl(&["lvs"])?.refused(&[
            "! 10.9.0.100 80: is not configured the same on left and right",
            "! fwmark 7: is on left, not on right",
            next,
        ])?;
        let diff = cluster.ctl(&["config", "diff", "left", "right"])?;
        diff.refused(&["10.7.0.9 80 weight 3 -> 1", "virtual_server fwmark 7: only on left"])?;
        right.reload(director(98, 3, "virtual_server fwmark 7 {\n lb_algo rr\n}\n"))?;
        cluster.shows("the difference gone", |status| !status.contains(r#""kind":"lvs_drift""#))?;
        let lvs = cluster.ctl(&["lvs"])?;
        anyhow::ensure!(!lvs.out.contains("configured the same"), "{}", lvs.out);
        cluster.ctl(&["config", "diff", "left", "right"])?.well().map(drop)
    })
}
