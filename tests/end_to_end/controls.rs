//! What a person can do in each stage: try again, pause, suspend, go on, send back. One migration for each stage goes through
//! all of it; the output has the table.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{
    NamespaceMigration, PAUSED_ANNOTATION, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, STAMP_ANNOTATION, Stage,
};
use rig::sample_namespace::Owner;
use rig::setup::Options;
use serde_json::json;

use crate::scene::{Draft, Migration, PERSON, Scene, cause_of, condition, proxied, quick, reason_of, stage_of};

/// Stage, control, what happened.
type Row = (String, &'static str, String);

/// How a migration is held in a stage.
struct Held {
    stage: Stage,
    /// What it waits for there.
    reason: &'static str,
    draft: fn(Draft<'_>) -> Draft<'_>,
}

const HELD: [Held; 9] = [
    Held { stage: Stage::Pending, reason: "OwnedByAnother", draft: |draft| draft.service(owned_by_another) },
    Held {
        stage: Stage::Preflight,
        reason: "PreflightBlocked",
        draft: |draft| draft.spec("/preflight", json!({"acknowledge": []})),
    },
    Held { stage: Stage::PrepareTarget, reason: "WaitingForServices", draft: |draft| draft },
    Held {
        stage: Stage::CopySecrets,
        reason: "SecretRefused",
        draft: |draft| draft.spec("/secrets/include", json!(["not-there"])),
    },
    Held {
        stage: Stage::DeployWorkloads,
        reason: "WaitingForWorkloads",
        draft: |draft| draft.on_target(rig::sample_namespace::SampleNamespace::without_deployment),
    },
    Held {
        stage: Stage::PublishTarget,
        reason: "WaitingForIngressOwner",
        draft: |draft| draft.service(|sample| sample.owned_by(Owner::Helm)),
    },
    Held {
        stage: Stage::SmokeTest,
        reason: "Testing",
        draft: |draft| draft.spec("/probes/successThreshold", json!(100)).spec("/probes/interval", json!("2s")),
    },
    Held { stage: Stage::ShiftTraffic, reason: "HoldingStep", draft: |draft| draft.steps(&[(10, "10m"), (100, "1s")]) },
    Held { stage: Stage::Bake, reason: "Baking", draft: |draft| draft.spec("/bake", json!({"for": "10m"})) },
];

fn owned_by_another(sample: rig::sample_namespace::SampleNamespace) -> rig::sample_namespace::SampleNamespace {
    let stamp = json!({"owner": "home/other/other", "attempt": 1, "epoch": 1, "direction": "Forward"});
    sample.with_annotation(STAMP_ANNOTATION, &stamp.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_does_what_it_says_in_every_stage() -> Result<()> {
    let scene = Scene::open(quick("controls")).await?;
    let runs = HELD.iter().map(|held| Box::pin(through_all_controls(&scene, held)));
    let (rows, ended) = futures::try_join!(futures::future::try_join_all(runs), Box::pin(after_the_end(&scene)))?;
    print_table(rows.into_iter().flatten().chain(ended));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_does_what_it_says_while_dns_follows() -> Result<()> {
    let scene = Scene::open(Options { dns: ["0s", "0s", "15s"], ..quick("controls-dns") }).await?;
    let held = Held { stage: Stage::WeightSource, reason: "WaitingForDNS", draft: |draft| draft };
    print_table(Box::pin(through_all_controls(&scene, &held)).await?.into_iter());
    Ok(())
}

fn print_table(rows: impl Iterator<Item = Row>) {
    println!("\n{:<16} {:<22} what happened", "stage", "control");
    for (stage, control, happened) in rows {
        println!("{stage:<16} {control:<22} {happened}");
    }
}

async fn through_all_controls(scene: &Scene, held: &Held) -> Result<Vec<Row>> {
    let name = format!("controls-{}", held.stage.as_str().to_lowercase());
    let shop = (held.draft)(scene.migration(&name)).deploy().await?;
    if held.stage == Stage::PrepareTarget {
        let services: Api<Service> = Api::namespaced(scene.target(), &name);
        services.delete(&name, &DeleteParams::default()).await?;
    }
    shop.begin().await?;
    let waits = |found: &NamespaceMigration| (stage_of(found), reason_of(found)) == (held.stage, held.reason);
    shop.until(&format!("{} in {}", held.reason, held.stage), waits).await?;
    let mut rows = vec![tries_again(&shop, held).await?];
    rows.extend(is_paused(&shop, held).await?);
    shop.until("what it waited for before", waits).await?;
    rows.push((held.stage.to_string(), "resume", format!("goes on waiting: {}", held.reason)));
    rows.extend(goes_back(&shop, held).await?);
    shop.keeps_its_promises().await?;
    Ok(rows)
}

async fn tries_again(shop: &Migration<'_>, held: &Held) -> Result<Row> {
    shop.annotate(RETRY_ANNOTATION, Some("look")).await?;
    let answer = shop.answer(RequestKind::Retry, "look").await?;
    ensure!((answer.outcome, answer.by.as_str()) == (RequestOutcome::Done, PERSON), "{answer:?}");
    ensure!(answer.message.starts_with("Everything is looked at again"), "{answer:?}");
    Ok((held.stage.to_string(), "retry-requested", answer.message))
}

/// By the annotation, then by the spec; nothing moves in between.
async fn is_paused(shop: &Migration<'_>, held: &Held) -> Result<Vec<Row>> {
    let (before, epoch) = (shop.weights().await?, epoch(&shop.now().await?));
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    let paused = shop.waits("Paused").await?;
    says_how_to_go_on(&paused)?;
    let raised = i64::from(held.stage > Stage::Preflight);
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
    let row = |control, found: &NamespaceMigration| {
        let message = found.status.as_ref().map(|status| status.message.clone()).unwrap_or_default();
        (held.stage.to_string(), control, message)
    };
    Ok(vec![row("paused", &paused), row("spec.suspend", &suspended)])
}

fn epoch(migration: &NamespaceMigration) -> i64 {
    migration.status.as_ref().map_or(0, |status| status.epoch)
}

fn says_how_to_go_on(paused: &NamespaceMigration) -> Result<()> {
    let status = paused.status.as_ref().context("a status")?;
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

/// Every Ingress that carries our stamp carries the pause's epoch.
async fn fences_are_written(shop: &Migration<'_>, paused: &NamespaceMigration) -> Result<()> {
    let wanted = epoch(paused);
    let fenced = async || {
        let history = shop.history().await?;
        let Some(last) = history.last() else { return Ok(Some(())) };
        let stamps = last.source_stamps.values().chain(last.target_stamps.values());
        let ours = stamps.filter(|stamp| stamp.owner.ends_with(&format!("/{0}/{0}", shop.name())));
        Ok(ours.into_iter().all(|stamp| stamp.epoch == wanted).then_some(()))
    };
    shop.scene.eventually("the fences of the pause", fenced).await
}

/// Back to the source; a second token is refused there; a third begins the next attempt.
async fn goes_back(shop: &Migration<'_>, held: &Held) -> Result<Vec<Row>> {
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident-1")).await?;
    let done = shop.answer(RequestKind::Rollback, "incident-1").await?;
    let ended = shop.stage(Stage::RolledBack).await?;
    ensure!((done.outcome, done.stage) == (RequestOutcome::Done, held.stage), "{done:?}");
    let (reason, message) = cause_of(&ended);
    let said = format!("A rollback was requested by {PERSON} at ");
    ensure!(reason == "RollbackRequested" && message.starts_with(&said), "{reason}: {message}");
    let [source, target] = shop.weights().await?;
    ensure!(source.unwrap_or(100) == 100 && target.unwrap_or(0) == 0, "{source:?}, {target:?}");
    let untouched = shop.weight_writes().await?.is_empty();
    ensure!(untouched == (held.stage <= Stage::Preflight), "writes of weights: {:?}", shop.history().await?);
    let first = (held.stage.to_string(), "rollback-requested", format!("{}: {message}", stage_of(&ended)));

    shop.annotate(ROLLBACK_ANNOTATION, Some("incident-2")).await?;
    let refused = shop.answer(RequestKind::Rollback, "incident-2").await?;
    ensure!(refused.outcome == RequestOutcome::Refused, "{refused:?}");
    shop.annotate(RETRY_ANNOTATION, Some("again")).await?;
    let again = shop.answer(RequestKind::Retry, "again").await?;
    ensure!((again.outcome, again.message.as_str()) == (RequestOutcome::Done, "Attempt 2 began."), "{again:?}");
    let stage = Stage::RolledBack.to_string();
    Ok(vec![first, (stage.clone(), "rollback-requested", refused.message), (stage, "retry-requested", again.message)])
}

/// Completed: a pause and a ceiling change nothing, there is nothing to try again, and the way back is there while the source
/// serves.
async fn after_the_end(scene: &Scene) -> Result<Vec<Row>> {
    let shop = scene.migration("controls-completed").begin().await?;
    shop.ends(Stage::Completed).await?;
    let stage = Stage::Completed.to_string();
    let writes = shop.weight_writes().await?.len();
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    shop.change(json!({"traffic": {"upTo": 0}})).await?;
    let told = shop.until("a word about the ceiling", |found| {
        found
            .status
            .as_ref()
            .is_some_and(|status| status.unblock.starts_with("spec.traffic.upTo is 0, which changes nothing"))
    });
    let told = told.await?.status.context("a status")?.unblock;
    shop.annotate(RETRY_ANNOTATION, Some("again")).await?;
    let retried = shop.answer(RequestKind::Retry, "again").await?;
    ensure!(retried.outcome == RequestOutcome::Refused, "{retried:?}");

    scale_source(&shop, 0).await?;
    shop.annotate(ROLLBACK_ANNOTATION, Some("too-late")).await?;
    let refused = shop.answer(RequestKind::Rollback, "too-late").await?;
    let why = format!("Deployment/{} does not run on the source any more", shop.name());
    ensure!(refused.outcome == RequestOutcome::Refused && refused.message.contains(&why), "{refused:?}");
    ensure!(shop.weight_writes().await?.len() == writes, "something was written");

    scale_source(&shop, 2).await?;
    shop.sample.wait_until_ready(&scene.source(), crate::scene::LIMIT).await?;
    shop.annotate(ROLLBACK_ANNOTATION, Some("in-time")).await?;
    let done = shop.answer(RequestKind::Rollback, "in-time").await?;
    ensure!(done.outcome == RequestOutcome::Done, "{done:?}");
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await?;
    Ok(vec![
        (stage.clone(), "spec.traffic.upTo", told),
        (stage.clone(), "retry-requested", retried.message),
        (stage.clone(), "rollback-requested", refused.message),
        (stage, "rollback-requested", done.message),
    ])
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

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_under_way_is_stopped_by_nothing_and_says_so() -> Result<()> {
    let scene = Scene::open(proxied("controls-back")).await?;
    let shop = scene.migration("controls-back").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.waits("HoldingStep").await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.hang();
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    shop.waits("RollbackWaitsForTarget").await?;
    ensure!(shop.weights().await?[0] == Some(100), "the source waits for the target");
    let stage = Stage::RollingBack.to_string();

    shop.annotate(PAUSED_ANNOTATION, Some("wait!")).await?;
    let words = "which does not stop a rollback";
    let says = |found: &NamespaceMigration| found.status.as_ref().is_some_and(|status| status.message.contains(words));
    let told = shop.until("a word about the pause", says).await?.status.context("a status")?.message;
    shop.annotate(RETRY_ANNOTATION, Some("more-time")).await?;
    let more = shop.answer(RequestKind::Retry, "more-time").await?;
    ensure!(more.outcome == RequestOutcome::Done, "{more:?}");
    faults.healthy();
    shop.ends(Stage::RolledBack).await?;
    let done = shop.answer(RequestKind::Rollback, "incident").await?;
    ensure!(done.outcome == RequestOutcome::Done, "{done:?}");
    print_table(
        [
            (stage.clone(), "paused", told),
            (stage.clone(), "retry-requested", more.message),
            (stage, "rollback-requested", done.message),
        ]
        .into_iter(),
    );
    shop.keeps_its_promises().await
}
