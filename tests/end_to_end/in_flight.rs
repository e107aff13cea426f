//! An old write that is still on the wire when a rollback has been written changes nothing, whenever it arrives.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::proxy::{ApiRequest, Held};
use rig::sample_app::Fault;
use rig::setup::Options;

use crate::scene::{LIMIT, Migration, Scene, holds_step, proxied};

fn raise_to_100(request: &ApiRequest) -> bool {
    request.resource == "ingresses" && request.verb == "patch" && weight_of(request) == Some("100")
}

fn weight_of(request: &ApiRequest) -> Option<&str> {
    request.annotation(&format!("{}aws-weight", rig::setup::ANNOTATION_PREFIX))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_raise_that_arrives_after_the_rollback_changes_nothing() -> Result<()> {
    let scene = Scene::open(proxied("in-flight")).await?;
    let (shop, mut held) = raise_on_the_wire(&scene, "in-flight").await?;
    // Its sender dies; the next process decides anew, on a target that is unhealthy by now.
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    scene.crash_and_restart().await?;
    arrives_too_late(&shop, &mut held).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_operators_the_slower_ones_raise_changes_nothing_after_the_others_rollback() -> Result<()> {
    wakes_up_too_late("two-operators", None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_raise_of_a_leader_that_lost_its_lease_changes_nothing_after_the_next_ones_rollback() -> Result<()> {
    wakes_up_too_late("two-leaders", Some("3s")).await
}

async fn wakes_up_too_late(name: &str, lease: Option<&'static str>) -> Result<()> {
    let scene = Scene::open(Options { lease, ..proxied(name) }).await?;
    let (shop, mut held) = raise_on_the_wire(&scene, name).await?;
    scene.operator.lock().await.sigstop()?;
    let second = scene.another_operator(&format!("{name}-second")).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.stage(Stage::RolledBack).await?;
    // The first one wakes up with its old memory: without a Lease it works on beside the second, else it ends.
    let first = scene.operator.lock().await;
    first.sigcont()?;
    if lease.is_some() {
        ensure!(!first.ended().await?.success(), "it lost its Lease and ended as if all were well");
    }
    drop(first);
    let result = arrives_too_late(&shop, &mut held).await;
    drop(second);
    result
}

/// A migration that holds 50 percent, and its write of 100 to the target, which the API server has not seen.
async fn raise_on_the_wire<'a>(scene: &'a Scene, name: &str) -> Result<(Migration<'a>, Held)> {
    let held = scene.setup.target_faults().context("a proxy before the target")?.delay_matching(raise_to_100);
    let shop = scene.migration(name).steps(&[(50, "1s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 50 percent", |found| holds_step(found, 1)).await?;
    let mut held = held;
    let caught = held.caught(LIMIT).await?;
    ensure!(caught.namespace == name, "the held write is another one's: {caught:?}");
    Ok((shop, held))
}

async fn arrives_too_late(shop: &Migration<'_>, held: &mut Held) -> Result<()> {
    shop.stage(Stage::RolledBack).await?;
    let before = shop.history().await?.len();
    held.release();
    let answer = held.status(LIMIT).await?;
    ensure!(answer.as_u16() == 409, "the API server answered {answer} to the old write, expected 409");
    ensure!(shop.history().await?.len() == before, "the old write changed something");
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}
