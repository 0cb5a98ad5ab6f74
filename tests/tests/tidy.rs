//! The repository's rules, as a test: its shape, sizes, walls and words.
//!
//! A list of exceptions is a ratchet: each entry has a reason, and one that is no longer needed
//! fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "proto", "agent", "ctl", "tests", "deploy", "README.md", "LICENSE"];
const TOP_LEVEL_OPTIONAL: [&str; 1] = ["CHANGELOG.md"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];
/// Functions that are longer, as `path::name`, and why.
const LONG_FUNCTIONS: [(&str, &str); 4] = [
    ("agent/conf/tests/layered.rs::everything_that_can_be_said", "one text that uses every key"),
    ("agent/src/chronicle.rs::fold_fact", "one arm for each kind of fact"),
    ("agent/src/supervisor.rs::run", "puts the parts together, each in its place in the order"),
    ("agent/core/src/machine/transition.rs::transition", "the table: every state with every event"),
];

/// Everything the core may depend on.
const CORE_DEPENDENCIES: [&str; 6] =
    ["pnet_base", "pnet_macros", "pnet_macros_support", "pnet_packet", "serde", "thiserror"];

/// Licences whose terms we can keep; an expression needs one of them on its own side of each `AND`.
const LICENCES: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "0BSD",
];

/// Words that mark unfinished work or name one machine; each with what to do instead.
const BANNED: [(&str, &str); 8] = [
    ("todo!", "finish it, or leave it out"),
    ("dbg!", "use tracing"),
    ("FIXME", "mend it, or say why it is so"),
    ("XXX", "mend it, or say why it is so"),
    ("/work/", "no paths of one machine"),
    ("/root/", "no paths of one machine"),
    ("/home/", "no paths of one machine"),
    ("unimplemented!", "finish it, or leave it out"),
];

/// This file names what it bans.
const SELF: &str = "tests/tests/tidy.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files under version control, as paths from the root; without git, all that are there.
fn files() -> Vec<String> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    let listed = listed.ok().filter(|output| output.status.success() && !output.stdout.is_empty());
    let mut files: Vec<String> = match listed {
        Some(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_terminator('\0').map(str::to_owned).collect()
        }
        None => walk(&root(), ""),
    };
    files.retain(|file| root().join(file).is_file());
    assert!(files.len() > 10, "the repository cannot be listed");
    files
}

fn walk(folder: &Path, prefix: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !name.starts_with('.') && path != "target" {
            files.extend(walk(&entry.path(), &format!("{path}/")));
        } else if !is_folder {
            files.push(path);
        }
    }
    files
}

fn read(file: &str) -> String {
    let bytes = fs::read(root().join(file)).unwrap_or_else(|error| panic!("cannot read {file}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn sources() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|file| file.ends_with(".rs")).map(|file| (file.clone(), read(&file)))
}

fn demand_none(found: &[String]) {
    assert!(found.is_empty(), "\n  {}", found.join("\n  "));
}

/// A finding must be in the list, and what is in the list must be found.
fn demand_only(found: &BTreeSet<String>, allowed: &[(&str, &str)]) {
    let allowed: BTreeSet<_> = allowed.iter().map(|(name, _)| (*name).to_owned()).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    let stale: Vec<_> = allowed.difference(found).collect();
    assert!(new.is_empty() && stale.is_empty(), "too long: {new:#?}, no longer too long: {stale:#?}");
}

#[test]
fn the_top_level_is_the_architecture() {
    let present: BTreeSet<String> =
        files().iter().filter_map(|file| file.split('/').next()).map(str::to_owned).collect();
    let known = |name: &String| {
        name.starts_with('.')
            || TOP_LEVEL.contains(&name.as_str())
            || TOP_LEVEL_OPTIONAL.contains(&name.as_str())
    };
    let odd: Vec<_> = present.iter().filter(|name| !known(name)).cloned().collect();
    demand_none(&odd);
}

#[test]
fn files_are_short() {
    let long = |(file, text): (String, String)| (text.lines().count() > FILE_LINES_MAX).then_some(file);
    demand_only(&sources().filter_map(long).collect(), &LONG_FILES);
}

#[test]
fn functions_are_short() {
    let long = |(file, text): (String, String)| {
        let functions = functions(&text).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        functions.map(move |(name, _)| format!("{file}::{name}")).collect::<Vec<_>>()
    };
    demand_only(&sources().flat_map(long).collect(), &LONG_FUNCTIONS);
}

/// Names and lengths of a file's functions. Relies on rustfmt: a body ends with a brace that is
/// indented as its head is.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &&str| {
            line.len() - line.trim_start().len() == indent && (line.ends_with('}') || line.ends_with(';'))
        };
        if let Some(length) = lines[start..].iter().position(ends) {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once("fn ")?;
    let qualifiers = ["pub", "const", "async", "extern", "\"C\"", concat!("un", "safe")];
    let qualified =
        |word: &str| qualifiers.contains(&word) || word.starts_with("pub(") || word.ends_with(')');
    let name = rest.split(['(', '<']).next()?;
    let plain = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    (plain && head.split_whitespace().all(qualified)).then_some(name)
}

#[test]
fn function_lengths_are_counted() {
    let text = "impl X {\n    pub(super) fn short() {}\n    pub const fn long(\n        a: u8,\n    ) -> u8 {\n        \
                a\n    }\n    fn declared(&self);\n}\n";
    let expected = [("short", 1), ("long", 5), ("declared", 1)];
    assert_eq!(functions(text), expected.map(|(name, lines)| (name.to_owned(), lines)));
}

#[test]
fn only_the_kernel_side_is_trusted_with_memory() {
    let word = concat!("un", "safe");
    let starts =
        [format!("{word} {{"), format!("{word} fn"), format!("{word} impl"), format!("{word} extern")];
    let found: Vec<_> = sources()
        .filter(|(file, _)| !file.starts_with("agent/net/") && file != SELF)
        .filter(|(_, text)| starts.iter().any(|start| text.contains(start)))
        .map(|(file, _)| format!("{file}: {word} code belongs to agent/net"))
        .collect();
    demand_none(&found);
}

#[test]
fn the_core_depends_on_little_and_names_no_std() {
    let manifest = read("agent/core/Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<_> = section
        .lines()
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|n| !n.is_empty())
        .collect();
    assert_eq!(names, CORE_DEPENDENCIES);
    assert!(read("agent/core/src/lib.rs").contains("#![no_std]"));
    let names_std = |(file, text): (String, String)| {
        let core = file.starts_with("agent/core/src/") && !file.contains("tests");
        (core && (text.contains("std::") || text.contains("extern crate std"))).then_some(file)
    };
    demand_none(&sources().filter_map(names_std).collect::<Vec<_>>());
}

#[test]
fn the_tables_have_no_wildcard() {
    for file in ["transition.rs", "effects.rs"] {
        let text = read(&format!("agent/core/src/machine/{file}"));
        assert!(!text.contains("_ =>"), "{file}: write every pair out");
    }
}

#[test]
fn no_word_is_banned() {
    let mut found = Vec::new();
    for file in files().into_iter().filter(|file| file != SELF && file != "Cargo.lock") {
        let text = read(&file);
        for (word, instead) in BANNED {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains(word));
            found.extend(lines.map(|(index, _)| format!("{file}:{}: `{word}`: {instead}", index + 1)));
        }
    }
    demand_none(&found);
}

/// What the README tells to run is what is run before a change lands.
#[test]
fn readme_and_ci_name_the_same_tests() {
    let (readme, ci) = (root().join("README.md"), root().join(".ci/run"));
    if !readme.is_file() || !ci.is_file() {
        return; // nothing to compare yet
    }
    let commands = |file: &str| -> BTreeSet<String> {
        let commands = read(file);
        let commands = commands.lines().filter(|line| line.starts_with("cargo test"));
        commands.filter_map(|line| line.split('#').next()).map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(commands("README.md"), commands(".ci/run"));
}

/// Whether we may ship code under `expression`: `A OR B`, `A/B`, `(A OR B) AND C`.
fn licence_is_fine(expression: &str) -> bool {
    expression.split(" AND ").all(|side| {
        let side = side.trim_matches(|c| c == '(' || c == ')');
        side.split(" OR ").flat_map(|side| side.split('/')).any(|name| LICENCES.contains(&name.trim()))
    })
}

#[test]
fn licences_are_read_as_meant() {
    assert!(licence_is_fine("MIT OR GPL-3.0") && licence_is_fine("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!licence_is_fine("GPL-3.0") && !licence_is_fine("MIT AND GPL-3.0"));
}

#[test]
fn every_dependency_has_a_licence_we_can_keep() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 20, "the list of packages is not the list of packages");
    let odd: Vec<_> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(licence_is_fine))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    demand_none(&odd);
}
