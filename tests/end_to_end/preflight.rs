//! What stands in the way before anything is written is told with its reason and a sentence; mended, it goes on.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::deploy::{KUBECONFIG_KEY, OPERATOR_NAMESPACE, put_kubeconfig};
use rig::setup::{Home, Options};
use serde_json::{Value, json};

use crate::scene::{Scene, proxied, quick, reason_of, unverified};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn away(name: &str) -> Options {
    Options { home: Home::Third, ..proxied(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_reached_is_named_and_waited_for() -> Result<()> {
    let scene = Scene::open(away("unreachable")).await?;
    for (side, faults) in [("source", scene.setup.source_faults()), ("target", scene.setup.target_faults())] {
        let faults = faults.context("a proxy")?;
        faults.refuse();
        let shop = scene.migration(&format!("unreachable-{side}")).begin().await?;
        let reason = if side == "source" { "SourceUnreachable" } else { "TargetUnreachable" };
        let what = format!("The {side} cluster of ClusterPair unreachable does not answer");
        shop.is_told(reason, &what).await?;
        faults.healthy();
        shop.ends(Stage::Completed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_another_identity_than_the_pair_says_is_never_written() -> Result<()> {
    let scene = Scene::open(quick("identity")).await?;
    let real = scene.pairs().await?.get("identity").await?.spec.target.identity;
    change_pair(&scene, "identity", json!({"target": {"identity": NOBODY}})).await?;
    let shop = scene.migration("identity-shop").begin().await?;
    shop.is_told("WrongCluster", &format!("its identity is {real}")).await?;
    change_pair(&scene, "identity", json!({"target": {"identity": real}})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_on_the_source_or_belongs_to_the_cluster_is_refused() -> Result<()> {
    let scene = Scene::open(away("nowhere")).await?;
    let (home, client) = (scene.home().await?, scene.source());
    let shop = scene.migration("nowhere-shop").deploy().await?;
    shop.sample.delete(&client, crate::scene::LIMIT).await?;
    shop.begin().await?;
    shop.is_told("PreflightBlocked", "SourceNamespace: The namespace nowhere-shop is not on the source").await?;
    shop.sample.create_on_source(&client).await?;
    shop.ends(Stage::Completed).await?;

    let migrations: Api<NamespaceMigration> = Api::namespaced(home.admin_client()?, "kube-system");
    let protected: NamespaceMigration = serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {"name": "nowhere", "labels": {rig::setup::LABEL: "nowhere"}}, "spec": {"clusterPair": "nowhere"},
    }))?;
    migrations.create(&PostParams::default(), &protected).await?;
    let refused = async || {
        let found = migrations.get("nowhere").await?;
        Ok((reason_of(&found) == "PreflightBlocked").then_some(found))
    };
    let refused = scene.eventually("the protected namespace being refused", refused).await?;
    let message = refused.status.context("a status")?.message;
    ensure!(message.starts_with("ProtectedNamespace: The namespace kube-system belongs to the cluster"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_host_or_an_acknowledgement_waits_until_it_has_one() -> Result<()> {
    let scene = Scene::open(unverified("blocked")).await?;
    let shop = scene.migration("blocked-shop").service(rig::sample_namespace::SampleNamespace::without_ingress);
    let shop = shop.spec("/preflight", json!({})).begin().await?;
    shop.is_told("PreflightBlocked", "NoIngressWithHost: There is no Ingress in namespace").await?;
    shop.sample.create_ingress(&scene.source()).await?;
    let blocked = shop.is_told("PreflightBlocked", "AnnotationOnly: Nobody asks DNS").await?;
    let status = blocked.status.context("a status")?;
    ensure!(status.unblock.contains("acknowledge AnnotationOnly"), "{}", status.unblock);
    shop.change(json!({"preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "known"}]}})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_is_missing_or_would_run_a_command_is_refused_and_nothing_runs() -> Result<()> {
    let scene = Scene::open(quick("kubeconfig")).await?;
    let (secrets, name) = (kubeconfigs(&scene).await?, "kubeconfig-target");
    let good = secrets.get(name).await?;
    secrets.delete(name, &kube::api::DeleteParams::default()).await?;
    // The operator has connected to nothing yet: connections are made for migrations.
    let shop = scene.migration("kubeconfig-shop").begin().await?;
    let missing = format!("there is no Secret {name} in the operator's namespace {OPERATOR_NAMESPACE}");
    shop.is_told("ClusterRefused", &missing).await?;

    let canary = scene.world.folder().join("exec-canary");
    put_text(&secrets, name, &running_kubeconfig(&good, &canary)?).await?;
    shop.is_told("ClusterRefused", &format!("the kubeconfig in Secret {name} is refused")).await?;
    ensure!(shop.now().await?.status.is_some_and(|status| status.message.contains("exec")), "exec is not named");
    ensure!(!canary.exists(), "the kubeconfig's command was run");

    let access = scene.world.target().service_account(OPERATOR_NAMESPACE, rig::deploy::TARGET_ACCOUNT).await?;
    put_kubeconfig(scene.home().await?, name, &access).await?;
    shop.ends(Stage::Completed).await?;
    ensure!(!canary.exists(), "the kubeconfig's command was run");
    shop.tells_nobody(&access.token).await?;
    shop.keeps_its_promises().await
}

async fn change_pair(scene: &Scene, name: &str, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    scene.pairs().await?.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn kubeconfigs(scene: &Scene) -> Result<Api<Secret>> {
    Ok(Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE))
}

async fn put_text(secrets: &Api<Secret>, name: &str, text: &str) -> Result<()> {
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {KUBECONFIG_KEY: text}}))?;
    secrets.create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// The kubeconfig with a command in place of its credentials, which would leave a file behind.
fn running_kubeconfig(good: &Secret, canary: &Path) -> Result<String> {
    let text = good.data.as_ref().and_then(|data| data.get(KUBECONFIG_KEY)).context("a kubeconfig")?;
    let text = String::from_utf8(text.0.clone())?;
    let token = text.lines().find(|line| line.starts_with("    token: ")).context("a token in the kubeconfig")?;
    let command = format!(
        "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: touch\n      args: [{}]\n      \
         interactiveMode: Never",
        canary.display()
    );
    Ok(text.replace(token, &command))
}
