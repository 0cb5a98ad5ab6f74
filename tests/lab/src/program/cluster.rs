//! The agents as a cluster: asked over mTLS, and told to move an address on purpose.

use super::{
    play::{PING_FAST, Stage},
    scenario::{CLIENT, Gone, Node, SAMPLE_PKI, Scenario},
};
use anyhow::{Result, ensure};
use hacluster_lab::{Fleet, LIMIT, Lab, fleet::OPERATOR, wait::Interrupted, wait_until};
use std::process::Output;

/// Certificates for every node of `scenario`, and for an operator.
pub(super) fn found(lab: &Lab, scenario: &Scenario) -> Result<Fleet> {
    let members: Vec<_> = scenario.nodes.iter().map(|node| (node.name, node.api)).collect();
    Fleet::found(lab, &members)
}

/// The sample, with the certificates of `fleet`.
pub(super) fn agent_toml(fleet: &Fleet, node: &Node) -> String {
    node.agent.replace(SAMPLE_PKI, &fleet.folder().to_string_lossy())
}

impl Stage<'_> {
    /// Shows the cluster, moves the watched address away while a client pings, and moves it back.
    pub(super) fn moves(&self, fleet: &Fleet) -> Result<()> {
        let router = self.scenario.watched();
        let name = router.name.to_lowercase();
        self.well(fleet)?;
        self.tell_output(&["status"], &self.ask(fleet, &["status"])?);
        for (verb, holder) in [("failover", router.backup), ("failback", router.master)] {
            let probe = self.client(router, PING_FAST)?;
            let output = self.ask(fleet, &[verb, &name, "--yes"])?;
            self.tell_output(&[verb, &name, "--yes"], &output);
            ensure!(output.status.success(), "{verb} ended with {}", output.status);
            self.alone_on(router, holder, Gone::Nobody)?;
            self.heard(&probe, holder)?;
            self.tell_wire(router);
            self.tell_client(&probe.stop());
            self.narrator.line("");
        }
        Ok(())
    }

    /// Waits until `status` has nothing to complain about.
    fn well(&self, fleet: &Fleet) -> Result<()> {
        let what = "`haclusterctl status` to find all as it should be";
        let mut last = String::new();
        let well = self.narrator.while_waiting(what, || {
            wait_until(what, LIMIT, || {
                let output = self.ask(fleet, &["status"])?;
                last = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                Ok(output.status.success().then_some(()))
            })
        });
        // Who was interrupted must stay known as such.
        well.map_err(|error| if error.is::<Interrupted>() { error } else { error.context(last) })
    }

    fn ask(&self, fleet: &Fleet, arguments: &[&str]) -> Result<Output> {
        fleet.ctl(self.lab.host(CLIENT)?, arguments)
    }

    fn tell_output(&self, arguments: &[&str], output: &Output) {
        self.narrator.line(format_args!("  $ haclusterctl {}", arguments.join(" ")));
        for text in [&output.stdout, &output.stderr] {
            String::from_utf8_lossy(text)
                .lines()
                .for_each(|line| self.narrator.line(format_args!("  {line}")));
        }
        self.narrator.line("");
    }

    /// The exact commands to play with.
    pub(super) fn tell_commands(&self, fleet: &Fleet) -> Result<()> {
        let enter = self.enter(self.lab.host(CLIENT)?);
        let (program, context) = (fleet.program().binary.display(), fleet.context(OPERATOR));
        let router = self.scenario.watched();
        let name = router.name.to_lowercase();
        self.narrator.line("To ask and move, from another terminal; first this line:");
        let function = format!("{enter} {program} --config {}", context.display());
        self.narrator.line(format_args!("  ctl() {{ {function} \"$@\"; }}"));
        let verbs = [
            "status".to_owned(),
            "watch".to_owned(),
            "events -f".to_owned(),
            format!("failover {name}"),
            format!("failback {name}"),
            format!("drain {}", router.master),
            format!("undrain {}", router.master),
        ];
        verbs.iter().for_each(|verb| self.narrator.line(format_args!("  ctl {verb}")));
        self.narrator.line("");
        Ok(())
    }
}
