//! Migrations that go well.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::PipelineState;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::setup::ANNOTATION_PREFIX;
use rig::weight_history::TARGET;

use crate::scene::{Migration, Scene, annotation, condition, quick, unverified};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_in_weighted_steps_to_the_target_and_is_served_by_both_sides() -> Result<()> {
    let scene = Scene::open(quick("moves")).await?;
    let shop = scene.migration("moves-shop").begin().await?;
    let ended = shop.ends(Stage::Completed).await?;

    // Alone, the source is lowered once to see how long DNS takes.
    let rehearsal = [(Some(100), None), (Some(99), None), (Some(100), None)];
    ensure!(shop.sequence().await? == moved_after(&rehearsal), "{:?}", shop.sequence().await?);
    ended_well(&ended)?;
    people_can_read_it(&shop).await?;
    shop.both_sides_answer().await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reads_dns_a_namespace_moves_by_the_clock_and_nothing_is_rehearsed() -> Result<()> {
    let scene = Scene::open(unverified("believes")).await?;
    let shop = scene.migration("believes-shop").begin().await?;
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(shop.sequence().await? == moved_after(&[(Some(100), None)]), "{:?}", shop.sequence().await?);
    let status = ended.status.context("a status")?;
    let accepted = status.preflight.iter().find(|finding| finding.check == "AnnotationOnly");
    ensure!(accepted.is_some_and(|finding| finding.message.contains("it is assumed")), "{:?}", status.preflight);
    ensure!(!scene.metrics().await?.contains("nsmig_dns_requests_total{"), "DNS was asked");
    shop.keeps_its_promises().await
}

/// The weights of a migration by 10, 50 and 100 percent, from the source's first ones on: source, target.
fn moved_after(first: &[(Option<i32>, Option<i32>)]) -> Vec<[Option<i32>; 2]> {
    let steps = [(100, 0), (100, 10), (90, 10), (90, 50), (50, 50), (50, 100), (0, 100)];
    let steps = steps.map(|(source, target)| (Some(source), Some(target)));
    let all = [(None, None)].into_iter().chain(first.iter().copied()).chain(steps);
    all.map(|(source, target)| [source, target]).collect()
}

/// Conditions, plan and pipeline of a completed migration.
fn ended_well(ended: &NamespaceMigration) -> Result<()> {
    let expected = [
        ("Finished", "True"),
        ("Succeeded", "True"),
        ("Ready", "True"),
        ("Reconciling", "False"),
        ("Stalled", "False"),
        ("TargetHealthy", "True"),
        ("TrafficShifted", "True"),
        ("RolledBack", "False"),
        ("SourceSilent", "Unknown"),
    ];
    for (kind, status) in expected {
        ensure!(condition(ended, kind) == status, "{kind} is {:?}, expected {status}", condition(ended, kind));
    }
    let status = ended.status.as_ref().context("a status")?;
    let plan = status.plan.as_ref().context("a plan")?;
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.weight, step.hold.as_str())).collect();
    ensure!(steps == [(10, "1s"), (50, "1s"), (100, "1s")] && plan.bake == "1s", "{plan:?}");
    ensure!(status.pipeline.len() == 11, "{:?}", status.pipeline);
    for entry in &status.pipeline {
        ensure!(entry.state == PipelineState::Done && entry.started.is_some(), "{entry:?}");
    }
    let secrets: Vec<_> = status.secrets.iter().map(|secret| (secret.name.as_str(), secret.state.as_str())).collect();
    ensure!(secrets == [("api-key", "Copied")], "{secrets:?}");
    ensure!(status.created.iter().map(|object| object.kind.as_str()).eq(["Secret", "Ingress"]), "{:?}", status.created);
    Ok(())
}

/// What kubectl shows: columns, events, waiting.
async fn people_can_read_it(migration: &Migration<'_>) -> Result<()> {
    let (kubectl, name) = (migration.scene.kubectl().await?, migration.name());
    kubectl.run(&["wait", "--for=condition=Finished", "migration", name, "-n", name, "--timeout=30s"]).await?;
    let table = kubectl.run(&["get", "migration", "-n", name]).await?;
    let row = table.lines().nth(1).context("one row")?;
    let columns: Vec<_> = row.split_whitespace().collect();
    ensure!(columns[..7] == [name, "Completed", "3/3", "100", "100", "Pass", "Completed"], "{table}");
    migration.event("Completed").await?;
    let described = kubectl.run(&["describe", "migration", name, "-n", name]).await?;
    for word in ["Preflight began.", "Bake began.", "Step 2/3: the target gets 50 percent.", "Completed"] {
        ensure!(described.contains(word), "{word} is not in:\n{described}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operator_moves_two_namespaces_at_once() -> Result<()> {
    let scene = Scene::open(quick("two")).await?;
    let (one, other) = futures::try_join!(scene.migration("two-shop").begin(), scene.migration("two-blog").begin())?;
    let (first, second) = futures::try_join!(one.ends(Stage::Completed), other.ends(Stage::Completed))?;
    let began = |migration: &NamespaceMigration| began_at(migration, Stage::ShiftTraffic);
    let ended = |migration: &NamespaceMigration| began_at(migration, Stage::Completed);
    ensure!(began(&first) < ended(&second) && began(&second) < ended(&first), "one waited for the other");
    for migration in [one, other] {
        ensure!(migration.weights().await? == [Some(0), Some(100)]);
        migration.keeps_its_promises().await?;
    }
    Ok(())
}

fn began_at(migration: &NamespaceMigration, stage: Stage) -> Option<jiff::Timestamp> {
    let pipeline = migration.status.iter().flat_map(|status| &status.pipeline);
    pipeline.into_iter().find(|entry| entry.name == stage)?.started.as_ref().map(|time| time.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_ci_deployed_to_the_target_is_at_0_before_the_source_is_converted() -> Result<()> {
    let scene = Scene::open(quick("deployed")).await?;
    let (weight, identifier) = (format!("{ANNOTATION_PREFIX}aws-weight"), format!("{ANNOTATION_PREFIX}set-identifier"));
    let shop = scene.migration("deployed-shop");
    let shop = shop.on_target(|sample| sample.with_annotation(&weight, "100").with_annotation(&identifier, "ci-green"));
    let shop = shop.with_ingress_on_target().begin().await?;
    let ended = shop.ends(Stage::Completed).await?;

    let history = shop.history().await?;
    let first = history.iter().find(|point| !point.source_stamps.is_empty() || !point.target_stamps.is_empty());
    let first = first.context("a write with our stamp")?;
    ensure!(first.cluster == TARGET && first.target[shop.name()] == 0 && first.source.is_empty(), "{first:?}");
    let ingress = shop.ingress(scene.world.target().admin_client()?).await?.context("the target's Ingress")?;
    ensure!(annotation(&ingress, "set-identifier") == Some("ci-green"), "an identifier that is there is kept");
    let created: Vec<_> = ended.status.iter().flat_map(|status| &status.created).map(|made| &made.kind).collect();
    ensure!(created == ["Secret"], "{created:?}");
    shop.keeps_its_promises().await
}
