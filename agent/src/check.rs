//! Loading the configuration, and `--check`.

use crate::args::{Args, Format};
use hacluster_conf::Loaded;
use hacluster_conf::render;
use hacluster_conf::source::Disk;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Reads what the command line names.
pub fn load(args: &Args) -> Loaded {
    let loaded = hacluster_conf::load(&args.config, &Disk::default());
    match &args.agent_config {
        Some(toml) => hacluster_conf::layered::overlay(loaded, toml, &Disk::default()),
        None => loaded,
    }
}

/// Says everything that is wrong and answers with the exit status.
pub fn check(args: &Args) -> ExitCode {
    let loaded = load(args);
    let mut out = std::io::stdout();
    let answer = match args.format {
        Format::Text => text(&loaded, args, out.is_terminal()),
        Format::Json => format!("{:#}\n", render::json(&loaded.diagnostics, &loaded.sources)),
    };
    // A reader that went away (`| head`) is no error.
    let _ = out.write_all(answer.as_bytes());
    ExitCode::from(loaded.exit_status())
}

fn text(loaded: &Loaded, args: &Args, color: bool) -> String {
    let mut answer = render::text(&loaded.diagnostics, &loaded.sources, color);
    let config = &loaded.config;
    let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    answer.push_str(&format!(
        "{}: {} virtual router(s) would run: {}",
        args.config.display(),
        config.routers.len(),
        names(config.routers.iter().map(|router| router.name.as_str()).collect()),
    ));
    if !config.refused.is_empty() {
        let refused = config.refused.iter().map(|refused| refused.name.as_str()).collect();
        answer.push_str(&format!("; refused: {}", names(refused)));
    }
    answer.push('\n');
    answer
}
