//! The real programs: built once from pinned Go modules and cached outside the repository, or taken from
//! `KUBEBUILDER_ASSETS`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::child::Program;
use crate::progress::say;

const GO_MOD: &str = include_str!("../tools/go.mod");
const GO_SUM: &str = include_str!("../tools/go.sum");
/// kubectl refuses to compare versions that it cannot parse, and a plain `go build` leaves the version empty.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
     -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
/// The folder that Kubernetes' own test tools use for etcd, kube-apiserver and kubectl.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// A program of the rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The API server's database.
    Etcd,
    /// The API server.
    ApiServer,
    /// Deployments, namespaces, service accounts, garbage collection.
    ControllerManager,
    /// Binds Pods to the Node.
    Scheduler,
    /// The command line.
    Kubectl,
    /// Nodes and Pods that become ready without a kubelet.
    Kwok,
    /// Publishes Ingresses in Route 53.
    ExternalDns,
}

impl Tool {
    /// Every program, the ones without which nothing runs first.
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::ApiServer,
        Self::Kubectl,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
        Self::ExternalDns,
    ];

    /// The program's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::ExternalDns => "external-dns",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::ApiServer => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Scheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::ExternalDns => "sigs.k8s.io/external-dns",
        }
    }

    fn is_an_asset(self) -> bool {
        matches!(self, Self::Etcd | Self::ApiServer | Self::Kubectl)
    }
}

/// Where each program is, or why it cannot run here.
#[derive(Clone, Debug)]
pub struct Tools {
    programs: BTreeMap<Tool, Result<PathBuf, String>>,
}

impl Tools {
    /// Finds every program and builds what is missing, telling the person who waits what is being built.
    ///
    /// Fails when a build fails. A program that cannot be had here (no Go) is not a failure yet: [`Self::path`] says
    /// why, and [`Self::not_run`] lists what therefore does not run.
    pub async fn prepare() -> Result<Self> {
        let mut programs = assets()?;
        let cache = cache_folder()?;
        let missing: Vec<Tool> = Tool::ALL.into_iter().filter(|tool| !programs.contains_key(tool)).collect();
        if missing.iter().all(|tool| cache.join(tool.file_name()).is_file()) {
            programs.extend(missing.into_iter().map(|tool| (tool, Ok(cache.join(tool.file_name())))));
            return Ok(Self { programs });
        }
        match go_version() {
            Ok(go) => programs.extend(build(&cache, &missing, &go).await?),
            Err(reason) => programs.extend(missing.into_iter().map(|tool| (tool, Err(reason.clone())))),
        }
        Ok(Self { programs })
    }

    /// The path of a program, or the reason why it cannot run.
    pub fn path(&self, tool: Tool) -> Result<&Path> {
        match self.programs.get(&tool) {
            Some(Ok(path)) => Ok(path),
            Some(Err(reason)) => bail!("not run: {}: {reason}", tool.file_name()),
            None => bail!("not run: {}: it was not looked for", tool.file_name()),
        }
    }

    /// One sentence for each program that does not run here, with the reason.
    pub fn not_run(&self) -> Vec<String> {
        Tool::ALL.into_iter().filter_map(|tool| self.path(tool).err()).map(|error| error.to_string()).collect()
    }
}

type Found = BTreeMap<Tool, Result<PathBuf, String>>;

fn assets() -> Result<Found> {
    let Some(folder) = std::env::var_os(ASSETS).map(PathBuf::from) else { return Ok(Found::new()) };
    let tools = Tool::ALL.into_iter().filter(|tool| tool.is_an_asset());
    tools.map(|tool| Ok((tool, Ok(asset(&folder, tool)?)))).collect()
}

fn asset(folder: &Path, tool: Tool) -> Result<PathBuf> {
    let path = folder.join(tool.file_name());
    if !path.is_file() {
        bail!("{ASSETS} is {}, but there is no {} in it: add it, or unset {ASSETS}", folder.display(), path.display());
    }
    Ok(path)
}

/// `<the user's cache folder>/namespace-migration/rig/<hash>`: every checkout that pins the same modules shares it.
fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => folder,
        _ => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("namespace-migration").join("rig").join(modules_hash()))
}

fn modules_hash() -> String {
    let mut hash = Sha256::new();
    for part in [GO_MOD, GO_SUM, LINKER_FLAGS] {
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let start: [u8; 8] = std::array::from_fn(|index| digest[index]);
    format!("{:016x}", u64::from_be_bytes(start))
}

fn go_version() -> Result<String, String> {
    let help = "install Go (https://go.dev/dl), or set KUBEBUILDER_ASSETS to run the API servers alone";
    match std::process::Command::new("go").arg("version").output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => Err(format!("`go version` failed: {}; {help}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("it is built with Go, and `go` cannot be started ({error}); {help}")),
    }
}

async fn build(cache: &Path, tools: &[Tool], go: &str) -> Result<Found> {
    let module = cache.join("module");
    fs::create_dir_all(&module).with_context(|| format!("creating {}", module.display()))?;
    let _lock = lock(&cache.join("lock")).await?;
    fs::write(module.join("go.mod"), GO_MOD).context("writing go.mod")?;
    fs::write(module.join("go.sum"), GO_SUM).context("writing go.sum")?;
    say(format!("building {} programs once into {} with {go}", tools.len(), cache.display()));
    let mut built = Found::new();
    for (index, tool) in tools.iter().enumerate() {
        let path = cache.join(tool.file_name());
        if !path.is_file() {
            build_one(cache, *tool, &format!("{} of {}", index + 1, tools.len())).await?;
        }
        built.insert(*tool, Ok(path));
    }
    Ok(built)
}

/// Two runs at once must not build the same thing twice; the lock ends with its holder, even if that is killed.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    say("another run is building the programs; waiting for it");
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?;
    locked.with_context(|| format!("locking {}", path.display()))
}

/// Builds beside the final place and renames: a file at the final place is always whole.
async fn build_one(cache: &Path, tool: Tool, position: &str) -> Result<()> {
    let name = tool.file_name();
    let unfinished = cache.join(format!("{name}.unfinished"));
    let log = cache.join(format!("{name}.log"));
    let output = unfinished.display().to_string();
    let program = Program::new(format!("go build of {name}"), "go", &log)
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", LINKER_FLAGS, "-o", &output, tool.package()])
        .in_folder(cache.join("module"));
    let started = Instant::now();
    let child = program.spawn()?;
    let status = loop {
        match tokio::time::timeout(REPORT_EVERY, child.wait()).await {
            Ok(status) => break status?,
            Err(_) => say(format!("  {name} ({position}): {} s so far", started.elapsed().as_secs())),
        }
    };
    if !status.success() {
        bail!(program.explain("failed"));
    }
    fs::rename(&unfinished, cache.join(name)).with_context(|| format!("putting {name} into the cache"))?;
    say(format!("  {name} ({position}): built in {} s", started.elapsed().as_secs()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_keyed_by_the_pinned_modules() {
        assert_eq!(modules_hash().len(), 16);
        assert!(GO_MOD.contains("k8s.io/kubernetes v1.36.3"), "the version in the linker flags is that of the module");
    }

    #[test]
    fn every_program_is_a_tool_of_the_module_file() {
        for tool in Tool::ALL {
            assert!(GO_MOD.contains(tool.package()), "{} is not in tools/go.mod", tool.package());
        }
    }

    #[test]
    fn a_program_that_cannot_run_says_why() {
        let tools = Tools { programs: BTreeMap::from([(Tool::Kwok, Err("no Go".to_owned()))]) };
        assert_eq!(tools.path(Tool::Kwok).unwrap_err().to_string(), "not run: kwok: no Go");
    }
}
