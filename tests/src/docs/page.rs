//! A page of the documents as blocks: files to write, commands to run, what they answer.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the pages are.
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
/// What a fenced block may be called. Commands are in `console` blocks alone.
const LANGUAGES: [&str; 6] = ["console", "conf", "toml", "sh", "json", ""];
/// Begins a command.
const PROGRAMS: [&str; 6] = ["haclusterctl ", "hacluster-agent ", "grpcurl ", "systemctl ", "dpkg ", "sudo "];

/// One step of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Text that shall stand in a file of a node.
    File {
        /// The node.
        node: String,
        /// Absolute.
        path: String,
        /// Its text, whole.
        text: String,
    },
    /// A line of a shell.
    Command {
        /// The node.
        node: String,
        /// The line.
        line: String,
        /// What it answers, line by line; nothing where the page does not say.
        answer: Vec<String>,
    },
}

/// A step, and the section it stands in (`## NAME`; empty before the first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Of the page.
    pub section: String,
    /// What is done.
    pub step: Step,
}

/// Every page.
pub fn pages() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(DOCUMENTS).context(DOCUMENTS)?.map(|entry| Ok(entry?.path()));
    let mut pages = entries.collect::<Result<Vec<_>>>()?;
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(README.into());
    pages.sort();
    ensure!(pages.len() > 10, "only {} pages were found", pages.len());
    Ok(pages)
}

/// File name of a page.
pub fn name(page: &Path) -> String {
    page.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The steps of the page called `name`.
pub fn read(name: &str) -> Result<Vec<Placed>> {
    let path = if name == "README.md" { README.into() } else { Path::new(DOCUMENTS).join(name) };
    parse(&fs::read_to_string(&path).with_context(|| path.display().to_string())?).context(name.to_owned())
}

/// The steps of a page's `text`.
pub fn parse(text: &str) -> Result<Vec<Placed>> {
    let (mut steps, mut section) = (Vec::new(), String::new());
    let mut fence: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some(language)) => fence = Some((language.trim(), Vec::new())),
            (None, None) => {
                if let Some(name) = line.strip_prefix("## ") {
                    name.clone_into(&mut section);
                }
            }
            (Some((_, lines)), None) => lines.push(line),
            (Some((language, lines)), Some(_)) => {
                let found = block(language, lines).with_context(|| format!("section `{section}`"))?;
                steps.extend(found.into_iter().map(|step| Placed { section: section.clone(), step }));
                fence = None;
            }
        }
    }
    ensure!(fence.is_none(), "a block does not end");
    Ok(steps)
}

fn block(language: &str, lines: &[&str]) -> Result<Vec<Step>> {
    ensure!(LANGUAGES.contains(&language), "a block is `{language}`; known are {LANGUAGES:?}");
    if language == "console" {
        return commands(lines);
    }
    let first = lines.first().copied().unwrap_or_default();
    if let Some((node, path)) = header(first) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        return Ok(vec![Step::File { node, path, text }]);
    }
    match lines.iter().find(|line| PROGRAMS.iter().any(|program| line.trim_start().starts_with(program))) {
        Some(line) => bail!("nobody runs `{line}`: make it a `console` block, with `NODE$ ` before it"),
        None => Ok(Vec::new()),
    }
}

fn commands(lines: &[&str]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = lines.iter().filter(|line| !line.trim().is_empty());
    while let Some(line) = rest.next() {
        let mut whole = (*line).to_owned();
        while let Some(begun) = whole.strip_suffix('\\') {
            whole = format!("{begun}{}", rest.next().context("a line is to be continued")?.trim_start());
        }
        match (prompt(&whole), steps.last_mut()) {
            (Some((node, line)), _) => {
                steps.push(Step::Command { node: node.to_owned(), line: line.to_owned(), answer: Vec::new() })
            }
            (None, Some(Step::Command { answer, .. })) => answer.push(whole),
            (None, _) => bail!("not a command: {whole}"),
        }
    }
    ensure!(!steps.is_empty(), "a console without commands");
    Ok(steps)
}

fn is_node(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}

/// `node1$ haclusterctl status`
fn prompt(line: &str) -> Option<(&str, &str)> {
    line.split_once("$ ").filter(|(node, _)| is_node(node))
}

/// `! node1: /etc/keepalived/keepalived.conf`
fn header(line: &str) -> Option<(String, String)> {
    let (node, path) = line.strip_prefix("! ").or(line.strip_prefix("# "))?.split_once(": ")?;
    (is_node(node) && path.starts_with('/')).then(|| (node.to_owned(), path.to_owned()))
}

/// Whether `text` has the lines of `answer` in this order; `...` stands for any words, at the end of a word
/// for its rest.
pub(super) fn answers(text: &str, answer: &[String]) -> bool {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    answer.iter().all(|wanted| {
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        wanted == ["..."] || lines.any(|line| alike(&line, &wanted))
    })
}

fn alike(line: &[&str], wanted: &[&str]) -> bool {
    match wanted.split_first() {
        None => line.is_empty(),
        Some((&"...", rest)) => (0..=line.len()).any(|skipped| alike(&line[skipped..], rest)),
        Some((word, rest)) => {
            let fits = |first: &str| {
                word.strip_suffix("...").map_or(first == *word, |begin| first.starts_with(begin))
            };
            line.split_first().is_some_and(|(first, line)| fits(first) && alike(line, rest))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_becomes_steps() {
        let text = "# T\n```conf\n! node1: /etc/a\nx\n```\n## S\n```console\nnode1$ haclusterctl \\\n  status\nVI_1  ...\n```\n";
        let steps = parse(text).unwrap();
        let file =
            Step::File { node: "node1".into(), path: "/etc/a".into(), text: "! node1: /etc/a\nx\n".into() };
        assert_eq!(steps[0], Placed { section: String::new(), step: file });
        let line = "haclusterctl status".to_owned();
        let command = Step::Command { node: "node1".into(), line, answer: vec!["VI_1  ...".into()] };
        assert_eq!(steps[1], Placed { section: "S".into(), step: command });
    }

    #[test]
    fn what_nobody_would_run_is_an_error() {
        for text in [
            "```\nhaclusterctl status\n```\n",
            "```bash\nnode1$ true\n```\n",
            "```console\nhaclusterctl status\n```\n",
            "```console\n```\n",
            "```console\nnode1$ true\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn answers_are_compared_word_by_word() {
        let text = "VI_1 (51)  eth0  Master  100   this node\nend\n";
        let of =
            |lines: &[&str]| answers(text, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert!(
            of(&[])
                && of(&["VI_1 (51) eth0 Master ..."])
                && of(&["... Master ...", "end"])
                && of(&["...", "end"])
        );
        assert!(!of(&["VI_1 (51) eth0 Backup ..."]) && !of(&["VI_1"]) && !of(&["end", "VI_1 ..."]));
    }
}
