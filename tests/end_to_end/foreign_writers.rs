//! Others write our weights while users are on both sides: a person, a GitOps tool, a CI job. It is seen in one pass, the writer is
//! named, the clock stops, nobody is lost, and it goes on when the cause is over.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::control_plane::ControlPlane;
use rig::kubectl::Kubectl;
use rig::population::Side;
use rig::progress::say;
use rig::recorder::Write;
use rig::setup::{self, ANNOTATION_PREFIX, Verification};
use serde_json::json;
use tokio::task::JoinSet;

use crate::contested::one_rollback;
use crate::scene::{Migration, Scene, Told, Visited, cause_of, condition, holds_step, is_by_operator, written};

/// What the pair says of external-dns, propagation and TTL; a foreign weight must stay unchanged for their sum before it is replaced.
const DNS: [&str; 3] = ["3s", "300ms", "1s"];
const SETTLE: SignedDuration = SignedDuration::from_millis(4300);

/// Between two reverts of the GitOps tool.
const EVERY: Duration = Duration::from_secs(1);
/// Rounds of probes in which the tool reverts several times.
const ROUNDS: u64 = 50;

const GITOPS: &str = "argocd-controller";
const CI: &str = "ci-deploy";
/// A person with `kubectl annotate`.
const HAND: &str = "kubectl-annotate";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_writes_a_weight_is_seen_in_one_pass_named_and_answered_and_nobody_loses_service() -> Result<()> {
    let verification = Verification::Route53;
    let scene = Scene::open(setup::Options { dns: DNS, verification, ..setup::Options::new("foreign") }).await?;
    futures::try_join!(
        a_harmless_edit(&scene, "foreign-source", Side::Source, 95),
        a_harmless_edit(&scene, "foreign-target", Side::Target, 5),
        a_harmful_edit(&scene, "foreign-less", Side::Source, 20, 34),
        a_harmful_edit(&scene, "foreign-more", Side::Target, 80, 48),
        a_tool_that_reverts_every_second(&scene),
        a_ci_job_that_applies_100_and_0(&scene),
        a_tool_that_keeps_both_at_0(&scene),
    )?;
    Ok(())
}

/// A migration that holds 10 percent, with nothing left to be told.
async fn holds<'a>(scene: &'a Scene, name: &str, hold: &str) -> Result<Visited<'a>> {
    let visited = Visited::begin(scene.migration(name).steps(&[(10, hold), (100, "1s")])).await?;
    visited.shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.probe_rounds(10).await?;
    Ok(visited)
}

/// It is told, replaced once when it has stayed unchanged, and the migration goes on by itself.
async fn a_harmless_edit(scene: &Scene, name: &str, side: Side, weight: i32) -> Result<()> {
    let visited = holds(scene, name, "15s").await?;
    let shop = &visited.shop;
    annotate(shop, side, weight, HAND).await?;
    let contested = shop.waits("WeightContested").await?;
    let expected = if side == Side::Source { 90 } else { 10 };
    let changed = format!("on the {} was changed to {weight} by {HAND}; {expected} is expected", side.name());
    is_stopped_and_explained(&contested, &[&changed, "stays unchanged for 4s300ms, it is replaced once"])?;
    shop.event("ReplacingWeight").await?;
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(condition(&ended, "WeightContested") == "False", "{:?}", ended.status);
    let recorded = Recorded::of(shop).await?;
    recorded.is_named_at_once(side, HAND)?;
    let edit = recorded.foreign(side)?;
    let answer = recorded.ours_after(edit).find(|write| write.cluster == side.name()).context("a replacement")?;
    let stood = answer.time.duration_since(edit.time);
    ensure!(stood >= SETTLE, "it was replaced after {stood}, before DNS could follow");
    visited.all_arrive_at(Side::Target).await?;
    visited.share_was_approved().await
}

/// It gives the target more users than the step allows: one rollback, source first, and never a larger share than the edit itself makes.
async fn a_harmful_edit(scene: &Scene, name: &str, side: Side, weight: i32, makes: i32) -> Result<()> {
    let visited = holds(scene, name, "10m").await?;
    let shop = &visited.shop;
    annotate(shop, side, weight, HAND).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    let (reason, message) = cause_of(&ended);
    ensure!(reason == "ForeignWeight" && message.contains("where 10 are allowed"), "{reason}: {message}");
    let recorded = Recorded::of(shop).await?;
    recorded.is_named_at_once(side, HAND)?;
    recorded.is_taken_back_at_once(side)?;
    one_rollback(shop, 2).await?;
    visited.all_arrive_at(Side::Source).await?;
    visited.share_stayed_below(makes)
}

/// It is not fought: our weight is put back once, and then a person decides. When the tool is silent, a word from that person is enough.
async fn a_tool_that_reverts_every_second(scene: &Scene) -> Result<()> {
    let visited = holds(scene, "foreign-gitops", "15s").await?;
    let shop = &visited.shop;
    let tool = keeps_writing(shop, Side::Source, 100)?;
    let contested = shop.waits("WeightContested").await?;
    let changed = format!("on the source was changed to 100 by {GITOPS}; 90 is expected");
    is_stopped_and_explained(&contested, &[&changed])?;
    let stalled = shop.until("a contest that came back", |found| condition(found, "Stalled") == "True").await?;
    let decide = "It was replaced once and came back, so that a person must decide";
    is_stopped_and_explained(&stalled, &[&changed, decide])?;
    scene.probe_rounds(ROUNDS).await?;

    let recorded = Recorded::of(shop).await?;
    recorded.is_named_at_once(Side::Source, GITOPS)?;
    let first = recorded.foreign(Side::Source)?;
    let ours: Vec<_> = recorded.ours_after(first).map(|write| (write.time, written(write))).collect();
    // Its own 100 may get our stamp before: that is what the step begins with. So does the target's 10: a write in flight would fail.
    let against: Vec<_> = ours.iter().filter(|(_, (weight, _))| !["100", "10"].contains(weight)).collect();
    ensure!(against.len() == 1 && against[0].1.0 == "90", "it was fought: {ours:?}");

    drop(tool);
    shop.annotate("namespacemigration.io/retry-requested", Some("the tool is silent")).await?;
    shop.ends(Stage::Completed).await?;
    visited.all_arrive_at(Side::Target).await?;
    visited.share_was_approved().await
}

/// The job is over at once: its weights stay unchanged and are replaced once, receiver first.
async fn a_ci_job_that_applies_100_and_0(scene: &Scene) -> Result<()> {
    let visited = holds(scene, "foreign-ci", "15s").await?;
    let shop = &visited.shop;
    futures::try_join!(annotate(shop, Side::Source, 100, CI), annotate(shop, Side::Target, 0, CI))?;
    let contested = shop.waits("WeightContested").await?;
    is_stopped_and_explained(&contested, &[CI])?;
    shop.event("ReplacingWeight").await?;
    shop.ends(Stage::Completed).await?;
    let recorded = Recorded::of(shop).await?;
    let (source, target) = (recorded.foreign(Side::Source)?, recorded.foreign(Side::Target)?);
    recorded.is_named_at_once(if source.time < target.time { Side::Source } else { Side::Target }, CI)?;
    let receiver_first = [[Some(100), Some(0)], [Some(100), Some(10)], [Some(90), Some(10)]];
    let sequence = shop.sequence().await?;
    // Once when the step began, and once in place of the job's weights.
    let times = sequence.windows(3).filter(|weights| *weights == receiver_first).count();
    ensure!(times == 2, "{sequence:?}");
    visited.all_arrive_at(Side::Target).await?;
    visited.share_was_approved().await
}

/// Two zeros, which are an even split, are answered by a rollback; and who goes on writing against it is answered until it stops.
async fn a_tool_that_keeps_both_at_0(scene: &Scene) -> Result<()> {
    let visited = holds(scene, "foreign-zeros", "10m").await?;
    let shop = &visited.shop;
    annotate(shop, Side::Target, 0, HAND).await?;
    shop.waits("WeightContested").await?;
    let tool = keeps_writing(shop, Side::Source, 0)?;
    let contested = shop.waits("RollbackContested").await?;
    let (reason, message) = cause_of(&contested);
    ensure!(reason == "ForeignWeight" && message.contains("Both sides are at 0"), "{reason}: {message}");
    let status = contested.status.as_ref().context("a status")?;
    ensure!(status.message.contains(GITOPS) && status.unblock.contains("ignoreDifferences"), "{status:?}");
    drop(tool);
    shop.ends(Stage::RolledBack).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "the zeros stayed");
    let recorded = Recorded::of(shop).await?;
    recorded.is_named_at_once(Side::Target, HAND)?;
    recorded.is_named_at_once(Side::Source, GITOPS)?;
    recorded.is_taken_back_at_once(Side::Source)?;
    one_rollback(shop, 2).await?;
    visited.all_arrive_at(Side::Source).await
}

/// The clock stands still, the message says all this, and what to do is told in words and snippets.
fn is_stopped_and_explained(contested: &NamespaceMigration, words: &[&str]) -> Result<()> {
    let status = contested.status.as_ref().context("a status")?;
    for words in words {
        ensure!(status.message.contains(words), "expected {words:?}: {}", status.message);
    }
    for words in ["Stop the other writer", "ignoreDifferences", "managedFieldsManagers", "spec.ignore"] {
        ensure!(status.unblock.contains(words), "expected {words:?}: {}", status.unblock);
    }
    let step = status.step.as_ref().context("a step")?;
    ensure!(step.running_since.is_none(), "the clock of the hold runs: {step:?}");
    ensure!(condition(contested, "WeightContested") == "True", "{:?}", status.conditions);
    Ok(())
}

/// What was written and what status said, up to now.
struct Recorded<'a> {
    name: &'a str,
    writes: Vec<Write>,
    told: Vec<Told>,
}

impl<'a> Recorded<'a> {
    async fn of(shop: &'a Migration<'_>) -> Result<Self> {
        let writes = shop.writes_here().await?;
        Ok(Self { name: shop.name(), told: shop.told_in(&writes)?, writes })
    }

    /// The first status after the first foreign write on a side names its writer: the next pass has seen it.
    fn is_named_at_once(&self, side: Side, writer: &str) -> Result<()> {
        let (name, write) = (self.name, self.foreign(side)?);
        let next = self.told.iter().find(|told| told.at > write.time).context("a status after the write")?;
        let Told { at, status } = next;
        let cause = status.cause.as_ref().map(|cause| cause.message.as_str()).unwrap_or_default();
        let is_contest = status.reason == "WeightContested" && status.message.contains(writer);
        let said = format!("{}: {} {cause}", status.reason, status.message);
        ensure!(is_contest || cause.contains(writer), "{name}: the next status after {} is {said}", write.summary());
        let after = at.duration_since(write.time).as_millis();
        say(format!("{name}: {writer} is named {after} ms after its write on the {}, by the next status", side.name()));
        Ok(())
    }

    /// Our first write after the first foreign one on a side gives the source 100.
    fn is_taken_back_at_once(&self, side: Side) -> Result<()> {
        let (name, edit) = (self.name, self.foreign(side)?);
        let first = self.ours_after(edit).next().context("an answer")?;
        ensure!(first.cluster == "source" && written(first).0 == "100", "the first answer was {}", first.summary());
        let after = first.time.duration_since(edit.time).as_millis();
        say(format!("{name}: the source has 100 {after} ms after the foreign write"));
        Ok(())
    }

    /// The first write to the Ingress of a side by somebody else, apart from its creation.
    fn foreign(&self, side: Side) -> Result<&Write> {
        let mut foreign = self.of_ingress().filter(|write| write.verb == "patch" && !is_by_operator(write));
        foreign.find(|write| write.cluster == side.name()).with_context(|| format!("a foreign write on the {side:?}"))
    }

    fn ours_after(&self, foreign: &Write) -> impl Iterator<Item = &Write> {
        self.of_ingress().filter(move |write| write.time > foreign.time && is_by_operator(write))
    }

    fn of_ingress(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(|write| {
            let of_object = write.resource == "ingresses" && write.subresource.is_empty() && write.succeeded();
            of_object && write.namespace == self.name
        })
    }
}

fn cluster<'a>(shop: &Migration<'a>, side: Side) -> &'a ControlPlane {
    if side == Side::Source { shop.scene.world.source() } else { shop.scene.world.target() }
}

async fn annotate(shop: &Migration<'_>, side: Side, weight: i32, manager: &str) -> Result<()> {
    let (weight, manager) = (format!("{ANNOTATION_PREFIX}aws-weight={weight}"), format!("--field-manager={manager}"));
    let (kubectl, name) = (Kubectl::of(cluster(shop, side), shop.scene.world.tools())?, shop.name());
    kubectl.run(&["annotate", "ingress", name, "-n", name, "--overwrite", &manager, &weight]).await?;
    Ok(())
}

/// A GitOps tool with this weight in Git: it applies it every second, by server-side apply, until what is returned is dropped.
fn keeps_writing(shop: &Migration<'_>, side: Side, weight: i32) -> Result<JoinSet<()>> {
    let ingresses: Api<Ingress> = Api::namespaced(cluster(shop, side).admin_client()?, shop.name());
    let metadata = json!({"annotations": {format!("{ANNOTATION_PREFIX}aws-weight"): weight.to_string()}});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata});
    let (name, params) = (shop.name().to_owned(), PatchParams::apply(GITOPS).force());
    let mut tool = JoinSet::new();
    tool.spawn(async move {
        let mut reverts = tokio::time::interval(EVERY);
        loop {
            reverts.tick().await;
            // One that fails is followed by the next one, as with the real tool.
            let _ = ingresses.patch(&name, &params, &Patch::Apply(&object)).await;
        }
    });
    Ok(tool)
}
