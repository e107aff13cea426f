//! The one-time replacement of foreign weights (rule 8 of the traffic protocol): one that then stays unchanged for the settle time,
//! because the run that wrote it is over, is replaced once, receiver first. If it comes back, a person decides.
//!
//! A weight is another one when its value, its writer or the time of its writing is. Identifiers are never replaced.

use super::claim;
use super::contest::{self, Contest};
use super::effect::{Effect, Foreign, Replaces};
use super::gate::{self, Goal};
use super::health::Verdict;
use super::observed::Side;
use super::pause;
use super::reason::Reason;
use super::resume::highest_epoch;
use super::run::{Event, Memo, Move, Run, Wait, micro, seconds, words};
use super::stages::is_rollback;
use super::stages::is_terminal;
use super::stamp::Direction;
use super::traffic::Weight;
use crate::api::RETRY_ANNOTATION;
use crate::api::Stage;
use crate::api::foreign::{ForeignState, ForeignWeight, PutBack};
use crate::api::pair_status::LeftoverSide;
use crate::api::status::{NamespaceMigrationStatus, PlannedIngress, StepPhase};

/// Foreign weights that are remembered. Whoever needs more is no run that is over: a person decides.
const MOST_REMEMBERED: usize = 16;

impl ForeignWeight {
    fn is_about(&self, side: Side, ingress: &str) -> bool {
        self.cluster() == side && self.ingress == ingress
    }

    fn cluster(&self) -> Side {
        match self.side {
            LeftoverSide::Source => Side::Source,
            LeftoverSide::Target => Side::Target,
        }
    }

    fn is_open(&self) -> bool {
        self.state != ForeignState::Replaced
    }

    fn is_same_value(&self, other: &Self) -> bool {
        (&self.writer, self.weight) == (&other.writer, other.weight)
    }
}

fn api_side(side: Side) -> LeftoverSide {
    side.pick(LeftoverSide::Source, LeftoverSide::Target)
}

/// Notes which foreign weights stand, since when, and which of them came back. It decides nothing.
pub(super) fn note(run: &mut Run<'_>) {
    if !(Stage::WeightSource..=Stage::Bake).contains(&run.status.stage) {
        return;
    }
    let known = run.status.foreign_weights.clone();
    let places = [Side::Source, Side::Target].into_iter().filter(|side| run.view(*side).synced);
    let places = places.flat_map(|side| run.ingresses().iter().map(move |planned| (side, planned)));
    let noted = places.fold(known, |known, (side, planned)| noted(run, known, side, planned));
    run.status.foreign_weights = noted;
}

fn noted(run: &Run<'_>, mut known: Vec<ForeignWeight>, side: Side, planned: &PlannedIngress) -> Vec<ForeignWeight> {
    let is_here = |weight: &ForeignWeight| weight.is_about(side, &planned.name) && weight.is_open();
    let Some(found) = found(run, side, planned) else {
        // Each stays at its place: another order would be news, and a status write.
        let after = |weight| if is_here(&weight) { without(run, weight, side, planned) } else { Some(weight) };
        return known.into_iter().filter_map(after).collect();
    };
    let before = known.iter().find(|weight| is_here(weight)).cloned();
    if before.as_ref().is_some_and(|before| before.is_same_value(&found) && before.written == found.written) {
        return known;
    }
    known.retain(|weight| !is_here(weight));
    let state = state_of(&known, before.as_ref(), &found);
    // What came back once is not forgotten because somebody else writes as well.
    known.extend(before.filter(|before| before.state == ForeignState::CameBack).map(replaced));
    known.retain(|old| !(old.is_about(side, &planned.name) && is_again(old, &found)));
    known.push(ForeignWeight { state, ..found });
    known
}

/// What becomes of a weight that was not there, or not so, a moment ago.
fn state_of(known: &[ForeignWeight], before: Option<&ForeignWeight>, found: &ForeignWeight) -> ForeignState {
    let again = |old: &ForeignWeight| (&old.ingress, old.side) == (&found.ingress, found.side) && is_again(old, found);
    let returned = match before {
        Some(before) if before.state == ForeignState::CameBack => true,
        // Written anew with the same value: ours was there in between, though nobody saw it.
        Some(before) if before.state == ForeignState::Replacing => before.is_same_value(found),
        _ => false,
    };
    if returned || known.iter().any(again) || known.len() >= MOST_REMEMBERED {
        ForeignState::CameBack
    } else {
        ForeignState::Waiting
    }
}

fn replaced(weight: ForeignWeight) -> ForeignWeight {
    ForeignWeight { state: ForeignState::Replaced, ..weight }
}

fn is_again(old: &ForeignWeight, found: &ForeignWeight) -> bool {
    old.writer == found.writer || old.weight == found.weight
}

/// What is left of a foreign weight when nothing foreign stands there now: it was replaced, or it went by itself.
fn without(run: &Run<'_>, before: ForeignWeight, side: Side, planned: &PlannedIngress) -> Option<ForeignWeight> {
    let facts = run.ingress(side, planned);
    let ours = facts.is_some_and(|facts| facts.weight_is_ours() && facts.stamp_of(&run.order.owner).is_some());
    match before.state {
        ForeignState::Waiting => None,
        ForeignState::Replacing if !ours => Some(before),
        _ => Some(replaced(before)),
    }
}

fn found(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<ForeignWeight> {
    let facts = contest::replaceable(run, side, planned)?;
    Some(ForeignWeight {
        ingress: planned.name.clone(),
        side: api_side(side),
        writer: facts.weight_writer(),
        weight: facts.weight()?.get(),
        written: facts.weight_written.map(seconds),
        since: micro(run.now),
        state: ForeignState::Waiting,
    })
}

/// The answer to foreign weights that hurt nobody: they have their time, are replaced once, and then a person decides.
pub(super) fn respond(run: &Run<'_>, contests: &[Contest]) -> Option<Move> {
    if let Some(contest) = contests.iter().find(|contest| state(run, contest) == Some(ForeignState::CameBack)) {
        return Some(came_back(run, contest).into());
    }
    let waiting = contests.iter().filter(|contest| state(run, contest) != Some(ForeignState::Replacing));
    let Some(last) = waiting.max_by_key(|contest| since(run, contest)) else { return go_on(run) };
    let wait = Wait::new(Reason::WeightContested, &last.message).unblocked_by(&last.cure);
    if let Some(why) = above_the_ceiling(run) {
        return Some(Wait { message: format!("{} {why}", wait.message), ..wait }.stalled().into());
    }
    let settle = run.order.dns.settle_time();
    let until = since(run, last).saturating_add(settle).unwrap_or(jiff::Timestamp::MAX);
    if run.now >= until && run.order.controls.pauses.is_empty() {
        return Some(Move::Remember(Memo::StepAnew));
    }
    let message = format!("{} If it then stays unchanged for {}, it is replaced once.", wait.message, words(settle));
    Some(Wait { message, ..wait }.until(until).into())
}

fn record<'a>(run: &'a Run<'_>, contest: &Contest) -> Option<&'a ForeignWeight> {
    let known = run.status.foreign_weights.iter();
    known.filter(|weight| weight.is_open()).find(|weight| weight.is_about(contest.side, &contest.ingress))
}

fn state(run: &Run<'_>, contest: &Contest) -> Option<ForeignState> {
    record(run, contest).map(|weight| weight.state)
}

fn since(run: &Run<'_>, contest: &Contest) -> jiff::Timestamp {
    record(run, contest).map_or(run.now, |weight| weight.since.0)
}

fn came_back(run: &Run<'_>, contest: &Contest) -> Wait {
    let message = format!("{} It was replaced once and came back, so that a person must decide.", contest.message);
    let (stop, back) = (contest::stop_other_writer(run, contest.side), &contest.give_back);
    let again = run.order.controls.how_to_request(RETRY_ANNOTATION);
    let fix = format!("{stop} Then have it replaced once more: {again}; or give the Ingress back, {back}");
    Wait::new(Reason::WeightContested, message).unblocked_by(fix).stalled()
}

/// On the way down a target that somebody took below the next step's weight would be raised, above what is allowed by now.
fn above_the_ceiling(run: &Run<'_>) -> Option<String> {
    let below = contest::weight_below(run);
    let lower = |weight: &ForeignWeight| weight.cluster() == Side::Target && weight.weight < below.get();
    let raised = descends(run) && below > run.order.up_to && open(run).any(lower);
    raised.then(|| {
        format!(
            "It is not replaced: that would give the target {below} percent again, and spec.traffic.upTo is {}.",
            run.order.up_to
        )
    })
}

fn open<'a>(run: &'a Run<'_>) -> impl Iterator<Item = &'a ForeignWeight> {
    run.status.foreign_weights.iter().filter(|weight| weight.is_open())
}

/// Whether the step is being left for the one below, or is about to be.
fn descends(run: &Run<'_>) -> bool {
    let down = run.status.step.as_ref().is_some_and(|step| step.phase.is_on_the_way_down());
    contest::is_in_a_step(run) && (down || contest::step_weight(run) > run.order.up_to)
}

/// Foreign weights are being replaced from here on: the step goes back to its beginning.
pub(super) fn begin(run: &mut Run<'_>) {
    let stood = words(run.order.dns.settle_time());
    let waiting = run.status.foreign_weights.iter_mut().filter(|weight| weight.state == ForeignState::Waiting);
    for weight in waiting {
        weight.state = ForeignState::Replacing;
        let note = format!(
            "Weight {} by {} on Ingress {} of the {} stayed unchanged for {stood}; it is replaced once.",
            weight.weight,
            weight.writer,
            weight.ingress,
            weight.cluster()
        );
        run.events.push(Event { reason: Reason::ReplacingWeight, note, warning: false });
    }
    run.status.epoch = highest_epoch(run) + 1;
    go_back_to_the_beginning(run);
    let first = first_side(run).map(api_side);
    run.status.put_back = first.map(|side| PutBack { side, since: micro(run.now), written: false });
}

fn go_back_to_the_beginning(run: &mut Run<'_>) {
    let last = run.status.plan.as_ref().map_or(0, |plan| plan.steps.len()).saturating_sub(1);
    match (run.status.stage, &mut run.status.step) {
        (Stage::ShiftTraffic, Some(step)) => {
            let down = step.phase.is_on_the_way_down();
            step.phase = if down { StepPhase::RaiseSource } else { StepPhase::RaiseTarget };
            // From the bake: the last step.
            step.index = step.index.min(i32::try_from(last).unwrap_or(i32::MAX));
            (step.since, step.running_since) = (micro(run.now), None);
        }
        (Stage::WeightSource, _) => (run.status.rehearsal, run.status.written_since) = (None, None),
        _ => run.status.written_since = None,
    }
}

/// What has to be written and served before the step begins anew. Usually that is nothing: the target is raised and the source
/// lowered as ever. But beside a source that somebody took below the step's weight the target's would be too much; and on the way
/// down the target gives first where the source has more than it will get.
fn first_side(run: &Run<'_>) -> Option<Side> {
    let mut sources = open(run).filter(|weight| weight.cluster() == Side::Source);
    if !contest::is_in_a_step(run) {
        return sources.next().map(|_| Side::Source);
    }
    if descends(run) {
        let raised = contest::weight_below(run).complement();
        return sources.any(|weight| weight.weight > raised.get()).then_some(Side::Target);
    }
    let lowered = contest::step_weight(run).complement();
    sources.any(|weight| weight.weight < lowered.get()).then_some(Side::Source)
}

/// Carries on with what is put back first. None when the stage itself goes on.
///
/// Before anything else a fence: a write that was sent before the foreign one, by a process that died since, would arrive beside it
/// or beside what replaces it.
pub(super) fn go_on(run: &Run<'_>) -> Option<Move> {
    let is_replacing = open(run).any(|weight| weight.state == ForeignState::Replacing);
    let fences = if is_replacing { pause::fences(run) } else { vec![] };
    if !fences.is_empty() {
        let message =
            "Before a foreign weight is replaced, older writes are made to fail; what users notice does not change.";
        return Some(Move::Act { effects: fences, wait: Wait::new(Reason::WritingWeights, message) });
    }
    let put = run.status.put_back.as_ref()?;
    if let Some(claims) = claim::missing(run) {
        // What a person gave back meanwhile is ours again before anything else is written.
        return Some(claims);
    }
    let (side, weight) = match put.side {
        LeftoverSide::Source => (Side::Source, contest::source_before(run)),
        LeftoverSide::Target => (Side::Target, contest::weight_below(run)),
    };
    let missing = run.missing_writes(side, weight, Direction::Forward);
    if put.written != missing.is_empty() {
        let put = PutBack { written: missing.is_empty(), since: micro(run.now), side: put.side };
        return Some(Move::Remember(Memo::PutBack(Some(put))));
    }
    if !missing.is_empty() {
        return Some(write(run, side, weight, missing));
    }
    let goal = side.pick(Goal::Receives(side, weight), Goal::Gives(side, weight));
    let what = format!("Weight {weight} is written on the {side}, in place of a foreign one");
    Some(match gate::gate(run, goal, put.since.0, &what) {
        Ok(_) => Move::Remember(Memo::PutBack(None)),
        Err(wait) => wait.into(),
    })
}

fn write(run: &Run<'_>, side: Side, weight: Weight, effects: Vec<Effect>) -> Move {
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let sick = run.observed.health.first(Side::Source, Verdict::Fail).filter(|_| side == Side::Source);
    if let Some(sick) = sick {
        let message = format!("The source fails, so that nobody is moved back to it. {}: {}", sick.name, sick.message);
        let fix = "Mend the source, then it goes on by itself.";
        return Wait::new(Reason::SourceUnhealthy, message).unblocked_by(fix).stalled().into();
    }
    let message = format!("The {side} gets weight {weight} in place of a foreign one.");
    Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) }
}

/// What the forward writes of an Ingress may overwrite now.
pub(super) fn permitted(run: &Run<'_>, planned: &PlannedIngress) -> Option<Box<Replaces>> {
    let of = |side: Side| {
        let mut replacing = open(run).filter(|weight| weight.state == ForeignState::Replacing);
        let found = replacing.find(|weight| weight.is_about(side, &planned.name))?;
        let weight = Weight::parse(&found.weight.to_string())?;
        Some(Foreign { identifier: planned.identifier(side).clone(), weight, writer: found.writer.clone() })
    };
    let (source, target) = (of(Side::Source), of(Side::Target));
    let allowed = contest::allowed_share(run).min(run.order.up_to.get());
    (source.is_some() || target.is_some()).then(|| Box::new(Replaces { source, target, allowed }))
}

/// A person asks for another try, or ends a pause: what came back is replaced once more.
pub(super) fn try_again(status: &mut NamespaceMigrationStatus) {
    status.foreign_weights.retain(ForeignWeight::is_open);
    let came_back = status.foreign_weights.iter_mut().filter(|weight| weight.state == ForeignState::CameBack);
    came_back.for_each(|weight| weight.state = ForeignState::Waiting);
}

/// A rollback answers every foreign weight at once, and an end leaves it alone.
pub(super) fn forget_unless_forward(status: &mut NamespaceMigrationStatus) {
    if is_rollback(status.stage) || is_terminal(status.stage) {
        status.foreign_weights.clear();
        status.put_back = None;
    }
}

/// What is being replaced, in a sentence.
pub(super) fn being_replaced(status: &NamespaceMigrationStatus) -> Option<String> {
    let mut known = status.foreign_weights.iter();
    let weight = known.find(|weight| weight.state == ForeignState::Replacing)?;
    let (ingress, side) = (&weight.ingress, weight.cluster());
    Some(format!("Weight {} by {} on Ingress {ingress} of the {side} is being replaced.", weight.weight, weight.writer))
}
