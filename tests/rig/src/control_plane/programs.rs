//! The command lines of a control plane's programs.

use std::path::Path;

use anyhow::Result;

use super::files::{Files, Identity};
use crate::child::Program;
use crate::tools::{Tool, Tools};

/// Where a program writes, and what it is called in messages.
pub(super) struct Place<'a> {
    pub(super) cluster: &'a str,
    pub(super) files: &'a Files,
    pub(super) tools: &'a Tools,
}

impl Place<'_> {
    fn program(&self, tool: Tool) -> Result<Program> {
        let name = format!("{} of {}", tool.file_name(), self.cluster);
        let log = self.files.path(&format!("{}.log", tool.file_name()));
        Ok(Program::new(name, self.tools.path(tool)?, log))
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        path_flag(flag, &self.files.path(file))
    }

    /// Data is lost when the machine stops, which is fine here; with `fsync` every write would wait for the disk.
    pub(super) fn etcd(&self, url: &str) -> Result<Program> {
        let args = [
            self.flag("--data-dir", "etcd"),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            // Nothing ever connects to a single member as a peer.
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        Ok(self.program(Tool::Etcd)?.args(args))
    }

    pub(super) fn api_server(&self, etcd: &str, port: u16) -> Result<Program> {
        let files = [
            self.flag("--cert-dir", "certificates"),
            self.flag("--tls-cert-file", "server.pem"),
            self.flag("--tls-private-key-file", "server-key.pem"),
            self.flag("--service-account-key-file", "service-account.pem"),
            self.flag("--service-account-signing-key-file", "service-account-key.pem"),
            self.flag("--token-auth-file", "tokens.csv"),
            self.flag("--audit-policy-file", "audit-policy.yaml"),
            self.flag("--audit-log-path", "audit.log"),
        ];
        // Most of the processor time of all tests is the API servers', and a quarter of theirs would be spent on collecting garbage.
        let program = self.program(Tool::ApiServer)?.env("GOGC", "500").args(files).args(API_SERVER);
        Ok(program.args([format!("--etcd-servers={etcd}"), format!("--secure-port={port}")]))
    }

    pub(super) fn controller_manager(&self) -> Result<Program> {
        let kubeconfig = path_flag("--kubeconfig", &self.files.kubeconfig_path(Identity::ControllerManager));
        let program = self.program(Tool::ControllerManager)?.args(CONTROLLER_MANAGER);
        let keys = self.flag("--service-account-private-key-file", "service-account-key.pem");
        Ok(program.args([kubeconfig, keys, self.flag("--root-ca-file", "ca.pem")]))
    }

    pub(super) fn scheduler(&self) -> Result<Program> {
        let kubeconfig = path_flag("--kubeconfig", &self.files.kubeconfig_path(Identity::Scheduler));
        Ok(self.program(Tool::Scheduler)?.args([kubeconfig]).args(SCHEDULER))
    }

    pub(super) fn kwok(&self) -> Result<Program> {
        let kubeconfig = path_flag("--kubeconfig", &self.files.kubeconfig_path(Identity::Kwok));
        let config = self.flag("--config", "kwok-stages.yaml");
        let args = ["--manage-all-nodes", "--node-lease-duration-seconds=0", "--cidr=10.244.0.0/16"];
        Ok(self.program(Tool::Kwok)?.args([kubeconfig, config]).args(args))
    }
}

fn path_flag(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}

const API_SERVER: [&str; 14] = [
    "--bind-address=127.0.0.1",
    "--authorization-mode=RBAC",
    "--service-cluster-ip-range=10.96.0.0/12",
    "--service-account-issuer=https://kubernetes.default.svc",
    // The reconciler would refuse a loopback address as an endpoint of the Service `kubernetes`.
    "--endpoint-reconciler-type=none",
    "--allow-privileged=true",
    "--profiling=false",
    // A write that the audit log has not recorded has not happened.
    "--audit-log-mode=blocking",
    "--audit-log-format=json",
    // Megabytes; never rotated, so that a recording is one file.
    "--audit-log-maxsize=100000",
    // Without a node-lifecycle controller nobody would take the not-ready taint away again.
    "--disable-admission-plugins=TaintNodesByCondition",
    "--event-ttl=1h",
    "--max-requests-inflight=800",
    "--max-mutating-requests-inflight=400",
];

const CONTROLLER_MANAGER: [&str; 7] = [
    // A control plane whose API server was paused for a minute must not evict every Pod.
    "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
    "--leader-elect=false",
    "--secure-port=0",
    "--profiling=false",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--concurrent-namespace-syncs=20",
];

const SCHEDULER: [&str; 5] =
    ["--leader-elect=false", "--secure-port=0", "--profiling=false", "--kube-api-qps=500", "--kube-api-burst=1000"];
