//! The Linux layer: everything that needs the kernel, and the only unsafe code of the project.
//!
//! ```text
//!              protocol thread (one poll loop, nothing here blocks it except netlink requests)
//!   Waiter ──┬─ raw::VrrpSocket   adverts in and out, one socket per interface
//!            ├─ netlink::Monitor  links and addresses as they change
//!            └─ Wake              other threads knock here
//!   netlink::Requests  addresses on and off, in batches     raw::ArpSocket  announcements
//! ```
//!
//! Contract: no type here keeps state that the kernel keeps; whatever the kernel sends is checked
//! before it is used, nothing panics on it and nothing grows with it. Every socket belongs to the
//! network namespace of the thread that opened it.

pub mod clock;
mod error;
pub mod netlink;
pub mod netns;
mod option;
pub mod poll;
pub mod process;
pub mod raw;
pub mod sched;
pub mod signal;
pub mod spawn;
pub mod sysctl;

pub use error::NetError;
pub use nix::errno::Errno;
