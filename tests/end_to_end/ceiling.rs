//! `spec.traffic.upTo`, and edits of the plan in mid-flight.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::progress::say;
use rig::sample_app::Fault;
use serde_json::json;

use crate::scene::{Migration, PERSON, Scene, holds_step, quick, stage_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_holds_the_traffic_below_it_and_brings_it_back_down_step_by_step() -> Result<()> {
    let scene = Scene::open(quick("ceiling")).await?;
    futures::try_join!(up_and_down(&scene), down_from_the_bake(&scene), sick_at_the_ceiling(&scene), edited(&scene))?;
    Ok(())
}

/// 0, then 50, then down to 10, then to 0, then to the end.
async fn up_and_down(scene: &Scene) -> Result<()> {
    let shop = scene.migration("ceiling-steps").spec("/traffic/upTo", json!(0)).begin().await?;
    let waiting = at_ceiling(&shop, 0).await?;
    let message = &waiting.status.as_ref().context("a status")?.message;
    let said = "The next step gives the target 10 percent, and spec.traffic.upTo is 0 (";
    ensure!(stage_of(&waiting) == Stage::ShiftTraffic && message.starts_with(said), "{message}");
    let mut told = vec![format!("upTo 0: {message}")];
    for ceiling in [50, 10, 0] {
        shop.change(json!({"traffic": {"upTo": ceiling}})).await?;
        let waiting = at_ceiling(&shop, ceiling).await?;
        let message = waiting.status.context("a status")?.message;
        told.push(format!("upTo {ceiling}: {message}"));
    }
    say(told.join("\n"));
    let pairs: Vec<_> =
        shop.sequence().await?.into_iter().filter_map(|[source, target]| Some((source?, target?))).collect();
    let expected = [(100, 0), (100, 10), (90, 10), (90, 50), (50, 50), (90, 50), (90, 10), (100, 10), (100, 0)];
    ensure!(pairs == expected, "{pairs:?}");
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

async fn at_ceiling(shop: &Migration<'_>, share: i32) -> Result<NamespaceMigration> {
    let there = |found: &NamespaceMigration| {
        found.status.as_ref().is_some_and(|status| status.reason == "AtCeiling" && status.weight == share)
    };
    shop.until(&format!("{share} percent, at the ceiling"), there).await
}

async fn down_from_the_bake(scene: &Scene) -> Result<()> {
    let shop = scene.migration("ceiling-bake").spec("/bake", json!({"for": "10m"})).begin().await?;
    shop.stage(Stage::Bake).await?;
    shop.change(json!({"traffic": {"upTo": 99}})).await?;
    at_ceiling(&shop, 50).await?;
    ensure!(shop.weights().await? == [Some(50), Some(50)]);
    shop.change(json!({"traffic": {"upTo": 100}, "bake": {"for": "1s"}})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

async fn sick_at_the_ceiling(scene: &Scene) -> Result<()> {
    let shop = scene.migration("ceiling-sick").spec("/traffic/upTo", json!(10)).begin().await?;
    at_ceiling(&shop, 10).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}

/// Steps are taken up when the step under way has been held; what the plan has fixed is told.
async fn edited(scene: &Scene) -> Result<()> {
    let shop =
        scene.migration("ceiling-edits").steps(&[(10, "3s"), (30, "1s"), (60, "1s"), (100, "1s")]).begin().await?;
    let holding = shop.until("the first step held", |found| holds_step(found, 1)).await?;
    let agreed = holding.status.and_then(|status| status.plan).context("a plan")?;
    let steps = json!([{"weight": 10, "hold": "1s"}, {"weight": 60, "hold": "2s"}, {"weight": 100, "hold": "1s"}]);
    shop.change(json!({"traffic": {"steps": steps}, "secrets": {"include": ["another"]}})).await?;
    let told = shop.until("a word about the Secrets", |found| deferred(found, "spec.secrets").is_some()).await?;
    let message = deferred(&told, "spec.secrets").context("the message")?;
    let said = format!(
        "spec.secrets was changed ({PERSON}) after the plan was agreed: it takes effect with the next attempt."
    );
    ensure!(message.starts_with(&said), "{message}");
    say(format!("edit of spec.secrets: {message}"));
    let ended = shop.ends(Stage::Completed).await?;
    let plan = ended.status.and_then(|status| status.plan).context("a plan")?;
    let weights: Vec<_> = plan.steps.iter().map(|step| step.weight).collect();
    ensure!(weights == [10, 60, 100] && plan.hash != agreed.hash, "{plan:?}");
    let raised = shop.sequence().await?.iter().any(|[_, target]| *target == Some(30));
    ensure!(!raised, "a step that was taken out was entered");
    shop.event("PlanChanged").await?;
    shop.event("EditDeferred").await?;
    shop.keeps_its_promises().await
}

fn deferred(migration: &NamespaceMigration, field: &str) -> Option<String> {
    let edits = &migration.status.as_ref()?.deferred_edits;
    edits.iter().find(|edit| edit.field == field).map(|edit| edit.message.clone())
}
