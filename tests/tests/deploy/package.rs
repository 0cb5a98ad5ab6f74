//! The Debian package: built once, and on a copy of this very machine, a layer over its file system that is
//! thrown away, where no service manager runs. With one: [`super::systemd`].

use anyhow::{Context, Result, ensure};
use hacluster_lab::Agent;
use hacluster_tests::harness::{Skip, Suite};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) fn trials(suite: &mut Suite, package: &Arc<Package>) {
    let package = package.clone();
    suite.trial("the_debian_package_is_whole_runs_without_systemd_and_goes_without_a_trace", move || {
        whole(&package)
    });
}

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/package.sh");

/// The package, built when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Package(Mutex<Option<(tempfile::TempDir, PathBuf)>>);

impl Package {
    /// The file.
    pub(crate) fn file(&self) -> Result<PathBuf> {
        needs("dpkg-deb")?;
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = &*built {
            return Ok(file.clone());
        }
        let directory = tempfile::tempdir()?;
        let file = build(directory.path())?;
        *built = Some((directory, file.clone()));
        Ok(file)
    }
}
fn needs(program: &str) -> Result<()> {
    match Command::new(program).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => Err(Skip(format!("needs {program} (Debian)")).into()),
    }
}

fn succeed(what: &str, said: Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&said.stdout), text(&said.stderr));
    ensure!(said.status.success(), "{what}: {}\n{out}{err}", said.status);
    Ok(out)
}

/// Builds the package from the programs that are here.
fn build(output: &Path) -> Result<PathBuf> {
    let programs = Agent::find()?.binary.parent().context("the agent is nowhere")?.to_owned();
    let cargo = std::env::var_os("CARGO").ok_or_else(|| Skip("needs cargo".to_owned()))?;
    let mut man = Command::new(cargo);
    man.args(["build", "--quiet", "--package", "hacluster-agent", "--example", "man", "--manifest-path"]);
    man.arg(Path::new(TREE).join("Cargo.toml"));
    if programs.ends_with("release") {
        man.arg("--release");
    }
    succeed("the man page's generator", man.output()?)?;
    let mut command = Command::new(Path::new(TREE).join("deploy/debian/build"));
    command.arg("--programs").arg(programs).arg("--output").arg(output).env("HACLUSTER_DEB_LEVEL", "1");
    succeed("deploy/debian/build", command.output()?)?;
    let mut files = output.read_dir()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.find(|file| file.extension().is_some_and(|kind| kind == "deb")).context("no package was made")
}

fn whole(package: &Package) -> Result<()> {
    ["unshare", "setpriv"].into_iter().try_for_each(needs)?;
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Skip("needs root, for a layer over the file system".to_owned()).into());
    }
    let directory = tempfile::tempdir()?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--", "bash", SCRIPT]);
    command.arg(package.file()?).arg(directory.path()).arg(TREE);
    let said = succeed("the package", command.output()?)?;
    ensure!(said.contains("all is well"), "{said}");
    Ok(())
}
