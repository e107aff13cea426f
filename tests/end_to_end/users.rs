//! What migrations are like for those who use the service: real users, who ask DNS where it is, on the real external-dns.

use anyhow::{Context as _, Result, bail, ensure};
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use rig::population::Side;
use rig::setup::{self, Verification};
use serde_json::json;

use crate::scene::{Scene, Visited, holds_step, phase_of_step, reason_of, with_own_dns, written};

/// When the target of a migration breaks.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Never.
    Never,
    /// While the step of this number is held, from 1.
    Held(i32),
    /// With everybody there.
    Bake,
}

/// A migration by its name, and when its target breaks.
struct Case(&'static str, Moment);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_service_but_those_whom_the_sick_target_answers_badly() -> Result<()> {
    let cases = [
        Case("users-move", Moment::Never),
        Case("users-back-1", Moment::Held(1)),
        Case("users-back-10", Moment::Held(2)),
        Case("users-back-50", Moment::Held(3)),
        Case("users-back-100", Moment::Held(4)),
        Case("users-back-bake", Moment::Bake),
    ];
    let dns = ["3s", "300ms", "1s"];
    let verification = Verification::Route53;
    let options = setup::Options { dns, verification, ..setup::Options::new("users") };
    let scene = Scene::open(options).await?;
    futures::future::try_join_all(cases.iter().map(|case| moves_under_load(&scene, case))).await?;
    Ok(())
}

async fn moves_under_load(scene: &Scene, Case(name, moment): &Case) -> Result<()> {
    let holds = |number| if matches!(moment, Moment::Held(held) if *held == number) { "10m" } else { "1s" };
    let steps = [(1, holds(1)), (10, holds(2)), (50, holds(3)), (100, holds(4))];
    let bake = if matches!(moment, Moment::Bake) { "10m" } else { "1s" };
    let visited = Visited::begin(scene.migration(name).steps(&steps).spec("/bake", json!({ "for": bake }))).await?;
    let (ended, home) = match moment {
        Moment::Never => (Stage::Completed, Side::Target),
        _ => (Stage::RolledBack, Side::Source),
    };
    if ended == Stage::RolledBack {
        falls_ill(&visited, *moment).await?;
    }
    visited.shop.ends(ended).await?;
    visited.keeps_its_promises(home).await.with_context(|| format!("{name} at {moment:?}"))
}

/// Waits for the moment, and breaks the target.
async fn falls_ill(visited: &Visited<'_>, moment: Moment) -> Result<()> {
    let shop = &visited.shop;
    match moment {
        Moment::Never => bail!("{} is to stay healthy", shop.name()),
        Moment::Held(number) => shop.until("the step held", |found| holds_step(found, number)).await?,
        Moment::Bake => shop.stage(Stage::Bake).await?,
    };
    visited.breaks();
    Ok(())
}

/// After the target of a step was raised, and before the source is lowered: the target's external-dns stands still, so that it stays so.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_step_everybody_comes_back_as_well() -> Result<()> {
    let scene = Scene::open(with_own_dns("users-between")).await?;
    let draft = scene.migration("users-between-shop").steps(&[(10, "1s"), (50, "1s"), (100, "1s")]);
    let visited = Visited::begin(draft.spec("/traffic/upTo", json!(10))).await?;
    let shop = &visited.shop;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    let target = &scene.setup.own_dns().context("external-dns of its own")?.external_dns().target;
    target.pause().await?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    shop.until("the target raised", |found| phase_of_step(found, 2) == Some(StepPhase::TargetSettling)).await?;
    visited.breaks();
    shop.stage(Stage::RollingBack).await?;
    target.resume().await?;
    shop.ends(Stage::RolledBack).await?;
    let writes = shop.weight_writes().await?;
    let last = |cluster: &str| {
        let mut forward =
            writes.iter().filter(|write| write.cluster == cluster && written(write).1.contains("Forward"));
        forward.next_back().map(|write| written(write).0.to_owned()).unwrap_or_default()
    };
    ensure!([last("source"), last("target")] == ["90", "50"], "{} and {}", last("source"), last("target"));
    visited.keeps_its_promises(Side::Source).await
}
