//! Writes the agent's man page, from the definitions it parses its arguments by:
//! `cargo run -p hacluster-agent --example man -- DIRECTORY`.

use clap::CommandFactory;
use hacluster_agent::args::Args;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    fs::create_dir_all(&directory)?;
    let mut page = fs::File::create(directory.join("hacluster-agent.8"))?;
    clap_mangen::Man::new(Args::command()).section("8").render(&mut page)
}
