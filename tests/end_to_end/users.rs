//! What migrations are like for those who use the service: real users, who ask DNS where it is, on the real external-dns.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::dns_server::Outcome;
use rig::population::{Habit, Options, Population, Report, Sickness, Side};
use rig::route53::record::Kind;
use rig::sample_app::Fault;
use rig::setup::{self, Verification};
use rig::weights::{share_never_above, share_rose_then_fell, somebody_always_answered};
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, holds_step};

/// When the target of a migration breaks.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Never.
    Never,
    /// While the step of this number is held, from 1.
    Held(i32),
    /// After the target of the step of this number was raised, and before the source was lowered.
    Between(i32),
    /// With everybody there.
    Bake,
}

/// A migration by its name, when its target breaks, and the largest share of the answers that it may ever have had.
struct Case(&'static str, Moment, i32);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_service_but_those_whom_the_sick_target_answers_badly() -> Result<()> {
    let cases = [
        Case("users-move", Moment::Never, 100),
        Case("users-back-1", Moment::Held(1), 1),
        Case("users-back-10", Moment::Held(2), 10),
        Case("users-back-50", Moment::Held(3), 50),
        Case("users-back-100", Moment::Held(4), 100),
        Case("users-back-between", Moment::Between(3), 50),
        Case("users-back-bake", Moment::Bake, 100),
    ];
    let dns = ["3s", "300ms", "1s"];
    let options = setup::Options { dns, verification: Verification::Route53, ..setup::Options::new("users") };
    let scene = Scene::open(options).await?;
    futures::future::try_join_all(cases.iter().map(|case| moves_under_load(&scene, case))).await?;
    Ok(())
}

async fn moves_under_load(scene: &Scene, case: &Case) -> Result<()> {
    let Case(name, moment, _) = case;
    let holds = |number| if matches!(moment, Moment::Held(held) if *held == number) { "10m" } else { "1s" };
    let steps = [(1, holds(1)), (10, holds(2)), (50, holds(3)), (100, holds(4))];
    let bake = if matches!(moment, Moment::Bake) { "10m" } else { "1s" };
    let draft = scene.migration(name).steps(&steps).spec("/bake", json!({ "for": bake }));
    let shop = draft.deploy().await?;
    let people = Population::settle(scene.world, &scene.setup, &users(shop.host())).await?;
    shop.begin().await?;
    let (sick, home) = match moment {
        Moment::Never => (vec![], Side::Target),
        _ => (vec![falls_ill(&shop, *moment).await?], Side::Source),
    };
    let ended = if sick.is_empty() { Stage::Completed } else { Stage::RolledBack };
    shop.ends(ended).await?;
    people.wait_until_all_are_at(home, LIMIT).await.with_context(|| format!("{name} has ended"))?;
    let report = people.report(&sick, Duration::from_secs(1));
    println!("{name}: {report}");
    nobody_was_lost(&report)
        .with_context(|| format!("{name}: {:?}", people.visits().iter().find(|v| v.failure.is_some())))?;
    dns_kept_its_promises(scene, &shop, case).with_context(|| format!("{name} at {moment:?}"))?;
    shop.keeps_its_promises().await
}

/// Ten users with five requests a second each; one of them remembers answers for 3 s, whatever their TTL.
fn users(host: &str) -> Options {
    let habits = vec![(Habit::RemembersFor(Duration::from_secs(3)), 10)];
    Options { clients: 10, pace: Duration::from_millis(200), habits, ..Options::new(host) }
}

/// Waits for the moment, and breaks the target.
async fn falls_ill(shop: &Migration<'_>, moment: Moment) -> Result<Sickness> {
    match moment {
        Moment::Never => bail!("{} is to stay healthy", shop.name()),
        Moment::Held(number) => shop.until("the step held", |found| holds_step(found, number)).await?,
        Moment::Between(number) => shop.until("the step begun", |found| raises_in_step(found, number)).await?,
        Moment::Bake => shop.stage(Stage::Bake).await?,
    };
    shop.scene.setup.application().set("target", shop.host(), Fault::Status(503));
    Ok(Sickness::of(Side::Target))
}

/// Whether the receiver of this step, from 1, has its weight, and the giver not yet.
fn raises_in_step(migration: &NamespaceMigration, number: i32) -> bool {
    let step = migration.status.as_ref().and_then(|status| status.step.as_ref());
    step.is_some_and(|step| step.index + 1 == number) && !holds_step(migration, number)
}

fn nobody_was_lost(report: &Report) -> Result<()> {
    ensure!(report.requests > 0 && report.lost() == 0, "{report}");
    Ok(())
}

/// No empty or negative answer, never two zeros, and no more users on the target than its step allows, as served.
fn dns_kept_its_promises(scene: &Scene, shop: &Migration<'_>, Case(_, _, most): &Case) -> Result<()> {
    let answers = scene.world.name_server().journal().counts(shop.host());
    ensure!(answers.keys().all(|(_, outcome)| *outcome == Outcome::Answered), "{answers:?}");
    let history = scene.world.zone().weights(shop.host(), Kind::A);
    let kept = somebody_always_answered(&history)
        .and_then(|()| share_never_above(&history, *most))
        .and_then(|()| share_rose_then_fell(&history));
    kept.map_err(|broken| anyhow::anyhow!("served: {broken}"))
}
