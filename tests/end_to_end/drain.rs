//! The operator is asked to end while it works: it finishes what it has begun, and the next process goes on exactly there.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::control_plane::wait_until;
use rig::proxy::ApiRequest;

use crate::scene::{LIMIT, Migration, Scene, holds_step, proxied};

fn weight(request: &ApiRequest) -> bool {
    request.resource == "ingresses" && request.verb == "patch"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_asked_to_end_leaves_no_write_in_flight_and_resumes_where_it_stood() -> Result<()> {
    let scene = Scene::open(proxied("drained")).await?;
    let shop = scene.migration("drained").steps(&[(10, "5s"), (50, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;

    // A write is on the wire while the operator is asked to end: it waits for the answer.
    let mut held = scene.setup.target_faults().context("a proxy before the target")?.delay_matching(weight);
    held.caught(LIMIT).await?;
    let operator = std::sync::Arc::clone(&scene.operator);
    let ending = tokio::spawn(async move { operator.lock().await.sigterm().await });
    scene_log_says(&shop, "asked to end").await?;
    held.release();
    ensure!(ending.await??.success(), "it ends with 0");
    ensure!(shop.weights().await?[1] == Some(50), "the write that was in flight is done");
    scene_log_says(&shop, "no write is in flight").await?;

    let before = shop.weight_writes().await?.len();
    scene.operator.lock().await.restart().await?;
    shop.ends(Stage::Completed).await?;
    // What is left: source 50, target 100, source 0, and the two final stamps. Nothing is written twice.
    ensure!(shop.weight_writes().await?.len() - before == 5, "{:?}", shop.sequence().await?);
    shop.keeps_its_promises().await
}

/// Reads the log file itself: the operator's lock is held while it ends.
async fn scene_log_says(shop: &Migration<'_>, text: &str) -> Result<()> {
    let path = log_path(shop);
    wait_until(&format!("the log says {text:?}"), LIMIT, || async {
        std::fs::read_to_string(&path).is_ok_and(|log| log.contains(text))
    })
    .await
}

fn log_path(shop: &Migration<'_>) -> std::path::PathBuf {
    shop.scene.world.folder().join(format!("operator-{}.log", shop.scene.setup.name()))
}
