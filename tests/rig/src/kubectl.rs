//! The built kubectl, with the administrator's kubeconfig of one cluster.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::control_plane::ControlPlane;
use crate::tools::{Tool, Tools};

/// kubectl for one cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cluster: String,
}

impl Kubectl {
    /// kubectl as the administrator of `cluster`.
    pub fn of(cluster: &ControlPlane, tools: &Tools) -> Result<Self> {
        let program = tools.path(Tool::Kubectl)?.to_owned();
        Ok(Self { program, kubeconfig: cluster.admin_kubeconfig_path(), cluster: cluster.name().to_owned() })
    }

    /// The same cluster as somebody else.
    #[must_use]
    pub fn with_kubeconfig(self, kubeconfig: impl Into<PathBuf>) -> Self {
        Self { kubeconfig: kubeconfig.into(), ..self }
    }

    /// Runs it and returns what it printed; a failure carries the command and what it complained about.
    pub async fn run(&self, args: &[impl AsRef<OsStr>]) -> Result<String> {
        self.run_with_input(args, "").await
    }

    /// The same with `input` on its standard input.
    pub async fn run_with_input(&self, args: &[impl AsRef<OsStr>], input: &str) -> Result<String> {
        let mut child = self.command(args).spawn().with_context(|| format!("starting {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.context("writing to kubectl")?;
        }
        let output = child.wait_with_output().await.context("waiting for kubectl")?;
        if !output.status.success() {
            let line = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
            bail!("`kubectl {line}` on {}: {}", self.cluster, String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("kubectl printed something that is not text")
    }

    /// Runs a line in a shell as a person does who has copied it from somewhere: kubectl is found, and so are the contexts of this
    /// cluster, which is the current one, and of `other`. Returns what was printed.
    pub async fn paste(&self, line: &str, other: &ControlPlane) -> Result<String> {
        let kubeconfigs = std::env::join_paths([self.kubeconfig.clone(), other.admin_kubeconfig_path()])?;
        let own = self.program.parent().context("kubectl is in a folder")?.to_owned();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&inherited)))?;
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", line]).env("PATH", path).env("KUBECONFIG", kubeconfigs);
        shell.env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache")).kill_on_drop(true);
        let output = shell.output().await.context("running a shell")?;
        if !output.status.success() {
            bail!("`{line}` on {}: {}", self.cluster, String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("kubectl printed something that is not text")
    }

    fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--request-timeout=30s"]).args(args);
        // Its cache of API groups is keyed by address, and addresses are used again by other clusters.
        command.arg("--cache-dir").arg(self.kubeconfig.with_file_name("kubectl-cache"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}
