//! Messages against bytes as ipvsadm 1.31 sent them to, and as Linux 6.1 sent them back.

use super::*;
use crate::netlink::build::{Header, append};
use proptest::prelude::*;
use std::net::IpAddr;

const SERVICE_KEY: &str = "300001800600010002000000060002000600000014000300c00002010000000000000000\
                           000000000600040000500000";
const ZERO_STATS64: &str = "a0000c000c000100000000000000000004000b000c000200000000000000000004000b00\
    0c000300000000000000000004000b000c000400000000000000000004000b000c000500000000000000000004000b00\
    0c000600000000000000000004000b000c000700000000000000000004000b000c000800000000000000000004000b00\
    0c000900000000000000000004000b000c000a000000000000000000";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Command, version and attributes as we send them.
fn sent(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { kind: 28, flags: 0, sequence: 0 };
    append(&mut bytes, &header, [command.number(), VERSION, 0, 0], |message| command.put(message));
    bytes.split_off(16)
}

#[track_caller]
fn sends(command: &Command, expected: &str) {
    if cfg!(target_endian = "little") {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&sent(command)), hex(&unhex(expected)));
    }
}

/// The attributes of a message that the kernel sent, each handed to `parse`.
fn read<T>(message: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
    let bytes = unhex(message);
    let mut found = Vec::new();
    attributes(&bytes[GENERIC_BYTES..], &mut |_, value| found.extend(parse(value)));
    found
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(protocol: Protocol, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, ip: ip("192.0.2.1"), port }
}

fn web() -> ServiceSpec {
    let spec = ServiceSpec::new(key(Protocol::Tcp, 80), "wrr");
    ServiceSpec { flags: ServiceFlags::PERSISTENT, timeout_s: 50, prefix_len: 24, ..spec }
}

fn telephony() -> ServiceSpec {
    let spec = ServiceSpec::new(key(Protocol::Udp, 5060), "rr");
    ServiceSpec { flags: ServiceFlags::PERSISTENT, timeout_s: 60, engine: Some("sip".into()), ..spec }
}

fn marked() -> ServiceSpec {
    let spec = ServiceSpec::new(ServiceKey::Mark { mark: 7, family: Family::V6 }, "sh");
    ServiceSpec { flags: ServiceFlags::SCHEDULER_2, ..spec }
}

fn limited() -> DestSpec {
    let spec = DestSpec::new(ip("10.0.0.2"), 8080, 3, Forwarding::Masquerade);
    DestSpec { upper_threshold: 100, lower_threshold: 50, ..spec }
}

fn tunnelled() -> DestSpec {
    let gue = Tunnel::Gue { port: 6080, checksum: Checksum::Full };
    DestSpec::new(ip("10.0.0.3"), 80, 5, Forwarding::Tunnel(gue))
}

#[test]
fn services_are_sent_as_ipvsadm_sends_them() {
    sends(
        &Command::NewService(web()),
        "01010000540001800600010002000000060002000600000014000300c0000201000000000000000000000000\
         060004000050000008000600777272000c00070001000000ffffffff080008003200000008000900ffffff00",
    );
    sends(
        &Command::NewService(marked()),
        "0101000038000180060001000a000000080005000700000007000600736800000c00070010000000ffffffff\
         08000800000000000800090080000000",
    );
    sends(
        &Command::NewService(telephony()),
        "010100005c0001800600010002000000060002001100000014000300c0000201000000000000000000000000\
         0600040013c40000070006007272000008000b00736970000c00070001000000ffffffff080008003c000000\
         08000900ffffffff",
    );
    let datagrams = ServiceSpec::new(key(Protocol::Udp, 53), "rr");
    sends(
        &Command::SetService(ServiceSpec { flags: ServiceFlags::ONE_PACKET, ..datagrams }),
        "02010000540001800600010002000000060002001100000014000300c0000201000000000000000000000000\
         060004000035000007000600727200000c00070004000000ffffffff080008000000000008000900ffffffff",
    );
    sends(&Command::DelService(web().key), &format!("03010000{SERVICE_KEY}"));
    sends(&Command::Zero(Some(web().key)), &format!("10010000{SERVICE_KEY}"));
    sends(&Command::Zero(None), "10010000");
    sends(&Command::Flush, "11010000");
}

#[test]
fn destinations_are_sent_as_ipvsadm_sends_them() {
    let web = web().key;
    sends(
        &Command::NewDest(web, limited()),
        &format!(
            "05010000{SERVICE_KEY}6000028006000b0002000000140001000a00000200000000000000000000000006000200\
             1f9000000800030000000000080004000300000005000d000000000006000e000000000006000f0000000000\
             08000500640000000800060032000000"
        ),
    );
    sends(
        &Command::SetDest(web, tunnelled()),
        &format!(
            "06010000{SERVICE_KEY}6000028006000b0002000000140001000a00000300000000000000000000000006000200\
             005000000800030002000000080004000500000005000d000100000006000e0017c0000006000f0001000000\
             08000500000000000800060000000000"
        ),
    );
    let direct = DestSpec::new(ip("2001:db8::2"), 0, 1, Forwarding::Direct);
    sends(
        &Command::NewDest(marked().key, direct),
        "0501000014000180060001000a00000008000500070000006000028006000b000a0000001400010020010db8\
         000000000000000000000002060002000000000008000300030000000800040001000000\
         05000d000000000006000e000000000006000f000000000008000500000000000800060000000000",
    );
    sends(
        &Command::DelDest(web, limited().key),
        &format!(
            "07010000{SERVICE_KEY}2800028006000b0002000000140001000a0000020000000000000000000000000600\
             02001f900000"
        ),
    );
}

fn daemons() -> [SyncDaemon; 2] {
    let teller = SyncDaemon {
        role: SyncRole::Master,
        interface: "d0".into(),
        id: 9,
        max_len: Some(1400),
        group: Some(ip("224.0.0.99")),
        port: Some(9000),
        ttl: Some(4),
    };
    let hearer = SyncDaemon {
        role: SyncRole::Backup,
        max_len: Some(1452),
        group: Some(ip("ff02::99")),
        port: Some(8848),
        ttl: Some(1),
        ..teller.clone()
    };
    [teller, hearer]
}

#[test]
fn daemons_and_timeouts_are_sent_as_ipvsadm_sends_them() {
    let [teller, hearer] = daemons();
    sends(
        &Command::StartDaemon(teller),
        "090100003c000380080001000100000007000200643000000800030009000000060004007805000006000700\
         28230000050008000400000008000500e0000063",
    );
    let brief = SyncDaemon { max_len: None, port: None, ttl: None, ..hearer };
    sends(
        &Command::StartDaemon(brief),
        "090100003000038008000100020000000700020064300000080003000900000014000600ff02000000000000\
         0000000000000099",
    );
    sends(&Command::StopDaemon(SyncRole::Backup), "0a0100000c0003800800010002000000");
    let timeouts = Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 };
    sends(&Command::SetTimeouts(timeouts), "0c01000008000400840300000800050078000000080006002c010000");
}

#[cfg(target_endian = "little")]
mod from_the_kernel {
    use super::*;

    #[test]
    fn services_are_read() {
        let stats = "60000a000800010000000000080002000000000008000300000000000c000400000000000000\
                     000004000b000c0005000000000000000000080006000000000008000700000000000800080000000000\
                     080009000000000008000a0000000000";
        let message = format!(
            "01010000540101000600010002000000060002000600000014000300c00002010000000000000000000000\
             00060004000050000008000600777272000c00070003000000ffffffff080008003200000008000900ffffff00\
             {stats}{ZERO_STATS64}"
        );
        let found = read(&message, ServiceEntry::parse);
        assert_eq!(found, [ServiceEntry { spec: web(), stats: Stats::default() }]);
        let message = format!(
            "010100005c0101000600010002000000060002001100000014000300c00002010000000000000000000000\
             000600040013c40000070006007272000008000b00736970000c00070003000000ffffffff080008003c000000\
             08000900ffffffff{stats}{ZERO_STATS64}"
        );
        assert_eq!(read(&message, ServiceEntry::parse)[0].spec, telephony());
        let message = "0101000038000100060001000a000000080005000700000007000600736800000c0007001200\
                       0000ffffffff08000800000000000800090080000000";
        assert_eq!(read(message, ServiceEntry::parse)[0].spec, marked());
    }

    #[test]
    fn destinations_are_read() {
        let parse = |dest: &[u8]| DestEntry::parse(dest, Family::V4);
        let counters = "64000a0008000100000000000800020000000000080003000000000004000b000c0004000000\
             00000000000004000b000c0005000000000000000000080006000000000008000700000000000800080000000000\
             080009000000000008000a0000000000";
        let message = format!(
            "050100007c010200140001000a00000300000000000000000000000006000200005000000800030002000000\
             080004000500000005000d000100000006000e0017c0000006000f0001000000080005000000000008000600\
             00000000080007000200000008000800030000000800090004000000\
             06000b0002000000{counters}{ZERO_STATS64}"
        );
        let found = read(&message, parse);
        let stats = Stats::default();
        let spec = tunnelled();
        assert_eq!(found, [DestEntry { spec, active: 2, inactive: 3, persistent: 4, stats }]);
        // Before Linux 3.18 a server had no family of its own, before 5.3 no kind of tunnel.
        let message = "0501000054000200140001000a00000200000000000000000000000006000200\
             1f90000008000300000000000800040003000000080005006400000008000600320000000800070000000000\
             08000800000000000800090000000000";
        assert_eq!(read(message, parse)[0].spec, limited());
    }

    #[test]
    fn daemons_and_timeouts_are_read() {
        let told = read(
            "090100003c000300080001000100000007000200643000000800030009000000060004007805000006000700\
             28230000050008000400000008000500e0000063",
            SyncDaemon::parse,
        );
        let heard = read(
            "09010000480003000800010002000000070002006430000008000300090000000600\
             0400ac0500000600070090220000050008000100000014000600ff020000000000000000000000000099",
            SyncDaemon::parse,
        );
        assert_eq!([told, heard].concat(), daemons());
        let timeouts = Timeouts::parse(&unhex("08000400840300000800050078000000080006002c010000"));
        assert_eq!(timeouts, Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 });
    }

    #[test]
    fn the_longer_counters_win_and_the_shorter_serve_without_them() {
        let short = "0c000a000800010005000000";
        let long = "10000c000c000100ffffffffff000000";
        let stats = |more: &str| {
            let body = format!("060001000200000008000500070000000600060072720000{more}");
            ServiceEntry::parse(&unhex(&body)).unwrap().stats.connections
        };
        assert_eq!(stats(short), 5);
        assert_eq!(stats(&format!("{long}{short}")), 0xff_ffff_ffff);
    }

    #[test]
    fn a_mask_that_is_no_prefix_is_none_of_ours() {
        let body =
            |mask: &str| unhex(&format!("06000100020000000800050007000000070006007272000008000900{mask}"));
        let prefix_len = |mask: &str| ServiceEntry::parse(&body(mask)).unwrap().spec.prefix_len;
        assert_eq!((prefix_len("ff00ff00"), prefix_len("00000000"), prefix_len("ffffff80")), (255, 0, 25));
    }
}

#[test]
fn refusals_are_told_in_words() {
    let refused = |command: Command, errno| command.refused(errno, None).to_string();
    assert_eq!(
        refused(Command::NewService(web()), Errno::ENOENT),
        "cannot add virtual server TCP 192.0.2.1:80: No such file or directory (ENOENT): \
         the kernel has no scheduler wrr (module ip_vs_wrr)"
    );
    assert!(
        refused(Command::NewService(telephony()), Errno::ENOENT).contains("persistence engine sip (ip_vs_pe")
    );
    assert_eq!(
        refused(Command::SetDest(marked().key, limited()), Errno::ENOENT),
        "cannot change real server 10.0.0.2:8080 of virtual server FWM 7 IPv6: \
         No such file or directory (ENOENT): it has no such server"
    );
    assert!(refused(Command::DelService(web().key), Errno::ESRCH).ends_with("no such virtual server"));
    assert!(refused(Command::StopDaemon(SyncRole::Master), Errno::ESRCH).ends_with("none is running"));
    let absent = absent();
    assert_eq!(absent.errno(), Ipvs::ABSENT);
    assert_eq!(
        absent.to_string(),
        "cannot reach IPVS in the kernel: Protocol not supported (EPROTONOSUPPORT): this kernel has no \
         ip_vs; load it with `modprobe ip_vs`, or boot a kernel that has it (CONFIG_IP_VS)"
    );
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let address = (protocol, any::<IpAddr>(), any::<u16>());
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        address.prop_map(|(protocol, ip, port)| ServiceKey::Address { protocol, ip, port }),
        (any::<u32>(), family).prop_map(|(mark, family)| ServiceKey::Mark { mark, family }),
    ]
}

fn any_service() -> impl Strategy<Value = ServiceSpec> {
    let name = || "[a-z]{1,15}";
    (any_key(), name(), 0u32..16, any::<u32>(), 0u8..=128, proptest::option::of(name())).prop_map(
        |(key, scheduler, flags, timeout_s, prefix_len, engine)| {
            let flag = |bit: u32, flag: ServiceFlags| flag.only_if(flags & bit != 0);
            let flags = flag(1, ServiceFlags::PERSISTENT)
                | flag(2, ServiceFlags::ONE_PACKET)
                | flag(4, ServiceFlags::SCHEDULER_1)
                | flag(8, ServiceFlags::SCHEDULER_3);
            let prefix_len = prefix_len.min(key.family().bits());
            ServiceSpec { key, scheduler, flags, timeout_s, prefix_len, engine }
        },
    )
}

fn any_destination() -> impl Strategy<Value = DestSpec> {
    let checksum = || prop_oneof![Just(Checksum::None), Just(Checksum::Full), Just(Checksum::Remote)];
    let forwarding = prop_oneof![
        Just(Forwarding::Masquerade),
        Just(Forwarding::Direct),
        Just(Forwarding::Local),
        Just(Forwarding::Tunnel(Tunnel::Ipip)),
        (any::<u16>(), checksum())
            .prop_map(|(port, checksum)| Forwarding::Tunnel(Tunnel::Gue { port, checksum })),
        checksum().prop_map(|checksum| Forwarding::Tunnel(Tunnel::Gre { checksum })),
        (4u32..9).prop_map(Forwarding::Other),
    ];
    (any::<IpAddr>(), any::<u16>(), any::<[u32; 3]>(), forwarding).prop_map(
        |(ip, port, numbers, forwarding)| {
            let [weight, upper_threshold, lower_threshold] = numbers;
            let key = DestKey { ip, port };
            DestSpec { key, weight, forwarding, upper_threshold, lower_threshold }
        },
    )
}

/// What the kernel would read in the last attribute of a command.
fn content(command: &Command) -> Vec<u8> {
    let mut last = Vec::new();
    attributes(&sent(command)[GENERIC_BYTES..], &mut |_, value| last = value.to_vec());
    last
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_back(service in any_service(), dest in any_destination()) {
        let read = ServiceEntry::parse(&content(&Command::NewService(service.clone())));
        prop_assert_eq!(read.map(|entry| entry.spec), Some(service.clone()));
        let read = DestEntry::parse(&content(&Command::NewDest(service.key, dest)), Family::V4);
        prop_assert_eq!(read.map(|entry| entry.spec), Some(dest));
    }

    #[test]
    fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (ServiceEntry::parse(&bytes), DestEntry::parse(&bytes, Family::V6));
        let _ = (SyncDaemon::parse(&bytes), Timeouts::parse(&bytes), Stats::parse(&bytes));
    }

    #[test]
    fn damage_is_survived(service in any_service(), dest in any_destination(), at: u16, by: u8, cut: u16) {
        let [teller, _] = daemons();
        for command in [
            Command::NewService(service.clone()),
            Command::NewDest(service.key, dest),
            Command::StartDaemon(teller),
        ] {
            let mut bytes = content(&command);
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= by;
            bytes.truncate(usize::from(cut) % (bytes.len() + 1));
            let _ = (ServiceEntry::parse(&bytes), DestEntry::parse(&bytes, Family::V4));
            let _ = SyncDaemon::parse(&bytes);
        }
    }
}
