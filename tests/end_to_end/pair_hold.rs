//! A `ClusterPair` that somebody deletes stays while it is needed.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use kube_runtime::wait::{await_condition, conditions};
use namespace_migration::api::{PAIR_FINALIZER, Stage};

use crate::deletion::{delete, gone, short, until_pair};
use crate::scene::{Scene, unverified};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// Deletes the scene's pair as a person does. Returns its UID.
async fn delete_pair(scene: &Scene) -> Result<String> {
    let (pairs, name) = (scene.pairs().await?, scene.setup.name());
    let uid = pairs.get(name).await?.uid().context("a uid")?;
    pairs.delete(name, &DeleteParams::default()).await?;
    Ok(uid)
}

async fn pair_is_gone(scene: &Scene, uid: &str) -> Result<()> {
    let waited = await_condition(scene.pairs().await?, scene.setup.name(), conditions::is_deleted(uid));
    let waited = tokio::time::timeout(SOON, waited).await.context("the pair does not go")?;
    Ok(waited.map(drop)?)
}

/// What the pair's condition `Deleting` says, once it says this.
async fn says_why(scene: &Scene, reason: &str) -> Result<String> {
    let found = until_pair(scene, reason, |pair| {
        pair.conditions.iter().any(|condition| condition.type_ == "Deleting" && condition.reason == reason)
    });
    let found = found.await?.conditions.into_iter().find(|condition| condition.type_ == "Deleting");
    Ok(found.context("the condition")?.message)
}

async fn held(scene: &Scene, expected: bool) -> Result<()> {
    let (pairs, name) = (scene.pairs().await?, scene.setup.name());
    let look = async || {
        let pair = pairs.get(name).await?;
        let held = pair.finalizers().iter().any(|finalizer| finalizer == PAIR_FINALIZER);
        Ok((held == expected).then_some(()))
    };
    scene.eventually(&format!("our finalizer on the pair: {expected}"), look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_in_use_stays_until_its_migration_has_ended_and_takes_no_other_on() -> Result<()> {
    let scene = Scene::open(unverified("kept")).await?;
    held(&scene, false).await?;
    let shop = scene.migration("kept").steps(&[(10, "5s"), (100, "1s")]).begin().await?;
    held(&scene, true).await?;
    let uid = delete_pair(&scene).await?;
    let why = says_why(&scene, "PairInUse").await?;
    for words in [
        "ClusterPair kept is being deleted and stays",
        "NamespaceMigration kept/kept",
        "spec.deletionPolicy of each says what becomes of its weights",
    ] {
        ensure!(why.contains(words), "{why}");
    }
    scene.crash_and_restart().await?;
    let late = scene.migration("kept-late").begin().await?;
    let generation = scene.pairs().await?.get("kept").await?.metadata.generation;
    // Its deletion raises it by one.
    ensure!(generation == Some(2), "the operator has written the spec of the pair: generation {generation:?}");
    late.is_told("NoClusterPair", "ClusterPair kept is being deleted and takes no new migration on.").await?;
    shop.ends(Stage::Completed).await?;
    pair_is_gone(&scene, &uid).await?;
    late.is_told("NoClusterPair", "There is no ClusterPair named kept.").await?;
    ensure!(shop.now().await?.status.context("a status")?.stage == Stage::Completed, "how it ended stays to be read");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_and_its_pair_that_are_deleted_together_go_when_users_are_back() -> Result<()> {
    let scene = Scene::open(unverified("both")).await?;
    let shop = scene.migration("both").held().await?;
    held(&scene, true).await?;
    let pair = delete_pair(&scene).await?;
    let uid = delete(&shop).await?;
    gone(&shop, uid).await?;
    pair_is_gone(&scene, &pair).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pair_stays_for_what_it_owes_and_goes_with_a_last_word_at_its_deadline() -> Result<()> {
    let scene = Scene::open(short("owing")).await?;
    let shop = scene.migration("owing").held().await?;
    scene.setup.target_faults().context("a proxy before the target")?.refuse();
    gone(&shop, delete(&shop).await?).await?;
    let uid = delete_pair(&scene).await?;
    let why = says_why(&scene, "LeftOver").await?;
    ensure!(why.contains("the weight 0 of Ingress owing in namespace owing on the target"), "{why}");
    pair_is_gone(&scene, &uid).await?;
    let events: Api<Event> = Api::namespaced(scene.home().await?.admin_client()?, "default");
    let look = async || {
        let all = events.list(&ListParams::default()).await?;
        let mut told = all.items.into_iter().filter(|event| {
            event.reason.as_deref() == Some("PairLetGo")
                && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some("owing")
        });
        Ok(told.next().and_then(|event| event.note))
    };
    // It is told when the pair is gone, and not before: until then somebody may still pay.
    let last = scene.eventually("a last word", look).await?;
    for words in
        ["ClusterPair owing goes with", "nobody does it any more", "kubectl --context=TARGET annotate ingress owing"]
    {
        ensure!(last.contains(words), "{last}");
    }
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pair_goes_once_what_it_owed_is_paid() -> Result<()> {
    let scene = Scene::open(short("paid-up")).await?;
    let shop = scene.migration("paid-up").held().await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.refuse();
    gone(&shop, delete(&shop).await?).await?;
    let uid = delete_pair(&scene).await?;
    says_why(&scene, "LeftOver").await?;
    faults.healthy();
    pair_is_gone(&scene, &uid).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

/// Its debt is noted when the time that the pair was given at its own deletion is over: it has its time all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_and_its_pair_that_are_deleted_together_beside_a_dead_target_leave_nothing_unpaid() -> Result<()> {
    let scene = Scene::open(short("both-dead")).await?;
    let shop = scene.migration("both-dead").held().await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.refuse();
    let pair = delete_pair(&scene).await?;
    gone(&shop, delete(&shop).await?).await?;
    let why = says_why(&scene, "LeftOver").await?;
    ensure!(why.contains("the weight 0 of Ingress both-dead in namespace both-dead on the target"), "{why}");
    faults.healthy();
    pair_is_gone(&scene, &pair).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}
