//! Migrations of a pair that has the zone's own name servers asked: what they prove is told as proved, and the rest as assumed.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::route53::record::Kind;
use rig::sample_app::Fault;
use rig::setup::{Options, Verification};
use rig::weights::{Approval, share_never_above_approved, share_rose_then_fell, somebody_always_answered};

use crate::scene::{Migration, Scene, condition, holds_step};

#[tokio::test(flavor = "multi_thread")]
async fn by_the_answers_of_name_servers_one_namespace_moves_and_another_one_comes_back() -> Result<()> {
    let dns = ["3s", "300ms", "1s"];
    let options = Options { dns, verification: Verification::AuthoritativeDns, ..Options::new("answered") };
    let scene = Scene::open(options).await?;
    futures::try_join!(moves(&scene), comes_back(&scene)).map(drop)
}

async fn moves(scene: &Scene) -> Result<()> {
    let shop = scene.migration("answered-moves").steps(&[(50, "1s"), (100, "1s")]).begin().await?;
    let held = shop.until("the first step held", |found| holds_step(found, 1)).await?;
    ensure!(how(&held)? == ("A", Some("Assumed".to_owned()), "answered by source and target"), "{:?}", held.status);
    ensure!(condition(&held, "WeightsVerified") == "Unknown", "a share is not seen: {:?}", held.status);
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(how(&ended)? == ("A", Some("Answered".to_owned()), "answered by target"), "{:?}", ended.status);
    ensure!(condition(&ended, "WeightsVerified") == "True", "{:?}", ended.status);
    let status = ended.status.as_ref().context("a status")?;
    let told = |stage: Stage| status.pipeline.iter().find(|entry| entry.name == stage).map(|entry| &*entry.message);
    ensure!(told(Stage::WeightSource) == Some("The source's records are weighted, at 100 (Assumed)."), "{status:?}");
    ensure!(told(Stage::PublishTarget) == Some("The target is published at weight 0 (Assumed)."), "{status:?}");
    ensure!(status.rehearsal.as_ref().is_some_and(|it| it.lag_millis == 0), "nothing was measured: {status:?}");
    served_as_promised(&shop, 100)?;
    shop.keeps_its_promises().await
}

async fn comes_back(scene: &Scene) -> Result<()> {
    let shop = scene.migration("answered-back").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(how(&ended)? == ("A", Some("Answered".to_owned()), "answered by source"), "{:?}", ended.status);
    ensure!(condition(&ended, "WeightsVerified") == "True", "{:?}", ended.status);
    let served = scene.world.zone().weights(shop.host(), Kind::A);
    let last = served.last().context("a weight was served")?;
    ensure!(last.weights.iter().map(|(_, weight)| *weight).eq([Some(100), Some(0)]), "it was over before: {served:?}");
    served_as_promised(&shop, 50)?;
    shop.keeps_its_promises().await
}

/// What status says of the host: the kind, how it is known, and who answers.
fn how(migration: &NamespaceMigration) -> Result<(&str, Option<String>, &str)> {
    let status = migration.status.as_ref().context("a status")?;
    let [row] = status.dns.as_slice() else { anyhow::bail!("one host of one kind: {:?}", status.dns) };
    Ok((&row.kind, row.proof.map(|proof| format!("{proof:?}")), &row.found))
}

/// Never nobody, never more users on the target than the step allows, as the zone was served.
fn served_as_promised(shop: &Migration<'_>, most: i32) -> Result<()> {
    let history = shop.scene.world.zone().weights(shop.host(), Kind::A);
    let kept = somebody_always_answered(&history)
        .and_then(|()| share_never_above_approved(&history, &[Approval::from_the_start(most)]))
        .and_then(|()| share_rose_then_fell(&history));
    kept.map_err(|broken| anyhow::anyhow!("served: {broken}"))
}
