//! `HTTP_GET` and `SSL_GET`: what is asked and what is expected.

use super::super::super::parser::{Statement, Word};
use super::super::values::{number, switch, wrong};
use super::{error, lines};
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::model::lvs::{HttpCheck, HttpVersion, Pattern, Url};
use crate::notation::lvs::{ANY_STATUS, GOOD_STATUS, digest, statuses};
use crate::notation::pattern::only_pcre;

/// Options of a pattern that change nothing about whether it matches, or are always so here.
const HARMLESS: [&str; 14] = [
    "auto_callout",
    "dupnames",
    "match_unset_backref",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "use_offset_limit",
];

/// Reads the lines that are left of the block.
pub(super) fn read(
    block: &Statement,
    rest: &[&Statement],
    virtualhost: Option<&str>,
    findings: &Findings,
) -> HttpCheck {
    let mut host = virtualhost.map(str::to_owned);
    let (mut version, mut fast_recovery) = (HttpVersion::default(), false);
    let (mut sends_sni, mut sni) = (false, None);
    for line in rest {
        let Some(word) = line.params().first() else {
            match line.keyword() {
                "enable_sni" => sends_sni = true,
                "fast_recovery" => fast_recovery = true,
                _ => {}
            }
            continue;
        };
        match line.keyword() {
            "http_protocol" => match word.text.as_str() {
                "1.0" => version = HttpVersion::V10,
                "1.0C" | "1.0c" => version = HttpVersion::V10Close,
                "1.1" => version = HttpVersion::V11,
                _ => wrong(findings, "http_protocol", word, "1.0, 1.0C or 1.1", "1.0 is used"),
            },
            "virtualhost" => host = name(line.keyword(), word, findings).or(host),
            "sni_name" => sni = name(line.keyword(), word, findings).or(sni),
            "fast_recovery" => fast_recovery = switch(findings, line).unwrap_or(false),
            _ => {}
        }
    }
    let blocks = rest.iter().filter(|line| line.keyword() == "url");
    let mut urls: Vec<Url> = blocks.map(|line| url(line, host.as_deref(), findings)).collect();
    if urls.is_empty() {
        let message = format!("`{}` names no `url`: `/` is asked for", block.keyword());
        let found = Diagnostic::new(Severity::Warning, "no-url", message).at(&block.words[0].span);
        findings.push(found.note("keepalived leaves such a check out: the server would always be good"));
        let statuses = vec![GOOD_STATUS];
        let path = "/".to_owned();
        urls.push(Url { path, host: host.clone(), sni: None, statuses, digest: None, pattern: None });
    }
    let tls = block.keyword() == "SSL_GET";
    for url in urls.iter_mut().filter(|_| tls) {
        url.sni = sni.clone().or_else(|| url.host.clone().filter(|_| sends_sni));
    }
    HttpCheck { tls, version, urls, fast_recovery }
}

/// One word that may stand in a request.
pub(super) fn name(keyword: &str, word: &Word, findings: &Findings) -> Option<String> {
    let usable = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_graphic());
    if !usable {
        wrong(findings, keyword, word, "a host's name", "the line is ignored");
    }
    usable.then(|| word.text.clone())
}

fn url(block: &Statement, host: Option<&str>, findings: &Findings) -> Url {
    let mut url = Url {
        path: "/".to_owned(),
        host: host.map(str::to_owned),
        sni: None,
        statuses: Vec::new(),
        digest: None,
        pattern: None,
    };
    let mut draft = Draft::default();
    let mut written = false;
    for line in lines(block) {
        if draft.read(line, findings) {
            continue;
        }
        let Some(word) = line.params().first() else { continue };
        match line.keyword() {
            "path" => {
                written = true;
                url.path = path(word, findings);
            }
            "digest" => match digest(&word.text) {
                Some(digest) => url.digest = Some(digest),
                None => {
                    wrong(findings, "digest", word, "32 hexadecimal digits (MD5)", "the body is not compared")
                }
            },
            "status_code" => {
                url.statuses.extend(line.params().iter().filter_map(|word| status(word, findings)))
            }
            "virtualhost" => url.host = name("virtualhost", word, findings).or(url.host),
            _ => {}
        }
    }
    if !written {
        let found = Diagnostic::new(Severity::Warning, "no-path", "`url` has no `path`: `/` is asked for");
        findings.push(found.at(&block.words[0].span));
    }
    url.pattern = draft.complete(findings);
    if url.statuses.is_empty() {
        let by_body = url.digest.is_some() || url.pattern.is_some();
        url.statuses.push(if by_body { ANY_STATUS } else { GOOD_STATUS });
    }
    url
}

fn path(word: &Word, findings: &Findings) -> String {
    if !word.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        wrong(findings, "path", word, "a path in ASCII without blanks (write %20)", "`/` is asked for");
        return "/".to_owned();
    }
    if word.text.starts_with('/') {
        return word.text.clone();
    }
    let message = format!("a path begins with `/`: `/{}` is asked for", show(&word.text));
    findings.push(Diagnostic::new(Severity::Warning, "bad-path", message).at(&word.span));
    format!("/{}", word.text)
}

fn status(word: &Word, findings: &Findings) -> Option<(u16, u16)> {
    let range = statuses(&word.text);
    if range.is_none() {
        wrong(
            findings,
            "status_code",
            word,
            "a status from 100 to 599, or a range: 200-299",
            "it is left out",
        );
    }
    range
}

/// A pattern while it is read.
#[derive(Default)]
struct Draft<'a> {
    regex: Option<&'a Word>,
    forbidden: bool,
    within: (usize, Option<usize>),
    caseless: bool,
    multiline: bool,
    dot_all: bool,
    extended: bool,
}

impl<'a> Draft<'a> {
    fn read(&mut self, line: &'a Statement, findings: &Findings) -> bool {
        let offset = || number(findings, line, 0..=u32::MAX, "the line is ignored").map(|n| n as usize);
        match line.keyword() {
            "regex" => self.regex = line.params().first(),
            "regex_no_match" => self.forbidden = true,
            "regex_min_offset" => self.within.0 = offset().unwrap_or(0),
            "regex_max_offset" => self.within.1 = offset(),
            "regex_options" => line.params().iter().for_each(|word| self.option(word, findings)),
            _ => return false,
        }
        true
    }

    fn option(&mut self, word: &Word, findings: &Findings) {
        match word.text.as_str() {
            "caseless" => self.caseless = true,
            "multiline" => self.multiline = true,
            "dotall" => self.dot_all = true,
            "extended" => self.extended = true,
            harmless if HARMLESS.contains(&harmless) => {}
            _ => wrong(
                findings,
                "regex_options",
                word,
                "`caseless`, `multiline`, `dotall` or `extended`",
                "it is ignored",
            ),
        }
    }

    fn complete(self, findings: &Findings) -> Option<Pattern> {
        let word = self.regex?;
        let regex = if self.extended { format!("(?x){}", word.text) } else { word.text.clone() };
        let Self { forbidden, within, caseless, multiline, dot_all, .. } = self;
        let pattern = Pattern { regex, forbidden, within, caseless, multiline, dot_all };
        match pattern.compile() {
            Ok(_) => Some(pattern),
            Err(why) => {
                let message = format!("`{}` is no pattern: {why}", show(&word.text));
                let label = match only_pcre(&word.text) {
                    Some((what, mend)) => {
                        format!("only PCRE has {what}: {mend}; the body is not searched")
                    }
                    None => "the body is not searched".to_owned(),
                };
                error(findings, "bad-pattern", &message, word, &label);
                None
            }
        }
    }
}
