//! The first process inside a virtual machine: makes it look like the host, runs one command, and
//! switches the machine off.
//!
//! ```text
//!   before                       after
//!   /  the host's, read-only     /  overlay: the host's below, memory above
//!   /tmp  memory                 /proc /sys /dev /run  the guest's own
//!                                /run/hacluster-vm  the folder both sides see
//! ```

use super::{ARGUMENTS, ENVIRONMENT, FOLDER, GUEST, MODULES, STATUS};
use anyhow::{Context, Result, anyhow};
use hacluster_net::netlink::Requests;
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        reboot::{RebootMode, reboot},
        signal::{Signal, kill},
        termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr},
        wait::{WaitStatus, wait},
    },
    unistd::{Pid, pivot_root},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{ffi::OsStringExt, fs::symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

const ROOT: &str = "/tmp/root";
const SHARED: &str = "/run/hacluster-vm";
/// As a shell says it: the command could not be started.
const NOT_STARTED: i32 = 127;
/// As a shell says it: this much plus the signal that ended the command.
const SIGNALLED: i32 = 128;

/// Becomes the first process of a virtual machine when started as such, and never returns then.
pub(super) fn live_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(GUEST)) || std::process::id() != 1 {
        return;
    }
    let folder = PathBuf::from(arguments.next().unwrap_or_default());
    let told = match live(&folder) {
        Ok(status) => status.to_string(),
        Err(error) => format!("{error:#}"),
    };
    let there = Path::new(SHARED).join(STATUS);
    let _ = fs::write(&there, told).and_then(|()| File::open(&there)?.sync_all());
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn live(folder: &Path) -> Result<i32> {
    attach("proc", "/proc", "proc", "")?;
    let read = |name: &str| words(&folder.join(name));
    let (arguments, environment, current) = (read(ARGUMENTS)?, read(ENVIRONMENT)?, read(FOLDER)?);
    furnish(folder)?;
    Requests::open()?.set_up("lo")?;
    let (output, errors) = (line("/dev/ttyS0")?, line("/dev/ttyS1")?);
    let (program, arguments) = arguments.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().filter_map(variable));
    command.current_dir(current.first().context("no folder")?);
    // Pipes: a program that meets a terminal draws on it.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            writeln!(&errors, "cannot start {}: {error}", program.display())?;
            tcdrain(&errors)?;
            return Ok(NOT_STARTED);
        }
    };
    let copies = [copy(child.stdout.take(), output), copy(child.stderr.take(), errors)];
    let status = reap(Pid::from_raw(i32::try_from(child.id())?))?;
    // What it left behind goes, and lets go of the pipes.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    for copy in copies {
        copy.join().map_err(|_| anyhow!("the copy panicked"))??;
    }
    Ok(status)
}

/// Copies to a serial line and waits until the last byte has left.
fn copy(from: Option<impl Read + Send + 'static>, mut to: File) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        if let Some(mut from) = from {
            io::copy(&mut from, &mut to)?;
        }
        Ok(tcdrain(&to)?)
    })
}

/// Waits for `child`, and for every orphan that ends meanwhile.
fn reap(child: Pid) -> Result<i32> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(SIGNALLED + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait"),
        }
    }
}

/// Puts memory above the host's files, and the guest's own kernel into them.
fn furnish(folder: &Path) -> Result<()> {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let modules = Path::new(MODULES).join(version.trim());
    attach("memory", "/tmp", "tmpfs", "mode=755,size=80%")?;
    ["/tmp/upper", "/tmp/work", ROOT].into_iter().try_for_each(fs::create_dir)?;
    let overlay = modules.join("kernel/fs/overlayfs/overlay.ko");
    let module = File::open(&overlay).with_context(|| overlay.display().to_string())?;
    finit_module(&module, c"", ModuleInitFlags::empty()).context("cannot load overlayfs")?;
    attach("root", ROOT, "overlay", "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work")?;
    let within = |path: &str| format!("{ROOT}{path}");
    attach("proc", &within("/proc"), "proc", "")?;
    attach("sysfs", &within("/sys"), "sysfs", "")?;
    attach("dev", &within("/dev"), "devtmpfs", "mode=755")?;
    attach("run", &within("/run"), "tmpfs", "mode=755")?;
    for (path, kind, options) in [
        ("/dev/pts", "devpts", "mode=620,ptmxmode=666".as_ref()),
        ("/dev/shm", "tmpfs", "mode=1777".as_ref()),
        (SHARED, "hostfs", folder.as_os_str()),
    ] {
        fs::create_dir_all(within(path))?;
        attach(kind, &within(path), kind, options)?;
    }
    fs::create_dir(within("/run/lock"))?;
    fs::create_dir(within("/run/outside"))?;
    env::set_current_dir(ROOT)?;
    pivot_root(".", "run/outside").context("pivot_root")?;
    env::set_current_dir("/")?;
    umount2("/run/outside", MntFlags::MNT_DETACH).context("cannot let go of the host's files")?;
    for (number, name) in ["", "stdin", "stdout", "stderr"].into_iter().enumerate() {
        match number.checked_sub(1) {
            None => symlink("/proc/self/fd", "/dev/fd")?,
            Some(number) => symlink(format!("/proc/self/fd/{number}"), Path::new("/dev").join(name))?,
        }
    }
    let usual = Path::new("/lib/modules").join(version.trim());
    if !usual.exists() {
        fs::create_dir_all("/lib/modules")?;
        symlink(modules, usual)?;
    }
    Ok(())
}

fn attach(what: &str, path: &str, kind: &str, options: impl AsRef<OsStr>) -> Result<()> {
    let flags = MsFlags::empty();
    mount(Some(what), path, Some(kind), flags, Some(options.as_ref()))
        .with_context(|| format!("cannot mount {kind} on {path}"))
}

/// A serial line that leaves bytes as they are.
fn line(path: &str) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).context(path.to_owned())?;
    let mut settings = tcgetattr(&file)?;
    cfmakeraw(&mut settings);
    tcsetattr(&file, SetArg::TCSANOW, &settings)?;
    Ok(file)
}

/// What [`leave`](super::leave) wrote.
fn words(file: &Path) -> Result<Vec<OsString>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let words = bytes.split_inclusive(|byte| *byte == 0);
    Ok(words.map(|word| OsString::from_vec(word[..word.len() - 1].to_vec())).collect())
}

fn variable(pair: &OsString) -> Option<(OsString, OsString)> {
    let bytes = pair.clone().into_vec();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let value = OsString::from_vec(bytes[at + 1..].to_vec());
    Some((OsString::from_vec(bytes[..at].to_vec()), value))
}
