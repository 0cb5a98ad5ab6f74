//! Keywords of virtual servers, real servers and their checks.

use super::Takes::{Bool, Flag, Maybe, Word, Words};
use super::{Block, Keyword, Takes, Topic, gone, later, moot, now, old};

const SNMP: &str = "there is no SNMP";
const CA: &str = "certificates of servers are not looked at, as with keepalived; `[lvs] authorities` in \
                  agent.toml does it";
const NO_PORT: &str = "an echo request has no port";
const BY_ITSELF: &str = "a program connects by itself: give it the address as an argument of `misc_path`";
const CHANGES: &str = "a tracked file is read at once whenever it changes, and connects nowhere";
const NO_TLS: &str = "`HTTP_GET` does not speak TLS: write `SSL_GET`";
const TLS: &str = "a check always ends its TLS session as the protocol asks";

/// Settings a service, a server and a check may all have.
const DEFAULTS: &[Keyword] = &[
    now("delay_loop", Word),
    now("retry", Word),
    now("delay_before_retry", Word),
    now("warmup", Word),
    now("alpha", Bool),
    now("connect_timeout", Word),
];
/// Those of a check that connects to nobody.
const PROGRAM: &[Keyword] = &[
    now("delay_loop", Word),
    now("retry", Word),
    now("delay_before_retry", Word),
    now("warmup", Word),
    now("alpha", Bool),
];

pub(in super::super) static VIRTUAL_SERVER: Block =
    Block { name: "virtual_server", keywords: &[DEFAULTS, SERVICE] };

const SERVICE: &[Keyword] = &[
    now("lb_algo", Word),
    now("lvs_sched", Word),
    now("lb_kind", Words),
    now("lvs_method", Words),
    now("protocol", Word),
    now("persistence_timeout", Maybe),
    now("persistence_granularity", Word),
    now("persistence_engine", Word),
    now("flag-1", Flag),
    now("flag-2", Flag),
    now("flag-3", Flag),
    now("sh-port", Flag),
    now("sh-fallback", Flag),
    now("mh-port", Flag),
    now("mh-fallback", Flag),
    now("ops", Flag),
    gone("hashed", Flag, "it has no meaning since IPVS hashes always"),
    now("ha_suspend", Flag),
    now("virtualhost", Words),
    now("smtp_alert", Bool),
    gone("snmp_name", Words, SNMP),
    now("omega", Flag),
    now("quorum", Word),
    now("hysteresis", Word),
    now("quorum_up", Words),
    now("quorum_down", Words),
    now("ip_family", Word),
    now("sorry_server", Words),
    now("sorry_server_inhibit", Flag),
    now("sorry_server_lvs_method", Words),
    now("inhibit_on_failure", Bool),
    now("weight", Word),
    gone("net_mask", Word, "a leftover from before 2000 that keepalived does not know; remove it"),
    gone("nat_mask", Word, "a leftover from before 2000 that keepalived does not know; remove it"),
    now("real_server", Takes::Block(&REAL_SERVER)),
];

pub(in super::super) static REAL_SERVER: Block =
    Block { name: "real_server", keywords: &[DEFAULTS, BACK_END] };

const BACK_END: &[Keyword] = &[
    now("weight", Word),
    now("lvs_method", Words),
    now("uthreshold", Word),
    now("lthreshold", Word),
    now("inhibit_on_failure", Bool),
    now("notify_up", Words),
    now("notify_down", Words),
    now("smtp_alert", Bool),
    now("virtualhost", Words),
    gone("snmp_name", Words, SNMP),
    now("HTTP_GET", Takes::Block(&HTTP_GET)),
    now("SSL_GET", Takes::Block(&SSL_GET)),
    now("TCP_CHECK", Takes::Block(&TCP_CHECK)),
    now("SMTP_CHECK", Takes::Block(&SMTP_CHECK)),
    now("DNS_CHECK", Takes::Block(&DNS_CHECK)),
    now("MISC_CHECK", Takes::Block(&MISC_CHECK)),
    later(Topic::Balancing, "BFD_CHECK", Takes::Block(&BFD_CHECK)),
    now("PING_CHECK", Takes::Block(&PING_CHECK)),
    now("UDP_CHECK", Takes::Block(&UDP_CHECK)),
    now("FILE_CHECK", Takes::Block(&FILE_CHECK)),
];

/// What every check takes, besides [`DEFAULTS`].
const CONNECTION: &[Keyword] = &[
    now("connect_ip", Word),
    now("connect_port", Word),
    now("bindto", Word),
    now("bind_if", Word),
    now("bind_port", Word),
    now("fwmark", Word),
    now("log_all_failures", Bool),
];
/// The same for a ping, which has no ports.
const HOST_ONLY: &[Keyword] = &[
    now("connect_ip", Word),
    moot("connect_port", Word, NO_PORT),
    now("bindto", Word),
    now("bind_if", Word),
    moot("bind_port", Word, NO_PORT),
    now("fwmark", Word),
    now("log_all_failures", Bool),
];
/// The same for programs: ours does not connect, and keepalived does not know the words there.
const NOWHERE: &[Keyword] = &[
    moot("connect_ip", Word, BY_ITSELF),
    moot("connect_port", Word, BY_ITSELF),
    moot("bindto", Word, BY_ITSELF),
    moot("bind_if", Word, BY_ITSELF),
    moot("bind_port", Word, BY_ITSELF),
    moot("fwmark", Word, BY_ITSELF),
    moot("connect_timeout", Word, "how long a program may take is its `misc_timeout`"),
    now("log_all_failures", Bool),
];
/// Of all these, what a file takes that is read whenever it changes.
const AT_ONCE: &[Keyword] = &[
    moot("delay_loop", Word, CHANGES),
    moot("connect_timeout", Word, CHANGES),
    moot("retry", Word, CHANGES),
    moot("nb_get_retry", Word, CHANGES),
    moot("delay_before_retry", Word, CHANGES),
    moot("warmup", Word, CHANGES),
    moot("connect_ip", Word, CHANGES),
    moot("connect_port", Word, CHANGES),
    moot("bindto", Word, CHANGES),
    moot("bind_if", Word, CHANGES),
    moot("bind_port", Word, CHANGES),
    moot("fwmark", Word, CHANGES),
    now("alpha", Bool),
    moot("log_all_failures", Bool, CHANGES),
];

/// keepalived knows the old word in two checks only and loses it, silently to most eyes, in the rest.
const OLD_RETRY: &[Keyword] = &[old(
    "nb_get_retry",
    Word,
    "the old name of `retry`: it is in force; keepalived ignores it in this check and retries once",
)];
const OLD_RETRY_KNOWN: &[Keyword] = &[old("nb_get_retry", Word, "the old name of `retry`: it is in force")];

pub(in super::super) static HTTP_GET: Block = Block {
    name: "HTTP_GET",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY_KNOWN,
        WEB,
        &[
            moot("enable_sni", Flag, NO_TLS),
            moot("sni_name", Word, NO_TLS),
            moot("tls_compliant", Flag, NO_TLS),
        ],
    ],
};

pub(in super::super) static SSL_GET: Block = Block {
    name: "SSL_GET",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY_KNOWN,
        WEB,
        &[now("enable_sni", Flag), now("sni_name", Word), moot("tls_compliant", Flag, TLS)],
    ],
};

const WEB: &[Keyword] = &[
    now("url", Takes::Block(&URL)),
    now("http_protocol", Word),
    now("fast_recovery", Bool),
    now("virtualhost", Words),
];

pub(in super::super) static URL: Block = Block {
    name: "url",
    keywords: &[&[
        now("path", Words),
        now("digest", Word),
        now("status_code", Words),
        now("virtualhost", Words),
        now("regex", Words),
        now("regex_no_match", Flag),
        now("regex_options", Words),
        moot("regex_stack", Words, "patterns are matched without a stack, in linear time"),
        now("regex_min_offset", Word),
        now("regex_max_offset", Word),
        moot("tls_compliant", Flag, TLS),
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
        &[now("helo_name", Words), now("host", Takes::Block(&HOST))],
    ],
};

pub(in super::super) static HOST: Block = Block { name: "host", keywords: &[CONNECTION] };

pub(in super::super) static DNS_CHECK: Block = Block {
    name: "DNS_CHECK",
    keywords: &[DEFAULTS, CONNECTION, OLD_RETRY, &[now("type", Word), now("name", Word)]],
};

pub(in super::super) static MISC_CHECK: Block = Block {
    name: "MISC_CHECK",
    keywords: &[
        PROGRAM,
        NOWHERE,
        OLD_RETRY,
        &[now("misc_path", Words), now("misc_timeout", Word), now("misc_dynamic", Flag), now("user", Words)],
    ],
};

pub(in super::super) static BFD_CHECK: Block = Block {
    name: "BFD_CHECK",
    keywords: &[DEFAULTS, CONNECTION, OLD_RETRY, &[later(Topic::Balancing, "name", Word)]],
};

pub(in super::super) static PING_CHECK: Block =
    Block { name: "PING_CHECK", keywords: &[DEFAULTS, HOST_ONLY, OLD_RETRY] };

pub(in super::super) static UDP_CHECK: Block = Block {
    name: "UDP_CHECK",
    keywords: &[
        DEFAULTS,
        CONNECTION,
        OLD_RETRY,
        &[
            now("payload", Words),
            now("require_reply", Maybe),
            now("min_reply_length", Word),
            now("max_reply_length", Word),
        ],
    ],
};

pub(in super::super) static FILE_CHECK: Block =
    Block { name: "FILE_CHECK", keywords: &[AT_ONCE, &[now("track_file", Word), now("weight", Words)]] };

pub(in super::super) static SSL: Block = Block {
    name: "SSL",
    keywords: &[&[now("password", Word), moot("ca", Word, CA), now("certificate", Word), now("key", Word)]],
};
