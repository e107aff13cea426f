//! Edits that are in force at once: each is told once, with who made it and when as far as the API tells, and of each field the last
//! one stays in status.

use jiff::Timestamp;

use crate::api::PAUSED_ANNOTATION;
use crate::api::status::{NamespaceMigrationStatus, SpecEdit};
use crate::machine::controls::Controls;
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
        ("spec.probes", before.probes, asked.probes),
        ("spec.rollback.objects", format!("{:?}", before.rollback_objects), format!("{:?}", asked.rollback_objects)),
        ("spec.suspend", before.suspend.to_string(), asked.suspend.to_string()),
        (PAUSED_ANNOTATION, before.paused.to_string(), asked.paused.to_string()),
    ];
    let changes = changes.into_iter().filter(|(_, from, to)| from != to);
    changes.map(|(field, from, to)| told(&record(controls, status, field, [from, to], now))).collect()
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
