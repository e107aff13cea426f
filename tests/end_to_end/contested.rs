//! Somebody else changes our weights: it is told, not fought, and harm is answered by one rollback.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::control_plane::ControlPlane;
use rig::kubectl::Kubectl;
use rig::setup::ANNOTATION_PREFIX;
use rig::weight_history::{Direction, never_both_zero, target_never_raised_after_rollback};

use crate::scene::{Migration, Scene, cause_of, condition, holds_step, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_foreign_weight_is_replaced_once_and_then_stops_the_clock_until_it_is_given_back() -> Result<()> {
    let scene = Scene::open(quick("contest")).await?;
    let shop = scene.migration("contest-shop").steps(&[(10, "20s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let target = scene.world.target();
    annotate(&shop, target, 5).await?;

    let contested = shop.waits("WeightContested").await?;
    ensure!(condition(&contested, "WeightContested") == "True" && condition(&contested, "Stalled") == "False");
    shop.event("WeightContested").await?;
    shop.event("ReplacingWeight").await?;
    shop.until("the hold after the replacement", |found| {
        holds_step(found, 1) && condition(found, "WeightContested") == "False"
    })
    .await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "it was not replaced");

    annotate(&shop, target, 5).await?;
    let contested = shop.until("a contest that came back", |found| condition(found, "Stalled") == "True").await?;
    let status = contested.status.context("a status")?;
    for words in ["changed to 5", "kubectl-annotate", "10 is expected", "came back"] {
        ensure!(status.message.contains(words), "expected {words}: {}", status.message);
    }
    for words in ["ignoreDifferences", "managedFieldsManagers", "spec.ignore", "retry-requested"] {
        ensure!(status.unblock.contains(words), "expected {words}: {}", status.unblock);
    }
    let step = status.step.context("a step")?;
    ensure!(step.running_since.is_none(), "the clock of the hold runs: {step:?}");
    shop.stays_as_it_is(10).await?;
    ensure!(shop.weights().await? == [Some(90), Some(5)], "it was fought");

    // The command that status gives, with the context of the cluster that it names.
    let named = "kubectl --context=TARGET ";
    let (_, command) = status.unblock.split_once(named).context("a command in what unblocks it")?;
    let words: Vec<_> = command.split_whitespace().collect();
    kubectl(&shop, target)?.run(&words).await?;
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(condition(&ended, "WeightContested") == "False");
    never_both_zero(&shop.history().await?).map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_that_leaves_both_sides_at_0_is_answered_by_one_rollback() -> Result<()> {
    let scene = Scene::open(quick("zeros")).await?;
    let shop = scene.migration("zeros-shop").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    let held = shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let epoch = held.status.context("a status")?.epoch;
    annotate(&shop, scene.world.target(), 0).await?;
    shop.waits("WeightContested").await?;
    annotate(&shop, scene.world.source(), 0).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    let (reason, message) = cause_of(&ended);
    ensure!(reason == "ForeignWeight" && message.contains("kubectl-annotate"), "{reason}: {message}");
    ensure!(shop.weights().await? == [Some(100), Some(0)]);
    one_rollback(&shop, epoch + 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_that_gives_the_target_more_than_its_step_is_answered_by_one_rollback() -> Result<()> {
    let scene = Scene::open(quick("greedy")).await?;
    let shop = scene.migration("greedy-shop").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    let held = shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    annotate(&shop, scene.world.target(), 80).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    let (reason, message) = cause_of(&ended);
    ensure!(reason == "ForeignWeight" && message.contains("where 10 are allowed"), "{reason}: {message}");
    one_rollback(&shop, held.status.context("a status")?.epoch + 1).await
}

/// Fails unless all that went back went under one epoch.
pub async fn one_rollback(shop: &Migration<'_>, epoch: i64) -> Result<()> {
    let history = shop.history().await?;
    let stamps = history.iter().flat_map(|point| point.source_stamps.values().chain(point.target_stamps.values()));
    let back: BTreeSet<_> =
        stamps.filter(|stamp| stamp.direction == Direction::RollingBack).map(|stamp| stamp.epoch).collect();
    ensure!(back == [epoch].into(), "expected one rollback of epoch {epoch}, found {back:?}");
    target_never_raised_after_rollback(&history).map_err(anyhow::Error::msg)
}

fn kubectl(shop: &Migration<'_>, cluster: &ControlPlane) -> Result<Kubectl> {
    Kubectl::of(cluster, shop.scene.world.tools())
}

async fn annotate(shop: &Migration<'_>, cluster: &ControlPlane, weight: i32) -> Result<()> {
    let annotation = format!("{ANNOTATION_PREFIX}aws-weight={weight}");
    let name = shop.name();
    kubectl(shop, cluster)?.run(&["annotate", "ingress", name, "-n", name, "--overwrite", &annotation]).await?;
    Ok(())
}
