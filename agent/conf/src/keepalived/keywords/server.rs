//! Keywords of virtual servers, real servers and their checks: understood, not in force yet.

use super::Takes::{Bool, Flag, Ip, Maybe, Number, OneOf, Seconds, Weight, Word, Words};
use super::{ANY, Block, DAY_MS, Keyword, Takes, Topic, gone};

const fn lvs(name: &'static str, takes: Takes) -> Keyword {
    super::later(Topic::Ipvs, name, takes)
}

const SCHEDULERS: Takes =
    OneOf(&["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf", "twos"]);
const METHODS: Takes = OneOf(&["NAT", "DR", "TUN"]);
const PORT: Takes = Number(1, 65_535);
const SNMP: &str = "there is no SNMP";

/// Settings a service, a server and a check may all have.
const DEFAULTS: &[Keyword] = &[
    lvs("delay_loop", Seconds(1, DAY_MS)),
    lvs("connect_timeout", Seconds(1, DAY_MS)),
    lvs("retry", Number(0, ANY)),
    lvs("delay_before_retry", Seconds(0, DAY_MS)),
    lvs("warmup", Seconds(0, DAY_MS)),
    lvs("alpha", Bool),
];

pub(in super::super) static VIRTUAL_SERVER: Block =
    Block { name: "virtual_server", keywords: &[DEFAULTS, SERVICE] };

const SERVICE: &[Keyword] = &[
    lvs("lb_algo", SCHEDULERS),
    lvs("lvs_sched", SCHEDULERS),
    lvs("lb_kind", METHODS),
    lvs("lvs_method", METHODS),
    lvs("protocol", OneOf(&["TCP", "UDP", "SCTP", "tcp", "udp", "sctp"])),
    lvs("persistence_timeout", Maybe),
    lvs("persistence_granularity", Word),
    lvs("persistence_engine", Word),
    lvs("flag-1", Flag),
    lvs("flag-2", Flag),
    lvs("flag-3", Flag),
    lvs("sh-port", Flag),
    lvs("sh-fallback", Flag),
    lvs("mh-port", Flag),
    lvs("mh-fallback", Flag),
    lvs("ops", Flag),
    gone("hashed", Flag, "it has no meaning since IPVS hashes always"),
    lvs("ha_suspend", Flag),
    lvs("virtualhost", Words),
    lvs("smtp_alert", Bool),
    gone("snmp_name", Words, SNMP),
    lvs("omega", Flag),
    lvs("quorum", Number(1, ANY)),
    lvs("hysteresis", Number(0, ANY)),
    lvs("quorum_up", Words),
    lvs("quorum_down", Words),
    lvs("ip_family", OneOf(&["inet", "inet6"])),
    lvs("sorry_server", Ip),
    lvs("sorry_server_inhibit", Flag),
    lvs("sorry_server_lvs_method", METHODS),
    lvs("inhibit_on_failure", Bool),
    lvs("weight", Number(0, 65_535)),
    gone("net_mask", Word, "a leftover from before 2000 that keepalived does not know; remove it"),
    gone("nat_mask", Word, "a leftover from before 2000 that keepalived does not know; remove it"),
    lvs("real_server", Takes::Block(&REAL_SERVER)),
];

pub(in super::super) static REAL_SERVER: Block =
    Block { name: "real_server", keywords: &[DEFAULTS, BACK_END] };

const BACK_END: &[Keyword] = &[
    lvs("weight", Number(0, 65_535)),
    lvs("lvs_method", METHODS),
    lvs("uthreshold", Number(0, ANY)),
    lvs("lthreshold", Number(0, ANY)),
    lvs("inhibit_on_failure", Bool),
    lvs("notify_up", Words),
    lvs("notify_down", Words),
    lvs("smtp_alert", Bool),
    lvs("virtualhost", Words),
    gone("snmp_name", Words, SNMP),
    lvs("HTTP_GET", Takes::Block(&HTTP_GET)),
    lvs("SSL_GET", Takes::Block(&HTTP_GET)),
    lvs("TCP_CHECK", Takes::Block(&TCP_CHECK)),
    lvs("SMTP_CHECK", Takes::Block(&SMTP_CHECK)),
    lvs("DNS_CHECK", Takes::Block(&DNS_CHECK)),
    lvs("MISC_CHECK", Takes::Block(&MISC_CHECK)),
    lvs("BFD_CHECK", Takes::Block(&BFD_CHECK)),
    lvs("PING_CHECK", Takes::Block(&PING_CHECK)),
    lvs("UDP_CHECK", Takes::Block(&UDP_CHECK)),
    lvs("FILE_CHECK", Takes::Block(&FILE_CHECK)),
];

/// What every check takes, besides [`DEFAULTS`].
const CONNECTION: &[Keyword] = &[
    lvs("connect_ip", Ip),
    lvs("connect_port", PORT),
    lvs("bindto", Ip),
    lvs("bind_if", Word),
    lvs("bind_port", PORT),
    lvs("fwmark", Number(0, ANY)),
    lvs("log_all_failures", Bool),
];

/// keepalived knows the old word in two checks only and loses it, silently to most eyes, in the rest.
const OLD_RETRY: &[Keyword] =
    &[gone("nb_get_retry", Number(0, ANY), "write `retry`: keepalived ignores the old word in this check")];
const OLD_RETRY_KNOWN: &[Keyword] = &[gone("nb_get_retry", Number(0, ANY), "the old name of `retry`")];

pub(in super::super) static HTTP_GET: Block = Block {
    name: "HTTP_GET",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY_KNOWN,
        &[
            lvs("url", Takes::Block(&URL)),
            lvs("http_protocol", OneOf(&["1.0", "1.0C", "1.1", "1.0c"])),
            lvs("fast_recovery", Bool),
            lvs("virtualhost", Words),
            lvs("enable_sni", Flag),
            lvs("sni_name", Word),
            lvs("tls_compliant", Flag),
        ],
    ],
};

pub(in super::super) static URL: Block = Block {
    name: "url",
    keywords: &[&[
        lvs("path", Words),
        lvs("digest", Word),
        lvs("status_code", Words),
        lvs("virtualhost", Words),
        lvs("regex", Words),
        lvs("regex_no_match", Flag),
        lvs("regex_options", Words),
        lvs("regex_stack", Words),
        lvs("regex_min_offset", Number(0, ANY)),
        lvs("regex_max_offset", Number(0, ANY)),
        lvs("tls_compliant", Flag),
    ]],
};

pub(in super::super) static TCP_CHECK: Block =
    Block { name: "TCP_CHECK", keywords: &[DEFAULTS, CONNECTION, OLD_RETRY] };

pub(in super::super) static SMTP_CHECK: Block = Block {
    name: "SMTP_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[lvs("helo_name", Words), lvs("host", Takes::Block(&HOST))],
    ],
};

pub(in super::super) static HOST: Block = Block { name: "host", keywords: &[CONNECTION] };

pub(in super::super) static DNS_CHECK: Block = Block {
    name: "DNS_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[lvs("type", OneOf(&["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"])), lvs("name", Word)],
    ],
};

pub(in super::super) static MISC_CHECK: Block = Block {
    name: "MISC_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[
            lvs("misc_path", Words),
            lvs("misc_timeout", Number(1, ANY)),
            lvs("misc_dynamic", Flag),
            lvs("user", Words),
        ],
    ],
};

pub(in super::super) static BFD_CHECK: Block =
    Block { name: "BFD_CHECK", keywords: &[DEFAULTS, CONNECTION, OLD_RETRY, &[lvs("name", Word)]] };

pub(in super::super) static PING_CHECK: Block =
    Block { name: "PING_CHECK", keywords: &[DEFAULTS, CONNECTION, OLD_RETRY] };

pub(in super::super) static UDP_CHECK: Block = Block {
    name: "UDP_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[
            lvs("payload", Words),
            lvs("require_reply", Maybe),
            lvs("min_reply_length", Number(0, 65_535)),
            lvs("max_reply_length", Number(0, 65_535)),
        ],
    ],
};

pub(in super::super) static FILE_CHECK: Block = Block {
    name: "FILE_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[lvs("track_file", Word), lvs("weight", Weight(-2_147_483_647, 2_147_483_647))],
    ],
};

pub(in super::super) static SSL: Block = Block {
    name: "SSL",
    keywords: &[&[lvs("password", Word), lvs("ca", Word), lvs("certificate", Word), lvs("key", Word)]],
};
