//! Programs as children of the rig, each under a guard (see [`crate::guard`]).

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use tokio::sync::watch;

use crate::guard::rig_binary;

/// What to run, as data; it can be spawned again after its end.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
    log: PathBuf,
}

impl Program {
    /// The program at `path`, called `name` in messages, appending what it prints to the file `log`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let (name, path, log) = (name.into(), path.into(), log.into());
        Self { name, path, args: Vec::new(), env: Vec::new(), folder: None, log }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable to the inherited ones.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The file that holds what it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it under a guard. Dropping the [`Child`] kills it.
    pub fn spawn(&self) -> Result<Child> {
        let mut guard = self.command()?.spawn().with_context(|| format!("starting a guard for {}", self.name))?;
        let pid = read_pid(&mut guard).with_context(|| self.explain("did not start"))?;
        let lifeline = guard.stdin.take();
        let (ended, exit) = watch::channel(None);
        thread::spawn(move || ended.send_replace(guard.wait().ok()));
        Ok(Child { program: self.clone(), pid, lifeline: Mutex::new(lifeline), exit })
    }

    fn command(&self) -> Result<Command> {
        let log = open_log(&self.log)?;
        let mut command = Command::new(rig_binary()?);
        command.arg("guard").arg("--").arg(&self.path).args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        Ok(command)
    }

    /// `<name> <what happened>`, where the log is, and its last lines.
    pub fn explain(&self, what: &str) -> String {
        format!("{} {what}; the end of {}:\n{}", self.name, self.log.display(), last_lines(&self.log, 15))
    }
}

fn open_log(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("opening the log {}", path.display()))
}

fn read_pid(guard: &mut process::Child) -> Result<Pid> {
    let Some(output) = guard.stdout.take() else { bail!("the guard has no standard output") };
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).context("reading the program's pid from its guard")?;
    let number = line.trim().parse().with_context(|| format!("expected a pid from the guard, found {line:?}"))?;
    Pid::from_raw(number).context("expected a pid from the guard, found 0")
}

/// The last `count` lines of a text file; says so when there is nothing to show.
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "(it is empty)".to_owned();
    }
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A running program. It works from any async runtime: a thread waits for the program's end.
#[derive(Debug)]
pub struct Child {
    program: Program,
    pid: Pid,
    lifeline: Mutex<Option<ChildStdin>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// The program's name in messages.
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// The process id of the program itself, not of its guard.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What was started.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The guard's exit status, once the program has ended: its code, or 128 plus the signal's number.
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for the program's end.
    pub async fn wait(&self) -> Result<ExitStatus> {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => Ok(status),
            _ => bail!("waiting for the guard of {} failed", self.program.name),
        }
    }

    /// Sends a signal to the program; fails when it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited() {
            bail!("cannot send {signal:?} to {}: it has ended with {status}", self.program.name);
        }
        kill_process(self.pid, signal).with_context(|| format!("sending {signal:?} to {}", self.program.name))
    }

    /// Ends the program with SIGKILL, whatever its state, and waits until it is gone. Twice is as good as once.
    pub async fn kill(&self) -> Result<()> {
        self.cut_lifeline();
        if self.exited().is_none() {
            let _gone = kill_process_group(self.pid, Signal::KILL);
        }
        self.wait().await.map(|_| ())
    }

    fn cut_lifeline(&self) {
        let mut lifeline = self.lifeline.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lifeline.take());
    }
}

/// Whether a process with this id exists (a zombie counts: nobody has waited for it yet).
pub fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok())
}
