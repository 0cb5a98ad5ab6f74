//! `promote_secondaries`: when the first address of a network goes, the others stay.

use hacluster_net::{NetError, sysctl};
use std::collections::BTreeSet;

const SETTING: &str = "promote_secondaries";

/// Interfaces on which it was off before us.
#[derive(Debug, Default)]
pub(super) struct Promoted(BTreeSet<String>);

impl Promoted {
    /// Switches it on.
    pub(super) fn set(&mut self, interface: &str) -> Result<(), NetError> {
        if sysctl::read(interface, SETTING)? == 0 {
            sysctl::write(interface, SETTING, 1)?;
            self.0.insert(interface.to_owned());
        }
        Ok(())
    }

    /// Leaves every interface as it was found. One that is gone has nothing to be left.
    pub(super) fn restore(&mut self) {
        for interface in std::mem::take(&mut self.0) {
            let _ = sysctl::write(&interface, SETTING, 0);
        }
    }
}
