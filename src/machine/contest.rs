//! Contests: somebody else changed an Ingress that we move. It stops the clock and is not fought, with two exceptions:
//! what leaves both sides at 0, or may give the target more users than the step allows, is answered by a rollback; and a weight
//! that then stays unchanged is replaced once (`replace`).

use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::rehearsal;
use super::replace;
use super::run::{Move, Run, Wait};
use super::stages::shift_traffic_steps;
use super::traffic::{Weight, target_share};
use crate::api::status::{PlannedIngress, StepPhase};
use crate::api::{STAMP_ANNOTATION, Stage};

/// The answer to a contest, if there is one.
pub fn respond(run: &Run<'_>) -> Option<Move> {
    let contests = contests(run);
    let Some(Contest { message, .. }) = contests.first() else { return zeros(run).or_else(|| replace::go_on(run)) };
    let allowed = allowed_share(run);
    if let Some(harm) = run.ingresses().iter().find_map(|planned| harm(run, planned, allowed)) {
        return Some(Move::RollBack { reason: Reason::ForeignWeight, message: format!("{message} {harm}") });
    }
    match contests.iter().find(|contest| !contest.is_replaceable) {
        Some(Contest { message, cure, .. }) => {
            Some(patiently(run, Wait::new(Reason::WeightContested, message).unblocked_by(cure)).into())
        }
        None => replace::respond(run, &contests),
    }
}

/// Two zeros are an even split, also where nothing says who wrote the source's: its stamp may be gone with the rest.
fn zeros(run: &Run<'_>) -> Option<Move> {
    if !(Stage::WeightSource..=Stage::Bake).contains(&run.status.stage) {
        return None;
    }
    let planned = run.ingresses().iter().find(|planned| {
        let at_zero = |facts: Option<&IngressFacts>| facts.and_then(IngressFacts::weight) == Some(Weight::ZERO);
        let target = run.ingress(Side::Target, planned);
        let ours = target.is_some_and(|facts| facts.stamp_of(&run.order.owner).is_some());
        ours && at_zero(target) && at_zero(run.ingress(Side::Source, planned))
    })?;
    let message = format!("Ingress {} has weight 0 on both sides, which is an even split.", planned.name);
    Some(Move::RollBack { reason: Reason::ForeignWeight, message })
}

/// What is still so when DNS has followed does not pass by itself: a person must decide.
fn patiently(run: &Run<'_>, wait: Wait) -> Wait {
    let known = run.status.reason == wait.reason.as_str();
    let since = run.status.waiting_since.as_ref().filter(|_| known).map_or(run.now, |since| since.0);
    match since.saturating_add(run.order.dns.settle_time()) {
        Ok(until) if run.now < until => wait.looking_again_at(until),
        _ => wait.stalled(),
    }
}

/// What somebody else changed, and what a person can do about it.
pub(super) struct Contest {
    pub(super) side: Side,
    pub(super) ingress: String,
    pub(super) message: String,
    pub(super) cure: String,
    /// The part of the cure that gives the Ingress back.
    pub(super) give_back: String,
    is_replaceable: bool,
}

/// How a person stops the other writer on a side.
pub(super) fn stop_other_writer(run: &Run<'_>, side: Side) -> String {
    let escape = |annotation: &str| format!("/metadata/annotations/{}", annotation.replace('/', "~1"));
    let prefix = &run.order.rules(side).annotation_prefix;
    format!(
        "Stop the other writer. Argo CD: ignoreDifferences with managedFieldsManagers [namespace-migration]; Flux: spec.ignore \
         for {}, {} and {}.",
        escape(&format!("{prefix}aws-weight")),
        escape(&format!("{prefix}set-identifier")),
        escape(STAMP_ANNOTATION),
    )
}

/// Where and how a person gives an Ingress back with the weight that was last written.
fn give_back(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> String {
    let prefix = &run.order.rules(side).annotation_prefix;
    let weight = written(run, side, false).first().copied().unwrap_or_default();
    format!(
        "on the {side} cluster: kubectl --context={} annotate ingress {} -n {} --overwrite {prefix}set-identifier={} {prefix}aws-weight={weight}",
        side.name().to_uppercase(),
        planned.name,
        run.order.namespace,
        planned.identifier(side),
    )
}

fn contests(run: &Run<'_>) -> Vec<Contest> {
    let sides = [Side::Source, Side::Target].into_iter().filter(|side| run.view(*side).synced);
    let places = sides.flat_map(|side| run.ingresses().iter().map(move |planned| (side, planned)));
    places.filter_map(|(side, planned)| contested(run, side, planned)).collect()
}

fn contested(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<Contest> {
    let give_back = give_back(run, side, planned);
    let cure = format!("{} Then give the Ingress back, {give_back}", stop_other_writer(run, side));
    let contest = |message: String, cure: String| Contest {
        side,
        ingress: planned.name.clone(),
        message,
        cure,
        give_back,
        is_replaceable: replaceable(run, side, planned).is_some(),
    };
    if let Some(message) = gone(run, side, planned) {
        let cure = format!("Deploy Ingress {} to the {side} again, as it was.", planned.name);
        return Some(contest(message, cure));
    }
    changed(run, side, planned).map(|message| contest(message, cure))
}

/// The Ingress, if somebody else wrote its weight and nothing else that matters: what stands there may be replaced once. An
/// identifier that is not ours is never replaced, neither is what another migration has stamped, and nothing is before the first write.
pub(super) fn replaceable<'a>(run: &'a Run<'_>, side: Side, planned: &PlannedIngress) -> Option<&'a IngressFacts> {
    let facts = run.ingress(side, planned)?;
    changed(run, side, planned)?;
    let ours = facts.stamp.as_ref().is_none_or(|stamp| stamp.owner == run.order.owner && !stamp.direction.is_final());
    let foreign = facts.weight().is_some() && !facts.weight_is_ours() && run.status.stage >= Stage::WeightSource;
    (ours && foreign && facts.identifier.as_ref() == Some(planned.identifier(side))).then_some(facts)
}

/// Whether every Ingress of a side must carry our stamp by now.
pub(super) fn is_ours_by_now(run: &Run<'_>, side: Side) -> bool {
    let stage = run.status.stage;
    match side {
        // The rehearsal begins when the source has been taken over.
        Side::Source => (Stage::PrepareTarget..=Stage::Bake).contains(&stage) || rehearsal::has_begun(run),
        Side::Target => (Stage::SmokeTest..=Stage::Bake).contains(&stage),
    }
}

fn gone(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<String> {
    let gone = is_ours_by_now(run, side) && run.ingress(side, planned).is_none();
    // An Ingress that is gone takes its record with it.
    let alone = "Only the target is left to serve its hosts: every user may be there, and nothing can go back before it is here again.";
    let everybody = if side == Side::Source && has_record(run, planned) { format!(" {alone}") } else { String::new() };
    gone.then(|| format!("Ingress {} is gone from the {side}.{everybody}", planned.name))
}

fn has_record(run: &Run<'_>, planned: &PlannedIngress) -> bool {
    run.ingress(Side::Target, planned).is_some_and(|facts| facts.weight().is_some())
}

fn changed(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<String> {
    let (name, facts) = (&planned.name, run.ingress(side, planned)?);
    let ours_by_now = is_ours_by_now(run, side);
    let stamp = facts.stamp_of(&run.order.owner);
    let is_running = stamp.is_some_and(|stamp| !stamp.direction.is_final());
    if is_given_back(run, side, planned, facts) || (!ours_by_now && (!is_running || facts.weight_is_ours())) {
        return None;
    }
    let (found, writer) = (facts.weight_text.as_deref().unwrap_or("none"), facts.weight_writer());
    let wanted = wanted(run, side, facts.weight_is_ours());
    let is_named = facts.identifier.as_ref() == Some(planned.identifier(side));
    if is_named && !facts.weight_is_ours() && facts.weight_text.is_some() {
        return Some(format!("The weight of Ingress {name} on the {side} was changed to {found} by {writer}{wanted}."));
    }
    if !is_named {
        let (found, expected) = (facts.identifier.as_deref().unwrap_or("none"), planned.identifier(side));
        return Some(format!(
            "The DNS set identifier of Ingress {name} on the {side} was changed to {found}; {expected} is expected."
        ));
    }
    if stamp.is_none() {
        return Some(format!("The annotations of Ingress {name} on the {side} were removed or replaced by {writer}."));
    }
    Some(format!("Ingress {name} on the {side} has weight {found}, which is not what was written{wanted}."))
}

fn wanted(run: &Run<'_>, side: Side, ours: bool) -> String {
    let weights: Vec<_> = written(run, side, ours).iter().map(ToString::to_string).collect();
    format!("; {} is expected", weights.join(" or "))
}

/// Whether identifier and weight are as written, whoever wrote them last.
pub(super) fn is_given_back(run: &Run<'_>, side: Side, planned: &PlannedIngress, facts: &IngressFacts) -> bool {
    facts.identifier.as_ref() == Some(planned.identifier(side))
        && facts.weight().is_some_and(|weight| written(run, side, facts.weight_is_ours()).contains(&weight))
}

/// The weights that an Ingress of a side may have. The last one that was seen to be written comes first.
///
/// What is ours may be one write ahead: effects come before the status that remembers them. The way down to a ceiling may begin
/// in any phase of a step, so that the source may also be one write above it.
pub(super) fn written(run: &Run<'_>, side: Side, ours: bool) -> Vec<Weight> {
    let around = around(run);
    let phase = run.status.step.as_ref().map_or(StepPhase::RaiseTarget, |step| step.phase);
    let (seen, ahead) = match (run.status.stage, side) {
        (Stage::WeightSource, Side::Source) => rehearsal::weights(run),
        (Stage::Bake, Side::Source) => (Weight::ZERO, Some(around.before_last.complement())),
        (Stage::Bake, Side::Target) => (Weight::FULL, None),
        (Stage::SmokeTest, Side::Target) => (Weight::ZERO, Some(around.current)),
        (Stage::ShiftTraffic, Side::Target) => on_target(&around, phase),
        (Stage::ShiftTraffic, Side::Source) => on_source(&around, phase),
        (_, Side::Source) => (Weight::FULL, None),
        (_, Side::Target) => (Weight::ZERO, None),
    };
    std::iter::once(seen).chain(ahead.filter(|weight| ours && *weight != seen)).collect()
}

fn on_target(around: &Around, phase: StepPhase) -> (Weight, Option<Weight>) {
    let Around { before, current, next, .. } = *around;
    match phase {
        StepPhase::RaiseTarget => (before, Some(current)),
        StepPhase::Holding => (current, Some(next)),
        StepPhase::TargetSettling | StepPhase::LowerSource | StepPhase::SourceSettling => (current, None),
        // The step may have been left before the target was raised.
        StepPhase::RaiseSource | StepPhase::SourceRaised | StepPhase::LowerTarget => (current, Some(before)),
        StepPhase::TargetLowered => (before, None),
    }
}

fn on_source(around: &Around, phase: StepPhase) -> (Weight, Option<Weight>) {
    let Around { below, before, current, .. } = *around;
    let (below, before, current) = (below.complement(), before.complement(), current.complement());
    match phase {
        StepPhase::SourceSettling | StepPhase::Holding => (current, Some(before)),
        StepPhase::RaiseTarget | StepPhase::TargetSettling | StepPhase::LowerSource | StepPhase::RaiseSource => {
            (before, Some(current))
        }
        StepPhase::SourceRaised | StepPhase::LowerTarget => (before, None),
        // The next step down may have begun.
        StepPhase::TargetLowered => (before, Some(below)),
    }
}

/// The target's weights around the current step.
struct Around {
    /// Two steps below.
    below: Weight,
    /// One step below.
    before: Weight,
    current: Weight,
    /// One step above.
    next: Weight,
    /// Of the step before the last one.
    before_last: Weight,
}

fn around(run: &Run<'_>) -> Around {
    let steps = shift_traffic_steps(run);
    let index = step_index(run);
    let at = |index: usize| steps.get(index).or(steps.last()).map_or(Weight::ZERO, |step| step.weight);
    let under = |index: usize, by: usize| index.checked_sub(by).map_or(Weight::ZERO, at);
    Around {
        below: under(index, 2),
        before: under(index, 1),
        current: at(index),
        next: at(index + 1),
        before_last: under(steps.len(), 2),
    }
}

/// Whether the target may have a share: a step has been entered.
pub(super) fn is_in_a_step(run: &Run<'_>) -> bool {
    run.status.stage == Stage::Bake || (run.status.stage == Stage::ShiftTraffic && run.status.step.is_some())
}

/// The target's weight of the current step.
pub(super) fn step_weight(run: &Run<'_>) -> Weight {
    around(run).current
}

/// The target's weight of the step below the current one.
pub(super) fn weight_below(run: &Run<'_>) -> Weight {
    if run.status.stage == Stage::Bake { around(run).before_last } else { around(run).before }
}

/// The source's weight before the current step, or before the shift.
pub(super) fn source_before(run: &Run<'_>) -> Weight {
    if run.status.stage == Stage::ShiftTraffic { around(run).before.complement() } else { Weight::FULL }
}

fn step_index(run: &Run<'_>) -> usize {
    run.status.step.as_ref().map_or(0, |step| usize::try_from(step.index).unwrap_or_default())
}

/// What the weights of an Ingress do to users that they must not, in a sentence.
fn harm(run: &Run<'_>, planned: &PlannedIngress, allowed: i32) -> Option<String> {
    let (source, target) = (run.ingress(Side::Source, planned)?, run.ingress(Side::Target, planned)?);
    if source.identifier.is_some() && source.identifier == target.identifier {
        let taken = "Both sides have one DNS set identifier, so that one record may replace the other.";
        return Some(taken.to_owned());
    }
    let target = target.weight()?;
    let Some(source) = source.weight() else {
        let taken = "Without its weight the source's record may disappear, and every user would go to the target.";
        return Some(taken.to_owned());
    };
    if source == Weight::ZERO && target == Weight::ZERO {
        return Some("Both sides are at 0, which is an even split.".to_owned());
    }
    let share = target_share(&[source], &[target]);
    (share > allowed)
        .then(|| format!("That sends {share} percent of users to the target, where {allowed} are allowed."))
}

/// The share that the target may have now: the current step's, or nothing before the shift.
pub(super) fn allowed_share(run: &Run<'_>) -> i32 {
    match run.status.stage {
        Stage::Bake => 100,
        Stage::ShiftTraffic if run.status.step.is_some() => around(run).current.get(),
        _ => 0,
    }
}
