//! What the text of a shell script says of its exit status.

use crate::resolve::{Trap, trap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longer scripts are not judged.
const TEXT_MAX: u64 = 64 << 10;
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "ksh"];
/// Words that end a compound command: after these the status is that of whatever ran inside, or 0.
const ENDS: [&str; 4] = ["fi", "done", "esac", "}"];

/// A check whose script cannot fail, or fails by accident only.
pub(crate) fn never_fails(path: &Path) -> Option<Trap> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    let verdict = judge(&text)?;
    let shown = path.display();
    Some(trap(format!("{shown} {verdict}: as a check it changes nothing"), MEND))
}

const MEND: &str = "end it with a command that fails when the service does, or with exit 1";

/// Why a shell script never says that something failed; `None` for what is no shell script or can fail.
fn judge(text: &str) -> Option<&'static str> {
    let first = text.lines().next()?;
    let is_shell = match first.strip_prefix("#!") {
        Some(line) => line.split([' ', '\t', '/']).any(|word| SHELLS.contains(&word)),
        None => true,
    };
    if !is_shell {
        return None;
    }
    let code: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if may_fail_anywhere(&code) {
        return None;
    }
    let last = code.last()?;
    let ends_well = ["exit 0", "|| true", "|| :", "; true"].iter().any(|end| last.ends_with(end));
    if ends_well || ["true", ":"].contains(last) {
        return Some("ends well whatever happens");
    }
    let conditional = ENDS.contains(&last.split_whitespace().next()?);
    conditional.then_some("says nowhere that something failed")
}

/// Whether any line leaves with another status than 0, or could.
fn may_fail_anywhere(code: &[&str]) -> bool {
    code.iter().any(|line| {
        let words: Vec<&str> = line
            .split(|char: char| char.is_whitespace() || ";&|(){}".contains(char))
            .filter(|word| !word.is_empty())
            .collect();
        words.iter().enumerate().any(|(at, word)| match *word {
            "exit" | "return" => words.get(at + 1) != Some(&"0"),
            "set" => words.get(at + 1).is_some_and(|flags| flags.starts_with('-') && flags.contains('e')),
            "false" | "exec" | "." | "source" | "trap" => true,
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_cannot_fail_are_told_from_those_that_can() {
        for (text, never) in [
            ("#!/bin/bash\n\nif [ ! -e /run/httpd.pid ];then\n    systemctl start httpd\nfi\n", true),
            ("#!/bin/sh\nsystemctl start nginx\nexit 0\n", true),
            ("#!/bin/sh\npidof nginx || true\n", true),
            ("pidof nginx; true", true),
            ("#!/usr/bin/env bash\nfor x in a b; do ping -c1 $x; done\n# exit 1\ndone", true),
            ("[[ -f /etc/keepalived/down ]] && exit 1 || exit 0\n", false),
            ("#!/bin/bash\nif ! pidof nginx; then exit 1; fi\n", false),
            ("#!/bin/bash\nset -eu\nif true; then :; fi\n", false),
            ("#!/bin/bash\ncode=1\nexit $code\n", false),
            ("#!/bin/bash\nexit\n", false),
            ("#!/bin/bash\ncurl -f http://127.0.0.1/\n", false),
            ("#!/usr/bin/python3\nif x:\n  pass\nfi\n", false),
            ("", false),
        ] {
            assert_eq!(judge(text).is_some(), never, "{text:?}");
        }
    }
}
