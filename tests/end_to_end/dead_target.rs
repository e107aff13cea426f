//! A target that stops answering holds up neither the users who have to go back nor another pair's migration.

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::progress::say;
use rig::proxy::Faults;
use rig::recorder::Write;
use rig::sample_app::Fault;
use rig::world::{self, World};
use serde_json::{Value, json};

use crate::scene::{Migration, Scene, holds_step, proxied, quick, reason_of, rollback_write};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_stops_neither_the_rollback_of_the_source_nor_another_pair() -> Result<()> {
    Box::pin(rolls_back_without_the_target("dead-target", Faults::refuse)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_target_stops_neither_the_rollback_of_the_source_nor_another_pair() -> Result<()> {
    Box::pin(rolls_back_without_the_target("hung-target", Faults::hang)).await
}

async fn rolls_back_without_the_target(name: &str, disturb: impl Fn(&Faults)) -> Result<()> {
    let (scene, second) = Scene::open_with_second_pair(proxied(name), quick(&format!("{name}-b"))).await?;
    let sick = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    let other = format!("{name}-other");
    let well = scene.migration(&other).spec("/clusterPair", json!(second.name())).service(|_| second.sample(&other));
    let well = well.deploy().await?;
    sick.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;

    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    disturb(&faults);
    well.begin().await?;
    scene.setup.application().set("target", sick.host(), Fault::Status(503));

    let waiting = sick.waits("RollbackWaitsForTarget").await?;
    exposure_is_told(&sick, &waiting).await?;
    let writes = sick.weight_writes().await?;
    let back = rollback_write(&writes, "source").context("the source was not taken back")?;
    ensure!(rollback_write(&writes, "target").is_none(), "the target was written while it did not answer");
    print_delay(&sick, back).await?;

    well.ends(Stage::Completed).await?;
    ensure!(reason_of(&sick.now().await?) == "RollbackWaitsForTarget", "the two migrations did not run side by side");
    faults.healthy();
    let ended = sick.ends(Stage::RolledBack).await?;
    ensure!(ended.status.is_some_and(|status| status.exposed_percent.is_none()), "nobody is exposed any more");
    scene.until_metric(&exposed(sick.name(), 0)).await?;
    ensure!(rollback_write(&sick.weight_writes().await?, "target").is_some(), "the target's 0 is still owed");
    sick.keeps_its_promises().await?;
    well.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_serves_but_whose_api_server_is_dead_freezes_the_shift_until_it_is_back() -> Result<()> {
    let scene = Scene::open(proxied("absent-target")).await?;
    let shop = scene.migration("absent-target").steps(&[(10, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    faults.refuse();
    let frozen = shop.waits("TargetUnreachable").await?;
    ensure!(frozen.status.is_some_and(|status| status.weight == 10 && status.stage == Stage::ShiftTraffic));
    scene.until_metric(r#"nsmig_cluster_reachable{pair="absent-target",side="target"} 0"#).await?;
    shop.stays_as_it_is(5).await?;
    faults.healthy();
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_api_server_of_the_target_does_not_stop_the_rollback_of_the_source() -> Result<()> {
    // Clusters of its own, which end with the process: the other tests need theirs.
    let world: &'static World = Box::leak(Box::new(World::start(world::Options::default()).await?));
    let scene = Scene::open_in(world, quick("stopped-target")).await?;
    let sick = scene.migration("stopped-target").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    sick.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    world.target().pause().await?;
    scene.setup.application().set("target", sick.host(), Fault::Status(503));
    let waiting = sick.waits("RollbackWaitsForTarget").await?;
    exposure_is_told(&sick, &waiting).await?;
    let writes = sick.weight_writes().await?;
    print_delay(&sick, rollback_write(&writes, "source").context("the source was not taken back")?).await?;
    world.target().resume().await?;
    sick.ends(Stage::RolledBack).await?;
    ensure!(sick.weights().await? == [Some(100), Some(0)]);
    sick.keeps_its_promises().await
}

/// Status, condition and metric say how many users are still sent to the target.
async fn exposure_is_told(sick: &Migration<'_>, waiting: &NamespaceMigration) -> Result<()> {
    let status = waiting.status.as_ref().context("a status")?;
    // 10 of 110.
    ensure!(status.exposed_percent == Some(10), "expected 10 percent exposed, found {:?}", status.exposed_percent);
    ensure!(status.message.contains("10 percent of users"), "{}", status.message);
    let condition = status.conditions.iter().find(|found| found.type_ == "RolledBack").context("RolledBack")?;
    ensure!((&*condition.status, &*condition.reason) == ("False", "RollbackWaitsForTarget"), "{condition:?}");
    sick.scene.until_metric(&exposed(sick.name(), 10)).await
}

fn exposed(namespace: &str, percent: i32) -> String {
    format!(r#"nsmig_exposed_percent{{namespace="{namespace}",name="{namespace}"}} {percent}"#)
}

/// The time from the decision, as logged, to the end of the API server's answer to the source's write.
async fn print_delay(sick: &Migration<'_>, back: &Write) -> Result<()> {
    let log = sick.scene.log().await?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let decided = lines
        .filter(|line| line["namespace"] == sick.name() && line["reason"] == "RollingBack")
        .find_map(|line| line["timestamp"].as_str()?.parse::<Timestamp>().ok())
        .context("the log says when the rollback was decided")?;
    let delay = back.time.duration_since(decided).as_millis();
    say(format!("{}: {delay} ms from the failing verdict to the source's weight 100", sick.name()));
    Ok(())
}
