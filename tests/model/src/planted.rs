//! The planted mistakes: what each changes of the shipped decision or of the executor.

use namespace_migration::machine::effect::WeightWrite;
use namespace_migration::machine::permit::Refusal;
use namespace_migration::machine::stamp::Direction;
use namespace_migration::machine::{Decision, Effect, Side};

use crate::facts::View;
use crate::setup::{Plant, Setup};
use crate::state::{OLD, State};
use crate::zone::wanted;

/// What a decision becomes.
pub fn change(setup: &Setup, decision: &mut Decision) {
    if setup.plants(Plant::LowerFirst) || setup.plants(Plant::LowerFirstBehindThePermit) {
        let lowered: Vec<_> = decision.effects.iter().filter_map(|effect| lowered(setup, effect)).collect();
        decision.effects.splice(0..0, lowered);
    }
}

/// The source's write that ought to follow a raise of the target, and comes before it.
fn lowered(setup: &Setup, effect: &Effect) -> Option<Effect> {
    let Effect::WriteWeight(raise) = effect else { return None };
    let raises = raise.side == Side::Target && !raise.is_claim() && raise.stamp.direction == Direction::Forward;
    let identifier = setup.order(0).identifier(Side::Source, &raise.ingress);
    raises.then(|| {
        let weight = raise.weight.complement();
        Effect::WriteWeight(WeightWrite { side: Side::Source, uid: None, identifier, weight, ..raise.clone() })
    })
}

/// Refusals that nobody heeds.
pub fn ignores(setup: &Setup, refusal: &Refusal) -> bool {
    match refusal {
        Refusal::BothZero { .. } => setup.plants(Plant::LowerFirst),
        Refusal::Fenced { .. } => setup.plants(Plant::NoFence),
        _ => false,
    }
}

/// What a process makes of what DNS lists, going forward.
pub fn misread(setup: &Setup, state: &State, view: &mut View) {
    if !setup.plants(Plant::NoGate) || view.token > 0 || state.past.rolling() {
        return;
    }
    for (listed, live) in view.listed.iter_mut().flatten().zip(state.live.iter().flatten()) {
        *listed = (wanted(*live, true), OLD);
    }
}

/// Whether a write leaves the object's version as it was, so that older writes still fit.
pub fn keeps_version(setup: &Setup, changes_weight: bool) -> bool {
    setup.plants(Plant::NoVersion) || (setup.plants(Plant::NoFence) && !changes_weight)
}

/// Whether a rollback's write to the source is not even tried.
pub fn is_kept_back(setup: &Setup, side: Side, reach: [bool; 2]) -> bool {
    setup.plants(Plant::WaitsForTarget) && side == Side::Source && !reach[1]
}
