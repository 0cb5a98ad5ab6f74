//! Generates code from the `.proto` files with a compiler written in Rust: nobody needs `protoc`.

use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=hacluster");
    let files = protox::compile(
        ["hacluster/v1/read.proto", "hacluster/v1/admin.proto", "hacluster/v1/peer.proto"],
        ["."],
    )?;

    let mut methods = String::from("&[\n");
    for file in files.file.iter().filter(|file| file.package().starts_with("hacluster.")) {
        for service in &file.service {
            for method in &service.method {
                writeln!(methods, "\"/{}.{}/{}\",", file.package(), service.name(), method.name())?;
            }
        }
    }
    methods.push(']');
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("methods.rs"), methods)?;

    tonic_prost_build::configure().build_transport(false).compile_fds(files)?;
    Ok(())
}
