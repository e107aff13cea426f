//! The operator is killed at many moments of a migration and of a rollback, and ends in the same state every time.

mod moment;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::progress::say;
use rig::proxy::Phase::{AfterCommit, BeforeForward};
use rig::sample_app::Fault;
use rig::weight_history::Stamp;
use serde_json::json;

use crate::scene::{Draft, Migration, Scene, holds_step, proxied, stage_of};
use moment::{Moment, Point, Strike};

/// Operators that are killed side by side.
const LANES: usize = 3;

/// One line of the table that is printed.
struct Row {
    moment: Moment,
    killed_in: Stage,
    end: String,
    seconds: f32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_operator_is_killed_at_any_write_ends_as_if_nothing_had_happened() -> Result<()> {
    let source = (1..=6).map(Point::SourceIngress);
    let target = [Point::TargetSecret(1)].into_iter().chain((1..=4).map(Point::TargetIngress));
    let stages = [Stage::WeightSource, Stage::SmokeTest, Stage::ShiftTraffic, Stage::Bake, Stage::Completed];
    let points = source.chain(target).chain(stages.map(Point::Status));
    let moments = points.flat_map(|point| [BeforeForward, AfterCommit].map(|phase| Moment { point, phase }));
    let expected = "Completed, source Some(0) Completed, target Some(100) Completed, created [Secret, Ingress]";
    killed_at("crash", moments.collect(), expected, completes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_operator_is_killed_at_any_write_ends_as_if_nothing_had_happened() -> Result<()> {
    let fences = [Point::SourceIngress(1), Point::TargetIngress(1)];
    let finals = [Point::SourceIngress(2), Point::TargetIngress(2)];
    let stages = [Stage::RollingBack, Stage::RolledBack].map(Point::Status);
    let points = fences.into_iter().chain(finals).chain(stages);
    let moments = points.flat_map(|point| [BeforeForward, AfterCommit].map(|phase| Moment { point, phase }));
    let expected = "RolledBack, source Some(100) RolledBack, target Some(0) RolledBack, created [Secret, Ingress]";
    killed_at("crash-back", moments.collect(), expected, goes_back).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_removes_and_whose_operator_is_killed_leaves_nothing_behind() -> Result<()> {
    let points = [Point::TargetIngress(2), Point::TargetSecret(1), Point::SourceIngress(2)];
    let moments =
        points.into_iter().flat_map(|point| [BeforeForward, AfterCommit].map(|phase| Moment { point, phase }));
    let expected = "RolledBack, source Some(100) RolledBack, target None none, created [Secret, Ingress]";
    killed_at("crash-remove", moments.collect(), expected, removes).await
}

/// Runs one migration per moment, a few at a time, and compares their ends.
async fn killed_at(
    name: &str,
    moments: Vec<Moment>,
    expected: &str,
    run: impl AsyncFn(&Scene, &str, Moment) -> Result<Row>,
) -> Result<()> {
    let queue = Mutex::new(moments.into_iter().enumerate().collect::<VecDeque<_>>());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let rows = Mutex::new(vec![]);
    let lane = async |lane: usize| {
        let scene = Scene::open(proxied(&format!("{name}-lane-{lane}"))).await?;
        while let Some((number, moment)) = next() {
            let row = run(&scene, &format!("{name}-{number}"), moment).await.with_context(|| moment.to_string())?;
            rows.lock().unwrap_or_else(PoisonError::into_inner).push((number, row));
        }
        anyhow::Ok(())
    };
    let ended = futures::future::try_join_all((0..LANES).map(lane)).await;
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(number, _)| *number);
    let lines = rows.iter().map(|(_, Row { moment, killed_in, end, seconds })| {
        format!("killed {moment} (it was in {killed_in}) -> {end} after {seconds:.1} s")
    });
    say(format!("{name}\n{}", lines.collect::<Vec<_>>().join("\n")));
    ended?;
    let other = rows.iter().find(|(_, row)| row.end != expected);
    ensure!(other.is_none(), "{:?}", other.map(|(_, row)| format!("{}: {}, expected {expected}", row.moment, row.end)));
    Ok(())
}

/// The users move; the operator dies on the way.
async fn completes(scene: &Scene, name: &str, moment: Moment) -> Result<Row> {
    let shop = two_steps(scene, name, "200ms").deploy().await?;
    let strike = moment.arm(&shop);
    shop.begin().await?;
    recovers(&shop, strike, Stage::Completed).await
}

/// Half of the users are on the target when it breaks; the operator dies while it brings them back.
async fn goes_back(scene: &Scene, name: &str, moment: Moment) -> Result<Row> {
    breaks(&two_steps(scene, name, "10m").begin().await?, moment).await
}

/// The same, and what was created on the target is removed.
async fn removes(scene: &Scene, name: &str, moment: Moment) -> Result<Row> {
    let draft = two_steps(scene, name, "10m").spec("/rollback", json!({"objects": "Remove"}));
    breaks(&draft.begin().await?, moment).await
}

async fn breaks(shop: &Migration<'_>, moment: Moment) -> Result<Row> {
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    let strike = moment.arm(shop);
    shop.scene.setup.application().set("target", shop.host(), Fault::Status(503));
    recovers(shop, strike, Stage::RolledBack).await
}

fn two_steps<'a>(scene: &'a Scene, name: &str, hold: &str) -> Draft<'a> {
    let draft = scene.migration(name).steps(&[(50, hold), (100, "200ms")]);
    draft.spec("/bake", json!({"for": "200ms"})).spec("/probes/interval", json!("100ms"))
}

async fn recovers(shop: &Migration<'_>, strike: Strike, end: Stage) -> Result<Row> {
    let (moment, killed_in) = strike.met(shop).await?;
    let started = Instant::now();
    shop.scene.crash_and_restart().await?;
    let ended = shop.ends(end).await?;
    let seconds = started.elapsed().as_secs_f32();
    shop.keeps_its_promises().await?;
    Ok(Row { moment, killed_in, end: end_state(shop, &ended).await?, seconds })
}

/// Everything that must not depend on when the operator was killed. Epochs may: a restart may begin a new one.
async fn end_state(shop: &Migration<'_>, ended: &NamespaceMigration) -> Result<String> {
    let history = shop.history().await?;
    let last = history.last().context("a write of an Ingress")?;
    let stamped = |stamps: &BTreeMap<String, Stamp>| {
        stamps.get(shop.name()).map_or_else(|| "none".to_owned(), |stamp| format!("{:?}", stamp.direction))
    };
    let created = ended.status.iter().flat_map(|status| &status.created);
    let created: Vec<_> = created.map(|object| object.kind.as_str()).collect();
    let [source, target] = shop.weights().await?;
    Ok(format!(
        "{}, source {source:?} {}, target {target:?} {}, created [{}]",
        stage_of(ended),
        stamped(&last.source_stamps),
        stamped(&last.target_stamps),
        created.join(", ")
    ))
}
