//! Whom to wake: warnings that people hear once, when something needs them or will soon.

use super::reason::Reason;
use super::run::{Event, Run, Wait};
use super::stages::is_terminal;
use super::summary;
use crate::api::status::NamespaceMigrationStatus;

/// The warning that a wait is worth.
pub(super) fn help(wait: &Wait) -> Event {
    let note = format!("{} {}", wait.message, wait.unblock).trim_end().to_owned();
    Event { reason: wait.reason, note, warning: true }
}

/// A person is told once of each reason for which it does not go on by itself.
pub(super) fn call_for_help(run: &mut Run<'_>, before: &NamespaceMigrationStatus, wait: &Wait) {
    let was_stalled = summary::is_stalled(before);
    // A refused write stalls in the name of the refusal, behind what was decided, and is decided again and again.
    let refused = before.reason == Reason::WriteRefused.as_str() && before.message.starts_with(&wait.message);
    let same = before.reason == wait.reason.as_str();
    // Of a contest, and of an address that users lose, people hear before it is known to stay.
    let urgent = [Reason::WeightContested, Reason::AddressLost].contains(&wait.reason);
    let told = (was_stalled && (refused || same)) || (urgent && same);
    if !(wait.stalled || urgent) || is_terminal(run.status.stage) || told {
        return;
    }
    run.events.push(help(wait));
}

/// The source is healthy again or not: what it serves is not moved by it, but somebody should look.
pub(super) fn tell_of_source(run: &mut Run<'_>, before: &NamespaceMigrationStatus) {
    let is_sick = |status: &NamespaceMigrationStatus| {
        status.conditions.iter().find(|known| known.type_ == "SourceHealthy" && known.status == "False").cloned()
    };
    if let Some(sick) = is_sick(&run.status).filter(|_| is_sick(before).is_none()) {
        let note = format!("The source is unhealthy; its users stay where they are. {}", sick.message);
        run.events.push(Event { reason: Reason::SourceUnhealthy, note, warning: true });
    }
}
