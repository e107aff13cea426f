//! A zone in which nothing goes on, because of somebody else.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::route53::faults::{Active, Scope};
use rig::route53::journal::Entry;
use rig::sample_app::Fault;
use serde_json::json;

use super::{Held, Trap, goes_on, own, own_dns};
use crate::scene::{LIMIT, Scene, cause_of, holds_step, reason_of, stage_of};

/// From now on Route 53 refuses every batch of the scene's zone because of another team's record, until this is dropped.
fn is_broken(scene: &Scene) -> Result<Active> {
    let message = "Tried to create resource record set [name='broken.example.org.', type='A', set identifier='other-team'] but \
                   it already exists";
    let zone = own_dns(scene)?.zone();
    Ok(scene.world.route53().faults().refuse_batches(Scope::everything().zone(zone.name()), message))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_teams_record_that_blocks_the_zone_stops_the_shift_and_takes_nobody_back() -> Result<()> {
    let trap = Trap::new(
        "another team's broken record, for which Route 53 refuses the whole zone",
        "every batch is refused when the second step is raised",
    );
    let scene = Scene::open(own("blocked-zone", |options| options)).await?;
    let shop = scene.migration("blocked-zone-shop").spec("/traffic/upTo", json!(10)).begin().await?;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    let broken = is_broken(&scene)?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let words = ["weight 50 is written on the target", "external-dns of the target", "InvalidChangeBatch"];
    let status = trap.holds(&shop, Held::InTheShift, &["DNSLate"], &words).await?;
    ensure!(status.served == Some(10), "served: {:?}", status.served);
    ensure!(shop.weights().await? == [Some(90), Some(50)], "{:?}", shop.weights().await?);
    drop(broken);
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_dns_does_not_follow_is_written_at_once_and_says_who_is_still_exposed() -> Result<()> {
    let trap = Trap::new(
        "a rollback that is written, and that DNS does not follow",
        "every batch of the zone is refused when the target breaks at 50 percent",
    );
    let scene = Scene::open(own("lagging", |options| options)).await?;
    let shop = scene.migration("lagging-shop").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 50 percent", |found| holds_step(found, 1)).await?;
    let broken = is_broken(&scene)?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let words = "still sends 50 percent of its answers to the target";
    let waits = shop
        .until(words, |found| {
            let status = found.status.as_ref();
            let told = status.is_some_and(|status| status.message.contains(words) && !status.unblock.is_empty());
            reason_of(found) == "WaitingForRollbackDNS" && told
        })
        .await?;
    let status = waits.status.as_ref().context("a status")?;
    ensure!(status.exposed_percent == Some(50) && status.served == Some(50), "{status:?}");
    ensure!(shop.weights().await? == [Some(100), Some(0)], "it waited for DNS: {:?}", shop.weights().await?);
    trap.tells(status);
    let mark = own_dns(&scene)?.zone().mark();
    let again = |entry: &Entry| !entry.accepted();
    own_dns(&scene)?.zone().wait_for("one more refusal", mark, LIMIT, again).await?;
    ensure!(stage_of(&shop.now().await?) == Stage::RollingBack, "it ended before DNS followed");
    drop(broken);
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", cause_of(&ended));
    shop.keeps_its_promises().await
}
