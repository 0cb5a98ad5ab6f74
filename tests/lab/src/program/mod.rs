//! The program around the library: what to play, with which daemon, and how it is told.

mod cluster;
pub(crate) mod daemon;
pub(crate) mod narrate;
pub(crate) mod play;
pub(crate) mod scenario;
pub(crate) mod signals;
