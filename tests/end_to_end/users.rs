//! What migrations are like for those who use the service: real users, who ask DNS where it is, on the real external-dns.

use anyhow::{Context as _, Result, bail};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::population::Side;
use rig::setup::{self, Verification};
use serde_json::json;

use crate::scene::{Scene, Visited, holds_step};

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
        Case("users-back-between", Moment::Between(3)),
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
        Moment::Between(number) => shop.until("the step begun", |found| raises_in_step(found, number)).await?,
        Moment::Bake => shop.stage(Stage::Bake).await?,
    };
    visited.breaks();
    Ok(())
}

/// Whether the receiver of this step, from 1, has its weight, and the giver not yet.
fn raises_in_step(migration: &NamespaceMigration, number: i32) -> bool {
    let step = migration.status.as_ref().and_then(|status| status.step.as_ref());
    step.is_some_and(|step| step.index + 1 == number) && !holds_step(migration, number)
}
