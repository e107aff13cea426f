//! Pauses: weights stay in every stage, and nothing goes forward. Checks go on, and a rollback stays armed.
//!
//! A pause raises the epoch once, and stamps what is live with it: every older write in flight fails at the API server.

use jiff::{SignedDuration, Timestamp};

use super::controls::Controls;
use super::deadline;
use super::drive::Decision;
use super::effect::{Effect, WeightWrite};
use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::replace;
use super::resume::highest_epoch;
use super::run::{Event, Memo, Move, Run, Wait, micro, seconds};
use super::stages::{self, is_rollback};
use super::stamp::Direction;
use crate::api::status::{NamespaceMigrationStatus, Pause, PlannedIngress};
use crate::api::{OnFailure, Stage};

/// The answer of a pause to a migration that goes forward. What `overruled` the stage is told beside it; a rollback goes first.
pub fn respond(run: &Run<'_>, overruled: Option<&Move>) -> Option<Move> {
    if let Some(Move::RollBack { .. }) = overruled {
        return None;
    }
    let asked = !run.order.controls.pauses.is_empty();
    match (asked, &run.status.pause) {
        (false, None) => None,
        (false, Some(_)) => Some(Move::Remember(Memo::Resume)),
        (true, known) => {
            let pause = wanted(run, known.as_ref());
            if known.as_ref() != Some(&pause) {
                return Some(Move::Remember(Memo::Pause(pause)));
            }
            if let Some(memo) = stages::stopped_clock(run) {
                return Some(Move::Remember(memo));
            }
            Some(Move::Act { effects: fences(run), wait: waits(run, &pause, overruled) })
        }
    }
}

/// The pause as status should have it. Its epoch is fixed once, as soon as there is something to fence.
fn wanted(run: &Run<'_>, known: Option<&Pause>) -> Pause {
    let epoch = known.map_or(0, |pause| pause.epoch);
    Pause {
        by: run.order.controls.paused_by(),
        since: known.map_or_else(|| seconds(run.now), |pause| pause.since.clone()),
        epoch: if epoch == 0 && is_stamped(run.status.stage) { highest_epoch(run) + 1 } else { epoch },
    }
}

fn is_stamped(stage: Stage) -> bool {
    (Stage::WeightSource..=Stage::Bake).contains(&stage)
}

/// Our stamps of this attempt that are older than the pause, the freeze of a deletion or the replacement of a foreign weight, each on
/// a side that can be written.
pub(super) fn fences(run: &Run<'_>) -> Vec<Effect> {
    let sides = [Side::Source, Side::Target].into_iter().filter(|side| run.side_trouble(*side).is_none());
    sides.flat_map(|side| unfenced(run, side)).map(Effect::WriteWeight).collect()
}

/// The Ingresses of a side that have, or may have, an older stamp: those that were seen with one, or all that could not be seen.
pub(super) fn missing_fences(run: &Run<'_>, side: Side) -> Vec<String> {
    if run.view(side).synced {
        return unfenced(run, side).into_iter().map(|write| write.ingress).collect();
    }
    run.ingresses().iter().map(|planned| planned.name.clone()).collect()
}

fn unfenced(run: &Run<'_>, side: Side) -> Vec<WeightWrite> {
    let known = run.ingresses().iter().filter_map(|planned| Some((planned, run.ingress(side, planned)?)));
    known.filter_map(|(planned, facts)| fence(run, side, planned, facts)).collect()
}

/// What somebody else has written is not ours to stamp, and no older write of ours can follow it.
fn fence(run: &Run<'_>, side: Side, planned: &PlannedIngress, facts: &IngressFacts) -> Option<WeightWrite> {
    let stamp = facts.stamp_of(&run.order.owner)?;
    let current = stamp.attempt == run.status.attempt && !stamp.direction.is_back();
    let write = run.write(side, planned, facts.weight()?, run.stamp(Direction::Forward));
    let older = current && stamp.epoch < run.status.epoch && is_stamped(run.status.stage);
    let ours = facts.weight_is_ours() && facts.identifier.as_ref() == Some(&write.identifier);
    (older && ours).then_some(WeightWrite { keeps_weight: true, ..write })
}

fn waits(run: &Run<'_>, pause: &Pause, overruled: Option<&Move>) -> Wait {
    let state = if is_stamped(run.status.stage) {
        match run.order.on_failure {
            OnFailure::Rollback => "weights stay as they are, checks go on, and a rollback stays armed",
            OnFailure::Hold => {
                "weights stay as they are and checks go on; a failing target does not go back, because spec.onFailure is Hold"
            }
        }
    } else {
        "this attempt has written nothing, and writes nothing until the pause is over"
    };
    let mut message = format!("It is paused by {} since {}: {state}.", pause.by, pause.since.0);
    for side in [Side::Source, Side::Target] {
        if let Some(trouble) = unwritten(run, side) {
            message.push_str(&trouble);
        }
    }
    let meanwhile = match overruled {
        Some(Move::Act { effects, wait }) if effects.is_empty() => Some(wait),
        _ => None,
    };
    if let Some(wait) = meanwhile {
        message.push_str(" Meanwhile: ");
        message.push_str(&wait.message);
    }
    let meanwhile_by = meanwhile.map(|wait| wait.unblock.as_str()).filter(|fix| !fix.is_empty());
    let resume = run.order.controls.how_to_resume();
    // A command may end what is to be done: nothing but a semicolon may follow it.
    let fix = match meanwhile_by {
        None => resume,
        Some(fix) if fix.ends_with('.') => format!("{fix} {resume}"),
        Some(fix) => format!("{fix}; {resume}"),
    };
    let wait = Wait::new(Reason::Paused, message).unblocked_by(fix);
    // Whether a contest lasts is counted from when it was first waited for, and here the pause is.
    let stalled = meanwhile.is_some_and(|wait| wait.stalled && wait.reason != Reason::WeightContested);
    Wait { stalled, ..wait }
}

/// A side that cannot be written now, and that has, or may have, an older stamp.
fn unwritten(run: &Run<'_>, side: Side) -> Option<String> {
    let view = run.view(side);
    let open = is_stamped(run.status.stage) && (!view.synced || !unfenced(run, side).is_empty());
    let trouble = run.side_trouble(side).filter(|_| open)?;
    Some(format!(" The fence on the {side} is not written yet: {}", trouble.message))
}

/// Beside a rollback a pause is only told: it stops nothing.
pub fn beside_rollback(run: &Run<'_>, answer: Move) -> Move {
    let by = run.order.controls.paused_by();
    match answer {
        Move::Act { effects, wait } if !by.is_empty() => {
            let message = format!("{} It is paused by {by}, which does not stop a rollback.", wait.message);
            Move::Act { effects, wait: Wait { message, ..wait } }
        }
        other => other,
    }
}

/// Whether a pause that was just asked for must be told soon: a person must read of it although a cluster hangs. Fences that are
/// not written by then come with the next pass, as after a crash between the two.
pub fn must_be_told_soon(before: &NamespaceMigrationStatus, decision: &Decision) -> bool {
    before.pause.is_none() && decision.status.pause.is_some() && !decision.effects.is_empty()
}

/// Puts a pause in force. Returns what is to be told when it begins.
pub(super) fn begin(status: &mut NamespaceMigrationStatus, pause: Pause) -> Option<Event> {
    let note = format!("It is paused by {}.", pause.by);
    status.epoch = status.epoch.max(pause.epoch);
    let before = status.pause.replace(pause);
    before.is_none().then_some(Event { reason: Reason::Paused, note, warning: false })
}

/// Goes on where it was. The time of the pause counts neither as the stage's nor as the step's.
pub(super) fn end(status: &mut NamespaceMigrationStatus, now: Timestamp) -> Option<Event> {
    let pause = status.pause.take()?;
    let span = now.duration_since(pause.since.0).max(SignedDuration::ZERO);
    let later = |at: Timestamp| at.saturating_add(span).unwrap_or(now).min(now);
    status.stage_started_at = deadline::counted_since(status).map(|at| seconds(later(at)));
    if let Some(step) = &mut status.step {
        step.since = micro(later(step.since.0));
    }
    replace::try_again(status);
    let note = "The pause is over; it goes on where it was.".to_owned();
    Some(Event { reason: Reason::Resumed, note, warning: false })
}

/// The pause as far as it can be had without a look at a cluster: nothing is fenced yet, and nothing is written either.
pub(super) fn unread(
    controls: &Controls,
    status: &mut NamespaceMigrationStatus,
    now: Timestamp,
) -> (Vec<Event>, Option<String>) {
    if controls.pauses.is_empty() || is_rollback(status.stage) {
        return (end(status, now).into_iter().collect(), None);
    }
    let known = status.pause.clone();
    let pause = Pause {
        by: controls.paused_by(),
        since: known.as_ref().map_or_else(|| seconds(now), |pause| pause.since.clone()),
        epoch: known.map_or(0, |pause| pause.epoch),
    };
    let said = format!("It is paused by {} since {}.", pause.by, pause.since.0);
    (begin(status, pause).into_iter().collect(), Some(said))
}
