//! A kernel that says "done" to whatever its load balancer is asked by socket options, and does nothing.
//! keepalived's checker ends where there is no IPVS; like this its checks can be measured there.

use anyhow::Result;
use nix::libc;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, Ge, Lt};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, apply_filter};

/// The first of IPVS's socket options, and the first that is none of them.
const OPTIONS: [u64; 2] = [64 + 1024 + 64, 64 + 1024 + 128];

/// From now on, for this thread and all that it starts.
///
/// # Errors
/// When the kernel filters no system calls.
pub(super) fn begin() -> Result<()> {
    let [first, end] = OPTIONS;
    let rule = SeccompRule::new(vec![
        SeccompCondition::new(1, Dword, Eq, libc::IPPROTO_IP as u64)?,
        SeccompCondition::new(2, Dword, Ge, first)?,
        SeccompCondition::new(2, Dword, Lt, end)?,
    ])?;
    let calls = [libc::SYS_getsockopt, libc::SYS_setsockopt].map(|call| (call, vec![rule.clone()]));
    let done = SeccompAction::Errno(0);
    let machine = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(calls.into(), SeccompAction::Allow, done, machine)?;
    Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
}
