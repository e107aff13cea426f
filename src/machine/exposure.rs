//! How many users may still be sent to the target while everything goes back (rule 4 of the traffic protocol). A weight is a wish, and
//! what the provider lists it does not serve at once: until DNS has followed, the share of before counts as well.

use jiff::{SignedDuration, Timestamp};

use super::contest;
use super::gate::{self, Goal, Verification};
use super::observed::Side;
use super::run::Run;
use super::stages::{is_known_absent, is_taken};
use super::traffic::{Weight, target_share};
use crate::api::status::{IngressTraffic, PlannedIngress, StepPhase};

/// The share of users, in percent, that may still be sent to the target: the worst of all Ingresses and hosts.
pub(super) fn percent(run: &Run<'_>) -> i32 {
    let now = as_seen(run);
    if has_followed(run) { now } else { run.status.exposed_percent.map_or(now, |before| before.max(now)) }
}

/// A rollback begins: what was served until now may go on to be.
pub(super) fn begin(run: &Run<'_>) -> i32 {
    let seen = |planned: &PlannedIngress| weight(run, Side::Source, planned);
    before(run).max(if is_unsure_of_target(run) { unheard_of(run, seen) } else { 0 })
}

/// A rollback that another process has begun is taken up: what that one had written before is not all in the status.
pub(super) fn take_up(run: &Run<'_>) -> i32 {
    let lowered = contest::written(run, Side::Source, true).into_iter().min();
    before(run).max(unheard_of(run, |_| lowered))
}

fn before(run: &Run<'_>) -> i32 {
    let remembered = run.status.traffic.iter().map(|traffic| share(weights_of(traffic)));
    let known = [Some(as_seen(run)), run.status.served, left_step(run)];
    known.into_iter().flatten().chain(remembered).max().unwrap_or(0)
}

/// On the way down a resolver may still have the answer of the step that is being left.
fn left_step(run: &Run<'_>) -> Option<i32> {
    let step = run.status.step.as_ref().filter(|step| step.phase.is_on_the_way_down())?;
    let steps = &run.status.plan.as_ref()?.steps;
    steps.get(usize::try_from(step.index).ok()?).map(|step| step.weight)
}

/// The target's share if it was raised once more, by a write of which nothing was heard.
fn unheard_of(run: &Run<'_>, source: impl Fn(&PlannedIngress) -> Option<Weight>) -> i32 {
    let target = contest::written(run, Side::Target, true).into_iter().max();
    let shares = run.ingresses().iter().map(|planned| share([source(planned).or(Some(Weight::FULL)), target]));
    shares.max().unwrap_or(0)
}

/// Whether the target may have another weight than is known: this process has never seen it, or it went away while it was raised.
fn is_unsure_of_target(run: &Run<'_>) -> bool {
    let view = run.view(Side::Target);
    let raises = || run.status.step.as_ref().is_some_and(|step| step.phase == StepPhase::RaiseTarget);
    !view.synced || (!view.reach.is_reachable() && raises())
}

/// By the weights as last seen, and by what is listed.
fn as_seen(run: &Run<'_>) -> i32 {
    let ours = run.ingresses().iter().filter(|planned| !is_taken(run, planned));
    let written = ours.map(|planned| written(run, planned));
    let listed = gate::places(run)
        .into_iter()
        .filter_map(|place| gate::served_share(run, place.host).filter(|_| !is_taken(run, place.planned)));
    written.chain(listed).max().unwrap_or(0)
}

/// Whether users get what is seen now, and nothing of before: resolvers have forgotten that too.
fn has_followed(run: &Run<'_>) -> bool {
    let Some(at) = last_written(run).filter(|_| !is_unsure_of_target(run)) else { return false };
    if gate::gate(run, Goal::SourceServesAll, at, "").is_ok() {
        return true;
    }
    // What is listed may be neither all of one side nor as it is written, and served so for long.
    let listed = run.order.dns.verification == Verification::Route53;
    listed && gate::passed(run, at) && gate::places(run).into_iter().all(|place| gate::is_forgotten(run, place.host))
}

/// When the last of the weights was written, as the API servers tell it: in whole seconds, so that it was a little later.
fn last_written(run: &Run<'_>) -> Option<Timestamp> {
    let sides = [Side::Source, Side::Target].into_iter();
    let facts = sides.flat_map(|side| run.ingresses().iter().filter_map(move |planned| run.ingress(side, planned)));
    let told = facts.filter_map(|facts| facts.weight_written?.checked_add(SignedDuration::from_secs(1)).ok()).max();
    told.or_else(|| run.status.written_since.as_ref().map(|since| since.0))
}

fn written(run: &Run<'_>, planned: &PlannedIngress) -> i32 {
    let [source, target] = [Side::Source, Side::Target].map(|side| weight(run, side, planned));
    if source.is_none() && is_known_absent(run, Side::Source, planned) {
        return target_share(&[], &target.into_iter().collect::<Vec<_>>());
    }
    share([source, target])
}

/// Beside a simple record of the source, DNS refuses a weighted one.
fn share([source, target]: [Option<Weight>; 2]) -> i32 {
    if source.is_none() && target.is_none_or(|weight| weight == Weight::ZERO) {
        return 0;
    }
    let weights = |weight: Option<Weight>| weight.into_iter().collect::<Vec<_>>();
    target_share(&weights(source), &weights(target))
}

/// The weight as seen, or as remembered while it cannot be seen.
fn weight(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<Weight> {
    if let Some(facts) = run.ingress(side, planned) {
        return facts.weight();
    }
    if is_known_absent(run, side, planned) {
        return None;
    }
    let traffic = run.status.traffic.iter().find(|traffic| traffic.ingress == planned.name)?;
    let [source, target] = weights_of(traffic);
    side.pick(source, target)
}

fn weights_of(traffic: &IngressTraffic) -> [Option<Weight>; 2] {
    [traffic.source_weight, traffic.target_weight].map(|weight| weight.map(Weight::percent))
}
