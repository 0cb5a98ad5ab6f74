//! Waiting for a condition, never for a time.
//!
//! Limits are generous: they end a test that cannot pass, they do not measure. Ctrl-C ends every wait.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Long enough for an election on a slow, busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends every wait of this process, now and later, with [`Interrupted`].
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// The wait was ended by [`interrupt`].
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Looks until `condition` gives a value, and returns it.
///
/// Fails after `limit`, naming `what` was waited for, or at once when interrupted.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if INTERRUPTED.load(Ordering::SeqCst) {
            return Err(Interrupted.into());
        }
        if start.elapsed() > limit {
            anyhow::bail!("waited {} s for this, in vain: {what}", limit.as_secs_f32());
        }
        thread::sleep(PAUSE);
    }
}

/// As [`wait_until`], for a plain yes or no.
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    wait_until(what, limit, || Ok(condition().then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_it_waited_for() {
        let mut looks = 0;
        let value = wait_until("third look", LIMIT, || {
            looks += 1;
            Ok((looks == 3).then_some("there"))
        });
        assert_eq!(value.unwrap(), "there");
    }

    #[test]
    fn names_what_never_came() {
        let error = wait_for("the moon", Duration::ZERO, || false).unwrap_err();
        assert!(error.to_string().contains("the moon"), "{error}");
    }

    #[test]
    fn passes_on_an_error_of_the_condition() {
        let error = wait_until::<()>("x", LIMIT, || anyhow::bail!("broken")).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
