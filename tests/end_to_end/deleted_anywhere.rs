//! Deleted in each stage, with each policy, while the target is alive, hung or gone. Rollback: the source gets its 100, and what the target
//! could not be told is named by the pair and paid when it is back. Freeze: no weight changes, what can be reached gets a new stamp, and
//! the missing one is named. Orphan: nothing is written. Each time the object goes, by itself or at the limit that applies.

mod brought;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use namespace_migration::api::pair_status::LeftoverSide;
use namespace_migration::api::{ClusterPairStatus, DeletionPolicy, Stage};
use rig::progress::say;
use rig::setup::{Options, Setup};
use tokio::sync::Semaphore;

use crate::deletion::{delete, gone};
use crate::scene::{Migration, Scene, proxied, written};
use brought::{Shops, WAITS_FOR_DNS, brought};

/// How long a deletion may wait for a cluster here: longer than any of these rollbacks takes on a busy machine.
const ALLOWANCE: Duration = Duration::from_secs(20);
const ALLOWANCE_TEXT: &str = "20s";

/// What goes at once waits for nobody; a busy machine may take so long to see it.
const AT_ONCE: Duration = Duration::from_secs(8);

/// How late a busy operator may be. Together with a limit it stays below the next one.
const SLACK: Duration = Duration::from_secs(12);

/// Each of these tests deletes fifteen migrations at one moment and looks at the clock: more of them side by side would measure the
/// machine.
static TURNS: Semaphore = Semaphore::const_new(3);

/// How the target's API server is met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Alive,
    Hung,
    Gone,
}

/// What is deleted, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub policy: DeletionPolicy,
    pub target: Target,
}

/// What lets an object go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// It has done what it was to do, or there is nothing to do.
    None,
    /// The allowance of the pair.
    Allowance,
    /// Twice that, because users are back and only something else is left to do.
    UsersAreBack,
}

impl Limit {
    /// Between which times it goes. A deletion's time has whole seconds.
    fn range(self) -> std::ops::Range<Duration> {
        let second = Duration::from_secs(1);
        match self {
            Self::None => Duration::ZERO..ALLOWANCE,
            Self::Allowance => ALLOWANCE.saturating_sub(second)..ALLOWANCE + SLACK,
            Self::UsersAreBack => (2 * ALLOWANCE).saturating_sub(second)..2 * ALLOWANCE + SLACK,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_living_target_everything_goes_back_and_the_object_goes() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Rollback, target: Target::Alive })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_hung_target_the_object_goes_and_what_is_owed_is_paid() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Rollback, target: Target::Hung })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_any_stage_with_a_dead_target_the_object_goes_and_what_is_owed_is_paid() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Rollback, target: Target::Gone })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_in_any_stage_with_a_living_target_the_weights_stay_under_new_stamps() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Freeze, target: Target::Alive })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_in_any_stage_with_a_hung_target_the_weights_stay_and_the_missing_stamp_is_named() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Freeze, target: Target::Hung })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_in_any_stage_with_a_dead_target_the_weights_stay_and_the_missing_stamp_is_named() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Freeze, target: Target::Gone })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_in_any_stage_with_a_living_target_the_object_goes_at_once_and_nothing_is_written() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Orphan, target: Target::Alive })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_in_any_stage_with_a_hung_target_the_object_goes_at_once_and_nothing_is_written() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Orphan, target: Target::Hung })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_in_any_stage_with_a_dead_target_the_object_goes_at_once_and_nothing_is_written() -> Result<()> {
    Box::pin(deleted_in_every_stage(Case { policy: DeletionPolicy::Orphan, target: Target::Gone })).await
}

/// What a deletion of this case in this stage is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Nothing was begun, it has ended, or nobody is to be called.
    Nothing,
    GoesBack,
    Freezes,
}

fn does(case: Case, stage: Stage) -> Does {
    let ended = matches!(stage, Stage::Completed | Stage::RolledBack | Stage::Failed);
    match case.policy {
        _ if ended || stage <= Stage::Preflight => Does::Nothing,
        DeletionPolicy::Orphan => Does::Nothing,
        DeletionPolicy::Freeze if stage <= Stage::Bake => Does::Freezes,
        // A rollback that health began is ended whatever the policy.
        DeletionPolicy::Freeze | DeletionPolicy::Rollback => Does::GoesBack,
    }
}

/// What may let it go. Where the target shows no Ingress yet, it depends on how soon it is seen to be away.
fn limits(case: Case, stage: Stage, on_target: bool) -> &'static [Limit] {
    match (does(case, stage), case.target) {
        (Does::Nothing, _) | (Does::Freezes, Target::Alive) => &[Limit::None],
        (Does::GoesBack, Target::Alive) if WAITS_FOR_DNS.contains(&stage) => &[Limit::UsersAreBack],
        (Does::GoesBack, Target::Alive) => &[Limit::None],
        (Does::Freezes, _) if !on_target => &[Limit::None, Limit::Allowance],
        (Does::Freezes, _) => &[Limit::Allowance],
        (Does::GoesBack, _) if on_target => &[Limit::Allowance],
        (Does::GoesBack, _) if stage == Stage::WeightSource => &[Limit::Allowance, Limit::UsersAreBack],
        (Does::GoesBack, _) => &[Limit::None, Limit::Allowance],
    }
}

/// What both clusters have of a migration.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    weights: [Option<i32>; 2],
    epochs: [Option<i64>; 2],
    /// How often an Ingress was written.
    writes: usize,
}

async fn seen(shop: &Migration<'_>) -> Result<Seen> {
    let history = shop.history().await?;
    let epochs = history.last().map(|last| [&last.source_stamps, &last.target_stamps]);
    let epochs = epochs.map(|stamps| stamps.map(|stamps| stamps.get(shop.name()).map(|stamp| stamp.epoch)));
    let writes = shop.weight_writes().await?.len();
    Ok(Seen { weights: shop.weights().await?, epochs: epochs.unwrap_or_default(), writes })
}

async fn all_seen(shops: &Shops<'_>) -> Result<Vec<Seen>> {
    futures::future::try_join_all(shops.iter().map(|(_, shop)| seen(shop))).await
}

/// How an object went.
struct Went {
    took: Duration,
    /// The event about what is left over, if there is one.
    left_over: Option<String>,
}

async fn deleted_in_every_stage(case: Case) -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let name = format!("{:?}-{:?}", case.policy, case.target).to_lowercase();
    let options = |name: &str| Options { deletion_deadline: ALLOWANCE_TEXT, ..proxied(name) };
    let (scene, slow) = Scene::open_with_second_pair(options(&name), options(&format!("{name}-dns"))).await?;
    let shops = Box::pin(brought(&scene, &slow, case)).await?;
    let before = all_seen(&shops).await?;
    let went = all_deleted(&shops).await?;
    let after = all_seen(&shops).await?;
    let owed = owed(&scene, &slow).await?;
    for setup in [&scene.setup, &slow] {
        setup.target_faults().context("a proxy before the target")?.healthy();
    }
    nothing_is_owed(&scene, &slow).await?;
    let paid = all_seen(&shops).await?;
    print_table(case, &shops, [&before, &after, &paid], &went);
    for (at, (stage, shop)) in shops.iter().enumerate() {
        let seen = [&before[at], &after[at], &paid[at]];
        let named = owed.iter().any(|(namespace, side)| namespace == shop.name() && *side == LeftoverSide::Target);
        let kept = keeps_its_word(case, *stage, seen, &went[at], named);
        kept.with_context(|| format!("{case:?} in {stage}: {seen:?}, {:?}", went[at].left_over))?;
        if does(case, *stage) == Does::GoesBack {
            ends_on_the_source(shop).await.with_context(|| format!("{case:?} in {stage}"))?;
        }
        shop.keeps_its_promises().await?;
    }
    Ok(())
}

fn keeps_its_word(case: Case, stage: Stage, seen: [&Seen; 3], went: &Went, named: bool) -> Result<()> {
    let [before, after, paid] = seen;
    let on_target = before.weights[1].is_some();
    let limits = limits(case, stage, on_target);
    // An event about what is left over tells that a limit applied.
    let told_so = |limit: &Limit| (*limit == Limit::None) == went.left_over.is_none();
    let limit = limits.iter().find(|limit| told_so(limit) && limit.range().contains(&went.took));
    let limit = limit.with_context(|| format!("it went after {:?}, expected {limits:?}", went.took))?;
    let told = went.left_over.as_deref().unwrap_or_default();
    match does(case, stage) {
        Does::Nothing => {
            ensure!(went.took < AT_ONCE, "it did not go at once, but after {:?}", went.took);
            ensure!(after == before && paid == before, "something was written");
            ensure!(!named, "it is owed something");
        }
        Does::GoesBack => {
            ensure!(after.weights[0] == Some(100), "the source has no 100");
            ensure!(paid.weights == [Some(100), before.weights[1].map(|_| 0)], "users are on the target");
            // While no Ingress of the target was ever seen, nothing need be owed; what was, must be.
            ensure!(named || case.target == Target::Alive || !on_target, "the pair owes it nothing");
            let twice = Limit::UsersAreBack == *limit;
            let span = if twice { "40s" } else { "20s" };
            ensure!(told.is_empty() || told.contains(&format!("within {span}")), "the limit is not told");
            ensure!(!twice || told.contains("its weights are written: 100 on the source and 0 on the target"));
        }
        Does::Freezes => {
            ensure!(after.weights == before.weights && paid.weights == before.weights, "a weight changed");
            ensure!(!named && after.epochs == paid.epochs, "a frozen one is owed nothing");
            ensure!(after.epochs[0] > before.epochs[0], "the source has no new stamp");
            let stamped = before.epochs[1].is_some();
            let fenced = after.epochs[1] > before.epochs[1];
            ensure!(fenced == (stamped && case.target == Target::Alive), "the target's stamp");
            let missing = stamped && case.target != Target::Alive;
            let said = told.contains("Without the new stamp: Ingress ")
                && told.contains(" on the target, which does not answer");
            ensure!(said == missing, "the missing stamp");
        }
    }
    Ok(())
}

fn print_table(case: Case, shops: &Shops<'_>, seen: [&Vec<Seen>; 3], went: &[Went]) {
    let text = |weight: Option<i32>| weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string());
    let lines = shops.iter().zip(went).enumerate().map(|(at, ((stage, _), went))| {
        let [before, after, paid] = seen.map(|seen| seen[at].weights.map(text).join("/"));
        let limit = if went.left_over.is_some() { "at its limit" } else { "by itself" };
        let took = went.took.as_secs_f32();
        format!("{:<16} {before:>8} {after:>8} {paid:>8} {took:>5.1} s {limit}", stage.as_str())
    });
    let lines: Vec<_> = lines.collect();
    let head = "stage, weights when deleted, when gone, when the target was back, time until gone";
    say(format!("deleted with {:?}, target {:?}: {head}\n{}", case.policy, case.target, lines.join("\n")));
}

/// Deletes them all at once.
async fn all_deleted(shops: &Shops<'_>) -> Result<Vec<Went>> {
    let went = shops.iter().map(|(stage, shop)| async move {
        let began = Instant::now();
        let uid = delete(shop).await?;
        gone(shop, uid).await.with_context(|| format!("deleted in {stage}"))?;
        let took = began.elapsed();
        Ok(Went { took, left_over: left_over(shop).await? })
    });
    futures::future::try_join_all(went).await
}

/// The event about what is left over. It is told before the object goes.
async fn left_over(shop: &Migration<'_>) -> Result<Option<String>> {
    let events: Api<Event> = Api::namespaced(shop.scene.home().await?.admin_client()?, shop.object_namespace());
    let found = events.list(&ListParams::default()).await?.into_iter();
    let mut told = found.filter(|event| event.reason.as_deref() == Some("LeftOver"));
    Ok(told.next().map(|event| event.note.unwrap_or_default()))
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
    let pairs = scene.pairs().await?;
    Ok(pairs.get(setup.name()).await?.status.unwrap_or_default())
}

async fn nothing_is_owed(scene: &Scene, slow: &Setup) -> Result<()> {
    let paid = async || Ok(owed(scene, slow).await?.is_empty().then_some(()));
    scene.eventually("pairs that owe nothing", paid).await
}

/// Whatever Ingress there is carries the end of the rollback; the source's is always there.
async fn ends_on_the_source(shop: &Migration<'_>) -> Result<()> {
    let writes = shop.weight_writes().await?;
    for cluster in ["source", "target"] {
        let last = writes.iter().rfind(|write| write.cluster == cluster);
        let ended = last.map_or(cluster == "target", |write| written(write).1.contains("RolledBack"));
        ensure!(ended, "{cluster}: {last:?}");
    }
    Ok(())
}
