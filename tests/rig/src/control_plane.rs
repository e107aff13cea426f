//! A Kubernetes control plane made of the real programs, on free ports of 127.0.0.1.

mod files;
mod programs;
mod ready;
mod references;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::files::{Files, Identity};
use self::programs::Place;
pub use self::ready::{wait_until, while_alive};
use crate::child::{Child, Program};
use crate::deploy::OPERATOR_NAMESPACE;
use crate::kubeconfig::Access;
use crate::ports::free_port;
use crate::progress::say;
use crate::tools::{Tool, Tools};

/// Ten times what it takes on an idle machine; several of them may start on a busy one.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longer than any test or demo.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// One running control plane. Dropping it kills its programs.
pub struct ControlPlane {
    name: String,
    files: Files,
    etcd: Child,
    api_server_program: Program,
    api_server: Mutex<Child>,
    workloads: Vec<Child>,
    references: JoinHandle<()>,
    not_run: Vec<String>,
}

impl ControlPlane {
    /// Starts etcd and the API server and, as soon as that is ready, everything else; files and logs go to `folder`.
    ///
    /// On return the API server is ready and a Node is registered; workloads become ready a moment later.
    pub async fn start(name: &str, folder: &Path, tools: &Tools) -> Result<Self> {
        let (etcd_port, port) = (free_port()?, free_port()?);
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let files = Files::write(folder, name, format!("https://127.0.0.1:{port}"))?;
        let place = Place { cluster: name, files: &files, tools };
        let etcd = place.etcd(&etcd_url)?.spawn()?;
        // The API server tries etcd once a second: one connection that is refused costs a second.
        ready::while_alive(&etcd, START_LIMIT, || ready::accepts(etcd_port)).await?;
        let api_server_program = place.api_server(&etcd_url, port)?;
        let api_server = api_server_program.spawn()?;
        let client = files.access(Identity::Kubelet).client()?;
        ready::while_alive(&api_server, START_LIMIT, || ready::api_server_is_ready(&client)).await?;
        let (workloads, not_run) = start_workload_programs(&place)?;
        register_node(&client, name).await?;
        let references = tokio::spawn(references::watch(client));
        let api_server = Mutex::new(api_server);
        Ok(Self { name: name.to_owned(), files, etcd, api_server_program, api_server, workloads, references, not_run })
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What does not run here (no Go to build it), with the reason; without these no Pod becomes ready.
    pub fn not_run(&self) -> &[String] {
        &self.not_run
    }

    /// The API server's address.
    pub fn server_url(&self) -> String {
        self.administrator().server
    }

    /// The root that signed the API server's certificate, as PEM.
    pub fn ca_pem(&self) -> String {
        self.administrator().ca_pem
    }

    /// The recording of every request: `audit.k8s.io/v1` events as JSON lines.
    pub fn audit_log(&self) -> PathBuf {
        self.files.path("audit.log")
    }

    /// Address, root and token of the administrator.
    pub fn administrator(&self) -> Access {
        self.files.access(Identity::Administrator)
    }

    /// A new client of the administrator, for the async runtime that is running now.
    pub fn admin_client(&self) -> Result<Client> {
        self.administrator().client()
    }

    /// A client with the rights of an administrator and the name of an account of the operator's: only those write the status of its kinds.
    pub fn operator_client(&self) -> Result<Client> {
        self.administrator().client_as(&format!("system:serviceaccount:{OPERATOR_NAMESPACE}:rig"), &["system:masters"])
    }

    /// The administrator's kubeconfig (YAML, everything inline).
    pub fn admin_kubeconfig(&self) -> Result<String> {
        self.administrator().kubeconfig(&self.name)
    }

    /// The same as a file.
    pub fn admin_kubeconfig_path(&self) -> PathBuf {
        self.files.kubeconfig_path(Identity::Administrator)
    }

    /// Address, root and a fresh token of a `ServiceAccount` (`TokenRequest` API, valid for a day).
    ///
    /// Change `server` and `ca_pem` of the answer to send its user through a proxy.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client()?, namespace);
        let request: TokenRequest =
            serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": TOKEN_SECONDS}}))?;
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let answer = answer.with_context(|| {
            format!("asking {} for a token of ServiceAccount {namespace}/{name}: does it exist?", self.name)
        })?;
        let token = answer.status.context("the API server answered a TokenRequest without a token")?.token;
        Ok(Access { token, ..self.administrator() })
    }

    /// A kubeconfig (YAML, everything inline) with a fresh token of a `ServiceAccount`.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<String> {
        self.service_account(namespace, name).await?.kubeconfig(&self.name)
    }

    /// A hung API server: it keeps its connections and answers nothing until [`Self::resume`].
    pub async fn pause(&self) -> Result<()> {
        self.api_server.lock().await.signal(Signal::STOP)
    }

    /// Ends [`Self::pause`].
    pub async fn resume(&self) -> Result<()> {
        self.api_server.lock().await.signal(Signal::CONT)
    }

    /// A dead API server: SIGKILL, connections are refused until [`Self::start_api_server`].
    pub async fn kill_api_server(&self) -> Result<()> {
        self.api_server.lock().await.kill().await
    }

    /// Brings the API server back on the same port with the same data, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        let mut running = self.api_server.lock().await;
        running.kill().await?;
        *running = self.api_server_program.spawn()?;
        let client = self.admin_client()?;
        ready::while_alive(&running, START_LIMIT, || ready::api_server_is_ready(&client)).await
    }

    /// The process id of the API server.
    pub async fn api_server_pid(&self) -> u32 {
        self.api_server.lock().await.pid()
    }

    /// The ids of the running programs, for whoever checks that nothing is left.
    pub async fn pids(&self) -> Vec<u32> {
        let api_server = self.api_server.lock().await.pid();
        self.workloads.iter().chain([&self.etcd]).map(Child::pid).chain([api_server]).collect()
    }

    /// Ends every program and waits until each is gone.
    pub async fn stop(self) -> Result<()> {
        self.references.abort();
        let api_server = self.api_server.lock().await;
        let mut ends: Vec<_> = self.workloads.iter().map(Child::kill).collect();
        ends.extend([api_server.kill(), self.etcd.kill()]);
        futures::future::try_join_all(ends).await.with_context(|| format!("stopping {}", self.name)).map(|_| ())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.references.abort();
    }
}

/// Starts what makes workloads run; what cannot run here is named with its reason, not silently left out.
fn start_workload_programs(place: &Place<'_>) -> Result<(Vec<Child>, Vec<String>)> {
    let (mut running, mut not_run) = (Vec::new(), Vec::new());
    let programs = [
        (Tool::ControllerManager, place.controller_manager()),
        (Tool::Scheduler, place.scheduler()),
        (Tool::Kwok, place.kwok()),
    ];
    for (tool, program) in programs {
        match (place.tools.path(tool), program) {
            (Ok(_), program) => running.push(program?.spawn()?),
            (Err(reason), _) => not_run.push(reason.to_string()),
        }
    }
    for reason in &not_run {
        say(format!("{}: {reason}", place.cluster));
    }
    Ok((running, not_run))
}

/// kwok fills in the status; the size is far more than any test uses.
async fn register_node(client: &Client, cluster: &str) -> Result<()> {
    let size = json!({"cpu": "1000", "memory": "1000Gi", "ephemeral-storage": "1000Gi", "pods": "100000"});
    let node: Node = serde_json::from_value(json!({
        "metadata": {
            "name": format!("{cluster}-node"),
            "labels": {"kubernetes.io/hostname": format!("{cluster}-node"), "kubernetes.io/os": "linux"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"capacity": size, "allocatable": size},
    }))?;
    let created = Api::<Node>::all(client.clone()).create(&PostParams::default(), &node).await;
    created.with_context(|| format!("registering the Node of {cluster}")).map(|_| ())
}
