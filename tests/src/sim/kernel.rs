//! One node's kernel: which virtual routers' addresses are on the interface.
//!
//! Requests are served one after the other and take time. What is on the interface survives the
//! process that put it there.

use std::collections::VecDeque;

/// A request of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Put the addresses of a virtual router in place.
    Claim {
        /// Virtual router, as an index.
        vr: usize,
        /// Which claim this is: an answer to an older one means nothing.
        claim: u64,
        /// Rounds of announcements once it is confirmed.
        rounds: u32,
    },
    /// Take them away.
    Release {
        /// Virtual router, as an index.
        vr: usize,
    },
}

impl Request {
    /// The virtual router it is about.
    pub const fn vr(self) -> usize {
        match self {
            Self::Claim { vr, .. } | Self::Release { vr } => vr,
        }
    }
}

/// Addresses and unanswered requests.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    held: [bool; 2],
    queue: VecDeque<Request>,
}

impl Kernel {
    /// Whether the addresses of `vr` are on the interface.
    pub const fn holds(&self, vr: usize) -> bool {
        self.held[vr]
    }

    /// Whether a request about `vr` is unanswered.
    pub fn is_busy(&self, vr: usize) -> bool {
        self.queue.iter().any(|request| request.vr() == vr)
    }

    /// Takes a request; true when nothing else is being served.
    pub fn ask(&mut self, request: Request) -> bool {
        self.queue.push_back(request);
        self.queue.len() == 1
    }

    /// Finishes the oldest request; a refused one changes nothing.
    pub fn finish(&mut self, refuse_claim: bool) -> Option<(Request, bool)> {
        let request = self.queue.pop_front()?;
        let granted = match request {
            Request::Claim { .. } => !refuse_claim,
            Request::Release { .. } => true,
        };
        if granted {
            self.held[request.vr()] = matches!(request, Request::Claim { .. });
        }
        Some((request, granted))
    }

    /// Whether requests are waiting.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The process died: nobody asks any more.
    pub fn forget_requests(&mut self) {
        self.queue.clear();
    }
}
