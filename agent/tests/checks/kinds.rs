//! Checks of other kinds than HTTP.

use crate::world::{PATIENT, SHORT, bad, check, good, nobody, ours, probe, server};
use hacluster_conf::model::Command;
use hacluster_conf::model::lvs::{Check, CheckKind, DnsRecord, UdpCheck, UdpReply};
use hacluster_core::time::Duration as Span;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

#[test]
fn a_mail_server_greets_and_takes_helo() {
    let talk = |greeting: &'static str, helo: &'static str| {
        let (heard, said) = std::sync::mpsc::channel();
        let to = server(move |mut stream| {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = stream.write_all(greeting.as_bytes());
            for answer in [helo, "221 bye\r\n"] {
                let Some(Ok(line)) = lines.next() else { return };
                let _ = heard.send(line);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (check(CheckKind::Smtp { helo: "lb.example".into() }, to, PATIENT), said)
    };
    let (ask, said) = talk("220-welcome\r\n220 mail.example ESMTP\r\n", "250 hello\r\n");
    assert_eq!(good(&ask), "220 mail.example ESMTP");
    assert_eq!([said.recv().unwrap(), said.recv().unwrap()], ["HELO lb.example", "QUIT"]);
    let table = [
        ("554 no service\r\n", "", "greeting is not 220: \"554 no service\""),
        ("SSH-2.0-x\r\n", "", "greeting is not 220: \"SSH-2.0-x\""),
        ("220 hi\r\n", "550 go away\r\n", "answer to HELO is not 250: \"550 go away\""),
        ("220-hi\r\n554 no\r\n", "", "greeting is not 220: \"554 no\""),
    ];
    for (greeting, helo, why) in table {
        assert_eq!(bad(&talk(greeting, helo).0), why);
    }
    let endless = server(|mut stream| while stream.write_all(b"220-more\r\n").is_ok() {});
    let why = bad(&check(CheckKind::Smtp { helo: "us".into() }, endless, PATIENT));
    assert!(why.starts_with("no whole greeting: it is too long"), "{why}");
}

/// A server that answers each datagram with what `with` makes of it.
fn datagrams(with: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for answer in with(&buffer[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn a_datagram_is_taken_answered_or_refused() {
    let udp = |reply: Option<&[(u8, u8)]>, to, limit| {
        let reply = reply.map(|bytes| UdpReply(bytes.to_vec()));
        check(
            CheckKind::Udp(UdpCheck { payload: b"ping".into(), reply, min_len: 1, max_len: 255 }),
            to,
            limit,
        )
    };
    let echo = datagrams(|said| vec![said.to_vec()]);
    let silent = datagrams(|_| Vec::new());
    let empty = datagrams(|_| vec![Vec::new()]);
    assert_eq!(good(&udp(None, echo, PATIENT)), "answers: \"ping\"");
    assert_eq!(good(&udp(Some(&[(b'p', 0xff), (0, 0)]), echo, PATIENT)), "answers: \"ping\"");
    let why = bad(&udp(Some(&[(b'q', 0xff)]), echo, PATIENT));
    assert_eq!(why, "answer differs at byte 0: is 70, wanted 71 (mask ff): \"ping\"");
    assert_eq!(bad(&udp(Some(&[]), empty, PATIENT)), "answer of 0 bytes (wants 1 to 255)");
    assert_eq!(good(&udp(None, silent, SHORT)), "not refused within 300 ms");
    assert_eq!(bad(&udp(Some(&[]), silent, SHORT)), "no answer within 300 ms");
    assert_eq!(bad(&udp(None, closed_port(), PATIENT)), "connection refused");
}

fn dns(to: SocketAddr, limit: Span) -> Check {
    check(CheckKind::Dns { record: DnsRecord::A, name: "www.example.org".into() }, to, limit)
}

/// A name server that makes answers out of a question.
fn name_server(with: impl Fn(Message) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    datagrams(move |said| with(Message::from_vec(said).unwrap()))
}

fn answer(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.queries = question.queries.clone();
    answer.metadata.response_code = code;
    answer
}

#[test]
fn a_name_server_answers_without_error() {
    let with = |code| name_server(move |question| vec![answer(&question, code).to_vec().unwrap()]);
    assert_eq!(good(&dns(with(ResponseCode::NoError), PATIENT)), "0 answers for A www.example.org");
    let why = bad(&dns(with(ResponseCode::NXDomain), PATIENT));
    assert!(why.to_lowercase().contains("domain") && why.ends_with("for A www.example.org"), "{why}");
    let why = bad(&dns(with(ResponseCode::Refused), PATIENT));
    assert!(why.to_lowercase().contains("refused"), "{why}");
    assert_eq!(bad(&dns(closed_port(), PATIENT)), "connection refused");
    let root = check(
        CheckKind::Dns { record: DnsRecord::Soa, name: ".".into() },
        with(ResponseCode::NoError),
        PATIENT,
    );
    assert_eq!(good(&root), "0 answers for SOA .");
}

#[test]
fn only_the_answer_to_our_question_counts() {
    let strangers = |question: &Message| {
        let mut other = answer(question, ResponseCode::ServFail);
        other.metadata.id = other.metadata.id.wrapping_add(1);
        let whole = answer(question, ResponseCode::NoError).to_vec().unwrap();
        vec![
            b"garbage".to_vec(),
            Vec::new(),
            question.to_vec().unwrap(),
            other.to_vec().unwrap(),
            whole[..14].to_vec(),
        ]
    };
    let late = name_server(move |question| {
        let mut answers = strangers(&question);
        answers.push(answer(&question, ResponseCode::NoError).to_vec().unwrap());
        answers
    });
    assert_eq!(good(&dns(late, PATIENT)), "0 answers for A www.example.org");
    let never = name_server(move |_| vec![b"garbage".to_vec()]);
    assert_eq!(bad(&dns(never, SHORT)), "no answer within 300 ms; something else came: \"garbage\"");
    let flood = name_server(|_| vec![b"garbage".to_vec(); 100]);
    let why = bad(&dns(flood, PATIENT));
    assert_eq!(why, "no answer among 64 datagrams; something else came: \"garbage\"");
}

/// A pointer leads to an earlier name: one to itself or ahead, or two that lead to each other, would be
/// followed for ever.
#[test]
fn names_that_lead_round_in_circles_are_refused() {
    // Behind the header (12) and our question ("www.example.org", type, class: 21) an answer begins at 33.
    const NAMES: [(&str, &[u8]); 5] = [
        ("to itself", &[0xc0, 33]),
        ("ahead", &[0xc0, 60]),
        ("to each other", &[0xc0, 35, 0xc0, 33]),
        ("to its own label", &[3, b'w', b'w', b'w', 0xc0, 33]),
        ("beyond the end", &[0xff, 0xff]),
    ];
    for (which, name) in NAMES {
        let server = datagrams(move |said| {
            let mut answer = said.to_vec();
            answer[2] |= 0x80; // an answer
            answer[7] = 1; // with one record
            answer.extend(name);
            answer.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            vec![answer]
        });
        let why = bad(&dns(server, SHORT));
        assert!(why.starts_with("no answer within 300 ms; something else came"), "{which}: {why}");
    }
    // The same with a pointer to our question is an answer.
    let server = datagrams(|said| {
        let mut answer = said.to_vec();
        (answer[2], answer[7]) = (answer[2] | 0x80, 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        vec![answer]
    });
    assert_eq!(good(&dns(server, PATIENT)), "1 answers for A www.example.org");
    // The question itself, too.
    let server = datagrams(|said| {
        let mut answer = said[..12].to_vec();
        answer[2] |= 0x80;
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        vec![answer]
    });
    let why = bad(&dns(server, SHORT));
    assert!(why.starts_with("no answer within 300 ms; something else came"), "{why}");
}

#[test]
fn a_host_answers_echo_requests() {
    for to in ["127.0.0.1:80", "[::1]:80"] {
        let outcome = probe(&check(CheckKind::Ping, to.parse().unwrap(), PATIENT));
        if outcome.ours {
            println!("SKIPPED: {to}: {}", outcome.why);
            continue;
        }
        assert!(outcome.good, "{outcome:?}");
    }
}

pub(crate) fn script(text: &str, dynamic: bool, limit: Span) -> Check {
    let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    check(
        CheckKind::Misc { command: Command { argv, user: None }, dynamic },
        "0.0.0.0:0".parse().unwrap(),
        limit,
    )
}

#[test]
fn a_program_says_good_bad_or_a_weight() {
    let table = [
        ("echo fine", false, (true, None), "exit 0: \"fine\""),
        ("echo no >&2; exit 1", false, (false, None), "exit 1: \"no\""),
        ("exit 200", false, (false, None), "exit 200"),
        ("exit 0", true, (true, None), "exit 0"),
        ("exit 1", true, (false, None), "exit 1"),
        ("exit 2", true, (true, Some(0)), "weight 0, exit 2"),
        ("exit 200", true, (true, Some(198)), "weight 198, exit 200"),
        ("exit 255", true, (true, Some(253)), "weight 253, exit 255"),
        ("kill -9 $$", true, (false, None), "ended by signal 9"),
    ];
    for (text, dynamic, expected, why) in table {
        let outcome = probe(&script(text, dynamic, PATIENT));
        assert_eq!((outcome.good, outcome.weight), expected, "{text} {outcome:?}");
        assert!(&*outcome.why == why && !outcome.ours, "{text} {outcome:?}");
    }
}

#[test]
fn a_program_that_hangs_is_ended_and_one_that_is_missing_says_nothing() {
    let limit = Span::from_millis(300);
    assert_eq!(bad(&script("trap '' TERM; sleep 1000 & sleep 1000", false, limit)), "not done within 300 ms");
    let argv = vec!["/nonexistent/check".to_owned()];
    let kind = CheckKind::Misc { command: Command { argv, user: None }, dynamic: false };
    let why = ours(&check(kind, "0.0.0.0:0".parse().unwrap(), PATIENT));
    assert!(why.contains("/nonexistent/check"), "{why}");
}

#[test]
fn packets_leave_as_configured_or_it_is_our_fault() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = listener.local_addr().unwrap();
    let with = |from: Option<&str>, interface: Option<&str>| {
        let mut check = check(CheckKind::Tcp, to, PATIENT);
        check.route.from = from.map(|from| from.parse().unwrap());
        check.route.interface = interface.map(str::to_owned);
        check
    };
    let port = nobody().port();
    for _ in 0..3 {
        // Again at once: the port is free.
        good(&with(Some(&format!("127.0.0.2:{port}")), Some("lo")));
        assert_eq!(listener.accept().unwrap().1.to_string(), format!("127.0.0.2:{port}"));
    }
    let why = ours(&with(Some("203.0.113.7:0"), None));
    assert!(why.contains("source address 203.0.113.7:0: Cannot assign requested address"), "{why}");
    let why = ours(&with(None, Some("nosuch0")));
    assert!(why.contains("interface nosuch0: No such device"), "{why}");
}
