//! A migration that is finished, and one in a hold, cost the API servers nothing: no write, and no read that is not a watch.

use anyhow::{Result, ensure};
use namespace_migration::api::Stage;
use rig::deploy::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, SOURCE_ACCOUNT, TARGET_ACCOUNT};
use rig::recorder::{Mark, Recorder, Write};

use crate::scene::{Scene, holds_step, quick};

/// Rounds of probes in which a request would show.
const ROUNDS: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_migration_and_one_in_a_hold_make_no_request() -> Result<()> {
    let scene = Scene::open(quick("quiet")).await?;
    let done = scene.migration("quiet-done").begin().await?;
    done.ends(Stage::Completed).await?;
    let held = scene.migration("quiet-held").steps(&[(10, "1h"), (100, "1s")]).begin().await?;
    held.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    // The status that says so was the last write; the event about the step was told before it.
    scene.probe_rounds(5).await?;

    let marks = marks(&scene).await?;
    scene.probe_rounds(ROUNDS).await?;
    for (recorder, mark) in recorders(&scene).into_iter().zip(marks) {
        // Other tests' operators have the same identities; they work in other namespaces.
        let ours = |namespace: &str| namespace.starts_with("quiet-");
        let about =
            |write: &Write| ours(&write.namespace) || (write.resource == "clusterpairs" && write.name == "quiet");
        let writes: Vec<_> = recorder.since(mark).await?.into_iter().filter(about).collect();
        ensure!(writes.is_empty(), "{:?}", writes.iter().map(Write::summary).collect::<Vec<_>>());
        let reads = recorder.reads(mark, |read| ours(&read.namespace) && is_operator(&read.user)).await?;
        let polls: Vec<_> = reads.iter().filter(|((verb, _), _)| verb != "watch").collect();
        ensure!(polls.is_empty(), "{polls:?}");
    }
    held.keeps_its_promises().await
}

fn recorders(scene: &Scene) -> [Recorder; 2] {
    [scene.world.source(), scene.world.target()].map(|cluster| Recorder::open(cluster.name(), cluster.audit_log()))
}

async fn marks(scene: &Scene) -> Result<[Mark; 2]> {
    let [source, target] = recorders(scene);
    Ok([source.mark().await?, target.mark().await?])
}

fn is_operator(user: &str) -> bool {
    let accounts = [OPERATOR_ACCOUNT, SOURCE_ACCOUNT, TARGET_ACCOUNT];
    accounts.iter().any(|account| user == format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{account}"))
}
