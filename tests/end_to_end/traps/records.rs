//! Records at a host that cannot be shifted as they are.

use anyhow::Result;
use rig::route53::journal::{Action, Change};
use rig::route53::record::{Kind, RecordSet};
use rig::setup::ANNOTATION_PREFIX;
use serde_json::json;

use super::{Held, Trap, annotate, goes_on, is_published};
use crate::scene::{Migration, Scene, quick, reason_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_latency_or_failover_routing_is_held_before_the_first_write() -> Result<()> {
    let scene = Scene::open(quick("routing")).await?;
    let latency = Trap::new(
        "a host that is routed by latency already: its policy cannot change cluster by cluster",
        "the source's Ingress has an identifier and aws-region",
    );
    let failover = Trap::new(
        "a host that is routed by failover already: its policy cannot change cluster by cluster",
        "the source's Ingress has an identifier and aws-failover",
    );
    futures::try_join!(
        is_routed(&scene, &latency, "routing-latency", ["aws-region", "eu-west-2"], "latency routing"),
        is_routed(&scene, &failover, "routing-failover", ["aws-failover", "PRIMARY"], "failover routing"),
    )?;
    Ok(())
}

async fn is_routed(scene: &Scene, trap: &Trap, name: &str, [policy, value]: [&str; 2], words: &str) -> Result<()> {
    let draft = scene.migration(name).service(|sample| {
        let identified = sample.with_annotation(&format!("{ANNOTATION_PREFIX}set-identifier"), name);
        identified.with_annotation(&format!("{ANNOTATION_PREFIX}{policy}"), value)
    });
    let shop = draft.deploy().await?;
    is_published(scene.world.zone(), &shop, Kind::A).await?;
    shop.begin().await?;
    let words = [words, "only simple and weighted records can be shifted", "spec.ingresses.exclude"];
    trap.holds(&shop, Held::Untouched, &["DNSBlocked", "PreflightBlocked"], &words).await?;
    annotate(&shop, scene.world.source(), &["set-identifier-", &format!("{policy}-")]).await?;
    goes_on(&shop).await
}

/// Somebody's record beside those of a migration, in the kind of its addresses.
fn third(shop: &Migration<'_>) -> RecordSet {
    RecordSet::simple(shop.host(), Kind::A, 1, ["127.0.9.9"]).weighted("somebodys", 50)
}

fn remove_third(shop: &Migration<'_>) -> Result<()> {
    let removed = Change { action: Action::Delete, set: third(shop) };
    shop.scene.world.zone().change("somebody", vec![removed]).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    Ok(())
}

const WORDS: [&str; 3] = ["a third A record at", "somebodys with weight 50", "Remove the record somebodys"];

#[tokio::test(flavor = "multi_thread")]
async fn a_third_record_is_held_before_the_first_write_and_between_two_steps() -> Result<()> {
    let scene = Scene::open(quick("third")).await?;
    futures::try_join!(is_there_before(&scene), comes_in_the_shift(&scene))?;
    Ok(())
}

/// The source is weighted already, as after an earlier move, so that somebody could put a record beside it.
async fn is_there_before(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "a third record at the host, whose share nobody here can give away",
        "by hand, before the migration, beside a weighted record",
    );
    let draft = scene.migration("third-before").service(|sample| {
        let identified = sample.with_annotation(&format!("{ANNOTATION_PREFIX}set-identifier"), "third-green");
        identified.with_annotation(&format!("{ANNOTATION_PREFIX}aws-weight"), "100")
    });
    let shop = draft.deploy().await?;
    is_published(scene.world.zone(), &shop, Kind::A).await?;
    scene.world.zone().create("somebody", third(&shop)).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    shop.begin().await?;
    trap.holds(&shop, Held::Untouched, &["DNSBlocked", "PreflightBlocked"], &WORDS).await?;
    remove_third(&shop)?;
    goes_on(&shop).await
}

async fn comes_in_the_shift(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "a third record at the host, whose share nobody here can give away",
        "by hand, while 10 percent of the users are on the target",
    );
    let shop = scene.migration("third-later").spec("/traffic/upTo", json!(10)).begin().await?;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    scene.world.zone().create("somebody", third(&shop)).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    trap.holds(&shop, Held::InTheShift, &["DNSBlocked"], &WORDS).await?;
    remove_third(&shop)?;
    goes_on(&shop).await
}
