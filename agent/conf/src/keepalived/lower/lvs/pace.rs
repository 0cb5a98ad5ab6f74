//! When checks are done: the same words in a virtual server, a real server and a check, the inner one wins.

use super::super::super::check::seconds;
use super::super::super::parser::Statement;
use super::super::values::{number, switch, wrong};
use crate::findings::Findings;
use crate::model::lvs::CheckPace;
use hacluster_core::time::Duration;

/// keepalived's defaults, in seconds.
const DELAY_LOOP: u64 = 60;
const CONNECT_TIMEOUT: u64 = 5;
/// Longest span of time, in seconds.
const MAX_SECS: u64 = 86_400;

/// Settings as far as they are written.
#[derive(Clone, Default)]
pub(super) struct Pace {
    pub(super) delay_loop: Option<Duration>,
    connect_timeout: Option<Duration>,
    retry: Option<u32>,
    delay_before_retry: Option<Duration>,
    warmup: Option<Duration>,
    alpha: Option<bool>,
    log_all_failures: Option<bool>,
}

/// What a kind of check does when nothing is written; `None` for `delay_loop`.
pub(super) struct Defaults {
    pub(super) retry: u32,
    pub(super) delay_before_retry: Option<Duration>,
}

impl Pace {
    /// Takes a line; `false` when it is none of these.
    pub(super) fn read(&mut self, line: &Statement, findings: &Findings) -> bool {
        let above_zero = |used| span(line, 1_000, used, findings);
        let span = |used| span(line, 0, used, findings);
        match line.keyword() {
            "delay_loop" => self.delay_loop = above_zero("the line is ignored").or(self.delay_loop),
            "connect_timeout" => {
                self.connect_timeout = above_zero("the line is ignored").or(self.connect_timeout)
            }
            "retry" | "nb_get_retry" => {
                self.retry = number(findings, line, 0..=u32::MAX, "the line is ignored").or(self.retry)
            }
            "delay_before_retry" => {
                self.delay_before_retry = span("the line is ignored").or(self.delay_before_retry)
            }
            "warmup" => self.warmup = span("the line is ignored").or(self.warmup),
            "alpha" => self.alpha = switch(findings, line).or(self.alpha),
            "log_all_failures" => self.log_all_failures = switch(findings, line).or(self.log_all_failures),
            _ => return false,
        }
        true
    }

    /// With the settings of the block around it where nothing is written here.
    pub(super) fn within(&self, outer: &Self) -> Self {
        Self {
            delay_loop: self.delay_loop.or(outer.delay_loop),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            retry: self.retry.or(outer.retry),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            warmup: self.warmup.or(outer.warmup),
            alpha: self.alpha.or(outer.alpha),
            log_all_failures: self.log_all_failures.or(outer.log_all_failures),
        }
    }

    pub(super) fn complete(&self, kind: &Defaults, log_all_failures: bool) -> CheckPace {
        let delay_loop = self.delay_loop.unwrap_or(Duration::from_secs(DELAY_LOOP));
        CheckPace {
            delay_loop,
            timeout: self.connect_timeout.unwrap_or(Duration::from_secs(CONNECT_TIMEOUT)),
            retry: self.retry.unwrap_or(kind.retry),
            delay_before_retry: self.delay_before_retry.or(kind.delay_before_retry).unwrap_or(delay_loop),
            warmup: self.warmup.unwrap_or(delay_loop),
            alpha: self.alpha.unwrap_or(false),
            log_all_failures: self.log_all_failures.unwrap_or(log_all_failures),
        }
    }
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

impl Pace {
    /// A program's time limit: `delay_loop` unless written.
    pub(super) fn times_out_after(&mut self, limit: Option<Duration>) {
        let delay_loop = self.delay_loop.unwrap_or(Duration::from_secs(DELAY_LOOP));
        self.connect_timeout = Some(limit.unwrap_or(delay_loop));
    }
}
