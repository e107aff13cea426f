//! The rehearsal of WeightSource: the source's weight goes to 99 and back to 100. While the source is alone that changes nothing
//! for users; it measures how long DNS takes from written to served, and shows who undoes what is written.

use jiff::SignedDuration;

use super::gate::{self, Goal, Proof};
use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::run::{Memo, Move, Run, Wait, micro, words};
use super::stamp::Direction;
use super::traffic::Weight;
use crate::api::Stage;
use crate::api::status::{Rehearsal, RehearsalPhase};

/// The source's weight in the rehearsal.
pub(super) const LOWERED: Weight = Weight::percent_of(99);

/// Begins it, where what is written can be seen to be served. Once is enough.
pub(super) fn begin(run: &Run<'_>) -> Option<Move> {
    let due = run.order.dns.is_verified() && run.status.rehearsal.is_none();
    due.then(|| enter(run, RehearsalPhase::Lower, SignedDuration::ZERO))
}

/// The rehearsal as it goes on. None before it and after it.
pub(super) fn visit(run: &Run<'_>) -> Option<Move> {
    let rehearsal = run.status.rehearsal.as_ref()?;
    Some(match rehearsal.phase {
        RehearsalPhase::Lower => write(run, rehearsal, LOWERED, RehearsalPhase::Lowered),
        // The next part's write was done, but the status that would say so was not saved.
        RehearsalPhase::Lowered if is_raised(run) => enter(run, RehearsalPhase::Raise, lag(rehearsal)),
        RehearsalPhase::Lowered => follow(run, rehearsal, LOWERED, RehearsalPhase::Raise),
        RehearsalPhase::Raise => write(run, rehearsal, Weight::FULL, RehearsalPhase::Raised),
        RehearsalPhase::Raised if run.weights(Side::Source).contains(&LOWERED) => {
            enter(run, RehearsalPhase::Raise, lag(rehearsal))
        }
        RehearsalPhase::Raised => follow(run, rehearsal, Weight::FULL, RehearsalPhase::Done),
        RehearsalPhase::Done => return None,
    })
}

/// What it has shown, in a sentence. Empty where there was none, or nothing could be measured.
pub(super) fn result(run: &Run<'_>) -> String {
    let done = run.status.rehearsal.as_ref().filter(|rehearsal| rehearsal.phase == RehearsalPhase::Done);
    let measured = done.map(lag).filter(|lag| *lag > SignedDuration::ZERO);
    measured.map(|lag| format!(" DNS follows within {}.", words(lag))).unwrap_or_default()
}

/// The source's weights that the rehearsal may have left behind: as last remembered, and one write ahead.
pub(super) fn weights(run: &Run<'_>) -> (Weight, Option<Weight>) {
    match run.status.rehearsal.as_ref().map(|rehearsal| rehearsal.phase).filter(|_| is_going_on(run)) {
        None | Some(RehearsalPhase::Done) => (Weight::FULL, None),
        // Another process that has not seen this far yet may have lowered it again.
        Some(RehearsalPhase::Lower | RehearsalPhase::Raised) => (Weight::FULL, Some(LOWERED)),
        Some(RehearsalPhase::Lowered | RehearsalPhase::Raise) => (LOWERED, Some(Weight::FULL)),
    }
}

/// Whether the source's weight of the rehearsal sends nobody to what is live on the target: nothing, or 0.
pub(super) fn sends_nobody(side: Side, weight: Weight, other: Option<&IngressFacts>) -> bool {
    side == Side::Source
        && weight == LOWERED
        && other.and_then(IngressFacts::weight).is_none_or(|weight| weight == Weight::ZERO)
}

/// Whether it has begun and its stage is not over.
pub(super) fn has_begun(run: &Run<'_>) -> bool {
    is_going_on(run) && run.status.rehearsal.is_some()
}

fn is_going_on(run: &Run<'_>) -> bool {
    run.status.stage == Stage::WeightSource
}

fn write(run: &Run<'_>, rehearsal: &Rehearsal, weight: Weight, next: RehearsalPhase) -> Move {
    let mut effects = run.present_targets_at_zero();
    effects.extend(run.missing_writes(Side::Source, weight, Direction::Forward));
    if effects.is_empty() {
        return enter(run, next, lag(rehearsal));
    }
    let message = format!("Rehearsal: the source gets weight {weight}; it is alone, so users do not notice.");
    Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) }
}

/// Whether the first of several Ingresses is raised already: all of them were lowered.
fn is_raised(run: &Run<'_>) -> bool {
    run.weights(Side::Source).contains(&Weight::FULL)
}

fn follow(run: &Run<'_>, rehearsal: &Rehearsal, weight: Weight, next: RehearsalPhase) -> Move {
    let what = format!("Rehearsal: weight {weight} is written on the source");
    match gate::gate(run, Goal::SourceWeighted(weight), rehearsal.since.0, &what) {
        Err(wait) => wait.into(),
        Ok(proof) => enter(run, next, lag(rehearsal).max(taken(run, rehearsal, proof))),
    }
}

/// From written to served, where that was seen: a gate that has only waited would measure its own timer.
fn taken(run: &Run<'_>, rehearsal: &Rehearsal, proof: Proof) -> SignedDuration {
    let Proof::Listed { since } = proof else { return SignedDuration::ZERO };
    let served = since.saturating_add(run.order.dns.follow.propagation).unwrap_or(run.now);
    served.duration_since(rehearsal.since.0).max(SignedDuration::ZERO)
}

fn lag(rehearsal: &Rehearsal) -> SignedDuration {
    SignedDuration::from_millis(rehearsal.lag_millis)
}

fn enter(run: &Run<'_>, phase: RehearsalPhase, lag: SignedDuration) -> Move {
    let lag_millis = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
    Move::Remember(Memo::Rehearsal(Rehearsal { phase, since: micro(run.now), lag_millis }))
}
