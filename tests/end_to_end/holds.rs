//! What a hold has watched counts, whatever happens to the one who watches: a hold is not begun anew.

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use namespace_migration::api::status::StepProgress;
use namespace_migration::api::{ClusterPair, NamespaceMigration, Stage};
use rig::deploy::OPERATOR_NAMESPACE;
use rig::progress::say;
use serde_json::json;

use crate::scene::{Migration, Scene, holds_step, quick};

/// So much of the hold has passed when something happens.
const STRETCH: SignedDuration = SignedDuration::from_secs(6);

fn step(found: &NamespaceMigration) -> Option<&StepProgress> {
    found.status.as_ref()?.step.as_ref()
}

/// A migration that holds 10 percent, and since when its clock runs.
async fn holding<'a>(scene: &'a Scene, name: &str) -> Result<(Migration<'a>, Timestamp)> {
    let shop = scene.migration(name).steps(&[(10, "20s"), (100, "1s")]).begin().await?;
    let runs = |found: &NamespaceMigration| {
        holds_step(found, 1) && step(found).is_some_and(|step| step.running_since.is_some())
    };
    let held = shop.until("a hold whose clock runs", runs).await?;
    let since = step(&held).and_then(|step| step.running_since.as_ref()).context("since when it runs")?.0;
    Ok((shop, since))
}

/// Waits until the operator has renewed its Lease so long after `since`.
async fn lives_until(scene: &Scene, since: Timestamp) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let renewed = async || {
        let spec = leases.get(scene.setup.name()).await?.spec;
        let at = spec.and_then(|spec| spec.renew_time).context("a time of renewal")?.0;
        Ok((at.duration_since(since) >= STRETCH).then_some(()))
    };
    scene.eventually("a renewal of the Lease late in the hold", renewed).await
}

/// What was held is saved, the first step is held to its end, and it ends well.
async fn goes_on_with_what_it_has(shop: &Migration<'_>) -> Result<()> {
    let least = i64::try_from(STRETCH.as_millis())?;
    let saved =
        |found: &NamespaceMigration| step(found).is_some_and(|step| step.index == 0 && step.held_millis >= least);
    let found = shop.until("the stretch that was watched, saved", saved).await?;
    say(format!("held before: {:?} ms", step(&found).map(|step| step.held_millis)));
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_watched_of_a_hold_counts_after_it_was_killed() -> Result<()> {
    let scene = Scene::open(quick("hold-killed")).await?;
    let (shop, since) = holding(&scene, "hold-killed").await?;
    lives_until(&scene, since).await?;
    scene.crash_and_restart().await?;
    goes_on_with_what_it_has(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_watched_of_a_hold_counts_after_an_edit_of_the_pair_that_connects_anew() -> Result<()> {
    let scene = Scene::open(quick("hold-edited")).await?;
    let (shop, since) = holding(&scene, "hold-edited").await?;
    lives_until(&scene, since).await?;
    let (client, old) = (scene.home().await?.admin_client()?, scene.setup.kubeconfig_secret("target"));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let mut copy = secrets.get(&old).await?;
    let name = format!("{old}-moved");
    copy.metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    secrets.create(&PostParams::default(), &copy).await?;
    let edit = json!({"spec": {"target": {"connection": {"kubeconfig": {"secretName": name}}}}});
    let pairs: Api<ClusterPair> = Api::all(client);
    pairs.patch(scene.setup.name(), &PatchParams::default(), &Patch::Merge(edit)).await?;
    goes_on_with_what_it_has(&shop).await?;
    ensure!(scene.log().await?.contains(&name), "the other Secret was never used");
    Ok(())
}
