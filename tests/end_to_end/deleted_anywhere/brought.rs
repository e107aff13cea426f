//! One migration in each stage, of one operator, before all of them are deleted.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use namespace_migration::api::{ROLLBACK_ANNOTATION, Stage};
use rig::past;
use rig::sample_app::Fault;
use rig::setup::Setup;
use serde_json::json;

use super::{Case, Target};
use crate::controls::every_stage;
use crate::controls::held::{HELD, comes_to, dns_takes};
use crate::scene::{Migration, Scene, holds_step};

/// All migrations of one operator, each in its stage.
pub type Shops<'a> = Vec<(Stage, Migration<'a>)>;

/// Those whose DNS takes long: when their weights are written, their deletion still waits for DNS.
pub const WAITS_FOR_DNS: [Stage; 3] = [Stage::WeightSource, Stage::RollingBack, Stage::RollbackBlocked];

/// One migration in each stage, those that have ended included; then the target is disturbed, and two go back.
pub async fn brought<'a>(scene: &'a Scene, slow: &'a Setup, case: Case) -> Result<Shops<'a>> {
    let name = |stage: Stage| format!("{}-{}", scene.setup.name(), stage.as_str().to_lowercase());
    let (rolling, late) = futures::try_join!(
        holding(scene, slow, name(Stage::RollingBack)),
        holding(scene, slow, name(Stage::RollbackBlocked))
    )?;
    dns_takes(scene, slow, "10m").await?;
    let held = HELD.iter().map(|held| async move {
        anyhow::Ok((held.stage, Box::pin(comes_to(scene, slow, held, &name(held.stage))).await?))
    });
    let (mut shops, completed, rolled_back, failed) = futures::try_join!(
        futures::future::try_join_all(held),
        Box::pin(completed(scene, name(Stage::Completed))),
        Box::pin(rolled_back(scene, name(Stage::RolledBack))),
        Box::pin(failed(scene, name(Stage::Failed))),
    )?;
    shops.extend([(Stage::Completed, completed), (Stage::RolledBack, rolled_back), (Stage::Failed, failed)]);
    shops.extend([(Stage::RollingBack, rolling), (Stage::RollbackBlocked, late)]);
    let missing: Vec<_> =
        every_stage()?.into_iter().filter(|name| !shops.iter().any(|(stage, _)| stage.as_str() == name)).collect();
    ensure!(missing.is_empty(), "nothing is deleted in {missing:?}");
    for (_, shop) in &shops {
        shop.change(json!({"deletionPolicy": format!("{:?}", case.policy)})).await?;
    }
    disturb(scene, slow, case.target)?;
    for (stage, shop) in shops.iter().filter(|(stage, _)| WAITS_FOR_DNS[1..].contains(stage)) {
        goes_back(scene, slow, *stage, shop, case.target).await?;
    }
    Ok(shops)
}

fn disturb(scene: &Scene, slow: &Setup, target: Target) -> Result<()> {
    for setup in [&scene.setup, slow] {
        let faults = setup.target_faults().context("a proxy before the target")?;
        match target {
            Target::Alive => {}
            Target::Hung => faults.hang(),
            Target::Gone => faults.refuse(),
        }
    }
    Ok(())
}

async fn goes_back(scene: &Scene, slow: &Setup, stage: Stage, shop: &Migration<'_>, target: Target) -> Result<()> {
    slow.application().set("target", shop.host(), Fault::Status(503));
    let waits = if target == Target::Alive { "WaitingForRollbackDNS" } else { "RollbackWaitsForTarget" };
    shop.waits(waits).await?;
    if stage == Stage::RollbackBlocked {
        passes(scene, shop, SignedDuration::from_hours(1)).await?;
        shop.stage(stage).await?;
    }
    Ok(())
}

/// One that holds at 10 percent, of the pair in which DNS takes long.
async fn holding<'a>(scene: &'a Scene, slow: &'a Setup, name: String) -> Result<Migration<'a>> {
    let draft = scene.migration(&name).spec("/clusterPair", json!(slow.name())).service(|_| slow.sample(&name));
    let shop = draft.steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    Ok(shop)
}

async fn completed(scene: &Scene, name: String) -> Result<Migration<'_>> {
    let shop = scene.migration(&name).steps(&[(100, "1s")]).begin().await?;
    shop.ends(Stage::Completed).await?;
    Ok(shop)
}

async fn rolled_back(scene: &Scene, name: String) -> Result<Migration<'_>> {
    let shop = scene.migration(&name).steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    shop.annotate(ROLLBACK_ANNOTATION, Some("before")).await?;
    shop.ends(Stage::RolledBack).await?;
    Ok(shop)
}

/// One that nobody has unblocked for longer than a preflight may take.
async fn failed(scene: &Scene, name: String) -> Result<Migration<'_>> {
    let shop = scene.migration(&name).blocked().begin().await?;
    shop.waits("PreflightBlocked").await?;
    passes(scene, &shop, SignedDuration::from_hours(25)).await?;
    shop.stage(Stage::Failed).await?;
    Ok(shop)
}

/// So much time passes at once.
async fn passes(scene: &Scene, shop: &Migration<'_>, span: SignedDuration) -> Result<()> {
    past::stage_began_earlier(scene.home().await?, shop.name(), shop.name(), span).await
}
