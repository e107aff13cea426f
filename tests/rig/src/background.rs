//! `rig up` and `rig down`: a world that stays after the command has ended.
//!
//! `up` starts a supervisor in a session of its own and waits until that says that everything is ready; `down` ends
//! it. While the supervisor lives it holds a lock, which no kill can leave behind: the lock, not the pid, says whether
//! the rig is up.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, setsid};
use tokio::signal::unix::{self, SignalKind};

use crate::child::{is_alive, last_lines};
use crate::control_plane::wait_until;
use crate::guard::rig_binary;
use crate::progress::say;
use crate::services::{NAMESPACES, Services, start_services};
use crate::tools::{Tool, Tools};
use crate::world::{Options, World, worlds_folder};

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a background world consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The two clusters, nothing in them.
    Clusters,
    /// Also load balancers, sample namespaces and the operator.
    Everything,
}

/// The files of the one background world of a checkout, in `target/rig`.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of this checkout.
    pub fn of_checkout() -> Result<Self> {
        Ok(Self::in_folder(worlds_folder()?))
    }

    /// Those in another folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Shell variables for whoever works with the world; it exists exactly while everything is ready.
    pub fn env(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// The kubeconfig of `source` or `target`.
    pub fn kubeconfig(&self, cluster: &str) -> PathBuf {
        self.folder.join(format!("{cluster}.kubeconfig"))
    }

    /// A migration to try, where [`Content::Everything`] runs.
    pub fn migration(&self, namespace: &str) -> PathBuf {
        self.folder.join(format!("{namespace}.yaml"))
    }

    /// The supervisor's process id.
    pub fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// The process ids of all programs.
    pub fn pids(&self) -> PathBuf {
        self.folder.join("pids")
    }

    /// What the supervisor says.
    pub fn log(&self) -> PathBuf {
        self.folder.join("rig.log")
    }

    /// Removes what says that the rig is up, `env` first.
    fn remove_published(&self) -> Result<()> {
        let migrations = NAMESPACES.map(|namespace| self.migration(namespace));
        [self.env(), self.pid(), self.pids()].iter().chain(&migrations).try_for_each(|path| remove(path))
    }

    fn world(&self) -> PathBuf {
        self.folder.join("up")
    }

    /// The lock of the running supervisor, or `None` while another one holds it.
    fn lock(&self) -> Result<Option<File>> {
        fs::create_dir_all(&self.folder).with_context(|| format!("creating {}", self.folder.display()))?;
        let path = self.folder.join("up.lock");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    fn is_up(&self) -> Result<bool> {
        Ok(self.lock()?.is_none())
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let unfinished = self.folder.join("unfinished");
        fs::write(&unfinished, text).with_context(|| format!("writing {}", unfinished.display()))?;
        fs::rename(&unfinished, path).with_context(|| format!("writing {}", path.display()))
    }
}

/// Leaves a world running in the background; returns when it is ready. Says so when it is up already.
pub async fn up(files: &Files, content: Content) -> Result<()> {
    if files.is_up()? {
        say(format!("the rig is up already; `rig down` ends it.\n{}", hints(files)));
        return Ok(());
    }
    // In the foreground, where a person sees the progress.
    Tools::prepare().await?;
    files.remove_published()?;
    let (mut supervisor, log_start) = start_supervisor(files, content)?;
    follow(files, &mut supervisor, log_start).await?;
    say(format!("the rig is up.\n{}", hints(files)));
    Ok(())
}

fn start_supervisor(files: &Files, content: Content) -> Result<(Child, u64)> {
    fs::create_dir_all(&files.folder).with_context(|| format!("creating {}", files.folder.display()))?;
    let log = OpenOptions::new().create(true).append(true).open(files.log()).context("opening the log")?;
    let start = log.metadata()?.len();
    let mut command = Command::new(rig_binary()?);
    command.arg("supervise").arg("--folder").arg(&files.folder).arg("--detach");
    if content == Content::Clusters {
        command.arg("--bare");
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok((command.spawn().context("starting the supervisor")?, start))
}

/// Shows what the supervisor says until it is ready or has ended.
async fn follow(files: &Files, supervisor: &mut Child, log_start: u64) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    let mut log = File::open(files.log()).context("opening the log")?;
    log.seek(SeekFrom::Start(log_start))?;
    loop {
        let ready = files.env().exists();
        let mut text = Vec::new();
        log.read_to_end(&mut text)?;
        std::io::stderr().write_all(&text)?;
        if ready {
            return Ok(());
        }
        if let Some(status) = supervisor.try_wait()? {
            bail!("the supervisor ended with {status}:\n{}", last_lines(&files.log(), 20));
        }
        if Instant::now() > deadline {
            bail!("not ready after {} s; see {}; `rig down` ends it", START_LIMIT.as_secs(), files.log().display());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The supervisor: runs a world until SIGTERM or SIGINT. With `detach` in a session of its own, so that the end of
/// the terminal is not its end.
pub async fn supervise(files: &Files, content: Content, detach: bool) -> Result<()> {
    if detach {
        setsid().context("leaving the terminal's session")?;
    }
    let Some(_lock) = files.lock()? else { bail!("a rig is up already in {}", files.folder.display()) };
    let mut stop = StopSignal::new()?;
    files.write(&files.pid(), &std::process::id().to_string())?;
    // Whatever has been started when the signal comes is dropped, and its guards end it.
    let (world, services) = tokio::select! {
        started = start(files, content) => started?,
        () = stop.received() => return finish(files),
    };
    stop.received().await;
    say("stopping");
    remove(&files.env())?;
    if let Some(services) = services {
        services.stop().await?;
    }
    world.stop().await?;
    finish(files)
}

async fn start(files: &Files, content: Content) -> Result<(World, Option<Services>)> {
    let world = World::start(Options { folder: Some(files.world()) }).await?;
    let services = match content {
        Content::Clusters => None,
        Content::Everything => Some(start_services(&world).await?),
    };
    publish(files, &world, services.as_ref()).await?;
    Ok((world, services))
}

struct StopSignal {
    terminated: unix::Signal,
    interrupted: unix::Signal,
}

impl StopSignal {
    fn new() -> Result<Self> {
        let terminated = unix::signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupted = unix::signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        Ok(Self { terminated, interrupted })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminated.recv() => {}
            _ = self.interrupted.recv() => {}
        }
    }
}

/// Writes the files for the person who uses the world; `env` last, because it says that everything is ready.
async fn publish(files: &Files, world: &World, services: Option<&Services>) -> Result<()> {
    for cluster in [world.source(), world.target()] {
        files.write(&files.kubeconfig(cluster.name()), &cluster.admin_kubeconfig()?)?;
    }
    for (namespace, migration) in Services::migrations().iter().filter(|_| services.is_some()) {
        files.write(&files.migration(namespace), migration)?;
    }
    let pids: Vec<String> = world.pids().await.iter().map(u32::to_string).collect();
    files.write(&files.pids(), &pids.join("\n"))?;
    files.write(&files.env(), &env(files, world, services)?)
}

fn env(files: &Files, world: &World, services: Option<&Services>) -> Result<String> {
    let programs = world.tools().path(Tool::Kubectl)?.parent().context("kubectl is in a folder")?;
    let mut text = format!("# . {}\nexport PATH='{}':\"$PATH\"\n", files.env().display(), programs.display());
    let clusters = ["source", "target"].map(|name| files.kubeconfig(name).display().to_string());
    let [source, target] = clusters;
    let mut variables = vec![("SOURCE", source.clone()), ("TARGET", target), ("KUBECONFIG", source)];
    variables.extend(services.map(Services::env).unwrap_or_default());
    for (key, value) in variables {
        writeln!(text, "export {key}='{value}'")?;
    }
    Ok(text)
}

fn hints(files: &Files) -> String {
    let clusters = format!(
        "  . {}   # first: kubectl and its way to the source; --kubeconfig $TARGET for the target",
        files.env().display()
    );
    let [migration, other] = NAMESPACES.map(|namespace| files.migration(namespace));
    let services = format!(
        "  kubectl apply -f {}   # shop moves in about two minutes
  kubectl get migration -A -w                        # where it is; -o wide says what it waits for
  kubectl describe migration shop -n shop            # everything: checks, traffic, plan, events
  kubectl wait --for=condition=Finished migration/shop -n shop --timeout=5m
  dig +short @$NAME_SERVER -p $NAME_SERVER_PORT shop.example.com                  # 127.0.1.1 is the source, 127.0.1.2 the target
  curl --cacert $USERS_ROOT --connect-to ::$TARGET_LB https://shop.example.com/   # a user, through the target
  kubectl apply -f {}
  curl -X POST $FAULTS/faults/target/books.example.com/status=503   # break the target: books comes back by itself
  curl -X DELETE $FAULTS/faults/target/books.example.com            # heal it; a higher spec.attempt tries again
  kubectl explain namespacemigration.spec --recursive               # every field",
        migration.display(),
        other.display()
    );
    let services = if migration.exists() { services } else { "  kubectl get nodes".to_owned() };
    format!("Try:\n{clusters}\n{services}\nIts logs are in {}.", files.folder.display())
}

fn finish(files: &Files) -> Result<()> {
    files.remove_published()?;
    say("stopped");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Ends the background world and waits until all of it is gone, also what a killed supervisor left to its guards.
pub async fn down(files: &Files) -> Result<()> {
    stop_supervisor(files).await?;
    let pids = fs::read_to_string(files.pids()).unwrap_or_default();
    let pids: Vec<u32> = pids.lines().filter_map(|line| line.parse().ok()).collect();
    let gone = || async { !pids.iter().any(|pid| is_ours(files, *pid)) };
    wait_until("the end of every program of the rig", STOP_LIMIT, gone).await?;
    files.remove_published()?;
    say("the rig is down");
    Ok(())
}

/// SIGTERM, and SIGKILL when that does not help.
async fn stop_supervisor(files: &Files) -> Result<()> {
    for signal in [Signal::TERM, Signal::KILL] {
        if !files.is_up()? {
            return Ok(());
        }
        let text = fs::read_to_string(files.pid()).context("reading the supervisor's pid")?;
        let pid =
            text.parse().ok().and_then(Pid::from_raw).with_context(|| format!("expected a pid, found {text:?}"))?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to the supervisor {text}"))?;
        let ended = || async { files.is_up().is_ok_and(|up| !up) };
        if wait_until("the end of the supervisor", STOP_LIMIT, ended).await.is_ok() {
            return Ok(());
        }
    }
    bail!("the supervisor did not end: see {}", files.log().display())
}

/// Whether a process still runs that works in this world's folder; its number may long be somebody else's.
fn is_ours(files: &Files, pid: u32) -> bool {
    let world = files.world().display().to_string();
    let command = fs::read(format!("/proc/{pid}/cmdline")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    is_alive(pid) && command.is_ok_and(|command| command.contains(&world))
}
