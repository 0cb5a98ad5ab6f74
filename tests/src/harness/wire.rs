//! What was on the wire, asked in the words of the tests.

use anyhow::{Result, ensure};
use hacluster_lab::{
    Capture, LIMIT, Lab,
    capture::Seen,
    packet::{Advert, Arp},
    wait_until,
};
use std::{net::Ipv4Addr, time::Instant};

/// A recording of one network.
#[derive(Debug)]
pub struct Wire {
    /// The recording itself.
    pub capture: Capture,
}

impl Wire {
    /// Records `network` of `lab` from now on.
    pub fn tap(lab: &Lab, network: &str) -> Result<Self> {
        Ok(Self { capture: lab.capture(network)? })
    }

    /// The adverts of `vrid` that `host` sent so far.
    pub fn adverts(&self, host: &str, vrid: u8) -> Vec<Seen<Advert>> {
        let mut adverts = self.capture.adverts();
        adverts.retain(|seen| seen.host == host && seen.packet.vrid == vrid);
        adverts
    }

    /// The adverts of `vrid` that `host` sent at `since` or later.
    pub fn adverts_since(&self, host: &str, vrid: u8, since: Instant) -> Vec<Seen<Advert>> {
        let mut adverts = self.adverts(host, vrid);
        adverts.retain(|seen| seen.at >= since);
        adverts
    }

    /// Waits for an advert of `vrid` from `host` that is `wanted`, sent at `since` or later.
    pub fn advert(
        &self,
        host: &str,
        vrid: u8,
        since: Instant,
        wanted: impl Fn(&Advert) -> bool,
    ) -> Result<Seen<Advert>> {
        let what = format!("a certain advert of VRID {vrid} from {host}");
        wait_until(&what, LIMIT, || {
            Ok(self.adverts_since(host, vrid, since).into_iter().find(|seen| wanted(&seen.packet)))
        })
    }

    /// Waits until `host` has sent `count` adverts of `vrid` since `since`.
    pub fn count(&self, host: &str, vrid: u8, since: Instant, count: usize) -> Result<()> {
        let what = format!("{count} adverts of VRID {vrid} from {host}");
        wait_until(&what, LIMIT, || Ok((self.adverts_since(host, vrid, since).len() >= count).then_some(())))
    }

    /// Gratuitous ARPs for `ip` from `host` at `since` or later.
    pub fn announcements(&self, host: &str, ip: Ipv4Addr, since: Instant) -> Vec<Seen<Arp>> {
        let mut arps = self.capture.arps();
        arps.retain(|seen| {
            seen.host == host
                && seen.at >= since
                && seen.packet.is_gratuitous()
                && seen.packet.sender_ip == ip
        });
        arps
    }

    /// Waits until `host` has announced `ip` `count` times since `since`.
    pub fn announced(&self, host: &str, ip: Ipv4Addr, since: Instant, count: usize) -> Result<()> {
        let what = format!("{count} announcements of {ip} by {host}");
        wait_until(&what, LIMIT, || Ok((self.announcements(host, ip, since).len() >= count).then_some(())))
    }

    /// Fails when `host` ever said that it leaves.
    pub fn never_resigned(&self, host: &str) -> Result<()> {
        let adverts = self.capture.adverts();
        let resigned = adverts.iter().any(|seen| seen.host == host && seen.packet.priority == 0);
        ensure!(!resigned, "{host} resigned:\n{}", self.capture.summary());
        Ok(())
    }

    /// Fails when `host` ever sent an advert of `vrid`.
    pub fn never_ruled(&self, host: &str, vrid: u8) -> Result<()> {
        let ruled = !self.adverts(host, vrid).is_empty();
        ensure!(!ruled, "{host} sent adverts of VRID {vrid}:\n{}", self.capture.summary());
        Ok(())
    }
}
