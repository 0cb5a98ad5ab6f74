//! The daemon's shell around the pure core.
//!
//! ```text
//!   main thread                 protocol thread (sacred)            kernel thread
//!   supervisor --- Command ---> protocol::Engine --- Order -------> kernel::Hands
//!    signals,                    sockets, timers,                    netlink, gratuitous ARP,
//!    reload                      one Machine per router  <- Report -  reconciliation
//!       ^                             |                                  |
//!       |                             `----------- Event ---.------------'
//!       `--- done                                           v
//!                                                  teller (log thread) -> stderr
//!                                                           |
//!                       haclusterctl <- api (tokio) <---- board: state and history
//! ```
//!
//! Every arrow is a bounded queue without locks ([`mailbox`]). The protocol thread never waits for
//! anybody: it does no netlink request, no logging and no file access.

pub mod api;
pub mod args;
pub mod board;
pub mod check;
pub mod chronicle;
pub mod cluster;
pub mod dry_run;
pub mod event;
pub mod fact;
pub mod history;
pub mod in_force;
pub mod init;
pub mod kernel;
pub mod log;
pub mod lvs;
pub mod mailbox;
pub mod notify;
pub mod orders;
pub mod orphans;
pub mod protocol;
pub mod pulse;
mod readable;
pub mod reload;
pub mod rundir;
pub mod script;
pub mod service_manager;
pub mod startup;
pub mod story;
mod successor;
pub mod supervisor;
pub mod tally;
pub mod telemetry;
pub mod teller;
mod translate;
pub mod watch;
