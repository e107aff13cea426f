//! Another try, and pauses by annotation and by the spec.

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use namespace_migration::api::status::{NamespaceMigrationStatus, RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, PAUSED_ANNOTATION, RETRY_ANNOTATION, STAMP_ANNOTATION};
use namespace_migration::machine::stamp::Stamp;
use serde_json::json;

use super::held::Held;
use super::{Row, row};
use crate::scene::{Migration, PERSON, condition, stage_of};

pub async fn tries_again(shop: &Migration<'_>, held: &Held) -> Result<Row> {
    shop.annotate(RETRY_ANNOTATION, Some("look")).await?;
    let answer = shop.answer(RequestKind::Retry, "look").await?;
    ensure!((answer.outcome, answer.by.as_str()) == (RequestOutcome::Done, PERSON), "{answer:?}");
    ensure!(answer.message.starts_with("Everything is looked at again"), "{answer:?}");
    Ok(row(held.stage, "retry-requested", answer.message))
}

/// By the annotation, then by the spec; nothing moves in between, and then it waits for what it waited for before.
pub async fn is_paused(shop: &Migration<'_>, held: &Held) -> Result<[Row; 3]> {
    let (before, epoch) = (shop.weights().await?, epoch(&shop.now().await?));
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    let paused = shop.waits("Paused").await?;
    says_how_to_go_on(&paused)?;
    let raised = i64::from(held.stage > namespace_migration::api::Stage::Preflight);
    ensure!(self::epoch(&paused) == epoch + raised, "epoch {epoch} became {}", self::epoch(&paused));
    shop.change(json!({"suspend": true})).await?;
    shop.annotate(PAUSED_ANNOTATION, None).await?;
    let by_spec = |found: &NamespaceMigration| {
        found.status.as_ref().and_then(|status| status.pause.as_ref()).is_some_and(|pause| pause.by.starts_with("spec"))
    };
    let suspended = shop.until("a pause by the spec", by_spec).await?;
    ensure!(self::epoch(&suspended) == epoch + raised, "the epoch is raised once");
    ensure!(stage_of(&suspended) == held.stage && shop.weights().await? == before, "something moved");
    fences_are_written(shop, &suspended).await?;
    shop.change(json!({"suspend": false})).await?;
    let goes_on = shop.until("what it waited for before", |found| held.waits(found)).await?;
    who_paused_and_resumed(&goes_on)?;
    Ok([
        row(held.stage, "paused", message(&paused)),
        row(held.stage, "suspend", message(&suspended)),
        row(held.stage, "suspend ended", format!("goes on waiting: {}", held.reason)),
    ])
}

/// Of each of the two, the last change stays in status: whoever reads it when the pause is over knows who ended it, and when. Of an
/// annotation that was taken off the API server knows nobody.
fn who_paused_and_resumed(found: &NamespaceMigration) -> Result<()> {
    let edits = found.status.as_ref().map(|status| status.edits.as_slice()).unwrap_or_default();
    for (field, by) in [("spec.suspend", PERSON), (PAUSED_ANNOTATION, "")] {
        let edit = edits.iter().find(|edit| edit.field == field).with_context(|| format!("no edit of {field}"))?;
        let said = (edit.from.as_str(), edit.to.as_str(), edit.by.as_str());
        ensure!(said == ("true", "false", by), "{edit:?}");
    }
    Ok(())
}

/// Where a pause stops nothing it is told, with what it means there.
pub async fn pause_is_only_told(shop: &Migration<'_>, held: &Held, meaning: &str) -> Result<[Row; 3]> {
    let before = shop.weights().await?;
    let says = |found: &NamespaceMigration, by: &str| {
        let said = message(found);
        held.waits(found) && said.contains(&format!("It is paused by {by}")) && said.contains(meaning)
    };
    let by = format!("the annotation {PAUSED_ANNOTATION} ({PERSON})");
    shop.annotate(PAUSED_ANNOTATION, Some("wait!")).await?;
    let paused = shop.until("a word about the annotation", |found| says(found, &by)).await?;
    shop.annotate(PAUSED_ANNOTATION, None).await?;
    shop.change(json!({"suspend": true})).await?;
    let suspended = shop.until("a word about the spec", |found| says(found, "spec.suspend")).await?;
    shop.change(json!({"suspend": false})).await?;
    let silent = |found: &NamespaceMigration| held.waits(found) && !message(found).contains("paused");
    shop.until("no word about a pause", silent).await?;
    ensure!(shop.weights().await? == before, "something moved");
    Ok([
        row(held.stage, "paused", message(&paused)),
        row(held.stage, "suspend", message(&suspended)),
        row(held.stage, "suspend ended", format!("goes on as before: {}", held.reason)),
    ])
}

fn status(migration: &NamespaceMigration) -> Result<&NamespaceMigrationStatus> {
    migration.status.as_ref().context("a status")
}

pub fn message(migration: &NamespaceMigration) -> String {
    migration.status.as_ref().map(|status| status.message.clone()).unwrap_or_default()
}

fn epoch(migration: &NamespaceMigration) -> i64 {
    migration.status.as_ref().map_or(0, |status| status.epoch)
}

fn says_how_to_go_on(paused: &NamespaceMigration) -> Result<()> {
    let status = status(paused)?;
    let by = format!("It is paused by the annotation {PAUSED_ANNOTATION} ({PERSON}) since ");
    ensure!(status.message.starts_with(&by), "{}", status.message);
    let name = paused.metadata.name.as_deref().unwrap_or_default();
    let fix = format!("To go on: kubectl annotate migration {name} -n {name} {PAUSED_ANNOTATION}-");
    ensure!(status.unblock == fix, "{}", status.unblock);
    for (kind, expected) in [("Reconciling", "True"), ("Stalled", "False"), ("Finished", "False")] {
        ensure!(condition(paused, kind) == expected, "{kind}: {}", condition(paused, kind));
    }
    Ok(())
}

/// Every Ingress that carries our stamp carries the pause's epoch. A pass that a busy machine cut short may have raised it once more; its
/// write may have been recorded as one that failed, so that the Ingresses themselves are read.
async fn fences_are_written(shop: &Migration<'_>, paused: &NamespaceMigration) -> Result<()> {
    let fenced = async || {
        let wanted = epoch(&shop.now().await?).max(epoch(paused));
        let stamps = [stamp(shop, shop.scene.source()).await?, stamp(shop, shop.scene.target()).await?];
        let owner = format!("/{0}/{0}", shop.name());
        let ours = stamps.iter().flatten().filter(|stamp| stamp.owner.ends_with(&owner));
        Ok(ours.into_iter().all(|stamp| stamp.epoch == wanted).then_some(()))
    };
    shop.scene.eventually("the fences of the pause", fenced).await
}

/// The stamp that is on the Ingress of one cluster.
async fn stamp(shop: &Migration<'_>, client: Client) -> Result<Option<Stamp>> {
    let ingress = shop.ingress(client).await?;
    let text = ingress.and_then(|ingress| ingress.metadata.annotations?.remove(STAMP_ANNOTATION));
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}
