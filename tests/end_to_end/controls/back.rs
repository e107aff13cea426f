//! A rollback under way, and one that is late, are stopped by nothing, and say so.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, ROLLBACK_ANNOTATION, Stage};
use rig::past;
use rig::sample_app::Fault;
use serde_json::json;

use super::annotations::{pause_is_only_told, tries_again};
use super::edits::{attempt_is_deferred, ceilings, edits, identity_stays};
use super::held::Held;
use super::{Row, row};
use crate::scene::{Migration, Scene, holds_step};

const WAITS: &str = "RollbackWaitsForTarget";

/// Its target hangs.
pub async fn through_all_controls(scene: &Scene) -> Result<Vec<Row>> {
    let shop = scene.migration("controls-rollback").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.hang();
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.waits(WAITS).await?;
    let mut rows = Box::pin(controls(&shop, &Held::brought(Stage::RollingBack, WAITS))).await?;

    let home = scene.home().await?;
    past::stage_began_earlier(home, shop.name(), shop.name(), SignedDuration::from_hours(1)).await?;
    shop.stage(Stage::RollbackBlocked).await?;
    rows.extend(Box::pin(controls(&shop, &Held::brought(Stage::RollbackBlocked, WAITS))).await?);
    ensure!(shop.weights().await? == [Some(100), Some(10)], "{:?}", shop.weights().await?);

    shop.change(json!({"suspend": true})).await?;
    faults.healthy();
    let ended = |found: &NamespaceMigration| {
        found.status.as_ref().is_some_and(|status| status.history.iter().any(|past| past.stage == Stage::RolledBack))
    };
    shop.until("the end of the rollback, and the next attempt", ended).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await?;
    Ok(rows)
}

/// Another try, which begins the deadline anew and so ends a late rollback's stage, comes last.
async fn controls(shop: &Migration<'_>, held: &Held) -> Result<Vec<Row>> {
    let mut rows = Vec::from(pause_is_only_told(shop, held, "which does not stop a rollback").await?);
    rows.extend(Box::pin(ceilings(shop, held)).await?);
    rows.extend(edits(shop, held).await?);
    rows.extend(identity_stays(shop, held).await?);
    rows.push(attempt_is_deferred(shop, held).await?);
    rows.push(second_rollback(shop, held, "it is rolling back already").await?);
    rows.push(tries_again(shop, held).await?);
    Ok(rows)
}

/// A rollback that makes no sense is refused with its reason.
pub async fn second_rollback(shop: &Migration<'_>, held: &Held, why: &str) -> Result<Row> {
    let token = format!("again-in-{}", held.stage);
    shop.annotate(ROLLBACK_ANNOTATION, Some(&token)).await?;
    let refused = shop.answer(RequestKind::Rollback, &token).await?;
    ensure!(refused.outcome == RequestOutcome::Refused && refused.message.contains(why), "{refused:?}");
    Ok(row(held.stage, "rollback-requested", refused.message))
}
