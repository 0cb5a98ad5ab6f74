//! Whether a name server answers a question, over UDP. As with keepalived, every answer without an error
//! is good, an empty one too: not every name has a record of the kind.

use super::outcome::{Answer, Bad, bad, good, line, ours, shown, span, words};
use super::route::{datagrams, receive};
use hacluster_conf::model::lvs::{CheckRoute, DnsRecord};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use socket2::{Protocol, Type};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::timeout;

/// Longest answer that is read; without EDNS servers send 512.
const ANSWER_MAX: usize = 4_096;
/// Datagrams that answer something else and are passed over.
const STRANGERS_MAX: usize = 64;

pub(super) async fn ask(route: &CheckRoute, record: DnsRecord, name: &str, limit: Duration) -> Answer {
    let mut asked = Name::from_ascii(name).map_err(|error| ours(&format!("name {}", line(name)), error))?;
    asked.set_fqdn(true);
    let record = kind(record);
    // Unguessable, so that nobody beside the way can answer instead.
    let mut question =
        Message::new(RandomState::new().hash_one(()) as u16, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(asked, record));
    let bytes = question.to_vec().map_err(|error| ours("question", error))?;
    let socket = datagrams(route, Type::DGRAM, Protocol::UDP)?;
    let failed = |error: std::io::Error| bad(words(&error));
    socket.send(&bytes).await.map_err(failed)?;
    let mut strange = String::new();
    let wait = async {
        for _ in 0..STRANGERS_MAX {
            let bytes = receive(&socket, ANSWER_MAX).await?;
            match Message::from_vec(&bytes) {
                Ok(answer) if answers(&answer, &question) => return Ok(answer),
                _ => strange = format!("; something else came{}", shown(&bytes)),
            }
        }
        Err(bad(format!("no answer among {STRANGERS_MAX} datagrams{strange}")))
    };
    let answer = timeout(limit, wait).await;
    judge(
        answer.unwrap_or_else(|_| Err(bad(format!("no answer within {}{strange}", span(limit)))))?,
        record,
        name,
    )
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        // Some servers do not repeat the question when they refuse it.
        && (answer.queries.is_empty() || answer.queries == question.queries)
}

fn judge(answer: Message, record: RecordType, name: &str) -> Answer {
    match answer.metadata.response_code {
        ResponseCode::NoError => good(format!("{} answers for {record} {name}", answer.answers.len())),
        code => Err(Bad::Server(format!("{code} for {record} {name}"))),
    }
}

fn kind(record: DnsRecord) -> RecordType {
    match record {
        DnsRecord::A => RecordType::A,
        DnsRecord::Ns => RecordType::NS,
        DnsRecord::Cname => RecordType::CNAME,
        DnsRecord::Soa => RecordType::SOA,
        DnsRecord::Mx => RecordType::MX,
        DnsRecord::Txt => RecordType::TXT,
        DnsRecord::Aaaa => RecordType::AAAA,
    }
}
