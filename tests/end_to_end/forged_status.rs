//! A status that somebody else wrote: it is not believed, nobody is moved by it, and the true one stands there again.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use namespace_migration::api::{ClusterPair, FIELD_MANAGER, NamespaceMigration, NamespaceMigrationStatus, Stage};
use rig::progress::say;
use rig::sample_app::Fault;
use serde_json::{Value, json};

use crate::scene::{Migration, Scene, condition, holds_step, quick};

/// What is forged while the first step is held.
fn forgeries() -> Vec<(&'static str, Value)> {
    let step =
        json!({"index": 0, "phase": "Holding", "since": "2026-01-01T00:00:00.000000Z", "heldMillis": 999_999_999});
    let ingress = json!({"name": "forged-shop", "sourceIdentifier": "mine", "targetIdentifier": "mine-too"});
    vec![
        ("the stage says Completed", json!({"stage": "Completed"})),
        ("the stage says RolledBack", json!({"stage": "RolledBack", "reason": "RolledBack"})),
        ("the weight says 77", json!({"weight": 77})),
        ("the plan has one step to 100", json!({"plan": {"steps": [{"weight": 100, "hold": "0s"}]}})),
        ("the plan has other identifiers", json!({"plan": {"ingresses": [ingress]}})),
        ("the hold is over", json!({"step": step})),
        ("users are exposed", json!({"exposedPercent": 50})),
        ("the epoch is another", json!({"epoch": 99})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_status_moves_nobody_and_the_true_one_is_written_again() -> Result<()> {
    let scene = Scene::open(quick("forged")).await?;
    let shop = scene.migration("forged-shop").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    let held = shop.until("the first step held", |found| holds_step(found, 1)).await?;
    let plan = held.status.context("a status")?.plan;
    let writes = shop.weight_writes().await?.len();
    let is_true = |status: &NamespaceMigrationStatus| {
        let untouched = status.epoch == 1 && status.exposed_percent.is_none() && status.weight == 10;
        status.stage == Stage::ShiftTraffic && status.plan == plan && untouched
    };
    let mut lines = vec![];
    for (asked, status) in forgeries() {
        forge(&shop, &json!({ "status": status })).await?;
        lines.push(restored(&shop, asked, is_true).await?);
    }
    forge(&shop, &json!({ "status": null })).await?;
    lines.push(restored(&shop, "nothing: it was removed", is_true).await?);
    let said = "The status was changed by somebody. That is not believed, and the true one is written anew.";
    shop.event_says("ForeignStatus", said).await?;
    for (asked, status) in forgeries() {
        forge_as(&shop, FIELD_MANAGER, &json!({ "status": status })).await?;
        lines.push(restored(&shop, &format!("{asked}, under our name"), is_true).await?);
    }

    for (asked, status) in forgeries() {
        scene.operator.lock().await.sigkill().await?;
        forge(&shop, &json!({ "status": status })).await?;
        scene.crash_and_restart().await?;
        let asked = format!("{asked}, between two processes");
        let line = restored(&shop, &asked, |status| {
            let step = status.step.as_ref().is_some_and(|step| step.held_millis < 999_999_999);
            status.stage == Stage::ShiftTraffic && status.weight == 10 && status.plan == plan && step
        });
        lines.push(line.await?);
    }
    say(format!("a status that somebody else wrote\n{}", lines.join("\n")));
    ensure!(shop.weight_writes().await?.len() == writes, "an Ingress was written");
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_forged_before_the_beginning_is_not_believed() -> Result<()> {
    let scene = Scene::open(quick("forged-end")).await?;
    let shop = scene.migration("forged-end-shop").deploy().await?;
    scene.operator.lock().await.sigkill().await?;
    shop.begin().await?;
    let ended = json!({"stage": "Completed", "conditions": [{"type": "Finished", "status": "True", "reason": "Forged", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    forge(&shop, &json!({ "status": ended })).await?;
    scene.crash_and_restart().await?;
    shop.until("a true end", |found| {
        let reason = found.status.iter().flat_map(|status| &status.conditions).find(|found| found.type_ == "Finished");
        condition(found, "Finished") == "True" && reason.is_some_and(|finished| finished.reason == "Completed")
    })
    .await?;
    ensure!(shop.weights().await? == [Some(0), Some(100)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

/// Nobody who is not an account of the operator's writes a status, an administrator neither, and whatever they call themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_by_accounts_of_the_operator_alone() -> Result<()> {
    let scene = Scene::open(quick("policed")).await?;
    let shop = scene.migration("policed").held().await?;
    let pairs = scene.pairs().await?;
    let migrations = Api::<NamespaceMigration>::namespaced(scene.home().await?.admin_client()?, shop.name());
    let (merge, apply) = (PatchParams::default(), PatchParams::apply(FIELD_MANAGER).force());
    let ended = json!({"apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration", "status": {"stage": "Completed"}});
    let refusals = [
        migrations.patch_status("policed", &merge, &Patch::Merge(&ended)).await.err(),
        migrations.patch_status("policed", &apply, &Patch::Apply(&ended)).await.err(),
        pairs.patch_status("policed", &merge, &Patch::Merge(&owing(&made_up(0)))).await.err(),
    ];
    for refusal in refusals {
        let text = refusal.context("it was written")?.to_string();
        for words in [
            "only the operator writes the status of",
            "--as=system:serviceaccount:namespace-migration:namespace-migration",
        ] {
            ensure!(text.contains(words), "{text}");
        }
    }
    Ok(())
}

/// Where such a policy is missing, somebody may make a leftover up: it can do what a rollback does, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_that_somebody_made_up_gives_the_target_nobody() -> Result<()> {
    let scene = Scene::open(quick("made-up")).await?;
    let shop = scene.migration("made-up").held().await?;
    let pairs: Api<ClusterPair> = Api::all(scene.home().await?.operator_client()?);
    let params = PatchParams::default();
    let raised = pairs.patch_status("made-up", &params, &Patch::Merge(&owing(&made_up(100)))).await;
    let text = raised.err().context("the schema takes it")?.to_string();
    ensure!(text.contains("a leftover is what a rollback leaves: weight 100 on the Source, 0 on the Target"), "{text}");
    pairs.patch_status("made-up", &params, &Patch::Merge(&owing(&made_up(0)))).await?;
    let events: Api<Event> = Api::namespaced(scene.home().await?.admin_client()?, "default");
    let cancelled = async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all.iter().any(|event| {
            event.reason.as_deref() == Some("LeftoverCancelled")
                && event.note.as_ref().is_some_and(|note| note.contains("made-up"))
        });
        Ok(told.then_some(()))
    };
    scene.eventually("being told that it is not owed", cancelled).await?;
    shop.stays_as_it_is(3).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

/// The target's weight, as somebody who wants it written would note it.
fn made_up(weight: i32) -> Value {
    json!({
        "namespace": "made-up", "ingress": "made-up", "side": "Target", "identifier": "made-up-made-up-green", "weight": weight,
        "afterSource": false, "owner": "somebody/else/entirely", "attempt": 1, "epoch": 999, "why": "because", "since": "2026-01-01T00:00:00Z",
    })
}

fn owing(leftover: &Value) -> Value {
    json!({"status": {"leftovers": [leftover]}})
}

/// Writes a status as somebody with the right to, who is not the operator.
async fn forge(shop: &Migration<'_>, patch: &Value) -> Result<NamespaceMigration> {
    forge_as(shop, "somebody", patch).await
}

/// The same under the name of a field manager that anybody can choose.
async fn forge_as(shop: &Migration<'_>, manager: &str, patch: &Value) -> Result<NamespaceMigration> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let migrations: Api<NamespaceMigration> =
        Api::namespaced(shop.scene.home().await?.operator_client()?, shop.object_namespace());
    Ok(migrations.patch_status(shop.name(), &params, &Patch::Merge(patch)).await?)
}

/// Waits until the status is true and nobody else owns any of it. Returns a line of the table.
async fn restored(
    shop: &Migration<'_>,
    asked: &str,
    is_true: impl Fn(&NamespaceMigrationStatus) -> bool,
) -> Result<String> {
    let restored = |found: &NamespaceMigration| {
        let managers = found.metadata.managed_fields.iter().flatten();
        let updates = managers.filter(|entry| {
            entry.subresource.as_deref() == Some("status") && entry.operation.as_deref() == Some("Update")
        });
        let foreign = updates.count();
        foreign == 0 && holds_step(found, 1) && found.status.as_ref().is_some_and(&is_true)
    };
    shop.until(&format!("the true status after {asked:?}"), restored).await?;
    Ok(format!("| {asked:<55} | not believed; the true status is written again |"))
}
