//! How it is known who can take connections: what is tried, where and when.

use crate::model::command::Command;
use hacluster_core::time::Duration;
use std::net::SocketAddr;

/// How a real server is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// Where to, and from.
    pub route: CheckRoute,
    /// When, and what counts.
    pub pace: CheckPace,
}

impl Check {
    /// Whether `other` tries the same, at whatever times: what is known of one is known of the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.route == other.route
    }
}

/// Where a check goes to, and how its packets leave; with `Check::kind` this is what is probed: equal
/// ones need one probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckRoute {
    /// Address and port that are asked, resolved: `connect_ip` and `connect_port`, else the real server's.
    /// `0.0.0.0:0` for programs and files, which go nowhere: one program serves all that name it.
    pub to: SocketAddr,
    /// Address and port it comes from (`bindto`, `bind_port`); port 0 for any.
    pub from: Option<SocketAddr>,
    /// Interface it leaves by (`bind_if`).
    pub interface: Option<String>,
    /// Mark on its packets; 0 for none.
    pub fwmark: u32,
}

/// When a check is done, and what its results count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CheckPace {
    /// Between two checks, above zero.
    pub delay_loop: Duration,
    /// How long an answer may take, above zero.
    pub timeout: Duration,
    /// Failures that are tried again before the server counts as down.
    pub retry: u32,
    /// Between those.
    pub delay_before_retry: Duration,
    /// The first check comes at a random moment within; zero for at once.
    pub warmup: Duration,
    /// The server is down until the first good check.
    pub alpha: bool,
    /// Tell of every failure, not only of the last one that counts.
    pub log_all_failures: bool,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Takes a connection (`TCP_CHECK`).
    Tcp,
    /// Answers HTTP as it should (`HTTP_GET`, `SSL_GET`).
    Http(HttpCheck),
    /// Greets, and takes HELO (`SMTP_CHECK`).
    Smtp {
        /// Name told to it.
        helo: String,
    },
    /// Answers a question (`DNS_CHECK`), over UDP.
    Dns {
        /// Kind of record.
        record: DnsRecord,
        /// Which name; `.` for the root.
        name: String,
    },
    /// Takes a datagram (`UDP_CHECK`).
    Udp(UdpCheck),
    /// Answers an echo request (`PING_CHECK`).
    Ping,
    /// A program says so (`MISC_CHECK`).
    Misc {
        /// What is run.
        command: Command,
        /// Exit status 2 to 255 sets the weight to so many less 2.
        dynamic: bool,
    },
    /// A tracked file says so (`FILE_CHECK`).
    File {
        /// Name of the `track_file`.
        tracker: String,
        /// The file's number times this is added to the weight, -2,147,483,647 to 2,147,483,647; 0: a
        /// number other than 0 is a failure.
        weight: i32,
        /// The other way round.
        reverse: bool,
    },
}

impl CheckKind {
    /// The word of keepalived.conf for it.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp => "TCP_CHECK",
            Self::Http(check) if check.tls => "SSL_GET",
            Self::Http(_) => "HTTP_GET",
            Self::Smtp { .. } => "SMTP_CHECK",
            Self::Dns { .. } => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping => "PING_CHECK",
            Self::Misc { .. } => "MISC_CHECK",
            Self::File { .. } => "FILE_CHECK",
        }
    }
}

/// What is asked over HTTP, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// `SSL_GET`: over TLS. The certificate is looked at only with authorities (block `SSL`).
    pub tls: bool,
    /// Which version is spoken.
    pub version: HttpVersion,
    /// All must answer as they should; never empty (`/` when none is written).
    pub urls: Vec<Url>,
    /// A failed server is tried again without waiting for the whole round (`fast_recovery`).
    pub fast_recovery: bool,
}

/// Versions of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// 1.0, the connection is closed by the server.
    #[default]
    V10,
    /// 1.0 with `Connection: close`.
    V10Close,
    /// 1.1.
    V11,
    /// 2, in `agent.toml` only: by ALPN over TLS, else with prior knowledge.
    V2,
}

/// One request and what is expected of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// Path and query, begins with `/`.
    pub path: String,
    /// Host header; `None` for the address.
    pub host: Option<String>,
    /// Name in the TLS greeting (`sni_name`, or `enable_sni` with the virtual host); `None` without TLS.
    pub sni: Option<String>,
    /// First and last of each range of good statuses; never empty (when none is written 200 to 299, with a
    /// digest or a pattern any).
    pub statuses: Vec<(u16, u16)>,
    /// MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// Pattern in the body.
    pub pattern: Option<Pattern>,
}

/// A pattern that a body must, or must not, contain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Regular expression; known to compile.
    pub regex: String,
    /// It must not match (`regex_no_match`).
    pub forbidden: bool,
    /// Bytes of the body that a match may begin at: first, and last; `None` for any after the first.
    pub within: (usize, Option<usize>),
    /// Letters match in either case (`regex_options caseless`).
    pub caseless: bool,
    /// `^` and `$` match at lines (`multiline`).
    pub multiline: bool,
    /// `.` matches line ends (`dotall`).
    pub dot_all: bool,
}

impl Pattern {
    /// Bytes that a compiled pattern may take: what needs more is refused.
    const COMPILED_MAX: usize = 1 << 20;
    /// Longest reason, in characters.
    const WHY_MAX: usize = 120;

    /// The pattern, ready to be matched against bytes; its time is linear in them.
    ///
    /// # Errors
    /// What is wrong with it, for people, on one line.
    pub fn compile(&self) -> Result<regex::bytes::Regex, String> {
        let text = if self.multiline { self.regex.clone() } else { line_end_at_end(&self.regex) };
        let build = |unicode| {
            regex::bytes::RegexBuilder::new(&text)
                .case_insensitive(self.caseless)
                .multi_line(self.multiline)
                .dot_matches_new_line(self.dot_all)
                .unicode(unicode)
                .size_limit(Self::COMPILED_MAX)
                .build()
        };
        // By bytes, as keepalived does; some patterns need to know letters.
        build(false).or_else(|_| build(true)).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().next_back().unwrap_or_default();
            last.trim_start_matches("error: ").chars().take(Self::WHY_MAX).collect()
        })
    }
}

/// PCRE's `$` also matches before a line end that closes the text, which every page has.
fn line_end_at_end(regex: &str) -> String {
    let mut text = String::with_capacity(regex.len());
    let (mut escaped, mut in_class) = (false, false);
    for char in regex.chars() {
        match char {
            '$' if !escaped && !in_class => text.push_str(r"(?:\n?\z)"),
            char => text.push(char),
        }
        in_class = if escaped { in_class } else { (in_class || char == '[') && char != ']' };
        escaped = char == '\\' && !escaped;
    }
    text
}

/// Kinds of DNS record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 1035 and RFC 3596")]
pub enum DnsRecord {
    A,
    Ns,
    Cname,
    #[default]
    Soa,
    Mx,
    Txt,
    Aaaa,
}

/// A datagram and what may come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpCheck {
    /// What is sent; empty sends an empty datagram.
    pub payload: Vec<u8>,
    /// An answer must come; without it only a refusal (ICMP) is a failure.
    pub reply: Option<UdpReply>,
    /// Fewest bytes of an answer.
    pub min_len: u16,
    /// Most bytes of an answer.
    pub max_len: u16,
}

/// What an answer must begin with: each byte with the bits that are compared; empty for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpReply(pub Vec<(u8, u8)>);

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str) -> Pattern {
        let regex = regex.to_owned();
        Pattern {
            regex,
            forbidden: false,
            within: (0, None),
            caseless: false,
            multiline: false,
            dot_all: false,
        }
    }

    #[test]
    fn patterns_match_as_pcre_does() {
        let matches = |regex: &str, body: &[u8]| pattern(regex).compile().unwrap().is_match(body);
        for body in [&b"all OK"[..], b"all OK\n"] {
            assert!(matches("OK$", body), "{body:?}");
        }
        assert!(!matches("OK$", b"OK\nnot"));
        assert!(matches(r"cost: \$[0-9$]+", b"cost: $5"));
        assert!(matches("a.b", b"a\xffb"), "bytes that are no text");
        assert!(matches(r"\pL", "\u{e4}".as_bytes()), "letters of all languages");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let why = |regex: &str| pattern(regex).compile().unwrap_err();
        assert!(why("(?=x)").contains("look-around"), "{}", why("(?=x)"));
        assert!(why(r"(a)\1").contains("backreferences"), "{}", why(r"(a)\1"));
        assert!(why("(((x{1000}){1000}){1000})").contains("size limit"));
        assert!(why(&"(".repeat(100_000)).len() < 200);
    }
}
