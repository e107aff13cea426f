//! A pause freezes the weights and nothing else: the way back stays open, to the operator and to whoever asks for it.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, PAUSED_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use rig::progress::say;
use rig::sample_app::Fault;
use serde_json::json;

use crate::deletion::{delete, gone};
use crate::scene::{Migration, PERSON, Scene, cause_of, holds_step, quick, stage_of};

/// A migration that stands at 10 percent, paused.
async fn paused<'a>(scene: &'a Scene, name: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    pauses(&shop).await?;
    Ok(shop)
}

async fn pauses(shop: &Migration<'_>) -> Result<()> {
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    shop.waits("Paused").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_migration_goes_back_when_its_target_fails_in_the_shift_and_in_the_bake() -> Result<()> {
    let scene = Scene::open(quick("armed")).await?;
    futures::try_join!(in_the_shift(&scene), in_the_bake(&scene)).map(drop)
}

async fn in_the_shift(scene: &Scene) -> Result<()> {
    let shop = paused(scene, "armed-shift").await?;
    goes_back(scene, &shop).await
}

async fn in_the_bake(scene: &Scene) -> Result<()> {
    let draft = scene.migration("armed-bake").steps(&[(100, "1s")]);
    let shop = draft.spec("/bake", json!({"for": "10m"})).begin().await?;
    shop.stage(Stage::Bake).await?;
    pauses(&shop).await?;
    goes_back(scene, &shop).await
}

async fn goes_back(scene: &Scene, shop: &Migration<'_>) -> Result<()> {
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", cause_of(&ended));
    say(format!("paused, then the target failed: {}", cause_of(&ended).1));
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_migration_goes_back_when_a_person_asks_for_it_and_when_it_is_deleted() -> Result<()> {
    let scene = Scene::open(quick("recalled")).await?;
    futures::try_join!(is_recalled(&scene), is_deleted(&scene)).map(drop)
}

async fn is_recalled(scene: &Scene) -> Result<()> {
    let shop = paused(scene, "recalled-shop").await?;
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "RollbackRequested", "{:?}", cause_of(&ended));
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

async fn is_deleted(scene: &Scene) -> Result<()> {
    let shop = paused(scene, "recalled-blog").await?;
    gone(&shop, delete(&shop).await?).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

/// Nothing but the spec asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_by_the_spec_alone_freezes_the_weights_names_its_author_and_ends() -> Result<()> {
    let scene = Scene::open(quick("suspended")).await?;
    let shop = scene.migration("suspended-shop").steps(&[(10, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    shop.change(json!({"suspend": true})).await?;
    let paused = shop.waits("Paused").await?;
    let pause = paused.status.as_ref().and_then(|status| status.pause.clone()).context("a pause")?;
    ensure!(pause.by == format!("spec.suspend ({PERSON})"), "{pause:?}");
    shop.stays_as_it_is(20).await?;
    ensure!(stage_of(&shop.now().await?) == Stage::ShiftTraffic, "it went on");
    let fenced = async || Ok((shop.fences().await? == [pause.epoch; 2]).then_some(()));
    scene.eventually("a fence on both sides", fenced).await?;
    shop.change(json!({"suspend": false})).await?;
    let ended: NamespaceMigration = shop.ends(Stage::Completed).await?;
    ensure!(ended.status.is_some_and(|status| status.pause.is_none()), "it is still told to be paused");
    shop.keeps_its_promises().await
}
