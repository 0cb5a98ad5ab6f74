//! When checks are done, as far as it is written: in a service, a server and a check, the inner one wins.

use crate::model::lvs::{CheckKind, CheckPace};
use hacluster_core::time::Duration;

/// keepalived's defaults, in seconds.
const DELAY_LOOP: u64 = 60;
const CONNECT_TIMEOUT: u64 = 5;
/// Longest span of time, in seconds.
pub(crate) const MAX_SECS: u64 = 86_400;

/// Settings as far as they are written.
#[derive(Clone, Default)]
pub(crate) struct Pace {
    pub(crate) delay_loop: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) retry: Option<u32>,
    pub(crate) delay_before_retry: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
    pub(crate) alpha: Option<bool>,
    pub(crate) log_all_failures: Option<bool>,
}

impl Pace {
    /// With the settings of the block around it where nothing is written here.
    pub(crate) fn within(&self, outer: &Self) -> Self {
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

    /// A program's time limit: `delay_loop` unless written.
    pub(crate) fn times_out_after(&mut self, limit: Option<Duration>) {
        let delay_loop = self.delay_loop.unwrap_or(Duration::from_secs(DELAY_LOOP));
        self.connect_timeout = Some(limit.unwrap_or(delay_loop));
    }

    /// With keepalived's defaults for `kind`.
    pub(crate) fn complete(&self, kind: &CheckKind, log_all_failures: bool) -> CheckPace {
        let delay_loop = self.delay_loop.unwrap_or(Duration::from_secs(DELAY_LOOP));
        let (retry, delay_before_retry) = match kind {
            CheckKind::Http(_) => (1, Duration::from_secs(3)),
            CheckKind::Dns { .. } => (3, delay_loop),
            CheckKind::Misc { .. } => (0, Duration::from_secs(1)),
            CheckKind::Tcp
            | CheckKind::Smtp { .. }
            | CheckKind::Udp(_)
            | CheckKind::Ping
            | CheckKind::File { .. } => (1, Duration::from_secs(1)),
        };
        CheckPace {
            delay_loop,
            timeout: self.connect_timeout.unwrap_or(Duration::from_secs(CONNECT_TIMEOUT)),
            retry: self.retry.unwrap_or(retry),
            delay_before_retry: self.delay_before_retry.unwrap_or(delay_before_retry),
            warmup: self.warmup.unwrap_or(delay_loop),
            alpha: self.alpha.unwrap_or(false),
            log_all_failures: self.log_all_failures.unwrap_or(log_all_failures),
        }
    }
}

/// The port that `kind` has by custom.
pub(crate) fn usual_port(kind: &CheckKind) -> Option<u16> {
    match kind {
        CheckKind::Http(check) => Some(if check.tls { 443 } else { 80 }),
        CheckKind::Smtp { .. } => Some(25),
        CheckKind::Dns { .. } => Some(53),
        CheckKind::Tcp
        | CheckKind::Udp(_)
        | CheckKind::Ping
        | CheckKind::Misc { .. }
        | CheckKind::File { .. } => None,
    }
}
