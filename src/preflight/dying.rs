//! What is being deleted: a copy of it would bring back what somebody takes away, and one on the target goes with all that waits for it.

use super::both::{Both, Sight};
use super::told::{Noted, found, named, object};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::Item;

pub(super) const QUESTIONS: [Question; 1] = [(
    "Terminating",
    Severity::Blocker,
    "An object of the namespace is being deleted on either side. Can be acknowledged.",
    terminating,
)];

/// Pods come and go, and what has an owner goes with it.
fn is_dying(item: &Item) -> bool {
    item.terminating && item.owners.is_empty() && item.kind.kind != "Pod"
}

fn terminating(both: &Both<'_>) -> Option<Found> {
    let meaning = "What is being deleted is not copied, and on the target it would vanish after the checks.";
    let fix = "Wait until it is gone; where a finalizer holds it, mend what should take the finalizer off. Then create it again if it is needed.";
    found(both.sides().into_iter().flat_map(of_side), "Being deleted", meaning, fix)
}

fn of_side(sight: &Sight<'_>) -> Vec<Noted> {
    let dying = sight.all.items.values().filter(|item| is_dying(item));
    dying.map(|item| named(&object(item), detail(sight, item))).collect()
}

fn detail(sight: &Sight<'_>, item: &Item) -> String {
    let held =
        if item.finalizers.is_empty() { String::new() } else { format!(", held by {}", item.finalizers.join(", ")) };
    format!("on the {}{held}", sight.side)
}
