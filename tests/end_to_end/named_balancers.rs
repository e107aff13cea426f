//! Load balancers as AWS has them: with names and addresses of both kinds. external-dns makes an alias of each kind, A and AAAA, and each
//! is a weighted group of its own; the operator resolves the names where it is told to.

use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use namespace_migration::api::Stage;
use rig::dns_server::Outcome;
use rig::population::{Cause, Family, Habit, Population, Sickness, Side};
use rig::progress::say;
use rig::route53::record::{Kind, Target};
use rig::sample_app::Fault;
use rig::weights::{Approval, share_never_above_approved, share_rose_then_fell, somebody_always_answered};
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, cause_of, holds_step, quick};

fn named(name: &str) -> rig::setup::Options {
    rig::setup::Options { named_balancers: true, ..quick(name) }
}

/// Ten users of each family with five requests a second each; one of ten remembers answers for 3 s, whatever their TTL.
async fn settle(shop: &Migration<'_>) -> Result<[Population; 2]> {
    let users = |family| rig::population::Options {
        clients: 10,
        pace: Duration::from_millis(200),
        // The machine may be slow: what counts is that the answer comes.
        patience: Duration::from_secs(10),
        habits: vec![(Habit::RemembersFor(Duration::from_secs(3)), 10)],
        family,
        ..rig::population::Options::new(shop.host())
    };
    let scene = shop.scene;
    let [v4, both] = [Family::V4, Family::Both].map(users);
    let settle = |options| async move { Population::settle(scene.world, &scene.setup, &options).await };
    Ok([settle(v4).await?, settle(both).await?])
}

/// Nobody was lost but those whom the sick side answered badly, and each family went by its own kind of addresses.
async fn were_served(people: &[Population; 2], home: Side, sick: &[Sickness]) -> Result<()> {
    for (family, people) in [Family::V4, Family::Both].into_iter().zip(people) {
        people.wait_until_all_are_at(home, LIMIT).await?;
        let report = people.report(sick, Duration::from_secs(1));
        say(format!("{family:?}: {report}"));
        let failed = || people.visits().into_iter().find(|visit| visit.failure.is_some());
        ensure!(report.requests > 0 && report.lost() == 0, "{family:?}: {report}\n{:?}", failed());
        ensure!(report.badly_answered.keys().all(|cause| *cause == Cause::Status(503)), "{family:?}: {report}");
        let strays = |address: std::net::IpAddr| address.is_ipv6() != (family == Family::Both);
        let strayed = people.visits().into_iter().find(|visit| visit.address.is_some_and(strays));
        ensure!(strayed.is_none(), "{family:?}: {strayed:?}");
    }
    Ok(())
}

/// Of each kind there was always an answer, and never more users on the target than the step allows.
fn were_answered(shop: &Migration<'_>, most: i32) -> Result<()> {
    let (world, host) = (shop.scene.world, shop.host());
    let answers = world.name_server().journal().counts(host);
    ensure!(answers.keys().all(|(_, outcome)| *outcome == Outcome::Answered), "{answers:?}");
    for kind in [Kind::A, Kind::Aaaa] {
        let history = world.zone().weights(host, kind);
        let kept = somebody_always_answered(&history)
            .and_then(|()| share_never_above_approved(&history, &[Approval::from_the_start(most)]))
            .and_then(|()| share_rose_then_fell(&history));
        kept.map_err(|broken| Error::msg(format!("served of {kind}: {broken}")))?;
        let sets = world.zone().group(host, kind);
        let aliases = sets.iter().filter(|set| matches!(&set.target, Target::Alias { .. })).count();
        ensure!(sets.len() == 2 && aliases == 2, "{sets:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_both_kinds_of_addresses_move_by_aliases_and_nobody_is_lost() -> Result<()> {
    let scene = Scene::open(named("named-move")).await?;
    let shop = scene.migration("named-move").steps(&[(1, "1s"), (50, "1s"), (100, "1s")]).deploy().await?;
    let people = settle(&shop).await?;
    shop.begin().await?;
    let ended = shop.ends(Stage::Completed).await?;
    were_served(&people, Side::Target, &[]).await?;
    were_answered(&shop, 100)?;
    let checks = ended.status.context("a status")?.checks;
    ensure!(checks.iter().any(|check| check.name.starts_with("https://")), "nothing was probed: {checks:?}");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_both_kinds_of_addresses_come_back_by_aliases_from_a_target_that_breaks() -> Result<()> {
    let scene = Scene::open(named("named-back")).await?;
    let cases = [("named-back-50", 50), ("named-back-bake", 100)];
    let runs = cases.map(|(name, most)| comes_back(&scene, name, most));
    futures::future::try_join_all(runs).await.map(drop)
}

async fn comes_back(scene: &Scene, name: &str, most: i32) -> Result<()> {
    let hold = if most == 50 { "10m" } else { "1s" };
    let draft = scene.migration(name).steps(&[(10, "1s"), (50, hold), (100, "1s")]);
    let shop = draft.spec("/bake", json!({"for": "10m"})).deploy().await?;
    let people = settle(&shop).await?;
    shop.begin().await?;
    if most == 50 {
        shop.until("the second step held", |found| holds_step(found, 2)).await?;
    } else {
        shop.stage(Stage::Bake).await?;
    }
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let sick = Sickness::of(Side::Target);
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", cause_of(&ended));
    were_served(&people, Side::Source, &[sick]).await?;
    were_answered(&shop, most)?;
    shop.keeps_its_promises().await
}
