//! Drift: what DNS serves in a hold or in the bake is not what the step says, though the annotations are. A record is gone because a
//! load balancer lost its address, or somebody edited the zone. Nothing that was written explains it: every gate of the step was passed.
//!
//! It stops the clock, and what may then be done depends on whether a write would help:
//!
//! - *Both sides have their records* and the target's share is above the step's, or all are at 0. That is a foreign change like one
//!   of an annotation (rule 8), and is answered alike: one rollback, as soon as it is served. It lowers the target's share at once.
//!   Weights that a later step writes may be those of another process of ours, which is ahead of what this one sees: they are
//!   answered when they still are no step's that is seen in the time that counts as late.
//! - *The source's record is missing because its Ingress has no address.* DNS cannot lead anybody there, and no weight changes that:
//!   alone in its kind the target's record answers everybody, at 0 as well. The target serves them. So nothing is written, and a
//!   person is told; when the address is back, external-dns publishes the record with the step's weight, and the hold goes on.
//! - *The source's record is missing and its Ingress has an address.* external-dns puts it back by itself, if it can. When it does not
//!   in the time that counts as late, the target has had more users than the step allows for too long: one rollback. It cannot
//!   make it worse, since the target goes on to answer until the source's record is back, and then everybody is back.
//! - *The target's record is missing, or has less.* The source serves: the clock stands, so that nothing ends as moved that is not.
//!
//! Nobody is sent back to a source that fails.

use jiff::Timestamp;

use super::contest;
use super::gate::{self, Amiss};
use super::health::Verdict;
use super::observed::Side;
use super::reason::Reason;
use super::run::{Move, Run, Wait};
use super::stages::shift_traffic_steps;
use super::stuck;
use super::traffic::Weight;
use crate::api::Stage;
use crate::api::status::StepPhase;

/// The answer to drift, if there is any.
pub(super) fn respond(run: &Run<'_>) -> Option<Move> {
    let share = held(run)?;
    let amiss = gate::amiss(run, share);
    if let Some(harm) = amiss.iter().find(|it| is_harmful(&amiss, it, share) && !may_be_ours(run, it)) {
        return Some(if can_go_back(run) && gate::is_served(run, harm.host) {
            roll_back(harm, share)
        } else {
            differs(run, harm, share).into()
        });
    }
    if let Some(wait) = gate::stale(run, "The step is held").or_else(|| stuck::unshiftable(run)) {
        return Some(wait.into());
    }
    let first = amiss.first()?;
    Some(match gate::unaddressed(run, first.side, first.host).filter(|_| first.is_missing) {
        Some(ingress) => address_lost(first, ingress, share).into(),
        None if is_left_alone(run, first, share) => roll_back(first, share),
        None => differs(run, first, share).into(),
    })
}

/// The target's share that is held, where DNS is looked at. Only what is on the Ingresses now can be served: while anything else
/// stands there, a write is under way or is somebody's, and DNS follows that.
fn held(run: &Run<'_>) -> Option<Weight> {
    let share = match (run.status.stage, run.status.step.as_ref().map(|step| step.phase)) {
        (Stage::Bake, _) => Weight::FULL,
        (Stage::ShiftTraffic, Some(StepPhase::Holding)) => contest::step_weight(run),
        _ => return None,
    };
    let is_held = |side: Side| {
        let weight = side.pick(share.complement(), share);
        let mut facts = run.ingresses().iter().map(|planned| run.ingress(side, planned));
        facts.all(|facts| facts.is_some_and(|facts| facts.weight() == Some(weight) && facts.weight_is_ours()))
    };
    let as_written = run.status.put_back.is_none() && is_held(Side::Source) && is_held(Side::Target);
    (run.order.dns.is_verified() && as_written).then_some(share)
}

/// Whether records that are there give the target more than its step, or are all at 0.
fn is_harmful(all: &[Amiss<'_>], it: &Amiss<'_>, share: Weight) -> bool {
    let is_complete = all.iter().all(|other| other.host != it.host || !other.is_missing);
    is_complete && (is_above(it, share) || it.are_all_zero)
}

/// Whether these are the weights of a step from the current one on, or those with the next one's target beside them: DNS shows no
/// others on the way forward.
fn may_be_ours(run: &Run<'_>, it: &Amiss<'_>) -> bool {
    let [Some(source), Some(target)] = it.weights else { return false };
    let index = run.status.step.as_ref().map_or(0, |step| usize::try_from(step.index).unwrap_or_default());
    let steps: Vec<_> = shift_traffic_steps(run).into_iter().skip(index).map(|step| step.weight).collect();
    let held = steps.iter().zip(&steps);
    let raised = steps.iter().zip(steps.iter().skip(1));
    held.chain(raised).any(|(before, after)| (before.complement(), *after) == (source, target))
}

fn is_above(it: &Amiss<'_>, share: Weight) -> bool {
    it.share.is_some_and(|percent| percent > share.get())
}

/// Whether the target has had more than its step for so long that external-dns does not put it right.
fn is_left_alone(run: &Run<'_>, it: &Amiss<'_>, share: Weight) -> bool {
    let lasts = since(run, Reason::DnsDiffers).saturating_add(gate::patience(run)).unwrap_or(Timestamp::MAX);
    is_above(it, share) && run.now >= lasts && can_go_back(run)
}

fn can_go_back(run: &Run<'_>) -> bool {
    run.observed.health.verdict(Side::Source) != Verdict::Fail
}

/// Since when it has waited for this.
fn since(run: &Run<'_>, reason: Reason) -> Timestamp {
    let known = run.status.waiting_since.as_ref().filter(|_| run.status.reason == reason.as_str());
    known.map_or(run.now, |since| since.0)
}

fn roll_back(it: &Amiss<'_>, share: Weight) -> Move {
    let message = format!("In DNS {}. {}", it.found, consequence(it, share));
    Move::RollBack { reason: Reason::ForeignWeight, message }
}

fn differs(run: &Run<'_>, it: &Amiss<'_>, share: Weight) -> Wait {
    let message = format!("In DNS {}. {} The clock stands still.", it.found, consequence(it, share));
    let fix = format!(
        "Undo what was changed at {} in the zone, or let the external-dns of the {} put it right (its log says why it does not); it goes on by itself.",
        it.host, it.side
    );
    let served = gate::is_served_at(run, it.host).filter(|at| *at > run.now);
    let late = since(run, Reason::DnsDiffers).saturating_add(gate::patience(run)).ok().filter(|at| *at > run.now);
    let wait = Wait::new(Reason::DnsDiffers, message).unblocked_by(fix);
    match served.into_iter().chain(late).min() {
        Some(at) => wait.looking_again_at(at),
        None => wait.stalled(),
    }
}

fn address_lost(it: &Amiss<'_>, ingress: &str, share: Weight) -> Wait {
    let side = it.side;
    let message = format!(
        "Ingress {ingress} on the {side} has no load balancer address any more, and in DNS {}. {} No weight would change that, so weights \
         stay. The clock stands still.",
        it.found,
        consequence(it, share)
    );
    let fix = format!(
        "Look at the {side}'s ingress controller and at the class of Ingress {ingress}; when the address is back, external-dns publishes \
         the record again, and it goes on by itself."
    );
    Wait::new(Reason::AddressLost, message).unblocked_by(fix)
}

/// What it does to users.
fn consequence(it: &Amiss<'_>, share: Weight) -> String {
    match it.share {
        None => "Not everybody who asks is led where the step says.".to_owned(),
        Some(_) if it.are_all_zero => "Both sides are at 0, which is an even split.".to_owned(),
        Some(percent) if percent > share.get() => {
            format!("That sends {percent} percent of users to the target, where {share} are allowed.")
        }
        Some(percent) => format!("That sends {percent} percent of users to the target; the step says {share}."),
    }
}
