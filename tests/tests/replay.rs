//! Packets of real daemons: those kept here as text, and whole captures where they are at hand.
//!
//! The captures are looked for in `../shared/captures`, beside the workspace; without them their
//! test says so and counts as ignored.

use anyhow::{Context, Result, ensure};
use hacluster_core::interval::Seconds;
use hacluster_core::receive::{self, Discard, Expectation};
use hacluster_core::wire::{Auth, ParseError, ipv4, v2};
use hacluster_tests::replay::{emit_again, fixture, pcap, shadow, sidecar};
use libtest_mimic::{Arguments, Trial};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

fn main() {
    let arguments = Arguments::from_args();
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let mut trials = vec![
        trial("fixtures: valid adverts are read and written alike".to_owned(), valid_fixtures),
        trial("fixtures: malformed packets are dropped for the right reason".to_owned(), malformed_fixtures),
        trial("fixtures: no packet cut or bent anywhere panics".to_owned(), bent_fixtures),
    ];
    match capture_paths(&captures) {
        Some(paths) => {
            trials.extend(paths.clone().into_iter().flat_map(capture_trials));
            let body = move || enough_takeovers(&paths);
            trials.push(trial("captures: enough takeovers to compare".to_owned(), body));
        }
        None => {
            let name = "captures: needs ../shared/captures beside the workspace".to_owned();
            trials.push(trial(name, || Ok(())).with_ignored_flag(true));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: String, body: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || body().map_err(|error| format!("{error:#}").into()))
}

fn cases(name: &str) -> Result<Vec<fixture::Fixture>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name).join("packets.txt");
    let fixtures = fixture::read(&path)?;
    ensure!(!fixtures.is_empty(), "{} holds no packet", path.display());
    Ok(fixtures)
}

fn valid_fixtures() -> Result<()> {
    for fixture in cases("wire-keepalived-v2")?.into_iter().chain(cases("wire-frr-v2")?) {
        let advert = v2::parse(&fixture.packet).with_context(|| fixture.place.clone())?;
        let described = fixture::describe(&advert);
        ensure!(described == fixture.expected, "{}: it says {described}", fixture.place);
        demand_same_bytes(&advert, &fixture.packet).with_context(|| fixture.place.clone())?;
    }
    Ok(())
}

/// Malformed packets are told to a router with VRID 140, no authentication, one second.
fn malformed_fixtures() -> Result<()> {
    for fixture in cases("wire-malformed-v2")? {
        let verdict = verdict(&fixture.packet);
        ensure!(verdict == fixture.expected, "{}: the verdict is {verdict}", fixture.place);
    }
    Ok(())
}

fn bent_fixtures() -> Result<()> {
    for name in ["wire-keepalived-v2", "wire-frr-v2", "wire-malformed-v2"] {
        for fixture in cases(name)? {
            bend(&fixture.packet);
        }
    }
    Ok(())
}

/// Cuts a packet everywhere and bends every byte: whatever comes out, nothing may panic.
fn bend(packet: &[u8]) {
    for len in 0..packet.len() {
        let _ = verdict(&packet[..len]);
        for bent in [0x00, 0xff, packet[len] ^ 0x10, packet[len].wrapping_add(1)] {
            let mut bytes = packet.to_vec();
            bytes[len] = bent;
            let _ = verdict(&bytes);
        }
    }
}

fn expectation() -> Expectation {
    Expectation::new(GROUP, Seconds::ONE, Auth::None, vec![Ipv4Addr::new(10, 51, 0, 240)])
}

/// What a router makes of a packet, in the words of the fixtures.
fn verdict(packet: &[u8]) -> String {
    let checked = v2::parse(packet)
        .map_err(Discard::from)
        .and_then(|advert| receive::check(&advert, &expectation()).map(|accepted| (advert, accepted)));
    match checked {
        Ok((advert, _)) if advert.vrid.get() != 140 => "other router".to_owned(),
        Ok((_, accepted)) if accepted.addresses_differ => "accepted, addresses differ".to_owned(),
        Ok(_) => "accepted".to_owned(),
        Err(discard) => fixture::describe_discard(discard.kind()),
    }
}

fn demand_same_bytes(advert: &v2::Advert<'_>, packet: &[u8]) -> Result<()> {
    let theirs = ipv4::parse(packet).context("not IPv4")?.payload;
    let ours = emit_again(advert).context("we never send such an advert")?;
    ensure!(ours == theirs, "we write {ours:02x?}, they wrote {theirs:02x?}");
    Ok(())
}

// Captures.

fn capture_paths(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut captures: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "pcap")).collect();
    captures.sort();
    (!captures.is_empty()).then_some(captures)
}

fn capture_trials(path: PathBuf) -> [Trial; 2] {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let again = path.clone();
    let packets = name.clone();
    [
        trial(format!("capture {name}: packets"), move || capture_packets(&path, &packets)),
        trial(format!("capture {name}: takeovers"), move || capture_takeovers(&again)),
    ]
}

/// Adverts of daemons are read, and written alike; packets made by hand are dropped for the right
/// reason; everything else is dropped, and nothing panics.
fn capture_packets(path: &Path, name: &str) -> Result<()> {
    let (frames, sidecar) = (pcap::read(path)?, sidecar::read(&path.with_extension("json"))?);
    for (index, frame) in frames.iter().enumerate() {
        let Some(packet) = frame.ipv4() else { continue };
        bend(packet);
        let place = || format!("{name}, frame {}", index + 1);
        if let Some(injected) = sidecar.injected.iter().find(|injected| injected.frame == index + 1) {
            if name == "malformed-v2" {
                let (expected, found) = (expected_of(&injected.what), verdict(packet));
                ensure!(expected == found, "{}: {} is {found}, expected {expected}", place(), injected.what);
            }
            continue;
        }
        let source = ipv4::parse(packet).map(|ip| ip.source);
        let from_daemon = sidecar.nodes.values().any(|node| node.address.is_some() && node.address == source);
        match v2::parse(packet) {
            Ok(advert) => demand_same_bytes(&advert, packet).with_context(place)?,
            // The other version, and packets within an authentication header.
            Err(ParseError::Version(3) | ParseError::Ip) => {}
            Err(error) => ensure!(!from_daemon, "{}: a daemon's advert is refused: {error}", place()),
        }
    }
    Ok(())
}

fn expected_of(what: &str) -> &'static str {
    match what {
        "checksum wrong" => "Checksum",
        "TTL 254" | "TTL 1" => "Ttl",
        "type 2" | "type 0" => "Type",
        "version 1" | "version 4" | "other version (v3)" => "Version",
        "unknown VRID" => "other router",
        "VRID 0" => "Vrid",
        "another VIP" | "two VIPs, ours first" | "no VIP at all" => "accepted, addresses differ",
        "unicast to a, TTL 255" | "group 224.0.0.19" | "broadcast destination" => "Destination",
        "auth type 1 with a password, none configured" | "auth type 2 in a plain packet" => "AuthMismatch",
        "auth type 3" => "AuthUnknown",
        "advert interval 2, ours 1" | "advert interval 0" => "Interval",
        "IP options (router alert)" | "auth type 0 but auth bytes not zero" => "accepted",
        _ if what.starts_with("control: valid advert") => "accepted",
        _ => "Length",
    }
}

/// How late a daemon may speak: the lab had two processors for all nodes.
const LATE_MICROS_MAX: i64 = 60_000;
/// How long a daemon may take from its start to its first timer.
const START_MICROS_MAX: i64 = 1_000_000;
/// Whether the advert at the very end of a preempt delay still counts is a matter of microseconds.
const DELAYED_MICROS_MAX: i64 = 1_000_000 + LATE_MICROS_MAX;
/// A clock may be read before a packet is stamped.
const EARLY_MICROS_MAX: i64 = 2_000;

fn takeovers(path: &Path) -> Result<Vec<shadow::Takeover>> {
    let sidecar = sidecar::read(&path.with_extension("json"))?;
    Ok(shadow::takeovers(&pcap::read(path)?, &sidecar))
}

/// When a daemon took over, our machine in its place would have, too.
fn capture_takeovers(path: &Path) -> Result<()> {
    for takeover in takeovers(path)? {
        let late = takeover.actual_micros - takeover.predicted_micros;
        let limit = match &takeover {
            takeover if takeover.delayed => DELAYED_MICROS_MAX,
            takeover if takeover.since_start => START_MICROS_MAX,
            _ => LATE_MICROS_MAX,
        };
        let in_time = (-EARLY_MICROS_MAX..limit).contains(&late);
        ensure!(in_time, "{} spoke {late} us after our time: {takeover:?}", takeover.who);
    }
    Ok(())
}

/// The comparison above means something only if there is enough to compare.
const EXACT_TAKEOVERS_MIN: usize = 18;

fn enough_takeovers(paths: &[PathBuf]) -> Result<()> {
    let mut exact = 0;
    for path in paths {
        exact += takeovers(path)?.iter().filter(|takeover| !takeover.since_start).count();
    }
    ensure!(exact >= EXACT_TAKEOVERS_MIN, "only {exact} takeovers were decided by a packet");
    Ok(())
}
