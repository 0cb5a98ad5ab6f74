//! Headers that a collector wants to see, from a file of their own: their values are secrets.
//!
//! The file is what `curl -H @FILE` reads: `Name: value` a line. Values are marked as sensitive, so that
//! neither a debug print nor HTTP/2's tables keep them; nothing that is said of the file quotes it.

use anyhow::{Context, bail, ensure};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of the file.
const FILE_MAX: u64 = 16 << 10;
/// Lines with a header.
const HEADERS_MAX: usize = 32;
/// Others may read it, or the group write it.
const TOO_OPEN: u32 = 0o027;
/// What the protocols write themselves.
const RESERVED: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads them; none without a file.
pub(super) fn read(path: Option<&Path>) -> anyhow::Result<HeaderMap> {
    let Some(path) = path else { return Ok(HeaderMap::new()) };
    from(path).with_context(|| format!("headers_file {}", path.display()))
}

fn from(path: &Path) -> anyhow::Result<HeaderMap> {
    // Looked at before it is opened: to open a fifo would wait.
    ensure!(std::fs::metadata(path)?.is_file(), "it is not a file");
    let file = File::open(path)?;
    let found = file.metadata()?;
    let mode = found.mode() & 0o777;
    let mend = "chmod 600 it, or 640 where the agent's group shall read it";
    ensure!(mode & TOO_OPEN == 0, "mode {mode:03o} lets others read or change it; {mend}");
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= FILE_MAX, "it has more than {FILE_MAX} bytes");
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), at + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { bail!("line {number} is no `Name: value`") };
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let name = name.ok().with_context(|| format!("line {number} has no valid name before its colon"))?;
        ensure!(
            !RESERVED.contains(&name.as_str()),
            "line {number}: `{name}` is written by the protocol itself"
        );
        ensure!(!name.as_str().ends_with("-bin"), "line {number}: `{name}` would be binary in gRPC");
        let value = value.trim();
        let printable = !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        ensure!(printable, "line {number}: the value of `{name}` is empty, or not printable ASCII");
        let mut value = HeaderValue::from_str(value).with_context(|| format!("line {number}"))?;
        value.set_sensitive(true);
        ensure!(headers.insert(name, value).is_none(), "line {number} says again what is said above");
        ensure!(headers.len() <= HEADERS_MAX, "it has more than {HEADERS_MAX} headers");
    }
    ensure!(!headers.is_empty(), "it has no header");
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const SECRET: &str = "c2VjcmV0OnNlY3JldA==";

    #[test]
    fn lines_of_curl_are_read_and_values_are_sensitive() {
        let text = format!("# of the collector\n\nAuthorization: Basic {SECRET}\r\nX-Scope-OrgID:tenant 1\n");
        let headers = parse(&text).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], format!("Basic {SECRET}"));
        assert_eq!(headers["x-scope-orgid"], "tenant 1");
        assert!(!format!("{headers:?}").contains(SECRET), "{headers:?}");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_quoted() {
        let again = format!("a: {SECRET}\nA: {SECRET}");
        let many: String = (0..=HEADERS_MAX).map(|number| format!("x-{number}: {SECRET}\n")).collect();
        for (text, why) in [
            ("", "no header"),
            (SECRET, "line 1 is no"),
            (&format!("\n b c: {SECRET}"), "line 2 has no valid name"),
            (&format!("Host: {SECRET}"), "`host` is written by the protocol"),
            (&format!("key-bin: {SECRET}"), "binary"),
            ("authorization:  ", "the value of `authorization` is empty"),
            (&format!("authorization: {SECRET}\u{e9}"), "not printable"),
            (&again, "line 2 says again"),
            (&many, "more than 32"),
        ] {
            let said = format!("{:#}", parse(text).unwrap_err());
            assert!(said.contains(why) && !said.contains(SECRET), "{text}: {said}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        fs::write(&path, format!("authorization: {SECRET}")).unwrap();
        for (mode, well) in [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read(Some(&path));
            assert_eq!(read.is_ok(), well, "{mode:o}: {read:?}");
            let said = read.map_or_else(|error| format!("{error:#}"), |_| String::new());
            assert_eq!(said.contains("chmod 600") && said.contains("headers"), !well, "{said}");
        }
        assert!(format!("{:#}", read(Some(folder.path())).unwrap_err()).contains("not a file"));
        assert!(read(Some(&folder.path().join("none"))).is_err());
        assert!(read(None).unwrap().is_empty());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "a".repeat(FILE_MAX as usize + 1)).unwrap();
        assert!(format!("{:#}", read(Some(&path)).unwrap_err()).contains("more than"));
    }
}
