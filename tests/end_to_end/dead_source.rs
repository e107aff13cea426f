//! A source that stops answering, with the operator's home elsewhere: weights freeze, or users go back at once, but never
//! to a side that may have weight 0.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::proxy::Faults;
use rig::sample_app::Fault;
use rig::setup::{Home, Options};

use crate::scene::{Scene, condition, holds_step, proxied, reason_of, rollback_write, written};

fn away(name: &str) -> Options {
    Options { home: Home::Third, ..proxied(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_source_freezes_a_healthy_shift_until_it_is_back() -> Result<()> {
    freezes("dead-source", Faults::refuse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_source_freezes_a_healthy_shift_until_it_is_back() -> Result<()> {
    freezes("hung-source", Faults::hang).await
}

async fn freezes(name: &str, disturb: impl Fn(&Faults)) -> Result<()> {
    let scene = Scene::open(away(name)).await?;
    let shop = scene.migration(name).steps(&[(10, "3s"), (50, "1s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    disturb(&faults);
    let frozen = shop.waits("SourceUnreachable").await?;
    let status = frozen.status.context("a status")?;
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready").context("the condition Ready")?;
    ensure!(ready.status == "False" && ready.reason == "SourceUnreachable", "{ready:?}");
    ensure!(status.weight == 10 && status.message.contains("source"), "{}: {}", status.weight, status.message);
    scene.until_metric(&format!(r#"nsmig_cluster_reachable{{pair="{name}",side="source"}} 0"#)).await?;
    scene.until_logged("cannot be used", r#""side":"source""#).await?;
    shop.stays_as_it_is(5).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)]);
    faults.healthy();
    scene.until_metric(&format!(r#"nsmig_cluster_reachable{{pair="{name}",side="source"}} 1"#)).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_goes_to_0_at_once_while_a_source_that_has_users_is_dead() -> Result<()> {
    takes_the_target_back("dead-source-sick", Faults::refuse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_goes_to_0_at_once_while_a_source_that_has_users_hangs() -> Result<()> {
    takes_the_target_back("hung-source-sick", Faults::hang).await
}

async fn takes_the_target_back(name: &str, disturb: impl Fn(&Faults)) -> Result<()> {
    let scene = Scene::open(away(name)).await?;
    let shop = scene.migration(name).steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    disturb(&faults);
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let back = async || Ok((shop.weights().await? == [Some(90), Some(0)]).then_some(()));
    scene.eventually("the target's 0", back).await?;
    ensure!(rollback_write(&shop.weight_writes().await?, "source").is_none(), "the source answered");
    let unexposed = |found: &namespace_migration::api::NamespaceMigration| {
        let exposed = found.status.as_ref().and_then(|status| status.exposed_percent);
        reason_of(found) == "RollbackWaitsForSource" && exposed.is_none()
    };
    let waiting = shop.until("the rollback waiting for the source, with nobody exposed", unexposed).await?;
    ensure!(condition(&waiting, "RolledBack") == "False");
    scene.until_logged("RollbackWaitsForSource", name).await?;
    faults.healthy();
    shop.ends(Stage::RolledBack).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)]);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_keeps_its_weight_while_a_source_that_may_be_at_0_is_dead() -> Result<()> {
    keeps_the_target("dead-source-zero", Faults::refuse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_keeps_its_weight_while_a_source_that_may_be_at_0_hangs() -> Result<()> {
    keeps_the_target("hung-source-zero", Faults::hang).await
}

async fn keeps_the_target(name: &str, disturb: impl Fn(&Faults)) -> Result<()> {
    let scene = Scene::open(away(name)).await?;
    let shop = scene.migration(name).spec("/bake/for", "10m".into()).begin().await?;
    shop.stage(Stage::Bake).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    disturb(&faults);
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let waiting = shop.waits("RollbackWaitsForSource").await?;
    let status = waiting.status.context("a status")?;
    ensure!(status.exposed_percent == Some(100), "{:?} exposed", status.exposed_percent);
    ensure!(status.message.contains("keeps its weight until the source has 100"), "{}", status.message);
    scene.calls_to("source", 2).await?;
    ensure!(shop.weights().await? == [Some(0), Some(100)]);
    faults.healthy();
    shop.ends(Stage::RolledBack).await?;
    let writes = shop.weight_writes().await?;
    let back: Vec<_> = writes.iter().filter(|write| written(write).1.contains("RollingBack")).collect();
    let clusters: Vec<_> = back.iter().map(|write| write.cluster.as_str()).collect();
    ensure!(clusters.first() == Some(&"source"), "the target was written before the source had 100: {clusters:?}");
    shop.keeps_its_promises().await
}
