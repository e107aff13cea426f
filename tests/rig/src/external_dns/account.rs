//! The identity of an external-dns on its cluster, with what `--source=ingress` needs and nothing else.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::kubeconfig::Access;

/// Where they all seem to run.
pub(super) const NAMESPACE: &str = "external-dns";
/// Of the role, which all of them share.
const ROLE: &str = "external-dns";

/// Creates the account `name`; twice is as good as once.
pub(super) async fn create(cluster: &ControlPlane, name: &str) -> Result<Access> {
    let client = cluster.admin_client()?;
    put::<Namespace>(&Api::all(client.clone()), NAMESPACE, json!({"apiVersion": "v1", "kind": "Namespace"})).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    put(&accounts, name, json!({"apiVersion": "v1", "kind": "ServiceAccount"})).await?;
    put::<ClusterRole>(&Api::all(client.clone()), ROLE, role()).await?;
    put::<ClusterRoleBinding>(&Api::all(client), &format!("external-dns-{name}"), binding(name)).await?;
    cluster.service_account(NAMESPACE, name).await
}

/// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/charts/external-dns/templates/clusterrole.yaml>, for
/// Ingresses, and for events (`--events-emit`).
fn role() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ]})
}

fn binding(name: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]})
}

async fn put<K>(api: &Api<K>, name: &str, mut object: Value) -> Result<()>
where
    K: serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    object["metadata"] = json!({"name": name});
    let written = api.patch(name, &PatchParams::apply("platform-admin").force(), &Patch::Apply(&object)).await;
    written.with_context(|| format!("writing {} {name} for external-dns", object["kind"])).map(|_| ())
}
