//! What could not be read: it is told, never skipped in silence, because what is not seen may be what breaks.

use super::both::{Both, Sight};
use super::told::{Noted, found, named};
use super::{Found, Question};
use crate::api::status::Severity;

pub(super) const QUESTIONS: [Question; 1] = [(
    "Unread",
    Severity::Warning,
    "Something of the namespace could not be read, so that nothing is known of it.",
    unread,
)];

fn unread(both: &Both<'_>) -> Option<Found> {
    let fix = "Let the operator read it on that side, or look at it yourself.";
    let meaning = "No check knows what is there, and nothing of it is said to be absent.";
    found(both.sides().into_iter().flat_map(of_side), "Could not be read", meaning, fix)
}

fn of_side(sight: &Sight<'_>) -> Vec<Noted> {
    let words = |what: &str| format!("{what} on the {}", sight.side);
    sight.all.unread.iter().map(|unread| named(&words(&unread.what), &unread.why)).collect()
}
