//! Several operators, one leader: who may work, who takes over and when, and that nothing bad is written when two believe
//! that they lead, or when there is no Lease at all. What was on the wire when an operator was stopped, a raise of the target, is in
//! `in_flight`, with and without a Lease.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use namespace_migration::api::Stage;
use rig::control_plane::wait_until;
use rig::deploy::OPERATOR_NAMESPACE;
use rig::operator::Operator;
use rig::progress::say;
use rig::sample_app::Fault;
use rig::setup::{Home, Options};
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, holds_step, proxied, quick, written};

/// Short, so that its end need not be waited for.
const SHORT: Option<&str> = Some("3s");

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_past_its_lease_is_replaced_and_ends_when_it_wakes_up() -> Result<()> {
    let scene = Scene::open(Options { lease: SHORT, ..quick("leader") }).await?;
    let second = scene.another_operator("leader-second").await?;
    ensure!(leads(&second).await? == Some(false), "a standby is ready and does not lead");
    let shop = stopped_in_mid_shift(&scene, "leader-shop").await?;
    until_it_leads(&second).await?;
    the_world_moves_on(&shop).await?;

    let before = shop.weight_writes().await?.len();
    let first = scene.operator.lock().await;
    first.sigcont()?;
    let status = first.ended().await?;
    let log = first.log()?;
    drop(first);
    ensure!(!status.success(), "it ended with {status}");
    ensure!(log.contains("does not lead any more") && log.contains("is held by operator-leader-second"), "{log}");
    // It may do once more what takes users back, which changes no weight. It does nothing else.
    let writes = shop.weight_writes().await?.split_off(before);
    let forward = writes.iter().find(|write| !written(write).1.contains("RollingBack"));
    ensure!(forward.is_none(), "the old leader wrote {:?}", forward.map(written));
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.sequence().await?);
    ensure!(transitions(&scene).await? == Some(1));
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leases_an_operator_that_was_stopped_for_long_writes_nothing_bad_when_it_wakes_up() -> Result<()> {
    let scene = Scene::open(Options { lease: None, ..quick("leaderless") }).await?;
    let second = scene.another_operator("leaderless-second").await?;
    let both = [leads(&second).await?, leads(&*scene.operator.lock().await).await?];
    ensure!(both == [Some(true); 2], "both work from the start: {both:?}");
    let shop = stopped_in_mid_shift(&scene, "leaderless-shop").await?;
    the_world_moves_on(&shop).await?;

    scene.operator.lock().await.sigcont()?;
    // It has caught up when it knows how the migration ended.
    scene.until_metric(r#"nsmig_migrations{stage="RolledBack"} 1"#).await?;
    scene.until_metric(r#"nsmig_migrations{stage="ShiftTraffic"} 0"#).await?;
    ensure!(scene.operator.lock().await.is_running(), "nobody told it to end");
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.sequence().await?);
    drop(second);
    shop.keeps_its_promises().await
}

/// A migration that holds 10 percent, whose operator is stopped before it goes on.
async fn stopped_in_mid_shift<'a>(scene: &'a Scene, name: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).steps(&[(10, "3s"), (50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.operator.lock().await.sigstop()?;
    Ok(shop)
}

/// The other operator goes a step forward, and takes everything back.
async fn the_world_moves_on(shop: &Migration<'_>) -> Result<()> {
    shop.until("the hold at 50 percent", |found| holds_step(found, 2)).await?;
    shop.scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.ends(Stage::RolledBack).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_end_hands_over_at_once() -> Result<()> {
    let scene = Scene::open(Options { lease: Some("10m"), ..quick("handover") }).await?;
    let second = scene.another_operator("handover-second").await?;
    let shop = scene.migration("handover-shop").steps(&[(10, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let asked = Instant::now();
    let first = scene.operator.lock().await;
    ensure!(first.sigterm().await?.success(), "a drain ends with 0");
    ensure!(first.log()?.contains("the lease is released"), "{}", first.log()?);
    drop(first);
    until_it_leads(&second).await?;
    let took = asked.elapsed().as_secs_f32();
    say(format!("handover: the second operator leads {took:.1} s after the first was asked to end"));
    ensure!(asked.elapsed() < Duration::from_secs(60), "it waited for the lease to expire");
    shop.ends(Stage::Completed).await?;
    // Of a standby nobody notices the end.
    scene.operator.lock().await.restart().await?;
    ensure!(scene.operator.lock().await.sigterm().await?.success());
    ensure!(leads(&second).await? == Some(true) && transitions(&scene).await? == Some(1));
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_replaced_when_its_lease_expires() -> Result<()> {
    let scene = Scene::open(Options { lease: SHORT, ..quick("successor") }).await?;
    let second = scene.another_operator("successor-second").await?;
    let shop = scene.migration("successor-shop").begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.operator.lock().await.sigkill().await?;
    until_it_leads(&second).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_away_ends_and_says_who_has_it() -> Result<()> {
    let scene = Scene::open(Options { lease: SHORT, ..quick("usurped") }).await?;
    let foreign = Patch::Merge(json!({"spec": {"holderIdentity": "somebody-else"}}));
    leases(&scene).await?.patch("usurped", &PatchParams::default(), &foreign).await?;
    let first = scene.operator.lock().await;
    ensure!(!first.ended().await?.success(), "it ended as if all were well");
    let log = first.log()?;
    ensure!(log.contains("the Lease namespace-migration/usurped is held by somebody-else now"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_ask_for_its_lease_goes_no_step_forward_and_still_takes_users_back() -> Result<()> {
    let scene = Scene::open(Options { lease: SHORT, home: Home::Third, ..proxied("unproved") }).await?;
    let (forward, back) = futures::try_join!(
        scene.migration("unproved-on").steps(&[(10, "6s"), (100, "1s")]).begin(),
        scene.migration("unproved-back").steps(&[(10, "10m"), (100, "1s")]).begin(),
    )?;
    for shop in [&forward, &back] {
        shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    }
    let home = scene.setup.home_faults().context("a proxy before the home")?;
    home.refuse();
    scene.until_metric("nsmig_leader 0").await?;
    scene.setup.application().set("target", back.host(), Fault::Status(503));
    let taken_back = async || Ok((back.weights().await? == [Some(100), Some(0)]).then_some(()));
    scene.eventually("the users back on the source while the home is away", taken_back).await?;
    // Longer than what was left of the hold: 60 rounds of 200 ms.
    forward.stays_as_it_is(60).await?;
    ensure!(forward.weights().await? == [Some(90), Some(10)], "{:?}", forward.sequence().await?);

    home.healthy();
    scene.until_metric("nsmig_leader 1").await?;
    back.ends(Stage::RolledBack).await?;
    forward.ends(Stage::Completed).await?;
    back.keeps_its_promises().await?;
    forward.keeps_its_promises().await
}

/// Whether an operator says that it leads; None when it says nothing.
async fn leads(operator: &Operator) -> Result<Option<bool>> {
    let metrics = operator.metrics().await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("nsmig_leader "));
    Ok(line.map(|value| value == "1"))
}

async fn until_it_leads(operator: &Operator) -> Result<()> {
    wait_until("the second operator leads", LIMIT, || async { matches!(leads(operator).await, Ok(Some(true))) }).await
}

async fn leases(scene: &Scene) -> Result<Api<Lease>> {
    Ok(Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE))
}

/// How often the setup's Lease went from one holder to another.
async fn transitions(scene: &Scene) -> Result<Option<i32>> {
    Ok(leases(scene).await?.get(scene.setup.name()).await?.spec.and_then(|spec| spec.lease_transitions))
}
