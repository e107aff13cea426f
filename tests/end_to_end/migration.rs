//! Migrations that go well.

use anyhow::{Result, ensure};
use namespace_migration::api::Stage;

use crate::scene::{Scene, condition, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_in_weighted_steps_to_the_target_and_is_served_by_both_sides() -> Result<()> {
    let scene = Scene::open(quick("moves")).await?;
    let shop = scene.migration("moves-shop").begin().await?;
    let ended = shop.ends(Stage::Completed).await?;

    let steps = [(100, None), (100, Some(0)), (100, Some(10)), (90, Some(10)), (90, Some(50)), (50, Some(50))];
    let expected = steps.into_iter().chain([(50, Some(100)), (0, Some(100))]);
    let expected: Vec<_> = expected.map(|(source, target)| [Some(source), target]).collect();
    let found = shop.sequence().await?;
    ensure!(found == [vec![[None, None]], expected].concat(), "{found:?}");
    for (kind, status) in [("Finished", "True"), ("Succeeded", "True"), ("Ready", "True"), ("SourceSilent", "Unknown")]
    {
        ensure!(condition(&ended, kind) == status, "{kind}: {:?}", ended.status);
    }
    shop.both_sides_answer().await?;
    shop.keeps_its_promises().await
}
