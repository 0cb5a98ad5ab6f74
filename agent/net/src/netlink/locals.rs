//! The addresses that this machine has, of both families, whoever set them.

use super::{
    ear::{Ear, Heard},
    open_socket,
};
use crate::NetError;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::ifaddrs::getifaddrs;
use std::{
    collections::HashSet,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
};

/// Tells that addresses came or went, and which there are. Never blocks but for a listing.
#[derive(Debug)]
pub struct Locals {
    ear: Ear,
}

impl Locals {
    /// Listens from now on, in the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetError> {
        let (socket, _) = open_socket(NETLINK_ROUTE)?;
        for group in [libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR] {
            let joined = socket.add_membership(group);
            joined.map_err(|error| NetError::from_io("listen to changes of addresses", &error))?;
        }
        Ok(Self { ear: Ear::new(socket) })
    }

    /// Whether anything changed since this was asked last. Which, [`list`](Self::list) tells.
    pub fn changed(&mut self) -> Result<bool, NetError> {
        if matches!(self.ear.hear()?, Heard::Nothing) {
            return Ok(false);
        }
        self.ear.drain();
        Ok(true)
    }

    /// All addresses, on whatever interface. Call it in the network namespace it was opened in.
    pub fn list(&self) -> Result<HashSet<IpAddr>, NetError> {
        let found = getifaddrs().map_err(|errno| NetError::new("list addresses", errno))?;
        let ip = |address: nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|of| IpAddr::V4(of.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|of| IpAddr::V6(of.ip())))
        };
        Ok(found.filter_map(|entry| entry.address.and_then(ip)).collect())
    }
}

impl AsFd for Locals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ear.socket.as_fd()
    }
}
