//! Writing the file of contexts: what somebody wrote beside them stays.

use super::{Contexts, Entry};
use anyhow::Context;

/// `old`, changed to say `wanted` instead of `was`. Sections that did not change keep their comments;
/// a file too artful for that is written anew.
pub(super) fn edited(old: &str, was: &Contexts, wanted: &Contexts) -> anyhow::Result<String> {
    let mut preamble = String::new();
    let mut sections = String::new();
    let mut section: Option<Option<&str>> = None; // outer: in any; inner: of which context
    for line in old.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            section = Some(context_of(line));
        }
        match section {
            None if key_of(line) == Some("current") => {}
            None => preamble.push_str(line),
            Some(Some(name)) if was.all.get(name) != wanted.all.get(name) => {}
            Some(_) => sections.push_str(line),
        }
    }
    let mut text = String::new();
    if let Some(current) = &wanted.current {
        text.push_str(&format!("current = {}\n", toml::Value::from(current.as_str())));
    }
    text.push_str(&preamble);
    text.push_str(&sections);
    for (name, entry) in wanted.all.iter().filter(|(name, entry)| was.all.get(*name) != Some(entry)) {
        if !text.is_empty() && !text.ends_with("\n\n") {
            text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
        }
        text.push_str(&section_text(name, entry)?);
    }
    match toml::from_str::<Contexts>(&text) {
        Ok(read) if read == *wanted => Ok(text),
        _ => toml::to_string(wanted).context("cannot write the contexts as TOML"),
    }
}

fn section_text(name: &str, entry: &Entry) -> anyhow::Result<String> {
    let one = Contexts { current: None, all: [(name.to_owned(), entry.clone())].into() };
    let text = toml::to_string(&one).context("cannot write the context as TOML")?;
    Ok(text.trim_start().to_owned())
}

/// `web` of `[context.web]` and `[context.web.nodes]`.
fn context_of(header: &str) -> Option<&str> {
    let inside = header.trim_start().strip_prefix("[context.")?.split(']').next()?;
    inside.split('.').next().map(str::trim)
}

fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# ours\ncurrent = \"web\" # mostly\n\n# production\n[context.web]\ncertificate = \"a\"\n\
        key = \"b\"\nauthority = \"c\"\nnodes = { node1 = \"h:1\" } # the big one\n\n[context.lab]\n\
        certificate = \"a\"\nkey = \"b\"\nauthority = \"c\"\n[context.lab.nodes]\nn = \"h:1\" # small\n";

    fn read(text: &str) -> Contexts {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn comments_of_what_did_not_change_stay() {
        let was = read(OLD);
        let mut wanted = was.clone();
        wanted.current = Some("lab".into());
        wanted.all.insert("new".into(), was.all["lab"].clone());
        let text = edited(OLD, &was, &wanted).unwrap();
        assert_eq!(read(&text), wanted, "{text}");
        for comment in ["# ours", "# production", "# the big one", "# small"] {
            assert!(text.contains(comment), "{comment} in {text}");
        }
        wanted.all.remove("web");
        let text = edited(OLD, &was, &wanted).unwrap();
        assert!(
            read(&text) == wanted && !text.contains("# the big one") && text.contains("# small"),
            "{text}"
        );
    }

    #[test]
    fn what_is_too_artful_is_written_anew() {
        for old in [
            "context = { web = { certificate = \"a\", key = \"b\", authority = \"c\", nodes = { n = \"h:1\" } } }\n",
            "[context]\n[ context . web ]\ncertificate = \"a\"\nkey = \"b\"\nauthority = \"c\"\nnodes.n = \"h:1\"\n",
            "",
            "# no newline at the end",
        ] {
            let was = read(old);
            let mut wanted = was.clone();
            wanted.all.insert("web".into(), read(OLD).all["lab"].clone());
            wanted.all.get_mut("web").unwrap().key = "other".into();
            wanted.current = Some("web".into());
            assert_eq!(read(&edited(old, &was, &wanted).unwrap()), wanted, "{old}");
        }
    }
}
