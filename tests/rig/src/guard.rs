//! `rig guard`: nothing survives a killed supervisor.
//!
//! Every program of the rig runs under a guard. The guard's standard input is a pipe whose other end only the
//! supervisor holds, so the kernel closes it when the supervisor ends in whatever way, SIGKILL included. The guard
//! then kills the program and everything that the program started.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// Names the `rig` program when it is not beside the running executable.
pub const RIG_BINARY: &str = "RIG_BINARY";

/// Runs `program` until it ends or until standard input does; returns the code to exit with.
///
/// The program's pid is the one line on standard output. The program writes to the guard's standard error, which is
/// the program's log file, and leads a process group of its own, so that a Ctrl-C meant for the supervisor leaves the
/// order of the shutdown to the supervisor.
pub fn run(program: &Path, args: &[OsString]) -> Result<i32> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let group = Pid::from_child(&child);
    report(group)?;
    thread::spawn(move || kill_at_end_of_input(group));
    let status = child.wait().with_context(|| format!("waiting for {}", program.display()))?;
    // What the program left behind in its group would otherwise outlive it.
    kill_group(group);
    Ok(exit_code(status))
}

fn report(pid: Pid) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", pid.as_raw_nonzero())?;
    out.flush().context("telling the supervisor the program's pid")
}

fn kill_at_end_of_input(group: Pid) {
    let mut buffer = [0_u8; 64];
    while matches!(io::stdin().read(&mut buffer), Ok(read) if read > 0) {}
    kill_group(group);
}

/// The only possible failure is that the group is gone, which is what is wanted.
fn kill_group(group: Pid) {
    let _gone = kill_process_group(group, Signal::KILL);
}

/// As shells do: 128 plus the signal's number for a program that a signal ended.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The `rig` program that guards run in: the running one, or the one that cargo built beside this test.
pub fn rig_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(RIG_BINARY) {
        return existing(PathBuf::from(path));
    }
    let running = std::env::current_exe().context("finding the running executable")?;
    if running.file_stem().is_some_and(|name| name == "rig") {
        return Ok(running);
    }
    beside(&running, "rig")
}

/// A program that cargo put into `target/<profile>/`, seen from a test in `target/<profile>/deps/`.
pub fn beside(running: &Path, name: &str) -> Result<PathBuf> {
    running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no program `{name}` beside {}: run `cargo build --workspace`", running.display()))
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{RIG_BINARY} names {}, which is not a file: unset it, or run `cargo build -p rig`", path.display());
    }
    Ok(path)
}
