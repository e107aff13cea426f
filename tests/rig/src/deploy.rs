//! Installs what the repository's `deploy/` ships, as a platform engineer would: `kubectl kustomize`, `kubectl apply`.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::kubeconfig::Access;
use crate::kubectl::Kubectl;
use crate::world::World;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

/// Where the operator and the kubeconfig Secrets live.
pub const OPERATOR_NAMESPACE: &str = "namespace-migration";
/// The operator's `ServiceAccount` on its home cluster.
pub const OPERATOR_ACCOUNT: &str = "namespace-migration";
/// The `ServiceAccount` that the operator uses on a source cluster that is not its home.
pub const SOURCE_ACCOUNT: &str = "namespace-migration-source";
/// The `ServiceAccount` that the operator uses on a target cluster.
pub const TARGET_ACCOUNT: &str = "namespace-migration-target";
/// The key of a kubeconfig in its Secret when a `ClusterPair` names none.
pub const KUBECONFIG_KEY: &str = "kubeconfig";

/// The operator itself runs as a child process of the rig, so the Deployment is installed with no replicas: kwok would
/// show a Pod that runs nothing.
const WITHOUT_REPLICAS: &str = "patches:
  - target: {kind: Deployment}
    patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 0}]'
";

/// Overlays written by this process so far.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// The folder of this checkout.
pub fn checkout() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    Ok(root.context("the rig's folder has no checkout around it")?.to_owned())
}

/// Installs the operator's parts with the source as its home: the default installation, and the target's identity.
pub async fn install_on_source(world: &World) -> Result<()> {
    let deploy = checkout()?.join("deploy");
    futures::future::try_join(
        install(world, world.source(), &deploy.join("home-on-source")),
        install(world, world.target(), &deploy.join("target")),
    )
    .await
    .map(|_| ())
}

/// Installs the operator's parts with a third cluster as its home, and an identity on source and target.
pub async fn install_on_home(world: &World) -> Result<()> {
    let deploy = checkout()?.join("deploy");
    futures::future::try_join3(
        install(world, world.home().await?, &deploy.join("base")),
        install(world, world.source(), &deploy.join("source")),
        install(world, world.target(), &deploy.join("target")),
    )
    .await
    .map(|_| ())
}

/// Installs the operator's parts with the target as its home, and an identity on the source.
pub async fn install_on_target(world: &World) -> Result<()> {
    let deploy = checkout()?.join("deploy");
    futures::future::try_join(
        install(world, world.target(), &deploy.join("home-on-target")),
        install(world, world.source(), &deploy.join("source")),
    )
    .await
    .map(|_| ())
}

/// Applies a kustomization and waits until the API server serves the kinds that it defines. Twice is as good as once.
pub async fn install(world: &World, cluster: &ControlPlane, kustomization: &Path) -> Result<()> {
    let kubectl = Kubectl::of(cluster, world.tools())?;
    let overlay = write_overlay(&world.folder().join(cluster.name()), kustomization)?;
    let manifests = kubectl.run(&[Path::new("kustomize"), &overlay]).await?;
    kubectl.run_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &manifests).await?;
    if manifests.contains("kind: CustomResourceDefinition") {
        kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]).await?;
    }
    Ok(())
}

/// kustomize wants bases as relative paths.
fn write_overlay(cluster_folder: &Path, kustomization: &Path) -> Result<PathBuf> {
    let base = kustomization.canonicalize().with_context(|| format!("finding {}", kustomization.display()))?;
    let name = base.file_name().context("a kustomization is a folder")?.to_string_lossy().into_owned();
    let overlay = cluster_folder.join("overlays").join(&name);
    fs::create_dir_all(&overlay).with_context(|| format!("creating {}", overlay.display()))?;
    let overlay = overlay.canonicalize()?;
    let resources = relative(&overlay, &base);
    let text = format!("resources:\n  - {}\n{WITHOUT_REPLICAS}", resources.display());
    // Put in place in one piece: another setup of this world may be reading it.
    let draft = cluster_folder.join("overlays").join(format!("{name}-{}", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    fs::write(&draft, text).context("writing an overlay")?;
    fs::rename(&draft, overlay.join("kustomization.yaml")).context("putting an overlay in place")?;
    Ok(overlay)
}

/// The way from one absolute folder to another.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// Puts a kubeconfig into the Secret `name` of the operator's namespace on its home cluster, as a platform admin does
/// before creating the `ClusterPair` that names it.
pub async fn put_kubeconfig(home: &ControlPlane, name: &str, access: &Access) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(home.admin_client()?, OPERATOR_NAMESPACE);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
        "stringData": {KUBECONFIG_KEY: access.kubeconfig("remote")?}});
    let written = secrets.patch(name, &PatchParams::apply("platform-admin").force(), &Patch::Apply(&secret)).await;
    written.with_context(|| format!("writing Secret {OPERATOR_NAMESPACE}/{name} on {}", home.name())).map(|_| ())
}

/// Lets the operator's account use the Lease `name`, as a platform admin does who runs several operators beside each other:
/// the role that is shipped names one Lease.
pub async fn allow_lease(home: &ControlPlane, name: &str) -> Result<()> {
    let (client, params) = (home.admin_client()?, PatchParams::apply("platform-admin").force());
    let (lease, name) = (name, format!("lease-{name}"));
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": [{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [lease],
        "verbs": ["get", "update"],
    }]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR_ACCOUNT, "namespace": OPERATOR_NAMESPACE}]});
    let roles: Api<Role> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let bindings: Api<RoleBinding> = Api::namespaced(client, OPERATOR_NAMESPACE);
    roles.patch(&name, &params, &Patch::Apply(&role)).await.with_context(|| format!("writing Role {name}"))?;
    bindings.patch(&name, &params, &Patch::Apply(&binding)).await.with_context(|| format!("binding Role {name}"))?;
    Ok(())
}

/// What a `ClusterPair` pins a cluster by: the UID of its namespace `kube-system`.
pub async fn identity(cluster: &ControlPlane) -> Result<String> {
    let namespace = Api::<Namespace>::all(cluster.admin_client()?).get("kube-system").await;
    let namespace = namespace.with_context(|| format!("reading namespace kube-system of {}", cluster.name()))?;
    namespace.uid().with_context(|| format!("namespace kube-system of {} has no uid", cluster.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_named_by_the_way_to_it() {
        assert_eq!(relative(Path::new("/a/b/c/d"), Path::new("/a/x/y")), Path::new("../../../x/y"));
        assert_eq!(relative(Path::new("/a/b"), Path::new("/a/b/c")), Path::new("c"));
    }
}
