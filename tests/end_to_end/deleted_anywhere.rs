//! Deleted in each stage while the target is alive, hung or gone: the source gets its 100, the object goes within its deadline,
//! and what the target could not be told is named by the pair and paid when it is back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use kube::Api;
use namespace_migration::api::pair_status::LeftoverSide;
use namespace_migration::api::{ClusterPair, ClusterPairStatus, Stage};
use rig::past;
use rig::progress::say;
use rig::sample_app::Fault;
use rig::setup::Setup;
use serde_json::json;

use crate::controls::held::{HELD, comes_to, dns_takes};
use crate::deletion::{delete, gone, short};
use crate::scene::{Migration, Scene, cause_of, holds_step, written};

/// The deadline of these deletions, and what a call that hangs and a busy machine may take on top.
const LATEST: Duration = Duration::from_secs(15 + 30);

/// How the target's API server is met.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Alive,
    Hung,
    Gone,
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_living_target_everything_goes_back_and_the_object_goes() -> Result<()> {
    deleted_in_every_stage(Target::Alive).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_hung_target_the_object_goes_and_what_is_owed_is_paid() -> Result<()> {
    deleted_in_every_stage(Target::Hung).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_dead_target_the_object_goes_and_what_is_owed_is_paid() -> Result<()> {
    deleted_in_every_stage(Target::Gone).await
}

/// All migrations of one operator, each in its stage, with the pair of those for which DNS takes long.
struct Stopped<'a> {
    slow: &'a Setup,
    shops: Vec<(Stage, Migration<'a>)>,
}

async fn deleted_in_every_stage(target: Target) -> Result<()> {
    let name = format!("anywhere-{target:?}").to_lowercase();
    let (scene, slow) = Scene::open_with_second_pair(short(&name), short(&format!("{name}-dns"))).await?;
    let stopped = brought(&scene, &slow, target).await?;
    let before = weights(&stopped).await?;
    let took = all_deleted(&scene, &stopped, target).await?;
    let after = weights(&stopped).await?;
    let owed = owed(&scene, &slow).await?;
    for ((stage, shop), (before, after)) in stopped.shops.iter().zip(before.iter().zip(&after)) {
        let expected = if is_untouched(*stage) { None } else { Some(100) };
        ensure!(after[0] == expected, "{stage}: the weights are {after:?}");
        // While no Ingress of the target was ever seen, nothing need be owed; what was, must.
        let named = owed.iter().any(|(namespace, side)| namespace == shop.name() && *side == LeftoverSide::Target);
        let must_be = before[1].is_some();
        ensure!(named || target == Target::Alive || !must_be, "{stage}: owed by the pairs is {owed:?}");
        ensure!(!named || target != Target::Alive, "{stage}: owed by the pairs is {owed:?}");
    }
    for setup in [&scene.setup, &slow] {
        setup.target_faults().context("a proxy before the target")?.healthy();
    }
    nothing_is_owed(&scene, &slow).await?;
    let paid = weights(&stopped).await?;
    print_table(target, &stopped, [&before, &after, &paid], &took);
    for (stage, shop) in &stopped.shops {
        ends_on_the_source(*stage, shop).await.with_context(|| format!("deleted in {stage}"))?;
    }
    Ok(())
}

/// Whether it is deleted before its first write, or after an end that came before.
fn is_untouched(stage: Stage) -> bool {
    stage <= Stage::Preflight || stage == Stage::Failed
}

type Weights = Vec<[Option<i32>; 2]>;

async fn weights(stopped: &Stopped<'_>) -> Result<Weights> {
    futures::future::try_join_all(stopped.shops.iter().map(|(_, shop)| shop.weights())).await
}

fn print_table(target: Target, stopped: &Stopped<'_>, weights: [&Weights; 3], took: &[Duration]) {
    let text = |weight: Option<i32>| weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string());
    let lines = stopped.shops.iter().zip(took).enumerate().map(|(at, ((stage, _), took))| {
        let [before, after, paid] = weights.map(|weights| weights[at].map(text).join("/"));
        format!("{:<16} {target:<6?} {before:>8} {after:>8} {paid:>8} {:>5.1} s", stage.as_str(), took.as_secs_f32())
    });
    let lines: Vec<_> = lines.collect();
    say(format!("stage, target, weights when deleted, when gone, when paid, time until gone\n{}", lines.join("\n")));
}

/// One migration in each stage from the preflight on, one that has failed there, and those that go back; then the target is disturbed.
async fn brought<'a>(scene: &'a Scene, slow: &'a Setup, target: Target) -> Result<Stopped<'a>> {
    let name = |stage: Stage| format!("{}-{}", scene.setup.name(), stage.as_str().to_lowercase());
    let mut going_back = vec![(Stage::RollingBack, holding(scene, slow, &name(Stage::RollingBack)).await?)];
    if target != Target::Alive {
        going_back.push((Stage::RollbackBlocked, holding(scene, slow, &name(Stage::RollbackBlocked)).await?));
    }
    dns_takes(scene, slow, "10m").await?;
    let held = HELD.iter().filter(|held| held.stage >= Stage::Preflight);
    let shops = held.map(|held| async move {
        anyhow::Ok((held.stage, Box::pin(comes_to(scene, slow, held, &name(held.stage))).await?))
    });
    let mut shops = futures::future::try_join_all(shops).await?;
    shops.push((Stage::Failed, Box::pin(failed(scene, &name(Stage::Failed))).await?));
    for setup in [&scene.setup, slow] {
        let faults = setup.target_faults().context("a proxy before the target")?;
        match target {
            Target::Alive => {}
            Target::Hung => faults.hang(),
            Target::Gone => faults.refuse(),
        }
    }
    for (stage, back) in going_back {
        slow.application().set("target", back.host(), Fault::Status(503));
        let waits = if target == Target::Alive { "WaitingForRollbackDNS" } else { "RollbackWaitsForTarget" };
        back.waits(waits).await?;
        if stage == Stage::RollbackBlocked {
            passes(scene, &back, SignedDuration::from_hours(1)).await?;
            back.stage(stage).await?;
        }
        shops.push((stage, back));
    }
    Ok(Stopped { slow, shops })
}

/// One that holds at 10 percent, of the pair in which DNS takes long.
async fn holding<'a>(scene: &'a Scene, slow: &'a Setup, name: &str) -> Result<Migration<'a>> {
    let draft = scene.migration(name).spec("/clusterPair", json!(slow.name())).service(|_| slow.sample(name));
    let shop = draft.steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    Ok(shop)
}

/// One that nobody has unblocked for longer than a preflight may take.
async fn failed<'a>(scene: &'a Scene, name: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).blocked().begin().await?;
    shop.waits("PreflightBlocked").await?;
    passes(scene, &shop, SignedDuration::from_hours(25)).await?;
    shop.stage(Stage::Failed).await?;
    Ok(shop)
}

/// So much time passes at once.
async fn passes(scene: &Scene, shop: &Migration<'_>, span: SignedDuration) -> Result<()> {
    past::stage_began_earlier(scene.home().await?.admin_client()?, shop.name(), shop.name(), span).await
}

/// Deletes them all at once. Returns how long each took to go.
async fn all_deleted(scene: &Scene, stopped: &Stopped<'_>, target: Target) -> Result<Vec<Duration>> {
    let began = Instant::now();
    let went = stopped.shops.iter().map(|(stage, shop)| async move {
        let uid = delete(shop).await?;
        if target == Target::Alive && *stage == Stage::WeightSource {
            shop.until("the way back", |found| cause_of(found).0 == "Deleted").await?;
            dns_takes(scene, stopped.slow, "0s").await?;
        }
        gone(shop, uid).await?;
        let took = began.elapsed();
        ensure!(took <= LATEST, "{stage}: it took {took:?} until the object was gone, expected {LATEST:?} at most");
        Ok(took)
    });
    futures::future::try_join_all(went).await
}

/// The namespaces and sides of what both pairs owe.
async fn owed(scene: &Scene, slow: &Setup) -> Result<Vec<(String, LeftoverSide)>> {
    let mut owed = vec![];
    for setup in [&scene.setup, slow] {
        let pair = pair(scene, setup).await?;
        ensure!(usize::try_from(pair.leftover_count)? == pair.leftovers.len(), "{pair:?}");
        owed.extend(pair.leftovers.into_iter().map(|left| (left.namespace, left.side)));
    }
    Ok(owed)
}

async fn pair(scene: &Scene, setup: &Setup) -> Result<ClusterPairStatus> {
    let pairs: Api<ClusterPair> = Api::all(scene.home().await?.admin_client()?);
    Ok(pairs.get(setup.name()).await?.status.unwrap_or_default())
}

async fn nothing_is_owed(scene: &Scene, slow: &Setup) -> Result<()> {
    let paid = async || Ok(owed(scene, slow).await?.is_empty().then_some(()));
    scene.eventually("pairs that owe nothing", paid).await
}

/// Nobody is sent to the target, and whatever Ingress there is carries the end of the rollback.
async fn ends_on_the_source(stage: Stage, shop: &Migration<'_>) -> Result<()> {
    let [source, target] = shop.weights().await?;
    let expected = if is_untouched(stage) { None } else { Some(100) };
    ensure!((source, target.unwrap_or(0)) == (expected, 0), "{source:?}, {target:?}");
    let writes = shop.weight_writes().await?;
    for cluster in ["source", "target"] {
        let last = writes.iter().rfind(|write| write.cluster == cluster);
        ensure!(last.is_none_or(|write| written(write).1.contains("RolledBack")), "{cluster}: {last:?}");
    }
    shop.keeps_its_promises().await
}
