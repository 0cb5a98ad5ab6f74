//! Any bytes: no panic, no endless work, and spans that fit the text.

use crate::{load_text, root};
use hacluster_conf::Loaded;
use hacluster_conf::model::lvs::VirtualServer;
use proptest::prelude::*;

/// A long file with most of the language in it.
const SAMPLE: &str = include_str!("../../../../tests/cases/config-language/44-not-in-force.conf");
const REPEATED: &str = include_str!("../../../../tests/cases/config-language/49-repetition.conf");
const SWALLOWED: &str = include_str!("../../../../tests/cases/config-language/42-swallowed-brace.conf");
const OPTIONS: &str = include_str!("../../../../tests/cases/config-language/48-address-options.conf");

fn sound(loaded: &Loaded) {
    assert!(loaded.diagnostics.len() <= 501);
    assert!(loaded.exit_status() <= 2);
    for found in &loaded.diagnostics {
        assert!(!found.message.contains('\n') && found.message.len() < 1000, "{}", found.message);
        let Some(span) = &found.span else { continue };
        let text = loaded.sources.text(span.file);
        assert!(text.get(span.range.clone()).is_some(), "{found:?} outside of {} bytes", text.len());
    }
}

/// Pieces that mean something, and pieces that mean trouble.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "vrrp_instance a {\n",
        "global_defs {\n",
        "virtual_ipaddress {\n",
        "authentication\n",
        "10.0.0.1/24\n",
        "{",
        "}",
        "\n",
        "\"",
        "\\",
        "#",
        "!",
        "$A=$B\n",
        "$B=${A}x \\\n",
        "$A",
        "${B}",
        "${",
        "~SEQ(a,1,2,30) ",
        "~LST({a,b},{1,2}) ",
        "include /etc/keepalived/*\n",
        "@nodea ",
        "@^x ",
        "auth_pass ",
        "auth_type PASS\n",
        "\u{feff}",
        "\u{201c}",
        "\u{a0}",
        "priority 300\n",
        "dev",
        " ",
        "\t",
        "\r",
        "interface eth0\n",
        "virtual_router_id 1\n",
        "state MASTER\n",
        "advert_int 0.5\n",
        "é",
        "\u{0}",
        "unicast_peer { a b }\n",
        "label ",
        "brd + ",
    ];
    prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

/// Words of virtual servers, from the specification, with values that fit and values that do not.
fn balancing() -> impl Strategy<Value = String> {
    let table = std::fs::read_to_string(root("tests/spec/keywords.tsv")).unwrap();
    let is_ours = |block: &str| {
        matches!(block, "virtual_server" | "real_server" | "url")
            || block.ends_with("_CHECK")
            || block.ends_with("_GET")
    };
    let rows = table.lines().filter_map(|row| row.split_once('\t').filter(|(block, _)| is_ours(block)));
    let mut words: Vec<String> =
        rows.filter_map(|(_, rest)| Some(rest.split_once('\t')?.0.to_owned())).collect();
    words.sort();
    words.dedup();
    assert!(words.len() > 80, "{words:?}");
    let values = [
        "",
        " {\n",
        "\n",
        "\n}\n",
        " 10.0.0.1 80 {\n",
        " 10.0.0.2 80{\n",
        " fwmark 3 {\n",
        " group g {\n",
        " 2001:db8::1 80\n",
        " 10.0.0.0-255 80\n",
        " 10.0.0.0/8 80\n",
        " 0\n",
        " -1\n",
        " 65536\n",
        " 4294967296\n",
        " 1e9\n",
        " 0.5\n",
        " rr\n",
        " DR\n",
        " TUN type gue port 1 remcsum\n",
        " UDP\n",
        " \"\"\n",
        " \"((((\"\n",
        " \"(?<!a)b\"\n",
        " 200-100 99\n",
        " 0x0g\n",
        " a..b\n",
        " /bin/x $A ${B}\n",
        " off\n",
        " eth0\n",
        " \u{201c}x\u{201d}\n",
        "# }\n",
        " 255.0.255.0\n",
    ];
    let pair = (prop::sample::select(words), prop::sample::select(values.to_vec()));
    let opening = [
        "virtual_server 10.0.0.1 80 {\n",
        "virtual_server fwmark 7 {\n",
        "virtual_server group g {\n",
        "virtual_server_group g {\n",
        "real_server 10.0.0.2 80 {\n",
        "}\n",
        "10.0.0.1-9 80\n",
        "fwmark 9\n",
        "url {\n",
    ];
    prop_oneof![
        5 => pair.prop_map(|(word, value)| format!("{word}{value}")),
        3 => prop::sample::select(opening.to_vec()).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is wrong of virtual servers stands somewhere, and the reader is told where.
    #[test]
    fn words_of_virtual_servers_in_any_order(pieces in prop::collection::vec(balancing(), 0..60)) {
        let loaded = load_text(format!("virtual_server 10.0.0.9 80 {{\n{}", pieces.concat()));
        sound(&loaded);
        for found in &loaded.diagnostics {
            let whole = ["nothing-runs", "no-virtual-router", "too-many-findings"].contains(&found.code);
            prop_assert!(whole || found.span.is_some(), "{found:?}");
        }
        // What is left can be put in place: no service without something to match, none twice.
        let lvs = &loaded.config.lvs;
        let mut frontends: Vec<_> = lvs.services.iter().flat_map(|of| of.frontends.iter().copied()).collect();
        let count = frontends.len();
        frontends.sort();
        frontends.dedup();
        prop_assert!(frontends.len() == count && lvs.services.iter().all(|of| !of.frontends.is_empty()));
        let weighty = |of: &VirtualServer| of.quorum > 0 && of.hysteresis < of.quorum;
        prop_assert!(lvs.services.iter().all(weighty), "{:?}", lvs.services);
    }

    #[test]
    fn any_bytes_within_a_virtual_server(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let head = &b"virtual_server 10.0.0.1 80 {\nreal_server 10.0.0.2 80 {\nHTTP_GET {\n"[..];
        sound(&load_text([head, &bytes].concat()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        sound(&load_text(bytes));
    }

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(piece(), 0..80)) {
        sound(&load_text(pieces.concat()));
    }

    #[test]
    fn real_text_with_a_wound(which in 0..4_usize, at in any::<prop::sample::Index>(), cut in 0..20_usize, new in piece()) {
        let text = [SAMPLE, REPEATED, SWALLOWED, OPTIONS][which];
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, new.bytes());
        sound(&load_text(bytes));
    }
}

#[test]
fn floods_end() {
    let open = "vrrp_instance a {\n".repeat(20_000);
    let words = "a ".repeat(30_000);
    let quotes = "\"".repeat(60_000);
    let strange = "\u{201c}x\n".repeat(20_000);
    let includes = "include /etc/keepalived/keepalived.conf\n".repeat(2_000);
    let bomb: String = (0..60).map(|n| format!("$A{n}=$A{m}$A{m}$A{m}\n", m = n + 1)).collect::<String>()
        + "$A0\n$A1\n$A2\n";
    for text in [
        open,
        words,
        quotes,
        strange,
        includes,
        bomb,
        "~SEQ(a,1,1,9999) ~SEQ(b,1,1,9999) $a$b {\n".to_owned(),
    ] {
        sound(&load_text(text));
    }
    let dropped = "~SEQ(a,1,1,9999) ~SEQ(b,1,1,9999) ~SEQ(c,1,1,9999) @other x\n".to_owned();
    let long = format!("$A={}\n~SEQ(a,1,1,9999) ~SEQ(b,1,1,50) x $A\n", "y".repeat(60_000));
    let dollars = "${".repeat(100_000) + "\nauth_pass " + &"${".repeat(100_000);
    let secrets = "auth_pass x ".repeat(100_000) + "\n" + &"auth_pass {".repeat(5_000);
    let blocks: String = (0..20_000)
        .map(|n| format!("virtual_ipaddress_excluded {{ 10.0.{}.{} }}\n", n / 250, n % 250 + 1))
        .collect();
    let blocks = format!("vrrp_instance a {{\n{blocks}}}\n");
    let globs = "include /etc/{a,b}{c,d}{e,f}*/*?*\n".repeat(20_000);
    for (name, text) in [
        ("dropped", dropped),
        ("long", long),
        ("dollars", dollars),
        ("secrets", secrets),
        ("blocks", blocks),
        ("globs", globs),
    ] {
        let start = std::time::Instant::now();
        sound(&load_text(text));
        eprintln!("{name}: {:?}", start.elapsed());
    }
}

#[test]
fn a_large_configuration_is_read_in_linear_time() {
    let text = |routers: usize| {
        use std::fmt::Write as _;
        let mut text = String::new();
        for n in 0..routers {
            writeln!(text, "vrrp_instance r{n} {{\n interface e{}\n virtual_router_id {}\n priority 100\n virtual_ipaddress {{", n / 255, n % 255 + 1).unwrap();
            for k in 0..5 {
                let k = n * 5 + k;
                writeln!(text, "  10.{}.{}.{}/32", k / 60_000, k / 250 % 240, k % 250 + 1).unwrap();
            }
            text.push_str(" }\n}\n");
        }
        text
    };
    let loaded = load_text(text(2000));
    assert_eq!(loaded.config.routers.len(), 2000);
    assert_eq!(loaded.config.routers.iter().map(|router| router.addresses.len()).sum::<usize>(), 10_000);
    // Ten times the text may take about ten times as long; a quadratic reader would need a hundred.
    let time = |routers| {
        let text = text(routers);
        let start = std::time::Instant::now();
        let _ = load_text(text);
        start.elapsed()
    };
    let times: Vec<_> = (0..3).map(|_| (time(400), time(4000))).collect();
    assert!(times.iter().any(|(small, large)| *large < *small * 60), "400 and 4000 routers: {times:?}");
}
