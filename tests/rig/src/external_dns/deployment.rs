//! The Deployment that an external-dns seems to be of: its arguments and replicas say what the process does, as in a real
//! cluster. Its Pods are kwok's and run nothing.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::account::NAMESPACE;
use crate::kubeconfig::Access;

const IMAGE: &str = "registry.k8s.io/external-dns/external-dns:v0.22.0";

/// Writes it, as its owner does who has changed the arguments or scaled it.
pub(super) async fn put(administrator: &Access, name: &str, arguments: &[String], replicas: u32) -> Result<()> {
    let labels = json!({"app.kubernetes.io/name": "external-dns", "app.kubernetes.io/instance": name});
    let container = json!({"name": "external-dns", "image": IMAGE, "args": arguments});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"serviceAccountName": name, "containers": [container]},
            },
        },
    });
    let deployments: Api<Deployment> = Api::namespaced(administrator.client()?, NAMESPACE);
    let params = PatchParams::apply("platform-admin").force();
    let written = deployments.patch(name, &params, &Patch::Apply(&deployment)).await;
    written.with_context(|| format!("writing Deployment {NAMESPACE}/{name}")).map(|_| ())
}
