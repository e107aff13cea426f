//! What surrounds the decisions: endpoints, log lines, and objects that nobody can read.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use namespace_migration::api::Stage;
use rig::operator::Operator;
use rig::setup::{LABEL, Setup};
use rig::world::World;
use serde_json::{Value, json};

use crate::scene::{Scene, proxied, quick};

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_answers_on_its_port_and_logs_one_json_object_per_line() -> Result<()> {
    let scene = Scene::open(quick("shell")).await?;
    let shop = scene.migration("shell-shop").begin().await?;
    shop.ends(Stage::Completed).await?;
    let (user, address) = (scene.setup.user()?, address(&*scene.operator.lock().await)?);
    for path in ["/livez", "/readyz", "/metrics"] {
        let page = user.get(address, "operator", path).await?;
        ensure!(page.status == 200, "{path}: {page:?}");
    }
    ensure!(user.get(address, "operator", "/secrets").await?.status == 404);
    scene.until_metric(r#"nsmig_migrations{stage="Completed"} 1"#).await?;
    scene.until_metric("nsmig_panics_total 0").await?;

    for line in scene.log().await?.lines() {
        let entry: Value = serde_json::from_str(line).with_context(|| format!("a log line is no JSON: {line}"))?;
        for key in ["timestamp", "level", "message", "target"] {
            ensure!(entry[key].is_string(), "{key} is missing: {line}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_home_the_operator_is_alive_but_not_ready() -> Result<()> {
    let world = World::shared().await?;
    let setup = Setup::start(world, proxied("homeless")).await?;
    let home = setup.home_faults().context("a proxy before the home")?;
    home.refuse();
    let operator = Operator::spawn(world.folder(), &setup.operator_options(Some(setup.selector())))?;
    let (user, address) = (setup.user()?, address(&operator)?);
    let alive = async || user.get(address, "operator", "/livez").await.is_ok_and(|page| page.status == 200);
    rig::control_plane::wait_until("/livez answering", crate::scene::LIMIT, alive).await?;
    ensure!(user.get(address, "operator", "/readyz").await?.status == 503, "ready without its home");
    home.healthy();
    operator.wait_ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_does_not_stop_the_others() -> Result<()> {
    let scene = Scene::open(quick("poison")).await?;
    let (good, bad) =
        futures::try_join!(scene.migration("poison-good").deploy(), scene.migration("poison-bad").deploy())?;
    let kind = GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "NamespaceMigration");
    let poison: Api<DynamicObject> = Api::namespaced_with(scene.source(), bad.name(), &ApiResource::from_gvk(&kind));
    let object = serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {"name": "poison-bad", "labels": {LABEL: "poison"}}, "spec": {"clusterPair": "nobody"},
    }))?;
    poison.create(&PostParams::default(), &object).await?;
    // A time to the schema of the API server, and to nobody else: what another version of the operator may leave behind.
    let status = Patch::Merge(json!({"status": {"stageStartedAt": "2026-11-21T00:00:00x5Z"}}));
    let writer: Api<DynamicObject> =
        Api::namespaced_with(scene.home().await?.operator_client()?, bad.name(), &ApiResource::from_gvk(&kind));
    writer.patch_status("poison-bad", &PatchParams::default(), &status).await?;
    scene.crash_and_restart().await?;
    good.begin().await?;
    good.ends(Stage::Completed).await?;
    scene.until_logged("poison-bad", "an object cannot be read").await
}

fn address(operator: &Operator) -> Result<SocketAddr> {
    operator.url().strip_prefix("http://").context("an address")?.parse().context("an address")
}
