//! `--check`.

use crate::args::{Args, Format};
use crate::in_force;
use hacluster_conf::render;
use hacluster_programs::traps;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Says everything that is wrong, with the files and with the programs they name, and answers with the
/// exit status.
pub fn check(args: &Args) -> ExitCode {
    let mut loaded = in_force::load(args).loaded;
    traps::add(&mut loaded);
    let mut out = std::io::stdout();
    let answer = match args.format {
        Format::Text => render::report(&loaded, &args.config, out.is_terminal()),
        Format::Json => format!("{:#}\n", render::json(&loaded.diagnostics, &loaded.sources)),
    };
    // A reader that went away (`| head`) is no error.
    let _ = out.write_all(answer.as_bytes());
    ExitCode::from(loaded.exit_status())
}
