//! Migrations that are deleted: each policy at each moment, and what dead clusters are owed.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use kube_runtime::wait::{await_condition, conditions};
use namespace_migration::api::pair_status::LeftoverSide;
use namespace_migration::api::{ClusterPairStatus, NamespaceMigration, ROLLBACK_ANNOTATION, Stage};
use rig::deploy::OPERATOR_NAMESPACE;
use rig::progress::say;
use rig::proxy::{ApiRequest, Faults, Phase};
use rig::sample_app::Fault;
use rig::sample_namespace::SECRET;
use rig::setup::{Home, Options};
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, cause_of, holds_step, proxied, quick, reason_of, written};

/// Where a migration is when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// A check blocks it: nothing has been written.
    Preflight,
    /// While the first step, 10 percent, is held.
    ShiftTraffic,
    /// With everybody on the target.
    Bake,
    Completed,
    RolledBack,
}

const MOMENTS: [Moment; 5] =
    [Moment::Preflight, Moment::ShiftTraffic, Moment::Bake, Moment::Completed, Moment::RolledBack];

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_does_at_each_moment_what_it_says_and_the_object_goes() -> Result<()> {
    let scene = Scene::open(quick("deleted")).await?;
    let cases = ["Rollback", "Freeze", "Orphan"].into_iter().flat_map(|policy| MOMENTS.map(|moment| (policy, moment)));
    let runs = cases.map(|(policy, moment)| {
        let scene = &scene;
        async move { deleted_at(scene, policy, moment).await.with_context(|| format!("{policy} in {moment:?}")) }
    });
    let lines = futures::future::try_join_all(runs).await?;
    say(format!("policy, moment, weights before and after, seconds until it is gone\n{}", lines.join("\n")));
    Ok(())
}

/// Deletes one and returns a line of the table.
async fn deleted_at(scene: &Scene, policy: &str, moment: Moment) -> Result<String> {
    let name = format!("deleted-{policy}-{moment:?}").to_lowercase();
    let draft = scene.migration(&name).spec("/deletionPolicy", json!(policy));
    let draft = match moment {
        Moment::Preflight => draft.blocked(),
        Moment::ShiftTraffic | Moment::RolledBack => draft.steps(&[(10, "10m"), (100, "1s")]),
        Moment::Bake => draft.spec("/bake/for", json!("10m")),
        Moment::Completed => draft,
    };
    let shop = draft.begin().await?;
    comes_to(&shop, moment).await?;
    let held = !shop.now().await?.finalizers().is_empty();
    ensure!(held == matches!(moment, Moment::ShiftTraffic | Moment::Bake), "held in {moment:?}: {held}");
    let (before, began) = (shop.weights().await?, Instant::now());
    gone(&shop, delete(&shop).await?).await?;
    let took = began.elapsed();
    let after = shop.weights().await?;
    ensure!(after == expected(policy, moment), "expected {:?}, found {after:?}", expected(policy, moment));
    ensure!(epoch(&shop).await? == expected_epoch(policy, moment), "epoch {:?}", epoch(&shop).await?);
    shop.keeps_its_promises().await?;
    Ok(format!("{policy}, {moment:?}, {before:?} -> {after:?}, {:.1}", took.as_secs_f32()))
}

async fn comes_to(shop: &Migration<'_>, moment: Moment) -> Result<()> {
    match moment {
        Moment::Preflight => drop(shop.waits("PreflightBlocked").await?),
        Moment::ShiftTraffic => drop(shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?),
        Moment::Bake => drop(shop.stage(Stage::Bake).await?),
        Moment::Completed => drop(shop.until("its release", |found| ended(found, Stage::Completed)).await?),
        Moment::RolledBack => {
            shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
            shop.scene.setup.application().set("target", shop.host(), Fault::Status(503));
            shop.until("its release", |found| ended(found, Stage::RolledBack)).await?;
        }
    }
    Ok(())
}

/// At an end the finalizer goes, after the status that says so.
fn ended(found: &NamespaceMigration, stage: Stage) -> bool {
    found.status.as_ref().is_some_and(|status| status.stage == stage) && found.finalizers().is_empty()
}

fn expected(policy: &str, moment: Moment) -> [Option<i32>; 2] {
    match (policy, moment) {
        (_, Moment::Preflight) => [None, None],
        ("Rollback", Moment::ShiftTraffic | Moment::Bake) | (_, Moment::RolledBack) => [Some(100), Some(0)],
        (_, Moment::ShiftTraffic) => [Some(90), Some(10)],
        (_, Moment::Bake | Moment::Completed) => [Some(0), Some(100)],
    }
}

/// A rollback and a freeze raise it, so that what is still in flight fails.
fn expected_epoch(policy: &str, moment: Moment) -> Option<i64> {
    match (policy, moment) {
        (_, Moment::Preflight) => None,
        ("Orphan", Moment::ShiftTraffic | Moment::Bake) | (_, Moment::Completed) => Some(1),
        _ => Some(2),
    }
}

async fn epoch(shop: &Migration<'_>) -> Result<Option<i64>> {
    let history = shop.history().await?;
    let stamp = history.last().and_then(|point| point.source_stamps.get(shop.name()));
    Ok(stamp.map(|stamp| stamp.epoch))
}

/// Deletes it as a person does. Returns its UID.
pub async fn delete(shop: &Migration<'_>) -> Result<String> {
    let uid = shop.now().await?.uid().context("a uid")?;
    shop.api().await?.delete(shop.name(), &DeleteParams::default()).await?;
    Ok(uid)
}

pub async fn gone(shop: &Migration<'_>, uid: String) -> Result<()> {
    let waited = await_condition(shop.api().await?, shop.name(), conditions::is_deleted(&uid));
    match tokio::time::timeout(LIMIT, waited).await {
        Ok(waited) => Ok(waited.map(drop)?),
        Err(_) => Err(shop.account("the object does not go").await),
    }
}

/// Long enough that there is a status to read, also on a busy machine whose operator waits 5 s for a hung cluster.
pub fn short(name: &str) -> Options {
    Options { deletion_deadline: "15s", ..proxied(name) }
}

/// The status of the scene's pair.
async fn pair(scene: &Scene) -> Result<ClusterPairStatus> {
    let pairs = scene.pairs().await?;
    Ok(pairs.get(scene.setup.name()).await?.status.unwrap_or_default())
}

pub async fn until_pair(
    scene: &Scene,
    what: &str,
    wanted: impl Fn(&ClusterPairStatus) -> bool,
) -> Result<ClusterPairStatus> {
    let look = async || Ok(Some(pair(scene).await?).filter(&wanted));
    let found = scene.eventually(what, look).await;
    match found {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(format!("the pair says {:?}", pair(scene).await?))),
    }
}

/// A condition of a pair as `status reason`.
fn says(pair: &ClusterPairStatus, kind: &str) -> String {
    let found = pair.conditions.iter().find(|condition| condition.type_ == kind);
    found.map(|condition| format!("{} {}", condition.status, condition.reason)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_target_is_owed_is_noted_in_its_pair_and_paid_when_it_is_back() -> Result<()> {
    owes_the_target(short("owed"), Faults::refuse, false, "Keep").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hung_target_is_owed_is_noted_in_its_pair_and_paid_when_it_is_back() -> Result<()> {
    owes_the_target(short("owed-hung"), Faults::hang, false, "Keep").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_target_is_owed_is_paid_and_removed_by_the_operators_next_process_too() -> Result<()> {
    owes_the_target(short("owed-restart"), Faults::refuse, true, "Remove").await
}

async fn owes_the_target(options: Options, disturb: impl Fn(&Faults), restart: bool, objects: &str) -> Result<()> {
    let scene = Scene::open(options).await?;
    let name = scene.setup.name();
    until_pair(&scene, "an idle pair", |pair| says(pair, "Ready") == "Unknown NotInUse").await?;
    let draft = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]);
    let shop = draft.spec("/rollback", json!({"objects": objects})).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let ready = until_pair(&scene, "a pair that is ready", |pair| {
        says(pair, "Ready") == "True Reachable" && says(pair, "TargetAuthorized") == "True Authorized"
    })
    .await?;
    ensure!(says(&ready, "SourceAuthorized") == "True Authorized", "{ready:?}");
    for cluster in [&ready.source, &ready.target] {
        ensure!(cluster.as_ref().is_some_and(|cluster| cluster.version.starts_with("v1.")), "{cluster:?}");
    }
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    disturb(&faults);
    let uid = delete(&shop).await?;
    let waiting = shop.waits("RollbackWaitsForTarget").await?;
    tells_the_way_out(&waiting)?;
    until_pair(&scene, "a dead target", |pair| says(pair, "TargetReachable") == "False TargetUnreachable").await?;
    gone(&shop, uid).await?;

    let owing = until_pair(&scene, "one leftover", |pair| pair.leftovers.len() == 1).await?;
    let left = owing.leftovers.first().context("a leftover")?;
    ensure!((left.side, left.weight, left.epoch) == (LeftoverSide::Target, 0, 2), "{left:?}");
    ensure!((&*left.namespace, &*left.ingress) == (name, name) && left.why.contains("does not answer"), "{left:?}");
    let owed: Vec<_> = owing.leftover_objects.iter().map(|left| (left.kind.as_str(), left.name.as_str())).collect();
    let made = [("Ingress", name), ("Secret", SECRET)];
    ensure!(owed == if objects == "Remove" { made.to_vec() } else { vec![] }, "{owed:?}");
    let owed = 1 + owed.len();
    scene.until_metric(&format!(r#"nsmig_leftovers{{pair="{name}"}} {owed}"#)).await?;
    ensure!(shop.weights().await? == [Some(100), Some(10)], "{:?}", shop.weights().await?);
    if restart {
        scene.crash_and_restart().await?;
        let after = pair(&scene).await?;
        let (weights, objects) = (&after.leftovers, &after.leftover_objects);
        ensure!(*weights == owing.leftovers, "a restart changed {:?} to {weights:?}", owing.leftovers);
        ensure!(*objects == owing.leftover_objects, "a restart changed {:?} to {objects:?}", owing.leftover_objects);
    }
    faults.healthy();
    // The source's last stamp is paid before the restart.
    let removed = objects == "Remove";
    is_paid(&scene, &shop, if restart { owed } else { owed + 1 }, if removed { None } else { Some(0) }).await?;
    let secrets: Api<Secret> = Api::namespaced(scene.world.target().admin_client()?, name);
    ensure!(secrets.get_opt(SECRET).await?.is_none() == removed, "rollback.objects is {objects}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_leftover_waits_follows_the_trouble_of_its_cluster() -> Result<()> {
    let scene = Scene::open(short("owed-why")).await?;
    let shop = scene.migration("owed-why").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.refuse();
    gone(&shop, delete(&shop).await?).await?;
    let owes = |reason: &'static str| {
        move |pair: &ClusterPairStatus| {
            pair.leftovers.iter().any(|left| left.side == LeftoverSide::Target && left.reason == reason)
        }
    };
    let first = until_pair(&scene, "a target that does not answer", owes("TargetUnreachable")).await?;
    // The cluster is back, but the connection was taken away meanwhile.
    let secrets: Api<Secret> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let kubeconfig = scene.setup.kubeconfig_secret("target");
    let mut taken = secrets.get(&kubeconfig).await?;
    secrets.delete(&kubeconfig, &DeleteParams::default()).await?;
    let second = until_pair(&scene, "a connection that is refused", owes("ClusterRefused")).await?;
    let why = |pair: &ClusterPairStatus| pair.leftovers.last().map(|left| (left.why.clone(), left.since.clone()));
    ensure!(why(&second).is_some_and(|(why, _)| why.contains(&kubeconfig)), "{second:?}");
    ensure!(why(&first).map(|(_, since)| since) == why(&second).map(|(_, since)| since), "{first:?}, {second:?}");
    told_about_the_pair(&scene, &["LeftOver"]).await?;
    faults.healthy();
    taken.metadata = ObjectMeta { name: Some(kubeconfig), ..ObjectMeta::default() };
    secrets.create(&PostParams::default(), &taken).await?;
    is_paid(&scene, &shop, 2, Some(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_from_the_end_that_died_after_its_first_write_is_ended_though_the_object_was_deleted() -> Result<()>
{
    let scene = Scene::open(proxied("back-from-end")).await?;
    let shop = scene.migration("back-from-end").begin().await?;
    shop.until("its release", |found| ended(found, Stage::Completed)).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    let operator = std::sync::Arc::clone(&scene.operator);
    let (tell, killed) = tokio::sync::oneshot::channel();
    let first_write = |request: &ApiRequest| request.is_write_of("ingresses", "back-from-end");
    faults.on_matching_write(first_write, 1, Phase::AfterCommit, |_| async move {
        operator.lock().await.sigkill().await.expect("the operator can be killed");
        // A test that has ended in between does not ask any more.
        let _ = tell.send(());
    });
    shop.annotate(ROLLBACK_ANNOTATION, Some("back")).await?;
    tokio::time::timeout(LIMIT, killed).await.context("the operator made no such write")??;
    let uid = delete(&shop).await?;
    ensure!(!shop.now().await?.finalizers().is_empty(), "it was not held before its first write");
    scene.crash_and_restart().await?;
    gone(&shop, uid).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.sequence().await?);
    shop.keeps_its_promises().await
}

/// So many leftovers were paid by this process, nothing is owed, nothing is connected, and both sides carry the last stamp.
async fn is_paid(scene: &Scene, shop: &Migration<'_>, count: usize, target: Option<i32>) -> Result<()> {
    let idle = |pair: &ClusterPairStatus| pair.leftover_count == 0 && says(pair, "Ready") == "Unknown NotInUse";
    let paid = until_pair(scene, "a pair that owes nothing", idle).await?;
    ensure!(paid.leftovers.is_empty() && paid.leftover_objects.is_empty(), "{paid:?}");
    ensure!(shop.weights().await? == [Some(100), target], "{:?}", shop.weights().await?);
    let writes = shop.weight_writes().await?;
    for cluster in ["source", "target"] {
        // What was made there may have been removed after that.
        let mut writes = writes.iter().filter(|write| write.cluster == cluster && !written(write).1.is_empty());
        let last = writes.next_back().context("a write")?;
        ensure!(written(last).1.contains("RolledBack"), "{cluster}: {:?}", written(last));
    }
    scene.until_metric(&format!(r#"nsmig_leftovers_settled_total{{outcome="paid"}} {count}"#)).await?;
    told_about_the_pair(scene, &["LeftoverWritten"]).await?;
    shop.keeps_its_promises().await
}

/// Events about a cluster-scoped object are in the namespace `default`.
async fn told_about_the_pair(scene: &Scene, reasons: &[&str]) -> Result<()> {
    let events: Api<Event> = Api::namespaced(scene.home().await?.admin_client()?, "default");
    let name = scene.setup.name();
    let is_about = |event: &Event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name));
    let told = async || {
        let events = events.list(&ListParams::default()).await?;
        let found: Vec<_> = events.into_iter().filter(is_about).filter_map(|event| event.reason).collect();
        Ok(reasons.iter().all(|reason| found.iter().any(|found| found == reason)).then_some(()))
    };
    scene.eventually(&format!("events {reasons:?} about ClusterPair {name}"), told).await
}

/// What it waits for, until when, and how to let it go.
fn tells_the_way_out(waiting: &NamespaceMigration) -> Result<()> {
    let status = waiting.status.as_ref().context("a status")?;
    ensure!(cause_of(waiting).0 == "Deleted", "{:?}", status.cause);
    for words in ["does not answer", "The object is being deleted and goes when this is done, at the latest at 2"] {
        ensure!(status.message.contains(words), "{:?} does not say {words:?}", status.message);
    }
    ensure!(status.unblock.contains("deletionPolicy\":\"Orphan"), "{}", status.unblock);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_source_that_has_weight_0_is_owed_its_100_before_the_target_its_0() -> Result<()> {
    let scene = Scene::open(Options { home: Home::Third, ..short("owed-source") }).await?;
    let shop = scene.migration("owed-source").spec("/bake/for", json!("10m")).begin().await?;
    shop.stage(Stage::Bake).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    faults.refuse();
    gone(&shop, delete(&shop).await?).await?;
    let owing = pair(&scene).await?;
    let owed: Vec<_> = owing.leftovers.iter().map(|left| (left.side, left.weight, left.after_source)).collect();
    ensure!(owed == [(LeftoverSide::Source, 100, false), (LeftoverSide::Target, 0, true)], "{owed:?}");
    scene.calls_to("source", 2).await?;
    ensure!(shop.weights().await? == [Some(0), Some(100)], "two zeros would be an even split");
    faults.healthy();
    is_paid(&scene, &shop, 2, Some(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_to_orphan_lets_an_object_go_that_waits_for_a_hung_target() -> Result<()> {
    let scene = Scene::open(proxied("orphan")).await?;
    let shop = scene.migration("orphan").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    Faults::hang(&faults);
    let uid = delete(&shop).await?;
    let waiting = shop.waits("RollbackWaitsForTarget").await?;
    tells_the_way_out(&waiting)?;
    let patch = Patch::Merge(json!({"spec": {"deletionPolicy": "Orphan"}}));
    shop.api().await?.patch(shop.name(), &PatchParams::default(), &patch).await?;
    gone(&shop, uid).await?;
    faults.healthy();
    ensure!(shop.weights().await? == [Some(100), Some(10)], "{:?}", shop.weights().await?);
    ensure!(pair(&scene).await?.leftovers.is_empty(), "nobody owes what a person let go");
    ensure!(reason_of(&waiting) == "RollbackWaitsForTarget");
    shop.keeps_its_promises().await
}
