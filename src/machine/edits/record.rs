//! Edits that are in force at once: each is told once, with who made it and when as far as the API tells, and of each field the last
//! one stays in status.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::PAUSED_ANNOTATION;
use crate::api::status::{NamespaceMigrationStatus, SpecEdit};
use crate::machine::controls::{Controls, NONE};
use crate::machine::reason::Reason;
use crate::machine::run::{Event, seconds};

/// Compares what the spec asks for with what it asked for when it was last looked at. What is seen for the first time is no edit.
pub fn note(controls: &Controls, status: &mut NamespaceMigrationStatus, now: Timestamp) -> Vec<Event> {
    let Some(asked) = controls.asked.clone() else { return vec![] };
    let Some(before) = status.asked_for.replace(asked.clone()) else { return vec![] };
    let changes = [
        ("spec.attempt", before.attempt.to_string(), asked.attempt.to_string()),
        ("spec.traffic.upTo", before.up_to.to_string(), asked.up_to.to_string()),
        ("spec.onFailure", format!("{:?}", before.on_failure), format!("{:?}", asked.on_failure)),
        ("spec.deletionPolicy", format!("{:?}", before.deletion_policy), format!("{:?}", asked.deletion_policy)),
        ("spec.checks", before.checks, asked.checks),
        ("spec.preflight.acknowledge", none_for_nothing(before.acknowledged), none_for_nothing(asked.acknowledged)),
        ("spec.ingresses.exclude", left_out(status, &before.excluded), left_out(status, &asked.excluded)),
        ("spec.probes", before.probes, asked.probes),
        ("spec.rollback.objects", format!("{:?}", before.rollback_objects), format!("{:?}", asked.rollback_objects)),
        ("spec.suspend", before.suspend.to_string(), asked.suspend.to_string()),
        (PAUSED_ANNOTATION, before.paused.to_string(), asked.paused.to_string()),
    ];
    let changes = changes.into_iter().filter(|(_, from, to)| from != to);
    changes.map(|(field, from, to)| told(&record(controls, status, field, [from, to], now))).collect()
}

/// A status of before this was remembered says nothing.
fn none_for_nothing(text: String) -> String {
    if text.is_empty() { NONE.to_owned() } else { text }
}

/// Which Ingresses stay out with this `spec.ingresses.exclude`. What the plan has fixed stays as planned, and is told as deferred.
fn left_out(status: &NamespaceMigrationStatus, asked: &[String]) -> String {
    let plan = status.plan.as_ref();
    let moves = |name: &String| plan.is_some_and(|plan| plan.ingresses.iter().any(|planned| planned.name == *name));
    let fixed = plan.into_iter().flat_map(|plan| &plan.excluded);
    let names: BTreeSet<_> = asked.iter().filter(|name| !moves(name)).chain(fixed).map(String::as_str).collect();
    if names.is_empty() { NONE.to_owned() } else { Vec::from_iter(names).join(", ") }
}

/// Keeps an edit in status, in place of an older one of the same field.
pub(super) fn record(
    controls: &Controls,
    status: &mut NamespaceMigrationStatus,
    field: &str,
    [from, to]: [String; 2],
    now: Timestamp,
) -> SpecEdit {
    let author = controls.author(field);
    let edit = SpecEdit { field: field.to_owned(), from, to, by: author.by, at: seconds(author.at.unwrap_or(now)) };
    status.edits.retain(|known| known.field != field);
    status.edits.push(edit.clone());
    edit
}

fn told(edit: &SpecEdit) -> Event {
    let SpecEdit { field, from, to, by, at } = edit;
    let by = if by.is_empty() { "an unknown field manager" } else { by };
    let note = format!("{field} was changed from {from} to {to} by {by} at {}.", at.0);
    Event { reason: Reason::SpecEdited, note, warning: false }
}
