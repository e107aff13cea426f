//! Migrations that are held in a stage on the way forward, and go through all controls there.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, ROLLBACK_ANNOTATION, STAMP_ANNOTATION, Stage};
use rig::sample_app::Fault;
use rig::sample_namespace::{Owner, SampleNamespace};
use rig::setup::Setup;
use serde_json::json;

use super::annotations::{is_paused, tries_again};
use super::edits::{attempt_is_deferred, ceilings, edits, identity_stays};
use super::{Row, row};
use crate::scene::{Draft, Migration, PERSON, Scene, cause_of, holds_step, reason_of, stage_of};

/// How a migration is held in a stage.
pub struct Held {
    pub stage: Stage,
    /// What it waits for there.
    pub reason: &'static str,
    draft: fn(Draft<'_>) -> Draft<'_>,
}

impl Held {
    /// A stage that a migration was brought to in another way.
    pub fn brought(stage: Stage, reason: &'static str) -> Self {
        Self { stage, reason, draft: |draft| draft }
    }

    /// Whether it waits there for what it waited for.
    pub fn waits(&self, found: &NamespaceMigration) -> bool {
        (stage_of(found), reason_of(found)) == (self.stage, self.reason)
    }
}

pub const HELD: [Held; 10] = [
    Held { stage: Stage::Pending, reason: "OwnedByAnother", draft: |draft| draft.service(owned_by_another) },
    Held { stage: Stage::Preflight, reason: "PreflightBlocked", draft: |draft| draft.blocked() },
    Held { stage: Stage::WeightSource, reason: "WaitingForDNS", draft: |draft| draft },
    Held { stage: Stage::PrepareTarget, reason: "WaitingForServices", draft: |draft| draft },
    Held {
        stage: Stage::CopySecrets,
        reason: "SecretRefused",
        draft: |draft| draft.spec("/secrets/include", json!(["not-there"])),
    },
    Held {
        stage: Stage::DeployWorkloads,
        reason: "WaitingForWorkloads",
        draft: |draft| draft.on_target(SampleNamespace::without_deployment),
    },
    Held {
        stage: Stage::PublishTarget,
        reason: "WaitingForIngressOwner",
        draft: |draft| draft.service(|sample| sample.owned_by(Owner::Helm)),
    },
    Held {
        stage: Stage::SmokeTest,
        reason: "Testing",
        draft: |draft| draft.spec("/probes/successThreshold", json!(100)).spec("/probes/interval", json!("10s")),
    },
    Held { stage: Stage::ShiftTraffic, reason: "HoldingStep", draft: |draft| draft.steps(&[(10, "10m"), (100, "1s")]) },
    Held { stage: Stage::Bake, reason: "Baking", draft: |draft| draft.spec("/bake", json!({"for": "10m"})) },
];

fn owned_by_another(sample: SampleNamespace) -> SampleNamespace {
    let stamp = json!({"owner": "home/other/other", "attempt": 1, "epoch": 1, "direction": "Forward"});
    sample.with_annotation(STAMP_ANNOTATION, &stamp.to_string())
}

/// A migration of this name that waits in its stage. `slow` is the pair in which DNS takes long.
pub async fn comes_to<'a>(scene: &'a Scene, slow: &Setup, held: &Held, name: &str) -> Result<Migration<'a>> {
    let mut draft = (held.draft)(scene.migration(name));
    if held.stage == Stage::WeightSource {
        draft = draft.spec("/clusterPair", json!(slow.name())).service(|_| slow.sample(name));
    }
    let shop = draft.deploy().await?;
    if held.stage == Stage::PrepareTarget {
        let services: Api<Service> = Api::namespaced(scene.target(), name);
        services.delete(name, &DeleteParams::default()).await?;
    }
    shop.begin().await?;
    shop.until(&format!("{} in {}", held.reason, held.stage), |found| held.waits(found)).await?;
    Ok(shop)
}

pub(super) async fn through_all_controls(scene: &Scene, slow: &Setup, held: &Held) -> Result<Vec<Row>> {
    let shop = comes_to(scene, slow, held, &format!("controls-{}", held.stage.as_str().to_lowercase())).await?;
    let mut rows = vec![tries_again(&shop, held).await?];
    rows.extend(is_paused(&shop, held).await?);
    rows.extend(Box::pin(ceilings(&shop, held)).await?);
    rows.extend(edits(&shop, held).await?);
    rows.extend(identity_stays(&shop, held).await?);
    rows.push(attempt_is_deferred(&shop, held).await?);
    rows.push(goes_back(&shop, slow, held).await?);
    shop.keeps_its_promises().await?;
    Ok(rows)
}

/// Back to the source, from the stage as it runs. The next attempt, which was asked for before, does not follow by itself, and begins when a
/// person asks for it: paused.
async fn goes_back(shop: &Migration<'_>, slow: &Setup, held: &Held) -> Result<Row> {
    let running = shop.now().await?;
    ensure!(held.waits(&running) && running.status.is_some_and(|status| status.pause.is_none()), "it does not run");
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    if held.stage == Stage::WeightSource {
        shop.until("the way back", |found| cause_of(found).0 == "RollbackRequested").await?;
        dns_takes(shop.scene, slow, "0s").await?;
    }
    let done = shop.answer(RequestKind::Rollback, "incident").await?;
    ensure!((done.outcome, done.stage) == (RequestOutcome::Done, held.stage), "{done:?}");
    let ended = shop.ends(Stage::RolledBack).await?.status.context("a status")?;
    let higher = shop.now().await?.spec.attempt + 1;
    let said = format!("To try again: set spec.attempt to {higher}.");
    ensure!(ended.attempt == 1 && ended.unblock.ends_with(&said), "attempt {}: {}", ended.attempt, ended.unblock);
    shop.change(json!({"attempt": higher, "suspend": true})).await?;
    let next = shop.until("the next attempt", |found| history(found).is_some()).await?;
    let (attempt, stage, message) = history(&next).unwrap_or_default();
    let said = format!("A rollback was requested by {PERSON} at ");
    ensure!((attempt, stage) == (1, Stage::RolledBack) && message.contains(&said), "{attempt} {stage}: {message}");
    let [source, target] = shop.weights().await?;
    ensure!(source.unwrap_or(100) == 100 && target.unwrap_or(0) == 0, "{source:?}, {target:?}");
    let untouched = shop.weight_writes().await?.is_empty();
    ensure!(untouched == (held.stage <= Stage::Preflight), "writes of weights: {:?}", shop.history().await?);
    Ok(row(held.stage, "rollback-requested", format!("{stage}: {message}")))
}

/// A target that fails and is held: a lower ceiling brings its users back, though nobody mends it.
pub(super) async fn comes_down_while_held(scene: &Scene) -> Result<Row> {
    let shop = scene
        .migration("controls-sick")
        .steps(&[(10, "10m"), (100, "1s")])
        .spec("/onFailure", json!("Hold"))
        .begin()
        .await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let held = shop.waits("Held").await?.status.context("a status")?;
    ensure!(held.unblock.contains("or lower spec.traffic.upTo to 0 "), "{}", held.unblock);
    shop.change(json!({"traffic": {"upTo": 0}})).await?;
    let is_down = |found: &NamespaceMigration| {
        found.status.as_ref().is_some_and(|status| status.step_text.starts_with("0/") && status.reason == "Held")
    };
    let down = shop.until("0 percent, still held", is_down).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await?;
    let message = down.status.map(|status| status.message).unwrap_or_default();
    Ok(row(Stage::ShiftTraffic, "traffic.upTo lowered", format!("while Held, back to 0 percent: {message}")))
}

/// How the last attempt ended.
fn history(found: &NamespaceMigration) -> Option<(i32, Stage, String)> {
    let entry = found.status.as_ref()?.history.first()?;
    Some((entry.attempt, entry.stage, entry.message.clone()))
}

/// From now on a change takes so long to be served everywhere, as a pair says it (a Go duration).
pub async fn dns_takes(scene: &Scene, setup: &Setup, propagation: &str) -> Result<()> {
    let pairs = scene.pairs().await?;
    let patch = Patch::Merge(json!({"spec": {"dns": {"propagation": propagation}}}));
    pairs.patch(setup.name(), &PatchParams::default(), &patch).await?;
    Ok(())
}
