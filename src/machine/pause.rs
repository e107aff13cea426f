//! Pauses: weights stay in every stage, and nothing goes forward. Checks go on, and a rollback stays armed.
//!
//! A pause raises the epoch once, and stamps what is live with it: every older write in flight fails at the API server.

use jiff::SignedDuration;

use super::effect::{Effect, WeightWrite};
use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::replace;
use super::resume::highest_epoch;
use super::run::{Event, Memo, Move, Run, Wait, micro, seconds};
use super::stages;
use super::stamp::Direction;
use crate::api::Stage;
use crate::api::status::{Pause, PlannedIngress};

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

/// Our stamps of this attempt that are older than the pause, or than the freeze of a deletion, each on a side that can be written.
pub(super) fn fences(run: &Run<'_>) -> Vec<Effect> {
    let sides = [Side::Source, Side::Target].into_iter().filter(|side| run.side_trouble(*side).is_none());
    sides.flat_map(|side| unfenced(run, side)).map(Effect::WriteWeight).collect()
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
        "weights stay as they are, checks go on, and a rollback stays armed"
    } else {
        "nothing was written yet, and nothing is"
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
    let wait = Wait::new(Reason::Paused, message).unblocked_by(run.order.controls.how_to_resume());
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

/// Puts a pause in force.
pub(super) fn begin(run: &mut Run<'_>, pause: Pause) {
    if run.status.pause.is_none() {
        let note = format!("It is paused by {}.", pause.by);
        run.events.push(Event { reason: Reason::Paused, note, warning: false });
    }
    run.status.epoch = run.status.epoch.max(pause.epoch);
    run.status.pause = Some(pause);
}

/// Goes on where it was. The time of the pause counts neither as the stage's nor as the step's.
pub(super) fn end(run: &mut Run<'_>) {
    let Some(pause) = run.status.pause.take() else { return };
    let span = run.now.duration_since(pause.since.0).max(SignedDuration::ZERO);
    let later = |at: jiff::Timestamp| at.saturating_add(span).unwrap_or(run.now).min(run.now);
    run.status.stage_started_at = run.status.stage_started_at.as_ref().map(|at| seconds(later(at.0)));
    if let Some(step) = &mut run.status.step {
        step.since = micro(later(step.since.0));
    }
    replace::try_again(&mut run.status);
    let note = "The pause is over; it goes on where it was.".to_owned();
    run.events.push(Event { reason: Reason::Resumed, note, warning: false });
}
