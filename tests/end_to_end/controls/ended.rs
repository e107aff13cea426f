//! After an end nothing moves by itself: what makes no sense is told or refused, and what begins anew begins.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use rig::past;
use serde_json::json;

use super::annotations::pause_is_only_told;
use super::back::second_rollback;
use super::edits::{ceilings, edits, identity_stays};
use super::held::Held;
use super::{Row, row};
use crate::scene::{LIMIT, Migration, Scene, attempt_of, holds_step};

pub async fn through_all_controls(scene: &Scene) -> Result<Vec<Row>> {
    let (completed, rolled_back, failed) = futures::try_join!(
        Box::pin(completed(scene)),
        Box::pin(may_begin_anew(scene, Stage::RolledBack)),
        Box::pin(may_begin_anew(scene, Stage::Failed)),
    )?;
    Ok([completed, rolled_back, failed].into_iter().flatten().collect())
}

/// `RolledBack` and Failed: a request and a higher attempt each begin the next one, so there are two migrations.
async fn may_begin_anew(scene: &Scene, stage: Stage) -> Result<Vec<Row>> {
    let name = format!("controls-{}", stage.as_str().to_lowercase());
    let other = format!("{name}-more");
    let (shop, other) = futures::try_join!(comes_to(scene, &name, stage), comes_to(scene, &other, stage))?;
    let held = Held::brought(stage, stage.as_str());
    let writes = shop.weight_writes().await?.len();
    let mut rows = Vec::from(pause_is_only_told(&shop, &held, "so that another attempt begins paused").await?);
    rows.extend(Box::pin(ceilings(&shop, &held)).await?);
    rows.extend(edits(&shop, &held).await?);
    rows.extend(identity_stays(&shop, &held).await?);
    let why = format!("it has ended as {stage} already: the source serves everything");
    rows.push(second_rollback(&shop, &held, &why).await?);
    ensure!(shop.weight_writes().await?.len() == writes, "something was written");

    shop.annotate(RETRY_ANNOTATION, Some("again")).await?;
    let again = shop.answer(RequestKind::Retry, "again").await?;
    ensure!((again.outcome, again.message.as_str()) == (RequestOutcome::Done, "Attempt 2 began."), "{again:?}");
    rows.push(row(stage, "retry-requested", again.message));

    other.change(json!({"attempt": 2})).await?;
    other.until("attempt 2", |found| attempt_of(found) == 2).await?;
    rows.push(row(stage, "attempt", "attempt 2 begins"));
    Ok(rows)
}

async fn comes_to<'a>(scene: &'a Scene, name: &str, stage: Stage) -> Result<Migration<'a>> {
    let draft = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]);
    if stage == Stage::RolledBack {
        let shop = draft.begin().await?;
        shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
        shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
        shop.ends(stage).await?;
        return Ok(shop);
    }
    let shop = draft.blocked().begin().await?;
    shop.waits("PreflightBlocked").await?;
    let home = scene.home().await?;
    past::stage_began_earlier(home, name, name, SignedDuration::from_hours(25)).await?;
    shop.ends(stage).await?;
    Ok(shop)
}

/// Completed: there is nothing to try again, and the way back is there while the source serves.
async fn completed(scene: &Scene) -> Result<Vec<Row>> {
    let shop = scene.migration("controls-completed").begin().await?;
    shop.ends(Stage::Completed).await?;
    let (stage, held) = (Stage::Completed, Held::brought(Stage::Completed, "Completed"));
    let writes = shop.weight_writes().await?.len();
    let mut rows = Vec::from(pause_is_only_told(&shop, &held, "which changes nothing any more").await?);
    rows.extend(Box::pin(ceilings(&shop, &held)).await?);
    rows.extend(edits(&shop, &held).await?);
    rows.extend(identity_stays(&shop, &held).await?);
    rows.push(another_attempt_is_pointless(&shop).await?);
    shop.annotate(RETRY_ANNOTATION, Some("again")).await?;
    let retried = shop.answer(RequestKind::Retry, "again").await?;
    ensure!(retried.outcome == RequestOutcome::Refused, "{retried:?}");
    rows.push(row(stage, "retry-requested", retried.message));

    scale_source(&shop, 0).await?;
    let why = format!("Deployment/{} does not run on the source any more", shop.name());
    rows.push(second_rollback(&shop, &held, &why).await?);
    ensure!(shop.weight_writes().await?.len() == writes, "something was written");
    scale_source(&shop, 2).await?;
    shop.sample.wait_until_ready(&scene.source(), LIMIT).await?;
    rows.push(goes_back(&shop).await?);
    Ok(rows)
}

async fn another_attempt_is_pointless(shop: &Migration<'_>) -> Result<Row> {
    shop.change(json!({"attempt": 2})).await?;
    let said = "spec.attempt is 2, which changes nothing any more. To go back: ";
    let told =
        |found: &NamespaceMigration| found.status.as_ref().is_some_and(|status| status.unblock.starts_with(said));
    let told = shop.until("a word about the attempt", told).await?.status.context("a status")?;
    Ok(row(Stage::Completed, "attempt", told.unblock))
}

/// The attempt that was raised before does not follow the rollback.
async fn goes_back(shop: &Migration<'_>) -> Result<Row> {
    shop.annotate(ROLLBACK_ANNOTATION, Some("in-time")).await?;
    let done = shop.answer(RequestKind::Rollback, "in-time").await?;
    ensure!(done.outcome == RequestOutcome::Done, "{done:?}");
    // One of the edits has asked for the removal of what was created.
    ensure!(shop.weights().await? == [Some(100), None], "{:?}", shop.weights().await?);
    let ended = shop.ends(Stage::RolledBack).await?.status.context("a status")?;
    ensure!(ended.attempt == 1 && ended.unblock == "To try again: set spec.attempt to 3.", "{}", ended.unblock);
    shop.keeps_its_promises().await?;
    Ok(row(Stage::Completed, "rollback-requested", done.message))
}

async fn scale_source(shop: &Migration<'_>, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(shop.scene.source(), shop.name());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch(shop.name(), &PatchParams::default(), &patch).await?;
    let current = async || {
        let status = deployments.get(shop.name()).await?.status.unwrap_or_default();
        let ready = (status.replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0));
        Ok((ready == (replicas, replicas)).then_some(()))
    };
    shop.scene.eventually("the source's Pods", current).await
}
