//! The first bytes of a program: who reads it, and the traps in that line.

use crate::resolve::{Trap, find_by_name, trap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Runs what has no interpreter line.
pub(crate) const SHELL: &str = "/bin/sh";
/// Bytes that are looked at: the kernel reads 256 of the first line.
const HEAD_MAX: u64 = 4_096;

/// What the first bytes of a program say.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// It names no interpreter: [`SHELL`] has to run it.
    pub(crate) is_bare: bool,
    /// Odd, but it runs.
    pub(crate) remark: Option<Trap>,
}

/// Looks at the file `path`, which may be executed.
///
/// # Errors
/// Why it cannot run; `may_run` says so of its interpreter.
pub(crate) fn check(path: &Path, may_run: impl Fn(&Path) -> Result<(), Trap>) -> Result<Head, Trap> {
    let mut head = Vec::new();
    match File::open(path).and_then(|file| file.take(HEAD_MAX).read_to_end(&mut head)) {
        Ok(_) if head.starts_with(b"\x7fELF") => Ok(Head::default()),
        Ok(_) if head.starts_with(b"#!") => {
            let interpreter = interpreter(path, &head[2..], may_run)?;
            let remark = foreign_test(path, &interpreter, &String::from_utf8_lossy(&head));
            Ok(Head { is_bare: false, remark })
        }
        Ok(_) => Ok(Head { is_bare: true, remark: Some(bare(path, &String::from_utf8_lossy(&head))) }),
        Err(_) => Ok(Head::default()), // may be executed but not read: the kernel knows
    }
}

/// The interpreter that the first line names, links followed.
fn interpreter(
    path: &Path,
    head: &[u8],
    may_run: impl Fn(&Path) -> Result<(), Trap>,
) -> Result<PathBuf, Trap> {
    let shown = path.display();
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default());
    if line.ends_with('\r') {
        let what = format!("the first line of {shown} ends with a carriage return, as Windows writes it");
        return Err(trap(what, format!("sed -i 's/\\r$//' {shown}")));
    }
    let mut words = line.split_ascii_whitespace();
    let correct = || format!("correct the first line of {shown}");
    let Some(program) = words.next() else {
        return Err(trap(format!("the first line of {shown} names no interpreter"), correct()));
    };
    let real = Path::new(program).canonicalize().map_err(|error| {
        let mend = format!("install it, or {}", correct());
        trap(format!("{shown} cannot run: its interpreter {program} cannot be found: {error}"), mend)
    })?;
    may_run(&real).map_err(|why| trap(format!("{shown} cannot run: {}", why.what), why.mend))?;
    let by_name = words.next().filter(|name| program.ends_with("/env") && !name.starts_with('-'));
    match by_name.filter(|name| !name.contains(['=', '/']) && find_by_name(name).is_none()) {
        Some(name) => Err(trap(
            format!("{shown} cannot run: {program} finds no {name}"),
            "install it, or write its path",
        )),
        None => Ok(real),
    }
}

/// A text that says nothing of who reads it.
fn bare(path: &Path, text: &str) -> Trap {
    let shown = path.display();
    if text.trim_start_matches('\u{feff}').trim_start().starts_with("#!") {
        let what = format!("the interpreter line of {shown} is not at its very beginning: {SHELL} runs it");
        return trap(what, "remove whatever stands before #!");
    }
    let what = format!("{shown} has no interpreter line: {SHELL} runs it");
    if has_double_bracket(text) {
        let what = format!("{what}, and it uses `[[`, which is bash's: elsewhere such a test never holds");
        return trap(what, format!("write #!/bin/bash as the first line of {shown}"));
    }
    trap(what, format!("write #!{SHELL} as the first line of {shown}"))
}

/// bash's own test in a script for a shell that does not know it.
fn foreign_test(path: &Path, interpreter: &Path, text: &str) -> Option<Trap> {
    let lacks_it = interpreter.file_name().is_some_and(|name| name == "dash" || name == "busybox");
    if !lacks_it || !has_double_bracket(text) {
        return None;
    }
    let (shown, shell) = (path.display(), interpreter.display());
    let what = format!("{shown} uses `[[`, which is bash's, and is read by {shell}: such a test never holds");
    Some(trap(what, format!("write #!/bin/bash as the first line of {shown}")))
}

fn has_double_bracket(text: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(str::split_whitespace).any(|word| word.trim_start_matches('(') == "[[")
}
