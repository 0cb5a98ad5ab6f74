//! Whether a mail server greets and takes HELO.

use super::outcome::{Answer, Bad, bad, good, line, shown, span, words};
use super::route::connect;
use hacluster_conf::model::lvs::CheckRoute;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of a whole conversation that are read.
const READ_MAX: u64 = 16 << 10;
/// How long the answer to QUIT is waited for: a server that is cut short complains in its log.
const FAREWELL: Duration = Duration::from_millis(500);

type Lines = BufReader<Take<TcpStream>>;

/// Connects, waits for 220, says HELO as `helo`, waits for 250, and takes its leave.
pub(super) async fn ask(route: &CheckRoute, helo: &str, limit: Duration) -> Answer {
    let mut waiting_for = "connection";
    let talk = async {
        let mut lines = BufReader::new(connect(route).await?.take(READ_MAX));
        waiting_for = "greeting";
        let greeting = reply(&mut lines, 220, "greeting").await?;
        waiting_for = "answer to HELO";
        say(&mut lines, &format!("HELO {}\r\n", line(helo))).await?;
        reply(&mut lines, 250, "answer to HELO").await?;
        Ok((lines, greeting))
    };
    match timeout(limit, talk).await {
        Ok(Ok((mut lines, greeting))) => {
            let _ = timeout(FAREWELL, async {
                say(&mut lines, "QUIT\r\n").await?;
                reply(&mut lines, 221, "answer to QUIT").await
            })
            .await;
            good(greeting)
        }
        Ok(Err(why)) => Err(why),
        Err(_) => Err(bad(format!("no {waiting_for} within {}", span(limit)))),
    }
}

async fn say(lines: &mut Lines, text: &str) -> Result<(), Bad> {
    let sent = lines.get_mut().get_mut().write_all(text.as_bytes()).await;
    sent.map_err(|error| bad(words(&error)))
}

/// Reads a reply of one or more lines and returns the last.
async fn reply(lines: &mut Lines, wanted: u16, what: &str) -> Result<String, Bad> {
    loop {
        let mut bytes = Vec::new();
        let read = lines.read_until(b'\n', &mut bytes).await;
        read.map_err(|error| bad(format!("no {what}: {}", words(&error))))?;
        if bytes.last() != Some(&b'\n') {
            let why = match lines.get_ref().limit() {
                0 => "it is too long",
                _ => "connection closed by the server",
            };
            return Err(bad(format!("no whole {what}: {why}{}", shown(&bytes))));
        }
        let code = bytes.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        if code != Some(wanted) {
            return Err(bad(format!("{what} is not {wanted}{}", shown(&bytes))));
        }
        if bytes.get(3) != Some(&b'-') {
            return Ok(line(&String::from_utf8_lossy(&bytes)));
        }
    }
}
