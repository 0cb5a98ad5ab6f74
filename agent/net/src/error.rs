//! The one error of this crate: what was attempted, what the kernel answered, and what would mend it.

use nix::errno::Errno;
use std::{fmt, io};

/// A refusal by the kernel, told so that an operator can act on it.
///
/// One pointer wide: a batch of thousands of results stays small when all went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError(Box<Refusal>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    attempt: String,
    errno: Errno,
    detail: Option<String>,
    mend: Option<&'static str>,
}

impl NetError {
    /// `attempt` continues the word "cannot", and names its object: "add address 192.0.2.1/24 to eth0".
    pub fn new(attempt: impl Into<String>, errno: Errno) -> Self {
        Self(Box::new(Refusal { attempt: attempt.into(), errno, detail: None, mend: None }))
    }

    /// An error of the standard library; one without a kernel number becomes `EIO`.
    pub fn from_io(attempt: impl Into<String>, error: &io::Error) -> Self {
        Self::new(attempt, Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32)))
    }

    /// Adds a sentence of explanation, such as the kernel's own (netlink extended ACK).
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Says what would mend it, where the number alone would tell nothing or something else.
    #[must_use]
    pub fn with_mend(mut self, mend: &'static str) -> Self {
        self.0.mend = Some(mend);
        self
    }

    /// The kernel's number, for callers that treat some refusals differently.
    pub fn errno(&self) -> Errno {
        self.0.errno
    }

    /// What was attempted, without "cannot".
    pub fn attempt(&self) -> &str {
        &self.0.attempt
    }

    /// What would mend it, where that is known.
    fn mend(&self) -> Option<&'static str> {
        if self.0.mend.is_some() {
            return self.0.mend;
        }
        Some(match self.0.errno {
            Errno::EPERM | Errno::EACCES => "run as root, or grant CAP_NET_ADMIN and CAP_NET_RAW",
            Errno::ENODEV | Errno::ENXIO => "the interface does not exist (any more); compare with `ip link`",
            Errno::ENETDOWN => "the interface is down; bring it up with `ip link set NAME up`",
            Errno::ENOBUFS => "the kernel ran out of buffer space; raise net.core.rmem_max and wmem_max",
            Errno::EMFILE => "too many open files; raise LimitNOFILE",
            Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT => "this kernel was built without the protocol",
            Errno::ETIMEDOUT => "the kernel did not answer in time; the host may be overloaded",
            _ => return None,
        })
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { attempt, errno, detail, .. } = &*self.0;
        write!(f, "cannot {attempt}: {} ({errno:?})", errno.desc())?;
        if let Some(detail) = detail {
            write!(f, ": {detail}")?;
        }
        match self.mend() {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_the_mend() {
        let error = NetError::new("add address 192.0.2.1/24 to eth0", Errno::EPERM);
        assert_eq!(
            error.to_string(),
            "cannot add address 192.0.2.1/24 to eth0: Operation not permitted (EPERM); \
             run as root, or grant CAP_NET_ADMIN and CAP_NET_RAW"
        );
        assert_eq!(error.errno(), Errno::EPERM);
    }

    #[test]
    fn a_result_of_a_batch_is_one_pointer() {
        assert_eq!(size_of::<Result<(), NetError>>(), size_of::<usize>());
    }
}
