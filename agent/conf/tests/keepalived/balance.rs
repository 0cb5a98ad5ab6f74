//! Every word of virtual servers, real servers and checks has its effect, or says that it has none.

use crate::{load_text, root, summary};
use hacluster_conf::Loaded;

/// What stands around a word: blocks from the outside in, `@` for the word.
fn around(block: &str, keyword: &str) -> Option<String> {
    let web = "HTTP_GET {\nurl {\npath /\n}\n}\n";
    let head = match keyword {
        "ip_family" => "virtual_server fwmark 3 {",
        _ => "virtual_server 10.0.0.1 80 {",
    };
    let service = |inner: &str| format!("{head}\n{inner}\nreal_server 10.0.0.3 80 {{\n{web}}}\n}}\n");
    let server = |inner: &str| {
        format!("virtual_server 10.0.0.1 80 {{\ndelay_loop 60\nreal_server 10.0.0.2 80 {{\n{inner}\n}}\n}}\n")
    };
    Some(match block {
        "-" => "@\n".to_owned(),
        "global_defs" => format!("global_defs {{\n@\n}}\n{}", server("TCP_CHECK {\n}\n")),
        "vrrp_instance" => {
            "vrrp_instance x {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.9\n}\n@\n}\n"
                .to_owned()
        }
        "virtual_server" => service("@"),
        "real_server" => server(&format!("@\n{web}")),
        "url" => server("HTTP_GET {\nurl {\n@\n}\n}"),
        "HTTP_GET" | "SSL_GET" => server(&format!("{block} {{\nurl {{\npath /\n}}\n@\n}}")),
        "MISC_CHECK" => server("MISC_CHECK {\nmisc_path /bin/a\n@\n}"),
        _ if block.ends_with("_CHECK") => server(&format!("{block} {{\n@\n}}")),
        _ => return None,
    })
}

/// Words without a value.
const FLAGS: &[&str] = &[
    "flag-1",
    "flag-2",
    "flag-3",
    "sh-port",
    "sh-fallback",
    "mh-port",
    "mh-fallback",
    "ops",
    "ha_suspend",
    "omega",
    "alpha",
    "sorry_server_inhibit",
    "inhibit_on_failure",
    "enable_sni",
    "fast_recovery",
    "misc_dynamic",
    "regex_no_match",
    "smtp_alert",
    "log_all_failures",
    "lvs_flush",
    "lvs_flush_on_stop",
    "no_checker_emails",
    "rs_init_notifies",
    "checker_log_all_failures",
    "tls_compliant",
];

/// What must stand before a word, and the word with a value that is not its default.
fn sample(block: &str, keyword: &str) -> (&'static str, String) {
    (before(keyword), format!("{keyword} {}", value(block, keyword)))
}

fn value(block: &str, keyword: &str) -> &'static str {
    match keyword {
        "lb_algo" | "lvs_sched" => "sh",
        "lb_kind" | "lvs_method" | "sorry_server_lvs_method" => "DR",
        "protocol" => "UDP",
        "persistence_granularity" => "255.255.255.0",
        "persistence_engine" => "sip",
        "virtualhost" | "sni_name" | "helo_name" | "name" => "www.example.org",
        "smtp_alert" | "smtp_alert_checker" if block != "virtual_server" => "off",
        "quorum_up" | "quorum_down" | "notify_up" | "notify_down" | "misc_path" => "/bin/true",
        "lvs_notify_fifo" | "lvs_notify_fifo_script" => "/run/x",
        "ip_family" => "inet6",
        "sorry_server" | "virtual_server" => "10.0.0.7 80",
        "real_server" => "10.0.0.7 80 {\n}",
        "connect_ip" | "bindto" => "10.9.9.9",
        "bind_if" | "lvs_sync_daemon" | "lvs_sync_daemon_interface" => "eth7",
        "lvs_timeouts" => "tcp 7",
        "url" => "{\npath /x\n}",
        "http_protocol" => "1.1",
        "path" => "/x",
        "digest" => "9b3a0c85a887a256d6939da88aabd8cd",
        "status_code" => "204",
        "regex" => "x",
        "regex_options" => "caseless",
        "host" => "{\nconnect_ip 10.9.9.9\n}",
        "type" => "MX",
        "user" => "nobody",
        "MISC_CHECK" => "{\nmisc_path /bin/true\n}",
        "FILE_CHECK" => "{\ntrack_file load\n}",
        "SSL" => "{\ncertificate /a\nkey /b\n}",
        _ if keyword.ends_with("_CHECK") || keyword.ends_with("_GET") => "{\n}",
        _ if FLAGS.contains(&keyword) => "",
        _ => "7",
    }
}

/// What must come first for the word to mean anything.
fn before(keyword: &str) -> &'static str {
    match keyword {
        "persistence_granularity" => "persistence_timeout 50\n",
        "persistence_engine" => "persistence_timeout 50\nprotocol UDP\n",
        "sh-port" | "sh-fallback" => "lb_algo sh\n",
        "mh-port" | "mh-fallback" => "lb_algo mh\n",
        "ops" => "protocol UDP\n",
        "hysteresis" => "quorum 9\n",
        "sorry_server_inhibit" | "sorry_server_lvs_method" => "sorry_server 10.0.0.9 80\n",
        "lthreshold" => "uthreshold 9\n",
        "enable_sni" => "virtualhost www.example.org\n",
        "lvs_notify_fifo_script" => "lvs_notify_fifo /run/y\n",
        _ if keyword.starts_with("regex_") => "regex x\n",
        _ => "",
    }
}

const GLOBAL: [&str; 16] = [
    "smtp_alert_checker",
    "no_checker_emails",
    "checker_log_all_failures",
    "lvs_sync_daemon",
    "lvs_timeouts",
    "lvs_flush",
    "lvs_flush_on_stop",
    "nftables_ipvs",
    "nftables_ipvs_priority",
    "nftables_ipvs_start_fwmark",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "lvs_netlink_cmd_rcv_bufs",
    "lvs_netlink_monitor_rcv_bufs",
    "rs_init_notifies",
    "lvs_sync_daemon_interface",
];

/// Not in force, each with its reason.
const WAITING: [(&str, &str); 4] = [
    ("global_defs", "nftables_ipvs"),
    ("global_defs", "nftables_ipvs_priority"),
    ("global_defs", "nftables_ipvs_start_fwmark"),
    ("real_server", "BFD_CHECK"),
];

/// Without effect by nature, each with its reason; ends of connections for who has none, and the like.
const MOOT: [(&str, &[&str]); 7] = [
    ("global_defs", &["lvs_netlink_cmd_rcv_bufs", "lvs_netlink_monitor_rcv_bufs"]),
    (
        "MISC_CHECK",
        &["connect_ip", "connect_port", "bindto", "bind_if", "bind_port", "fwmark", "connect_timeout"],
    ),
    ("PING_CHECK", &["connect_port", "bind_port"]),
    ("HTTP_GET", &["enable_sni", "sni_name", "tls_compliant"]),
    ("SSL_GET", &["tls_compliant"]),
    ("url", &["regex_stack", "tls_compliant"]),
    ("-", &[]),
];

fn load(block: &str, keyword: &str, line: &str) -> Option<Loaded> {
    let file = "track_file load {\nfile /run/load\n}\n";
    Some(load_text(format!("{file}{}", around(block, keyword)?.replace('@', line))))
}

#[test]
fn every_word_about_balancing_is_in_force_or_says_why_not() {
    let table = std::fs::read_to_string(root("tests/spec/keywords.tsv")).unwrap();
    let (mut rows, mut wrong) = ([0; 3], Vec::new());
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let [block, keyword, class] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let elsewhere = matches!(block, "global_defs" | "vrrp_instance") && !GLOBAL.contains(&keyword)
            || block == "-" && !matches!(keyword, "virtual_server" | "SSL");
        if class == "D" || elsewhere {
            continue;
        }
        let (before, line) = sample(block, keyword);
        let line = if keyword == "virtual_server" { format!("{line} {{\n}}") } else { line };
        let Some(without) = load(block, keyword, before) else { continue };
        let with = load(block, keyword, &format!("{before}{line}")).unwrap();
        let shown = || format!("{row}\n{}\n{}", summary(&without), summary(&with));
        let says = |code: &str| {
            let named = |d: &&hacluster_conf::diag::Diagnostic| d.message.contains(&format!("`{keyword}`"));
            with.diagnostics.iter().filter(named).any(|d| d.code == code && !d.notes.is_empty())
        };
        let changes = with.config.lvs != without.config.lvs;
        let (kind, good) = if WAITING.contains(&(block, keyword)) {
            (1, says("not-in-force-yet") && !changes && with.exit_status() == 1)
        } else if MOOT.iter().any(|(of, words)| *of == block && words.contains(&keyword)) {
            (2, says("no-effect") && !changes)
        } else {
            (0, changes)
        };
        rows[kind] += 1;
        if !good {
            wrong.push(shown());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(rows[0] > 170 && rows[1] == WAITING.len() && rows[2] > 10, "{rows:?}");
}
