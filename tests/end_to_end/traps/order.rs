//! Things that come in the wrong order, or twice.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::control_plane::wait_until;
use rig::route53::journal::{Action, Entry};
use rig::route53::record::{Kind, Routing};
use rig::setup::ANNOTATION_PREFIX;

use super::{Held, Trap, is_published, own, own_dns};
use crate::scene::{LIMIT, Migration, Scene, phase_of_step, quick, reason_of, written};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_published_before_the_source_is_weighted_appears_at_0_and_not_before_it() -> Result<()> {
    let scene = Scene::open(quick("early")).await?;
    let draft = scene.migration("early-shop").on_target(|sample| {
        let identified = sample.with_annotation(&format!("{ANNOTATION_PREFIX}set-identifier"), "early-green");
        identified.with_annotation(&format!("{ANNOTATION_PREFIX}aws-weight"), "100")
    });
    let zone = scene.world.zone();
    let (mark, shop) = (zone.mark(), draft.deploy().await?);
    is_published(zone, &shop, Kind::A).await?;
    // CI is a day early.
    shop.sample
        .clone()
        .with_annotation(&format!("{ANNOTATION_PREFIX}set-identifier"), "early-green")
        .with_annotation(&format!("{ANNOTATION_PREFIX}aws-weight"), "100")
        .create_ingress(&scene.target())
        .await?;
    let refused = |entry: &Entry| entry.caller == "target" && entry.is_about(shop.host()) && !entry.accepted();
    zone.wait_for("a refusal of the weighted record beside the simple one", mark, LIMIT, refused).await?;
    shop.begin().await?;
    shop.ends(Stage::Completed).await?;
    comes_after_the_source(&zone.journal()[mark..], &shop)?;
    shop.keeps_its_promises().await
}

/// The source's record was weighted before the target's was accepted, which began at 0.
fn comes_after_the_source(journal: &[Entry], shop: &Migration<'_>) -> Result<()> {
    let accepted = |caller: &str| -> Vec<_> {
        let entries = journal.iter().filter(|entry| entry.caller == caller && entry.accepted());
        let sets = entries.filter_map(|entry| {
            let set = |action| entry.change(action, shop.host(), Kind::A);
            Some((entry.number, set(Action::Create).or(set(Action::Upsert))?.routing.clone()))
        });
        sets.collect()
    };
    let (weighted, _) =
        accepted("source").into_iter().find(|(_, routing)| *routing != Routing::Simple).context("a weighted source")?;
    let (published, routing) = accepted("target").into_iter().next().context("a record of the target")?;
    ensure!(weighted < published, "the target's record {published} came before the source's {weighted}");
    ensure!(routing == Routing::Weighted(0), "it appeared with {routing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_restarted_in_the_middle_of_a_step_waits_on_and_writes_nothing_twice() -> Result<()> {
    let trap = Trap::new(
        "an operator that dies in the middle of a step and would do it again",
        "the target's external-dns stands still when the second step is raised; the operator is killed and started again",
    );
    let scene = Scene::open(own("again", |options| options)).await?;
    let draft = scene.migration("again-shop").steps(&[(10, "1s"), (50, "1s"), (100, "1s")]);
    let shop = draft.spec("/traffic/upTo", serde_json::json!(10)).begin().await?;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    let target = &own_dns(&scene)?.external_dns().target;
    target.pause().await?;
    shop.change(serde_json::json!({"traffic": {"upTo": 100}})).await?;
    let before = shop
        .until("the second step raised", |found| phase_of_step(found, 2) == Some(StepPhase::TargetSettling))
        .await?;
    let writes = shop.weight_writes().await?.len();
    scene.crash_and_restart().await?;
    trap.holds(&shop, Held::InTheShift, &["DNSLate"], &["weight 50 is written on the target"]).await?;
    let after = shop.now().await?;
    let since = |found: &NamespaceMigration| Some(found.status.as_ref()?.step.as_ref()?.since.clone());
    ensure!(since(&before) == since(&after), "the step began anew: {:?}, {:?}", since(&before), since(&after));
    ensure!(shop.weight_writes().await?.len() == writes, "something was written again");
    target.resume().await?;
    shop.ends(Stage::Completed).await?;
    nothing_twice(&shop).await?;
    shop.keeps_its_promises().await
}

/// Each weight was written once on each side, but for the final stamps.
async fn nothing_twice(shop: &Migration<'_>) -> Result<()> {
    let writes = shop.weight_writes().await?;
    let forward = writes.iter().filter(|write| written(write).1.contains("Forward"));
    let weights: Vec<_> = forward.map(|write| (write.cluster.as_str(), written(write).0)).collect();
    let expected = [
        ("source", "100"),
        ("source", "99"),
        ("source", "100"),
        ("target", "0"),
        ("target", "10"),
        ("source", "90"),
        ("target", "50"),
        ("source", "50"),
        ("target", "100"),
        ("source", "0"),
    ];
    ensure!(weights == expected, "{weights:?}");
    let settled =
        || async { shop.now().await.is_ok_and(|found| found.status.is_some_and(|status| status.step_text == "3/3")) };
    wait_until("the last step in status", LIMIT, settled).await
}
