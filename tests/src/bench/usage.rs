//! What a daemon uses: processor time and memory, of all its threads and processes.

use anyhow::{Context, Result};
use hacluster_lab::Process;
use std::fs;

/// A daemon's processes: itself and its children.
pub(super) fn pids(daemon: &Process) -> Vec<i32> {
    let main = daemon.pid().as_raw();
    let mut pids = vec![main];
    pids.extend(children(main));
    pids
}

fn children(of: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time used so far, in microseconds: user and system, as the scheduler counted it.
pub(super) fn cpu_us(daemon: &Process) -> Result<f64> {
    let mut total = 0;
    for pid in pids(daemon) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the daemon has ended")?;
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(total as f64 / 1e3)
}

/// Memory in MiB, shared pages counted in proportion (PSS).
pub(super) fn pss_mib(daemon: &Process) -> f64 {
    let of = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    pids(daemon).into_iter().filter_map(of).sum::<f64>() / 1024.0
}
