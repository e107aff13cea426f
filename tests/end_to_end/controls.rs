//! What a person can do in each stage: every annotation and every field of the spec, in every stage, also where it makes no
//! sense. One migration for each stage goes through all of it; the output has the table, and no row may be missing.

mod annotations;
mod back;
mod edits;
mod ended;
pub mod held;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use kube::CustomResourceExt as _;
use namespace_migration::api::status::RequestKind;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::progress::say;
use rig::setup::Options;

use crate::scene::{Scene, proxied, quick};

/// One cell of the table.
struct Row {
    stage: Stage,
    control: &'static str,
    happened: String,
}

fn row(stage: Stage, control: &'static str, happened: impl Into<String>) -> Row {
    Row { stage, control, happened: happened.into() }
}

/// Every control: annotations by their names, fields by their paths, with what is done to them.
const CONTROLS: [&str; 21] = [
    "retry-requested",
    "paused",
    "suspend",
    "suspend ended",
    "traffic.upTo lowered",
    "traffic.upTo raised",
    "traffic.steps",
    "traffic.steps hold",
    "checks",
    "probes",
    "onFailure",
    "bake",
    "preflight",
    "secrets",
    "ingresses",
    "rollback",
    "deletionPolicy",
    "clusterPair",
    "namespace",
    "attempt",
    "rollback-requested",
];

/// The annotation's name without its prefix. A kind that is added needs rows, and its name here.
const fn control_of(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Rollback => "rollback-requested",
        RequestKind::Retry => "retry-requested",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_does_what_it_says_in_every_stage() -> Result<()> {
    // In the second pair DNS takes so long that WeightSource can be met.
    let slow = Options { dns: ["1s", "10m", "1s"], ..quick("controls-dns") };
    let (scene, second) = Scene::open_with_second_pair(quick("controls"), slow).await?;
    let sick = Scene::open(proxied("controls-back")).await?;
    let forward = held::HELD.iter().map(|held| Box::pin(held::through_all_controls(&scene, &second, held)));
    let (forward, held, ended, back) = futures::try_join!(
        futures::future::try_join_all(forward),
        Box::pin(held::comes_down_while_held(&scene)),
        Box::pin(ended::through_all_controls(&scene)),
        Box::pin(back::through_all_controls(&sick)),
    )?;
    let mut rows: Vec<_> = forward.into_iter().flatten().chain([held]).chain(ended).chain(back).collect();
    rows.sort_by_key(|row| (row.stage, CONTROLS.iter().position(|control| *control == row.control)));
    print_table(&rows);
    no_row_is_missing(&rows)
}

fn print_table(rows: &[Row]) {
    let head = format!("{:<16} {:<21} what happened", "stage", "control");
    let lines = rows.iter().map(|row| format!("{:<16} {:<21} {}", row.stage.as_str(), row.control, row.happened));
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    say(format!("every control in every stage\n{}", lines.join("\n")));
}

/// Stages and fields are read from the API itself: one that is added fails here until it has its rows.
fn no_row_is_missing(rows: &[Row]) -> Result<()> {
    let found: BTreeSet<_> = rows.iter().map(|row| (row.stage.as_str().to_owned(), row.control)).collect();
    let stages = every_stage()?;
    let expected = stages.iter().flat_map(|stage| CONTROLS.map(|control| (stage.clone(), control)));
    let missing: Vec<_> = expected.filter(|cell| !found.contains(cell)).collect();
    ensure!(missing.is_empty(), "no row for {missing:?}");
    for kind in [RequestKind::Rollback, RequestKind::Retry] {
        ensure!(CONTROLS.contains(&control_of(kind)), "no column for {kind:?}");
    }
    let covered = |field: &String| CONTROLS.iter().any(|control| control.split(['.', ' ']).next() == Some(field));
    let uncovered: Vec<_> = fields_of_the_spec()?.into_iter().filter(|field| !covered(field)).collect();
    ensure!(uncovered.is_empty(), "no column for the fields {uncovered:?} of the spec");
    Ok(())
}

fn schema() -> Result<serde_json::Value> {
    let crd = serde_json::to_value(NamespaceMigration::crd())?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties");
    schema.cloned().context("the schema of NamespaceMigration")
}

pub fn every_stage() -> Result<Vec<String>> {
    let schema = schema()?;
    let stages = schema.pointer("/status/properties/stage/enum").and_then(serde_json::Value::as_array);
    let stages = stages.context("the stages in the schema")?;
    Ok(stages.iter().filter_map(|stage| stage.as_str().map(str::to_owned)).collect())
}

fn fields_of_the_spec() -> Result<Vec<String>> {
    let schema = schema()?;
    let fields = schema.pointer("/spec/properties").and_then(serde_json::Value::as_object);
    Ok(fields.context("the fields in the schema")?.keys().cloned().collect())
}
