//! A home cluster that takes no status: nothing goes forward before the next try, and users come back all the same.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use namespace_migration::api::Stage;
use rig::control_plane::wait_until;
use rig::proxy::{ApiRequest, Faults};
use rig::sample_app::Fault;

use crate::scene::{LIMIT, Migration, Scene, holds_step, proxied, rollback_write};

/// A little less than the shortest wait after a failure: 1 s, of which a fifth is left to chance.
const SHORTEST_WAIT_MILLIS: i128 = 700;

/// The home cluster refuses every status of a migration from now on.
pub fn mute(home: &Faults) {
    home.answer(|request: &ApiRequest| request.is_of_status("namespacemigrations"), StatusCode::FORBIDDEN, u64::MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_status_can_be_saved_an_ingress_is_not_written_again_and_again() -> Result<()> {
    let scene = Scene::open(proxied("mute-forward")).await?;
    let home = scene.setup.home_faults().context("a home proxy")?;
    mute(&home);
    let shop = scene.migration("mute-forward").begin().await?;
    wait_until("three writes", LIMIT, || async { times(&shop).await.is_ok_and(|times| times.len() >= 3) }).await?;
    let times = times(&shop).await?;
    for two in times.windows(2) {
        ensure!(two[1] - two[0] >= SHORTEST_WAIT_MILLIS, "the Ingress was written at {times:?} ms");
    }
    home.clear();
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

/// When our weights were written, in milliseconds.
async fn times(shop: &Migration<'_>) -> Result<Vec<i128>> {
    Ok(shop.weight_writes().await?.iter().map(|write| write.time.as_nanosecond() / 1_000_000).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_status_can_be_saved_users_come_back_from_a_sick_target() -> Result<()> {
    let scene = Scene::open(proxied("mute-back")).await?;
    let shop = scene.migration("mute-back").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let home = scene.setup.home_faults().context("a home proxy")?;
    mute(&home);
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let back = async || {
        let writes = shop.weight_writes().await.unwrap_or_default();
        ["source", "target"].iter().all(|side| rollback_write(&writes, side).is_some())
    };
    wait_until("both weights of the rollback", LIMIT, back).await?;
    ensure!(holds_step(&shop.now().await?, 1), "a status was saved");
    home.clear();
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}
