//! A small virtual machine whose kernel has IPVS, for hosts whose kernel has not.
//!
//! ```text
//!   this program ── starts ──▶ linux.uml (User-Mode Linux: a kernel as an ordinary process)
//!      │  ▲ ▲                     │ first process: this same executable, see [`guest`]
//!      │  │ └── serial line 0 ────┤ stdout of the command    files: the host's, at the same paths,
//!      │  └──── serial line 1 ────┤ stderr                   writes go to memory and vanish
//!      └─ folder: command, environment ──▶   ◀── exit status
//! ```
//!
//! No privileges are needed, and inside the command is root. There is no network to the host. The
//! machine dies with this process, whatever happens to it.
//!
//! The kernel has no nf_tables for IP, one processor, and slow process starts (some 50 ms): build
//! outside, run inside, prefer one program that does much.

mod guard;
mod guest;

use crate::{
    agent::Absent,
    process::Process,
    wait::{Interrupted, wait_until},
};
use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, PipeReader, Write},
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Names the kernel to use, instead of looking for `linux.uml`.
pub const KERNEL_VARIABLE: &str = "HACLUSTER_UML";
/// Set in the environment of what runs inside.
pub const INSIDE_VARIABLE: &str = "HACLUSTER_VM";
/// Packages of Debian and its children that bring what is needed.
const INSTALL: &str = "apt-get install --no-install-recommends user-mode-linux kmod";
/// Where packages put the modules of that kernel, one folder per version.
const MODULES: &str = "/usr/lib/uml/modules";
const GUEST: &str = "--hacluster-lab-guest";
const GUARD: &str = "--hacluster-lab-guard";
/// Taken when touched.
const MEMORY_MIB: u64 = 512;

/// Files of the folder that both sides see.
const ARGUMENTS: &str = "arguments";
const ENVIRONMENT: &str = "environment";
const FOLDER: &str = "folder";
const STATUS: &str = "status";

/// What a virtual machine needs on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    kernel: PathBuf,
}

/// Plays a part of a virtual machine when started for that, and never returns then. First thing in
/// the `main` of a program that calls [`Vm::run`].
pub fn play_part_if_asked() {
    guest::live_if_asked();
    guard::watch_if_asked();
}

/// Whether this process runs in a virtual machine of ours.
pub fn inside() -> bool {
    env::var_os(INSIDE_VARIABLE).is_some()
}

impl Vm {
    /// The installed one.
    pub fn find() -> Result<Self, Absent> {
        let named = env::var_os(KERNEL_VARIABLE).map(PathBuf::from);
        let usual = || ["/usr/bin/linux.uml", "/usr/local/bin/linux.uml"].map(PathBuf::from);
        let candidates = named.map_or_else(|| Vec::from(usual()), |named| vec![named]);
        let kernel = candidates.into_iter().find(|file| file.is_file());
        let modules = fs::read_dir(MODULES).is_ok_and(|mut versions| versions.next().is_some());
        match kernel {
            Some(kernel) if modules => Ok(Self { kernel }),
            _ => Err(Absent(format!("needs user-mode-linux ({INSTALL})"))),
        }
    }

    /// Runs `arguments` inside, as root in the current folder, and gives the exit status. What it
    /// writes goes to our standard output and error. Ended after `limit`, which is an error, as is a
    /// machine that does not come up; both tell the kernel's last words.
    ///
    /// The environment is ours but for `CARGO`: nothing is built inside. The first process of the
    /// machine is this executable, whose `main` must begin with [`play_part_if_asked`].
    pub fn run(&self, arguments: &[OsString], limit: Duration) -> Result<i32> {
        let folder = tempfile::Builder::new().prefix("hacluster-vm-").tempdir()?;
        leave(&folder, ARGUMENTS, arguments.to_vec())?;
        let variables = env::vars_os().filter(|(name, _)| name != "CARGO");
        let inside = (INSIDE_VARIABLE.into(), "1".into());
        let variables = variables.chain([inside]).map(|(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            name
        });
        leave(&folder, ENVIRONMENT, variables.collect())?;
        leave(&folder, FOLDER, vec![env::current_dir()?.into_os_string()])?;
        let (machine, copies) = self.start(folder.path())?;
        let ended = wait_until("the end of the virtual machine", limit, || machine.status());
        drop(machine.stop());
        copies.into_iter().for_each(|copy| drop(copy.join()));
        let status = fs::read_to_string(folder.path().join(STATUS)).unwrap_or_default();
        match (ended, status.trim().parse()) {
            (Err(error), _) if error.is::<Interrupted>() => Err(error),
            (Ok(_), Ok(status)) => Ok(status),
            (ended, _) => {
                let lines = machine.lines();
                let last = lines.iter().skip(lines.len().saturating_sub(25));
                let last: Vec<_> = last.map(|line| line.text.as_str()).collect();
                let why = match ended {
                    Err(error) => error.to_string(),
                    Ok(_) if status.is_empty() => "it ended without a word about the command".to_owned(),
                    Ok(_) => status,
                };
                bail!("the virtual machine failed: {why}\nlast words of its kernel:\n{}", last.join("\n"))
            }
        }
    }

    fn start(&self, folder: &Path) -> Result<(Process, [thread::JoinHandle<()>; 2])> {
        let (output, output_line) = io::pipe().context("cannot make a pipe")?;
        let (errors, errors_line) = io::pipe().context("cannot make a pipe")?;
        for line in [&output_line, &errors_line] {
            fcntl(line, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot hand on a pipe")?;
        }
        let program = env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(&program);
        command
            .arg(GUARD)
            .arg(&self.kernel)
            .env_clear()
            .env("HOME", folder)
            .env("TMPDIR", memory_folder(folder));
        command.arg(format!("mem={MEMORY_MIB}M")).args(["rootfstype=hostfs", "rootflags=/", "ro"]);
        command.arg(format!("uml_dir={}", folder.join("uml").display()));
        // Messages of the kernel come to standard output; the benchmarks some parts begin with take long.
        command.args(["umid=vm", "noreboot", "quiet", "lsm=", "pty.legacy_count=0"]);
        command.args(["initcall_blacklist=raid6_select_algo,init_zswap", "con=null", "con0=null,fd:1"]);
        command.args(["ssl=null".into(), format!("ssl0=null,fd:{}", output_line.as_raw_fd())]);
        command.arg(format!("ssl1=null,fd:{}", errors_line.as_raw_fd()));
        command.arg(format!("init={}", program.display()));
        command.args(["--", GUEST]).arg(folder);
        fs::create_dir(folder.join("uml")).context("cannot make a folder")?;
        let machine = Process::spawn("the virtual machine", &command)?;
        Ok((machine, [copy(output, io::stdout()), copy(errors, io::stderr())]))
    }
}

/// The machine's memory is a file without a name: where memory is, if there is room, else on disk.
fn memory_folder(folder: &Path) -> PathBuf {
    let shared = Path::new("/dev/shm");
    let room = nix::sys::statvfs::statvfs(shared)
        .is_ok_and(|there| there.blocks_available() * there.fragment_size() >= MEMORY_MIB << 20);
    if room { shared.to_owned() } else { folder.to_owned() }
}

/// Writes words, each ended by a NUL, which none of them can contain.
fn leave(folder: &TempDir, name: &str, words: Vec<OsString>) -> Result<()> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let file = folder.path().join(name);
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn copy(mut from: PipeReader, mut to: impl Write + Send + 'static) -> thread::JoinHandle<()> {
    // A reader who has gone away ends the copy, and with it the machine's wish to write.
    thread::spawn(move || drop(io::copy(&mut from, &mut to)))
}
