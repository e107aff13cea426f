//! Edits of each field of the spec: in force at once, taken up into the plan, told to come later, or refused by the API server.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use serde_json::{Value, json};

use super::held::Held;
use super::{Row, row};
use crate::scene::{Migration, PERSON, reason_of};

/// A field, and another value for it, from the spec as it is.
struct Edit {
    control: &'static str,
    /// The second argument is the name of an Ingress.
    change: fn(&Value, &str) -> Value,
}

const EDITS: [Edit; 11] = [
    Edit { control: "traffic.steps", change: |spec, _| json!({"traffic": {"steps": with_another_step(spec)}}) },
    Edit { control: "traffic.steps hold", change: |spec, _| json!({"traffic": {"steps": with_another_hold(spec)}}) },
    Edit {
        control: "checks",
        change: |spec, _| {
            let name = another("check", &spec["checks"]);
            json!({"checks": with(&spec["checks"], json!({"name": name, "http": {"path": "/"}}))})
        },
    },
    Edit {
        control: "probes",
        change: |spec, _| json!({"probes": {"timeout": other(&spec["probes"]["timeout"], ["3s", "4s"])}}),
    },
    Edit {
        control: "onFailure",
        change: |spec, _| json!({"onFailure": other(&spec["onFailure"], ["Hold", "Rollback"])}),
    },
    Edit { control: "bake", change: |spec, _| json!({"bake": {"for": other(&spec["bake"]["for"], ["20m", "21m"])}}) },
    Edit {
        control: "preflight",
        change: |spec, _| {
            let known = &spec["preflight"]["acknowledge"];
            let accepted = json!({"check": another("Check", known), "reason": "it is known"});
            json!({"preflight": {"acknowledge": with(known, accepted)}})
        },
    },
    Edit {
        control: "secrets",
        change: |spec, _| json!({"secrets": {"include": with_another(&spec["secrets"]["include"])}}),
    },
    Edit {
        control: "ingresses",
        change: |spec, ingress| {
            let excluded = with(&spec["ingresses"]["exclude"], json!(ingress));
            json!({"ingresses": {"exclude": excluded}})
        },
    },
    Edit {
        control: "rollback",
        change: |spec, _| json!({"rollback": {"objects": other(&spec["rollback"]["objects"], ["Remove", "Keep"])}}),
    },
    Edit {
        control: "deletionPolicy",
        change: |spec, _| json!({"deletionPolicy": other(&spec["deletionPolicy"], ["Freeze", "Rollback"])}),
    },
];

/// The one of two values that the field does not have.
fn other<'a>(value: &Value, [one, two]: [&'a str; 2]) -> &'a str {
    if value == one { two } else { one }
}

/// A name that is not in the list.
fn another(what: &str, list: &Value) -> String {
    format!("{what}-{}", list.as_array().map_or(0, Vec::len))
}

fn with(list: &Value, more: Value) -> Value {
    Value::Array(list.as_array().into_iter().flatten().cloned().chain([more]).collect())
}

fn with_another(list: &Value) -> Value {
    with(list, json!(another("another", list)))
}

fn with_another_step(spec: &Value) -> Value {
    let mut steps = spec["traffic"]["steps"].as_array().cloned().unwrap_or_default();
    let last = steps.pop().unwrap_or_default();
    let highest = steps.last().and_then(|step| step["weight"].as_i64()).unwrap_or(0);
    steps.extend([json!({"weight": highest.max(59) + 1, "hold": "10m"}), last]);
    Value::Array(steps)
}

fn with_another_hold(spec: &Value) -> Value {
    let mut steps = spec["traffic"]["steps"].clone();
    for step in steps.as_array_mut().into_iter().flatten().filter(|step| step["weight"].as_i64() == Some(60)) {
        step["hold"] = json!(other(&step["hold"], ["20m", "21m"]));
    }
    steps
}

/// What an edit comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// From now on, or whenever it is needed; there is nothing to be told.
    InForce,
    /// The plan is another one.
    Planned,
    /// Status says why it is not in force under the name of this field.
    Deferred(&'static str),
}

fn is_running(stage: Stage) -> bool {
    (Stage::WeightSource..=Stage::Bake).contains(&stage)
}

/// The rules for edits in mid-flight.
fn outcome(stage: Stage, control: &str) -> Outcome {
    let is_running = is_running(stage);
    match control {
        "secrets" if is_running => Outcome::Deferred("spec.secrets"),
        "ingresses" if is_running => Outcome::Deferred("spec.ingresses.exclude"),
        "bake" if is_running => Outcome::Planned,
        "traffic.steps" | "traffic.steps hold" => match stage {
            Stage::ShiftTraffic | Stage::Bake => Outcome::Deferred("spec.traffic.steps"),
            _ if is_running => Outcome::Planned,
            _ => Outcome::InForce,
        },
        _ => Outcome::InForce,
    }
}

/// Edits one field after the other. Whatever becomes of an edit, nothing moves.
pub async fn edits(shop: &Migration<'_>, held: &Held) -> Result<Vec<Row>> {
    let weights = shop.weights().await?;
    let mut rows = vec![];
    for edit in &EDITS {
        let happened = edited(shop, held, edit).await.with_context(|| format!("{} in {}", edit.control, held.stage))?;
        rows.push(row(held.stage, edit.control, happened));
    }
    ensure!(shop.weights().await? == weights, "an edit moved users: {weights:?} became {:?}", shop.weights().await?);
    Ok(rows)
}

async fn edited(shop: &Migration<'_>, held: &Held, edit: &Edit) -> Result<String> {
    let before = shop.now().await?;
    // To leave out what moves is an edit of the plan; before there is one it would end what holds it in the stage.
    let ingress = if is_running(held.stage) { shop.name().to_owned() } else { format!("not-in-{}", held.stage) };
    let changed = shop.change((edit.change)(&serde_json::to_value(&before.spec)?, &ingress.to_lowercase())).await?;
    ensure!(changed.metadata.generation > before.metadata.generation, "the edit changes nothing");
    let outcome = outcome(held.stage, edit.control);
    let shown = |found: &NamespaceMigration| match outcome {
        Outcome::InForce => deferred(found) == deferred(&before) && plan(found) == plan(&before),
        Outcome::Planned => plan(found) != plan(&before),
        Outcome::Deferred(field) => deferred(found).iter().any(|(name, _)| *name == field),
    };
    let what = format!("{outcome:?} after an edit of {}", edit.control);
    let found = shop.until(&what, |found| has_seen(found, &changed) && held.waits(found) && shown(found)).await?;
    recorded(&found, edit.control)?;
    Ok(match outcome {
        Outcome::InForce => format!("accepted; nothing moves: {}", reason_of(&found)),
        Outcome::Planned => format!("taken up into the plan: {}", plan(&found).unwrap_or_default()),
        Outcome::Deferred(field) => {
            let told = deferred(&found).into_iter().find(|(name, _)| *name == field);
            told.map(|(_, message)| message.to_owned()).unwrap_or_default()
        }
    })
}

/// What is in force at once stays in status: by whom, from what and to what.
fn recorded(found: &NamespaceMigration, control: &str) -> Result<()> {
    let field = match control {
        "checks" | "probes" | "onFailure" | "deletionPolicy" => format!("spec.{control}"),
        "rollback" => "spec.rollback.objects".to_owned(),
        _ => return Ok(()),
    };
    let edits = found.status.iter().flat_map(|status| &status.edits);
    let edit =
        edits.rev().find(|edit| edit.field == field).with_context(|| format!("{field} is not among the edits"))?;
    ensure!(edit.by == PERSON && edit.from != edit.to, "{edit:?}");
    Ok(())
}

/// Whether the status speaks of this edit.
fn has_seen(found: &NamespaceMigration, changed: &NamespaceMigration) -> bool {
    found.status.as_ref().map(|status| status.observed_generation) >= changed.metadata.generation
}

fn deferred(found: &NamespaceMigration) -> Vec<(&str, &str)> {
    let edits = found.status.iter().flat_map(|status| &status.deferred_edits);
    edits.map(|edit| (edit.field.as_str(), edit.message.as_str())).collect()
}

fn plan(found: &NamespaceMigration) -> Option<String> {
    let plan = found.status.as_ref()?.plan.as_ref()?;
    let steps: Vec<_> = plan.steps.iter().map(|step| format!("{}% for {}", step.weight, step.hold)).collect();
    Some(format!("{}; bake {}", steps.join(", "), plan.bake))
}

/// The ceiling, lowered and raised again: users move only where there are any on the target.
pub async fn ceilings(shop: &Migration<'_>, held: &Held) -> Result<[Row; 2]> {
    let (before, shifted) = (shop.weights().await?, matches!(held.stage, Stage::ShiftTraffic | Stage::Bake));
    let low = if held.stage == Stage::Bake { 99 } else { 0 };
    let changed = shop.change(json!({"traffic": {"upTo": low}})).await?;
    let is_below = |found: &NamespaceMigration| {
        has_seen(found, &changed) && if shifted { reason_of(found) == "AtCeiling" } else { held.waits(found) }
    };
    let lowered = shop.until(&format!("upTo {low}"), is_below).await?;
    ensure!((shop.weights().await? == before) != shifted, "{before:?} became {:?}", shop.weights().await?);
    let said = lowered.status.as_ref().map(|status| (status.message.clone(), status.unblock.clone()));
    let (message, unblock) = said.unwrap_or_default();
    let happened = match held.stage {
        _ if shifted => message,
        Stage::Completed => unblock,
        _ => format!("accepted; nothing moves: {}", held.reason),
    };
    let changed = shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let is_back = |found: &NamespaceMigration| has_seen(found, &changed) && held.waits(found);
    shop.until("upTo 100", is_back).await?;
    ensure!(shop.weights().await? == before, "{before:?} became {:?}", shop.weights().await?);
    let back = format!("goes on waiting: {}", held.reason);
    Ok([row(held.stage, "traffic.upTo lowered", happened), row(held.stage, "traffic.upTo raised", back)])
}

/// What says which migration it is cannot be edited, in whatever stage: the API server refuses it.
pub async fn identity_stays(shop: &Migration<'_>, held: &Held) -> Result<Vec<Row>> {
    let cases = [
        ("clusterPair", "clusterPair cannot be changed: delete this migration and create another one"),
        ("namespace", "namespace cannot be set, changed or removed: delete this migration and create another one"),
    ];
    let mut rows = vec![];
    for (field, said) in cases {
        let refused = shop.change(json!({field: "another"})).await.err();
        let refused = refused.with_context(|| format!("an edit of {field} was accepted"))?;
        ensure!(format!("{refused:#}").contains(said), "{refused:#} does not say {said:?}");
        rows.push(row(held.stage, field, format!("refused by the API server: {said}")));
    }
    Ok(rows)
}

/// A higher attempt waits for the end of this one, and status says so.
pub async fn attempt_is_deferred(shop: &Migration<'_>, held: &Held) -> Result<Row> {
    let asked = shop.now().await?.spec.attempt + 1;
    let changed = shop.change(json!({"attempt": asked})).await?;
    let told = |found: &NamespaceMigration| {
        let said = deferred(found).into_iter().find(|(field, _)| *field == "spec.attempt");
        said.filter(|_| has_seen(found, &changed) && held.waits(found)).map(|(_, message)| message.to_owned())
    };
    let found = shop.until("a word about the attempt", |found| told(found).is_some()).await?;
    Ok(row(held.stage, "attempt", told(&found).unwrap_or_default()))
}
