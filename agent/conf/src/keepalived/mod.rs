//! keepalived.conf -> the model.
//!
//! ```text
//!   files -> include -> lexer -> parser -> check  (every keyword: known, placed, well-formed, in force?)
//!            substitute ^             |--> references
//!                                      \--> lower  -> model::Config
//! ```
//!
//! Contract: everything wrong is collected, nothing stops at the first fault; what keepalived would
//! run, runs the same way; what is not in force is said. No text panics, hangs or grows without
//! bound, and passwords reach neither diagnostics nor the kept texts.

mod check;
mod include;
mod keywords;
mod lexer;
mod lower;
mod parser;
mod references;
mod secrets;
pub mod source;
mod substitute;

use crate::diag::{Diagnostic, Severity, SourceMap};
use crate::findings::{self, Findings};
use crate::model::Config;
use source::Source;
use std::path::Path;

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What runs.
    pub config: Config,
    /// What is to be said about it, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts, passwords masked.
    pub sources: SourceMap,
}

impl Loaded {
    /// 0 when all is in force (warnings and hints at most), 1 when something written is not in force,
    /// 2 when nothing can run.
    pub fn exit_status(&self) -> u8 {
        if self.diagnostics.iter().any(|found| found.severity == Severity::Fatal) {
            2
        } else {
            u8::from(self.diagnostics.iter().any(|found| found.not_in_force))
        }
    }
}

/// Reads `path` and everything it includes.
pub fn load(path: &Path, source: &dyn Source) -> Loaded {
    let findings = Findings::default();
    let mut reader = include::Reader::new(source, &findings);
    let read = reader.file(path);
    let (tokens, definitions, mut files) = (reader.tokens, reader.definitions, reader.files);
    let config = match read {
        Err(why) => {
            let message = format!("`{}` cannot be read: {why}", findings::show(&path.display().to_string()));
            findings.push(Diagnostic::new(Severity::Fatal, "unreadable", message));
            Config::default()
        }
        Ok(()) => {
            let tree = parser::parse(tokens, &findings);
            secrets::report_cut(&tree, &files, &findings);
            secrets::mask(&tree, &definitions, &mut files);
            check::check(&tree, &findings);
            references::check(&tree, &findings);
            lower::lower(&tree, source, &findings)
        }
    };
    let mut sources = SourceMap::default();
    for (path, text) in files {
        sources.add(path, &*text);
    }
    Loaded { config, diagnostics: findings.finish(), sources }
}
