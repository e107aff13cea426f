//! Nothing outlives the rig, however it ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::background::{self, Content, Files};
use rig::child::{Program, is_alive};
use rig::control_plane::wait_until;
use rig::world::worlds_folder;

const LIMIT: Duration = Duration::from_secs(60);

fn folder(name: &str) -> Result<PathBuf> {
    let folder = worlds_folder()?.join(format!("test-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn pids(files: &Files) -> Result<Vec<u32>> {
    fs::read_to_string(files.pids())?.lines().map(|line| line.parse().context("a pid")).collect()
}

async fn start_in_foreground(files: &Files, folder: &PathBuf) -> Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rig"));
    let supervisor = command.arg("supervise").arg("--bare").arg("--folder").arg(folder).stdin(Stdio::null()).spawn()?;
    wait_until("the supervised world being ready", LIMIT, || async { files.env().exists() }).await?;
    Ok(supervisor)
}

async fn wait_gone(pids: &[u32]) -> Result<()> {
    wait_until("the end of every program", LIMIT, || async { !pids.iter().any(|pid| is_alive(*pid)) }).await
}

#[tokio::test]
async fn no_process_is_left_when_the_supervisor_is_killed() -> Result<()> {
    let folder = folder("killed")?;
    let files = Files::in_folder(&folder);
    let mut supervisor = start_in_foreground(&files, &folder).await?;
    let pids = pids(&files)?;
    assert!(pids.len() >= 4 && pids.iter().all(|pid| is_alive(*pid)), "not every program runs: {pids:?}");
    // Child::kill is SIGKILL.
    supervisor.kill()?;
    supervisor.wait()?;
    wait_gone(&pids).await?;
    fs::remove_dir_all(folder).context("removing the test's folder")
}

#[tokio::test]
async fn up_leaves_a_world_running_once_and_down_ends_all_of_it() -> Result<()> {
    let folder = folder("up")?;
    let files = Files::in_folder(&folder);
    background::up(&files, Content::Clusters).await?;
    let first = pids(&files)?;
    assert!(first.iter().all(|pid| is_alive(*pid)), "not every program runs: {first:?}");
    background::up(&files, Content::Clusters).await?;
    assert_eq!(pids(&files)?, first, "a second `up` started something");
    let env = fs::read_to_string(files.env())?;
    let check = "kubectl get nodes -o name && kubectl --kubeconfig \"$TARGET\" get nodes -o name";
    let shell = Command::new("sh").arg("-c").arg(format!("{env}\n{check}")).output()?;
    assert_eq!(String::from_utf8_lossy(&shell.stdout), "node/source-node\nnode/target-node\n");
    background::down(&files).await?;
    wait_gone(&first).await?;
    assert!(!files.env().exists() && !files.pid().exists(), "files of a world that is gone are left");
    fs::remove_dir_all(folder).context("removing the test's folder")
}

#[tokio::test]
async fn a_program_ends_when_its_child_is_dropped_and_reports_its_exit_otherwise() -> Result<()> {
    let folder = folder("guard")?;
    let sleeper = Program::new("sleep", "sleep", folder.join("sleep.log")).args(["600"]).spawn()?;
    let pid = sleeper.pid();
    assert!(is_alive(pid));
    drop(sleeper);
    wait_gone(&[pid]).await?;
    let output = folder.join("sh.log");
    let short = Program::new("sh", "sh", &output).args(["-c", "echo heard; exit 3"]).spawn()?;
    assert_eq!(short.wait().await?.code(), Some(3));
    assert_eq!(fs::read_to_string(output)?, "heard\n");
    let absent = Program::new("absent", "/does/not/exist", folder.join("absent.log")).spawn().unwrap_err();
    assert!(format!("{absent:#}").contains("/does/not/exist"), "{absent:#}");
    fs::remove_dir_all(folder).context("removing the test's folder")
}
