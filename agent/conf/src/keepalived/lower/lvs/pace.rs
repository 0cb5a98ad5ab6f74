//! When checks are done: the same words in a virtual server, a real server and a check.

use super::super::super::check::seconds;
use super::super::super::parser::Statement;
use super::super::values::{number, switch, wrong};
use crate::findings::Findings;
use crate::notation::pace::{MAX_SECS, Pace};
use hacluster_core::time::Duration;

/// Takes a line into `pace`; `false` when it is none of these.
pub(super) fn read(pace: &mut Pace, line: &Statement, findings: &Findings) -> bool {
    let above_zero = |used| span(line, 1_000, used, findings);
    let span = |used| span(line, 0, used, findings);
    match line.keyword() {
        "delay_loop" => pace.delay_loop = above_zero("the line is ignored").or(pace.delay_loop),
        "connect_timeout" => {
            pace.connect_timeout = above_zero("the line is ignored").or(pace.connect_timeout)
        }
        "retry" | "nb_get_retry" => {
            pace.retry = number(findings, line, 0..=u32::MAX, "the line is ignored").or(pace.retry)
        }
        "delay_before_retry" => {
            pace.delay_before_retry = span("the line is ignored").or(pace.delay_before_retry)
        }
        "warmup" => pace.warmup = span("the line is ignored").or(pace.warmup),
        "alpha" => pace.alpha = switch(findings, line).or(pace.alpha),
        "log_all_failures" => pace.log_all_failures = switch(findings, line).or(pace.log_all_failures),
        _ => return false,
    }
    true
}

/// Seconds, at least `least` microseconds.
pub(super) fn span(line: &Statement, least: u64, used: &str, findings: &Findings) -> Option<Duration> {
    let word = line.params().first()?;
    let micros = seconds(&word.text).filter(|micros| (least..=MAX_SECS * 1_000_000).contains(micros));
    if micros.is_none() {
        let expected = format!("seconds from {} to {MAX_SECS}", least as f64 / 1e6);
        wrong(findings, line.keyword(), word, &expected, used);
    }
    micros.map(Duration::from_micros)
}
