use super::super::hands::tests::row as parsed;
use super::super::tests::{sorry, virtual_server};
use super::*;
use hacluster_conf::model::lvs::{Persistence, SorryServer};
use hacluster_core::balance::{Look, Rules, Server, ServerRules, Sorry};
use hacluster_core::time::Duration;
use proptest::prelude::*;

fn table(lines: &[&str]) -> Table {
    lines.iter().map(|line| parsed(line)).map(|(key, row)| (key, Arc::new(row))).collect()
}

fn ours(table: &Table) -> BTreeSet<ServiceKey> {
    table.keys().copied().collect()
}

/// `+` new, `~` set, `-` remove.
fn words(commands: &[Command]) -> Vec<String> {
    let of = |command: &Command| match command {
        Command::NewService(spec) => format!("+{}", spec.key),
        Command::SetService(spec) => format!("~{}", spec.key),
        Command::DelService(key) => format!("-{key}"),
        Command::NewDest(_, spec) => format!("+{}", spec.key),
        Command::SetDest(_, spec) => format!("~{}", spec.key),
        Command::DelDest(_, key) => format!("-{key}"),
        other => format!("{other:?}"),
    };
    commands.iter().map(of).collect()
}

#[test]
fn the_difference_and_its_order() {
    let web = "TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1";
    let cases: [(&[&str], &[&str], &[&str]); 7] = [
        (&[web], &[web], &[]),
        (&[], &[web], &["+TCP 10.0.0.1:80", "+10.0.0.2:80", "+10.0.0.3:80"]),
        (&[web], &[], &["-TCP 10.0.0.1:80"]),
        (&[web], &["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=2"], &["~10.0.0.3:80"]),
        (&[web], &["TCP 10.0.0.1:80 sh: 10.0.0.2:80=1 10.0.0.3:80=1"], &["~TCP 10.0.0.1:80"]),
        // The sorry server comes before who is left goes.
        (&[web], &["TCP 10.0.0.1:80 wrr: 10.0.0.9:80=1"], &["+10.0.0.9:80", "-10.0.0.2:80", "-10.0.0.3:80"]),
        (&["TCP 10.0.0.5:80 wrr:"], &["TCP 10.0.0.1:80 wrr:"], &["-TCP 10.0.0.5:80", "+TCP 10.0.0.1:80"]),
    ];
    for (found, wanted, expected) in cases {
        let (found, wanted) = (table(found), table(wanted));
        assert_eq!(words(&difference(&wanted, &found, &ours(&found))), expected);
    }
}

#[test]
fn what_is_not_ours_is_never_removed() {
    let found = table(&["TCP 10.0.0.5:80 wrr: 10.0.0.2:80=1"]);
    assert!(difference(&Table::new(), &found, &BTreeSet::new()).is_empty());
}

#[test]
fn a_server_on_this_host_that_an_old_kernel_calls_local_is_left_alone() {
    let wanted = table(&["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1"]);
    let mut found = wanted.clone();
    for row in found.values_mut() {
        Arc::make_mut(row).servers.values_mut().for_each(|server| server.forwarding = Way::Local);
    }
    assert!(difference(&wanted, &found, &ours(&found)).is_empty());
    assert!(meddling(&wanted, &found).is_empty());
}

fn state(of: &VirtualServer, ups: &[bool]) -> Service {
    let server = |(server, up): (&RealServer, &bool)| {
        let rules = ServerRules { weight: server.weight, inhibit: server.inhibit_on_failure };
        Server::new(rules, vec![Look { up: *up, adjust: None }], None)
    };
    let sorry = of.sorry.map(|sorry| if sorry.inhibit { Sorry::Inhibited } else { Sorry::Absent });
    let rules = Rules { quorum: of.quorum, hysteresis: of.hysteresis, sorry };
    Service::new(rules, of.servers.iter().zip(ups).map(server).collect(), None)
}

#[test]
fn a_configured_service_as_the_kernel_has_it() {
    let mut of = virtual_server("x", "10.0.0.1:80", &["10.0.0.2:0", "10.0.0.3:8080"]);
    of.servers[1].forwarding =
        Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Remote });
    of.servers[1].upper_threshold = 9;
    of.servers[1].inhibit_on_failure = true;
    of.scheduler.flags = [true, false, true];
    of.one_packet = true;
    let engine = Some("sip".to_owned());
    of.persistence = Some(Persistence { timeout: Duration::from_secs(360), prefix_len: 24, engine });
    let row = row(&of.frontends[0], &of, &state(&of, &[true, false]));
    assert_eq!((row.spec.timeout_s, row.spec.prefix_len, row.spec.engine.as_deref()), (360, 24, Some("sip")));
    for flag in [
        ServiceFlags::PERSISTENT,
        ServiceFlags::ONE_PACKET,
        ServiceFlags::SCHEDULER_1,
        ServiceFlags::SCHEDULER_3,
    ] {
        assert!(row.spec.flags.contains(flag));
    }
    assert!(!row.spec.flags.contains(ServiceFlags::SCHEDULER_2));
    let [first, second] = &row.servers.values().collect::<Vec<_>>()[..] else { panic!("{row:?}") };
    assert_eq!(
        (first.key.to_string().as_str(), first.weight, first.forwarding),
        ("10.0.0.2:80", 1, Way::Direct)
    );
    assert_eq!((second.weight, second.upper_threshold), (0, 9));
    let gue = Way::Tunnel(Pack::Gue { port: 6080, checksum: Checksum::Remote });
    assert_eq!(second.forwarding, gue);
}

#[test]
fn a_sorry_server_that_is_a_real_server_too_takes_connections_where_either_does() {
    let mut of = virtual_server("x", "10.0.0.1:80", &["10.0.0.2:80"]);
    of.sorry = Some(SorryServer { inhibit: true, ..sorry("10.0.0.2:80") });
    for up in [true, false] {
        let row = row(&of.frontends[0], &of, &state(&of, &[up]));
        assert_eq!(row.servers.values().map(|server| server.weight).collect::<Vec<_>>(), [1], "up {up}");
    }
}

#[test]
fn what_others_did_is_named() {
    let known = table(&["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=2", "TCP 10.0.0.1:443 wrr:"]);
    let found = table(&["TCP 10.0.0.1:80 rr: 10.0.0.3:80=4 10.0.0.7:80=1"]);
    let texts: Vec<String> = meddling(&known, &found).into_iter().map(|odd| odd.0).collect();
    assert_eq!(
        texts,
        [
            "virtual server TCP 10.0.0.1:80 was changed",
            "real server 10.0.0.2:80 was removed from TCP 10.0.0.1:80",
            "real server 10.0.0.3:80 of TCP 10.0.0.1:80 was changed, weight 2 -> 4",
            "real server 10.0.0.7:80 was added to TCP 10.0.0.1:80",
            "virtual server TCP 10.0.0.1:443 was removed",
        ]
    );
    assert!(meddling(&known, &known).is_empty());
}

fn any_table() -> impl Strategy<Value = Table> {
    let servers = proptest::collection::btree_map(1u8..6, 0u32..3, 0..5);
    proptest::collection::btree_map(1u16..5, (any::<bool>(), servers), 0..4).prop_map(|all| {
        let line = |(port, (rr, servers)): (u16, (bool, BTreeMap<u8, u32>))| {
            let servers: String =
                servers.iter().map(|(ip, weight)| format!(" 10.0.0.{ip}:80={weight}")).collect();
            let (key, row) =
                parsed(&format!("TCP 10.0.0.1:{port} {}:{servers}", if rr { "rr" } else { "wrr" }));
            (key, Arc::new(row))
        };
        all.into_iter().map(line).collect()
    })
}

proptest! {
    /// The commands lead from any table to any other, whatever there is of others stays, and then there
    /// is nothing left to do.
    #[test]
    fn the_difference_leads_there(wanted in any_table(), found in any_table(), ours_are_first: bool) {
        let ours: BTreeSet<ServiceKey> =
            found.keys().enumerate().filter(|(at, _)| (at % 2 == 0) == ours_are_first).map(|(_, key)| *key).collect();
        let mut table = found.clone();
        for command in difference(&wanted, &found, &ours) {
            apply(&mut table, &command);
        }
        let mut expected = wanted.clone();
        expected.extend(found.iter().filter(|(key, _)| !wanted.contains_key(*key) && !ours.contains(*key)).map(|(key, row)| (*key, row.clone())));
        prop_assert_eq!(&table, &expected);
        share(&mut table, &wanted);
        prop_assert!(difference(&wanted, &table, &ours).is_empty());
    }
}

/// As `ipvsadm -ln` prints it with keepalived: a table of its is taken over without a change.
#[test]
fn only_masquerading_leads_to_another_port_than_was_asked_for() {
    let nat = Forwarding::Masquerade;
    let (dr, tun) = (Forwarding::DirectRouting, Forwarding::Tunnel(Tunnel::Ipip));
    let mark = Frontend::Mark { mark: 3, ipv6: false };
    let address =
        |port| Frontend::Address { protocol: Protocol::Tcp, to: SocketAddr::new([10, 0, 0, 1].into(), port) };
    for (frontend, written, forwarding, expected) in [
        (address(80), 8080, nat, 8080),
        (address(80), 0, nat, 80),
        (address(0), 8080, nat, 8080),
        (address(0), 0, nat, 0),
        (address(80), 8080, dr, 80),
        (address(80), 8080, tun, 80),
        (address(80), 0, dr, 80),
        (address(0), 8080, dr, 0),
        (mark, 8080, nat, 8080),
        (mark, 0, nat, 0),
        (mark, 8080, dr, 0),
        (mark, 8080, tun, 0),
    ] {
        let to = SocketAddr::new([10, 0, 0, 2].into(), written);
        assert_eq!(server_key(&frontend, to, forwarding).port, expected, "{frontend} {written} {forwarding}");
    }
}

#[test]
fn two_servers_that_are_one_for_the_kernel_answer_while_either_is_up() {
    let mut of = virtual_server("x", "10.0.0.1:80", &["10.0.0.2:80", "10.0.0.2:8080"]);
    of.servers.iter_mut().for_each(|server| server.inhibit_on_failure = true);
    for (ups, weight) in [([true, false], 1), ([false, true], 1), ([false, false], 0)] {
        let row = row(&of.frontends[0], &of, &state(&of, &ups));
        assert_eq!(row.servers.values().map(|server| server.weight).collect::<Vec<_>>(), [weight], "{ups:?}");
    }
}
