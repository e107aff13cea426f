//! Edits that are in force at once while a step is held: what is checked, and what a failure leads to. Each is told with who made it.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::SpecEdit;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::sample_app::Fault;
use serde_json::{Value, json};

use crate::scene::{Migration, PERSON, Scene, cause_of, holds_step, quick, reason_of};

/// A page that the target does not have.
const PAGE: &str = "/login";

fn check() -> Value {
    json!([{"name": "login", "http": {"path": PAGE}}])
}

/// A migration that holds 10 percent, whose target answers everything but one page.
async fn holding<'a>(scene: &'a Scene, name: &str, on_failure: &str) -> Result<Migration<'a>> {
    let draft = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]);
    let shop = draft.spec("/onFailure", json!(on_failure)).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.setup.application().set("target", shop.host(), Fault::StatusAt { path: PAGE.into(), code: 404 });
    shop.stays_as_it_is(5).await?;
    ensure!(holds_step(&shop.now().await?, 1), "nobody has asked for that page yet");
    Ok(shop)
}

/// The edit of a field as status has it, and an event about it.
async fn is_recorded(shop: &Migration<'_>, field: &str, [from, to]: [&str; 2]) -> Result<()> {
    let edits = shop.now().await?.status.context("a status")?.edits;
    let SpecEdit { from: was, to: is, by, .. } = edits.iter().find(|edit| edit.field == field).context("an edit")?;
    ensure!(was.starts_with(from) && is.starts_with(to) && by == PERSON, "{edits:?}");
    shop.event("SpecEdited").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_added_in_a_hold_and_that_only_the_target_fails_takes_everything_back() -> Result<()> {
    let scene = Scene::open(quick("check-added")).await?;
    let shop = holding(&scene, "check-added", "Rollback").await?;
    shop.change(json!({ "checks": check() })).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    let (reason, message) = cause_of(&ended);
    let said = "The target is unhealthy. login at check-added.example.com: answers 404; the source answers 200.";
    ensure!((reason, message) == ("TargetUnhealthy", said), "{reason}: {message}");
    is_recorded(&shop, "spec.checks", ["none", "login ("]).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_taken_out_holds_nobody_any_more() -> Result<()> {
    let scene = Scene::open(quick("check-removed")).await?;
    let shop = holding(&scene, "check-removed", "Hold").await?;
    shop.change(json!({ "checks": check() })).await?;
    let held = shop.waits("Held").await?.status.context("a status")?;
    ensure!(held.message.contains("login at check-removed.example.com"), "{}", held.message);
    shop.change(json!({"checks": []})).await?;
    shop.until("the hold again", |found| holds_step(found, 1)).await?;
    is_recorded(&shop, "spec.checks", ["login (", "none"]).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_failure_goes_back_when_on_failure_says_so_and_a_held_one_is_told_who_chose_that() -> Result<()> {
    let scene = Scene::open(quick("held-edit")).await?;
    let shop = holding(&scene, "held-edit", "Rollback").await?;
    shop.change(json!({"onFailure": "Hold"})).await?;
    let edited = |found: &NamespaceMigration| found.status.as_ref().is_some_and(|status| !status.edits.is_empty());
    shop.until("the edit", edited).await?;
    is_recorded(&shop, "spec.onFailure", ["Rollback", "Hold"]).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.waits("Held").await?;
    shop.stays_as_it_is(5).await?;
    ensure!(reason_of(&shop.now().await?) == "Held", "a held failure moves nobody");
    shop.change(json!({"onFailure": "Rollback"})).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", cause_of(&ended));
    is_recorded(&shop, "spec.onFailure", ["Hold", "Rollback"]).await?;
    shop.keeps_its_promises().await
}
