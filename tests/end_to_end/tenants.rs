//! A team that may edit what is in its namespace, and nothing else.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use namespace_migration::api::{ClusterPair, NamespaceMigration, Stage};
use rig::deploy::OPERATOR_NAMESPACE;
use serde_json::{Value, json};

use crate::scene::{Scene, holds_step, quick};

const TENANT: &str = "somebody-of-the-shop";

fn is_forbidden<T>(asked: &str, answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{asked}: expected 403")),
        Ok(_) => anyhow::bail!("{asked}: it was allowed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_may_order_hold_and_send_back_its_own_migration_and_nothing_beyond() -> Result<()> {
    let scene = Scene::open(quick("tenants")).await?;
    let shop = scene.migration("tenants-shop").steps(&[(10, "10m"), (100, "1s")]).deploy().await?;
    let home = scene.home().await?;
    let tenant: Client = home.administrator().client_as(TENANT, &["system:authenticated"])?;
    // Kubernetes adds these two to its roles `view` and `edit`, which is a controller's work that the rig does without.
    for role in ["namespace-migration-view", "namespace-migration-edit"] {
        let binding: RoleBinding = serde_json::from_value(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TENANT}],
        }))?;
        Api::namespaced(home.admin_client()?, shop.name()).create(&PostParams::default(), &binding).await?;
    }

    let own: Api<NamespaceMigration> = Api::namespaced(tenant.clone(), shop.name());
    shop.begin_as(own.clone()).await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let merge = PatchParams::default();
    let status = Patch::Merge(json!({"status": {"stage": "Completed"}}));
    is_forbidden("its own status", own.patch_status(shop.name(), &merge, &status).await)?;
    let pairs: Api<ClusterPair> = Api::all(tenant.clone());
    let everything = Patch::Merge(json!({"spec": {"allowedNamespaces": ["*"]}}));
    is_forbidden("the pair", pairs.patch("tenants", &merge, &everything).await)?;
    let owing = Patch::Merge(json!({"status": {"leftovers": []}}));
    is_forbidden("the status of the pair", pairs.patch_status("tenants", &merge, &owing).await)?;
    let secrets: Api<Secret> = Api::namespaced(tenant.clone(), OPERATOR_NAMESPACE);
    is_forbidden("the kubeconfig", secrets.get(&scene.setup.kubeconfig_secret("target")).await)?;
    let others: Api<NamespaceMigration> = Api::namespaced(tenant.clone(), "default");
    is_forbidden("another namespace", others.create(&PostParams::default(), &shop.now().await?).await)?;

    let back: Value = json!({"metadata": {"annotations": {"namespacemigration.io/rollback-requested": "team"}}});
    own.patch(shop.name(), &merge, &Patch::Merge(back)).await.context("sending it back")?;
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}
