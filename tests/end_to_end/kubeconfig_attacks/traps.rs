//! Traps: each tells afterwards whether somebody went into it.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::control_plane::wait_until;
use tokio::net::TcpListener;

/// Listens, and counts who comes.
pub(super) struct Visitors {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    listening: tokio::task::AbortHandle,
}

impl Visitors {
    pub(super) async fn wait_for() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let (address, count) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let listening = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { address, count, listening: listening.abort_handle() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A named pipe: opening it to write waits until somebody opens it to read.
pub(super) struct Pipe {
    path: PathBuf,
    opened: Arc<AtomicBool>,
}

impl Pipe {
    pub(super) fn lay(path: &Path) -> Result<Self> {
        let made = Command::new("mkfifo").arg(path).status().context("running mkfifo")?;
        ensure!(made.success(), "mkfifo {}: {made}", path.display());
        let (place, opened) = (path.to_owned(), Arc::new(AtomicBool::new(false)));
        let noticed = Arc::clone(&opened);
        thread::spawn(move || {
            if OpenOptions::new().write(true).open(place).is_ok() {
                noticed.store(true, Ordering::SeqCst);
            }
        });
        Ok(Self { path: path.to_owned(), opened })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn was_opened(&self) -> bool {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Both ways at once never waits, and lets the thread go.
        let _both_ends = OpenOptions::new().read(true).write(true).open(&self.path);
    }
}

/// Does what a kubeconfig asked for, and fails unless that leaves its mark: then it would have left it before.
pub(super) fn run(command: &Path) -> Result<()> {
    let ran = Command::new("touch").arg(command).status().context("running touch")?;
    ensure!(ran.success() && command.exists(), "touch {}: {ran}", command.display());
    Ok(())
}

/// Comes to the listener, and fails unless it counts.
pub(super) async fn visit(visitors: &Visitors) -> Result<()> {
    drop(tokio::net::TcpStream::connect(visitors.address()).await?);
    wait_until("the listener to notice", Duration::from_secs(10), || async { visitors.count() == 1 }).await
}

/// Goes into both traps, and fails unless they notice: then what went before was noticed as well.
pub(super) async fn snap(visitors: &Visitors, pipe: &Pipe) -> Result<()> {
    let limit = Duration::from_secs(10);
    drop(tokio::net::TcpStream::connect(visitors.address()).await?);
    let path = pipe.path().to_owned();
    drop(tokio::task::spawn_blocking(move || OpenOptions::new().read(true).open(path)).await??);
    wait_until("both traps to notice", limit, || async { visitors.count() == 1 && pipe.was_opened() }).await
}

/// The most memory that a process has had, in KiB.
pub(super) fn resident_kibibytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading the operator's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("VmHWM: {line}"))
}
